"""What a codec file says in words: its configuration, and the canonical JSON that the fingerprint covers."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from typing import Any, get_args

from featcodec.codec.transforms import Widths
from featcodec.networks.yolov5 import Scale
from featcodec.networks.yolov5_split import crossing_layers

__all__ = ["CodecConfig", "ModuleConfig", "NetworkConfig", "check_config"]

FORMATS = (1, 2)  # of the codec file; 1: transforms without a linear path
LARGEST_NUMBER = 1 << 16  # of channels, pixels


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The YOLOv5 network that is cut.

    Attributes:
        family: ``"yolov5"``.
        scale: member of the family.
        classes: class names by number.
        at: the layer after which it is cut.
        digest: SHA-256 over its weights as float16, hexadecimal.
        confidence: score in (0, 1) from which a box is worth showing, chosen on held-out pictures.
    """

    family: str
    scale: Scale
    classes: tuple[str, ...]
    at: int
    digest: str
    confidence: float = 0.25

    def __str__(self) -> str:
        return f"{self.family}{self.scale}"


@dataclass(frozen=True, slots=True)
class ModuleConfig:
    """Any other network that is cut. Its owner brings it; the file says which one.

    Attributes:
        family: ``"module"``.
        model: what its owner calls it, as ``featcodec layers`` takes it where that is possible.
        at: the layer after which it is cut, as `featcodec.split` takes it.
        digest: SHA-256 over its weights as float16, hexadecimal.
        mean, deviation: of red, green and blue, that pictures in [0, 1] are normalised by.
    """

    family: str
    model: str
    at: str
    digest: str
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __str__(self) -> str:
        return self.model


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """What a codec file says in words.

    Attributes:
        name: 1 to 63 characters of a-z, 0-9, ``.``, ``_``, ``-``; goes into every ``.plf``.
        description: one line for people.
        network: the network that is cut.
        widths: channel counts.
        size: longest side in pixels that pictures are scaled down to.
        stride: pixels that the canvas is a multiple of.
        latent_stride: pixels a latent stands for.
        format: version of the codec file, 1 or 2.
    """

    name: str
    description: str
    network: NetworkConfig | ModuleConfig
    widths: Widths
    size: int = 416
    stride: int = 32
    latent_stride: int = 16
    format: int = FORMATS[-1]

    @staticmethod
    def from_json(text: str) -> CodecConfig:
        """Reads the metadata of a codec file. Raises KeyError, TypeError or ValueError where it is wrong."""
        raw: dict[str, Any] = json.loads(text)
        if type(raw["format"]) is not int or raw["format"] not in FORMATS:
            raise ValueError(f"got format {raw['format']!r}, expected one of {FORMATS}")
        config = CodecConfig(
            **{**raw, "network": _network(raw["network"]), "widths": Widths(**raw["widths"])}
        )
        if config.to_json() != text:
            raise ValueError("expected canonical JSON, as the fingerprint is taken over it")
        return config

    def to_json(self) -> str:
        """Canonical: the same configuration gives the same text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def _network(raw: dict[str, Any]) -> NetworkConfig | ModuleConfig:
    if raw["family"] == "module":
        return ModuleConfig(**{**raw, "mean": tuple(raw["mean"]), "deviation": tuple(raw["deviation"])})
    return NetworkConfig(**{**raw, "classes": tuple(raw["classes"])})


def check_config(config: CodecConfig) -> None:
    """Types and ranges, which JSON does not know; raises ValueError, or SplitError where no layer is cut."""
    numbers = {**asdict(config.widths), "size": config.size, "stride": config.stride}
    for name, value in {**numbers, "latent_stride": config.latent_stride}.items():
        if type(value) is not int or not 1 <= value <= LARGEST_NUMBER:
            raise ValueError(f"{name}: got {value!r}, expected an integer from 1 to {LARGEST_NUMBER}")
    if config.stride % config.latent_stride:
        raise ValueError(f"stride: got {config.stride}, expected a multiple of {config.latent_stride}")
    network = config.network
    classes = network.classes if isinstance(network, NetworkConfig) else (network.model, network.at)
    texts = config.name, config.description, network.digest, *classes
    if not all(type(text) is str for text in texts) or not classes:
        raise ValueError("name, description, digest and classes: expected text, and at least one class")
    if not re.fullmatch(r"[a-z0-9._-]{1,63}", config.name):
        raise ValueError(f"name: got {config.name!r}, expected 1 to 63 characters of a-z 0-9 . _ -")
    if isinstance(network, NetworkConfig):
        _check_yolov5(network)
    else:
        _check_module(network)


def _check_yolov5(network: NetworkConfig) -> None:
    if network.family != "yolov5" or network.scale not in get_args(Scale):
        raise ValueError(f"network: got {network.family!r} {network.scale!r}, expected a known one")
    if type(network.confidence) is not float or not 0 < network.confidence < 1:
        raise ValueError(f"confidence: got {network.confidence!r}, expected a number between 0 and 1")
    if type(network.at) is not int or len(crossing_layers(network.at)) != 1:
        raise ValueError(f"network: got a cut at {network.at!r}, expected a layer where one tensor crosses")


def _check_module(network: ModuleConfig) -> None:
    if network.family != "module":
        raise ValueError(f"network: got {network.family!r}, expected a known one")
    for name, values in (("mean", network.mean), ("deviation", network.deviation)):
        if len(values) != 3 or not all(type(v) is float and math.isfinite(v) for v in values):
            raise ValueError(f"{name}: got {values!r}, expected three numbers")
    if min(network.deviation) <= 0:
        raise ValueError(f"deviation: got {network.deviation!r}, expected numbers above 0")
