"""The ``.plf`` container: parse, serialize and list what is in it. Standard library only.

    89 50 4C 46 0D 0A | 01 | H header | optional sections (m metadata, …) | D payload
         magic       version

    section = tag (1 letter) · length (varint) · content · CRC-32 (4 bytes, little-endian)

``docs/plf-format.md`` is the normative specification. What the payload means is not decided here.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from featcodec.errors import (
    BitstreamError,
    ChecksumError,
    InputError,
    LimitError,
    MalformedError,
    NotPlfError,
    TruncatedError,
    UnsupportedError,
)

__all__ = [
    "DEFAULT_LIMITS",
    "MAGIC",
    "MAX_METADATA",
    "VERSION",
    "Bitstream",
    "Header",
    "Limits",
    "Section",
    "parse",
    "quality_to_step",
    "sections",
    "serialize",
    "step_to_quality",
]

MAGIC = b"\x89PLF\r\n"
VERSION = 1
MAX_METADATA = 65_536

_PREAMBLE = MAGIC + bytes([VERSION])
_MAX_UINT = 2**32 - 1
_MAX_STEP = 224
_MAX_JSON_DEPTH = 32
_MAX_JSON_INTEGER = 2**53 - 1  # what every JSON reader keeps exactly (RFC 7493, section 2.2)
_CODEC_NAME = re.compile(r"[a-z0-9._-]{1,63}")
_VARINTS = ("width", "height", "size", "latent_height", "latent_width")
_RANGES = {"quality_step": (0, _MAX_STEP)} | dict.fromkeys(_VARINTS, (1, _MAX_UINT))
_LENGTHS = {"fingerprint": 16, "symbol_hash": 4}
# What the magic looks like after the usual accidents: this is why it has the bytes it has.
_ACCIDENTS = (
    (b"\x89PLF\n", "its CR LF became LF: transferred as text, not as binary"),
    (b"\x89PLF\r\r\n", "its LF became CR LF: transferred as text, not as binary"),
    (b"\x09PLF", "the high bit of its bytes was stripped: sent through a 7-bit channel"),
    (b"\xc2\x89PLF", "it was converted from Latin-1 to UTF-8: transferred as text, not as binary"),
    (b"\xef\xbf\xbdPLF", "it was decoded as UTF-8: transferred as text, not as binary"),
)


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
        return 1 + self.quality_step / 32


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a file may be; a reader allocates nothing before these are checked.

    Args:
        max_pixels: original width times height; also bounds the scaled picture.
        max_latents: latent rows times columns (positions, not channels).
        max_payload: bytes of the ``D`` section.
        max_metadata: bytes of the ``m`` section; the format itself allows no more than 65,536.
        max_sections: sections of any kind.
    """

    max_pixels: int = 2**28
    max_latents: int = 2**20
    max_payload: int = 2**26
    max_metadata: int = MAX_METADATA
    max_sections: int = 64

    @property
    def max_file(self) -> int:
        """Bytes of a whole file: payload, metadata, and 1 MiB for the header and unknown sections."""
        return self.max_payload + self.max_metadata + 2**20


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Section:
    """Where one section lies.

    Args:
        tag: its letter; lowercase sections are optional.
        offset: position of the tag in the file.
        length: bytes of the content.
        crc: the stored checksum.
    """

    tag: str
    offset: int
    length: int
    crc: int

    @property
    def start(self) -> int:
        """Position of the content in the file."""
        return self.offset + 1 + len(_varint(self.length))

    @property
    def size(self) -> int:
        """Bytes that the section takes in the file: tag, length, content and checksum."""
        return self.start - self.offset + self.length + 4


@dataclass(frozen=True, slots=True)
class Bitstream:
    """The content of a ``.plf`` file.

    Args:
        header: see `Header`.
        payload: the entropy-coded data, a positive multiple of 4 bytes.
        metadata: a JSON object, or ``None`` if the file has no such section.
    """

    header: Header
    payload: bytes
    metadata: Mapping[str, object] | None = None


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
    if not isinstance(quality, (int, float)) or isinstance(quality, bool) or not 1 <= quality <= 8:
        raise InputError(f"quality: got {quality!r}, expected a number from 1 to 8")
    return round((quality - 1) * 32)


