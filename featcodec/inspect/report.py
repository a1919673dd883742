"""A file read and checked, and what all commands of ``plf`` do with files. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from featcodec.console import about, read_input
from featcodec.plf.bitstream import (
    DEFAULT_LIMITS,
    MAGIC,
    VERSION,
    Bitstream,
    Limits,
    Section,
    parse,
    sections,
)
from featcodec.plf.header import Header

__all__ = ["NAMES", "PREAMBLE", "Report", "as_json", "check", "header_as_json", "load"]

NAMES = {"H": "header", "m": "metadata", "D": "payload"}
PREAMBLE = len(MAGIC) + 1  # bytes of magic and version


@dataclass(frozen=True, slots=True)
class Report:
    """A sound file and what was found in it."""

    path: str
    data: bytes
    stream: Bitstream
    sections: tuple[Section, ...]
    limits: Limits = DEFAULT_LIMITS

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.data)

    @property
    def bpp(self) -> float:
        """Bits of the whole file per pixel of the original picture."""
        return 8 * self.size / (self.stream.header.width * self.stream.header.height)

    def content(self, section: Section) -> bytes:
        """The content of one of the sections."""
        return self.data[section.start : section.start + section.length]


def check(path: str, data: bytes, limits: Limits) -> Report:
    """Take bytes apart, checking them.

    Raises:
        BitstreamError: what is wrong with them.
    """
    return Report(path, data, parse(data, limits=limits), sections(data, limits=limits), limits)


def load(path: str, limits: Limits) -> Report:
    """Read and check one file; ``-`` is standard input.

    Raises:
        FeatcodecError: what is wrong with it; it knows the path.
    """
    with about(path):
        return check(path, read_input(path, limits.max_file), limits)


def header_as_json(header: Header) -> dict[str, object]:
    """Return the fields of a header as ``--json`` shows them; likewise an interface."""
    return {
        "codec": header.codec,
        "fingerprint": header.fingerprint.hex(),
        "quality": header.quality,
        "width": header.width,
        "height": header.height,
        "size": header.size,
        "latent_height": header.latent_height,
        "latent_width": header.latent_width,
        "symbol_hash": header.symbol_hash.hex(),
    }


def as_json(report: Report) -> dict[str, object]:
    """Return what ``plf info --json`` shows; names and units here are an interface."""
    return {
        "file": report.path,
        "bytes": report.size,
        "format_version": VERSION,
        **header_as_json(report.stream.header),
        "payload_bytes": len(report.stream.payload),
        "bpp": report.bpp,
        "sections": [
            {"tag": s.tag, "offset": s.offset, "length": s.length, "bytes": s.size, "crc32": f"{s.crc:08x}"}
            for s in report.sections
        ],
        "metadata": report.stream.metadata,
    }
