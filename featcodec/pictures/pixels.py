"""Between pictures as networks have them, floats in [0, 1], and pixels of 8 bits."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Pixels", "eight_bits", "pixels", "unit_floats"]

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB


def eight_bits(x: Tensor) -> Tensor:
    """The nearest of 256 levels; what lies outside [0, 1] takes the first or the last.

    Args:
        x: floats of any shape, 0 to 1.

    Returns:
        uint8 of the same shape.

    Example:
        >>> eight_bits(torch.tensor([-0.1, 0.5, 0.501, 1.2]))
        tensor([  0, 128, 128, 255], dtype=torch.uint8)
    """
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def unit_floats(x: Tensor) -> Tensor:
    """The inverse of `eight_bits`: uint8 to float32 in [0, 1]; floats come through as float32.

    Example:
        >>> unit_floats(torch.tensor([0, 51, 255], dtype=torch.uint8))
        tensor([0.0000, 0.2000, 1.0000])
    """
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


def pixels(picture: Tensor) -> Pixels:
    """A picture (3, H, W) in [0, 1] to (H, W, 3) of 8 bits.

    Example:
        >>> pixels(torch.ones(3, 2, 5)).shape
        (2, 5, 3)
    """
    levels: Pixels = eight_bits(picture).permute(1, 2, 0).contiguous().numpy()
    return levels
