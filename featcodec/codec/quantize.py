"""Latents to the symbols that cost least, one by one (efforts 0 and 1); NumPy only. None of it is normative.

    effort 0       the nearest symbol
    effort 1       argmin  bits(symbols) + PRICE · |error|²          exact: the bits of a symbol are a look-up

Source: rate-distortion optimised quantization, Stankowski et al. 2015, doi:10.1109/IWSSIP.2015.7314240.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from featcodec.codec.entropy import Tables, ideal_bits

__all__ = ["HIGH_RATE", "PRICE", "REACH", "quantize", "symbol_bits", "table_bits"]

HIGH_RATE = 6 / math.log(2)  # bits that a squared error of one step costs, where the steps are right
PRICE = 8 * HIGH_RATE  # of effort 1: errors towards 0 add up behind the cut, more than their squares say
REACH = 512  # symbols beyond cost as many bits as this one: they are rare, and their errors rule
Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


def symbol_bits(tables: Tables) -> Floats:
    """(rows, 2 REACH + 1) bits of the symbols -REACH .. REACH in each table."""
    symbols = np.arange(-REACH, REACH + 1, dtype=np.int32)
    rows = np.arange(len(tables.sizes), dtype=np.int32)
    return np.stack([ideal_bits(symbols, np.full_like(symbols, row), tables) for row in rows])


def table_bits(symbols: Floats | Ints, index: Ints, bits: Floats) -> Floats:
    """Bits of each symbol in its row, as `symbol_bits` gives them."""
    found: Floats = bits[index, np.clip(symbols, -REACH, REACH).astype(np.intp) + REACH]
    return found


def quantize(residual: Floats, index: Ints, bits: Floats, price: float) -> Ints:
    """The best of three symbols each: the nearest, the next one towards 0, and 0.

    Args:
        residual: (M, h, w) latents minus means, in steps.
        index: (M, h, w) table rows.
        bits: as `symbol_bits` gives them.
        price: bits that a squared error of one step is worth.

    Example:
        >>> import numpy as np
        >>> bits = np.abs(np.arange(-REACH, REACH + 1))[None] * 3.0  # 3 bits a step away from 0
        >>> quantize(np.array([0.4, 0.6, 1.9, -2.6]), np.zeros(4, np.int32), bits, price=5.0).tolist()
        [0, 0, 2, -2]
    """
    best = np.rint(residual)
    least = table_bits(best, index, bits) + price * np.square(residual - best)
    for other in (best - np.sign(best), np.zeros_like(best)):
        cost = table_bits(other, index, bits) + price * np.square(residual - other)
        best, least = np.where(cost < least, other, best), np.minimum(cost, least)
    return best.astype(np.int32)
