"""Qualities 1 to 8 of a fitted codec, put elsewhere on its own scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from featcodec.codec.codec_file import CodecFile
from featcodec.errors import InputError
from featcodec.plf.header import QUALITIES, quality_to_step

__all__ = ["respaced"]


def respaced(file: CodecFile, qualities: Sequence[float]) -> CodecFile:
    """The codec whose qualities 1 to 8 are others of the one given; nothing else changes.

    A fit spreads its qualities evenly over the logarithm of lambda. What a quality loses, and what the next
    one costs, is known when the codec is there: so the steps can be put where each is worth its bytes.

    Args:
        file: a fitted codec.
        qualities: eight, rising, on the scale of that codec. Outside [1, 8] its gains go on as between the
            last two; a fit that starts from such a codec has something to do there.

    Raises:
        InputError: not eight, not rising or not finite.

    Example:
        >>> from featcodec import zoo
        >>> file = zoo.decoder("yolox-nano-open").file
        >>> fewer = respaced(file, (1, 1.5, 2, 2.5, 3, 4, 6, 8))
        >>> torch.equal(fewer.inverse_gain(0), file.inverse_gain(0))
        True
        >>> torch.equal(fewer.inverse_gain(3 * 32), file.inverse_gain(48))
        True
    """
    rising = all(-math.inf < a < b < math.inf for a, b in pairwise(qualities))
    if len(qualities) != len(QUALITIES) or not rising:
        raise InputError(f"qualities: got {tuple(qualities)!r:.80}, expected {len(QUALITIES)} that rise")
    gains = torch.stack([_inverse_gain(file, float(q)) for q in qualities])
    return CodecFile(file.config, {**file.tensors, "inverse_gains": gains}).check()


def _inverse_gain(file: CodecFile, quality: float) -> Tensor:
    """(M,) at a quality on or beyond the scale."""
    end = min(max(quality, QUALITIES[0]), QUALITIES[-1])
    gain = file.inverse_gain(quality_to_step(end))
    if quality == end:
        return gain
    inside = end + (1 if quality < end else -1)
    a_quality = gain / file.inverse_gain(quality_to_step(inside))  # what they change by in one
    return gain * a_quality ** abs(quality - end)
