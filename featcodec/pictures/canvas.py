"""How pictures of any size come to one network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import Channels, ImageLike, load_image
from featcodec.plf.bitstream import DEFAULT_LIMITS

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Canvas"]


@dataclass(frozen=True, slots=True)
class Canvas:
    """What a network wants its pictures laid on.

    Attributes:
        size: longest side in pixels that pictures are scaled down to.
        stride: pixels that both sides of the canvas are multiples of.

    Example:
        >>> Canvas(size=64).geometry(640, 480).canvas_height
        64
    """

    size: int = 416
    stride: int = 32

    @property
    def side(self) -> int:
        """Pixels along the longest side of a canvas."""
        return -(-self.size // self.stride) * self.stride

    def geometry(self, width: int, height: int) -> Geometry:
        """Where a picture of so many pixels lies."""
        return Geometry(width, height, self.size, self.stride)

    def load(
        self,
        image: ImageLike,
        *,
        channels: Channels = "rgb",
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
    ) -> tuple[Tensor, Geometry]:
        """A picture to x (1, 3, H, W) in [0, 1] and where the picture lies on it; errors as `load_image`."""
        return load_image(image, size=self.size, stride=self.stride, channels=channels, max_pixels=max_pixels)
