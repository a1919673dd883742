"""The best JPEG of so few bytes that it may have to be scaled down first."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

__all__ = ["SmallJpeg", "jpeg_within"]

# of the picture's sides: at a few hundred bytes hardly a thumbnail is left
SCALES = (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125, 0.09375, 0.0625, 0.03125)
HIGHEST_QUALITY = 95  # of Pillow's scale; above it bytes buy nothing


@dataclass(frozen=True, slots=True)
class SmallJpeg:
    """A JPEG and what a viewer makes of it.

    Attributes:
        data: the file.
        width, height: of the picture in it, in pixels.
        quality: 1 to 95, as Pillow counts.
        picture: decoded and enlarged to the size of what it was made of.
    """

    data: bytes
    width: int
    height: int
    quality: int
    picture: Image.Image


def jpeg_within(picture: Image.Image, most: int) -> SmallJpeg | None:
    """The JPEG of least squared error among those of at most so many bytes.

    At each of ten scales the best quality that fits is tried, 4:2:0, with Huffman tables of its own; enlarged
    again by Lanczos' filter, the one that is closest to the picture counts.

    Args:
        picture: RGB.
        most: bytes.

    Returns:
        None where not even the smallest of them fits.

    Example:
        >>> grey = Image.new("RGB", (64, 48), (90, 90, 90))
        >>> small = jpeg_within(grey, 1000)
        >>> small.width, small.quality, small.picture.size
        (64, 95, (64, 48))
        >>> jpeg_within(grey, 100) is None
        True
    """
    found = [one for scale in SCALES if (one := _best_at(picture, scale, most))]
    return min(found, key=lambda one: _squared_error(one.picture, picture), default=None)


def _best_at(picture: Image.Image, scale: float, most: int) -> SmallJpeg | None:
    """Of one scale; None where quality 1 is too large."""
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    scaled = picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)
    best, low, high = b"", 0, HIGHEST_QUALITY + 1  # low fits, high does not (or is out of range)
    while high - low > 1:
        middle = (low + high) // 2
        data = _jpeg(scaled, middle)
        if len(data) <= most:
            low, best = middle, data
        else:
            high = middle
    if not best:
        return None
    with Image.open(io.BytesIO(best)) as opened:
        shown = opened.convert("RGB")
    if size != picture.size:
        shown = shown.resize(picture.size, Image.Resampling.LANCZOS)
    return SmallJpeg(best, *size, low, shown)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _squared_error(a: Image.Image, b: Image.Image) -> float:
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    return float(np.square(difference).mean())
