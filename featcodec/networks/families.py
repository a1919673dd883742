"""The families of networks that featcodec knows, in one list; any other network is cut by tracing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from featcodec.errors import CodecFileError, InputError
from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.identity import ModuleConfig, NetworkConfig
from featcodec.networks.module_family import ModuleFamily
from featcodec.networks.modules import frozen_copy
from featcodec.networks.onnx_files import Convolution
from featcodec.networks.yolov5_family import YOLOv5Family
from featcodec.networks.yolox_family import YOLOXFamily
from featcodec.pictures.canvas import Canvas

__all__ = ["FAMILIES", "Family", "NetworkWish", "cut_network", "default_cut", "describe", "family_of"]

LEAST_STRIDE = 32  # of a canvas: what most networks halve their pictures to


@dataclass(frozen=True, slots=True)
class NetworkWish:
    """How a network is to be cut, in the words of whoever brings it.

    Attributes:
        at: the layer that it is cut after: a name as `featcodec.split` takes it, or a number.
        model: what its owner calls it.
        classes: class names by number, of a detector; its family's own unless given.
        confidence: score in (0, 1) from which a box is worth showing.
        mean, deviation: of red, green and blue, that pictures in [0, 1] are normalised by.
    """

    at: str | int
    model: str
    classes: tuple[str, ...] | None = None
    confidence: float = 0.25
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Family(Protocol):
    """One kind of network.

    Attributes:
        name: as in a codec file.
        members: names by which a user can ask for a network of it, such as ``"yolov5s"``.
        embeds: whether a codec file can hold a network of it.
        default_cut: layer that its networks are cut after unless somebody says another one, or None.
    """

    @property
    def name(self) -> str: ...
    @property
    def members(self) -> tuple[str, ...]: ...
    @property
    def embeds(self) -> bool: ...
    @property
    def default_cut(self) -> str | int | None: ...

    def owns(self, network: object) -> bool:
        """Whether the network is one of the family."""
        ...

    def recognises(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether these are weights of the family, by the names of some."""
        ...

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        """The network whose weights these are, from somebody's file; raises `Unusable` if of none."""
        ...

    def from_convolutions(self, convolutions: Sequence[Convolution]) -> nn.Module | None:
        """The network whose convolutions an ONNX file has; None where they are of none of the family, raises
        `Unusable` where they only begin like one."""
        ...

    def make(self, member: str) -> nn.Module:
        """A network with random weights, by its name among `members`."""
        ...

    def describe(self, network: Any, wish: Any) -> NetworkConfig | ModuleConfig:
        """Which network it is, for a codec file; raises InputError where it cannot be as wished."""
        ...

    def check(self, config: Any) -> None:
        """Types and ranges of what a codec file says; raises ValueError or SplitError."""
        ...

    def kind(self, network: Any) -> str:
        """A network in words, as `NetworkConfig.kind` has them: for who brought another one than that."""
        ...

    def restore(self, config: Any, tensors: Mapping[str, Tensor]) -> nn.Module:
        """The network whose tensors a codec file holds; raises `Unusable` if they are not its own."""
        ...

    def cut(self, network: Any, config: Any, canvas: Canvas) -> CutNetwork:
        """Cuts a frozen copy that it may change; raises SplitError or InputError."""
        ...


# the first that owns a network counts; the last owns them all
FAMILIES: tuple[Family, ...] = (YOLOv5Family(), YOLOXFamily(), ModuleFamily())


def family_of(network: nn.Module) -> Family:
    """The family of a network."""
    return next(family for family in FAMILIES if family.owns(network))


def default_cut(network: nn.Module) -> str | int:
    """The layer that a network is cut after where nobody says which.

    Raises:
        InputError: it is of no family that has one.

    Example:
        >>> from featcodec.networks.yolox import YOLOX
        >>> default_cut(YOLOX("nano"))
        'dark3'
    """
    at = family_of(network).default_cut
    if at is None:
        raise InputError(f"at: got none for a {type(network).__name__}, expected the layer to cut after")
    return at


def family_named(name: str) -> Family:
    """The family by its name in a codec file.

    Raises:
        ValueError: there is none.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise ValueError(f"network: got {name!r}, expected one of {', '.join(f.name for f in FAMILIES)}")


def describe(network: nn.Module, wish: NetworkWish) -> NetworkConfig | ModuleConfig:
    """Which network it is and how it is cut, for a codec file.

    Raises:
        InputError: it cannot be cut as wished.
    """
    return family_of(network).describe(network, wish)


def cut_network(
    network: nn.Module,
    config: NetworkConfig | ModuleConfig,
    *,
    size: int,
    stride: int | None = None,
    device: torch.device | str = "cpu",
) -> CutNetwork:
    """A frozen copy of a network in float32, cut.

    Args:
        network: as it is; it is not changed.
        config: which one it is, by `describe` or from a codec file.
        size: longest side in pixels that pictures are scaled down to.
        stride: pixels that both sides of a canvas are multiples of; unless given, 32, or more where latents
            of twice the crossing tensor's stride want it.
        device: that the copy is for.

    Raises:
        CodecFileError: a network of another family than `config` says.
        SplitError: it cannot be cut there, or more than one tensor crosses.
    """
    family = family_of(network)
    if family.name != config.family:
        raise CodecFileError(f"got {type(network).__name__}, expected a {config}")
    own = frozen_copy(network, device=device)
    cut = family.cut(own, config, Canvas(size, stride or LEAST_STRIDE))
    if stride is None:
        latent = 2 * cut.crossing[0].stride
        cut = cut.with_canvas(Canvas(size, -(-max(cut.canvas.stride, latent) // latent) * latent))
    return cut
