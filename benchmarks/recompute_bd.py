"""Adds to kept results of featcodec-bench what today's code says of their points; nothing is measured again.

    python benchmarks/recompute_bd.py benchmarks/results/bench-*.json

It computes the Bjøntegaard deltas by the constrained cubic for every pair that a result compares, says anew
why an interpolation was refused, and marks the operating points that others of their entry outdo. A result
does not hold the resamples of its pictures, so what is added has no intervals, as a note of the result says.
Deltas by interpolation keep the values and intervals of the run that measured them.

Runs before `Effort` was measured said "minutes of one core" of times on the clock: their notes say so now.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from featcodec.bench.assemble import with_dominance
from featcodec.bench.bd import CONSTRAINED, delta
from featcodec.bench.curves import Curve
from featcodec.evaluation.results import BD, Result, from_json, to_json
from featcodec.files import read_file, write_atomic

MOST = 16 * 2**20  # bytes of a result
CLOCK = "minutes on the clock, one thread at a time,"
NOTE = (
    "BD by the constrained cubic was computed from the points of this result after the run, by "
    "benchmarks/recompute_bd.py: so it has no intervals."
)


def recomputed(result: Result) -> Result:
    """The result with the deltas of all points, and dominated points marked; twice is the same as once.

    Deltas of all points that the run itself computed are left as they are, with their intervals.
    """
    entries = tuple(replace(e, points=with_dominance(e.points)) for e in result.entries)
    result, notes = replace(result, entries=entries), [note for note in result.notes if note != NOTE]
    if result.effort is None:  # then the clock's time was called so, by commit 9cf5bdd
        notes = [note.replace("minutes of one core,", CLOCK) for note in notes]
    if NOTE not in result.notes and any(d.method == CONSTRAINED for d in result.bd):
        return replace(result, notes=tuple(notes))
    return replace(result, bd=tuple(_deltas(result)), notes=(*notes, NOTE))


def _deltas(result: Result) -> Iterator[BD]:
    """Those of the result in their order, the constrained cubic before the other methods of a pair."""
    done = set()
    for d in result.bd:
        if d.method == CONSTRAINED:
            continue
        curves = {name: _curve(result, name, d.measure) for name in (d.test, d.anchor)}
        pair = curves[d.test], curves[d.anchor]
        if (key := (d.test, d.anchor, d.measure)) not in done:
            done.add(key)
            yield delta(*pair, measure=d.measure, method=CONSTRAINED)
        if d.value is None:
            again = delta(*pair, measure=d.measure, method=d.method, pareto=bool(d.dropped))
            d = again if again.value is None else d
        yield d


def _curve(result: Result, name: str, measure: str) -> Curve:
    """Cost and accuracy of an entry at its points; for attacks the PSNR of the strongest on all pictures."""
    points = next(e.points for e in result.entries if e.name == name)
    cost = {p.point: p.bytes for p in points}
    if measure == "attack-psnr":
        whole = [a for a in result.attacks if a.target == name and a.pictures == result.pictures]
        cost = {p: max(a.psnr for a in whole if a.point == p) for p in sorted({a.point for a in whole})}
    accuracy = {p.point: p.map for p in points}
    both = [p for p in cost if p in accuracy]
    labels = tuple(f"{p:g}" for p in both)
    costs, accuracies = (np.array([values[p] for p in both]) for values in (cost, accuracy))
    return Curve(name, labels, costs, accuracies, metric=result.metric)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, metavar="JSON", help="results, which are rewritten")
    for path in parser.parse_args().results:
        text = read_file(path, MOST).decode("utf-8", "replace")
        write_atomic(path, to_json(recomputed(from_json(text, str(path)))).encode())


if __name__ == "__main__":
    main()
