"""Any network of one picture: cut by tracing it, what crosses laid on one grid, pictures normalised first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from featcodec.errors import InputError
from featcodec.networks.cut_network import CrossingTensor
from featcodec.networks.identity import MODULE, ModuleConfig, check_text, network_digest
from featcodec.networks.onnx_files import Convolution
from featcodec.networks.packed import pack, unpack
from featcodec.networks.packing import Packing
from featcodec.networks.pickle_records import Unusable
from featcodec.networks.split import Cut, example_picture, split
from featcodec.pictures.canvas import Canvas

__all__ = ["ModuleCut", "ModuleFamily"]

STRIDES = (2, 4, 8, 16, 32)  # that the tensor that crosses may have


@dataclass(frozen=True, slots=True)
class ModuleCut:
    """A traced network that takes pictures in [0, 1]: a `featcodec.networks.cut_network.CutNetwork`.

    Attributes:
        cut: the network, cut.
        config: which one it is, and what pictures are normalised by.
        canvas: how pictures come to it.
    """

    cut: Cut
    config: ModuleConfig
    canvas: Canvas
    detector: None = None

    @property
    def network(self) -> nn.Module:
        """The whole network."""
        return self.cut.network

    @property
    def crossing(self) -> tuple[CrossingTensor, ...]:
        """What crosses, as one tensor."""
        packing = self.config.packing
        if packing:
            return (CrossingTensor(self.cut.at, packing.channels, packing.stride),)
        channels, stride = self.cut.features()
        return (CrossingTensor(self.cut.only, channels, stride),)

    def head(self, x: Tensor) -> tuple[Tensor, ...]:
        """Pictures (B, 3, H, W) in [0, 1] to what crosses, as one tensor (B, C, h, w)."""
        mean, deviation = (x.new_tensor(v).view(3, 1, 1) for v in (self.config.mean, self.config.deviation))
        crossing = self.cut.head((x - mean) / deviation)
        return (pack(self.config.packing, crossing),) if self.config.packing else crossing

    def tail(self, features: tuple[Tensor, ...]) -> object:
        """What crosses, as one tensor, to what the network returns."""
        batch, _, rows, columns = features[0].shape
        stride = self.crossing[0].stride
        like = torch.empty(batch, 3, rows * stride, columns * stride, device="meta")
        packing = self.config.packing
        return self.cut.tail(unpack(packing, features[0]) if packing else features, like=like)

    def with_canvas(self, canvas: Canvas) -> ModuleCut:
        """The same network for pictures on another canvas."""
        return replace(self, canvas=canvas)


class ModuleFamily:
    """Every network: a `featcodec.networks.families.Family`. Its owner brings it; codec files never hold it.

    Example:
        >>> from featcodec.networks.families import NetworkWish, cut_network, describe
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
        >>> cut = cut_network(network, describe(network, NetworkWish(at="1", model="tiny")), size=64)
        >>> cut.crossing, tuple(cut.tail(cut.head(torch.rand(2, 3, 64, 96))).shape)
        ((CrossingTensor(name='1', channels=8, stride=4),), (2, 4, 16, 24))
    """

    name = MODULE
    members: tuple[str, ...] = ()
    embeds = False
    default_cut = None

    def owns(self, network: object) -> bool:  # noqa: ARG002
        return True

    def recognises(self, tensors: Mapping[str, Tensor]) -> bool:  # noqa: ARG002
        return False

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        raise Unusable(f"got {len(tensors)} tensors, expected those of a network that featcodec knows")

    def from_convolutions(self, convolutions: Sequence[Convolution]) -> None:
        """None: nothing is known of such networks."""

    def make(self, member: str) -> nn.Module:
        raise InputError(f"model: got {member!r}, which names no network")

    def kind(self, network: nn.Module) -> str:
        count = sum(p.numel() for p in network.parameters())
        return f"{type(network).__name__} of {count:,} parameters"

    def describe(self, network: nn.Module, wish: Any) -> ModuleConfig:
        digest = network_digest(network)
        return ModuleConfig(self.name, wish.model, str(wish.at), digest, wish.mean, wish.deviation)

    def check(self, config: ModuleConfig) -> None:
        check_text("model", config.model)
        check_text("at", config.at)
        for name, values in (("mean", config.mean), ("deviation", config.deviation)):
            if len(values) != 3 or not all(type(v) is float and math.isfinite(v) for v in values):
                raise ValueError(f"{name}: got {values!r:.80}, expected three numbers")
        if min(config.deviation) <= 0:
            raise ValueError(f"deviation: got {config.deviation!r}, expected numbers above 0")

    def restore(self, config: ModuleConfig, tensors: Mapping[str, Tensor]) -> nn.Module:
        raise Unusable(f"got {len(tensors)} tensors of {config.model}, expected none: its owner brings it")

    def cut(self, network: nn.Module, config: ModuleConfig, canvas: Canvas) -> ModuleCut:
        """Examines the network with noise of a canvas's longest side, and with half of such a canvas.

        One tensor (B, C, h, w) whose sides are those of any canvas divided by a stride crosses as it is.
        Whatever else crosses is laid on one grid (`featcodec.networks.packing`). A network that takes no
        other canvas, or gives other shapes for it, has that one only, as wide as high.
        """
        own = network.to(memory_format=torch.channels_last)
        cut = split(own, at=config.at, example=example_picture(own, canvas.side))
        if config.packing is None:
            config = replace(config, packing=_packing(cut, canvas.side))
        found = ModuleCut(cut, config, canvas)
        if config.packing and config.packing.fixed:
            found = found.with_canvas(Canvas(canvas.side, canvas.side))
        return found


def _packing(cut: Cut, side: int) -> Packing | None:
    """How what crosses lies on one grid; None where it does by itself."""
    shapes = cut.layer.shapes
    fixed = not _scales(cut, side)
    if cut.layer.single and not fixed:
        _, stride = cut.features()
        if stride in STRIDES and shapes[0][2:] == (side // stride, side // stride):
            return None
    return Packing.of(cut.crossing, shapes, side, fixed=fixed)


def _scales(cut: Cut, side: int) -> bool:
    """Whether the network takes half of a canvas, and all that crosses has half of its rows then."""
    half = example_picture(cut.network, side)[:, :, : side // 2]
    try:
        with torch.no_grad():
            crossing = cut.head(half)
    except Exception:  # whatever somebody else's network says of a picture of another size
        return False
    return all(
        t.ndim == 4 and tuple(t.shape) in (_halved(shape, 2), _halved(shape, 1))
        for t, shape in zip(crossing, cut.layer.shapes, strict=True)
    )


def _halved(shape: tuple[int, ...], where: int) -> tuple[int, ...]:
    """A shape with half of one of its sides; one that cannot be halved is like no shape."""
    return tuple(n if i != where else n // 2 if n % 2 == 0 else -1 for i, n in enumerate(shape))
