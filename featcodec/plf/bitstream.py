"""The ``.plf`` container: parse, serialize and list what is in it. Standard library only.

    89 50 4C 46 0D 0A | 01 | H header | optional sections (m metadata, …) | D payload
         magic       version

    section = tag (1 letter) · length (varint) · content · CRC-32 (4 bytes, little-endian)

``docs/plf-format.md`` is the normative specification. What the payload means is not decided here.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from featcodec.errors import (
    ChecksumError,
    InputError,
    LimitError,
    MalformedError,
    NotPlfError,
    TruncatedError,
    UnsupportedError,
)
from featcodec.plf.binary import MAX_UINT, Cursor, varint
from featcodec.plf.header import Header, parse_header, serialize_header
from featcodec.plf.metadata import MAX_METADATA, parse_metadata, serialize_metadata

__all__ = [
    "DEFAULT_LIMITS",
    "MAGIC",
    "VERSION",
    "Bitstream",
    "Limits",
    "Section",
    "parse",
    "sections",
    "serialize",
]

MAGIC = b"\x89PLF\r\n"
VERSION = 1

_PREAMBLE = MAGIC + bytes([VERSION])
# What the magic looks like after the usual accidents: this is why it has the bytes it has.
_ACCIDENTS = (
    (b"\x89PLF\n", "its CR LF became LF: transferred as text, not as binary"),
    (b"\x89PLF\r\r\n", "its LF became CR LF: transferred as text, not as binary"),
    (b"\x09PLF", "the high bit of its bytes was stripped: sent through a 7-bit channel"),
    (b"\xc2\x89PLF", "it was converted from Latin-1 to UTF-8: transferred as text, not as binary"),
    (b"\xef\xbf\xbdPLF", "it was decoded as UTF-8: transferred as text, not as binary"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a file may be; a reader allocates nothing before these are checked.

    The defaults keep what a hostile file can cost, decoded to features by an embedded codec on one core,
    below a second and 512 MiB. A codec for canvases beyond 1440 x 1440 pixels needs more ``max_latents``.

    Args:
        max_pixels: original width times height; also bounds the scaled picture.
        max_latents: latent rows times columns (positions, not channels).
        max_payload: bytes of the ``D`` section.
        max_metadata: bytes of the ``m`` section; the format itself allows no more than 65,536.
        max_sections: sections of any kind.
        max_file: bytes of the whole file, sections unknown to this release included.
        max_memory: bytes that decoding may take, worked out from the latents' size and the codec's channels.
    """

    max_pixels: int = 2**28
    max_latents: int = 2**13
    max_payload: int = 2**19
    max_metadata: int = MAX_METADATA
    max_sections: int = 64
    max_file: int = 2**20
    max_memory: int = 2**29


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
        return self.offset + 1 + len(varint(self.length))

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
        >>> header = Header(bytes(16), "my-detector", 80, 4000, 3000, 640, 60, 80, bytes(4))
        >>> parse(serialize(Bitstream(header, bytes(4096)))).header.quality
        3.5
        >>> parse(b"GIF89a")
        Traceback (most recent call last):
        featcodec.errors.NotPlfError: magic at offset 0: got 47 49 46 38 39 61, expected 89 50 4c 46 0d 0a
    """
    view = _view(data)
    found = _scan(view, limits)
    header = parse_header(view, found[0].start, found[0].start + found[0].length)
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
            metadata = parse_metadata(content, section.start)
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
        >>> header = Header(bytes(16), "my-detector", 80, 4000, 3000, 640, 60, 80, bytes(4))
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
        >>> header = Header(bytes(16), "my-detector", 80, 4000, 3000, 640, 60, 80, bytes(4))
        >>> len(serialize(Bitstream(header, bytes(4096)))) - 4096
        61
    """
    header = serialize_header(stream.header)
    if not isinstance(stream.payload, bytes) or len(stream.payload) > MAX_UINT:
        raise InputError(f"payload: got {type(stream.payload).__name__}, expected bytes, fewer than 2**32")
    if not stream.payload or len(stream.payload) % 4:
        raise InputError(f"payload: got {len(stream.payload)} bytes, expected a positive multiple of 4")
    contents = [("H", header), ("D", stream.payload)]
    if stream.metadata is not None:
        contents.insert(1, ("m", serialize_metadata(stream.metadata)))
    parts = [_PREAMBLE]
    crc = zlib.crc32(_PREAMBLE)
    for tag, content in contents:
        part = tag.encode() + varint(len(content)) + content
        # The checksum runs on over the whole file but leaves out the checksums in it. Were they fed back,
        # each would reset the sum to the same constant, and sections of two files could be swapped.
        crc = zlib.crc32(part, crc)
        parts += part, crc.to_bytes(4, "little")
    return b"".join(parts)


# ---- reading -----------------------------------------------------------------------------------------


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
    cursor = Cursor(view, len(_PREAMBLE), len(view), "the file", TruncatedError)
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


def _read_section(cursor: Cursor, crc: int) -> tuple[Section, int]:
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


def _check_header_limits(header: Header, limits: Limits) -> None:
    """Check the sizes that a decoder would allocate for."""
    picture = f"section H, picture of {header.width} x {header.height}"
    _check_limit(picture, header.width * header.height, limits.max_pixels, "pixels")
    short, long = sorted((header.width, header.height))
    scaled = header.size * max(1, header.size * short // long)
    _check_limit(f"{picture} scaled to {header.size}", scaled, limits.max_pixels, "pixels")
    latents = f"section H, latents of {header.latent_height} x {header.latent_width}"
    _check_limit(latents, header.latent_height * header.latent_width, limits.max_latents, "positions")
