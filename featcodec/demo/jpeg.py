"""The JPEG of no more than so many bytes: what else a camera could have sent for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from featcodec.bench.anchors import JPEG
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import load_image, open_picture
from featcodec.pictures.pixels import pixels

__all__ = ["JpegPicture", "jpeg_within"]

# A JPEG cannot go below some bits a block, so that few bytes are better spent on fewer pixels.
_SIDES = (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)
_QUALITIES = 95  # from 1; libjpeg's authors advise against more


@dataclass(frozen=True, slots=True)
class JpegPicture:
    """A photograph as JPEG, and what the receiver's network gets.

    Attributes:
        data: the file.
        quality: 1 to 95, as Pillow has it.
        width, height: pixels of the file.
        picture: it, enlarged again to the photograph's part of the canvas.
        canvas: (1, 3, H, W) in [0, 1], `picture` on the network's canvas.
    """

    data: bytes
    quality: int
    width: int
    height: int
    picture: Image.Image
    canvas: Tensor


def jpeg_within(x: Tensor, geometry: Geometry, most: int) -> JpegPicture | None:
    """The JPEG of at most so many bytes that is closest to the picture on the canvas.

    Tried are seven sizes from the canvas's own down to an eighth of its sides, each at the highest quality
    that fits; what is smaller is enlarged again (bicubic), and the least squared error wins.

    Args:
        x: (1, 3, H, W) in [0, 1], the canvas.
        geometry: where the photograph lies on it.
        most: bytes of the whole file.

    Returns:
        The JPEG; None if none is so small.

    Example:
        >>> x, geometry = load_image(np.full((64, 64, 3), 200, np.uint8))
        >>> made = jpeg_within(x, geometry, 1000)
        >>> made.quality, made.width, len(made.data) <= 1000
        (95, 64, True)
        >>> jpeg_within(x, geometry, 100) is None
        True
    """
    inside = x[0, :, geometry.top :, geometry.left :][:, : geometry.scaled_height, : geometry.scaled_width]
    whole = Image.fromarray(pixels(inside))
    best: tuple[float, JpegPicture] | None = None
    for side in _SIDES:
        size = tuple(max(1, round(side * pixels)) for pixels in whole.size)
        found = _highest_quality(np.asarray(_resized(whole, size)), most)
        if found is None:
            continue
        quality, data = found
        picture = _resized(open_picture(data), whole.size)
        error = float(np.square(np.asarray(picture, np.float32) - np.asarray(whole, np.float32)).mean())
        if best is None or error < best[0]:
            best = error, JpegPicture(data, quality, *size, picture, _canvas(picture, geometry))
    return None if best is None else best[1]


def _resized(picture: Image.Image, size: tuple[int, ...]) -> Image.Image:
    return picture if picture.size == size else picture.resize((size[0], size[1]), Image.Resampling.BICUBIC)


def _highest_quality(rgb: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], most: int) -> tuple[int, bytes] | None:
    """Quality and bytes of the best JPEG of a picture (h, w, 3) that fits; bytes grow with the quality."""
    low, high, best = 0, _QUALITIES + 1, None
    while high - low > 1:
        middle = (low + high) // 2
        data = JPEG.encode(rgb, middle)
        if len(data) <= most:
            low, best = middle, (middle, data)
        else:
            high = middle
    return best


def _canvas(picture: Image.Image, geometry: Geometry) -> Tensor:
    """A picture of the size that the photograph has on the canvas, on the canvas."""
    x, _ = load_image(picture, size=max(picture.size), stride=geometry.stride)
    return torch.as_tensor(x)
