"""The invalid streams: one for each way to be wrong, all else in order; see also `invalid_payloads`."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from invalid_payloads import of_entropy_coding, of_payloads
from writing import MAGIC, METADATA, Base, Codec, Stream, container, varint

__all__ = ["invalid_streams"]

NOT_PLF, UNSUPPORTED, TRUNCATED = "NotPlfError", "UnsupportedError", "TruncatedError"
CHECKSUM, MALFORMED, LIMIT = "ChecksumError", "MalformedError", "LimitError"


def invalid_streams(codec: Codec, other: Codec) -> Iterator[Stream]:
    """All invalid streams.

    Args:
        codec: what they are made with.
        other: another codec, for a fingerprint that is known, but not the right one.
    """
    base = Base(codec)
    yield from of_magic(base)
    yield from of_truncation(base)
    yield from of_checksums(base)
    yield from of_sections(base)
    yield from of_varints(base)
    yield from of_headers(base)
    yield from of_metadata(base)
    yield from of_limits(base)
    yield from of_payloads(base, other)
    yield from of_entropy_coding(base)


def of_magic(base: Base) -> Iterator[Stream]:
    data, start = base.data, "magic at offset 0: got "
    for name, made, damaged in [
        ("gif", "another kind of file", b"GIF89a" + bytes(58)),
        ("png", "a PNG's magic in the place of ours", b"\x89PNG\r\n\x1a\n" + data[8:]),
        ("lf", "sent as text: CR LF became LF", data.replace(b"\r\n", b"\n")),
        ("crlf", "sent as text: LF became CR LF", data.replace(b"\n", b"\r\n")),
        ("7-bit", "sent through a channel that strips the high bit", bytes(b & 0x7F for b in data)),
        ("latin-1", "converted from Latin-1 to UTF-8", data.decode("latin-1").encode()),
        ("utf-8", "decoded as UTF-8", data.decode("utf-8", "replace").encode()),
    ]:
        yield Stream(f"magic-{name}", made, damaged, NOT_PLF, start)
    for version in (0, 2, 255):
        changed = MAGIC + bytes([version]) + data[7:]
        message = f"version at offset 6: got {version}, expected 1"
        yield Stream(f"version-{version}", f"version {version}", changed, UNSUPPORTED, message)


def of_truncation(base: Base) -> Iterator[Stream]:
    data, h = base.data, 9 + len(base.h[1])  # where the checksum of H begins
    m = h + 4 + 2 + len(METADATA[1])
    d = len(data) - 4
    start_d = m + 4
    for name, end, message in [
        ("empty", 0, "magic at offset 0: got 0 bytes"),
        ("magic", 4, "magic at offset 0: got 4 bytes"),
        ("version", 6, "version at offset 6: got 0 bytes"),
        ("before-h", 7, "tag of a section"),
        ("length-of-h", 8, "length of section 'H' at offset 8: got 0 bytes"),
        ("content-of-h", 20, "content of section 'H' at offset 9: got 11 bytes"),
        ("checksum-of-h", h + 3, f"checksum of section 'H' at offset {h}: got 3 bytes"),
        ("before-m", h + 4, "tag of a section (only D ends a file)"),
        ("content-of-m", m - 1, "content of section 'm'"),
        ("checksum-of-m", m, "checksum of section 'm'"),
        ("before-d", start_d, "tag of a section (only D ends a file)"),
        ("length-of-d", start_d + 1, "length of section 'D'"),
        ("content-of-d", d - 4, "content of section 'D'"),
        ("checksum-of-d", d + 3, "checksum of section 'D'"),
    ]:
        yield Stream(f"truncated-{name}", f"the first {end} bytes", data[:end], TRUNCATED, message)
    ends = data[: start_d + 1] + b"\x80"
    yield Stream("truncated-varint", "ends within a varint", ends, TRUNCATED, "length of section 'D'")
    long = data[:start_d] + b"D" + varint(2**32 - 1) + base.payload
    made = "D says that it has 4 GiB"
    yield Stream("truncated-huge-length", made, long, TRUNCATED, "content of section 'D'")


def flipped(data: bytes, at: int) -> bytes:
    """One bit of one byte changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def of_checksums(base: Base) -> Iterator[Stream]:
    data, h = base.data, 9 + len(base.h[1])
    unknown = container(base.h, (b"z", b"later"), base.d)
    for name, made, damaged, tag in [
        ("of-h", "a bit of the header flipped", flipped(data, 20), "H"),
        ("of-m", "a bit of the metadata flipped", flipped(data, h + 10), "m"),
        ("of-d", "a bit of the payload flipped", flipped(data, len(data) - 6), "D"),
        ("of-unknown", "a bit of an unknown optional section flipped", flipped(unknown, h + 8), "z"),
        ("stored-h", "a bit of the checksum of H flipped", flipped(data, h), "H"),
        ("stored-d", "a bit of the checksum of D flipped", flipped(data, len(data) - 1), "D"),
        ("tag", "the tag m became n", data.replace(b"m\x12{", b"n\x12{"), "n"),
    ]:
        yield Stream(f"checksum-{name}", made, damaged, CHECKSUM, f"checksum of section '{tag}'")
    swapped = container(base.h, (b"a", b"first"), (b"z", b"second"), base.d)
    a, z = swapped[h + 4 : h + 15], swapped[h + 15 : h + 27]
    yield Stream(
        "checksum-swapped",
        "two optional sections swapped, each with its checksum",
        swapped.replace(a + z, z + a),
        CHECKSUM,
        "checksum of section 'z'",
    )
    spliced = (
        container(base.h, base.d)[: h + 4] + container(base.h, METADATA, base.d)[-len(section(base.d)) :]
    )
    made = "the D of a file with metadata behind the H of the same file without"
    yield Stream("checksum-spliced", made, spliced, CHECKSUM, "checksum of section 'D'")
    yield from of_other_checksums(base)


