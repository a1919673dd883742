"""What a codec file says in words: its configuration, and the canonical JSON that the fingerprint covers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from featcodec.codec.widths import Widths
from featcodec.networks.identity import ModuleConfig, NetworkConfig, check_text, described
from featcodec.networks.packing import Packing
from featcodec.pictures.canvas import Canvas
from featcodec.plf.strict_json import JsonProblem, decode_json

__all__ = ["CodecConfig", "check_config", "check_texts"]

FORMATS = (1, 2)  # of the codec file; 1: transforms without a linear path
LARGEST_NUMBER = 1 << 16  # of channels, pixels
LONGEST_CLASS = 256  # characters


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

    @property
    def feature_stride(self) -> int:
        """Pixels that a position of the features stands for: g_a halves both sides."""
        return self.latent_stride // 2

    @property
    def packing(self) -> Packing | None:
        """How what crosses lies on one grid; None where one tensor crosses as it is."""
        return self.network.packing if isinstance(self.network, ModuleConfig) else None

    @property
    def canvas(self) -> Canvas:
        """How pictures come to the network."""
        return Canvas(self.size, self.stride)

    @staticmethod
    def from_json(text: str) -> CodecConfig:
        """Reads the metadata of a codec file. Raises KeyError, TypeError or ValueError where it is wrong."""
        raw = _object(text)
        if type(raw["format"]) is not int or raw["format"] not in FORMATS:
            raise ValueError(f"got format {raw['format']!r:.40}, expected one of {FORMATS}")
        parts = {"network": described(raw["network"]), "widths": Widths(**raw["widths"])}
        config = CodecConfig(**{**raw, **parts})
        if config.to_json() != text:
            raise ValueError("expected canonical JSON, as the fingerprint is taken over it")
        return config

    def to_json(self) -> str:
        """Canonical: the same configuration gives the same text."""
        raw = asdict(self)
        if raw["network"].get("packing", self) is None:
            del raw["network"]["packing"]  # as files have it that were made before there was one
        return json.dumps(raw, sort_keys=True, separators=(",", ":"))


def _object(text: str) -> dict[str, Any]:
    try:
        raw = decode_json(text.encode())
    except JsonProblem as problem:
        raise ValueError(str(problem)) from problem
    if not isinstance(raw, dict):
        raise TypeError(f"got {type(raw).__name__}, expected a JSON object")
    return raw


def check_config(config: CodecConfig) -> None:
    """Types and ranges, which JSON does not know; those of the network's family it checks itself.

    Raises:
        ValueError: says which one is wrong, and in what.
    """
    numbers = {**asdict(config.widths), "size": config.size, "stride": config.stride}
    for name, value in {**numbers, "latent_stride": config.latent_stride}.items():
        if type(value) is not int or not 1 <= value <= LARGEST_NUMBER:
            raise ValueError(f"{name}: got {value!r:.80}, expected an integer from 1 to {LARGEST_NUMBER}")
    if config.stride % config.latent_stride:
        raise ValueError(f"stride: got {config.stride}, expected a multiple of {config.latent_stride}")
    network = config.network
    kind = network.model if isinstance(network, ModuleConfig) else network.scale
    texts = {"description": config.description, "digest": network.digest}
    check_texts(config.name, classes=network.classes or (), family=network.family, network=kind, **texts)
    if not re.fullmatch(r"[0-9a-f]{64}", network.digest):
        raise ValueError(f"digest: got {network.digest!r:.80}, expected 64 hexadecimal digits")
    packing = config.packing
    if packing:
        packing.check()
        for about in packing.tensors:
            check_text("packing", about.name)
        got = (packing.channels, 2 * packing.stride, packing.side if packing.fixed else config.stride)
        if got != (config.widths.features, config.latent_stride, config.stride):
            raise ValueError(
                f"packing: got channels, stride of latents and of canvas {got}, expected its own"
            )


def check_texts(name: object, *, classes: Sequence[object] = (), **texts: object) -> None:
    """Type, length and characters of what a codec file says in words.

    Args:
        name: of the codec.
        classes: class names by number.
        texts: any others, by what messages call them.

    Raises:
        ValueError: says which one is wrong, and in what.

    Example:
        >>> check_texts("pets", classes=("cat", "dog"), description="Of pets.")
    """
    check_text("name", name)
    if not re.fullmatch(r"[a-z0-9._-]{1,63}", str(name)):
        raise ValueError(f"name: got {name!r:.80}, expected 1 to 63 characters of a-z 0-9 . _ -")
    for what, text in texts.items():
        check_text(what, text)
    for number, label in enumerate(classes):
        check_text(f"class {number}", label, LONGEST_CLASS)
