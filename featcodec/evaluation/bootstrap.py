"""Bootstrap over pictures: the same draws for every entry, so that differences between entries are paired."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.evaluation.metrics import Matches
from featcodec.evaluation.results import Interval

__all__ = ["centred", "interval", "resampled_map", "resampled_mean", "resamples"]

Floats = NDArray[np.float64]
PERCENT = (0.0, 100.0)  # what mAP can be


def resamples(
    pictures: int, *, count: int = 500, seed: int, some_of: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """How often each picture is drawn: as many as there are, with replacement.

    Args:
        pictures: at least 1.
        count: number of resamples.
        seed: of the draws.
        some_of: (pictures,) True where a picture has objects. A resample without any of these is drawn again,
            since it has no mAP: 0, which `Matches.ap` gives for no objects, is no accuracy. Among n pictures
            of which k have objects that happens with a chance of (1 - k / n)^n, so hardly ever in a data set
            and often in a demo. Ignored where it is True nowhere: then every mAP is 0.

    Returns:
        (count, pictures) counts; each row sums to `pictures`.

    Raises:
        InputError: no pictures, or no resamples.

    Source: Efron 1979, Bootstrap methods: another look at the jackknife, section 2.

    >>> resamples(4, count=2, seed=1).sum(axis=1)
    array([4, 4])
    """
    if pictures < 1 or count < 1:
        raise InputError(f"resamples: expected at least 1 picture and 1 resample, got {pictures} and {count}")
    random, chances = np.random.default_rng(seed), np.full(pictures, 1 / pictures)
    draws = random.multinomial(pictures, chances, size=count)
    if some_of is not None and some_of.any():
        while len(empty := np.flatnonzero(draws @ some_of == 0)):
            draws[empty] = random.multinomial(pictures, chances, size=len(empty))
    return draws


def resampled_map(matches: Matches, draws: NDArray[np.int64]) -> Floats:
    """(count,) mAP of each resample, percent points; `draws` (count, pictures) as `resamples` gives them.

    On a few hundred pictures of 80 classes these lie about one point above the mAP of the pictures as they
    are: what is rare is either not drawn, and its class left out, or drawn several times and found as often.
    Differences between entries, drawn alike, have hardly any of that.
    """
    return np.array([matches.ap(counts)[0] for counts in draws])


def resampled_mean(values: NDArray[np.floating[Any]], draws: NDArray[np.int64]) -> Floats:
    """(count,) mean over each resample's pictures of `values` (pictures,), such as their bytes.

    >>> resampled_mean(np.array([10.0, 40.0]), np.array([[1, 1], [2, 0]]))
    array([25., 10.])
    """
    mean: Floats = draws @ values / draws.sum(axis=1)
    return mean


def interval(values: Floats) -> Interval:
    """95 % percentile interval of what the resamples gave.

    Of a difference, such as the mAP lost, give the differences: ``interval(uncoded - coded)``.

    >>> interval(np.arange(1001.0))
    (25.0, 975.0)
    """
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def centred(values: Floats, on: float, *, within: Interval) -> Interval:
    """The same interval, moved so that the resamples' median lies on the measured value.

    For mAP and what mAP loses, whose resamples lie to one side, as `resampled_map` says. The median lies in
    the interval of any distribution, so that the measured value does, too; the mean lies outside where a few
    resamples lie far off. What the move puts beyond the range of the statistic is cut off.

    Args:
        values: (count,) what the resamples gave.
        on: the measured value.
        within: least and greatest value that there can be; `on` lies inside.

    Source: the median-bias correction of Efron 1982, The jackknife, the bootstrap and other resampling plans,
    section 10.7, as a shift.

    >>> centred(np.arange(1001.0), 400.0, within=(-1000.0, 1000.0))
    (-75.0, 875.0)
    >>> centred(np.array([80.0, 98.0, 98.0, 99.0]), 99.0, within=(0.0, 100.0))[1]
    99.925
    """
    low, high = np.clip(interval(values - np.median(values) + on), *within)
    return float(low), float(high)
