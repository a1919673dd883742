"""TIFF and PNG files byte by byte, for what no library writes."""

from __future__ import annotations

import struct
import zlib

TYPES = {"B": 1, "H": 3, "I": 4}


def tiff(
    order: str, strips: list[bytes], tags: dict[int, tuple[str, list[int]]], *, tiled: bool = False
) -> bytes:
    """A TIFF file.

    Args:
        order: "<" or ">".
        strips: of pixels, as stored; or tiles.
        tags: number: (struct's letter, values); places and sizes of the strips come by themselves.
        tiled: the strips are tiles.
    """
    file = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    places = []
    for strip in strips:
        places.append(len(file))
        file += strip + bytes(len(strip) % 2)
    sizes = [len(strip) for strip in strips]
    entries = []
    for tag, (letter, values) in sorted(
        {**tags, 324 if tiled else 273: ("I", places), 325 if tiled else 279: ("I", sizes)}.items()
    ):
        data = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(data) > 4:
            place, data = len(file), data + bytes(len(data) % 2)
            file += data
            data = struct.pack(f"{order}I", place)
        entries.append(struct.pack(f"{order}HHI", tag, TYPES[letter], len(values)) + data.ljust(4, b"\0"))
    struct.pack_into(f"{order}I", file, 4, len(file))
    return bytes(file) + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)


def shape(
    width: int, height: int, bits: list[int], photometric: int, compression: int = 1
) -> dict[int, tuple[str, list[int]]]:
    """The tags that every TIFF has."""
    return {
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", bits),
        259: ("H", [compression]),
        262: ("H", [photometric]),
        277: ("H", [len(bits)]),
    }


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes], *chunks: bytes) -> bytes:
    """A PNG of a bit depth and colour type, of rows as stored, without filters."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", data), chunk(b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
