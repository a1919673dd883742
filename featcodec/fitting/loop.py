"""Fitting a codec: one loop, from pictures to a fitted model."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from featcodec.errors import FitError
from featcodec.evaluation.closeness import decibels
from featcodec.fitting.data import Batch, Source
from featcodec.fitting.hidden_vectors import HiddenBatch
from featcodec.fitting.processes import ALONE, Processes
from featcodec.fitting.run import Run
from featcodec.fitting.tasks import FeatureTask, Task
from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.torch_state import flushing
from featcodec.pictures.pixels import unit_floats
from featcodec.plf.header import QUALITIES
from featcodec.training.hyperprior import Coded
from featcodec.training.invnet import halve, mean_colours
from featcodec.training.optimizer import learning_rate
from featcodec.training.stopping import StopSignals

__all__ = ["Figures", "Fitting", "fit_codec", "seconds_a_step"]

PATIENCE = 10  # steps in a row whose loss or gradient may be not finite
UNTIMED, TIMED = 2, 6  # steps
AT_ONCE = 16  # pictures that the memory of vectors is filled with


@dataclass(frozen=True, slots=True)
class Figures:
    """One step in numbers.

    Attributes:
        bpp_y, bpp_z: estimated bits per pixel of latents and side information.
        distortion: D_task.
        rebuilt: loss of the best adversary.
        bound: loss of one that knows the mean colour only.
        psnr: of what the best adversary rebuilds, in dB, at half resolution.
        explained: share of the picture's variance that the best linear attacker explains.
        loss: all of it.
        inferred: mean cosine of vectors to be hidden with those that the better adversary infers.
    """

    bpp_y: float
    bpp_z: float
    distortion: float
    rebuilt: float
    bound: float
    psnr: float
    explained: float
    loss: float
    inferred: float = 0.0

    def __str__(self) -> str:
        hidden = f", adversary {self.psnr:.1f} dB" if self.psnr else ""
        linear = f", {self.explained:.0%} linear" if self.explained else ""
        vectors = f", vectors {self.inferred:.2f}" if self.inferred else ""
        return f"{self.bpp_y + self.bpp_z:.3f} bpp, distortion {self.distortion:.3f}{hidden}{linear}{vectors}"


@dataclass(frozen=True, slots=True)
class Fitting:
    """What a codec is fitted to.

    Attributes:
        network: frozen, in evaluation mode; one tensor crosses its cut.
        task: what must not be spoiled.
        source: batches from any number on, pictures (B, 3, H, W) with sides that the canvas can have.
        processes: this process, and those beside it.
        warm_up: task of the first steps, which are cheaper without the tail, and after which its gradients
            are of use.
    """

    network: CutNetwork
    task: Task
    source: Source
    processes: Processes = ALONE
    warm_up: Task = field(default_factory=FeatureTask)


def fit_codec(
    fitting: Fitting,
    run: Run,
    *,
    checkpoint: Path | None,
    report: Callable[[Run, Figures], None] | None = None,
    saved: Callable[[Run], object] | None = None,
    save_every: float = 180.0,
    stop: StopSignals | None = None,
) -> None:
    """Fits ``run.model``, from where the run stands to its last step; a batch is a step.

    Args:
        fitting: network, task and pictures.
        run: fresh, or resumed from its checkpoint.
        checkpoint: where the state goes, every now and then and at the end.
        report: called after each step of the codec.
        saved: called after each checkpoint, before the first step, too.
        save_every: seconds between checkpoints.
        stop: has been entered; a signal that comes ends the loop after a step, with a checkpoint.

    Raises:
        FitError: the loss is not finite, at the start or for some steps; the last good checkpoint is kept.
    """
    writes = checkpoint if fitting.processes.rank == 0 else None
    bad = 0

    def save() -> float:
        if writes:
            run.save(writes)
            if saved is not None:
                saved(run)
        return time.monotonic()

    with _own_random_numbers(run), flushing():
        last = time.monotonic() if run.taken else save()
        batches = islice(fitting.source(run.taken), run.options.steps - run.step)
        for batch in stop.until_signal(batches, agree=fitting.processes.agree) if stop else batches:
            figures = _step(fitting, run, batch)
            bad = 0 if figures is None or _finite(figures) else bad + 1
            if bad >= PATIENCE or (bad and run.step == 1):
                kept = (
                    f"; the last good checkpoint is {checkpoint}"
                    if checkpoint and checkpoint.exists()
                    else ""
                )
                raise FitError(f"step {run.step}: the loss is not finite, {figures}{kept}")
            if figures is not None and report is not None:
                report(run, figures)
            if not bad and time.monotonic() - last > save_every:
                last = save()
        if not bad:
            save()
    if stop and stop.received and fitting.processes.rank == 0:
        stop.message = _how_to_go_on(run, checkpoint)
    fitting.processes.wait()
    run.model.eval()
    run.average.eval()


def _how_to_go_on(run: Run, checkpoint: Path | None) -> str:
    stopped = f"fit: stopped at step {max(run.step, 0)} of {run.options.steps}"
    if checkpoint is None or not checkpoint.exists():
        return f"{stopped}; nothing is kept without a folder for the checkpoint"
    return f"{stopped}; started again with the same settings, it goes on from {checkpoint}"


def seconds_a_step(fitting: Fitting, run: Run) -> float:
    """How long a step of the codec takes here on average, measured on copies."""
    first = min(run.options.warm_up, 1.0)
    pace = 0.0
    for task, share in ((fitting.warm_up, first), (fitting.task, 1 - first)):
        if share:
            pace += share * _paced(replace(fitting, warm_up=task), run)
    return pace


def _paced(fitting: Fitting, run: Run) -> float:
    trial = copy.deepcopy(run)
    trial.options = replace(run.options, warm_up=1.0)
    began = 0.0
    with _own_random_numbers(trial), flushing():
        for n, batch in enumerate(islice(fitting.source(0), UNTIMED + TIMED)):
            if n == UNTIMED:
                began = time.monotonic()
            trial.step = 1  # of the codec, not of adversaries alone
            _step(fitting, trial, batch)
    return (time.monotonic() - began) / TIMED


def _own_random_numbers(run: Run) -> AbstractContextManager[None]:
    """What is drawn inside leaves the caller's random numbers as they are."""
    where = run.model.log_gain.device
    return torch.random.fork_rng([where] if where.type == "cuda" else [])


