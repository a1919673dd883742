"""Where a fit starts: in closed form, or the weights of an earlier codec or of several; and a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from featcodec.codec.codec_file import CodecFile
from featcodec.console import Progress
from featcodec.errors import FeatcodecError, FitError
from featcodec.fitting.tasks import Task, TaskMetric
from featcodec.networks.compared import jacobian_sketch
from featcodec.plf.header import QUALITIES
from featcodec.training.closed_form import Statistics, set_transforms, statistics
from featcodec.training.decoder_start import start_decoder
from featcodec.training.entropy_start import fit_prior, start_entropy_model
from featcodec.training.erasure import erase
from featcodec.training.hyperprior import CodecModel
from featcodec.training.quality_weights import QualityWeights
from featcodec.training.states import load_state, save_state
from featcodec.training.widening import widen

__all__ = [
    "check_start",
    "find_statistics",
    "mean_tail",
    "metric_task",
    "set_closed_form",
    "set_codec",
    "set_statistics",
    "set_weights",
]

START_QUALITY = 4
VERSION = 2  # of the statistics, which are kept
SKETCHED = 8  # pictures in a backward pass
LATENTS = 48  # pictures that the entropy model starts from


@torch.no_grad()
def set_statistics(model: CodecModel, features: Tensor) -> None:
    """Sets the channel statistics of g_a and g_s from features (B, C, h, w) of training pictures."""
    deviation = features.std((0, 2, 3))
    least = max(0.02 * float(deviation.median()), 1e-4)  # channels that hardly move must not be blown up
    for transform in (model.g_a, model.g_s):
        transform.mean.copy_(features.mean((0, 2, 3)))
        transform.deviation.copy_(deviation.clamp(min=least))


def find_statistics(
    task: Task,
    features: Tensor,
    *,
    pixels: int,
    feature_weight: float,
    seed: int,
    kept: Path | None,
    identity: str,
) -> Statistics:
    """Statistics of features and what the task says of them; from a file, if it has them of the same.

    Args:
        task: whose tail is sketched.
        features: (B, C, h, w) of training pictures.
        pixels: of a picture's canvas.
        feature_weight: share of the features' own error.
        seed: of the sketches.
        kept: the file that they are kept in.
        identity: of network, cut, pictures and task, in words.
    """
    identity = f"{VERSION} {identity} {tuple(features.shape)} {pixels} {feature_weight} {seed}"
    names = [field.name for field in fields(Statistics)]
    if kept and kept.exists():
        try:
            found = load_state(
                kept, {"identity", *names}, of="statistics", error=FitError, where=features.device
            )
        except FeatcodecError:
            found = {"identity": ""}  # measured again
        if found["identity"] == identity:
            return Statistics(*(found[name] for name in names))
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():  # is there anything beside the features that counts?
        alone = not len(task.compared(features[:1].clone().requires_grad_()))
    parts = () if alone else features.split(SKETCHED)
    sketches = []
    with Progress(len(parts)) as progress:
        for number, part in enumerate(parts):
            progress.show(number, f"parts of {SKETCHED} pictures sketched, for the closed form")
            sketches.append(jacobian_sketch(task.compared, part, generator))
    measured = statistics(
        features,
        torch.cat(sketches or [features[:0]]),
        pixels=pixels,
        feature_weight=1.0 if alone else feature_weight,
    )
    if kept:
        save_state(kept, {"identity": identity, **{name: getattr(measured, name) for name in names}})
    return measured


def metric_task(found: Statistics, stride: int) -> TaskMetric:
    """The task's metric as a task, for features at a stride in pixels."""
    return TaskMetric(found.root(), stride)


def set_closed_form(
    model: CodecModel,
    found: Statistics,
    features: Tensor,
    weights: QualityWeights,
    *,
    pictures: Tensor | None = None,
    erased: int = 0,
) -> None:
    """Makes a fresh model a working codec: see `featcodec.training.closed_form`.

    Args:
        model: fresh.
        found: statistics of the features.
        features: (B, C, h, w) of training pictures.
        weights: of the task at the qualities.
        pictures: (B, 3, H, W) in [0, 1], for an erasure.
        erased: directions that are taken out: see `featcodec.training.erasure`.
    """
    set_statistics(model, features)
    keep = None
    if erased and pictures is not None:
        found, keep = erase(found, features, pictures, erased)
    set_transforms(model, found, weights, keep)
    with torch.no_grad():
        y = model.g_a(features[:LATENTS])
    start_entropy_model(model, y)
    quality = torch.tensor(QUALITIES)
    start_decoder(model, found, features, weights.at(quality).sqrt())


