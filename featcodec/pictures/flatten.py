"""Pixels as Pillow leaves them -> pixels as their file means them: 8 bits, grey or RGB, opaque.

    opened, not decoded ─▶ Meaning.of ─▶ picture.load() ─▶ flatten ─▶ L or RGB, perhaps reduced

What a file says of its pixels and Pillow does not act upon is gathered before they are decoded: a
transparent colour of 1, 2, 4 or 16 bits (PNG), white at zero, 12 bits, and planes (TIFF).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from featcodec.errors import ImageError
from featcodec.pictures.rasters import array_raster, assemble, over_white

__all__ = ["Meaning", "flatten", "is_flat"]

_STRIP_PIXELS = 2**20  # converted at a time
_DEPTHS = {"1": 1, "L;2": 2, "L;4": 4}  # bits of a grey PNG by Pillow's raw mode
_NATIVE = {
    "F;32BF": "F;32NF",
    "I;32BS": "I;32NS",
    "I;16BS": "I;16NS",
}  # libtiff gives the machine's byte order
_RGB_16 = (
    "RGB;16B"  # Pillow keeps the high bytes of these PNGs only; the raw mode of the low ones is the other
)
_RGB_16_LOW = "RGB;16L"
_KEPT = "_featcodec_meaning"
# tags of TIFF files, and values of them
_BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_BYTES = 258, 259, 262, 279
_PLANAR, _SAMPLE_FORMAT, _SUBSAMPLING = 284, 339, 530
_DEFLATE, _WHITE_IS_ZERO, _YCBCR, _SEPARATE, _SIGNED = 8, 0, 6, 2, 2


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a file says of its pixels that Pillow does not act upon.

    Attributes:
        key: the colour that is transparent, as the decoded pixels have it; for 16-bit RGB their high bytes.
        low: for 16-bit RGB, the low bytes of the pixels and of their key.
        most: the largest number of mode I and its like, which stands for white.
        negative: 0 stands for white, and the largest number, or 1 in mode F, for black.
    """

    key: int | bytes | tuple[int, ...] | None = None
    low: tuple[Image.Image, tuple[int, ...]] | None = None
    most: int = 65535
    negative: bool = False

    @staticmethod
    def of(picture: Image.Image, name: str) -> Meaning:
        """Gather it from a picture that is not decoded yet, if it comes from a file at all.

        Raises:
            ImageError: pixels of a kind that is not read rightly.
        """
        if picture.format == "PNG":
            return _of_png(picture)
        if picture.format == "TIFF" and hasattr(picture, "tag_v2"):
            return _of_tiff(picture, name)
        return Meaning(key=picture.info.get("transparency"))