def section(content: tuple[bytes, bytes]) -> bytes:
    """A section with four bytes in the place of its checksum."""
    return content[0] + varint(len(content[1])) + content[1] + bytes(4)


def of_other_checksums(base: Base) -> Iterator[Stream]:
    """What a writer makes that did not read the section "Checksum" to its end."""
    own = fed_back = MAGIC + b"\x01"
    for content in (base.h, base.d):
        body = section(content)[:-4]
        own += body + zlib.crc32(body).to_bytes(4, "little")
        fed_back += body
        fed_back += zlib.crc32(fed_back).to_bytes(4, "little")
    big = MAGIC + b"\x01" + section(base.h)[:-4]
    big += zlib.crc32(big).to_bytes(4, "big") + section(base.d)
    start = "checksum of section "
    yield Stream("checksum-own", "each section summed on its own, as in PNG", own, CHECKSUM, start + "'H'")
    made = "earlier checksums summed, too"
    yield Stream("checksum-fed-back", made, fed_back, CHECKSUM, start + "'D'")
    yield Stream("checksum-big-endian", "stored with the highest byte first", big, CHECKSUM, start + "'H'")


def of_sections(base: Base) -> Iterator[Stream]:
    h, m, d = base.h, METADATA, base.d
    x, z = (b"X", b"later"), (b"z", b"later")
    for name, made, contents, error, message in [
        ("critical", "an unknown critical section", (h, x, d), UNSUPPORTED, "got critical section 'X'"),
        ("critical-m", "M in the place of m", (h, (b"M", m[1]), d), UNSUPPORTED, "got critical section 'M'"),
        (
            "critical-first",
            "an unknown critical section first",
            (x, h, d),
            UNSUPPORTED,
            "got critical section",
        ),
        ("tag-digit", "a digit for a tag", (h, (b"1", b""), d), MALFORMED, "got tag byte 31"),
        ("tag-zero", "a zero byte for a tag", (h, (b"\0", b""), d), MALFORMED, "got tag byte 00"),
        ("tag-high", "H with its high bit set", ((b"\xc8", h[1]), d), MALFORMED, "got tag byte c8"),
        ("no-h", "D alone", (d,), MALFORMED, "got 'D', expected 'H' first"),
        ("m-first", "m before H", (m, h, d), MALFORMED, "got 'm', expected 'H' first"),
        ("unknown-first", "an unknown optional section before H", (z, h, d), MALFORMED, "got 'z', expected"),
        ("h-twice", "H twice", (h, h, d), MALFORMED, "got a second 'H'"),
        ("m-twice", "m twice", (h, m, m, d), MALFORMED, "got a second 'm'"),
    ]:
        at = 7 if contents[0] != h else 13 + len(h[1])
        at += 6 + len(m[1]) if name == "m-twice" else 0
        where = f"section at offset {at}: "
        yield Stream(f"section-{name}", made, container(*contents), error, where + message)
    end = "end of the file: got "
    for name, made, data in [
        ("byte", "a zero byte after D", base.data + b"\0"),
        ("file", "the same file twice", base.data * 2),
        ("d-twice", "D twice", container(h, d, d)),
        ("m-last", "m after D", container(h, d, m)),
    ]:
        yield Stream(f"trailing-{name}", made, data, MALFORMED, end)