def set_weights(
    model: CodecModel,
    files: Sequence[CodecFile],
    features: Tensor,
    wider: tuple[Statistics, QualityWeights] | None = None,
) -> None:
    """Sets the weights to those of a finished codec, or to the mean of several.

    A codec file keeps of the factorized prior what it says of whole numbers only: the prior is fitted
    afresh, to the side information of some pictures.

    Args:
        model: of the files' widths; it may have more latents.
        files: as `set_codec` takes them.
        features: (B, C, h, w) of training pictures.
        wider: for more latents, statistics of the features and the task's weights at the qualities: see
            `featcodec.training.widening`.
    """
    set_codec(model, files)
    count = files[0].config.widths.latents
    if wider and count < model.widths.latents:
        widen(model, count, wider[0], features, wider[1])
    with torch.no_grad():
        y = model.g_a(features[:LATENTS])
    fit_prior(model, y)


@torch.no_grad()
def set_codec(model: CodecModel, files: Sequence[CodecFile]) -> None:
    """Sets what a codec file keeps, all but the prior of z; what more latents add is 0.

    Codecs that were fitted on from one another lie in one basin, and their mean lies lower in it than each of
    them (`Wortsman et al. 2022 <https://arxiv.org/abs/2203.05482>`_).

    Args:
        model: of the files' widths; it may have more latents.
        files: the codecs, of which the mean is taken; one at least.
    """
    h_s = (
        _wider([_mean(layer) for layer in zip(*(getattr(f, kind) for f in files), strict=True)], list(own))
        for kind, own in (("h_s_weights", model.h_s.weights), ("h_s_biases", model.h_s.biases))
    )
    model.h_s.set_integers(*h_s)
    for name in ("g_a", "g_s", "h_a"):
        states = [getattr(file, name).state_dict() for file in files]
        mean = {key: _mean([s[key] for s in states]) for key in states[0]}
        own = getattr(model, name).state_dict()  # a codec of format 1 has no linear path
        every = {key: _into(value, mean[key]) if key in mean else 0 * value for key, value in own.items()}
        getattr(model, name).load_state_dict(every)
    gains = _mean([-file.tensors["inverse_gains"].log2() for file in files])
    model.log_gain.copy_(_into(model.log_gain, gains))


def mean_tail(files: Sequence[CodecFile]) -> dict[str, Tensor]:
    """The mean of the tuned tails of codecs, by the parameters' names; none where none of them has one.

    Raises:
        ValueError: they have different parameters.
    """
    tails = [file.tail for file in files]
    if any(tail.keys() != tails[0].keys() for tail in tails):
        raise ValueError("got codecs whose tails have different parameters tuned, expected the same")
    return {name: _mean([tail[name] for tail in tails]).float() for name in (tails[0] if tails else ())}


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).double().mean(0)


def _into(shape: Tensor, values: Tensor) -> Tensor:
    """Values at the beginning of zeros of a shape that is as large or larger, along each dimension."""
    out = torch.zeros_like(shape, dtype=values.dtype)
    out[tuple(slice(n) for n in values.shape)] = values
    return out


def _wider(layers: Sequence[Tensor], own: Sequence[Tensor]) -> list[Tensor]:
    """Layers of h_s for as many latents as its own: the last one has rows of indexes, then of means."""
    *inner, last = (_into(shape, layer) for layer, shape in zip(layers, own, strict=True))
    index, mean = layers[-1].chunk(2)
    rows = len(last) // 2
    last.zero_()
    last[: len(index)], last[rows : rows + len(mean)] = index, mean
    return [*inner, last]


@torch.no_grad()
def check_start(model: CodecModel, task: Task, features: Tensor, labels: Any) -> None:
    """Tries the objective on features (B, C, h, w), before anything is trained.

    Raises:
        FitError: rate or distortion is not finite.
    """
    coded = model(features, torch.full((len(features),), float(START_QUALITY), device=features.device))
    d = task.distortion(coded.f_hat, task.target(features, labels))
    for name, values in (("rate", coded.bits_y + coded.bits_z), ("distortion", d)):
        if not bool(torch.isfinite(values).all()):
            raise FitError(f"the {name} is not finite before the first step: got {values.tolist()}")
