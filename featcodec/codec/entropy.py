"""Symbols + table indexes + tables <-> bytes, through constriction's range coder.

    tables ─┐
    z ──────┤ channel by channel ──┐
    y ──────┤ table by table ──────┼─▶ one stream of 32-bit words
    escapes ┘ what no table holds ─┘

A table is a list of n integer frequencies that add up to 2^24, for the symbols low .. low + n - 2, and last
the escape. constriction gets them as the weights ``frequency - 1``: it adds 1 to each (its models leave
no symbol without probability) after scaling by (2^24 - n) / sum(weights), which is exactly 1, so that no
rounding takes place and the coder works on exactly the stored integers
(``tests/conformance/range_coder_reference.py`` decodes with integers alone and agrees).

Source of the coder: Bamler 2022 (arXiv:2201.01741); range coding after Martin 1979; the escape's code
from Elias 1975 (gamma), doi:10.1109/TIT.1975.1055349.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TypeVar

import constriction
import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError, MalformedError

__all__ = ["PRECISION", "SymbolDecoder", "Tables", "encode_symbols", "ideal_bits", "symbol_hash"]

PRECISION = 24  # bits of the frequencies
ESCAPE_BITS = 20  # an escape stands for a whole number below 2^20
LIMIT_ROWS = 1 << 16
LIMIT_FREQUENCIES = 1 << 22  # of all rows: the coder makes models of them that take ten times their memory
LIMIT_ENTRY = 1 << 20  # symbols with an entry lie between -2^20 and 2^20
SHORT_ROW = 6  # entries
Ints = NDArray[np.int32]
_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Tables:
    """Frequency tables, one row each.

    Attributes:
        frequencies: (rows, widest) int32; row r uses the first ``sizes[r]``, the last of them the escape.
        sizes: (rows,) symbols of each row, the escape included; at least 2.
        lows: (rows,) the symbol that entry 0 of each row stands for.

    Raises:
        InputError: a row does not add up to 2^24, holds a frequency below 1 or others than 0 beyond its size;
            other shapes or types.
    """

    frequencies: Ints
    sizes: Ints
    lows: Ints
    _models: dict[tuple[int, bool], constriction.stream.model.Categorical] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        got = [(part.dtype.name, part.shape) for part in (self.frequencies, self.sizes, self.lows)]
        shape = self.frequencies.shape
        rows = shape[0] if len(shape) == 2 else 0
        expected = [("int32", shape), ("int32", (rows,)), ("int32", (rows,))]
        if got != expected or not 1 <= rows <= LIMIT_ROWS:
            raise InputError(
                f"tables: got {got}, expected int32 (rows, widest), (rows,), (rows,), 1 to 65536 rows"
            )
        if self.frequencies.size > LIMIT_FREQUENCIES:
            got_size = f"{self.frequencies.size:,} frequencies"
            raise InputError(f"tables: got {got_size}, expected at most {LIMIT_FREQUENCIES:,}")
        for r, (size, low) in enumerate(zip(self.sizes.tolist(), self.lows.tolist(), strict=True)):
            if not 2 <= size <= shape[1]:
                raise InputError(f"table {r}: got {size} frequencies, expected 2 to {shape[1]}")
            row = self.frequencies[r, :size]
            if row.min() < 1 or int(row.sum(dtype=np.int64)) != 1 << PRECISION:
                raise InputError(
                    f"table {r}: got {size} frequencies from {row.min()} adding up to "
                    f"{int(row.sum(dtype=np.int64))}, expected each from 1 up, adding up to {1 << PRECISION}"
                )
            if self.frequencies[r, size:].any():
                raise InputError(f"table {r}: got frequencies beyond its {size}, expected zeros")
            if not -LIMIT_ENTRY < low <= LIMIT_ENTRY - size:
                raise InputError(
                    f"table {r}: got symbols {low} to {low + size - 2}, expected them within {LIMIT_ENTRY}"
                )

    def __reduce__(self) -> tuple[type[Tables], tuple[Ints, Ints, Ints]]:
        return Tables, (self.frequencies, self.sizes, self.lows)  # constriction's models cannot be copied

    def model(self, row: int, *, decodes: bool = False) -> constriction.stream.model.Categorical:
        """constriction's model of one row; kept, since making it costs more than coding with it.

        Of a short row, entries are decoded faster from its frequencies, one after the other, than by search
        in their sums; of a long row, and for encoding, it is the other way round. Both are the same model.
        """
        lazy = decodes and int(self.sizes[row]) <= SHORT_ROW
        if (row, lazy) not in self._models:
            weights = (self.frequencies[row, : self.sizes[row]] - 1).astype(np.float64)
            model = constriction.stream.model.Categorical(weights, perfect=False, lazy=lazy)
            self._models[row, lazy] = model
        return self._models[row, lazy]


class _TableOrder:
    """The order in which a part is coded: table by table, raster order within each.

    It is worked out block by block, so that what is moved about stays in the processor's cache.

    Attributes:
        counts: symbols of each table.
        present: tables that have symbols, rising.
    """

    BLOCK = 1 << 17

    def __init__(self, rows: Ints, tables: Tables):
        keys, every = rows.astype(np.uint16), np.arange(len(tables.sizes) + 1)
        self._size = rows.size
        self._orders, cuts = [], []
        for start in range(0, self._size, self.BLOCK):
            block = keys[start : start + self.BLOCK]
            order = np.argsort(block, kind="stable")  # 16 bits: a radix sort, ten times as fast
            self._orders.append(order)
            cuts.append(np.searchsorted(block, every, sorter=order))
        self._cuts = np.array(cuts, np.intp).reshape(len(cuts), len(every))
        of_blocks = np.diff(self._cuts)  # (blocks, tables)
        self.counts: NDArray[np.intp] = of_blocks.sum(0)
        self.present: list[int] = np.flatnonzero(self.counts).tolist()
        ends = self.counts.cumsum() - self.counts + of_blocks.cumsum(0)
        self._pieces = np.stack([ends - of_blocks, ends], 2)  # where a block's symbols of a table come

    def sorted(self, values: NDArray[_Value]) -> NDArray[_Value]:
        """Values in raster order, one a symbol, brought into coding order."""
        blocks = [values[i * self.BLOCK :][: len(o)][o] for i, o in enumerate(self._orders)]
        if len(blocks) == 1:
            return blocks[0]
        cuts = self._cuts.tolist()
        pieces = [b[c[row] : c[row + 1]] for row in self.present for b, c in zip(blocks, cuts, strict=True)]
        return np.concatenate(pieces or [values])

    def restored(self, values: NDArray[_Value]) -> NDArray[_Value]:
        """Values in coding order, brought back into raster order."""
        out = np.empty_like(values)
        for i, (order, pieces) in enumerate(zip(self._orders, self._pieces.tolist(), strict=True)):
            block = np.concatenate([values[slice(*pieces[row])] for row in self.present])
            out[i * self.BLOCK :][: len(order)][order] = block
        return out

    def positions(self, chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Where in raster order, rising, the symbols are that are chosen in coding order."""
        if len(self._orders) == 1:
            return np.sort(self._orders[0][chosen])
        return np.flatnonzero(self.restored(chosen))