def of_varints(base: Base) -> Iterator[Stream]:
    h = base.h[1]
    before = MAGIC + b"\x01H"
    length = "length of section 'H' at offset 8: got "
    for name, made, digits in [
        ("long", "a length not in its shortest form", bytes([len(h) | 0x80, 0])),
        ("6-bytes", "a length of 6 bytes", b"\x80\x80\x80\x80\x80\x01"),
        ("2-to-32", "a length of 2^32", b"\x80\x80\x80\x80\x10"),
    ]:
        yield Stream(f"varint-{name}", made, before + digits + h + bytes(4), MALFORMED, length)
    for name, made, digits in [
        ("width-long", "a width not in its shortest form", b"\x87\x00"),
        ("width-6-bytes", "a width of 6 bytes", b"\x87\x80\x80\x80\x80\x00"),
        ("width-2-to-32", "a width of 2^32", b"\x80\x80\x80\x80\x10"),
    ]:
        changed = (b"H", h[:17] + digits + h[18:])
        message = f"width at offset 26: got {digits[:5].hex(' ')}"
        yield Stream(f"varint-{name}", made, container(changed, base.d), MALFORMED, message)


def of_headers(base: Base) -> Iterator[Stream]:
    start = "section H, offset "
    for at, name, field, value in [
        (25, "quality_step", "quality_step", 225),
        (26, "width", "width", 0),
        (27, "height", "height", 0),
        (28, "size", "size", 0),
        (29, "latent_height", "rows", 0),
        (30, "latent_width", "columns", 0),
    ]:
        data = base.with_header(**{field: value})
        message = f"{start}{at}: {name}: got {value}, expected an integer from"
        yield Stream(f"header-{name.replace('_', '-')}", f"{name} {value}", data, MALFORMED, message)
    for kind, name in [
        ("empty", ""),
        ("64", "a" * 64),
        ("upper", "Yolox"),
        ("space", "a yolox"),
        ("latin-1", "straße"),
        ("control", "yolox\n"),
    ]:
        data = base.with_header(name=name)
        made = f"codec name {name[:20]!r}, of {len(name)} characters"
        yield Stream(f"header-name-{kind}", made, data, MALFORMED, f"{start}36: codec name: got ")
    h = base.h[1]
    for kind, made, content, message in [
        ("nothing", "H without content", b"", "fingerprint at offset 9: got 0 bytes, expected 16"),
        ("short", "the last byte of H missing", h[:-1], "codec name at offset 36: got "),
        ("cut", "H ends with its fingerprint", h[:16], "quality_step at offset 25: got 0 bytes"),
        ("long", "a byte after the codec name", h + b"\0", "section H: got 1 bytes at offset "),
    ]:
        yield Stream(f"header-{kind}", made, container((b"H", content), base.d), MALFORMED, message)


