"""h_s in whole numbers, without torch: its units, the proof that no sum rounds, and the network in NumPy.

`featcodec.codec.transforms.IntegerHyperSynthesis` is the same network in torch, with gradients, and says how
it works; the tests hold both to the same integers. Encoding and decoding use this one: NumPy's products know
none of torch's settings (TF32, bfloat16, autocast), so that float32, which takes half the time of float64,
can carry them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HyperSynthesis", "IntegerUnits", "exact_below", "largest_input", "worst_partial_sums"]

# a product is made of blocks of so many rows, each of at most so many multiplications: see `_product`
ROWS, MULTIPLICATIONS = 64, 1 << 18
Ints = NDArray[np.int32]
Floats = NDArray[np.floating[Any]]


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


def exact_below(carrier: type[np.floating[Any]]) -> int:
    """The whole number below which a floating-point type holds every whole number.

    Example:
        >>> exact_below(np.float64) == 1 << 53, exact_below(np.float32) == 1 << 24
        (True, True)
    """
    return int(2 / np.finfo(carrier).eps)


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
    return [
        int(np.maximum(*_reach(*layer)).max())
        for layer in zip(weights, biases, k.INPUTS, k.DIVISORS, strict=True)
    ]


def _reach(weight: Any, bias: Any, inputs: tuple[int, int], divisor: int) -> tuple[Any, Any]:
    """How far above and below 0 the partial sums of each output of a layer can come."""
    (low, high), w, b = inputs, _whole(weight), _whole(bias)
    w = w.reshape(len(w), -1)
    up, down = w.clip(0).sum(1), w.clip(max=0).sum(1)
    most = up * high + down * low + b.clip(0) + divisor // 2
    least = up * low + down * high + b.clip(max=0)
    return most, -least


def largest_input(weight: Any, bias: Any, signed: bool, divisor: int, limit: int) -> int:
    """The largest input of a layer, up to `limit`, with which all its partial sums stay below that.

    It is negative if there is none.

    Args:
        weight, bias: of the layer, whole numbers.
        signed: whether inputs lie within plus and minus what is returned, or from 0 up.
        divisor: what a sum is divided by; half of it is added before, to round.
        limit: of the magnitude of a partial sum, itself excluded.

    Example:
        >>> largest_input(np.full((1, 1, 1, 1), 3), np.array([0]), False, 256, 1 << 24)
        5592362
        >>> (128 + 3 * 5592362, 128 + 3 * 5592363, 1 << 24)
        (16777214, 16777217, 16777216)
    """
    unit = _reach(weight, bias, (-1 if signed else 0, 1), divisor)
    still = _reach(weight, bias, (0, 0), divisor)
    found = limit  # where no weight is other than 0
    for grown, at in zip(unit, still, strict=True):
        room, slope = limit - 1 - at, grown - at  # a sum grows in proportion to its inputs
        reached = np.where(slope > 0, room // np.maximum(slope, 1), np.where(room < 0, -1, limit))
        found = min(found, int(reached.min()))
    return found


def _whole(values: Any) -> NDArray[np.int64]:
    return np.asarray(values).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer as a matrix, in float32 for inputs up to `single`, which no sum of theirs makes round.

    Below its outputs it has rows of zeros, up to whole blocks.
    """

    outputs: int
    single: int
    narrow: NDArray[np.float32]
    wide: NDArray[np.float64]

    def carrier(self, largest: int) -> Floats:
        """The matrix (outputs and zeros, inputs + 1) that is exact for inputs of that magnitude."""
        return self.narrow if largest <= self.single else self.wide


class HyperSynthesis:
    """h_s of a codec, ready to run: side information symbols to table indexes and means, the same everywhere.

    A layer is one matrix product. Its matrix holds weights and, for an input that is always 1, bias and
    rounding constant, all divided by the layer's divisor, a power of two, which changes no digit of them. The
    layers that double their input multiply the four phases of their output at once (`_phases`).

    Products are carried in float32 where the largest input that is there keeps every partial sum below 2^24,
    else in float64, in which it is proved for all inputs that every partial sum stays below 2^53: so neither
    the order of summation nor the machine can change a bit.

    Args:
        weights, biases: three of each, as a codec file stores them: arrays or tensors of whole numbers.

    Raises:
        ValueError: the sums of a layer could round in float64.

    Example:
        >>> zeros = [np.zeros((1, 1, 3, 3)), np.zeros((1, 1, 3, 3)), np.zeros((2, 1, 1, 1))]
        >>> h_s = HyperSynthesis(zeros, [np.zeros(1), np.zeros(1), np.array([2560, -8 * 256])])
        >>> index, mean = h_s(np.zeros((1, 1, 1), np.int32), 1, 2)
        >>> index.tolist(), mean.tolist()
        ([[[10, 10]]], [[[-0.5, -0.5]]])
    """

    def __init__(self, weights: Sequence[Any], biases: Sequence[Any]):
        k, limit = IntegerUnits, exact_below(np.float64)
        for i, worst in enumerate(worst_partial_sums(weights, biases)):
            if worst >= limit:
                most = limit.bit_length() - 1
                raise ValueError(
                    f"integer hyper-synthesis, layer {i}: sums reach {worst}, expected below 2^{most}"
                )
        self._layers = [
            _layer(*layer)
            for layer in zip(weights, biases, k.INPUTS, k.DIVISORS, (True, True, False), strict=True)
        ]

    def __call__(self, z: Ints, height: int, width: int) -> tuple[Ints, NDArray[np.float64]]:
        """Symbols of one picture to what the symbols of its latents are coded with.

        Args:
            z: (N, h_z, w_z) symbols of magnitude `IntegerUnits.LIMIT_SYMBOL` at most.
            height, width: of the latents; at most 4 h_z and 4 w_z.

        Returns:
            Rows of the scale table (M, height, width), 0 to 63, and means of that shape in units of the
            latents (multiples of 1/16).
        """
        k = IntegerUnits
        x: Ints | Floats = z
        for layer in self._layers[:2]:
            x = _doubled(x, layer)
        last = self._layers[2]
        matrix = last.carrier(_magnitude(x))
        columns = np.ones((len(x) + 1, height, width), matrix.dtype)
        columns[:-1] = x[:, :height, :width]
        # in 1/16, not yet rounded
        index, mean = _product(matrix, columns)[: last.outputs].reshape(2, -1, height, width)
        # the index moves a whole row for 1/16: finer steps would be lost in the table anyway. Whole numbers
        # that are not negative are rounded down by what makes integers of them
        rows = np.minimum(np.maximum(index, 0, out=index), k.SCALES - 1, out=index).astype(np.int32)
        return rows, np.floor(mean, out=mean).astype(np.float64) / k.UNIT_ACTIVATION