def _escape_offsets(symbols: Ints, rows: Ints, tables: Tables) -> NDArray[np.int64]:
    """How far escaped symbols lie outside their row, folded to whole numbers: odd below, even above."""
    low = tables.lows[rows].astype(np.int64)
    high = low + tables.sizes[rows] - 2  # last symbol with an entry
    return np.where(symbols < low, 2 * (low - 1 - symbols) + 1, 2 * (symbols - high - 1))


def _unfold(offsets: NDArray[np.int64], rows: Ints, tables: Tables) -> NDArray[np.int64]:
    low = tables.lows[rows].astype(np.int64)
    high = low + tables.sizes[rows] - 2
    return np.where(offsets % 2 == 1, low - 1 - offsets // 2, high + 1 + offsets // 2)


def _encode_part(
    coder: constriction.stream.queue.RangeEncoder, symbols: Ints, rows: Ints, tables: Tables
) -> None:
    order = _TableOrder(rows, tables)
    entries = order.sorted(symbols) - np.repeat(tables.lows, order.counts)
    escape = np.repeat(tables.sizes - 1, order.counts)
    # what lies below 0 lies far above as a number without sign
    np.minimum(entries.view(np.uint32), escape.view(np.uint32), out=entries.view(np.uint32))
    end = 0
    for row in order.present:
        start, end = end, end + int(order.counts[row])
        coder.encode(entries[start:end], tables.model(row))
    at = order.positions(entries == escape)
    offsets = _escape_offsets(symbols[at], rows[at], tables)
    if offsets.size and int(offsets.max()) >= 1 << ESCAPE_BITS:
        far = symbols[at][offsets.argmax()]
        raise InputError(
            f"latents: got an outlier {far}, expected it within 2^{ESCAPE_BITS - 1} of its table"
        )
    for offset in offsets.tolist():  # Elias gamma: the number of bits, then the bits below the leading one
        bits = (offset + 1).bit_length() - 1
        coder.encode(bits, constriction.stream.model.Uniform(ESCAPE_BITS + 1))
        if bits:
            coder.encode(offset + 1 - (1 << bits), constriction.stream.model.Uniform(1 << bits))


def encode_symbols(parts: list[tuple[Ints, Ints, Tables]]) -> bytes:
    """Codes (symbols, rows, tables) triples one after the other into one stream.

    Args:
        parts: flat int32 arrays of equal length, `rows` saying which row of `tables` each symbol uses.

    Returns:
        Little-endian 32-bit words.

    Raises:
        InputError: a symbol lies more than 2^19 beyond its table.

    Example:
        >>> import numpy as np
        >>> from featcodec.codec.entropy import SymbolDecoder, Tables, encode_symbols
        >>> tables = Tables(np.array([[1 << 23, (1 << 23) - 1, 1]], np.int32), np.array([3], np.int32),
        ...                 np.array([0], np.int32))
        >>> symbols, rows = np.array([0, 1, 1, 0, 7], np.int32), np.zeros(5, np.int32)
        >>> data = encode_symbols([(symbols, rows, tables)])
        >>> decoder = SymbolDecoder(data)
        >>> decoder.decode(rows, tables).tolist()
        [0, 1, 1, 0, 7]
        >>> decoder.finish()
    """
    coder = constriction.stream.queue.RangeEncoder()
    for symbols, rows, tables in parts:
        _encode_part(coder, symbols, rows, tables)
    words = coder.get_compressed()
    return bytes(words.astype("<u4").tobytes())


class SymbolDecoder:
    """Reads what `encode_symbols` wrote, part by part, in the same order.

    Args:
        data: little-endian 32-bit words.

    Raises (all methods):
        MalformedError: the words do not decode.
    """

    def __init__(self, data: bytes):
        if len(data) % 4:
            raise MalformedError(f"payload: got {len(data)} bytes, expected a multiple of 4")
        self._words = len(data) // 4
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))

    def decode(self, rows: Ints, tables: Tables) -> Ints:
        """The next part: symbols for `rows`, int32, flat."""
        try:
            return self._decode(rows, tables)
        except MalformedError:
            raise
        except (AssertionError, ValueError, KeyError, OverflowError) as error:
            raise MalformedError(f"payload: the entropy coder stopped: {error}") from error

    def _decode(self, rows: Ints, tables: Tables) -> Ints:
        order = _TableOrder(rows, tables)
        entries = [
            self._coder.decode(tables.model(row, decodes=True), int(order.counts[row]))
            for row in order.present
        ]
        found = np.concatenate([*entries, np.empty(0, np.int32)])
        escaped = found == np.repeat(tables.sizes - 1, order.counts)
        found += np.repeat(tables.lows, order.counts)
        symbols = order.restored(found)
        at = order.positions(escaped)
        # an escape takes more than 4 bits: more of them than fit are damage, found before they take minutes
        if 4 * at.size > 32 * self._words:
            raise MalformedError(f"payload: got {at.size} escapes in {self._words} words")
        offsets = np.array([self._escape() for _ in range(at.size)], np.int64)
        symbols[at] = _unfold(offsets, rows[at], tables)
        return symbols

    def _escape(self) -> int:
        bits = int(self._coder.decode(constriction.stream.model.Uniform(ESCAPE_BITS + 1)))
        low = int(self._coder.decode(constriction.stream.model.Uniform(1 << bits))) if bits else 0
        offset = (1 << bits) + low - 1
        if offset >= 1 << ESCAPE_BITS:
            raise MalformedError(f"payload: got an escape of {offset}, expected less than 2^{ESCAPE_BITS}")
        return offset

    def finish(self) -> None:
        """Checks that no words are left over."""
        if not self._coder.maybe_exhausted():
            raise MalformedError("payload: words are left over after the last symbol")


def ideal_bits(symbols: Ints, rows: Ints, tables: Tables) -> NDArray[np.float64]:
    """Information content of each symbol under its table, in bits: what an ideal coder would spend.

    Escaped symbols count with their Elias gamma code.
    """
    position = symbols - tables.lows[rows]
    escape = tables.sizes[rows] - 1
    out = (position < 0) | (position >= escape)
    frequency = tables.frequencies[rows, np.where(out, escape, position)]
    bits = PRECISION - np.log2(frequency.astype(np.float64))
    offsets = _escape_offsets(symbols[out], rows[out], tables)
    bits[out] += np.log2(ESCAPE_BITS + 1) + np.floor(np.log2(offsets + 1))
    return np.asarray(bits)


def symbol_hash(*parts: Ints) -> bytes:
    """First 4 bytes of BLAKE2b over the symbols as little-endian int32, part after part."""
    digest = hashlib.blake2b(digest_size=64)
    for symbols in parts:
        digest.update(np.ascontiguousarray(symbols, "<i4").tobytes())
    return digest.digest()[:4]
