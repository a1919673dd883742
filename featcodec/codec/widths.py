"""Channel counts of a codec, and the sizes that follow from them. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SIDE_STRIDE", "Widths", "side_shape"]

SIDE_STRIDE = 4  # latents that a position of z stands for, in both directions


@dataclass(frozen=True, slots=True)
class Widths:
    """Channel counts: of the features C, the latents M, the side information N, and inside the networks."""

    features: int
    latents: int = 64
    side: int = 32
    analysis: int = 64
    synthesis: int = 80
    hyper: int = 64


def side_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of z for latents of so many.

    Example:
        >>> side_shape(26, 24)
        (7, 6)
    """
    return -(-height // SIDE_STRIDE), -(-width // SIDE_STRIDE)
