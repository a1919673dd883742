"""Qualities 1 to 8 of a fitted codec, put elsewhere on its own scale."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

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
        qualities: eight, rising, each in [1, 8] of that codec.

    Raises:
        InputError: not eight, not rising or out of range.

    Example:
        >>> from featcodec import zoo
        >>> file = zoo.decoder("yolox-nano-open").file
        >>> fewer = respaced(file, (1, 1.5, 2, 2.5, 3, 4, 6, 8))
        >>> torch.equal(fewer.inverse_gain(0), file.inverse_gain(0))
        True
        >>> torch.equal(fewer.inverse_gain(3 * 32), file.inverse_gain(48))
        True
    """
    if len(qualities) != len(QUALITIES) or any(a >= b for a, b in pairwise(qualities)):
        raise InputError(f"qualities: got {tuple(qualities)!r:.80}, expected {len(QUALITIES)} that rise")
    gains = torch.stack([file.inverse_gain(quality_to_step(float(q))) for q in qualities])
    return CodecFile(file.config, {**file.tensors, "inverse_gains": gains}).check()
