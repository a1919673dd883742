"""Files of the anchors: a header with all that a decoder must know, then what an encoder made.

    tag            1 byte    which anchor made the file
    width, height  varints   of the original photograph, in pixels
    size, stride   varints   of the canvas, as in `Geometry`
    channels, h, w varints   shape of the tensor           ┐
    columns        varint    tiles in a row of the picture │ features only
    low, high      float32   what 0 and 255 stand for      ┘
    payload        the rest

At most 22 bytes precede the payload of features (8 of an image) where sides are below 16,384 pixels.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from featcodec.errors import CoderError, FeatcodecError, TruncatedError
from featcodec.pictures.geometry import Geometry
from featcodec.plf.binary import Cursor, varint

__all__ = [
    "ANCHORS_VERSION",
    "LARGEST",
    "Tiles",
    "read_features",
    "read_image",
    "write_features",
    "write_image",
]

# raise it when an anchor of this package gives other bytes, or other values, for the same
ANCHORS_VERSION = 1

LARGEST = 2**24  # pixels of a canvas or of a coded picture, and values of a tensor: checked before allocation
_RANGE = struct.Struct("<ff")


@dataclass(frozen=True, slots=True)
class Tiles:
    """A tensor of 8-bit values, laid out as one grey picture.

    Attributes:
        channels, height, width: of the tensor (C, h, w).
        columns: channels side by side; ``channels / columns`` rows of them.
        low, high: what 0 and 255 stand for; float32 values, `low` below `high`.
    """

    channels: int
    height: int
    width: int
    columns: int
    low: float
    high: float


def write_image(tag: int, geometry: Geometry, payload: bytes) -> bytes:
    """The file of an image anchor, `tag` being its first byte, 0 to 255.

    Example:
        >>> write_image(0xA6, Geometry(640, 480, 448, 32), b"...").hex(" ")
        'a6 80 05 e0 03 c0 03 20 2e 2e 2e'
    """
    return _start(tag, geometry) + payload


def write_features(tag: int, geometry: Geometry, tiles: Tiles, payload: bytes) -> bytes:
    """The file of an anchor that codes features or latents."""
    numbers = (tiles.channels, tiles.height, tiles.width, tiles.columns)
    shape = b"".join(varint(n) for n in numbers)
    return _start(tag, geometry) + shape + _RANGE.pack(tiles.low, tiles.high) + payload


def read_image(name: str, tag: int, data: bytes) -> tuple[Geometry, bytes]:
    """What the anchor of that name wrote by `write_image`.

    Raises:
        CoderError: another anchor's file, a damaged header, or sizes beyond `LARGEST`.
    """
    try:
        cursor, geometry = _open(tag, data)
    except FeatcodecError as error:
        raise CoderError(f"{name}: {error}") from error
    return geometry, bytes(cursor.view[cursor.position :])


def read_features(name: str, tag: int, data: bytes) -> tuple[Geometry, Tiles, bytes]:
    """What `write_features` wrote; errors as `read_image`."""
    try:
        cursor, geometry = _open(tag, data)
        channels, height, width, columns = [cursor.varint(n) for n in ("channels", "h", "w", "columns")]
        low, high = _RANGE.unpack(cursor.take(_RANGE.size, "range"))
        tiles = Tiles(channels, height, width, columns, low, high)
        _check(tiles, geometry)
    except FeatcodecError as error:
        raise CoderError(f"{name}: {error}") from error
    return geometry, tiles, bytes(cursor.view[cursor.position :])


def _start(tag: int, geometry: Geometry) -> bytes:
    numbers = (geometry.width, geometry.height, geometry.size, geometry.stride)
    return bytes([tag]) + b"".join(varint(n) for n in numbers)


def _open(expected: int, data: bytes) -> tuple[Cursor, Geometry]:
    cursor = Cursor(memoryview(data), 0, len(data), "the file", TruncatedError)
    tag = cursor.take(1, "tag")[0]
    if tag != expected:
        raise CoderError(f"tag: got {tag:02x}, expected {expected:02x}: another anchor's file, or none")
    geometry = Geometry(*(cursor.varint(n) for n in ("width", "height", "size", "stride")))
    pixels = geometry.canvas_width * geometry.canvas_height
    if pixels > LARGEST:
        raise CoderError(f"canvas: got {pixels} pixels, expected at most {LARGEST}")
    return cursor, geometry


def _check(tiles: Tiles, geometry: Geometry) -> None:
    shape = (tiles.channels, tiles.height, tiles.width)
    canvas = (geometry.canvas_height, geometry.canvas_width)
    if min(shape) < 1 or math.prod(shape) > LARGEST:
        raise CoderError(f"shape: got {shape}, expected 1 to {LARGEST} values")
    if canvas[0] * tiles.width != canvas[1] * tiles.height or canvas[0] % tiles.height:
        raise CoderError(f"shape: got {shape[1:]}, expected a fraction of the canvas, {canvas}")
    if tiles.columns < 1 or tiles.channels % tiles.columns:
        raise CoderError(f"columns: got {tiles.columns}, expected a divisor of {tiles.channels}")
    if not (math.isfinite(tiles.low) and math.isfinite(tiles.high) and tiles.low < tiles.high):
        raise CoderError(f"range: got {tiles.low} to {tiles.high}, expected finite and rising")
