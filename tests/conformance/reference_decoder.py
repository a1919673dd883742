"""A second decoder, from the bytes of a `.plf` file to its symbols, to be read beside `docs/plf-format.md`.

It follows the document section by section, in whole numbers, is slow, and imports nothing of featcodec. The
tests hold it against featcodec on every conformance stream, valid and invalid, so that the format is what the
document says and not what one decoder happens to do. The entropy coder is in `range_coder_reference`.

    data ─container─▶ header, payload ─▶ z ─hyper_synthesis─▶ rows of the tables ─▶ y ─▶ symbol hash
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import range_coder_reference as coder
from numpy.typing import NDArray
from range_coder_reference import RangeDecoder, Table
from safetensors import safe_open
from safetensors.numpy import load_file

Ints = NDArray[np.int64]


class Refused(Exception):
    """A decoder has to refuse the file; `kind` is the name that the section "Errors" has for the cause."""

    def __init__(self, kind: str, why: str):
        super().__init__(f"{kind}: {why}")
        self.kind = kind


def expect(condition: bool, kind: str, why: str) -> None:
    if not condition:
        raise Refused(kind, why)


# ---- "Limits"

LIMITS = {
    "max_pixels": 2**28,
    "max_latents": 2**13,
    "max_payload": 2**19,
    "max_metadata": 65_536,
    "max_sections": 64,
    "max_file": 2**20,
}


# ---- "Layout", "Numbers", "Sections"

MAGIC = bytes.fromhex("89 50 4C 46 0D 0A")


@dataclass
class Reader:
    """Takes bytes one after the other; what is not there is an error of the given kind."""

    data: bytes
    kind: str
    at: int = 0

    def take(self, count: int) -> bytes:
        expect(self.at + count <= len(self.data), self.kind, f"ends at {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        """ "Numbers": below 2^32, in its shortest form, at most 5 bytes."""
        number = 0
        for place in range(5):
            byte = self.take(1)[0]
            number += (byte % 128) << (7 * place)
            if byte < 128:
                expect(byte != 0 or place == 0, "MalformedError", "a varint not in its shortest form")
                expect(number < 2**32, "MalformedError", "a varint of 2^32 or more")
                return number
        raise Refused("MalformedError", "a varint of more than 5 bytes")


def split_sections(data: bytes, limits: Mapping[str, int]) -> list[tuple[str, bytes]]:
    """Tag and content of all sections, in the order of checks that the section "Errors" names."""
    expect(not MAGIC.startswith(data), "TruncatedError", "ends within the magic")
    expect(data.startswith(MAGIC), "NotPlfError", "another magic")
    reader = Reader(data, "TruncatedError", len(MAGIC))
    expect(reader.take(1) == b"\x01", "UnsupportedError", "another version")
    expect(len(data) <= limits["max_file"], "LimitError", "bytes in the file")
    crc = zlib.crc32(data[: reader.at])
    found: list[tuple[str, bytes]] = []
    while not found or found[-1][0] != "D":
        start = reader.at
        tag = reader.take(1).decode("latin-1")
        content = reader.take(reader.varint())
        crc = zlib.crc32(data[start : reader.at], crc)  # not over the checksums before
        expect(int.from_bytes(reader.take(4), "little") == crc, "ChecksumError", f"of section {tag!r}")
        check_tag(tag, [t for t, _ in found])
        found.append((tag, content))
        expect(len(found) <= limits["max_sections"], "LimitError", "sections")
        if tag == "D":
            expect(len(content) <= limits["max_payload"], "LimitError", "payload")
        if tag == "m":
            expect(len(content) <= 65_536, "MalformedError", "metadata longer than the format allows")
            expect(len(content) <= limits["max_metadata"], "LimitError", "metadata")
    expect(reader.at == len(data), "MalformedError", "bytes after D")
    return found


def check_tag(tag: str, before: Sequence[str]) -> None:
    """ "Tags" and "Order"."""
    expect(tag.isascii() and tag.isalpha(), "MalformedError", "a tag that is no letter")
    expect(tag in "HD" or tag.islower(), "UnsupportedError", "an unknown critical section")
    expect((tag == "H") == (not before), "MalformedError", "H has to come first, once")
    expect(tag != "m" or "m" not in before, "MalformedError", "m twice")


# ---- "H: header"


@dataclass(frozen=True)
class Header:
    fingerprint: bytes
    quality_step: int
    width: int
    height: int
    size: int
    rows: int
    columns: int
    symbol_hash: bytes
    name: str


def read_header(content: bytes) -> Header:
    reader = Reader(content, "MalformedError")
    fingerprint, step = reader.take(16), reader.take(1)[0]
    expect(step <= 224, "MalformedError", "quality step")
    numbers = []
    for _ in range(5):
        numbers.append(reader.varint())
        expect(numbers[-1] >= 1, "MalformedError", "a size of 0")
    symbol_hash = reader.take(4)
    length = reader.take(1)[0]
    name = reader.take(length).decode("latin-1")
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789._-"
    expect(1 <= length <= 63 and all(c in allowed for c in name), "MalformedError", "codec name")
    expect(reader.at == len(content), "MalformedError", "bytes after the codec name")
    return Header(fingerprint, step, *numbers, symbol_hash, name)


def check_header(header: Header, limits: Mapping[str, int]) -> None:
    """ "Limits"."""
    short, long = sorted((header.width, header.height))
    pixels = (header.width * header.height, header.size * max(1, header.size * short // long))
    expect(max(pixels) <= limits["max_pixels"], "LimitError", "pixels")
    expect(header.rows * header.columns <= limits["max_latents"], "LimitError", "latents")


# ---- "m: metadata"


def read_metadata(content: bytes) -> dict[str, object]:
    expect(nesting(content) <= 32, "MalformedError", "metadata nested too deeply")
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=unique,
            parse_constant=no_number,
            parse_float=a_double,
            parse_int=an_integer,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # fails on half of a surrogate pair
    except ValueError as error:
        raise Refused("MalformedError", f"metadata: {error}") from error
    expect(isinstance(value, dict), "MalformedError", "metadata that is no object")
    return dict(value)


def nesting(content: bytes) -> int:
    """The deepest level of brackets outside strings."""
    depth = deepest = 0
    rest = iter(content)
    for byte in rest:
        if byte == ord('"'):
            for inner in rest:
                if inner == ord("\\"):
                    next(rest, None)
                elif inner == ord('"'):
                    break
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def a_double(digits: str) -> float:
    if not math.isfinite(float(digits)):
        raise ValueError("a number beyond a double")
    return float(digits)


def an_integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > 2**53 - 1:
        raise ValueError("an integer beyond 2^53 - 1")
    return int(digits)


# ---- "Tables"


@dataclass(frozen=True)
class Codec:
    """What decoding needs of a codec file."""

    fingerprint: bytes
    name: str
    stride: int
    latent_stride: int
    latents: int  # M
    side: int  # N
    tables_z: list[Table]
    tables_y: list[Table]
    weights: list[Ints]
    biases: list[Ints]


def read_codec(path: Path) -> Codec:
    arrays = load_file(path)
    with safe_open(path, "numpy") as file:
        text = file.metadata()["featcodec"]
    config = json.loads(text)
    return Codec(
        fingerprint=fingerprint(text, arrays),
        name=config["name"],
        stride=config["stride"],
        latent_stride=config["latent_stride"],
        latents=config["widths"]["latents"],
        side=config["widths"]["side"],
        tables_z=tables(arrays, "tables_z"),
        tables_y=tables(arrays, "tables_y"),
        weights=[arrays[f"h_s.weight.{i}"].astype(np.int64) for i in range(3)],
        biases=[arrays[f"h_s.bias.{i}"].astype(np.int64) for i in range(3)],
    )


def fingerprint(text: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """ "Fingerprint"."""
    types = {"float16": "torch.float16", "float32": "torch.float32", "int16": "torch.int16"}
    types["int32"] = "torch.int32"
    digest = hashlib.sha256(text.encode("ascii"))
    for name in sorted(arrays, key=str.encode):
        if name.startswith(("g_s.", "h_s.", "inverse_gains", "tables_", "tail.")):
            array = arrays[name]
            digest.update(f"{name}|{types[array.dtype.name]}|{array.shape}|".encode("ascii"))
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:16]


def tables(arrays: Mapping[str, NDArray[Any]], name: str) -> list[Table]:
    parts = (arrays[f"{name}.{part}"].tolist() for part in ("lows", "frequencies", "sizes"))
    return [Table(low, frequencies[:size]) for low, frequencies, size in zip(*parts, strict=True)]


# ---- "Entropy coding"


def decode(
    data: bytes, codecs: Sequence[Codec], limits: Mapping[str, int] | None = None
) -> tuple[Header, Ints, Ints]:
    """A whole file to its header and its symbols: z (N, h_z, w_z) and y (M, rows, columns).

    Raises:
        Refused: the file breaks a rule, or none of the codecs made it.
    """
    limits = {**LIMITS, **(limits or {})}
    contents = split_sections(data, limits)
    header = read_header(contents[0][1])
    check_header(header, limits)
    payload = contents[-1][1]
    expect(len(payload) >= 4 and len(payload) % 4 == 0, "MalformedError", "payload of no whole words")
    for tag, content in contents:
        if tag == "m":
            read_metadata(content)
    for codec in codecs:
        if codec.fingerprint == header.fingerprint:
            return header, *decode_payload(payload, header, codec)
    raise Refused("ModelMismatchError", f"fingerprint {header.fingerprint.hex()}")


def decode_payload(payload: bytes, header: Header, codec: Codec) -> tuple[Ints, Ints]:
    """ "Steps", 1 to 6."""
    expect((header.rows, header.columns) == latent_shape(header, codec), "MalformedError", "latent shape")
    z_shape = codec.side, -(-header.rows // 4), -(-header.columns // 4)
    rows = [c for c in range(codec.side) for _ in range(z_shape[1] * z_shape[2])]
    try:
        decoder = RangeDecoder(payload)
        z = np.array(coder.decode_part(decoder, rows, codec.tables_z), np.int64).reshape(z_shape)
        expect(int(np.abs(z).max()) <= 32_768, "MalformedError", "z beyond 32,768")
        index, _ = hyper_synthesis(codec.weights, codec.biases, z, header.rows, header.columns)
        found = coder.decode_part(decoder, index.reshape(-1).tolist(), codec.tables_y)
        decoder.finish()
    except coder.Refused as error:
        raise Refused("MalformedError", f"payload: {error}") from error
    y = np.array(found, np.int64).reshape(index.shape)
    expect(symbol_hash(z, y) == header.symbol_hash, "SymbolHashError", "another hash")
    return z, y


def latent_shape(header: Header, codec: Codec) -> tuple[int, int]:
    """Rows and columns that the picture's size makes ("Steps", 1)."""
    longest = max(header.width, header.height)

    def latents(side: int) -> int:
        scaled = max(1, (side * header.size + longest // 2) // longest)
        canvas = -(-scaled // codec.stride) * codec.stride
        return canvas // codec.latent_stride

    return latents(header.height), latents(header.width)


def symbol_hash(z: Ints, y: Ints) -> bytes:
    """ "Steps", 6."""
    return hashlib.blake2b(symbol_bytes(z, y)).digest()[:4]


def symbol_bytes(z: Ints, y: Ints) -> bytes:
    """All symbols of z, then all of y, in raster order, as little-endian 32-bit integers."""
    return z.astype("<i4").tobytes() + y.astype("<i4").tobytes()


# ---- "Integer hyper-synthesis"


def hyper_synthesis(
    weights: Sequence[Ints], biases: Sequence[Ints], z: Ints, rows: int, columns: int
) -> tuple[Ints, Ints]:
    """Symbols of z to the table row, 0 to 63, and the mean, in sixteenths, of each y."""
    (w0, w1, w2), (b0, b1, b2) = weights, biases
    x1 = ((correlate(w0, up(z)) + b0[:, None, None] + 8) >> 4).clip(0, 4095)
    x2 = ((correlate(w1, up(x1)) + b1[:, None, None] + 128) >> 8).clip(0, 4095)
    x2 = x2[:, :rows, :columns]
    x3 = (correlate(w2, x2) + b2[:, None, None] + 128) >> 8  # >> rounds down, below zero too
    half = len(x3) // 2
    return x3[:half].clip(0, 63), x3[half:]


def up(x: Ints) -> Ints:
    return x.repeat(2, 1).repeat(2, 2)


def correlate(weight: Ints, x: Ints) -> Ints:
    """(W * x)[o, i, j]: the sum over channels c and offsets k, l, with zeros around x."""
    out, channels, kernel, _ = weight.shape
    p = kernel // 2
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (p, p), (p, p)))
    total = np.zeros((out, height * width), np.int64)
    for k in range(kernel):
        for m in range(kernel):
            shifted = padded[:, k : k + height, m : m + width].reshape(channels, -1)
            total += weight[:, :, k, m] @ shifted
    return total.reshape(out, height, width)