def step_to_quality(step: int) -> float:
    """Return the quality that a step stands for.

    Args:
        step: 0 to 224.

    Returns:
        The quality, 1.0 to 8.0.

    Raises:
        InputError: not an integer from 0 to 224.

    Example:
        >>> step_to_quality(80)
        3.5
    """
    if problem := _range_problem("quality_step", step):
        raise InputError(problem)
    return 1 + step / 32


def parse(data: bytes | bytearray | memoryview, *, limits: Limits = DEFAULT_LIMITS) -> Bitstream:
    """Read a ``.plf`` file, checking every byte of it.

    Args:
        data: the whole file.
        limits: how large a picture, payload and so on to accept.

    Returns:
        Header, payload and metadata; unknown optional sections are skipped.

    Raises:
        NotPlfError: the magic is missing or damaged.
        UnsupportedError: another version, or an unknown critical section.
        TruncatedError: the file ends early.
        ChecksumError: a section is damaged, or comes from another file.
        MalformedError: the checksums agree, but the content breaks the format.
        LimitError: larger than ``limits`` allow.
        InputError: ``data`` is not bytes.

    Example:
        >>> header = Header(bytes(16), "street-open", 80, 4000, 3000, 640, 60, 80, bytes(4))
        >>> parse(serialize(Bitstream(header, bytes(4096)))).header.quality
        3.5
        >>> parse(b"GIF89a")
        Traceback (most recent call last):
        featcodec.errors.NotPlfError: magic at offset 0: got 47 49 46 38 39 61, expected 89 50 4c 46 0d 0a
    """
    view = _view(data)
    found = _scan(view, limits)
    header = _parse_header(view, found[0])
    _check_header_limits(header, limits)
    payload = found[-1]
    if payload.length == 0 or payload.length % 4:
        raise MalformedError(
            f"section D at offset {payload.offset}: got {payload.length} bytes of content,"
            " expected a positive multiple of 4"
        )
    metadata = None
    for section in found:
        if section.tag == "m":
            content = bytes(view[section.start : section.start + section.length])
            metadata = _parse_metadata(content, section.start)
    return Bitstream(header, bytes(view[payload.start : payload.start + payload.length]), metadata)


def sections(data: bytes | bytearray | memoryview, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Section, ...]:
    """List the sections of a ``.plf`` file, after checking their order and checksums.

    Args:
        data: the whole file.
        limits: as for `parse`; limits on what the header says do not apply.

    Returns:
        The sections in the order of the file, unknown optional ones included.

    Raises:
        BitstreamError: as for `parse`, except that the contents are not looked at.
        InputError: ``data`` is not bytes.

    Example:
        >>> header = Header(bytes(16), "street-open", 80, 4000, 3000, 640, 60, 80, bytes(4))
        >>> [(s.tag, s.offset, s.length) for s in sections(serialize(Bitstream(header, bytes(4096))))]
        [('H', 7, 41), ('D', 54, 4096)]
    """
    return _scan(_view(data), limits)


def serialize(stream: Bitstream) -> bytes:
    """Write a ``.plf`` file: the same stream gives the same bytes on every machine.

    Args:
        stream: what to write. Metadata has to survive JSON unchanged: keys are strings, integers stay
            within 53 bits, floats are finite, sequences are lists.

    Returns:
        The whole file.

    Raises:
        InputError: a field that the format cannot hold.

    Example:
        >>> header = Header(bytes(16), "street-open", 80, 4000, 3000, 640, 60, 80, bytes(4))
        >>> len(serialize(Bitstream(header, bytes(4096)))) - 4096
        61
    """
    _check_header(stream.header)
    if not isinstance(stream.payload, bytes) or len(stream.payload) > _MAX_UINT:
        raise InputError(f"payload: got {type(stream.payload).__name__}, expected bytes, fewer than 2**32")
    if not stream.payload or len(stream.payload) % 4:
        raise InputError(f"payload: got {len(stream.payload)} bytes, expected a positive multiple of 4")
    contents = [("H", _header_content(stream.header)), ("D", stream.payload)]
    if stream.metadata is not None:
        contents.insert(1, ("m", _metadata_content(stream.metadata)))
    parts = [_PREAMBLE]
    crc = zlib.crc32(_PREAMBLE)
    for tag, content in contents:
        part = tag.encode() + _varint(len(content)) + content
        # The checksum runs on over the whole file but leaves out the checksums in it. Were they fed back,
        # each would reset the sum to the same constant, and sections of two files could be swapped.
        crc = zlib.crc32(part, crc)
        parts += part, crc.to_bytes(4, "little")
    return b"".join(parts)


