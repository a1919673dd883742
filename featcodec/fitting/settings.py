"""Everything that makes a fit what it is: the settings, their defaults and their ranges.

What each of them means stands in one place, the help of `featcodec.fit`.
"""

from __future__ import annotations

import json
import math
import os
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from featcodec.codec.config import check_texts
from featcodec.errors import FitError, InputError, MissingExtraError
from featcodec.files import printable, read_file
from featcodec.training.invnet import reconstruction_loss, squared_loss
from featcodec.training.quality_weights import QualityWeights

__all__ = [
    "IMAGENET",
    "Normalise",
    "Options",
    "Settings",
    "channels_of",
    "check_hide",
    "normalise_for",
    "read_settings",
    "shown",
]

Channels = tuple[float, float, float]
Normalise = str | tuple[Channels, Channels] | None

# mean and deviation of red, green and blue, as torchvision's and most of timm's weights want them
IMAGENET: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LARGEST_FILE = 1 << 20


# no slots, here and below: the defaults are read from the classes, by the signature of `fit`
@dataclass(frozen=True, kw_only=True)
class Options:
    """What the loop needs to know; the names are those of `featcodec.fit`."""

    steps: int = 2000
    lr: float = 3e-4
    optimizer: Literal["muon", "adamw"] = "muon" if hasattr(torch.optim, "Muon") else "adamw"
    quality_weights: tuple[float, float] = (0.3, 30.0)
    quality_bend: float = 1.6
    balance: float = 0.5
    average: float = 0.998
    feature_weight: float = 0.1
    output_weight: float = 0.0
    tune_tail: bool = False
    warm_up: float = 0.0
    privacy: float = 0.0
    linear_privacy: float = 0.0
    hide_weight: float = 1.0
    adversary_loss: Literal["edges", "squared"] = "edges"
    beta: float = 5.0
    adversaries: int = 1
    adversary_lr: float = 1e-3
    adversary_head_start: int = 200
    adversary_steps: int = 1
    adversary_restart: int = 0
    bf16: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        _check_types(self)
        least = {
            "steps": 0, "lr": 0.0, "balance": 0.0, "average": 0.0, "feature_weight": 0.0, "warm_up": 0.0,
            "output_weight": 0.0, "privacy": 0.0, "linear_privacy": 0.0, "hide_weight": 0.0, "beta": 0.0,
            "adversaries": 1,
            "adversary_lr": 0.0, "adversary_head_start": 0, "adversary_steps": 1, "adversary_restart": 0,
        }  # fmt: skip
        for name, value in least.items():
            if not value <= getattr(self, name) < float("inf"):
                raise FitError(f"{name}: got {getattr(self, name)!r}, expected a number of at least {value}")
        if self.average >= 1:
            raise FitError(f"average: got {self.average!r}, expected a number below 1")
        low, high = self.quality_weights
        if not 0 < low <= high < float("inf"):
            raise FitError(
                f"quality_weights: got {self.quality_weights!r}, expected two rising numbers above 0"
            )
        if not 0 < self.quality_bend < float("inf"):
            raise FitError(f"quality_bend: got {self.quality_bend!r}, expected a number above 0")

    @property
    def weights(self) -> QualityWeights:
        """Of the task at the qualities."""
        return QualityWeights(*self.quality_weights, self.quality_bend)

    def rebuilt(self, got: Tensor, picture: Tensor) -> Tensor:
        """The adversaries' loss (B,) of pictures (B, 3, H, W) that were rebuilt."""
        if self.adversary_loss == "squared":
            return squared_loss(got, picture)
        return reconstruction_loss(got, picture, self.beta)

    def warming_up(self, step: int) -> bool:
        """Whether a step is one of those in which the task's metric stands in for its tail."""
        return step < self.warm_up * self.steps

    @property
    def head_start(self) -> int:
        """Steps before the codec moves."""
        return self.adversary_head_start if self.privacy > 0 else 0


@dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Options of the loop, and what is fitted to what; the names are those of `featcodec.fit`."""

    at: str | int
    model: str
    normalise: Normalise = None
    name: str = "mine"
    description: str = ""
    size: int = 256
    crop: int | None = None
    hold_out: int = 0
    batch: int = 8
    latents: int | None = None
    analysis: int = 64
    synthesis: int = 80
    workers: int = 0
    erase: int = 0
    start: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None
    hide: str | os.PathLike[str] | None = None
    hide_images: str | os.PathLike[str] | None = None
    hide_crop: float = 0.5
    hide_hold_out: int = 0
    classes: Sequence[str] | None = None
    confidence: float | None = None
    embed_network: bool = False

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        least = {
            "size": 32, "crop": 32, "hold_out": 0, "batch": 1, "latents": 1, "analysis": 1, "synthesis": 1,
            "workers": 0, "erase": 0, "hide_hold_out": 0,
        }  # fmt: skip
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"{name}: got {value!r}, expected an integer of at least {low}")
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise InputError(f"confidence: got {self.confidence!r}, expected a number between 0 and 1")
        if self.embed_network and self.classes is None:
            raise InputError(
                "embed_network: got no classes, expected the names of the network's classes, too"
            )
        check_hide(self.hide, self.hide_images)
        if not 0 < self.hide_crop <= 1:
            raise InputError(f"hide_crop: got {self.hide_crop!r}, expected a number above 0, at most 1")
        try:  # before a long fit, not when its codec is written
            check_texts(self.name, classes=self.classes or (), description=self.description, model=self.model)
        except ValueError as error:
            raise InputError(str(error)) from error
        channels_of(self.normalise)

    @property
    def starts(self) -> Sequence[str | os.PathLike[str]]:
        """The codecs to start from; none: afresh."""
        return (self.start,) if isinstance(self.start, str | os.PathLike) else self.start or ()

    @property
    def options(self) -> Options:
        """What the loop needs to know."""
        return Options(**{field.name: getattr(self, field.name) for field in fields(Options)})


# ---- types


def _check_types(settings: Options) -> None:
    """Raises InputError for a value of another type than its annotation says."""
    kinds = typing.get_type_hints(type(settings))
    for name, kind in kinds.items():
        value = getattr(settings, name)
        if name != "normalise" and not _fits(value, kind):  # that is checked as a whole
            raise InputError(
                f"{name}: got {shown(value)}, expected {_WORDS.get(name) or _type_in_words(kind)}"
            )


_WORDS = {"start": "a codec or a list of them", "classes": "a list of names"}


def _fits(value: object, kind: Any) -> bool:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        return isinstance(value, list | tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    if origin is Sequence:
        return isinstance(value, list | tuple) and all(_fits(one, inner[0]) for one in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _type_in_words(kind: Any) -> str:
    """A type in words."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(_type_in_words(one) for one in inner))
    if origin is Literal:
        return " or ".join(inner)
    if origin is tuple:
        return f"{len(inner)} numbers"
    if origin is Sequence:
        return f"a list of {_type_in_words(inner[0])}"
    words = {int: "an integer", float: "a number", bool: "True or False", str: "text", types.NoneType: "None"}
    return words.get(kind, "a path")


def shown(value: object) -> str:
    """A value in a message; of what is large, its type."""
    if value is None or isinstance(value, bool | int | float | str | tuple | list):
        text = repr(value)
        if len(text) <= 80:
            return text
    return type(value).__name__


def check_hide(model: object, images: object) -> None:
    """Raises InputError where only one is given of a network to hide from and pictures to hide.

    Example:
        >>> check_hide("faces.onnx", None)
        Traceback (most recent call last):
        featcodec.errors.InputError: hide: got no hide_images, expected pictures on which the output of \
faces.onnx must not be inferable
    """
    if model is not None and images is None:
        expected = f"pictures on which the output of {printable(str(model))} must not be inferable"
        raise InputError(f"hide: got no hide_images, expected {expected}")
    if images is not None and model is None:
        raise InputError("hide_images: got no hide, expected a network whose output must not be inferable")


def channels_of(normalise: Normalise) -> tuple[Channels, Channels]:
    """Mean and deviation of the three channels.

    Raises:
        InputError: neither a known name nor two times three numbers, deviations above 0.

    Example:
        >>> channels_of(None)
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    """
    if normalise is None:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if normalise == "imagenet":
        return IMAGENET
    try:
        mean, deviation = (tuple(float(v) for v in channels) for channels in normalise)
        finite = all(map(math.isfinite, (*mean, *deviation)))
        if len(mean) == len(deviation) == 3 and min(deviation) > 0 and finite:
            return mean, deviation
    except (TypeError, ValueError):
        pass
    got = shown(normalise)
    raise InputError(f"normalise: got {got}, expected imagenet, None or three means and deviations")


def normalise_for(model: str, network: nn.Module) -> Normalise:
    """What pictures are normalised by for a network by its name, unless its owner says otherwise.

    Args:
        model: the name, as `featcodec.networks.by_name.network_by_name` takes it.
        network: what has that name. Detectors of torchvision normalise what they get themselves.

    Example:
        >>> normalise_for("timm:resnet18", nn.Identity()), normalise_for("yolov5s", nn.Identity())
        ('imagenet', None)
    """
    does_itself = any(hasattr(m, "image_mean") and hasattr(m, "image_std") for m in network.modules())
    return "imagenet" if model.startswith(("torchvision:", "timm:")) and not does_itself else None


def read_settings(path: str | Path, known: set[str]) -> dict[str, Any]:
    """The settings in a JSON or TOML file, by name.

    Args:
        path: ends in ``.toml`` for TOML.
        known: names that there may be.

    Raises:
        InputError: no such file, not what its ending says, or a name that is not known.
        MissingExtraError: TOML, before Python 3.11, without tomli.
    """
    text = read_file(path, LARGEST_FILE)
    try:
        found = _toml(text) if Path(path).suffix.lower() == ".toml" else json.loads(text)
        if not isinstance(found, dict):
            raise ValueError(f"got {type(found).__name__}, expected names and values")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"expected settings of a fit: {' '.join(str(error).split())}", path=str(path)
        ) from error
    unknown = sorted(set(found) - known)
    if unknown:
        raise InputError(
            f"got {', '.join(unknown)}, expected some of {', '.join(sorted(known))}", path=str(path)
        )
    return found


def _toml(text: bytes) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError as error:  # before Python 3.11
        raise MissingExtraError("TOML needs Python 3.11; a JSON file does as well") from error
    return tomllib.loads(text.decode())