def of_metadata(base: Base) -> Iterator[Stream]:
    for name, made, content in [
        ("empty", "m without content", b""),
        ("text", "no JSON", b"camera: north"),
        ("array", "an array at the top", b"[1,2]"),
        ("null", "null at the top", b"null"),
        ("two", "two objects", b"{}{}"),
        ("cut", "an object without its end", b'{"a":1'),
        ("key-twice", "a key twice", b'{"a":1,"b":2,"a":3}'),
        ("inner-key-twice", "a key twice, further in", b'{"a":[{"b":1,"b":1}]}'),
        ("nan", "NaN", b'{"a":NaN}'),
        ("infinity", "-Infinity", b'{"a":-Infinity}'),
        ("double", "a number beyond a double", b'{"a":1e400}'),
        ("integer", "an integer of 2^53", b'{"a":9007199254740992}'),
        ("digits", "an integer of 5,000 digits", b'{"a":' + b"7" * 5_000 + b"}"),
        ("depth", "33 levels", b'{"a":' + b"[" * 32 + b"]" * 32 + b"}"),
        ("deep", "60,000 levels, never closed", b'{"a":' + b"[" * 59_999),
        ("surrogate", "half of a surrogate pair", b'{"a":"\\ud800"}'),
        ("utf-8", "no UTF-8", b'{"a":"\xff"}'),
        ("utf-16", "UTF-16", '{"a":1}'.encode("utf-16-le")),
        ("mark", "a byte order mark", b"\xef\xbb\xbf{}"),
        ("control", "a bare line end in a string", b'{"a":"\n"}'),
    ]:
        data = container(base.h, (b"m", content), base.d)
        yield Stream(f"metadata-{name}", made, data, MALFORMED, "section m, offset ")
    content = b'{"pad":"' + b"x" * 65_527 + b'"}'
    data = container(base.h, (b"m", content), base.d)
    yield Stream("metadata-long", f"{len(content):,} bytes", data, MALFORMED, "section m at offset ")


def of_limits(base: Base) -> Iterator[Stream]:
    start = "section H, "
    for name, message, changes in [
        ("pixels", "picture of 268435457 x 1: got ", {"width": 2**28 + 1, "height": 1}),
        (
            "most-pixels",
            "picture of 4294967295 x 4294967295: got ",
            {"width": 2**32 - 1, "height": 2**32 - 1},
        ),
        ("scaled", "picture of 7 x 7 scaled to 16385: got ", {"height": 7, "size": 16_385}),
        ("latents", "latents of 91 x 91: got ", {"rows": 91, "columns": 91}),
    ]:
        made = " and ".join(f"{key} {value}" for key, value in changes.items())
        yield Stream(f"limit-{name}", made, base.with_header(**changes), LIMIT, start + message)
    many = container(base.h, *[(b"z", b"")] * 63, base.d)
    yield Stream("limit-sections", "65 sections", many, LIMIT, "file: got 65 sections")
    for name, value, message in [
        ("max_pixels", 20, "section H, picture of 7 x 3: got 21 pixels"),
        ("max_latents", 3, "section H, latents of 2 x 2: got 4 positions"),
        ("max_payload", len(base.payload) - 1, "section D at offset "),
        ("max_metadata", 17, "section m at offset "),
        ("max_sections", 2, "file: got 3 sections"),
        ("max_file", len(base.data) - 1, "file: got "),
    ]:
        made = f"a sound file, for a reader whose {name} is {value}"
        limits = {name: value}
        name = f"limit-callers-{name.removeprefix('max_')}"
        yield Stream(name, made, base.data, LIMIT, message, limits)
