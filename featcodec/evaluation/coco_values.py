"""Values of a COCO json, one at a time, and how messages show them."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple, TypeAlias

from featcodec.errors import InputError
from featcodec.files import printable

__all__ = [
    "_LARGEST_ID",
    "Id",
    "Where",
    "described",
    "file_name",
    "identity",
    "number",
    "plain",
    "shown",
    "side",
]

_LARGEST_ID = 2**63 - 1  # of pycocotools' arrays
_SHOWN = 60  # characters of a wrong value in a message

Id: TypeAlias = int | str


class Where(NamedTuple):
    """What messages call an entry of a list: by its id, or else by its position.

    >>> str(Where("image", 2, 1532)), str(Where("image", 2, None))
    ('image 1532', 'images[2]')
    """

    what: str
    position: int
    id: Any

    def __str__(self) -> str:
        return f"{self.what}s[{self.position}]" if self.id is None else f"{self.what} {shown(self.id)}"


def number(value: Any, *, flags: bool = False) -> float:
    """A number as a float; NaN for what is none, such as a number in quotation marks."""
    if not isinstance(value, int | float) or (isinstance(value, bool) and not flags):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def identity(entry: dict[str, Any], key: str, where: object) -> Id:
    """An id as the json writes it: a number or text.

    Raises:
        InputError: neither.
    """
    value = entry.get(key)
    if type(value) is int and -_LARGEST_ID <= value <= _LARGEST_ID:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)  # tables with a gap in a column turn its integers into floats
    if isinstance(value, str) and value.strip():
        return value
    got = "none" if key not in entry else shown(value)
    raise InputError(f"{where}: {key}: got {got}, expected a whole number of at most 63 bits, or text")


def side(entry: dict[str, Any], key: str, where: object) -> int:
    """A side of a picture.

    Raises:
        InputError: no positive whole number.
    """
    value = entry.get(key)
    pixels = number(value)
    if not pixels.is_integer() or pixels < 1:
        got = "none" if key not in entry else shown(value)
        raise InputError(f"{where}: {key}: got {got}, expected a positive whole number of pixels")
    return int(pixels)


def file_name(entry: dict[str, Any], where: object) -> str:
    """The file of a picture.

    Raises:
        InputError: no text that can be one.
    """
    value = entry.get("file_name")
    if not isinstance(value, str) or not value or "\0" in value:
        got = "none" if "file_name" not in entry else shown(value)
        raise InputError(f"{where}: file_name: got {got}, expected a file")
    return value


def plain(written: Id) -> str:
    """The same for 7, "7" and "007"."""
    return str(written).strip().lstrip("0") or "0"


def described(written: Id) -> str:
    """An id, and whether it is text or a number."""
    return f"{shown(written)} ({'text' if isinstance(written, str) else 'a number'})"


def shown(value: Any) -> str:
    """A value as the json writes it, on one short line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError:  # an integer that Python refuses to write
        text = f"a {type(value).__name__}"
    text = printable(text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
