"""Training an attacker from scratch on what a thief has collected.

The loss is the squared error, of which the PSNR is the logarithm. Every twentieth photograph is held out: how
the PSNR on those rises with the steps is the learning curve, and a shorter budget with a schedule of its own
beside the full one tells whether more would change the verdict.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.attacks.attacker_networks import AttackerNetwork, Kind
from featcodec.attacks.observations import Observations
from featcodec.console import Progress
from featcodec.errors import FitError, InputError
from featcodec.evaluation.closeness import decibels
from featcodec.evaluation.kept import key, unlike_ours
from featcodec.evaluation.plain_json import ADDED, from_plain, to_plain
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Origin
from featcodec.networks.identity import network_digest
from featcodec.networks.torch_state import flushing, training
from featcodec.pictures.pixels import unit_floats
from featcodec.training.budget import Budget, kept_budget
from featcodec.training.optimizer import Optimizer, follow, learning_rate
from featcodec.training.states import load_state, save_state
from featcodec.training.stopping import StopSignals

__all__ = [
    "TRAINING_VERSION",
    "Recipe",
    "Trained",
    "load_trained",
    "steps_within",
    "train",
    "training_key",
    "with_crops_within",
]

TRAINING_VERSION = 2  # raise it when the same recipe and observations give another attacker, or another curve

HOLD_OUT = 20  # one photograph of so many
MOST_HELD = 96  # observations of those
GRID = 16  # pixels: crops lie at multiples of it, or of the stride where that is larger
WARM_UP, TIMED = 4, 12  # steps
STATISTICS = 64  # crops that the channel statistics are taken from
QUIET = 0.01  # of the largest deviation: the least that a channel is divided by


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an attacker is trained.

    Attributes:
        steps: the budget.
        batch: crops a step.
        crop: side of a crop in pixels of the canvas, a multiple of 16 and of the stride.
        lr: peak learning rate; linear warm-up, then a cosine. What a network learns from most falls with its
            width: 1.5e-3 for InvNet, 1e-3 for the U-Net, 4e-3 for the narrow one.
        seed: of weights and crops.
        curve: times that the PSNR on held-out photographs is taken, at equal distances.
    """

    steps: int = 4000
    batch: int = 8
    crop: int = 192
    lr: float = 1e-3
    seed: int = 1
    curve: int = 8


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished attacker.

    Attributes:
        kind: ``"invnet"`` or ``"unet"``.
        network: in evaluation mode; the average of the weights.
        points: of the target.
        recipe: how it was trained, and for how long.
        curve: (step, PSNR in dB on crops of held-out training photographs), rising.
        origins: code and machine of each process that trained it.
    """

    kind: Kind
    network: AttackerNetwork
    points: tuple[float, ...]
    recipe: Recipe
    curve: tuple[tuple[int, float], ...]
    origins: tuple[Origin, ...] = ()

    @property
    def identity(self) -> str:
        """Key of the weights and of how they came about: what is kept of their figures goes by it."""
        facts = {"kind": self.kind, "recipe": self.recipe, "curve": self.curve, "points": self.points}
        return key({"training": TRAINING_VERSION}, weights=network_digest(self.network), **facts)


@dataclass(frozen=True, slots=True)
class _About:
    """What a checkpoint says beside tensors; they stand in it under these names."""

    kind: Kind
    channels: int
    stride: int
    points: tuple[float, ...]
    picture: bool
    recipe: Recipe
    step: int
    curve: tuple[tuple[int, float], ...]
    origins: tuple[Origin, ...]
    width: int | None = field(default=None, metadata=ADDED)

    @staticmethod
    def of(kept: dict[str, Any], path: Path) -> _About:
        """Raises InputError by the name of the file where something is missing or of another type."""
        try:
            return from_plain(_About, {f.name: kept[f.name] for f in fields(_About) if f.name in kept})
        except InputError as error:
            raise unlike_ours(path, error) from error

    def attacker(self) -> AttackerNetwork:
        """The network, with weights yet to come."""
        shape = {"channels": self.channels, "stride": self.stride}
        return AttackerNetwork(self.kind, **shape, points=self.points, picture=self.picture, width=self.width)


@dataclass(slots=True)
class _Run:
    """A training under way: all that a checkpoint holds."""

    network: AttackerNetwork
    average: AttackerNetwork
    optimizer: Optimizer
    step: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=lambda: [origin()])


def training_key(kind: Kind, seen: Observations, recipe: Recipe, *, width: int | None = None) -> str:
    """What the attacker's checkpoint goes by."""
    facts = {"kind": kind, "seen": seen.identity, "recipe": recipe}
    return key({"training": TRAINING_VERSION}, **facts, **_other(width))


