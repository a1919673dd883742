"""A second reader and writer of the payload, to be read beside ``docs/plf-format.md``, in whole numbers.

They follow the section "Entropy coding" rule by rule and are slow. The tests compare featcodec's coder with
them, so that the format is what the document says and not what one release of a library happens to do.
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


class RangeEncoder:
    """The state machine of the writer; `low` grows without bound, so that carries take care of themselves."""

    def __init__(self) -> None:
        self.low = 0
        self.range: int = 2**64 - 1
        self.shifts = 0

    def advance(self, start: int, frequency: int) -> None:
        """Narrows the range to the parts start .. start + frequency - 1."""
        part = self.range >> PRECISION
        self.low += part * start
        self.range = part * frequency
        if self.range < 2**32:
            self.low *= 2**32
            self.range *= 2**32
            self.shifts += 1

    def uniform(self, value: int, count: int) -> None:
        """A number 0 .. count - 1."""
        frequency = (1 << PRECISION) // count
        start = value * frequency
        self.advance(start, frequency if value < count - 1 else 2**PRECISION - start)

    def escape(self, number: int) -> None:
        """A whole number below 2^20 in Elias' gamma code."""
        bits = (number + 1).bit_length() - 1
        self.uniform(bits, ESCAPE_BITS + 1)
        if bits:
            self.uniform(number + 1 - (1 << bits), 1 << bits)

    def finish(self) -> bytes:
        """The fewest words that identify the range whatever follows them."""
        if self.range == 2**64 - 1:
            return b""
        point = (self.low + 2**32 - 1) >> 32
        words = [point >> 32 * i & 0xFFFFFFFF for i in range(self.shifts, -1, -1)]
        if (self.low + self.range) >> 32 & 0xFFFFFFFF == words[-1]:
            words.append(0)
        return b"".join(word.to_bytes(4, "little") for word in words)


def encode_part(encoder: RangeEncoder, symbols: list[int], rows: list[int], tables: list[Table]) -> None:
    """The inverse of `decode_part`."""
    escapes: dict[int, int] = {}
    for row in sorted(set(rows)):
        table, starts = tables[row], tables[row].starts
        last = len(table.frequencies) - 1
        for at in (i for i, r in enumerate(rows) if r == row):
            entry = symbols[at] - table.low
            if not 0 <= entry < last:
                escapes[at] = 2 * (entry - last) if entry >= last else 2 * (-entry - 1) + 1
                entry = last
            encoder.advance(starts[entry], table.frequencies[entry])
    for at in sorted(escapes):
        encoder.escape(escapes[at])