def _finite(figures: Figures) -> bool:
    return abs(figures.loss) < float("inf")


def _step(fitting: Fitting, run: Run, batch: Batch) -> Figures | None:
    """One step of the adversaries and one of the codec; no figures where the adversaries train alone."""
    o = run.options
    if run.thief:
        _remember(fitting, run)
    torch.manual_seed((o.seed * 1_000_003 + run.taken) * 4096 + fitting.processes.rank)
    where = run.model.log_gain.device
    images, labels = batch
    x = unit_floats(images.to(where))
    portraits = None
    if run.thief:
        portraits = run.thief.hidden.samples(run.thief.hidden.of_step(run.taken))
        x = torch.cat((x, unit_floats(portraits.pictures.to(where))))
    x = x.contiguous(memory_format=torch.channels_last)
    quality = _random_qualities(len(x)).to(where)  # (B,)
    run.restart()
    with torch.no_grad(), _autocast(run):
        f = fitting.network.head(x)[0]  # (B, C, h, w)
    with _autocast(run):
        coded = run.model(f, quality)
    small = halve(x)
    for _ in range(o.adversary_steps):
        _adversary_step(fitting, run, coded.y_hat.detach(), small)
    if run.step < 0:
        run.step += 1
        return None
    task = fitting.warm_up if o.warming_up(run.step) else fitting.task
    with torch.no_grad(), _autocast(run):
        target = task.target(f, labels)
    with _autocast(run):
        d = task.distortion(coded.f_hat, target)
    return _codec_step(fitting, run, coded, d, small, quality, portraits)


@torch.no_grad()
def _remember(fitting: Fitting, run: Run) -> None:
    """Fills the memory of the thief of vectors as the codec stands, first of all and now and then."""
    assert run.thief is not None
    if not run.thief.is_stale(run.step):
        return
    missing, hidden = run.thief.forget(run.taken), run.thief.hidden
    torch.manual_seed(run.options.seed * 1_000_003 + run.taken)
    where = run.model.log_gain.device
    for first in range(missing.start, missing.stop, AT_ONCE):
        batch = hidden.samples(range(first, min(first + AT_ONCE, missing.stop)))
        quality = _random_qualities(len(batch.kinds)).to(where)
        x = unit_floats(batch.pictures.to(where)).contiguous(memory_format=torch.channels_last)
        with _autocast(run):
            y_hat = run.model(fitting.network.head(x)[0], quality).y_hat
        run.thief.take_in(y_hat, batch)


