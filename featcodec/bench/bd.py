"""Bjøntegaard deltas by the `bjontegaard` package: one curve against another, or why that cannot be said."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError, MissingExtraError
from featcodec.evaluation.bootstrap import interval
from featcodec.evaluation.results import BD, Interval

__all__ = ["FEWEST_POINTS", "LEAST_OVERLAP", "MOST_REFUSED", "Curve", "Measure", "Method", "delta"]

Measure = Literal["rate", "map", "attack-psnr"]
Method = Literal["pchip", "akima"]
Floats = NDArray[np.float64]

FEWEST_POINTS = {"pchip": 3, "akima": 4}  # fewer are a straight line, whatever the method's name
LEAST_OVERLAP = 0.25  # of the narrower curve's range; a delta over less says little of either curve
MOST_REFUSED = 0.05  # of the resamples; what remains of more is no 95 % interval


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one entry, in any order.

    Attributes:
        name: of the entry.
        labels: of the N points, such as ``("22", "30")``.
        cost: (N,) what should be small: mean bytes of the files, or PSNR of the attack in dB.
        map: (N,) mAP in percent points.
        metric: what `map` is called, if it is another measure of accuracy.
        costs, maps: (R, N) the same of R resamples of the pictures, drawn alike for all curves.

    Raises:
        InputError: the shapes do not fit each other.
    """

    name: str
    labels: tuple[str, ...]
    cost: Floats
    map: Floats
    costs: Floats | None = None
    maps: Floats | None = None
    metric: str = "mAP"

    def __post_init__(self) -> None:
        shapes = [None if a is None else a.shape for a in (self.cost, self.map, self.costs, self.maps)]
        n = (len(self.labels),)
        if shapes[:2] != [n, n] or shapes[2] != shapes[3] or (shapes[2] or n)[-1:] != n:
            raise InputError(
                f"{self.name}: expected {n[0]} points in cost, map, costs and maps, got {shapes}"
            )

    def resamples(self) -> list[Curve]:
        """The curve of each resample."""
        if self.costs is None or self.maps is None:
            return []
        return [
            Curve(self.name, self.labels, cost, map_, metric=self.metric)
            for cost, map_ in zip(self.costs, self.maps, strict=True)
        ]

    def by_cost(self) -> Curve:
        """Sorted from low cost to high, at equal cost from low mAP to high."""
        return self._only(np.lexsort((self.map, self.cost)))

    def front(self) -> tuple[Curve, tuple[str, ...]]:
        """The Pareto front, and the points ``"name@label"`` left out.

        Those are left out that another has at least the mAP of at no more cost (of equal points, one stays).
        """
        order = np.lexsort((-self.map, self.cost))
        best = np.maximum.accumulate(np.append(-np.inf, self.map[order]))[:-1]
        on = np.sort(order[self.map[order] > best])
        out = tuple(f"{self.name}@{label}" for i, label in enumerate(self.labels) if i not in on)
        return self._only(on), out

    def _only(self, keep: NDArray[np.intp]) -> Curve:
        labels = tuple(self.labels[i] for i in keep)
        return Curve(self.name, labels, self.cost[keep], self.map[keep], metric=self.metric)


