"""What the bits of a file were spent on: z against y, channels, positions, escapes, rows of the table.

A range coder shares its words between neighbouring symbols, so that the real bits of one symbol are not
defined. Counted here is its information content under the stored tables, -log2(frequency / 2^24), plus the
Elias gamma code of an escape: the *ideal* bits. What the file has beyond their sum is the coder's overhead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featcodec.codec.entropy import PRECISION, Tables, ideal_bits
from featcodec.inspect.symbols import Decoded

__all__ = ["Part", "Rate", "Share", "rate"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Part:
    """z or y.

    Attributes:
        bits: (channels, rows, columns) ideal bits of each symbol.
        escaped: likewise, whether its table has no entry for it.
        zeros: how many symbols are 0.
    """

    bits: Floats
    escaped: NDArray[np.bool_]
    zeros: int

    @property
    def total(self) -> float:
        """Ideal bits of all symbols."""
        return float(self.bits.sum())

    @property
    def escapes(self) -> int:
        """How many symbols were escaped."""
        return int(self.escaped.sum())

    @property
    def escape_bits(self) -> float:
        """Ideal bits of the escaped symbols, included in `total`."""
        return float(self.bits[self.escaped].sum())

    def as_json(self) -> dict[str, object]:
        """What ``--json`` shows; names and units here are an interface."""
        return {
            "symbols": self.bits.size,
            "zeros": self.zeros,
            "ideal_bits": self.total,
            "escapes": self.escapes,
            "escape_bits": self.escape_bits,
        }


@dataclass(frozen=True, slots=True)
class Share:
    """What part of a file says, and what it takes.

    Attributes:
        label: what it says, in words.
        bits: that it takes.
        symbols: how many symbols say it; None where none do.
        zeros: how many of those are 0; None where that means nothing.
        included: whether the bits are counted in a share before this one, too.
    """

    label: str
    bits: float
    symbols: int | None = None
    zeros: int | None = None
    included: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """What the bits of a file were spent on.

    Attributes:
        payload: bits of the ``D`` section's content.
        container: bits of all else.
        z: side information.
        y: latents.
        row_symbols: (64,) how many symbols of y use each row of the table (the scale index).
        row_bits: (64,) ideal bits of those.
        row_entropy: (64,) bits a symbol that the row expects of itself.
    """

    payload: int
    container: int
    z: Part
    y: Part
    row_symbols: NDArray[np.int64]
    row_bits: Floats
    row_entropy: Floats

    @property
    def ideal(self) -> float:
        """Ideal bits of all symbols."""
        return self.z.total + self.y.total

    @property
    def overhead(self) -> float:
        """Bits of the payload beyond the ideal."""
        return self.payload - self.ideal

    @property
    def shares(self) -> tuple[Share, ...]:
        """What the file's bits say; those that are not `included` in others add up to the last, the file."""
        z, y = self.z, self.y
        return (
            Share("z, side information", z.total, z.bits.size, z.zeros),
            Share("y, latents", y.total, y.bits.size, y.zeros),
            Share("escapes of z, included", z.escape_bits, z.escapes, included=True),
            Share("escapes of y, included", y.escape_bits, y.escapes, included=True),
            Share("entropy coder's overhead", self.overhead),
            Share("sections and their checksums", self.container),
            Share("file", self.payload + self.container),
        )

    @property
    def positions(self) -> Floats:
        """(rows, columns) bits of each latent position over all channels.

        The bits of a z are spread evenly over the (at most 4 x 4) positions that it speaks for.
        """
        rows, columns = self.y.bits.shape[1:]
        per_z = self.z.bits.sum(0)
        across, down = (np.bincount(np.arange(n) // 4) for n in (columns, rows))  # positions of each z
        shared = per_z / (down[:, None] * across)
        spread = shared.repeat(4, 0).repeat(4, 1)[:rows, :columns]
        return np.asarray(self.y.bits.sum(0) + spread)

    def as_json(self) -> dict[str, object]:
        """What ``info --bits --json`` shows; names and units here are an interface."""
        return {
            "payload_bits": self.payload,
            "ideal_bits": self.ideal,
            "coder_overhead_bits": self.overhead,
            "container_bits": self.container,
            "z": self.z.as_json(),
            "y": self.y.as_json(),
            "scale_indexes": [
                {
                    "index": i,
                    "symbols": int(n),
                    "ideal_bits": float(bits),
                    "expected_bits": float(n * entropy),
                }
                for i, (n, bits, entropy) in enumerate(
                    zip(self.row_symbols, self.row_bits, self.row_entropy, strict=True)
                )
            ],
        }


def rate(decoded: Decoded) -> Rate:
    """Count the bits of a decoded file."""
    s, model, report = decoded.symbols, decoded.codec.model, decoded.report
    channels = np.arange(len(s.z), dtype=np.int32)[:, None, None]
    z = _part(s.z, np.broadcast_to(channels, s.z.shape), model.tables_z)
    y = _part(s.y, s.index, model.tables_y)
    rows, used = len(model.tables_y.sizes), s.index.reshape(-1)
    payload = len(report.stream.payload)
    return Rate(
        payload=8 * payload,
        container=8 * (report.size - payload),
        z=z,
        y=y,
        row_symbols=np.bincount(used, minlength=rows),
        row_bits=np.bincount(used, y.bits.reshape(-1), rows).astype(np.float64),
        row_entropy=_entropy(model.tables_y),
    )


def _part(symbols: Ints, rows: Ints, tables: Tables) -> Part:
    entries = symbols - tables.lows[rows]
    escaped = (entries < 0) | (entries >= tables.sizes[rows] - 1)
    bits = ideal_bits(symbols.reshape(-1), rows.reshape(-1), tables).reshape(symbols.shape)
    return Part(bits, escaped, int((symbols == 0).sum()))


def _entropy(tables: Tables) -> Floats:
    """Bits a symbol of each row, if the symbols came as often as the row says; escapes without their code."""
    p = tables.frequencies / float(1 << PRECISION)
    return np.asarray(-(p * np.log2(np.where(p > 0, p, 1.0))).sum(1))
