"""Any picture -> the tensor that a network takes, with the geometry that leads boxes back.

    path, bytes ────┐                                          ┌─ load_image ───▶ x (1, 3, H, W), Geometry
    PIL image ──────┼─▶ _Reading: 8 bits, opaque, as stored ───┤
    array, tensor ──┘    (for x: no finer than x needs)        └─ open_picture ─▶ PIL image, every pixel

What every way in has in common: the first frame of an animation, turned upright as EXIF says, alpha laid
over white (as viewers do), 16 bits scaled to 8. A large JPEG is decoded at a reduced scale, and a large
array or tensor is read in strips, so that the whole photograph never lies in memory as floats.
"""

from __future__ import annotations

import operator
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featcodec.errors import NO_PATH, ImageError, InputError
from featcodec.files import printable
from featcodec.pictures.flatten import Meaning, flatten, is_flat
from featcodec.pictures.geometry import Geometry, check_positive
from featcodec.pictures.opening import check_pixels, check_work, open_encoded, open_file, quiet
from featcodec.pictures.rasters import (
    Raster,
    array_raster,
    assemble,
    from_bgr,
    is_tensor,
    tensor_raster,
)

if TYPE_CHECKING:
    import torch

__all__ = ["GREY", "Channels", "ImageLike", "load_canvas", "load_image", "open_picture", "upright_size"]

ImageLike: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[Any] | torch.Tensor"
)
Channels: TypeAlias = Literal["rgb", "bgr"]  # the order of an array's or tensor's colours

_T = TypeVar("_T")
_Box: TypeAlias = tuple[float, float, float, float]

GREY = 114  # what the YOLO family was trained to see beside a picture
_ORIENTATION = 0x0112  # the EXIF tag
_TIFF_WIDTH, _TIFF_HEIGHT = 0x0100, 0x0101
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_CANVAS_PIXELS = 2**26  # of x at most: 805 MB
_GAP = 2.0  # blocks are averaged down to no less than so many times the scaled picture
_FILTERS = threading.Lock()


def load_image(
    image: ImageLike,
    *,
    size: int = 416,
    stride: int = 32,
    upscale: bool = False,
    max_pixels: int = 2**28,
    channels: Channels = "rgb",
) -> tuple[torch.Tensor, Geometry]:
    """Read a picture of any kind as the tensor that a network takes.

    The picture is turned upright (EXIF), its first frame taken, alpha laid over white, 16 bits scaled to 8;
    then it is scaled down with antialiasing and centred on a grey (114) canvas.

    Args:
        image: path of a file, or its bytes, of any kind that Pillow decodes (EPS and WMF, which it hands
            to other programs, are not); a PIL image of any mode (mode I counts as 16 bits, F as [0, 1]);
            an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or a tensor (H, W), (C, H, W) or
            (1, C, H, W) with C = 1, 3 or 4, on any device, both of uint8, uint16, bool or floats in
            [0, 1]. Their colours are in the order RGB(A), unless ``channels`` says otherwise: what
            ``cv2.imread`` or ``cv2.VideoCapture`` gave is BGR, and nothing in it says so. HEIC is read
            once ``pillow_heif.register_heif_opener()`` was called; RAW files have to be developed first.
        size: longest side after scaling, in pixels; at least 1.
        stride: what both canvas sides are multiples of, in pixels; at least 1.
        upscale: enlarge a picture smaller than ``size``; without it such a picture keeps its size.
        max_pixels: larger pictures are refused before their pixels are decoded. It stands in for
            Pillow's own limit (which TIFF, WebP and icons still obey: 2 * ``Image.MAX_IMAGE_PIXELS``).
        channels: "rgb", or "bgr" for an array or tensor of 3 or 4 channels in the order BGR(A), as OpenCV
            gives them.

    Returns:
        x, float32 (1, 3, H, W), contiguous, RGB in [0, 1], multiples of 1/255, on the CPU; and the
        geometry that leads boxes on it back to the picture.

    Raises:
        ImageError: no image, a damaged or truncated one, one that is too large, or pixels of an unknown
            kind; the message names the file.
        InputError: an option that makes no sense, or a canvas of more than 2**26 pixels.

    Example:
        >>> x, geometry = load_image(np.zeros((480, 640, 3), np.uint8))
        >>> x.shape, geometry
        (torch.Size([1, 3, 320, 416]), Geometry(width=640, height=480, size=416, stride=32))
    """
    import torch

    canvas, geometry = load_canvas(
        image, size=size, stride=stride, upscale=upscale, max_pixels=max_pixels, channels=channels
    )
    x = torch.from_numpy(canvas).permute(2, 0, 1).unsqueeze(0).contiguous()  # (1, 3, H, W)
    return x.to(torch.float32).div_(255), geometry