def _other(width: int | None) -> dict[str, int]:
    """What keys say of a width; nothing of the kind's own, so that they are those of earlier releases."""
    return {} if width is None else {"width": width}


@training()
@flushing()
def train(
    kind: Kind,
    seen: Observations,
    recipe: Recipe,
    *,
    checkpoint: Path,
    save_every: float = 60.0,
    width: int | None = None,
) -> Trained:
    """Trains an attacker, or goes on with an interrupted training, to the same weights bit for bit on a CPU.

    Args:
        kind: ``"invnet"`` or ``"unet"``.
        seen: what the thief has collected; photographs smaller than a crop are left out.
        recipe: budget and settings.
        checkpoint: where the state goes, and where an interrupted training goes on from; its name is to hold
            `training_key`.
        save_every: seconds between checkpoints.
        width: of the network; by its kind if None.

    Raises:
        InputError: fewer than two photographs as large as a crop, or a checkpoint that is damaged, or
            of another attacker.
        FitError: the loss is not finite; the last checkpoint is kept.
        KeyboardInterrupt: it was interrupted; the checkpoint holds what was done.
    """
    kept = _load(checkpoint) if checkpoint.exists() else None
    if kept:
        _check(_About.of(kept, checkpoint), _about(kind, seen, recipe, width), checkpoint)
    if kept and kept["step"] >= recipe.steps:
        return _finished(kept, checkpoint)
    learned, held = _divided(seen, recipe)
    run = _start(kind, seen, learned, recipe, width)
    if kept:
        _resume(run, kept, checkpoint)
    _loop(run, seen, learned, held, recipe, checkpoint, save_every)
    return Trained(kind, run.average.eval(), seen.points, recipe, tuple(run.curve), tuple(run.origins))


