"""The network attackers: observation and quality in, picture at full resolution out.

`InvNet` mirrors the network's head, as in the seed papers; `ResidualUNet` sees the whole picture at several
scales and rebuilds it from coarse to fine. An `Attacker` is one of them with what both need.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.attacks.invnet import MEAN_COLOUR, InvNet
from featcodec.transforms import ResidualBlock

__all__ = ["KINDS", "Attacker", "Kind", "ResidualUNet"]

Kind = Literal["invnet", "unet"]
KINDS: tuple[Kind, ...] = ("invnet", "unet")


class Attacker(nn.Module):
    """A network that rebuilds pictures from what crossed one target, at any of its points.

    It normalises each channel, and reads the point as one more: it is written in the file's header, so the
    thief knows it, and one attacker serves all qualities.

    Args:
        kind: ``"invnet"`` or ``"unet"``.
        channels, stride: of the observations.
        points: of the target.

    Example:
        >>> attacker = Attacker("unet", channels=8, stride=16, points=(2, 4, 8))
        >>> attacker(torch.zeros(1, 8, 4, 6), torch.tensor([4.0])).shape
        torch.Size([1, 3, 64, 96])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, kind: Kind, *, channels: int, stride: int, points: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.kind: Kind = kind
        self.low, self.high = min(points), max(points)
        self.body: nn.Module
        if kind == "invnet":
            self.body = InvNet(channels + 1, width=6 * stride, stride=stride, out_stride=1)
        else:
            self.body = ResidualUNet(channels + 1, stride=stride)

    def forward(self, seen: Tensor, point: Tensor) -> Tensor:
        """Observations (B, C, h, w) at points (B,) to canvases (B, 3, s h, s w), about 0 to 1."""
        normal = (seen - self.mean.view(-1, 1, 1)) / self.deviation.view(-1, 1, 1)
        middle, reach = (self.low + self.high) / 2, max((self.high - self.low) / 2, 1e-9)
        plane = ((point - middle) / reach).view(-1, 1, 1, 1).expand(-1, 1, *seen.shape[2:])
        rebuilt: Tensor = self.body(torch.cat((normal, plane), 1))
        return rebuilt


class ResidualUNet(nn.Module):
    """A U-Net of residual blocks around the observation's stride, and a sum of pictures at all its scales.

    Downwards to four times the stride, so that every place sees much of the picture; up again to stride 4,
    with what was seen on the way down added. At every scale on the way up a picture is read out and added
    to the one from below, enlarged: what is coarse is rebuilt where it is cheap.

    Args:
        channels: of the observation, the point's among them.
        stride: 8 or 16.
        width: channels at stride 16.

    Source: Ronneberger et al. 2015 (arXiv:1505.04597); pictures as sums over scales after Denton et al. 2015
    (arXiv:1506.05751).
    """

    def __init__(self, channels: int, *, stride: int, width: int = 128):
        super().__init__()
        strides = [s for s in (4 * stride, 2 * stride, stride, 8, 4) if s <= 64 and s >= 4]
        self.strides = sorted({*strides}, reverse=True)
        self.depth = self.strides.index(stride)
        widths = [_width(s, width) for s in self.strides]
        self.enter = nn.Conv2d(channels, widths[self.depth], 3, padding=1)
        inner = list(range(self.depth, -1, -1))  # positions from the observation down to the coarsest
        self.seen = nn.ModuleList(_blocks(widths[i], 2) for i in inner)
        self.down = nn.ModuleList(
            nn.Conv2d(widths[a], widths[b], 3, stride=2, padding=1) for a, b in pairwise(inner)
        )
        self.up = nn.ModuleList(_Up(a, b) for a, b in pairwise(widths))
        self.rebuild = nn.ModuleList(
            _blocks(w, 2 if s >= 8 else 1) for w, s in zip(widths[1:], self.strides[1:], strict=True)
        )
        self.read = nn.ModuleList(nn.Conv2d(w, 3, 3, padding=1) for w in widths[:-1])
        last = self.strides[-1]
        self.finish = nn.Sequential(
            nn.SiLU(), nn.Conv2d(widths[-1], 3 * last**2, 3, padding=1), nn.PixelShuffle(last)
        )

    def forward(self, seen: Tensor) -> Tensor:
        h, w = seen.shape[2:]
        multiple = 2**self.depth  # the coarsest scale has to come out even
        x = F.pad(seen, (0, -w % multiple, 0, -h % multiple), mode="replicate")
        x = self.enter(x)
        kept = []
        for i, block in enumerate(self.seen):
            x = block(x)
            kept.append(x)
            if i < len(self.down):
                x = self.down[i](x)
        picture = self.read[0](x) + MEAN_COLOUR
        for i, (up, block) in enumerate(zip(self.up, self.rebuild, strict=True), 1):
            x = up(x)
            if i <= self.depth:
                x = x + kept[self.depth - i]
            x = block(x)
            if i < len(self.read):
                picture = _enlarged(picture, 2) + self.read[i](x)
        picture = _enlarged(picture, 2 * self.strides[-1]) + self.finish(x)
        step = self.strides[self.depth]
        whole: Tensor = picture[..., : h * step, : w * step]
        return whole


class _Up(nn.Sequential):
    """Twice the resolution: each place becomes four."""

    def __init__(self, channels: int, out: int):
        super().__init__(nn.Conv2d(channels, 4 * out, 1), nn.PixelShuffle(2))


def _width(stride: int, width: int) -> int:
    """Channels at a stride: fewer where there are more places."""
    return {64: width, 32: width, 16: width, 8: width // 2, 4: width // 4}[stride]


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


def _enlarged(picture: Tensor, times: int) -> Tensor:
    return F.interpolate(picture, scale_factor=times, mode="bilinear", align_corners=False)
