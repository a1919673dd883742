"""Encoded pictures opened by Pillow: in silence, without other programs, and with bounds on the work.

A picture's pixels are bounded by max_pixels, but pixels do not bound the work: a progressive JPEG may go
over all of them in each of a thousand scans, a file may consist of millions of empty chunks, and some of
Pillow's decoders are Python. `check_work` and the streams here bound that.
"""

from __future__ import annotations

import ctypes
import io
import logging
import os
import re
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from PIL import Image, TiffImagePlugin

from featcodec.errors import ImageError
from featcodec.unreadable import RAW_ENDINGS, kind_by_ending, kind_of, refusal

__all__ = ["check_pixels", "check_work", "open_encoded", "open_file", "quiet"]

MOST_SCANS = 64  # of a JPEG; encoders write about 10
MOST_SLOW_PIXELS = 2**24  # in a file of fewer bytes, where Pillow's decoder is Python: some seconds
_FREE_READS = 2**18  # of a file by Pillow's Python code; one more for each 256 bytes of the file
_READ_EVERY = 256
_FREE_TILE = 2**20  # pixels of a TIFF's tile, even where fewer are allowed in a picture
_PLF_MAGIC = b"\x89PLF"
_PROGRAMS = {"EPS", "WMF"}  # to read these Pillow starts Ghostscript, or the system's renderer
_NOT_THIS_KIND = (SyntaxError, IndexError, TypeError, struct.error)  # what a plugin raises to pass a file on
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # not FF 00, nor a restart within a scan
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE = {0x01, 0xD8}  # JPEG markers without a segment
# tags of TIFF files
_NEW_SUBFILE_TYPE, _BITS_PER_SAMPLE, _PHOTOMETRIC = 254, 258, 262
_TILE_WIDTH, _TILE_LENGTH, _SUB_IFDS, _DNG_VERSION = 322, 323, 330, 50706

# Pillow logs some damages, which Python prints if nobody has set logging up. Other handlers still act.
logging.getLogger("PIL").addHandler(logging.NullHandler())


# ---- silence


class _Silence:
    """Libtiff's messages, which it prints to standard error, switched off while anybody is within `quiet`.

    The handler belongs to the whole process; so it is switched off by the first thread to come and on again
    by the last to go. Standard error itself is not touched, so nothing that others write there is lost. Where
    Pillow was linked with libtiff in a way that hides it (Windows), the messages remain.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._handlers: list[tuple[Any, int | None]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._handlers = [(setter, setter(None)) for setter in _setters()]

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for setter, handler in self._handlers:
                    setter(handler)


@lru_cache(maxsize=1)
def _setters() -> tuple[Any, ...]:
    """Libtiff's functions that exchange its handlers of errors and warnings, as Pillow uses them."""
    found = []
    with suppress(ImportError, OSError, AttributeError):
        from PIL import _imaging

        library = ctypes.CDLL(_imaging.__file__)  # loaded already; finds what it is linked with, too
        for name in ("Error", "ErrorExt", "Warning", "WarningExt"):
            plain, extended = name.removesuffix("Ext"), "Ext" if name.endswith("Ext") else ""
            setter = getattr(library, f"TIFFSet{plain}Handler{extended}")
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            found.append(setter)
    return tuple(found)


quiet = _Silence()


# ---- opening


class _Metered:
    """A stream that is read in so many pieces at most as a sound picture of its size may need."""

    left = 0
    shown = ""

    def allow(self, size: int, name: str) -> None:
        """Set how often a stream of `size` bytes may be read, and what messages call it."""
        self.left = _FREE_READS + size // _READ_EVERY
        self.shown = name

    def read(self, size: int | None = -1, /) -> bytes:
        self._count()
        return super().read(size)  # type: ignore[misc, no-any-return]

    def readline(self, size: int | None = -1, /) -> bytes:
        self._count()
        return super().readline(size)  # type: ignore[misc, no-any-return]

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ImageError("got a file of too many small parts, expected a picture", path=self.shown)


class _File(_Metered, io.BufferedReader):
    pass


class _Bytes(_Metered, io.BytesIO):
    pass


