"""Sound files of the embedded codecs, taken apart and put together under right checksums and hashes."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from functools import cache

import numpy as np

from featcodec import zoo
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.errors import SymbolHashError
from featcodec.plf.binary import varint
from featcodec.plf.bitstream import MAGIC, parse, sections
from featcodec.plf.header import serialize_header

__all__ = ["PREAMBLE", "Contents", "contents", "forged", "resealed", "seal", "sound_files"]

Contents = list[tuple[bytes, bytes]]
PREAMBLE = MAGIC + b"\x01"
_HASH = re.compile(r"got hash ([0-9a-f]{8})")


@cache
def sound_files() -> tuple[bytes, ...]:
    """Small files of all embedded codecs: several sizes and qualities, with and without other sections."""
    rng = np.random.default_rng(0)
    files = []
    for name in zoo.names(whole=True):
        for height, width, quality in ((1, 1, 4), (30, 40, 8), (64, 96, 1), (70, 130, 6)):
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            metadata = {"camera": "north", "n": [1, 2.5, None, {"ü": True}]} if quality > 4 else None
            files.append(zoo.load(name).encode(pixels, quality=quality, metadata=metadata))
    header, *rest = contents(files[-1])
    return *files, seal([header, (b"z", b"from a later release"), *rest])


def contents(data: bytes) -> Contents:
    """Tag and content of each section of a sound file."""
    return [(s.tag.encode(), data[s.start : s.start + s.length]) for s in sections(data)]


def seal(parts: Contents, *, spelling: tuple[int, bytes] | None = None) -> bytes:
    """A file of any sections under right checksums.

    Args:
        parts: tag and content of each.
        spelling: number of a section, and other bytes in the place of its length.
    """
    file, crc = [PREAMBLE], zlib.crc32(PREAMBLE)
    for number, (tag, content) in enumerate(parts):
        length = spelling[1] if spelling and spelling[0] == number else varint(len(content))
        crc = zlib.crc32(tag + length + content, crc)
        file += tag, length, content, crc.to_bytes(4, "little")
    return b"".join(file)


def resealed(data: bytes) -> bytes:
    """A file with all checksums made right, as far as its sections can be told apart."""
    out, position = bytearray(data), len(PREAMBLE)
    crc = zlib.crc32(out[:position])
    while position < len(out):
        start, length, shift = position, 0, 0
        position += 1
        while position < len(out) and shift < 35:
            byte = out[position]
            length |= (byte & 127) << shift
            position, shift = position + 1, shift + 7
            if byte < 128:
                break
        position += length
        if position + 4 > len(out):
            break
        crc = zlib.crc32(out[start:position], crc)
        out[position : position + 4] = crc.to_bytes(4, "little")
        position += 4
    return bytes(out)


def forged(data: bytes, codec: FeatureCodec) -> bytes:
    """A file with the symbol hash that its payload decodes to, if it does decode.

    Raises:
        BitstreamError: the payload does not decode.
    """
    try:
        codec.decode_latents(data)
    except SymbolHashError as error:
        [found] = _HASH.findall(str(error))
        header = replace(parse(data).header, symbol_hash=bytes.fromhex(found))
        return seal([(b"H", serialize_header(header)), *contents(data)[1:]])
    return data
