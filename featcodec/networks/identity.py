"""Which network it is: what a codec file says of the network that it was fitted to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featcodec.errors import InputError
from featcodec.networks.packing import Packing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["ModuleConfig", "NetworkConfig", "check_text", "described", "network_digest", "update_digest"]

MODULE = "module"  # the family of every network that is of no other
LONGEST_TEXT = 1024  # characters of a description, a model, a layer

Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """A detector of a family that featcodec knows, cut.

    Attributes:
        family: its name, such as ``"yolov5"`` or ``"yolox"``.
        scale: member of the family.
        classes: class names by number.
        at: the layer after which it is cut.
        digest: SHA-256 over its weights as float16, hexadecimal.
        confidence: score in (0, 1) from which a box is worth showing, chosen on held-out pictures.
    """

    family: str
    scale: str
    classes: tuple[str, ...]
    at: int | str
    digest: str
    confidence: float = 0.25

    def __str__(self) -> str:
        # as their owners write them: yolov5s, yolox-s
        return f"{self.family}{'-' if self.family.isalpha() else ''}{self.scale}"

    @property
    def kind(self) -> str:
        """The network in words, such as ``"yolov5s of 80 classes"``."""
        count = len(self.classes)
        return f"{self} of {count:,} class{'' if count == 1 else 'es'}"


@dataclass(frozen=True, slots=True)
class ModuleConfig:
    """Any other network, cut. Its owner brings it; the file says which one.

    Attributes:
        family: ``"module"``.
        model: what its owner calls it, as ``featcodec layers`` takes it where that is possible.
        at: the layer after which it is cut, as `featcodec.split` takes it.
        digest: SHA-256 over its weights as float16, hexadecimal.
        mean, deviation: of red, green and blue, that pictures in [0, 1] are normalised by.
        packing: how what crosses lies on one grid; None where one tensor (B, C, h, w) crosses as it is.
    """

    family: str
    model: str
    at: str
    digest: str
    mean: Channels = (0.0, 0.0, 0.0)
    deviation: Channels = (1.0, 1.0, 1.0)
    packing: Packing | None = None

    @property
    def classes(self) -> tuple[str, ...] | None:
        """None: what the network tells apart, if anything, only its owner knows."""
        return None

    @property
    def kind(self) -> str:
        """The network in words."""
        return self.model

    def __str__(self) -> str:
        return self.model


def described(raw: dict[str, Any]) -> NetworkConfig | ModuleConfig:
    """The network that a codec file describes; what its family finds wrong with it is not looked for.

    Raises:
        KeyError, TypeError: fields are missing, or others are there.
    """
    if raw["family"] == MODULE:
        packing = Packing.from_json(raw["packing"]) if "packing" in raw else None
        colours = {name: tuple(raw[name]) for name in ("mean", "deviation")}
        return ModuleConfig(**{**raw, **colours, "packing": packing})
    return NetworkConfig(**{**raw, "classes": tuple(raw["classes"])})


def check_text(name: str, text: object, longest: int = LONGEST_TEXT) -> None:
    """Type, length and encoding of a text in a codec file, which a message or a drawing may show one day.

    Raises:
        ValueError: says what is wrong.
    """
    if type(text) is not str:
        raise ValueError(f"{name}: got {type(text).__name__}, expected text")
    if len(text) > longest:
        raise ValueError(f"{name}: got {len(text):,} characters, expected at most {longest:,}")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError(f"{name}: got half of a surrogate pair, expected Unicode text")


def network_digest(network: nn.Module) -> str:
    """SHA-256 over a network's weights, in float32 and then as float16, hexadecimal.

    The same for a network and its float16 copy. Of one in float64 or bfloat16 it is that of its float32 copy,
    which is what a codec works with. A float32 network's copy in bfloat16 has other weights, another digest.

    Raises:
        InputError: the network is on the meta device, and has no weights.
    """
    from torch import Tensor

    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if isinstance(value, Tensor) and value.is_floating_point():
            if value.is_meta:
                raise InputError(f"network: got {name} on the meta device, expected weights")
            update_digest(digest, name, value.detach().float().half().cpu().numpy())
    return digest.hexdigest()


def update_digest(digest: Any, name: str, value: NDArray[Any]) -> None:
    """Adds a tensor to a hash of `hashlib`: its name, type as torch calls it, shape and numbers."""
    digest.update(f"{name}|torch.{value.dtype}|{value.shape}|".encode())
    digest.update(value.tobytes())  # in C order; little-endian on every platform that torch supports