@contextmanager
def open_file(path: str, name: str) -> Iterator[Image.Image]:
    """A picture in a file, not yet decoded; the file is closed at the end.

    Raises:
        ImageError: no regular file, or no picture.
        OSError: as the operating system says.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):  # opening a pipe could wait forever
        kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise ImageError(f"got {kind}, expected an image file", path=name)
    with Path(path).open("rb", 0) as raw, _File(raw) as file:
        file.allow(os.fstat(file.fileno()).st_size, name)
        yield _open(file, name)


@contextmanager
def open_encoded(data: bytes, name: str) -> Iterator[Image.Image]:
    """A picture in memory, not yet decoded.

    Raises:
        ImageError: no picture.
    """
    with _Bytes(data) as stream:
        stream.allow(len(data), name)
        yield _open(stream, name)


def _open(stream: IO[bytes], name: str) -> Image.Image:
    """As Image.open, but without its limit on pixels (max_pixels is ours) and without other programs."""
    prefix = stream.read(16)
    if not prefix:
        raise ImageError("got 0 bytes, expected an image", path=name)
    if prefix.startswith(_PLF_MAGIC):
        raise ImageError("got a .plf file, expected an image; decode it, it is encoded already", path=name)
    kind = kind_of(prefix)
    if kind == "RAW":  # else Pillow could take its thumbnail for it
        raise ImageError(refusal(kind), path=name)
    picture, reason = _first_that_opens(stream, prefix)
    if picture is None:
        kind = kind or kind_by_ending(name)
        raise ImageError(refusal(kind) if kind else f"no image of a known kind ({reason})", path=name)
    if picture.format == "TIFF":
        _check_tiff(picture, name)
    return picture


class _Tiff(TiffImagePlugin.TiffImageFile):
    """Reads numbers with white at 0 as if black was there, since some of them Pillow refuses otherwise."""

    white_is_zero = False

    def _setup(self) -> None:
        bits = self.tag_v2.get(_BITS_PER_SAMPLE, (1,))
        if self.tag_v2.get(_PHOTOMETRIC) == 0 and max(bits) > 8:
            self.white_is_zero = True
            self.tag_v2[_PHOTOMETRIC] = 1
        super()._setup()


def _first_that_opens(stream: IO[bytes], prefix: bytes) -> tuple[Image.Image | None, str]:
    """What the first plugin of Pillow makes of a stream that takes it; else why none does."""
    reason = f"it starts with {prefix[:8]!r}"
    for import_plugins in (Image.preinit, Image.init):  # the common kinds, then all
        import_plugins()
        for kind in [kind for kind in Image.ID if kind not in _PROGRAMS]:
            factory, accept = Image.OPEN[kind]
            try:
                accepted = accept is None or accept(prefix)
                if accepted and not isinstance(accepted, str):  # a str says why this Pillow cannot
                    stream.seek(0)
                    ours = _Tiff if factory is TiffImagePlugin.TiffImageFile else factory
                    return ours(stream, ""), ""
            except _NOT_THIS_KIND as error:
                reason = " ".join(f"{kind}: {error}".split()) if accept else reason
    return None, reason


# ---- bounds


def check_pixels(name: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture without pixels, or with too many."""
    if width < 1 or height < 1:
        raise ImageError(f"got {width} x {height} pixels, expected at least one", path=name)
    if width * height > max_pixels:
        raise ImageError(
            f"got {width} x {height} pixels, expected at most {max_pixels} (max_pixels)", path=name
        )


def check_work(picture: Image.Image, name: str, max_pixels: int) -> None:
    """Refuse a picture, not yet decoded, that would take far more time or memory than its pixels say."""
    tiles = getattr(picture, "tile", None)
    if not tiles:  # decoded already, or not by parts
        return
    stream: Any = getattr(picture, "fp", None)
    place = stream.tell() if stream is not None else None
    try:
        if stream is not None and tiles[0][0] in Image.DECODERS:
            _check_slow(picture, stream, name)
        if stream is not None and picture.format in ("JPEG", "MPO") and _scans(stream) > MOST_SCANS:
            raise ImageError(
                f"got a JPEG of more than {MOST_SCANS} scans, expected at most so many", path=name
            )
    finally:
        if stream is not None:
            stream.seek(place)
    if picture.format == "TIFF":
        tags: Any = picture.tag_v2  # type: ignore[attr-defined]
        across, down = tags.get(_TILE_WIDTH, 1), tags.get(_TILE_LENGTH, 1)
        if across * down > max(max_pixels, _FREE_TILE):  # whatever the picture shows of it, all is decoded
            raise ImageError(
                f"got tiles of {across} x {down} pixels, expected at most {max_pixels}", path=name
            )


def _check_slow(picture: Image.Image, stream: IO[bytes], name: str) -> None:
    """Refuse many pixels in few bytes where Pillow goes over them in Python."""
    size = stream.seek(0, os.SEEK_END)
    if isinstance(stream, _Metered):
        stream.left += size  # such decoders may read each byte by itself
    if picture.width * picture.height > max(MOST_SLOW_PIXELS, size):
        got = f"{picture.width} x {picture.height} pixels, compressed, in a {picture.format} file"
        raise ImageError(
            f"got {got}, which takes long to decode, expected at most {MOST_SLOW_PIXELS} pixels; "
            "convert it to PNG first",
            path=name,
        )


def _check_tiff(picture: Image.Image, name: str) -> None:
    """Refuse RAW files: most are TIFF files whose first picture is a thumbnail."""
    tags: Any = picture.tag_v2  # type: ignore[attr-defined]
    reduced = tags.get(_NEW_SUBFILE_TYPE, 0)
    thumbnail = _SUB_IFDS in tags and isinstance(reduced, int) and reduced & 1
    if thumbnail or _DNG_VERSION in tags or Path(name).suffix.lower() in RAW_ENDINGS:
        raise ImageError(refusal("RAW"), path=name)


def _scans(stream: IO[bytes]) -> int:
    """Scans of a JPEG up to its end, or one more than are allowed; no pixel is decoded."""
    scans = 0
    stream.seek(2)
    while scans <= MOST_SCANS:
        marker = _next_marker(stream)
        if marker in (None, _END_OF_IMAGE):
            break
        scans += marker == _START_OF_SCAN
        if marker not in _ALONE:
            length = stream.read(2)
            stream.seek(max(0, int.from_bytes(length, "big") - 2), os.SEEK_CUR)
    return scans


def _next_marker(stream: IO[bytes]) -> int | None:
    """Read on behind the next marker of a JPEG, past the data of a scan; None at the end of the file."""
    size = 64
    while part := stream.read(size):
        if found := _MARKER.search(part):
            stream.seek(found.end() - len(part), os.SEEK_CUR)
            return found[1][0]
        if part.endswith(b"\xff") and len(part) > 1:  # the marker's other half is still to come
            stream.seek(-1, os.SEEK_CUR)
        size = min(2 * size, 2**16)
    return None
