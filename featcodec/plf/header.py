"""The ``H`` section of a ``.plf`` file, and the scale of qualities. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from featcodec.errors import InputError, MalformedError
from featcodec.plf.binary import MAX_UINT, Cursor, varint

__all__ = [
    "HIGHEST_STEP",
    "QUALITIES",
    "STEPS_PER_QUALITY",
    "Header",
    "parse_header",
    "quality_to_step",
    "serialize_header",
]

QUALITIES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)  # those that a codec has gains of
STEPS_PER_QUALITY = 32  # from one of them to the next
HIGHEST_STEP = (len(QUALITIES) - 1) * STEPS_PER_QUALITY
_CODEC_NAME = re.compile(r"[a-z0-9._-]{1,63}")
_VARINTS = ("width", "height", "size", "latent_height", "latent_width")
_RANGES = {"quality_step": (0, HIGHEST_STEP)} | dict.fromkeys(_VARINTS, (1, MAX_UINT))
_LENGTHS = {"fingerprint": 16, "symbol_hash": 4}


@dataclass(frozen=True, slots=True)
class Header:
    """What the ``H`` section says: which codec made the file, from what picture.

    Args:
        fingerprint: 16 bytes that identify the codec file.
        codec: the codec's name, 1 to 63 characters of ``a-z 0-9 . _ -``.
        quality_step: quality in steps of 1/32, 0 (quality 1.0) to 224 (quality 8.0).
        width: original picture after its EXIF rotation, in pixels.
        height: likewise.
        size: longest side in pixels to which the picture was scaled before the network.
        latent_height: rows of the latents ``y``.
        latent_width: columns of the latents ``y``.
        symbol_hash: 4 bytes by which a decoder checks the symbols.
    """

    fingerprint: bytes
    codec: str
    quality_step: int
    width: int
    height: int
    size: int
    latent_height: int
    latent_width: int
    symbol_hash: bytes

    @property
    def quality(self) -> float:
        """Quality from 1.0 (smallest file) to 8.0 (largest)."""
        return QUALITIES[0] + self.quality_step / STEPS_PER_QUALITY


def quality_to_step(quality: float) -> int:
    """Return the nearest step of the quality scale.

    Args:
        quality: 1.0 (smallest file) to 8.0 (largest).

    Returns:
        The step, 0 to 224.

    Raises:
        InputError: not a number from 1 to 8.

    Example:
        >>> quality_to_step(3.5)
        80
    """
    low, high = QUALITIES[0], QUALITIES[-1]
    if not isinstance(quality, (int, float)) or isinstance(quality, bool) or not low <= quality <= high:
        raise InputError(f"quality: got {quality!r}, expected a number from {low:g} to {high:g}")
    return round((quality - low) * STEPS_PER_QUALITY)


def parse_header(view: memoryview, start: int, end: int) -> Header:
    """Read the content of ``H``, all of it.

    Args:
        view: the whole file.
        start: position of the content in it.
        end: position behind the content.

    Returns:
        The header, its fields in range.

    Raises:
        MalformedError: the content breaks the format.
    """
    cursor = Cursor(view, start, end, "section H", MalformedError)
    fingerprint = bytes(cursor.take(_LENGTHS["fingerprint"], "fingerprint"))
    quality_step = _number(cursor, "quality_step")
    width, height, size, latent_height, latent_width = [_number(cursor, name) for name in _VARINTS]
    symbol_hash = bytes(cursor.take(_LENGTHS["symbol_hash"], "symbol hash"))
    name_length = cursor.take(1, "length of the codec name")[0]
    name_start = cursor.position
    codec = bytes(cursor.take(name_length, "codec name")).decode("latin-1")
    if problem := _codec_problem(codec):
        raise MalformedError(f"section H, offset {name_start}: {problem}")
    if cursor.position != cursor.end:
        raise MalformedError(
            f"section H: got {cursor.end - cursor.position} bytes at offset {cursor.position},"
            " expected none after the codec name"
        )
    return Header(
        fingerprint, codec, quality_step, width, height, size, latent_height, latent_width, symbol_hash
    )


def serialize_header(header: Header) -> bytes:
    """Return the content of ``H``.

    Args:
        header: what to write.

    Returns:
        Its bytes.

    Raises:
        InputError: a field that the format cannot hold.
    """
    _check_header(header)
    numbers = b"".join(varint(getattr(header, name)) for name in _VARINTS)
    codec = header.codec.encode("ascii")
    return b"".join(
        [
            header.fingerprint,
            bytes([header.quality_step]),
            numbers,
            header.symbol_hash,
            bytes([len(codec)]),
            codec,
        ]
    )


def _number(cursor: Cursor, name: str) -> int:
    """Return the next header number, in its range."""
    start = cursor.position
    value = cursor.take(1, name)[0] if name == "quality_step" else cursor.varint(name)
    if problem := _range_problem(name, value):
        raise MalformedError(f"section H, offset {start}: {problem}")
    return value


def _check_header(header: Header) -> None:
    """Check every field that a caller set."""
    for name, length in _LENGTHS.items():
        value = getattr(header, name)
        if not isinstance(value, bytes) or len(value) != length:
            got = f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__
            raise InputError(f"{name}: got {got}, expected {length} bytes")
    problems = [_range_problem(name, getattr(header, name)) for name in _RANGES]
    for problem in [*problems, _codec_problem(header.codec)]:
        if problem:
            raise InputError(problem)


def _range_problem(name: str, value: object) -> str | None:
    """Say what is wrong with a number of the header, if anything."""
    low, high = _RANGES[name]
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return None
    return f"{name}: got {value!r}, expected an integer from {low} to {high}"


def _codec_problem(codec: object) -> str | None:
    """Say what is wrong with a codec name, if anything."""
    if isinstance(codec, str) and _CODEC_NAME.fullmatch(codec):
        return None
    return f"codec name: got {codec!r:.80}, expected 1 to 63 characters of a-z 0-9 . _ -"
