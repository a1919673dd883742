"""The network attackers: observation and quality in, picture at full resolution out.

`InvNet` mirrors the network's head, as in the seed papers; `ResidualUNet` is wider, and sees the whole
picture at coarser scales, too. An `AttackerNetwork` is one of them with what both need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.codec.transforms import ResidualBlock
from featcodec.training.invnet import MEAN_COLOUR, InvNet, check_stride

__all__ = ["KINDS", "AttackerNetwork", "Kind", "ResidualUNet", "round_weights"]

Kind = Literal["invnet", "unet"]
KINDS: tuple[Kind, ...] = ("invnet", "unet")
WIDTH = 128  # of the U-Net


class AttackerNetwork(nn.Module):
    """A network that rebuilds pictures from what crossed one target, at any of its points.

    It normalises each channel, and reads the point as one more: it is written in the file's header, so the
    thief knows it, and one attacker serves all qualities.

    Args:
        kind: ``"invnet"`` or ``"unet"``.
        channels, stride: of the observations.
        points: of the target.
        picture: the observation is a decoded picture, block by block: what is learned is what to add to it.
        width: channels of the body, as `InvNet` and `ResidualUNet` count them; by the kind if None.

    Example:
        >>> attacker = AttackerNetwork("unet", channels=8, stride=16, points=(2, 4, 8))
        >>> attacker(torch.zeros(1, 8, 4, 6), torch.tensor([4.0])).shape
        torch.Size([1, 3, 64, 96])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        kind: Kind,
        *,
        channels: int,
        stride: int,
        points: Sequence[float],
        picture: bool = False,
        width: int | None = None,
    ):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.kind, self.stride, self.picture, self.width = kind, stride, picture, width
        self.low, self.high = min(points), max(points)
        self.body: nn.Module
        if kind == "invnet":
            self.body = InvNet(channels + 1, width=width or 6 * stride, stride=stride, out_stride=1)
        else:
            self.body = ResidualUNet(channels + 1, stride=stride, width=width or WIDTH)

    def forward(self, seen: Tensor, point: Tensor) -> Tensor:
        """Observations (B, C, h, w) at points (B,) to canvases (B, 3, s h, s w), about 0 to 1."""
        normal = (seen - self.mean.view(-1, 1, 1)) / self.deviation.view(-1, 1, 1)
        middle, reach = (self.low + self.high) / 2, max((self.high - self.low) / 2, 1e-9)
        plane = ((point - middle) / reach).view(-1, 1, 1, 1).expand(-1, 1, *seen.shape[2:])
        rebuilt: Tensor = self.body(torch.cat((normal, plane), 1))
        return rebuilt - MEAN_COLOUR + F.pixel_shuffle(seen, self.stride) if self.picture else rebuilt


class ResidualUNet(nn.Module):
    """A U-Net of residual blocks: what the observation shows in one place, rebuilt knowing the whole picture.

        observation ─ enter ──┬─────────────────────────────────────(+)─ blocks ─ up to 8 ─ 4 ─ 1 ─▶ picture
                              └─ 2 s ──┬───────────(+)─ blocks ─ up ─┘
                                       └─ 4 s ─ up ─┘

    What comes up from the coarser scales starts silent, so that training begins where a network without
    them would.

    Args:
        channels: of the observation, the point's among them.
        stride: s, a power of two from 2.
        width: channels at stride 16 and coarser; half at stride 8, a quarter at 4, an eighth at 2.

    Source: Ronneberger et al. 2015 (arXiv:1505.04597); sums in the place of concatenations.
    """

    def __init__(self, channels: int, *, stride: int, width: int = WIDTH):
        super().__init__()
        check_stride(stride)
        own = width * min(stride, 16) // 16
        self.enter = nn.Sequential(nn.Conv2d(channels, own, 3, padding=1), *_blocks(own, 1))
        self.context = _Context(own, width, _Context(width, width, None))
        self.rebuild = nn.Sequential(*_blocks(own, 3))
        layers: list[nn.Module] = []
        while stride > 4:
            stride //= 2
            finer = width * min(stride, 16) // 16
            layers += [nn.Conv2d(own, 4 * finer, 3, padding=1), nn.PixelShuffle(2)]
            layers += _blocks(finer, 3 if stride >= 8 else 2)
            own = finer
        self.finer = nn.Sequential(*layers)
        paint = nn.Conv2d(own, 3 * stride**2, 3, padding=1)
        self.paint = nn.Sequential(nn.SiLU(), paint, nn.PixelShuffle(stride))

    def forward(self, seen: Tensor) -> Tensor:
        x = self.enter(seen)
        picture: Tensor = self.paint(self.finer(self.rebuild(x + self.context(x))))
        return picture + MEAN_COLOUR


class _Context(nn.Module):
    """What half the resolution, and what lies below it, adds to each place."""

    def __init__(self, channels: int, width: int, below: _Context | None):
        super().__init__()
        self.down = nn.Conv2d(channels, width, 3, stride=2, padding=1)
        self.before = nn.Sequential(*_blocks(width, 2))
        self.below = below
        self.after = nn.Sequential(*_blocks(width, 2 if below else 0))
        self.up = nn.Conv2d(width, 4 * channels, 1, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(self.down(x))
        if self.below is not None:
            y = self.after(y + self.below(y))
        h, w = x.shape[2:]
        return F.pixel_shuffle(self.up(y), 2)[..., :h, :w]  # odd sides come back one longer


@torch.no_grad()
def round_weights(network: nn.Module) -> None:
    """Replaces parameters by the nearest that half precision has; buffers stay."""
    for parameter in network.parameters():
        parameter.copy_(parameter.half())


def _blocks(width: int, count: int) -> list[nn.Module]:
    return [ResidualBlock(width) for _ in range(count)]