def _layer(weight: Any, bias: Any, inputs: tuple[int, int], divisor: int, doubles: bool) -> _Layer:
    single = largest_input(weight, bias, inputs[0] < 0, divisor, exact_below(np.float32))
    w, b = _whole(weight).astype(np.float64), _whole(bias).astype(np.float64)
    matrix = _phases(w) if doubles else w[:, :, 0, 0]
    constants = np.resize(b + divisor // 2, (len(matrix), 1))  # again for every phase
    wide = np.concatenate([matrix, constants], 1) / divisor
    wide = np.pad(wide, ((0, -len(matrix) % ROWS), (0, 0)))
    return _Layer(len(matrix), single, wide.astype(np.float32), wide)


def _phases(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (O, I, 3, 3) to the matrix (4 O, 4 I) of the same convolution after nearest-neighbour doubling.

    Of the three rows (columns) under the kernel two are always the same row of the input, so each of the four
    phases of the output is a 2x2 convolution of it with sums of weights: the same integers for half the work.
    """
    o, i, _, _ = weight.shape
    fold = np.array([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])  # (phase, row of x, row of weight)
    phases: NDArray[np.float64] = np.einsum("prk,qcl,oikl->pqorci", fold, fold, weight)
    return phases.reshape(4 * o, 4 * i)


def _doubled(x: Ints | Floats, layer: _Layer) -> Floats:
    """One doubling layer: whole numbers (I, h, w) to activations (O, 2h, 2w)."""
    (i, h, w), o, matrix = x.shape, layer.outputs // 4, layer.carrier(_magnitude(x))
    columns = np.zeros((4 * i + 1, h + 1, w + 1), matrix.dtype)
    columns[-1] = 1
    for n, (r, c) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):  # x with a border of zeros, shifted
        columns[n * i : (n + 1) * i, 1 - r : h + 1 - r, 1 - c : w + 1 - c] = x
    sums = _product(matrix, columns)[: layer.outputs]
    sums = np.minimum(np.maximum(sums, 0, out=sums), IntegerUnits.LIMIT_ACTIVATION, out=sums)
    sums = np.floor(sums, out=sums).reshape(2, 2, o, h + 1, w + 1)
    doubled = np.empty((o, h, 2, w, 2), matrix.dtype)
    for p in (0, 1):
        for q in (0, 1):
            doubled[:, :, p, :, q] = sums[p, q, :, p : p + h, q : q + w]
    return doubled.reshape(o, 2 * h, 2 * w)


def _product(matrix: Floats, columns: Floats) -> Floats:
    """Matrix (R, K), R a multiple of `ROWS`, times columns (K, h, w): (R, h w).

    OpenBLAS, which NumPy brings, multiplies up to `MULTIPLICATIONS` in the thread that calls it. Its
    threads and those of torch, which wait for the next convolution without giving up their cores, would stand
    in each other's way for milliseconds.
    """
    rows, depth = matrix.shape
    flat = columns.reshape(depth, -1)
    count = flat.shape[1]
    out = np.empty((rows, count), matrix.dtype)
    tall, wide = matrix.reshape(-1, ROWS, depth), max(1, MULTIPLICATIONS // (ROWS * depth))
    whole = count // wide * wide
    if whole:
        np.matmul(
            tall[:, None],
            flat[:, :whole].reshape(depth, -1, wide).swapaxes(0, 1),
            out=out[:, :whole].reshape(len(tall), ROWS, -1, wide).swapaxes(1, 2),
        )
    if whole < count:
        np.matmul(tall, flat[:, whole:], out=out.reshape(len(tall), ROWS, count)[..., whole:])
    return out


def _magnitude(x: Ints | Floats) -> int:
    return max(int(x.max()), -int(x.min()))
