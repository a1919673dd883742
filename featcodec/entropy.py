"""Symbols + table indexes + tables <-> bytes, through constriction's range coder.

    tables ─┐
    z ──────┤ channel by channel ──┐
    y ──────┤ table by table ──────┼─▶ one stream of 32-bit words
    escapes ┘ what no table holds ─┘

A table is a list of integer frequencies that add up to 2^24, for the symbols low .. low + n - 1, and last
the escape. constriction gets them as the weights ``frequency - 1``: it adds 1 to each (its models leave
no symbol without probability) after scaling by (2^24 - n) / sum(weights), which is exactly 1, so that no
rounding takes place and the coder works on exactly the stored integers.

Source of the coder: Bamler 2022 (arXiv:2201.01741); range coding after Martin 1979.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import constriction
import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError, MalformedError

__all__ = ["PRECISION", "SymbolDecoder", "Tables", "encode_symbols", "ideal_bits", "symbol_hash"]

PRECISION = 24  # bits of the frequencies
ESCAPE_BITS = 20  # an escaped value lies within 2^20 of its table's edge
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Tables:
    """Frequency tables, one row each.

    Attributes:
        frequencies: (rows, widest) int32; row r uses the first ``sizes[r]``, the last of them the escape.
        sizes: (rows,) symbols of each row, the escape included; at least 2.
        lows: (rows,) the symbol that entry 0 of each row stands for.

    Raises:
        InputError: a row does not add up to 2^24, or holds a frequency below 1.
    """

    frequencies: Ints
    sizes: Ints
    lows: Ints

    def __post_init__(self) -> None:
        for r, size in enumerate(self.sizes.tolist()):
            row = self.frequencies[r, :size]
            if size < 2 or row.min() < 1 or int(row.sum(dtype=np.int64)) != 1 << PRECISION:
                raise InputError(
                    f"table {r}: got {size} frequencies from {row.min() if size else 0} adding up to "
                    f"{int(row.sum(dtype=np.int64))}, expected 2 or more from 1 up adding up to {1 << PRECISION}"
                )

    def model(self, row: int) -> constriction.stream.model.Categorical:
        """constriction's model of one row."""
        weights = (self.frequencies[row, : self.sizes[row]] - 1).astype(np.float64)
        return constriction.stream.model.Categorical(weights, perfect=False)

    def entries(self, symbols: Ints, row: int) -> Ints:
        """Symbols to positions in the row; what the row lacks becomes the escape, its last entry."""
        position = symbols - self.lows[row]
        escape = self.sizes[row] - 1
        return np.where((position < 0) | (position >= escape), escape, position).astype(np.int32)


def _groups(rows: Ints) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each table in use, rising, with the positions (rising) that use it."""
    order = np.argsort(rows, kind="stable")
    present, starts = np.unique(rows[order], return_index=True)
    for row, where in zip(present.tolist(), np.split(order, starts[1:]), strict=True):
        yield row, where


def _escape_offsets(symbols: Ints, rows: Ints, tables: Tables) -> NDArray[np.int64]:
    """How far escaped symbols lie outside their row, folded to whole numbers >= 0: below -> odd, above -> even."""
    low = tables.lows[rows].astype(np.int64)
    high = low + tables.sizes[rows] - 2  # last symbol with an entry
    return np.where(symbols < low, 2 * (low - 1 - symbols) + 1, 2 * (symbols - high - 1))


def _unfold(offsets: NDArray[np.int64], rows: Ints, tables: Tables) -> NDArray[np.int64]:
    low = tables.lows[rows].astype(np.int64)
    high = low + tables.sizes[rows] - 2
    return np.where(offsets % 2 == 1, low - 1 - offsets // 2, high + 1 + offsets // 2)


def _encode_part(coder: constriction.stream.queue.RangeEncoder, symbols: Ints, rows: Ints, tables: Tables) -> None:
    escaped: list[NDArray[np.intp]] = []
    for row, where in _groups(rows):
        entries = tables.entries(symbols[where], row)
        coder.encode(entries, tables.model(row))
        escaped.append(where[entries == tables.sizes[row] - 1])
    at = np.sort(np.concatenate(escaped)) if escaped else np.zeros(0, np.intp)
    offsets = _escape_offsets(symbols[at], rows[at], tables)
    if offsets.size and int(offsets.max()) >= 1 << ESCAPE_BITS:
        raise InputError(f"latents: got an outlier {int(offsets.max())} beyond its table, expected < 2^{ESCAPE_BITS}")
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
        InputError: a symbol lies 2^20 or more beyond its table.

    Example:
        >>> import numpy as np
        >>> from featcodec.entropy import SymbolDecoder, Tables, encode_symbols
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
        data: little-endian 32-bit words, at least one.

    Raises (all methods):
        MalformedError: the words do not decode.
    """

    def __init__(self, data: bytes):
        if len(data) % 4:
            raise MalformedError(f"payload: got {len(data)} bytes, expected a multiple of 4")
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
        symbols = np.empty(rows.shape, np.int32)
        escaped: list[NDArray[np.intp]] = []
        for row, where in _groups(rows):
            entries = self._coder.decode(tables.model(row), len(where))
            symbols[where] = entries + tables.lows[row]
            escaped.append(where[entries == tables.sizes[row] - 1])
        at = np.sort(np.concatenate(escaped)) if escaped else np.zeros(0, np.intp)
        if at.size:
            offsets = np.array([self._escape() for _ in range(at.size)], np.int64)
            symbols[at] = _unfold(offsets, rows[at], tables)
        return symbols

    def _escape(self) -> int:
        bits = int(self._coder.decode(constriction.stream.model.Uniform(ESCAPE_BITS + 1)))
        low = int(self._coder.decode(constriction.stream.model.Uniform(1 << bits))) if bits else 0
        return (1 << bits) + low - 1

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