# ---- reading -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Cursor:
    """Reads forwards up to ``end``, which is the end of ``whole``; asking for more raises ``exhausted``."""

    view: memoryview
    position: int
    end: int
    whole: str
    exhausted: type[BitstreamError]

    def take(self, count: int, what: str) -> memoryview:
        """Return the next ``count`` bytes without copying them."""
        left = self.end - self.position
        if count > left:
            raise self.exhausted(
                f"{what} at offset {self.position}: got {left} bytes, expected {count}:"
                f" {self.whole} ends early"
            )
        self.position += count
        return self.view[self.position - count : self.position]

    def varint(self, what: str) -> int:
        """Return the next unsigned LEB128 number, which must be in its shortest form."""
        start, value, byte = self.position, 0, 0
        for shift in (0, 7, 14, 21, 28):
            byte = self.take(1, what)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        got = " ".join(f"{byte:02x}" for byte in self.view[start : self.position])
        if byte >= 0x80 or value > _MAX_UINT:
            raise MalformedError(f"{what} at offset {start}: got {got}, expected a varint below 2**32")
        if byte == 0 and self.position > start + 1:
            raise MalformedError(f"{what} at offset {start}: got {got}, expected its shortest form")
        return value

    def number(self, name: str) -> int:
        """Return the next header number, in its range."""
        start = self.position
        value = self.take(1, name)[0] if name == "quality_step" else self.varint(name)
        if problem := _range_problem(name, value):
            raise MalformedError(f"section H, offset {start}: {problem}")
        return value