def _random_qualities(count: int) -> Tensor:
    """(count,) from 1 to 8."""
    return 1 + (len(QUALITIES) - 1) * torch.rand(count)


def _autocast(run: Run) -> torch.autocast:
    # no cache: torch empties it where the outermost autocast ends, and the caller may be inside of one, which
    # would leave this loop with the weights of its first step
    where = run.model.log_gain.device.type
    return torch.autocast(where, torch.bfloat16, enabled=run.options.bf16, cache_enabled=False)


def _adversary_step(fitting: Fitting, run: Run, y_hat: Tensor, picture: Tensor) -> None:
    for network, optimizer in run.adversaries:
        with _autocast(run):
            rebuilt = network(y_hat)
        loss = run.options.rebuilt(rebuilt.float(), picture).mean()
        optimizer.zero_grad()
        loss.backward()
        fitting.processes.average(network.parameters())
        if torch.isfinite(nn.utils.clip_grad_norm_(network.parameters(), 1.0)):
            optimizer.step()


def _codec_step(
    fitting: Fitting, run: Run, coded: Coded, d: Tensor, picture: Tensor, quality: Tensor,
    portraits: HiddenBatch | None,
) -> Figures:  # fmt: skip
    o = run.options
    pixels = picture[0, 0].numel() * 4
    loss = (coded.bits_y + coded.bits_z) / pixels + o.weights.at(quality) * d
    # the adversaries' terms stand beside it as they are: a file of many bits has more to hide, not less
    loss = loss * o.weights.balance(quality, o.balance)
    hidden, bound, psnr = _hidden(run, coded.y_hat, picture)
    nothing = torch.zeros_like(d)
    explained, colour = run.ridge.explained(coded.y_hat, picture) if run.ridge else (nothing, nothing)
    loss = loss + o.privacy * (bound - hidden).clamp(min=0)
    loss = loss + o.linear_privacy * (explained - colour).clamp(min=0)
    inferred = torch.zeros_like(d)
    if run.thief and portraits:
        found = run.thief.inferred(coded.y_hat[-len(portraits.kinds) :], portraits, run.taken)
        inferred = torch.cat((inferred[: -len(found)], found))
        loss = loss + o.hide_weight * inferred
    loss = loss.mean()
    run.optimizer.set_rate(learning_rate((run.step + 1) / o.steps, o.lr))
    run.optimizer.zero_grad()
    loss.backward()
    moved = run.parameters
    fitting.processes.average(moved)
    norm = nn.utils.clip_grad_norm_(moved, 1.0)
    if torch.isfinite(norm):  # one bad batch must not end a long run; a row of them does, in fit_codec
        run.optimizer.step()
    else:
        loss = loss * float("nan")
    run.step += 1
    run.follow()
    rates = coded.bits_y / pixels, coded.bits_z / pixels
    means = [v.detach().float().mean() for v in (*rates, d, hidden, bound, psnr, explained, loss)]
    means.append(inferred.detach().sum() / (len(portraits.kinds) if portraits else 1))
    return Figures(*fitting.processes.mean(torch.stack(means)).tolist())


def _hidden(run: Run, y_hat: Tensor, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each picture (B,): the loss of the adversary that rebuilds it best, its bound, and the PSNR."""
    nothing = picture.new_zeros(len(picture))
    if not run.adversaries:
        return nothing, nothing, nothing
    losses, errors = [], []
    for network, _ in run.adversaries:
        with _autocast(run):
            rebuilt = network(y_hat)
        losses.append(run.options.rebuilt(rebuilt.float(), picture))
        errors.append((rebuilt.detach().float() - picture).square().flatten(1).mean(1))
    hidden, best = torch.stack(losses).min(0)
    error = torch.stack(errors).gather(0, best[None])[0]
    bound = run.options.rebuilt(mean_colours(picture), picture)
    return hidden, bound, decibels(error)
