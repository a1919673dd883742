"""InvNet: the network that rebuilds a picture from decoded latents, and the losses it is judged by.

It serves twice: as the adversary while a codec is fitted (`featcodec.fit`), and, trained afresh on the
finished codec, as one of the attackers whose figures are reported (`featcodec.attacks.attacker_networks`).

The adversary rebuilds the picture at half its resolution: at the 15 to 20 dB that an attack reaches, what a
full resolution would add is far below the error. The attackers rebuild it whole.

Source: RecNet and InvNet of Azizian and Bajić 2024 (arXiv:2402.18864), section III-B and eq. 4 to 6.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.codec.transforms import ResidualBlock
from featcodec.errors import InputError

__all__ = [
    "MEAN_COLOUR",
    "InvNet",
    "check_stride",
    "halve",
    "mean_colours",
    "reconstruction_loss",
    "squared_loss",
]

MEAN_COLOUR = 0.45  # about that of photographs


class InvNet(nn.Module):
    """Observations (B, C, h, w) at stride s to pictures (B, 3, H, W): the network's head, mirrored.

    Args:
        channels: C.
        width: channels at the observations' stride; halved at each doubling of the resolution, not below a
            quarter.
        stride: s, a power of two, not below `out_stride`.
        out_stride: pixels that one of the output stands for: 1, or 2 for pictures of half the resolution.

    Example:
        >>> InvNet(8, width=16)(torch.zeros(1, 8, 3, 5)).shape
        torch.Size([1, 3, 24, 40])
    """

    def __init__(self, channels: int, width: int = 96, *, stride: int = 16, out_stride: int = 2):
        super().__init__()
        check_stride(stride)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1)]
        here, least = width, width // 4
        while stride > 4:
            narrower = max(here // 2, least)
            layers += [ResidualBlock(here), ResidualBlock(here)]
            layers += [nn.Conv2d(here, 4 * narrower, 3, padding=1), nn.PixelShuffle(2)]
            here, stride = narrower, stride // 2
        last = stride // out_stride
        layers += [ResidualBlock(here), nn.SiLU()]
        layers += [nn.Conv2d(here, 3 * last**2, 3, padding=1), nn.PixelShuffle(last)]
        self.net = nn.Sequential(*layers)

    def forward(self, seen: Tensor) -> Tensor:
        picture: Tensor = self.net(seen)
        return picture + MEAN_COLOUR


def halve(x: Tensor) -> Tensor:
    """A picture at half its resolution."""
    return F.avg_pool2d(x, 2)


def _sobel(x: Tensor) -> Tensor:
    """Horizontal and vertical Sobel gradients of the luma (BT.601): (B, 2, H, W)."""
    luma = (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    kernel = x.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
    return F.conv2d(F.pad(luma, (1, 1, 1, 1), mode="replicate"), torch.stack((kernel, kernel.T))[:, None])


def reconstruction_loss(rebuilt: Tensor, picture: Tensor, beta: float) -> Tensor:
    """L1 + beta x L1 of the luma's Sobel gradients, for each picture: (B,).

    Source: Azizian and Bajić 2024 (arXiv:2402.18864), eq. 5; beta = 5 there.
    """
    plain = (rebuilt - picture).abs().flatten(1).mean(1)
    edges = (_sobel(rebuilt) - _sobel(picture)).abs().flatten(1).mean(1)
    return plain + beta * edges


def squared_loss(rebuilt: Tensor, picture: Tensor) -> Tensor:
    """Squared error (B,), over that of the pictures' mean colours: what PSNR is made of.

    Blurred regions of the right brightness are good by it, and worth nothing by `reconstruction_loss`.
    """
    plain = (rebuilt - picture).square().flatten(1).mean(1)
    return plain / picture.var((2, 3), unbiased=False).mean().clamp(min=1e-6)


def check_stride(stride: int) -> None:
    """Raises InputError where no network of ours rebuilds pictures from latents of that many pixels."""
    if stride < 2 or stride & (stride - 1):
        raise InputError(
            f"latents of {stride} x {stride} pixels: nothing rebuilds pictures from them, "
            "expected a power of two"
        )


def mean_colours(picture: Tensor) -> Tensor:
    """What an adversary paints that knows only each picture's mean colour: the bound of privacy."""
    return picture.mean((2, 3), keepdim=True).expand_as(picture)