def _view(data: bytes | bytearray | memoryview) -> memoryview:
    """Return ``data`` as a flat view of bytes; only unusual memoryviews are copied."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InputError(f"data: got {type(data).__name__}, expected bytes, bytearray or memoryview")
    view = memoryview(data)
    if view.format != "B" or view.ndim != 1 or not view.c_contiguous:
        view = memoryview(view.tobytes())
    return view


def _check_preamble(view: memoryview) -> None:
    """Check magic and version."""
    got = bytes(view[: len(MAGIC)])
    if got != MAGIC:
        if MAGIC.startswith(got):
            end = "ends early" if got else "is empty"
            raise TruncatedError(
                f"magic at offset 0: got {len(got)} bytes, expected {len(MAGIC)}: the file {end}"
            )
        message = f"magic at offset 0: got {got.hex(' ')}, expected {MAGIC.hex(' ')}"
        causes = [cause for damaged, cause in _ACCIDENTS if bytes(view[: len(damaged)]) == damaged]
        raise NotPlfError("; ".join([message, *causes]))
    if len(view) == len(MAGIC):
        raise TruncatedError(f"version at offset {len(MAGIC)}: got 0 bytes, expected 1: the file ends early")
    if view[len(MAGIC)] != VERSION:
        raise UnsupportedError(
            f"version at offset {len(MAGIC)}: got {view[len(MAGIC)]}, expected {VERSION}:"
            " written for another release"
        )


def _scan(view: memoryview, limits: Limits) -> tuple[Section, ...]:
    """Find all sections; check their framing, checksums, order and number."""
    _check_preamble(view)
    _check_limit("file", len(view), limits.max_file, "bytes")
    cursor = _Cursor(view, len(_PREAMBLE), len(view), "the file", TruncatedError)
    crc = zlib.crc32(_PREAMBLE)
    found: list[Section] = []
    while not found or found[-1].tag != "D":
        section, crc = _read_section(cursor, crc)
        _check_place(section, found)
        found.append(section)
        _check_limit("file", len(found), limits.max_sections, "sections")
        if section.tag == "D":
            _check_limit(f"section D at offset {section.offset}", section.length, limits.max_payload, "bytes")
        if section.tag == "m":
            _check_metadata_size(section, limits)
    if cursor.position != len(view):
        raise MalformedError(
            f"end of the file: got {len(view) - cursor.position} bytes at offset {cursor.position},"
            " expected none after section D"
        )
    return tuple(found)


def _read_section(cursor: _Cursor, crc: int) -> tuple[Section, int]:
    """Read one section and compare its checksum, which goes on from that of the section before."""
    offset = cursor.position
    tag = chr(cursor.take(1, "tag of a section (only D ends a file)")[0])
    length = cursor.varint(f"length of section {tag!r}")
    cursor.take(length, f"content of section {tag!r}")
    crc = zlib.crc32(cursor.view[offset : cursor.position], crc)
    position = cursor.position
    stored = int.from_bytes(cursor.take(4, f"checksum of section {tag!r}"), "little")
    if stored != crc:
        raise ChecksumError(
            f"checksum of section {tag!r} (offset {offset}) at offset {position}:"
            f" got {stored:08x}, expected {crc:08x}: the file is damaged"
        )
    return Section(tag, offset, length, stored), crc


def _check_place(section: Section, before: list[Section]) -> None:
    """Check that a section is known or optional, and allowed where it stands."""
    tag, where = section.tag, f"section at offset {section.offset}"
    if not (tag.isascii() and tag.isalpha()):
        raise MalformedError(f"{where}: got tag byte {ord(tag):02x}, expected an ASCII letter")
    if tag.isupper() and tag not in "HD":
        raise UnsupportedError(
            f"{where}: got critical section {tag!r}, expected 'H' or 'D': written for another release"
        )
    if not before and tag != "H":
        raise MalformedError(f"{where}: got {tag!r}, expected 'H' first")
    if tag in "Hm" and any(other.tag == tag for other in before):
        raise MalformedError(f"{where}: got a second {tag!r}, expected one")


def _check_limit(what: str, got: int, limit: int, unit: str) -> None:
    if got > limit:
        raise LimitError(f"{what}: got {got:,} {unit}, expected at most {limit:,} (the reader's limit)")


def _check_metadata_size(section: Section, limits: Limits) -> None:
    """Check the size of the metadata against the format and the caller's limit."""
    where = f"section m at offset {section.offset}"
    if section.length > MAX_METADATA:
        raise MalformedError(
            f"{where}: got {section.length} bytes of content, expected at most {MAX_METADATA}"
        )
    _check_limit(where, section.length, limits.max_metadata, "bytes")


def _parse_header(view: memoryview, section: Section) -> Header:
    """Read the content of ``H``, all of it."""
    cursor = _Cursor(view, section.start, section.start + section.length, "section H", MalformedError)
    fingerprint = bytes(cursor.take(_LENGTHS["fingerprint"], "fingerprint"))
    quality_step = cursor.number("quality_step")
    width, height, size, latent_height, latent_width = [cursor.number(name) for name in _VARINTS]
    symbol_hash = bytes(cursor.take(_LENGTHS["symbol_hash"], "symbol hash"))
    name_length = cursor.take(1, "length of the codec name")[0]
    start = cursor.position
    codec = bytes(cursor.take(name_length, "codec name")).decode("latin-1")
    if problem := _codec_problem(codec):
        raise MalformedError(f"section H, offset {start}: {problem}")
    if cursor.position != cursor.end:
        raise MalformedError(
            f"section H: got {cursor.end - cursor.position} bytes at offset {cursor.position},"
            " expected none after the codec name"
        )
    return Header(
        fingerprint, codec, quality_step, width, height, size, latent_height, latent_width, symbol_hash
    )


