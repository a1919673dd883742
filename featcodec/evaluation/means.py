"""Means over pictures or pairs, and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.evaluation import bootstrap
from featcodec.evaluation.results import Interval

__all__ = ["mean", "mean_interval"]

RESAMPLES = 2000


def mean(values: Sequence[float]) -> float:
    """Of the values that are not NaN; NaN if there are none.

    Example:
        >>> mean([1.0, float("nan"), 2.0])
        1.5
    """
    known = [v for v in values if v == v]
    return sum(known) / len(known) if known else float("nan")


def mean_interval(values: Sequence[float] | NDArray[np.floating[Any]], *, seed: int = 1) -> Interval:
    """95 % percentile interval of the mean, by bootstrap over the values.

    Args:
        values: (N,), at least one.
        seed: of the draws.

    Source: Efron 1979, Bootstrap methods: another look at the jackknife, section 2.

    Example:
        >>> mean_interval([3.0, 3.0, 3.0])
        (3.0, 3.0)
    """
    known = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).integers(len(known), size=(RESAMPLES, len(known)))
    return bootstrap.interval(known[drawn].mean(1))