def _of_png(picture: Image.Image) -> Meaning:
    if hasattr(picture, _KEPT):
        return cast(Meaning, getattr(picture, _KEPT))
    key = picture.info.get("transparency")
    tiles = getattr(picture, "tile", None)
    raw = _raw_mode(tiles[0]) if tiles else ""
    if isinstance(key, int) and raw in _DEPTHS:  # Pillow scales the pixels, but not the key
        most = 2 ** _DEPTHS[raw] - 1
        meaning = Meaning(key=255 if raw == "1" and key else (key & most) * (255 // most))
    elif isinstance(key, tuple) and raw == _RGB_16:
        high, low = tuple(k >> 8 for k in key), tuple(k & 255 for k in key)
        meaning = Meaning(key=high, low=(_low_bytes(picture), low))
    elif isinstance(key, tuple) and max(key) > 255:  # 16 bits, decoded before they came here
        return Meaning(key=tuple(k >> 8 for k in key))
    else:
        return Meaning(key=key)
    setattr(picture, _KEPT, meaning)  # for when a caller's picture, decoded by then, comes again
    return meaning


def _low_bytes(picture: Any) -> Image.Image:
    """The low bytes of a 16-bit RGB PNG that is about to be decoded; its stream stays where it was."""
    stream = picture.fp
    place = stream.tell()
    try:
        stream.seek(0)
        again = type(picture)(stream)
        again.tile = [_with_args(again.tile[0], _RGB_16_LOW)]
        again.load()
    finally:
        stream.seek(place)
    return Image.merge("RGB", again.split())  # without the file's notes


def _of_tiff(picture: Any, name: str) -> Meaning:
    tags = picture.tag_v2
    bits = tags.get(_BITS, (1,))
    if picture.mode == "L" and tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED:
        raise ImageError("got signed numbers of 8 bits, expected unsigned ones", path=name)
    if picture.tile:
        _mend_tiles(picture, max(bits))
    numbers = picture.mode == "F" or picture.mode.startswith("I")
    return Meaning(
        most=4095 if bits[0] == 12 else 65535,
        negative=numbers and (tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO or _turned(picture)),
    )


def _turned(picture: Image.Image) -> bool:
    return getattr(picture, "white_is_zero", False)  # as `featcodec.pictures.opening` opens it


def _mend_tiles(picture: Any, bits: int) -> None:
    """Have a TIFF, not yet decoded, decoded as it is meant.

    Uncompressed ones Pillow decodes itself, but planes of 16 bits and subsampled colours wrongly: libtiff
    does that. And libtiff gives numbers in the machine's byte order, but Pillow swaps those of some files.
    """
    tags = picture.tag_v2
    planes = tags.get(_PLANAR, 1) == _SEPARATE and picture.mode in ("RGB", "RGBA", "CMYK") and bits > 8
    if picture.tile[0][0] != "libtiff" and (planes or _is_subsampled(tags, picture.width * picture.height)):
        tags[_COMPRESSION] = _DEFLATE  # Pillow leaves it to libtiff then, which sees what the file says
        picture._setup()
    first = picture.tile[0]
    raw = _raw_mode(first)
    if first[0] == "libtiff" and raw in _NATIVE:
        picture.tile = [_with_args(first, (_NATIVE[raw], *first[3][1:]))]


def _is_subsampled(tags: Any, pixels: int) -> bool:
    """Whether two or more pixels of an uncompressed TIFF share their colour."""
    whole = sum(tags.get(_STRIP_BYTES, ())) == 3 * pixels  # whatever the tag, or its absence, says
    return tags.get(_PHOTOMETRIC) == _YCBCR and tags.get(_SUBSAMPLING, (2, 2)) != (1, 1) and not whole


def _raw_mode(tile: Any) -> str:
    args = tile[3]
    raw = args[0] if isinstance(args, tuple) else args
    return raw if isinstance(raw, str) else ""


def _with_args(tile: Any, args: Any) -> Any:
    """A tile of Pillow's, which are plain tuples in older versions, with other arguments for its decoder."""
    parts = (*tile[:3], args)
    return type(tile)._make(parts) if hasattr(tile, "_make") else parts


# ---- from modes to grey or RGB


def is_flat(picture: Image.Image, meaning: Meaning) -> bool:
    """Whether a picture is grey or RGB of 8 bits, and opaque."""
    return picture.mode in ("L", "RGB") and not _is_keyed(picture, meaning)


def flatten(
    picture: Image.Image, meaning: Meaning, name: str, factor: tuple[int, int] = (1, 1)
) -> Image.Image:
    """Any mode as L or RGB, opaque, converted in strips so that no large picture is held in several modes.

    Args:
        picture: decoded, of any mode.
        meaning: what its file said before it was decoded.
        name: what messages call it.
        factor: (across, down), the sides in pixels of the blocks that are averaged; at least 1.

    Returns:
        The picture itself if there is nothing to convert or average, else a new one, sides rounded up.

    Raises:
        ImageError: numbers that are out of range.

    Example:
        >>> flatten(Image.new("RGBA", (7, 7)), Meaning(), "seven.png", (2, 2)).size
        (4, 4)
    """
    if factor == (1, 1) and is_flat(picture, meaning):
        return picture
    down = factor[1]
    step = down * max(1, _STRIP_PIXELS // (down * picture.width))
    flat: Image.Image | None = None
    for top in range(0, picture.height, step):
        box = (0, top, picture.width, min(top + step, picture.height))
        part = picture if box[3] - top == picture.height else picture.crop(box)
        part = _opaque(part, box, meaning, name).reduce(factor)
        if flat is None:
            flat = Image.new(part.mode, (part.width, -(-picture.height // down)))
        flat.paste(part, (0, top // down))
    return picture if flat is None else flat


def _opaque(part: Image.Image, box: tuple[int, int, int, int], meaning: Meaning, name: str) -> Image.Image:
    """A strip of a picture, which lies at `box`, as L or RGB."""
    mode = part.mode
    if mode == "F" or mode.startswith("I"):  # Pillow's own conversion clips these at 255
        numbers = _numbers(part, meaning, name)
        flat = assemble(array_raster(numbers, name), (1, 1))
        return _whitened(flat, np.asarray(part) == meaning.key) if isinstance(meaning.key, int) else flat
    if mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return cast(Image.Image, ImageCms.applyTransform(part, transform))  # None only where in place
    if mode == "La":
        part = part.convert("LA")
    if mode in ("LA", "La", "P", "PA", "RGBA", "RGBa"):
        return over_white(part)
    flat = part if mode in ("L", "RGB") else part.convert("L" if mode == "1" else "RGB")
    if not _is_keyed(part, meaning):
        return flat
    keyed = _equal(flat, meaning.key)
    if meaning.low is not None:
        keyed &= _equal(meaning.low[0].crop(box), meaning.low[1])
    return _whitened(flat, keyed)


def _is_keyed(picture: Image.Image, meaning: Meaning) -> bool:
    return isinstance(meaning.key, tuple if picture.mode == "RGB" else int) and picture.mode in (
        "1",
        "L",
        "RGB",
    )


def _equal(picture: Image.Image, key: Any) -> NDArray[np.bool_]:
    """Pixels (H, W) of mode L or RGB that have a colour."""
    equal: NDArray[np.bool_] = np.asarray(picture) == np.asarray(key)
    return equal.all(2) if equal.ndim == 3 else equal


def _whitened(flat: Image.Image, where: NDArray[np.bool_]) -> Image.Image:
    flat = flat.copy()  # it may be the caller's
    flat.paste("white", mask=Image.fromarray(where))
    return flat


def _numbers(part: Image.Image, meaning: Meaning, name: str) -> NDArray[Any]:
    """Modes F, I and I;16 as an array (H, W) of a kind that `array_raster` takes, 0 for black."""
    values = np.asarray(part)
    if part.mode == "F":
        return 1 - values if meaning.negative else values
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > meaning.most:
        bits = meaning.most.bit_length()
        raise ImageError(
            f"got values from {low} to {high}, expected {bits} bits, 0 to {meaning.most}", path=name
        )
    if meaning.negative:
        values = meaning.most - values.astype(np.int32)
    if meaning.most != 65535:
        values = values.astype(np.int64) * 65535 // meaning.most
    return values.astype(np.uint16)