def load_canvas(
    image: ImageLike,
    *,
    size: int = 416,
    stride: int = 32,
    upscale: bool = False,
    max_pixels: int = 2**28,
    channels: Channels = "rgb",
) -> tuple[NDArray[np.uint8], Geometry]:
    """As `load_image`, without torch: pixels (H, W, 3) of 8 bits, RGB.

    Example:
        >>> canvas, _ = load_canvas(np.zeros((480, 640), np.uint8))
        >>> canvas.shape, canvas[0, 0].tolist()
        ((320, 416, 3), [0, 0, 0])
    """
    check_positive(size=size, stride=stride, max_pixels=max_pixels)
    reading = _read(image, operator.index(size), max_pixels, channels)
    geometry = Geometry.fit(*reading.upright_size, size=size, stride=stride, upscale=upscale)
    if geometry.canvas_width * geometry.canvas_height > _CANVAS_PIXELS:
        got = f"a canvas of {geometry.canvas_width} x {geometry.canvas_height}"
        raise InputError(f"size and stride: got {got}, expected at most {_CANVAS_PIXELS} pixels")
    return np.array(_letterbox(reading, geometry)), geometry


def open_picture(image: ImageLike, *, max_pixels: int = 2**28, channels: Channels = "rgb") -> Image.Image:
    """Read a picture of any kind at full resolution, to draw boxes on.

    Args:
        image: as for :func:`load_image`.
        max_pixels: larger pictures are refused before their pixels are decoded.
        channels: as for :func:`load_image`.

    Returns:
        A new RGB image, upright, so that boxes in pixels of the original photograph fit it. It carries no
        metadata: an EXIF orientation, saved again, would turn it twice.

    Raises:
        ImageError: as for :func:`load_image`.
        InputError: ``max_pixels`` is no integer, or less than 1.

    Example:
        >>> open_picture(np.zeros((480, 640), np.uint8)).size
        (640, 480)
    """
    check_positive(max_pixels=max_pixels)
    reading = _read(image, None, max_pixels, channels)
    stored = reading.picture
    if stored.mode != "RGB" or stored is image or type(stored) is not Image.Image:  # a file's keeps its EXIF
        stored = stored.convert("RGB")  # copies, RGB too
    picture = _turn(stored, reading.orientation)
    picture.info = {}
    return picture


