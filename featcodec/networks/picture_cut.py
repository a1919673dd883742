"""Any network of one picture, cut where one tensor crosses, with what pictures go through first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from featcodec.errors import SplitError
from featcodec.networks.split import Cut, split

__all__ = ["PictureCut", "cut_pictures"]

Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class PictureCut:
    """A cut network that takes pictures in [0, 1]. Made by `cut_pictures`.

    Attributes:
        cut: the network, cut where one tensor (B, C, h, w) crosses.
        mean, deviation: of red, green and blue, that pictures are normalised by.
    """

    cut: Cut
    mean: Channels
    deviation: Channels

    @property
    def network(self) -> nn.Module:
        """The whole network."""
        return self.cut.network

    @property
    def at(self) -> str:
        """The layer after which it is cut."""
        return self.cut.at

    def head(self, x: Tensor) -> tuple[Tensor, ...]:
        """Pictures (B, 3, H, W) in [0, 1] to the one tensor (B, C, h, w) that crosses."""
        mean, deviation = (x.new_tensor(v).view(3, 1, 1) for v in (self.mean, self.deviation))
        return self.cut.head((x - mean) / deviation)

    def tail(self, features: tuple[Tensor, ...]) -> object:
        """The tensor that crosses to what the network returns."""
        batch, _, rows, columns = features[0].shape
        _, stride = self.features()
        like = torch.empty(batch, 3, rows * stride, columns * stride, device="meta")
        return self.cut.tail(features, like=like)

    def features(self) -> tuple[int, int]:
        """Channels of the tensor that crosses, and its stride in pixels."""
        return self.cut.features()


def cut_pictures(
    network: nn.Module,
    *,
    at: str | int,
    mean: Channels = (0.0, 0.0, 0.0),
    deviation: Channels = (1.0, 1.0, 1.0),
    side: int = 256,
) -> PictureCut:
    """Cuts a network after one of its layers, where one tensor (B, C, h, w) crosses at a whole stride.

    Args:
        network: frozen and in evaluation mode; called with pictures (B, 3, H, W).
        at: as `featcodec.split` takes it.
        mean, deviation: of red, green and blue, that pictures in [0, 1] are normalised by.
        side: of the square picture that the network is examined with, in pixels.

    Raises:
        SplitError: it cannot be cut there, or what crosses is not one tensor with sides of the picture's
            divided by 2, 4, 8, 16 or 32.
        InputError: the network is in training mode, or fails on a picture.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
        >>> cut = cut_pictures(network, at="1", side=64)
        >>> cut.features(), tuple(cut.tail(cut.head(torch.rand(2, 3, 64, 96))).shape)
        ((8, 4), (2, 4, 16, 24))
    """
    first = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    cut = split(network, at=at, example=noise.to(first.device, first.dtype))
    _ = cut.only
    _, channels, *sides = cut.layer.shapes[0]
    _, stride = cut.features()
    if stride not in (2, 4, 8, 16, 32) or sides != [side // stride] * 2:
        got = " x ".join(map(str, (channels, *sides)))
        raise SplitError(
            f"cut after layer {cut.at}: {got} features of a {side} x {side} picture, "
            "expected sides divided by 2, 4, 8, 16 or 32"
        )
    return PictureCut(cut, mean, deviation)
