"""Everything that makes a fit what it is, in a file that reproduces it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from featcodec.errors import InputError, MissingExtraError
from featcodec.files import read_file
from featcodec.fitting.run import Options

__all__ = ["IMAGENET", "Normalise", "Settings", "channels_of", "read_settings"]

Channels = tuple[float, float, float]
Normalise = str | tuple[Channels, Channels] | None

# mean and deviation of red, green and blue, as torchvision's and most of timm's weights want them
IMAGENET: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LARGEST_FILE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Options):
    """Options of the loop, and what is fitted to what.

    Attributes:
        at: the layer that the network is cut after.
        model: what the network is called.
        normalise: ``"imagenet"``, mean and deviation of three channels, or None for pictures in [0, 1].
        name: of the codec, as its files carry it.
        description: one line for people.
        size: longest side that pictures are scaled down to in use; they are fitted to at about this scale.
        crop: side of the training canvas; about `size` unless given. A smaller one takes less time a step.
        hold_out: every so many pictures of a folder, by name, one is left out, to choose by; 0: none.
        batch: pictures a step, in each process.
        latents: channels of what is coded.
        analysis, synthesis: channels inside g_a and g_s.
        workers: processes that prepare pictures; 0: the one that fits.
        start: codec, by name or path, whose weights and widths the fit starts from, or several of the same
            widths, from the mean of whose weights; the closed form unless given.
        classes: of a YOLOv5, by number; of one with 80 those of COCO unless given.
    """

    at: str | int
    model: str
    normalise: Normalise = None
    name: str = "mine"
    description: str = ""
    size: int = 256
    crop: int | None = None
    hold_out: int = 0
    batch: int = 8
    latents: int = 128
    analysis: int = 64
    synthesis: int = 80
    workers: int = 0
    start: str | Sequence[str] | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        least = {
            "size": 32, "crop": 32, "hold_out": 0, "batch": 1, "latents": 1, "analysis": 1, "synthesis": 1,
            "workers": 0,
        }  # fmt: skip
        for name, low in least.items():
            value = getattr(self, name)
            if (type(value) is not int or value < low) and (name, value) != ("crop", None):
                raise InputError(f"{name}: got {value!r}, expected an integer of at least {low}")
        if self.start is not None and not _names(self.starts):
            raise InputError(f"start: got {self.start!r}, expected a codec or a list of them")
        if self.classes is not None and not _names(self.classes):
            raise InputError(f"classes: got {self.classes!r}, expected a list of names")
        channels_of(self.normalise)

    @property
    def starts(self) -> Sequence[str]:
        """The codecs to start from; none: afresh."""
        return (self.start,) if isinstance(self.start, str) else self.start or ()

    @property
    def options(self) -> Options:
        """What the loop needs to know."""
        return Options(**{field.name: getattr(self, field.name) for field in fields(Options)})

    def to_json(self) -> dict[str, Any]:
        """By the names that `featcodec.fitting.fit.fit` takes."""
        return asdict(self)


def _names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


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
        if len(mean) == len(deviation) == 3 and min(deviation) > 0:
            return mean, deviation
    except (TypeError, ValueError):
        pass
    raise InputError(f"normalise: got {normalise!r}, expected imagenet, None or three means and deviations")


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
        raise InputError(f"{path}: expected settings of a fit: {' '.join(str(error).split())}") from error
    unknown = sorted(set(found) - known)
    if unknown:
        raise InputError(f"{path}: got {', '.join(unknown)}, expected some of {', '.join(sorted(known))}")
    return found


def _toml(text: bytes) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError as error:  # before Python 3.11
        raise MissingExtraError("TOML needs Python 3.11; a JSON file does as well") from error
    return tomllib.loads(text.decode())
