"""Any network of one picture: cut by tracing it, where one tensor crosses, its pictures normalised first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from featcodec.errors import InputError, SplitError
from featcodec.networks.cut_network import CrossingTensor
from featcodec.networks.identity import MODULE, ModuleConfig, check_text, network_digest
from featcodec.networks.onnx_files import Convolution
from featcodec.networks.pickle_records import Unusable
from featcodec.networks.split import Cut, example_picture, split
from featcodec.pictures.canvas import Canvas

__all__ = ["ModuleCut", "ModuleFamily"]

STRIDES = (2, 4, 8, 16, 32)  # that the tensor that crosses may have


@dataclass(frozen=True, slots=True)
class ModuleCut:
    """A traced network that takes pictures in [0, 1]: a `featcodec.networks.cut_network.CutNetwork`.

    Attributes:
        cut: the network, cut where one tensor (B, C, h, w) crosses.
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
        """The one tensor that crosses."""
        channels, stride = self.cut.features()
        return (CrossingTensor(self.cut.only, channels, stride),)

    def head(self, x: Tensor) -> tuple[Tensor, ...]:
        """Pictures (B, 3, H, W) in [0, 1] to the one tensor (B, C, h, w) that crosses."""
        mean, deviation = (x.new_tensor(v).view(3, 1, 1) for v in (self.config.mean, self.config.deviation))
        return self.cut.head((x - mean) / deviation)

    def tail(self, features: tuple[Tensor, ...]) -> object:
        """The tensor that crosses to what the network returns."""
        batch, _, rows, columns = features[0].shape
        stride = self.crossing[0].stride
        like = torch.empty(batch, 3, rows * stride, columns * stride, device="meta")
        return self.cut.tail(features, like=like)

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
        """Examines the network with noise of a canvas's longest side; the stride has to be whole."""
        own = network.to(memory_format=torch.channels_last)
        side = canvas.side
        cut = split(own, at=config.at, example=example_picture(own, side))
        _ = cut.only
        _, channels, *sides = cut.layer.shapes[0]
        _, stride = cut.features()
        if stride not in STRIDES or sides != [side // stride] * 2:
            got = " x ".join(map(str, (channels, *sides)))
            raise SplitError(
                f"cut after layer {cut.at}: {got} features of a {side} x {side} picture, "
                f"expected sides divided by {', '.join(map(str, STRIDES[:-1]))} or {STRIDES[-1]}"
            )
        return ModuleCut(cut, config, canvas)
