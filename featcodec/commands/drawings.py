"""The drawing of ``featcodec detect --draw``."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.errors import InputError
from featcodec.plf.bitstream import Limits
from featcodec.plf.header import Header

if TYPE_CHECKING:
    from PIL import Image

    from featcodec.pictures.boxes import Boxes

__all__ = ["as_file", "drawing_name", "drawn", "ground"]

_KINDS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def drawing_name(text: str) -> str:
    """For argparse: the name of a drawing."""
    if Path(text).suffix.lower() not in _KINDS:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a name in {', '.join(_KINDS)}")
    return text


def ground(photo: bytes | None, header: Header, limits: Limits) -> Image.Image:
    """What to draw on: the photograph, if there is one, or plain grey.

    Args:
        photo: the photograph, as the bytes of a file.
        header: of the ``.plf`` that was made of it.
        limits: of the photograph.

    Raises:
        InputError: the photograph is not the one that was encoded.
    """
    from featcodec.pictures.drawing import canvas
    from featcodec.pictures.loading import open_picture

    size = header.width, header.height
    if photo is None:
        return canvas(*size)
    picture = open_picture(photo, max_pixels=limits.max_pixels)
    if picture.size != size:
        got, expected = (f"{width} x {height}" for width, height in (picture.size, size))
        raise InputError(f"got {got} pixels, expected {expected}, the size of the picture encoded")
    return canvas(*size, picture)


def drawn(path: str, ground: Image.Image, boxes: Boxes, header: Header) -> bytes:
    """The boxes on what `ground` gave, as a file of the kind that its name says."""
    from featcodec.pictures.drawing import draw_boxes

    return as_file(path, draw_boxes(ground, boxes, photograph=(header.width, header.height)))


def as_file(path: str, picture: Image.Image) -> bytes:
    """A picture as a file of the kind that its name says."""
    buffer = io.BytesIO()
    picture.save(buffer, _KINDS[Path(path).suffix.lower()], quality=90)
    return buffer.getvalue()
