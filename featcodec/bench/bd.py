"""Bjøntegaard deltas: one curve against another, or why that cannot be said.

By the constrained cubic of `featcodec.bench.concave`, which takes all points, and beside it by the
interpolations of the `bjontegaard` package, which take no curve on which accuracy falls.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featcodec.bench.concave import FEWEST_RATES, ConcaveCubic, fit_concave
from featcodec.bench.curves import Curve
from featcodec.errors import InputError, MissingExtraError
from featcodec.evaluation.bootstrap import interval
from featcodec.evaluation.results import BD, Interval

__all__ = [
    "CONSTRAINED",
    "FEWEST_POINTS",
    "LEAST_OVERLAP",
    "METHODS",
    "MOST_REFUSED",
    "Measure",
    "Method",
    "delta",
]

Measure = Literal["rate", "map", "attack-psnr"]
Method = Literal["constrained-cubic", "pchip", "akima"]
Floats = NDArray[np.float64]

CONSTRAINED: Method = "constrained-cubic"  # the headline: of all points
METHODS: tuple[Method, ...] = (CONSTRAINED, "pchip", "akima")
FEWEST_POINTS = {"pchip": 3, "akima": 4}  # fewer are a straight line, whatever the method's name
LEAST_OVERLAP = 0.25  # of the narrower curve's range; a delta over less says little of either curve
MOST_REFUSED = 0.05  # of the resamples; what remains of more is no 95 % interval


def delta(test: Curve, anchor: Curve, *, measure: Measure, method: Method, pareto: bool = False) -> BD:
    """Mean distance of `test` from `anchor` over the range that both cover; nothing is extrapolated.

    ``"rate"`` is BD-rate, the percent of bytes that `test` takes more at equal mAP: the mean of log10 of the
    bytes over mAP. ``"map"`` is BD-mAP, points at equal bytes: the mean of mAP over log10 of the bytes.
    ``"attack-psnr"`` is the attack's PSNR in dB at equal mAP: both axes are linear there, and the package's
    `bd_linear` takes the place of its `bd_psnr`, which integrates over a logarithm.

    Of every method it is refused, with the reason, when a number is not finite or out of its range, or the
    curves overlap nowhere.

    ``"constrained-cubic"`` fits a curve that neither falls nor bends upwards to all points, and is refused
    beside that only where there is none to speak of: all points cost the same, or the fitted curve is flat,
    so that it has no bytes at equal mAP (BD-mAP it has). Whether the curves overlap enough is left to the
    reader: `BD.fraction` says how much.

    ``"pchip"`` and ``"akima"`` go through the points, and are refused for curves of fewer than
    `FEWEST_POINTS`, where two points cost the same, where mAP does not rise wherever the cost does, or where
    the curves overlap over less than `LEAST_OVERLAP` of the narrower one.

    Args:
        test: the curve that is judged.
        anchor: what it is compared with.
        measure: what is compared.
        method: of fit or interpolation.
        pareto: compares the Pareto front of each curve, so that an interpolation takes one that saturates;
            `BD.dropped` names the points left out. That flatters the curve: its worst points are gone. In a
            resample the front is that of the resample.

    Returns:
        The delta, with the 95 % percentile interval where both curves have resamples. Where more than
        `MOST_REFUSED` of these are refused, there is none.

    Raises:
        InputError: one curve has other resamples than the other, or the fronts alone are asked of the
            constrained cubic.
        MissingExtraError: bjontegaard is not installed.

    Source: Bjøntegaard 2001 (VCEG-M33); Herglotz et al. 2022 (arXiv:2202.12565) on pchip and akima;
    `featcodec.bench.concave` on the constrained cubic.

    >>> image = Curve("image", ("40", "30", "22"), np.array([1e3, 2e3, 5e3]), np.array([30.0, 36.0, 40.0]))
    >>> ours = Curve("ours", ("1", "2", "3"), np.array([500.0, 1e3, 2.5e3]), np.array([30.0, 36.0, 40.0]))
    >>> round(delta(ours, image, measure="rate", method="pchip").value, 6)
    -50.0
    >>> delta(ours, image, measure="rate", method="akima").refused
    'ours: 3 points, akima takes at least 4'
    >>> dips = Curve("dips", image.labels, image.cost / 2, np.array([30.0, 36.0, 35.8]))
    >>> delta(dips, image, measure="rate", method="pchip").refused
    'dips: mAP does not rise with the bytes: 36.00 at 30, 35.80 at 22'
    >>> round(delta(dips, image, measure="rate", method="constrained-cubic").value, 1)
    -42.1
    """
    if pareto and method == CONSTRAINED:
        raise InputError(f"{method}: got the Pareto front, expected all points, which it takes")
    found = _delta(test, anchor, measure, method, pareto)
    tests, anchors = test.resamples(), anchor.resamples()
    if len(tests) != len(anchors):
        raise InputError(f"{test.name}, {anchor.name}: {len(tests)} and {len(anchors)} resamples")
    if found.value is None or not tests:
        return found
    pairs = zip(tests, anchors, strict=True)
    values = [_delta(t, a, measure, method, pareto).value for t, a in pairs]
    known = np.array([v for v in values if v is not None])
    refused = (len(values) - len(known)) / len(values)
    limits = interval(known) if refused <= MOST_REFUSED else None
    return replace(found, interval=limits, refused_resamples=refused)


def _delta(test: Curve, anchor: Curve, measure: Measure, method: Method, pareto: bool) -> BD:
    logarithm = measure != "attack-psnr"
    dropped: tuple[str, ...] = ()
    unusable = _not_numbers(test, logarithm) or _not_numbers(anchor, logarithm)
    if unusable:
        found = _Found(None, unusable)
    elif method == CONSTRAINED:
        found = _between_fits(test, anchor, measure)
    else:
        if pareto:
            (test, out), (anchor, out_of_anchor) = test.front(), anchor.front()
            dropped = out + out_of_anchor
        found = _between_splines(test.by_cost(), anchor.by_cost(), measure, method)
    return BD(
        test=test.name,
        anchor=anchor.name,
        measure=measure,
        method=method,
        value=found.value,
        interval=None,
        overlap=found.overlap,
        fraction=found.fraction,
        refused=found.refused,
        dropped=dropped,
        misfit=found.misfit,
    )


class _Found(NamedTuple):
    """The value of a delta or why there is none, and what the curves share."""

    value: float | None
    refused: str | None
    overlap: Interval | None = None
    fraction: float = 0.0
    misfit: float | None = None


# ---- by the constrained cubic


class _Fit(NamedTuple):
    """A fitted curve, and how far the farthest point is from it, in percent points."""

    curve: ConcaveCubic
    misfit: float


def _between_fits(test: Curve, anchor: Curve, measure: Measure) -> _Found:
    curves, logarithm = (test, anchor), measure != "attack-psnr"
    for curve in curves:
        if unspanned := _not_spanned(curve, logarithm):
            return _Found(None, unspanned)
    fits = [_fit(tuple(c.cost.tolist()), tuple(c.map.tolist()), logarithm) for c in curves]
    by_cost = measure == "map"
    ends = [_ends(c.cost) if by_cost else f.curve.reach for c, f in zip(curves, fits, strict=True)]
    shared = _shared(ends, by_cost, curves)._replace(misfit=max(fit.misfit for fit in fits))
    for curve, fit in zip(curves, fits, strict=True):
        if fit.curve.flat and not by_cost:
            level = f"{fit.curve.reach[0]:.2f} {curve.metric}"
            return shared._replace(refused=f"{curve.name}: the fitted curve is flat at {level}")
    if shared.overlap is None:
        return shared
    if by_cost:
        low, high = map(math.log10, shared.overlap)
        a, b = (fit.curve.mean_value(low, high) for fit in fits)
    else:
        a, b = (fit.curve.mean_place(*shared.overlap) for fit in fits)
    return shared._replace(value=100 * (10 ** (a - b) - 1) if measure == "rate" else a - b)


def _not_spanned(curve: Curve, logarithm: bool) -> str | None:
    """Why there is no interval to fit a curve on."""
    if len(curve.labels) < FEWEST_RATES:
        return f"{_counted(curve)}, constrained cubic takes at least {FEWEST_RATES}"
    axis = np.log10(curve.cost) if logarithm else curve.cost
    low, high = _ends(axis)
    if not 0 < high - low < math.inf:
        spans = f"at {curve.cost[0]:.6g}" if low == high else f"from {low:.6g} to {high:.6g}"
        return f"{curve.name}: all points {spans} {'bytes' if logarithm else 'dB'}"
    return None


@lru_cache(maxsize=1 << 15)  # each curve of each resample is compared with several others
def _fit(cost: tuple[float, ...], accuracy: tuple[float, ...], logarithm: bool) -> _Fit:
    x, y = np.array(cost), np.array(accuracy)
    x = np.log10(x) if logarithm else x
    curve = fit_concave(x, y)
    return _Fit(curve, max(abs(curve(a) - b) for a, b in zip(x.tolist(), y.tolist(), strict=True)))


# ---- by interpolation


def _between_splines(test: Curve, anchor: Curve, measure: Measure, method: Method) -> _Found:
    """Of curves that are sorted by cost."""
    logarithm = measure != "attack-psnr"
    shared = _overlap(test, anchor, measure)
    refused = _not_rising(test, method, logarithm) or _not_rising(anchor, method, logarithm) or shared.refused
    if refused:
        return shared._replace(refused=refused)
    value = _by_package(test, anchor, measure, method)
    if not math.isfinite(value):
        return shared._replace(refused=f"{test.name}, {anchor.name}: {method} gave {value}")
    return shared._replace(value=value)


def _not_numbers(curve: Curve, logarithm: bool) -> str | None:
    for label, cost, map_ in zip(curve.labels, curve.cost, curve.map, strict=True):
        if not 0 <= map_ <= 100:
            return f"{curve.name}: {curve.metric} {map_:.6g} at {label}, expected 0 to 100"
        if logarithm and not 0 < cost < math.inf:
            return f"{curve.name}: {cost:.6g} bytes at {label}, expected a finite number above 0"
        if not math.isfinite(cost):
            return f"{curve.name}: {cost:.6g} dB at {label}, expected a finite number"
    return None


def _not_rising(curve: Curve, method: Method, logarithm: bool) -> str | None:
    """Why a curve, sorted by cost, cannot be interpolated."""
    points = list(zip(curve.labels, curve.cost, curve.map, strict=True))
    if len(points) < FEWEST_POINTS[method]:
        return f"{_counted(curve)}, {method} takes at least {FEWEST_POINTS[method]}"
    unit = "bytes" if logarithm else "dB"
    for (a, cost_a, map_a), (b, cost_b, map_b) in pairwise(points):
        if cost_a == cost_b:
            return f"{curve.name}: {cost_a:.6g} {unit} at both {a} and {b}"
        if map_a >= map_b:
            rise = f"{curve.metric} does not rise with the {unit}"
            return f"{curve.name}: {rise}: {map_a:.2f} at {a}, {map_b:.2f} at {b}"
    return None


def _counted(curve: Curve) -> str:
    count = len(curve.labels)
    return f"{curve.name}: {count} point{'' if count == 1 else 's'}"


def _overlap(test: Curve, anchor: Curve, measure: Measure) -> _Found:
    """What both cover of the axis integrated over, its fraction, and why that is not enough."""
    if not (test.labels and anchor.labels):
        return _Found(None, "no points")
    by_cost = measure == "map"
    ends = [_ends(c.cost if by_cost else c.map) for c in (test, anchor)]
    shared = _shared(ends, by_cost, (test, anchor))
    if shared.overlap is None or shared.fraction >= LEAST_OVERLAP:
        return shared
    unit = "bytes" if by_cost else test.metric
    covers = f"the overlap {_span(shared.overlap)} {unit} is {shared.fraction:.1%} of the narrower curve"
    return shared._replace(refused=f"{covers}, at least {LEAST_OVERLAP:.0%} is needed")


def _shared(ends: Sequence[Interval], by_cost: bool, curves: tuple[Curve, Curve]) -> _Found:
    """What two intervals share, and what fraction of the narrower one: of log10 of bytes, or of mAP."""
    unit, scale = ("bytes", math.log10) if by_cost else (curves[0].metric, float)
    low, high = max(e[0] for e in ends), min(e[1] for e in ends)
    width = scale(high) - scale(low)
    if width <= 0:
        spans = [f"{c.name} spans {_span(e)}" for c, e in zip(curves, ends, strict=True)]
        return _Found(None, f"no overlap: {', '.join(spans)} {unit}")
    return _Found(None, None, (low, high), width / min(scale(e[1]) - scale(e[0]) for e in ends))


def _ends(axis: Floats) -> Interval:
    return float(axis.min()), float(axis.max())


def _span(ends: Interval) -> str:
    return f"{ends[0]:.6g} to {ends[1]:.6g}"


def _by_package(test: Curve, anchor: Curve, measure: Measure, method: Method) -> float:
    try:
        import bjontegaard
    except ImportError as error:
        raise MissingExtraError.of("bjontegaard", "bench") from error
    options: dict[str, Any] = {"method": method, "require_matching_points": False, "min_overlap": 0}
    points = (anchor.cost, anchor.map, test.cost, test.map)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what it warns of was refused before, or is not finite
        try:
            if measure == "rate":
                return float(bjontegaard.bd_rate(*points, **options))
            if measure == "map":
                return float(bjontegaard.bd_psnr(*points, **options))
            return float(bjontegaard.bd_linear(anchor.map, anchor.cost, test.map, test.cost, **options))
        except ValueError:  # of points too close for their logarithms to differ
            return math.nan
