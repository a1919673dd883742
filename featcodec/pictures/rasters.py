"""Arrays and tensors read as pictures, in strips of rows, so that no large one is copied whole."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featcodec.errors import ImageError

if TYPE_CHECKING:
    import torch

__all__ = ["Raster", "array_raster", "assemble", "from_bgr", "is_tensor", "over_white", "tensor_raster"]

_STRIP_PIXELS = 2**19  # read at a time from an array or tensor: 6 MB as float32
_NOISE = 1 / 510  # beyond [0, 1] this still rounds to 0 or 255; float16 and resizing leave such noise
_NUMBERS = "uint8, uint16 (0 to 65535), bool or floats in [0, 1]"
_ARRAY_SHAPES = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
_TENSOR_SHAPES = "(H, W), (C, H, W) or (1, C, H, W) with C = 1, 3 or 4"


@dataclass(frozen=True, slots=True)
class Raster:
    """Pixels in memory, to be read in strips of rows."""

    name: str
    height: int
    width: int
    channels: int  # 1, 3 or 4
    rows: Callable[[int, int], NDArray[Any]]  # rows(top, bottom): numbers (bottom - top, W, C)


def array_raster(array: NDArray[Any], name: str | None = None) -> Raster:
    """Take an array, not yet looking at its values.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); uint8, uint16, bool or floats in [0, 1].
        name: what messages call it; the array's type and shape by default.

    Returns:
        The raster, a view of the array.

    Raises:
        ImageError: another shape or type.
    """
    name = name or f"<array {array.dtype} {array.shape}>"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        hint = "; one picture at a time: pass array[0]" if array.ndim == 4 else ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; channels come last in an array: pass array.transpose(1, 2, 0)"
        raise ImageError(f"got shape {array.shape}, expected {_ARRAY_SHAPES}{hint}", path=name)
    known = array.dtype.kind in "bf" or (array.dtype.kind == "u" and array.dtype.itemsize <= 2)
    if not known:
        raise ImageError(f"got {array.dtype}, expected {_NUMBERS}", path=name)
    pixels = array if array.ndim == 3 else array[:, :, None]
    height, width, channels = pixels.shape
    return Raster(name, height, width, channels, lambda top, bottom: pixels[top:bottom])


def is_tensor(image: object) -> TypeGuard[torch.Tensor]:
    """Whether a picture is a tensor. Where nobody has imported torch, nothing is one.

    Example:
        >>> is_tensor(np.zeros(3))
        False
    """
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def tensor_raster(tensor: torch.Tensor) -> Raster:
    """Take a tensor on any device, not yet looking at its values.

    Args:
        tensor: (H, W), (C, H, W) or (1, C, H, W) with C = 1, 3 or 4; types as for `array_raster`.

    Returns:
        The raster, a view of the tensor.

    Raises:
        ImageError: another shape or type, or a tensor that is sparse or has no data.
    """
    shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    name = f"<tensor {dtype} {shape}>"
    pixels = tensor[0] if tensor.ndim == 4 and shape[0] == 1 else tensor
    pixels = pixels[None] if pixels.ndim == 2 else pixels  # (C, H, W)
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3, 4):
        hint = "; one picture at a time: pass tensor[0]" if tensor.ndim == 4 else ""
        if pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4):
            hint = "; channels come first in a tensor: pass tensor.permute(2, 0, 1)"
        raise ImageError(f"got shape {shape}, expected {_TENSOR_SHAPES}{hint}", path=name)
    if not tensor.is_floating_point() and dtype not in ("bool", "uint8", "uint16"):
        raise ImageError(f"got {dtype}, expected {_NUMBERS}", path=name)
    if str(tensor.layout) != "torch.strided" or tensor.is_meta:
        got = "no data (device meta)" if tensor.is_meta else str(tensor.layout)
        raise ImageError(f"got {got}, expected a dense tensor with data", path=name)

    def rows(top: int, bottom: int) -> NDArray[Any]:
        strip = pixels[:, top:bottom].permute(1, 2, 0)  # (h, W, C)
        # bfloat16 is unknown to NumPy.
        values: NDArray[Any] = (strip.float() if strip.is_floating_point() else strip).numpy(force=True)
        return values

    return Raster(name, pixels.shape[1], pixels.shape[2], pixels.shape[0], rows)


def from_bgr(raster: Raster) -> Raster:
    """Take a raster whose channels are in the order BGR or BGRA, as OpenCV gives them.

    Args:
        raster: of 3 or 4 channels.

    Returns:
        The same in the order RGB or RGBA.

    Raises:
        ImageError: another number of channels.

    Example:
        >>> from_bgr(array_raster(np.array([[[1, 2, 3]]], np.uint8))).rows(0, 1).tolist()
        [[[3, 2, 1]]]
    """
    if raster.channels not in (3, 4):
        raise ImageError(
            f"got channels='bgr' and {raster.channels} channel, expected 3 or 4", path=raster.name
        )
    order = [2, 1, 0, 3][: raster.channels]
    return replace(raster, rows=lambda top, bottom: raster.rows(top, bottom)[:, :, order])


def assemble(raster: Raster, factor: tuple[int, int]) -> Image.Image:
    """Read strip by strip, each averaged over blocks of pixels.

    Args:
        raster: what to read.
        factor: (across, down), the sides of a block in pixels; at least 1.

    Returns:
        A PIL image of mode L or RGB, sides rounded up; alpha is laid over white.

    Raises:
        ImageError: floats that are NaN or beyond [0, 1].

    Example:
        >>> assemble(array_raster(np.eye(7, dtype=bool)), (2, 2)).size
        (4, 4)
    """
    across, down = factor
    size = (-(-raster.width // across), -(-raster.height // down))
    picture = Image.new("L" if raster.channels == 1 else "RGB", size)
    step = down * max(1, _STRIP_PIXELS // (down * raster.width))
    for top in range(0, raster.height, step):
        strip = _eight_bits(raster.rows(top, min(top + step, raster.height)), raster.name)  # (h, W, C)
        part = Image.fromarray(strip[:, :, 0] if raster.channels == 1 else strip)
        flat = over_white(part) if raster.channels == 4 else part
        picture.paste(flat.reduce(factor), (0, top // down))
    return picture


def over_white(picture: Image.Image) -> Image.Image:
    """Lay a picture with alpha, in a mode that Pillow converts to RGBA, over white: RGB."""
    rgba = picture.convert("RGBA")
    flat = Image.new("RGB", rgba.size, "white")
    flat.paste(rgba, mask=rgba)
    return flat


def _eight_bits(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "u":
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 255 * 257
    low, high = float(values.min()), float(values.max())  # NaN if any value is
    if not (low >= -_NOISE and high <= 1 + _NOISE):
        got = "NaN" if math.isnan(low) else f"values from {low:g} to {high:g}"
        hint = "; divide 0 to 255 by 255" if low >= 0 and 1 < high <= 255 else ""
        raise ImageError(f"got {got}, expected floats in [0, 1]{hint}", path=name)
    levels: NDArray[np.int16] = np.rint(values.astype(np.float32, copy=False) * 255).astype(np.int16)
    return levels.clip(0, 255).astype(np.uint8)
