"""InvNet: the network that rebuilds a picture from decoded latents, and the losses it is judged by.

It serves twice: as the adversary while a codec is fitted (`featcodec.fit`), and, trained afresh on the
finished codec, as the attack whose figures are reported (`featcodec.attacks.inversion`).

It rebuilds the picture at half its resolution: at the 15 to 20 dB that an attack reaches, what a full
resolution would add is far below the error, and a step costs a quarter.

Source: RecNet and InvNet of Azizian and Bajić 2024 (arXiv:2402.18864), section III-B and eq. 4 to 6.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.transforms import ResidualBlock

__all__ = ["InvNet", "halve", "mean_colour_loss", "reconstruction_loss"]


class InvNet(nn.Module):
    """Decoded latents (B, M, h, w) at stride 16 to a picture (B, 3, 8h, 8w) of half the resolution.

    Args:
        latents: channels M.
        width: channels at stride 16; halved at each doubling of the resolution, not below a quarter.
    """

    def __init__(self, latents: int, width: int = 96):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(latents, width, 3, padding=1),
            ResidualBlock(width),
            ResidualBlock(width),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.PixelShuffle(2),  # stride 8
            ResidualBlock(width // 2),
            ResidualBlock(width // 2),
            nn.Conv2d(width // 2, width, 3, padding=1),
            nn.PixelShuffle(2),  # stride 4
            ResidualBlock(width // 4),
            nn.SiLU(),
            nn.Conv2d(width // 4, 12, 3, padding=1),
            nn.PixelShuffle(2),  # stride 2
        )

    def forward(self, y_hat: Tensor) -> Tensor:
        picture: Tensor = self.net(y_hat)
        return picture + 0.45  # about the mean of photographs


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


def mean_colour_loss(picture: Tensor, beta: float) -> Tensor:
    """The loss (B,) of an adversary that knows only the picture's mean colour: the bound of privacy."""
    return reconstruction_loss(picture.mean((2, 3), keepdim=True).expand_as(picture), picture, beta)