def upright_size(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """Sides of a picture in a file as `load_image` turns it, in pixels. No pixel is decoded.

    Args:
        path: a file of any kind that Pillow decodes.

    Returns:
        Width and height upright, those that a file of several sizes says first, and the EXIF orientation,
        1 to 8; from 5 on the stored sides are exchanged.

    Raises:
        ImageError: no image, or one with a damaged beginning; the message names the file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exif = Image.Exif()
        ...     exif[0x0112] = 6
        ...     Image.new("L", (640, 480)).save(Path(folder, "turned.jpg"), exif=exif)
        ...     upright_size(Path(folder, "turned.jpg"))
        (480, 640, 6)
    """
    name = _name(path)

    def read() -> tuple[int, int, int]:
        with _opened(path, name) as picture:
            tags = getattr(picture, "tag_v2", None) if picture.format == "TIFF" else None
            if tags is None:
                width, height = picture.size
                orientation = _orientation(picture)
            else:  # releases of Pillow differ in whether a TIFF's sides are exchanged before it is loaded
                width, height = tags.get(_TIFF_WIDTH), tags.get(_TIFF_HEIGHT)
                orientation = tags.get(_ORIENTATION, 1)
                orientation = orientation if orientation in _TURNS else 1
            return (height, width, orientation) if orientation >= 5 else (width, height, orientation)

    with _refusing(name):
        return _without_warnings(read)


# ---- from pixels as stored to the canvas


@dataclass(frozen=True, slots=True)
class _Reading:
    """A picture as stored, not yet turned upright, perhaps at a reduced scale."""

    picture: Image.Image  # mode L or RGB
    width: int  # of the original, as stored
    height: int
    box: _Box  # the part of `picture` that shows the original: a reduced last pixel may reach beyond it
    orientation: int  # EXIF, 1 to 8

    @property
    def upright_size(self) -> tuple[int, int]:
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def _letterbox(reading: _Reading, geometry: Geometry) -> Image.Image:
    """Scale, turn (cheap once the picture is small) and centre on grey: RGB, canvas size."""
    scaled = (geometry.scaled_width, geometry.scaled_height)
    as_stored = scaled[::-1] if reading.orientation >= 5 else scaled
    small = reading.picture.resize(as_stored, Image.Resampling.BILINEAR, box=reading.box, reducing_gap=_GAP)
    canvas = Image.new("RGB", (geometry.canvas_width, geometry.canvas_height), (GREY, GREY, GREY))
    canvas.paste(_turn(small, reading.orientation), (geometry.left, geometry.top))
    return canvas


def _turn(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def _needed(width: int, height: int, size: int | None) -> tuple[int, int]:
    """Fewest pixels to read: twice those of the scaled picture, so that the filter still has its say."""
    if size is None:
        return width, height
    twice = Geometry.fit(width, height, size=2 * size)
    return twice.scaled_width, twice.scaled_height


# ---- ways in


def _read(image: ImageLike, size: int | None, max_pixels: int, channels: str) -> _Reading:
    """Read at no less detail than a longest side of `size` needs; whole without one."""
    if channels not in ("rgb", "bgr"):
        raise InputError(f"channels: got {channels!r}, expected 'rgb' or 'bgr'")
    if is_tensor(image) or isinstance(image, np.ndarray):
        raster = array_raster(image) if isinstance(image, np.ndarray) else tensor_raster(image)
        return _read_raster(from_bgr(raster) if channels == "bgr" else raster, size, max_pixels)
    if channels == "bgr":
        name = type(image).__name__
        raise InputError(f"channels: got 'bgr' and a picture as {name}, expected an array or tensor with it")
    if isinstance(image, Image.Image):
        name = f"<PIL image {image.mode} {image.width} x {image.height}>"
        with _refusing(name):
            # Not drafted: that would shrink the caller's own image.
            return _without_warnings(lambda: _read_picture(image, name, None, max_pixels))
    name = _name(image)
    with _refusing(name):
        return _without_warnings(lambda: _read_encoded(image, name, size, max_pixels))


def _name(image: object) -> str:
    """What messages call a file or its bytes: one printable line."""
    if isinstance(image, (bytes, bytearray, memoryview)):
        return NO_PATH
    if isinstance(image, (str, os.PathLike)):
        return printable(os.fsdecode(image)) or "''"
    expected = "a path, bytes, a PIL image, a NumPy array or a torch tensor"
    raise ImageError(f"image: got {type(image).__name__}, expected {expected}")


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Make one kind of error of the many that Pillow raises on damaged data."""
    try:
        with quiet:
            yield
    except ImageError:
        raise
    except OSError as error:
        reason = error.strerror or f"no readable image: {error}"
        raise ImageError(" ".join(reason.split()), path=name) from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise ImageError(f"no readable image: {reason}", path=name) from error


def _without_warnings(work: Callable[[], _T]) -> _T:
    """Run `work`, again if the caller's filters made an error of one of Pillow's warnings.

    Filters belong to the whole process, and changing them is safe in no thread but one; so nothing is
    changed under ordinary filters, where the warnings do no harm.
    """
    try:
        return work()
    except Warning:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()


def _read_encoded(image: Any, name: str, size: int | None, max_pixels: int) -> _Reading:
    with _opened(image, name) as picture:
        return _read_picture(picture, name, size, max_pixels)


def _opened(image: Any, name: str) -> AbstractContextManager[Image.Image]:
    if isinstance(image, (bytes, bytearray, memoryview)):
        return open_encoded(bytes(image), name)
    return open_file(os.fsdecode(image), name)


def _read_raster(raster: Raster, size: int | None, max_pixels: int) -> _Reading:
    width, height = raster.width, raster.height
    check_pixels(raster.name, width, height, max_pixels)
    wide, high = _needed(width, height, size)
    across, down = width // wide, height // high
    picture = assemble(raster, (across, down))
    return _Reading(picture, width, height, (0, 0, width / across, height / down), 1)


def _read_picture(picture: Image.Image, name: str, size: int | None, max_pixels: int) -> _Reading:
    width, height = picture.size
    check_pixels(name, width, height, max_pixels)
    check_work(picture, name, max_pixels)
    meaning = Meaning.of(picture, name)
    drafted = picture.draft(None, _needed(width, height, size)) if size else None  # JPEG only
    picture.load()
    if drafted is None:  # a TIFF turns itself, and an icon finds its size, as it loads
        width, height = picture.size
        check_pixels(name, width, height, max_pixels)
    x1, y1, x2, y2 = drafted[1] if drafted else (0, 0, width, height)
    across = down = 1
    if not is_flat(picture, meaning):  # else its pixels are averaged as it is scaled
        across, down = _factor((width, height), (x2 - x1, y2 - y1), size)
    flat = flatten(picture, meaning, name, (across, down))
    box = (x1 / across, y1 / down, x2 / across, y2 / down)
    return _Reading(flat, width, height, box, _orientation(picture))


def _factor(stored: tuple[int, int], shown: tuple[float, float], size: int | None) -> tuple[int, int]:
    """Sides of the blocks that `resize`, as `_letterbox` calls it, averages first."""
    if size is None:
        return 1, 1
    scaled = Geometry.fit(*stored, size=size)
    across, down = shown[0] / scaled.scaled_width / _GAP, shown[1] / scaled.scaled_height / _GAP
    return max(1, int(across)), max(1, int(down))


def _orientation(picture: Image.Image) -> int:
    if picture.format == "TIFF":  # it turned itself as it was loaded; before Pillow 10.1 the tag stays
        return 1
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Warning:
        raise
    except Exception:  # corrupt EXIF is no reason to refuse a sound picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
