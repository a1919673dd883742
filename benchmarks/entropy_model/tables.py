"""What tables alone can tell: where a file's bytes are, and what tables fitted to the symbols would save."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from symbols import CodedPicture

from featcodec.codec.entropy import Tables, ideal_bits

__all__ = ["fitted_tables", "shares"]

WIDEST = 512  # symbols beyond count as this one
PRIOR = 64.0  # symbols that the codec's own table counts for where others are fitted
BUCKETS = 8  # of what the neighbours say
Ints = NDArray[np.integer]
Key = Callable[[CodedPicture], Ints]


def shares(pictures: Sequence[CodedPicture], tables_z: Tables, tables_y: Tables) -> dict[str, float]:
    """Means over pictures: bytes of real files, and where an ideal coder would spend them."""
    rows = [_spent(p, tables_z, tables_y) for p in pictures]
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {name: round(value, 4 if "symbols" in name else 1) for name, value in mean.items()}


def _spent(p: CodedPicture, tables_z: Tables, tables_y: Tables) -> dict[str, float]:
    bits_z = ideal_bits(p.z.astype(np.int32).ravel(), channels(p.z).ravel(), tables_z).sum()
    index = p.index.astype(np.int32).ravel()
    bits = ideal_bits(p.y.astype(np.int32).ravel(), index, tables_y)
    narrow = index == 0
    return {
        "file": p.file_bytes,
        "container": p.file_bytes - p.payload_bytes,
        "ideal payload": (bits_z + bits.sum()) / 8,
        "z": bits_z / 8,
        "y": bits.sum() / 8,
        "y in the narrowest table": bits[narrow].sum() / 8,
        "symbols in the narrowest table": narrow.mean(),
        "symbols in the narrowest table that are not 0": (p.y.ravel()[narrow] != 0).mean()
        if narrow.any()
        else 0,
        "y in the narrowest 4 tables": bits[index < 4].sum() / 8,
    }


def channels(z: Ints) -> NDArray[np.int32]:
    """(N, h, w) the table of each symbol of z: its channel."""
    return np.broadcast_to(np.arange(len(z), dtype=np.int32)[:, None, None], z.shape)


def causal_activity(p: CodedPicture) -> Ints:
    """(M, h, w) of 8 values: how large the four neighbours are that a raster scan has seen."""
    large = np.pad(np.minimum(np.abs(p.y), 4), ((0, 0), (1, 0), (1, 1)))
    seen = large[:, 1:, :-2] + large[:, :-1, :-2] + large[:, :-1, 1:-1] + large[:, :-1, 2:]
    return np.minimum(seen, BUCKETS - 1)


def earlier_activity(p: CodedPicture) -> Ints:
    """(M, h, w) of 8 values: how large the four channels before are at the same place."""
    large = np.pad(np.minimum(np.abs(p.y), 4), ((4, 0), (0, 0), (0, 0)))
    return np.minimum(sum(large[k : k + len(p.y)] for k in range(4)), BUCKETS - 1)


def left_of(p: CodedPicture) -> Ints:
    """(N, h, w) of 8 values: the symbol of z to the left, about the middle."""
    left = np.pad(p.z, ((0, 0), (0, 0), (1, 0)))[:, :, :-1]
    return np.clip(left // 2 + BUCKETS // 2, 0, BUCKETS - 1)


def fitted_tables(
    fit: dict[int, Sequence[CodedPicture]], held_out: dict[int, Sequence[CodedPicture]],
    tables_z: Tables, tables_y: Tables,
) -> dict[str, dict[int, float]]:  # fmt: skip
    """Change in bytes of y (or z, by name) by quality, as a share, if tables are fitted to symbols."""
    pooled = [p for pictures in fit.values() for p in pictures]

    def rows(p: CodedPicture) -> Ints:
        return p.index.astype(np.int64)

    def side_rows(p: CodedPicture) -> Ints:
        return channels(p.z).astype(np.int64)

    def with_(key: Key, more: Key) -> Key:
        return lambda p: key(p) * BUCKETS + more(p)

    y = ("y", _costs(tables_y), rows)
    z = ("z", _costs(tables_z), side_rows)
    found = {"tables": _change(*y, rows, pooled, held_out)}
    found["tables by quality"] = {q: _change(*y, rows, fit[q], {q: held_out[q]})[q] for q in held_out}
    for name, more in (("neighbours", causal_activity), ("channels before", earlier_activity)):
        found[f"tables by {name}"] = _change(*y, with_(rows, more), pooled, held_out)
    found["z: tables"] = _change(*z, side_rows, pooled, held_out)
    found["z: tables by the symbol to the left"] = _change(*z, with_(side_rows, left_of), pooled, held_out)
    return {name: {q: round(v, 4) for q, v in change.items()} for name, change in found.items()}


def _costs(tables: Tables) -> NDArray[np.float64]:
    """(rows, 2 WIDEST + 1) bits."""
    symbols = np.arange(-WIDEST, WIDEST + 1, dtype=np.int32)
    return np.stack([ideal_bits(symbols, np.full_like(symbols, r), tables) for r in range(len(tables.sizes))])


def _change(
    what: str, own: NDArray[np.float64], rows: Key, key: Key,
    fit: Sequence[CodedPicture], held_out: dict[int, Sequence[CodedPicture]],
) -> dict[int, float]:  # fmt: skip
    """Of tables by `key`, a refinement of `rows`, fitted with the codec's own as their prior."""
    split = int(key is not rows) * (BUCKETS - 1) + 1
    counts = np.zeros((len(own) * split, own.shape[1]))
    for p in fit:
        at = key(p) * own.shape[1] + _columns(getattr(p, what))
        counts += np.bincount(at.ravel(), minlength=counts.size).reshape(counts.shape)
    prior = np.repeat(np.exp2(-own), split, 0)
    counts += PRIOR * prior / prior.sum(1, keepdims=True)
    bits = -np.log2(counts / counts.sum(1, keepdims=True))
    change = {}
    for q, pictures in held_out.items():
        before = sum(own[rows(p), _columns(getattr(p, what))].sum() for p in pictures)
        after = sum(bits[key(p), _columns(getattr(p, what))].sum() for p in pictures)
        change[q] = float(after / before - 1)
    return change


def _columns(symbols: Ints) -> Ints:
    return np.clip(symbols.astype(np.int64), -WIDEST, WIDEST) + WIDEST
