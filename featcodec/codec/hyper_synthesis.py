"""h_s in whole numbers, without torch: its units, the proof that no sum rounds, and the network in NumPy.

`featcodec.codec.transforms.IntegerHyperSynthesis` is the same network in torch, with gradients, and says how
it works; the tests hold both to the same integers. What runs without torch, on a camera or in ``plf``, uses
this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT_BELOW", "IntegerUnits", "hyper_synthesis", "worst_partial_sums"]

EXACT_BELOW = 1 << 53  # float64 holds every whole number below
Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


class IntegerUnits:
    """Units and ranges of the integer hyper-synthesis; ``docs/plf-format.md`` is normative."""

    UNIT_WEIGHT = 256  # weights are multiples of 1/256
    UNIT_ACTIVATION = 16  # activations and means are multiples of 1/16
    UNITS_INPUT = (1, UNIT_ACTIVATION, UNIT_ACTIVATION)  # of what enters each layer
    LIMIT_ACTIVATION = 4095  # 12 bits
    LIMIT_WEIGHT = 32767  # stored as int16
    LIMIT_SYMBOL = 1 << 15  # of z; larger values cannot be coded
    SCALES = 64  # rows of the scale table
    # of the three layers: least and largest input, and what a sum is divided by; z enters in whole units:
    # its shift leaves activations in 1/16, so only 4 bits go
    INPUTS = ((-LIMIT_SYMBOL, LIMIT_SYMBOL), (0, LIMIT_ACTIVATION), (0, LIMIT_ACTIVATION))
    DIVISORS = (UNIT_WEIGHT // UNIT_ACTIVATION, UNIT_WEIGHT, UNIT_WEIGHT)


def worst_partial_sums(weights: Sequence[Any], biases: Sequence[Any]) -> list[int]:
    """The largest magnitude that a partial sum of each layer can reach, whatever is decoded.

    A layer adds products, bias and rounding constant in an order that nobody knows, so that a partial sum
    is the sum of any of these terms: at most all that can be positive, each with the input that makes it
    largest, at least all that can be negative. There are inputs and orders that reach this.

    Args:
        weights, biases: arrays or tensors, as stored, or as whole numbers of any type. 64-bit integers hold
            what follows: 16-bit weights of 65,536 channels stay below 2^50.

    Example:
        >>> ones = [np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3)), np.ones((2, 1, 1, 1))]
        >>> worst_partial_sums(ones, [np.zeros(1), np.zeros(1), np.zeros(2)])  # 9 x 32768 + 8, and so on
        [294920, 36983, 4223]
    """
    k = IntegerUnits
    out = []
    for weight, bias, (low, high), divisor in zip(weights, biases, k.INPUTS, k.DIVISORS, strict=True):
        w, b = (np.asarray(values).astype(np.int64) for values in (weight, bias))
        w = w.reshape(len(w), -1)
        up, down = w.clip(0).sum(1), w.clip(max=0).sum(1)
        most = up * high + down * low + b.clip(0) + divisor // 2
        least = up * low + down * high + b.clip(max=0)
        out.append(int(np.maximum(most, -least).max()))
    return out


def hyper_synthesis(
    z: Ints, weights: Sequence[Floats], biases: Sequence[Floats], height: int, width: int
) -> tuple[Ints, Floats]:
    """The integer network on arrays; exact where `worst_partial_sums` are below `EXACT_BELOW`.

    Args:
        z: (N, h_z, w_z) symbols of magnitude `IntegerUnits.LIMIT_SYMBOL` at most.
        weights, biases: three of each, whole numbers as a codec file stores them, in float64.
        height, width: of the latents; at most 4 h_z and 4 w_z.

    Returns:
        Rows of the scale table (M, height, width), 0 to 63, and means of that shape in units of the latents
        (multiples of 1/16).

    Example:
        >>> zeros = [np.zeros((1, 1, 3, 3)), np.zeros((1, 1, 3, 3)), np.zeros((2, 1, 1, 1))]
        >>> biases = [np.zeros(1), np.zeros(1), np.array([2560.0, -8 * 256.0])]
        >>> index, mean = hyper_synthesis(np.zeros((1, 1, 1), np.int32), zeros, biases, 1, 2)
        >>> index.tolist(), mean.tolist()
        ([[[10, 10]]], [[[-0.5, -0.5]]])
    """
    k = IntegerUnits
    x = z.astype(np.float64)
    for weight, bias, divisor in zip(weights[:2], biases[:2], k.DIVISORS[:2], strict=True):
        x = _rounded(_doubled(x, weight) + bias[:, None, None], divisor).clip(0, k.LIMIT_ACTIVATION)
    x = x[:, :height, :width].reshape(len(x), -1)
    out = _rounded(weights[2][:, :, 0, 0] @ x + biases[2][:, None], k.DIVISORS[2])  # (2M, h w) in 1/16
    index, mean = out.reshape(2, -1, height, width)
    return index.clip(0, k.SCALES - 1).astype(np.int32), mean / k.UNIT_ACTIVATION


def _rounded(sums: Floats, divisor: int) -> Floats:
    """Divided, and rounded half up."""
    rounded: Floats = np.floor(sums / divisor + 0.5)
    return rounded


def _doubled(x: Floats, weight: Floats) -> Floats:
    """A 3x3 convolution of x after nearest-neighbour upsampling by two: (I, h, w) to (O, 2h, 2w).

    Of the three rows (columns) under the kernel two are always the same row of x, so each of the four
    phases of the output is a 2x2 convolution of x with sums of weights: the same integers for half the work.
    """
    (o, i, _, _), (_, h, w) = weight.shape, x.shape
    fold = np.array([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])  # (phase, row of x, row of weight)
    phases = np.einsum("prk,qcl,oikl->pqoirc", fold, fold, weight).reshape(4 * o, 4 * i)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    under = [padded[:, r : r + h + 1, c : c + w + 1] for r in (0, 1) for c in (0, 1)]
    columns = np.stack(under, 1).reshape(4 * i, -1)  # (4 I, (h + 1) (w + 1))
    sums = (phases @ columns).reshape(2, 2, o, h + 1, w + 1)
    doubled = np.empty((o, 2 * h, 2 * w))
    for p in (0, 1):
        for q in (0, 1):
            doubled[:, p::2, q::2] = sums[p, q, :, p : p + h, q : q + w]
    return doubled
