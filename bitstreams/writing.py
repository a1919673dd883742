"""A writer for the conformance streams that also writes what featcodec's own refuses to write.

The entropy coder and the hyper-synthesis are those of the tests' second decoder, so that streams made from
chosen symbols do not depend on the code that they are to test.
"""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "conformance"))

import reference_decoder as reference  # noqa: E402
from range_coder_reference import RangeEncoder, Table, encode_part  # noqa: E402
from reference_decoder import MAGIC, Codec, Header, Ints  # noqa: E402

__all__ = [
    "MAGIC",
    "METADATA",
    "ROOT",
    "Base",
    "Built",
    "Codec",
    "Header",
    "Ints",
    "RangeEncoder",
    "Stream",
    "Table",
    "container",
    "encode_part",
    "header_content",
    "reference",
    "varint",
    "z_rows",
]

METADATA = (b"m", b'{"camera":"north"}')


@dataclass(frozen=True)
class Stream:
    """One stream of the collection.

    Attributes:
        file: where it lies, without folder of its kind and without suffix.
        made: in words.
        data: its bytes.
        error: for an invalid one: the class of the error; empty for what the second decoder finds.
        message: for an invalid one: how featcodec's message begins.
        limits: limits of the reader, where they are not the default ones.
    """

    file: str
    made: str
    data: bytes
    error: str = ""
    message: str = ""
    limits: dict[str, int] = field(default_factory=dict)


def varint(value: int) -> bytes:
    """A number as the section "Numbers" of the format has it."""
    groups = []
    while value > 127:
        groups.append(value % 128 + 128)
        value //= 128
    return bytes([*groups, value])


def container(*contents: tuple[bytes, bytes]) -> bytes:
    """A file of any sections (tag, content), in any order, under sound checksums."""
    file = MAGIC + b"\x01"
    crc = zlib.crc32(file)
    for tag, content in contents:
        section = tag + varint(len(content)) + content
        crc = zlib.crc32(section, crc)
        file += section + crc.to_bytes(4, "little")
    return file


def header_content(header: Header) -> bytes:
    """The content of `H`, whatever its fields are."""
    numbers = (header.width, header.height, header.size, header.rows, header.columns)
    name = header.name.encode("latin-1")
    return b"".join(
        [
            header.fingerprint,
            bytes([header.quality_step]),
            *map(varint, numbers),
            header.symbol_hash,
            bytes([len(name)]),
            name,
        ]
    )


def z_rows(codec: Codec, z: Ints) -> list[int]:
    """Row of the table of each z: its channel."""
    return [c for c in range(codec.side) for _ in range(z[0].size)]


@dataclass(frozen=True)
class Built:
    """A stream under construction, made of chosen symbols.

    Attributes:
        codec: the codec.
        header: without the hash, which `data` computes.
        z, y: the symbols.
        index: row of the table of each y.
    """

    codec: Codec
    header: Header
    z: Ints
    y: Ints
    index: Ints

    @staticmethod
    def of(
        codec: Codec, width: int, height: int, z: Ints, *, size: int | None = None, step: int = 96
    ) -> Built:
        """Chosen symbols of z, and zeros for y, to be replaced."""
        scaled = min(416, max(width, height)) if size is None else size
        header = Header(codec.fingerprint, step, width, height, scaled, 1, 1, bytes(4), codec.name)
        rows, columns = reference.latent_shape(header, codec)
        index, _ = reference.hyper_synthesis(codec.weights, codec.biases, z, rows, columns)
        return Built(codec, replace(header, rows=rows, columns=columns), z, index * 0, index)

    def limits_of_y(self) -> tuple[Ints, Ints]:
        """First and last symbol of y that have an entry of their own, position by position."""
        low = np.array([t.low for t in self.codec.tables_y], np.int64)[self.index]
        high = low + np.array([len(t.frequencies) - 2 for t in self.codec.tables_y], np.int64)[self.index]
        return low, high

    def payload(self) -> bytes:
        """The entropy-coded symbols."""
        encoder = RangeEncoder()
        encode_part(encoder, self.z.reshape(-1).tolist(), z_rows(self.codec, self.z), self.codec.tables_z)
        rows = self.index.reshape(-1).tolist()
        encode_part(encoder, self.y.reshape(-1).tolist(), rows, self.codec.tables_y)
        return encoder.finish()

    def hashed(self) -> Header:
        """The header with the hash of the symbols."""
        return replace(self.header, symbol_hash=reference.symbol_hash(self.z, self.y))

    def data(self) -> bytes:
        """The whole file."""
        return container((b"H", header_content(self.hashed())), (b"D", self.payload()))


class Base:
    """A sound file of 7 x 3 pixels that the invalid ones are made of."""

    def __init__(self, codec: Codec):
        rng = np.random.default_rng(4)
        self.codec = codec
        built = Built.of(codec, 7, 3, rng.integers(-2, 3, (codec.side, 1, 1)))
        self.built = replace(built, y=np.clip(rng.integers(-2, 3, built.y.shape), *built.limits_of_y()))
        self.header: Header = self.built.hashed()
        self.payload = self.built.payload()
        self.h, self.d = (b"H", header_content(self.header)), (b"D", self.payload)
        self.data = container(self.h, METADATA, self.d)

    def with_header(self, **changes: object) -> bytes:
        """Other fields under sound checksums."""
        return container((b"H", header_content(replace(self.header, **changes))), self.d)  # type: ignore[arg-type]

    def with_payload(self, payload: bytes, **changes: object) -> bytes:
        """Another payload, and other fields, under sound checksums."""
        header = replace(self.header, **changes)  # type: ignore[arg-type]
        return container((b"H", header_content(header)), (b"D", payload))