def _check_header_limits(header: Header, limits: Limits) -> None:
    """Check the sizes that a decoder would allocate for."""
    picture = f"section H, picture of {header.width} x {header.height}"
    _check_limit(picture, header.width * header.height, limits.max_pixels, "pixels")
    short, long = sorted((header.width, header.height))
    scaled = header.size * max(1, header.size * short // long)
    _check_limit(f"{picture} scaled to {header.size}", scaled, limits.max_pixels, "pixels")
    latents = f"section H, latents of {header.latent_height} x {header.latent_width}"
    _check_limit(latents, header.latent_height * header.latent_width, limits.max_latents, "positions")


# ---- metadata ----------------------------------------------------------------------------------------


def _parse_metadata(content: bytes, start: int) -> dict[str, object]:
    """Read untrusted JSON: whatever is wrong with it is a `MalformedError`."""
    _check_depth(content, start)
    try:
        text = content.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_exact,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # finds halves of surrogate pairs
    except UnicodeDecodeError as error:
        raise _bad_metadata(start + error.start, error.reason, "UTF-8") from error
    except UnicodeEncodeError as error:
        raise _bad_metadata(start, "half of a surrogate pair", "Unicode text") from error
    except json.JSONDecodeError as error:
        raise _bad_metadata(start + len(text[: error.pos].encode()), error.msg, "JSON") from error
    except _JsonError as error:
        raise _bad_metadata(start, *error.args) from error
    if not isinstance(value, dict):
        raise _bad_metadata(start, type(value).__name__, "a JSON object")
    return value


class _JsonError(Exception):
    """What was got and expected, from inside the JSON reader, where no offset is known."""


def _bad_metadata(offset: int, got: str, expected: str) -> MalformedError:
    return MalformedError(f"section m, offset {offset}: got {got}, expected {expected}")


def _check_depth(content: bytes, start: int) -> None:
    """Refuse deep nesting before the JSON reader recurses into it."""
    depth = 0
    in_string = escaped = False
    for position, byte in enumerate(content, start):
        if escaped:
            escaped = False
        elif in_string:
            escaped, in_string = byte == ord("\\"), byte != ord('"')
        elif byte == ord('"'):
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > _MAX_JSON_DEPTH:
                raise _bad_metadata(position, f"level {depth} of nesting", f"at most {_MAX_JSON_DEPTH}")
        elif byte in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _JsonError(f"key {key[:40]!r} twice", "unique keys")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise _JsonError(name, "a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _JsonError(f"number {digits[:40]}", "one that fits a double")
    return number


def _exact(digits: str) -> int:
    # The length first: converting thousands of digits takes quadratic time, or is refused by Python.
    if len(digits) > len(str(-_MAX_JSON_INTEGER)) or abs(int(digits)) > _MAX_JSON_INTEGER:
        raise _JsonError(f"integer {digits[:40]}", "one within 2**53 - 1")
    return int(digits)


# ---- writing -----------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    """Return the shortest unsigned LEB128 form."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


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


def _header_content(header: Header) -> bytes:
    """Return the content of ``H``."""
    numbers = b"".join(_varint(getattr(header, name)) for name in _VARINTS)
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


def _metadata_content(metadata: Mapping[str, object]) -> bytes:
    """Return the content of ``m``, after proving that a reader gets the same metadata from it."""
    if not isinstance(metadata, Mapping):
        raise InputError(f"metadata: got {type(metadata).__name__}, expected a mapping")
    try:
        content = json.dumps(
            dict(metadata), allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        ).encode("utf-8")
        if len(content) > MAX_METADATA:
            raise InputError(f"metadata: got {len(content)} bytes of JSON, expected at most {MAX_METADATA}")
        unchanged = _parse_metadata(content, 0) == dict(metadata)
    except (TypeError, ValueError, RecursionError, MalformedError) as error:
        if isinstance(error, InputError):  # a ValueError, too
            raise
        raise InputError(f"metadata: {error}") from error
    if not unchanged:
        raise InputError("metadata: got values that JSON changes, expected str keys and no tuples")
    return content