def delta(test: Curve, anchor: Curve, *, measure: Measure, method: Method, pareto: bool = False) -> BD:
    """Mean distance of `test` from `anchor` over the range that both cover; nothing is extrapolated.

    ``"rate"`` is BD-rate, the percent of bytes that `test` takes more at equal mAP: log10 of the bytes is
    interpolated over mAP. ``"map"`` is BD-mAP, points at equal bytes: mAP over log10 of the bytes.
    ``"attack-psnr"`` is the attack's PSNR in dB at equal mAP: both axes are linear there, and the package's
    `bd_linear` takes the place of its `bd_psnr`, which integrates over a logarithm.

    It is refused, with the reason, when a number is not finite or out of its range, a curve has fewer than
    `FEWEST_POINTS`, two points cost the same, mAP does not rise wherever the cost does, or the curves overlap
    nowhere or over less than `LEAST_OVERLAP` of the narrower one.

    Args:
        test: the curve that is judged.
        anchor: what it is compared with.
        measure: what is compared.
        method: of interpolation.
        pareto: compares the Pareto front of each curve, for curves that saturate; `BD.dropped` names the
            points left out. In a resample the front is that of the resample.

    Returns:
        The delta, with the 95 % percentile interval where both curves have resamples. Where more than
        `MOST_REFUSED` of these are refused, there is none.

    Raises:
        InputError: one curve has other resamples than the other.
        MissingExtraError: bjontegaard is not installed.

    Source: Bjøntegaard 2001 (VCEG-M33); Herglotz et al. 2022 (arXiv:2202.12565) on pchip and akima.

    >>> image = Curve("image", ("40", "30", "22"), np.array([1e3, 2e3, 5e3]), np.array([30.0, 36.0, 40.0]))
    >>> ours = Curve("ours", ("1", "2", "3"), np.array([500.0, 1e3, 2.5e3]), np.array([30.0, 36.0, 40.0]))
    >>> round(delta(ours, image, measure="rate", method="pchip").value, 6)
    -50.0
    >>> delta(ours, image, measure="rate", method="akima").refused
    'ours: 3 points, akima takes at least 4'
    """
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
    value: float | None = None
    overlap: Interval | None = None
    fraction = 0.0
    dropped: tuple[str, ...] = ()
    refused = _not_numbers(test, logarithm) or _not_numbers(anchor, logarithm)
    if not refused:
        if pareto:
            (test, out), (anchor, out_of_anchor) = test.front(), anchor.front()
            dropped = out + out_of_anchor
        test, anchor = test.by_cost(), anchor.by_cost()
        overlap, fraction, apart = _overlap(test, anchor, measure)
        refused = _not_rising(test, method, logarithm) or _not_rising(anchor, method, logarithm) or apart
    if not refused:
        value = _by_package(test, anchor, measure, method)
        if not math.isfinite(value):
            value, refused = None, f"{test.name}, {anchor.name}: {method} gave {value}"
    return BD(
        test=test.name,
        anchor=anchor.name,
        measure=measure,
        method=method,
        value=value,
        interval=None,
        overlap=overlap,
        fraction=fraction,
        refused=refused,
        dropped=dropped,
    )


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
        count = f"{len(points)} point{'' if len(points) == 1 else 's'}"
        return f"{curve.name}: {count}, {method} takes at least {FEWEST_POINTS[method]}"
    unit = "bytes" if logarithm else "dB"
    for (a, cost_a, map_a), (b, cost_b, map_b) in pairwise(points):
        if cost_a == cost_b:
            return f"{curve.name}: {cost_a:.6g} {unit} at both {a} and {b}"
        if map_a >= map_b:
            rise = f"{curve.metric} does not rise with the {unit}"
            return f"{curve.name}: {rise}: {map_a:.2f} at {a}, {map_b:.2f} at {b}"
    return None


def _overlap(test: Curve, anchor: Curve, measure: Measure) -> tuple[Interval | None, float, str | None]:
    """What both cover of the axis integrated over, its fraction, and why that is not enough."""
    if not (test.labels and anchor.labels):
        return None, 0.0, "no points"
    axes = [c.cost if measure == "map" else c.map for c in (test, anchor)]
    ends = [(float(axis.min()), float(axis.max())) for axis in axes]
    low, high = max(e[0] for e in ends), min(e[1] for e in ends)
    unit, scale = ("bytes", math.log10) if measure == "map" else (test.metric, float)
    width = scale(high) - scale(low)
    if width <= 0:
        spans = [f"{c.name} spans {_span(e)}" for c, e in zip((test, anchor), ends, strict=True)]
        return None, 0.0, f"no overlap: {', '.join(spans)} {unit}"
    fraction = width / min(scale(e[1]) - scale(e[0]) for e in ends)
    if fraction < LEAST_OVERLAP:
        covers = f"the overlap {_span((low, high))} {unit} is {fraction:.1%} of the narrower curve"
        return (low, high), fraction, f"{covers}, at least {LEAST_OVERLAP:.0%} is needed"
    return (low, high), fraction, None


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
