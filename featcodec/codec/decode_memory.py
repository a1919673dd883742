"""How much memory decoding may take, worked out from channel counts before any of it is taken.

A ``.plf`` says how many rows and columns of latents there are, its codec file how many channels: a few
kilobytes of both together could ask for gigabytes.
"""

from __future__ import annotations

from featcodec.codec.widths import SIDE_STRIDE, Widths, side_shape
from featcodec.errors import LimitError
from featcodec.plf.bitstream import Limits

__all__ = ["check_boxes_memory", "check_decode_memory", "decode_bytes"]

# Bytes a latent position that each channel costs where most of it is alive, copies and temporaries included:
# upper bounds, two to three times what was measured with one of the counts large at a time.
_LATENT = 96  # of y: symbols, rows, means, the coder's order, and the last layer of h_s in float64
_HYPER = 48  # of h_s: unfolded rows and sums in float64
_SYNTHESIS = 56  # of g_s: activations, and rows that a convolution may unfold
_FEATURE = 80  # of the features: four positions a latent, before and after the shuffle
_SIDE = 64  # of z, a position of z
_BOX = 24  # a class of a candidate box: raw outputs, scores, copies


def decode_bytes(widths: Widths, rows: int, columns: int) -> int:
    """Bytes that decoding latents of `rows` x `columns` to features takes at most, beside the codec.

    Example:
        >>> decode_bytes(Widths(64), 60, 80) // 2**20
        88
    """
    h_z, w_z = side_shape(rows, columns)
    side = h_z * w_z
    padded = (SIDE_STRIDE * h_z + 2) * (SIDE_STRIDE * w_z + 2)  # h_s works on whole blocks and a border
    position = _LATENT * widths.latents + _SYNTHESIS * widths.synthesis + _FEATURE * widths.features
    weights = 8 * 16 * widths.hyper * (widths.side + widths.hyper)  # folded for the four phases, float64
    return rows * columns * position + padded * _HYPER * widths.hyper + side * _SIDE * widths.side + weights


def check_decode_memory(widths: Widths, rows: int, columns: int, limits: Limits) -> None:
    """Refuse latents whose decoding would take more than `limits.max_memory`.

    Raises:
        LimitError: says how much it would take, of what.
    """
    got = decode_bytes(widths, rows, columns)
    if got > limits.max_memory:
        what = f"{rows} x {columns} latents of {widths.latents} channels and {widths.features} features"
        raise _too_much(f"decoding {what}", got, limits)


def check_boxes_memory(candidates: int, classes: int, limits: Limits) -> None:
    """Refuse candidate boxes whose scores would take more than `limits.max_memory`.

    Raises:
        LimitError: says how much they would take.
    """
    got = candidates * (5 + classes) * _BOX
    if got > limits.max_memory:
        raise _too_much(f"{candidates:,} candidate boxes of {classes:,} classes", got, limits)


def _too_much(what: str, got: int, limits: Limits) -> LimitError:
    return LimitError(
        f"{what}: would take {got:,} bytes of memory, "
        f"expected at most {limits.max_memory:,} (the reader's limit)"
    )
