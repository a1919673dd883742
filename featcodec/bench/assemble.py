"""From what a run has coded to its result: accuracy with intervals, times, Bjøntegaard deltas."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from featcodec.bench.bd import CONSTRAINED, METHODS, Measure, Method, delta
from featcodec.bench.curves import Curve, on_front
from featcodec.bench.runner import UNCODED, Finished
from featcodec.console import Progress
from featcodec.evaluation.bootstrap import centred, resampled_mean, resamples
from featcodec.evaluation.coders import Coder
from featcodec.evaluation.datasets import CocoSet
from featcodec.evaluation.journal import CodedPicture
from featcodec.evaluation.metric import Metric, Scored
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import BD, Entry, Interval, Point

__all__ = ["ScoredRun", "Scores", "deltas", "deltas_of", "entries", "score", "with_dominance"]

Floats = NDArray[np.float64]
MEASURES: tuple[Measure, ...] = ("rate", "map")


@dataclass(frozen=True, slots=True)
class Scores:
    """Accuracy and size of one entry at one point, over all pictures and over each resample of them.

    Attributes:
        accuracy: by the metric.
        bytes: (resamples,) mean size.
    """

    accuracy: Scored
    bytes: Floats


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """What was measured of a run.

    Attributes:
        metric: of accuracy.
        data: the pictures with what accuracy is measured against.
        draws: (resamples, pictures) how often each picture is in each resample; the same for all scores.
        scores: by entry and point, the uncoded network among them.
    """

    metric: Metric
    data: CocoSet
    draws: NDArray[np.int64]
    scores: dict[tuple[str, float], Scores]


def score(
    metric: Metric, data: CocoSet, finished: Finished, *, confidence: float, resampled: int, seed: int
) -> ScoredRun:
    """Accuracy of every entry at every point, and of the same resamples of the pictures for all of them.

    Args:
        metric: of accuracy.
        data: the pictures; without any label, what the uncoded network finds becomes the reference.
        finished: what was coded.
        confidence: score from which what it finds counts.
        resampled: number of resamples.
        seed: of the draws.
    """
    data = metric.reference(data, [r.found for r in finished.coded[UNCODED]], confidence)
    draws = resamples(len(data.pictures), count=resampled, seed=seed, some_of=metric.counts(data))
    scores = {}
    with Progress(len(finished.coded)) as progress:
        for number, (step, coded) in enumerate(finished.coded.items()):
            progress.show(number, f"points scored, {step[0]} at {step[1]:g}")
            sizes = np.array([float(r.bytes) for r in coded])
            found = metric.score(data, [r.found for r in coded], draws)
            scores[step] = Scores(found, resampled_mean(sizes, draws))
    return ScoredRun(metric, data, draws, scores)


def entries(coders: Sequence[Coder], finished: Finished, measured: ScoredRun) -> tuple[Entry, ...]:
    """Each coder at its points, from few bytes to many; one that failed at all of them is left out."""
    out = []
    for coder in coders:
        done = [p for p in coder.points if (coder.name, p) in measured.scores]
        points = [_point((coder.name, p), finished, measured) for p in done]
        if points:
            points.sort(key=lambda p: p.bytes)
            out.append(Entry(coder.name, coder.kind, _note(coder), with_dominance(points)))
    return tuple(out)


def with_dominance(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points of one entry, each saying whether another of them has at least its accuracy for no more."""
    on = on_front(np.array([p.bytes for p in points]), np.array([p.map for p in points]))
    return tuple(replace(p, dominated=not here) for p, here in zip(points, on.tolist(), strict=True))


def _note(coder: Coder) -> str:
    """What is coded and how, for people: floats that are exact in the identity are rounded."""
    text = coder.identity.removeprefix(f"{coder.name}; ")
    return re.sub(r"-?\d+\.\d{5,}", lambda number: f"{float(number[0]):.4g}", text)


def _point(step: tuple[str, float], finished: Finished, measured: ScoredRun) -> Point:
    coded, scores, uncoded = finished.coded[step], measured.scores[step], measured.scores[UNCODED]
    areas = [p.width * p.height for p in measured.data.pictures]
    timed, timed_on = _timed(coded)
    lost = uncoded.accuracy.value - scores.accuracy.value
    return Point(
        point=step[1],
        bytes=statistics.fmean(r.bytes for r in coded),
        bpp=statistics.fmean(8 * r.bytes / area for r, area in zip(coded, areas, strict=True)),
        map=scores.accuracy.value,
        ap50=scores.accuracy.detail,
        map_interval=centred(scores.accuracy.resampled, scores.accuracy.value, within=measured.metric.within),
        lost=lost,
        lost_interval=centred(
            uncoded.accuracy.resampled - scores.accuracy.resampled, lost, within=_losable(measured)
        ),
        encode_ms=1000 * statistics.median(r.encode_s for r in timed),
        decode_ms=1000 * statistics.median(r.decode_s for r in timed),
        timed_on=timed_on,
    )


def _losable(measured: ScoredRun) -> Interval:
    """Least and most that coding can lose: at least 0 where the uncoded network has all of it."""
    least, most = measured.metric.within
    uncoded = measured.scores[UNCODED].accuracy
    reached = np.append(uncoded.resampled, uncoded.value)
    return float(reached.min()) - most, float(reached.max()) - least


def _timed(coded: Sequence[CodedPicture]) -> tuple[Sequence[CodedPicture], str | None]:
    """The pictures whose times are reported, all of one machine: this one, or one that is named."""
    machines = Counter(r.origin.machine for r in coded)
    here = origin().machine
    machine = here if here in machines else machines.most_common(1)[0][0]
    return [r for r in coded if r.origin.machine == machine], None if machine == here else machine


def deltas(found: Sequence[Entry], measured: ScoredRun, against: Sequence[str]) -> tuple[BD, ...]:
    """BD-rate and BD-mAP of every entry against those named, by the constrained cubic first.

    Where an interpolation does not take a curve as it is, that is followed by the delta of the Pareto fronts.
    """
    curves = {e.name: _curve(e, measured) for e in found}
    out: list[BD] = []
    for name in against:
        for test in curves if name in curves else ():
            for measure, method in product(MEASURES, METHODS) if test != name else ():
                out += deltas_of(curves[test], curves[name], measure, method)
    return tuple(out)


def deltas_of(test: Curve, anchor: Curve, measure: Measure, method: Method) -> list[BD]:
    """The delta; where an interpolation refused the curves, that of their Pareto fronts behind it."""
    found = delta(test, anchor, measure=measure, method=method)
    if found.refused is None or method == CONSTRAINED:
        return [found]
    return [found, delta(test, anchor, measure=measure, method=method, pareto=True)]


def _curve(entry: Entry, measured: ScoredRun) -> Curve:
    scores = [measured.scores[entry.name, p.point] for p in entry.points]
    return Curve(
        entry.name,
        tuple(f"{p.point:g}" for p in entry.points),
        np.array([p.bytes for p in entry.points]),
        np.array([p.map for p in entry.points]),
        np.stack([s.bytes for s in scores], 1),
        np.stack([s.accuracy.resampled for s in scores], 1),
        measured.metric.name,
    )
