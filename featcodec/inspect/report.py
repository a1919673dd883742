"""A file read and checked, and what all commands of ``plf`` do with files. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from featcodec.console import about, read_input
from featcodec.plf.bitstream import DEFAULT_LIMITS, MAGIC, Bitstream, Limits, Section, parse, sections

__all__ = ["NAMES", "PREAMBLE", "Report", "check", "load"]

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
        InputError: what is wrong with it, in one line that begins with the path.
    """
    with about(path):
        return check(path, read_input(path, limits.max_file), limits)
