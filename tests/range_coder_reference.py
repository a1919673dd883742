"""A second decoder of the payload, to be read beside ``docs/plf-format.md``: whole numbers only, no library.

It follows the section "Entropy coding" rule by rule and is slow. The tests compare featcodec's decoder with
it, so that the format is what the document says and not what one release of a library happens to do.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

PRECISION = 24
ESCAPE_BITS = 20


class Refused(Exception):
    """A decoder has to refuse the payload here."""


@dataclass(frozen=True)
class Table:
    """One row of the tables: the symbol that the first frequency stands for, and the frequencies."""

    low: int
    frequencies: list[int]

    @property
    def starts(self) -> list[int]:
        """What lies below each entry."""
        return [0, *accumulate(self.frequencies)][:-1]


class RangeDecoder:
    """The state machine: `range` numbers are left, of which the payload is number `point`."""

    def __init__(self, payload: bytes):
        if len(payload) % 4:
            raise Refused("not whole words")
        self.words = [int.from_bytes(payload[i : i + 4], "little") for i in range(0, len(payload), 4)]
        self.read = 0
        self.range: int = 2**64 - 1
        self.point: int = self.next_word() * 2**32 + self.next_word()

    def next_word(self) -> int:
        """The next word; zeros after the last."""
        self.read += 1
        return self.words[self.read - 1] if self.read <= len(self.words) else 0

    def quantile(self) -> int:
        """Where the payload points to among the 2^24 parts of the range."""
        quantile = self.point // (self.range >> PRECISION)
        if quantile >= 2**PRECISION:
            raise Refused("points beyond the last part of the range")
        return quantile

    def advance(self, start: int, frequency: int) -> None:
        """Narrows the range to the parts start .. start + frequency - 1."""
        part = self.range >> PRECISION
        self.point -= part * start
        self.range = part * frequency
        if self.range < 2**32:
            self.range *= 2**32
            self.point = self.point * 2**32 + self.next_word()

    def entry(self, table: Table, starts: list[int]) -> int:
        """An entry of a table."""
        found = bisect_right(starts, self.quantile()) - 1
        self.advance(starts[found], table.frequencies[found])
        return found

    def uniform(self, count: int) -> int:
        """A number 0 .. count - 1, all equally likely but for the last, which gets the remainder."""
        frequency = (1 << PRECISION) // count
        value = min(self.quantile() // frequency, count - 1)
        start = value * frequency
        self.advance(start, frequency if value < count - 1 else 2**PRECISION - start)
        return value

    def escape(self) -> int:
        """A whole number below 2^20 in Elias' gamma code."""
        bits = self.uniform(ESCAPE_BITS + 1)
        number = (1 << bits) + (self.uniform(1 << bits) if bits else 0) - 1
        if number >= 2**ESCAPE_BITS:
            raise Refused("an escape too far")
        return number

    def finish(self) -> None:
        """Whether the payload ends where the symbols do."""
        untouched = self.range == 2**64 - 1
        if self.read < len(self.words) or not (untouched or self.point < 2**33 - 1):
            raise Refused("words are left over")


def decode_part(decoder: RangeDecoder, rows: list[int], tables: list[Table]) -> list[int]:
    """The symbols of one part (z or y): table by table, then the escapes in the order of the part."""
    symbols = [0] * len(rows)
    escaped = []
    for row in sorted(set(rows)):
        table, starts = tables[row], tables[row].starts
        for at in (i for i, r in enumerate(rows) if r == row):
            entry = decoder.entry(table, starts)
            symbols[at] = table.low + entry
            if entry == len(table.frequencies) - 1:
                escaped.append(at)
    if 4 * len(escaped) > 32 * len(decoder.words):
        raise Refused("more escapes than fit")
    for at in sorted(escaped):
        table = tables[rows[at]]
        number = decoder.escape()
        beyond = table.low + len(table.frequencies) - 1  # first symbol above the table
        symbols[at] = table.low - 1 - number // 2 if number % 2 else beyond + number // 2
    return symbols


def decode(payload: bytes, parts: list[tuple[list[int], list[Table]]]) -> list[list[int]]:
    """All parts, each with its rows and tables, to the end of the payload."""
    decoder = RangeDecoder(payload)
    symbols = [decode_part(decoder, rows, tables) for rows, tables in parts]
    decoder.finish()
    return symbols