def with_crops_within(recipe: Recipe, seen: Observations) -> Recipe:
    """The recipe with crops that three in four photographs hold: some codecs have small canvases."""
    shorter = sorted(min(_canvas(seen, i)) for i in range(len(seen)))
    grid = _grid(seen)
    return replace(recipe, crop=max(grid, min(recipe.crop, shorter[len(shorter) // 4]) // grid * grid))


def load_trained(checkpoint: Path) -> Trained:
    """A finished attacker from its checkpoint.

    Raises:
        InputError: it is not finished, or no checkpoint.
    """
    return _finished(_load(checkpoint), checkpoint)


def _finished(kept: dict[str, Any], checkpoint: Path) -> Trained:
    about = _About.of(kept, checkpoint)
    if about.step < about.recipe.steps:
        raise InputError(f"got step {about.step}, expected {about.recipe.steps}", path=str(checkpoint))
    try:
        network = about.attacker()
        network.load_state_dict(kept["average"])
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:  # of another shape
        raise unlike_ours(checkpoint, error) from error
    return Trained(about.kind, network.eval(), about.points, about.recipe, about.curve, about.origins)


def _about(kind: Kind, seen: Observations, recipe: Recipe, width: int | None = None) -> _About:
    """What a checkpoint says of a training that is about to start."""
    channels, stride = seen.shape
    points = tuple(map(float, seen.points))
    return _About(kind, channels, stride, points, seen.picture, recipe, 0, (), (), width)


def _check(kept: _About, ours: _About, checkpoint: Path) -> None:
    """Refuses the checkpoint of another attacker."""
    for name in ("kind", "channels", "stride", "points", "picture", "recipe", "width"):
        got, expected = getattr(kept, name), getattr(ours, name)
        if got != expected:
            raise unlike_ours(checkpoint, f"{name}: got {got}, expected {expected}")


def steps_within(
    minutes: float,
    kind: Kind,
    seen: Observations,
    recipe: Recipe,
    *,
    kept: Path,
    width: int | None = None,
) -> Budget:
    """How many steps a training does in so many minutes here, in hundreds.

    It is measured once and then kept: an attack that goes on has to go on with the same budget.

    Args:
        minutes: of one training.
        kind, seen, recipe, width: as `train`.
        kept: the folder where the answers are kept.

    Raises:
        InputError: too few photographs, or an answer that another version has kept.
    """
    facts = {"kind": kind, "shape": seen.shape, "batch": recipe.batch, "crop": recipe.crop, **_other(width)}
    path = kept / f"{kind}-{key({'training': TRAINING_VERSION}, minutes=minutes, **facts)}.json"

    def measured() -> int:
        learned, _ = _divided(seen, recipe)
        run = _start(kind, seen, learned, recipe, width)
        for n in range(WARM_UP + TIMED):
            if n == WARM_UP:
                began = time.monotonic()
            _step(run, *_batch(seen, learned, recipe.batch, recipe, step=n), recipe)
        each = (time.monotonic() - began) / TIMED
        return max(100, int(minutes * 60 / each) // 100 * 100)

    return kept_budget(path, measured)


def _divided(seen: Observations, recipe: Recipe) -> tuple[list[int], list[int]]:
    """Observations to learn from, and some held out; of photographs as large as a crop."""
    usable = [i for i in range(len(seen)) if min(_canvas(seen, i)) >= recipe.crop]
    learned = [i for i in usable if seen.photograph(i) % HOLD_OUT != 0]
    held = [i for i in usable if seen.photograph(i) % HOLD_OUT == 0]
    held = held[:: -(-len(held) // MOST_HELD) or 1]
    if not held or not learned:
        raise InputError(
            f"attack: got {len(usable)} pictures of {recipe.crop} x {recipe.crop} px or more to train on, "
            f"expected at least {HOLD_OUT}"
        )
    return learned, held


def _start(
    kind: Kind, seen: Observations, learned: Sequence[int], recipe: Recipe, width: int | None = None
) -> _Run:
    channels, stride = seen.shape
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        network = AttackerNetwork(
            kind, channels=channels, stride=stride, points=seen.points, picture=seen.picture, width=width
        )
    crops = _batch(seen, learned, STATISTICS, recipe, step=-1)[0]
    network.mean.copy_(crops.mean((0, 2, 3)))
    deviation = crops.std((0, 2, 3))
    # latents that are hardly ever anything but 0 would come in a thousandfold where they are something else
    network.deviation.copy_(deviation.clamp(min=max(1e-6, QUIET * float(deviation.max()))))
    network.to(memory_format=torch.channels_last)
    # Muon at both ends, too: AdamW's steps, in which all of the many inputs of an output count alike, are too
    # large there for the learning rate that the others take
    optimizer = Optimizer.of(network, recipe.lr)
    return _Run(network, copy.deepcopy(network).requires_grad_(False), optimizer)


def _loop(
    run: _Run, seen: Observations, learned: Sequence[int], held: Sequence[int], recipe: Recipe,
    checkpoint: Path, save_every: float,
) -> None:  # fmt: skip
    saved = time.monotonic()
    first, recent = run.step, 0.0
    readings = {round(recipe.steps * (k + 1) / recipe.curve) for k in range(recipe.curve)}
    with StopSignals() as stop, Progress(recipe.steps, done=run.step) as progress:
        for _ in stop.until_signal(range(run.step, recipe.steps)):
            loss = _step(run, *_batch(seen, learned, recipe.batch, recipe, step=run.step), recipe)
            if not math.isfinite(loss):
                raise FitError(f"attack, step {run.step}: the loss is not finite; see {checkpoint}")
            recent = loss if run.step == first + 1 else 0.98 * recent + 0.02 * loss
            if run.step in readings:
                run.curve.append((run.step, _held_out(run.average, seen, held, recipe)))
            progress.show(run.step, _progress_line(recent, run.curve))
            if time.monotonic() - saved > save_every:
                _save(run, seen, recipe, checkpoint)
                saved = time.monotonic()
        _save(run, seen, recipe, checkpoint)
        stop.message = (
            f"attack: stopped at step {run.step} of {recipe.steps} of a training; started again, it goes on "
            f"from {checkpoint}"
        )


def _progress_line(mse: float, curve: Sequence[tuple[int, float]]) -> str:
    held = f", held out {curve[-1][1]:.2f} dB" if curve else ""
    return f"steps, {float(decibels(torch.tensor(mse))):.2f} dB{held}"


def _step(run: _Run, crops: Tensor, points: Tensor, pictures: Tensor, recipe: Recipe) -> float:
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):  # as in featcodec.fitting.loop
        rebuilt = run.network(crops.contiguous(memory_format=torch.channels_last), points)
    loss = F.mse_loss(rebuilt.float(), pictures)
    run.optimizer.set_rate(learning_rate((run.step + 1) / recipe.steps, recipe.lr))
    run.optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
    run.optimizer.step()
    run.step += 1
    follow(run.average, run.network, min(0.995, run.step / (run.step + 10)))
    return float(loss.detach())


def _batch(
    seen: Observations, among: Sequence[int], size: int, recipe: Recipe, *, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Random crops that depend on (seed, step) alone: observations, points, pictures."""
    random = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    crops, points, pictures = [], [], []
    grid = _grid(seen)
    for k in torch.randint(len(among), (size,), generator=random).tolist():
        i = among[k]
        top, left = (
            grid * int(torch.randint((side - recipe.crop) // grid + 1, (1,), generator=random))
            for side in _canvas(seen, i)
        )
        crop, picture = seen.crop(i, top, left, recipe.crop)
        crops.append(crop)
        points.append(seen.point(i))
        pictures.append(unit_floats(picture))
    return torch.stack(crops), torch.tensor(points), torch.stack(pictures)


@torch.no_grad()
def _held_out(network: AttackerNetwork, seen: Observations, held: Sequence[int], recipe: Recipe) -> float:
    """Mean PSNR over the middle crops of held-out photographs."""
    found, grid = [], _grid(seen)
    for i in held:
        top, left = ((side - recipe.crop) // 2 // grid * grid for side in _canvas(seen, i))
        crop, picture = seen.crop(i, top, left, recipe.crop)
        rebuilt = network(crop[None], torch.tensor([seen.point(i)]))[0].clamp(0, 1)
        found.append(float(decibels((rebuilt - unit_floats(picture)).square().mean())))
    return sum(found) / len(found)


def _grid(seen: Observations) -> int:
    return max(GRID, seen.shape[1])


def _canvas(seen: Observations, i: int) -> tuple[int, int]:
    g = seen.geometry(i)
    return g.canvas_height, g.canvas_width


# ---- checkpoints


def _save(run: _Run, seen: Observations, recipe: Recipe, path: Path) -> None:
    about = _about(run.network.kind, seen, recipe, run.network.width)
    about = replace(about, step=run.step, curve=tuple(run.curve), origins=tuple(run.origins))
    state = {
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
    }
    plain = {name: value for name, value in to_plain(about, {}).items() if value is not None}
    save_state(path, plain | state)


def _load(path: Path) -> dict[str, Any]:
    needed = {"network", "average", "optimizer", *(f.name for f in fields(_About))} - {"width"}
    return load_state(path, needed, of="an attack", error=InputError)


def _resume(run: _Run, kept: dict[str, Any], path: Path) -> None:
    about = _About.of(kept, path)
    try:
        run.network.load_state_dict(kept["network"])
        run.average.load_state_dict(kept["average"])
        run.optimizer.load_state_dict(kept["optimizer"])
    except (LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            "got a training begun by another release, expected one of this; remove the file", path=str(path)
        ) from error
    run.step, run.curve = about.step, list(about.curve)
    run.origins = list(dict.fromkeys((*about.origins, *run.origins)))
