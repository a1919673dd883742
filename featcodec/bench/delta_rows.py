"""The tables of the Bjøntegaard deltas, one a measure: a row for each method, the one of all points first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from featcodec.bench.bd import CONSTRAINED, METHODS
from featcodec.bench.cells import Column, Group, Table, signed, span
from featcodec.bench.footnotes import Footnotes
from featcodec.evaluation.results import BD, Result

__all__ = ["delta_tables"]

_BD_TITLES = {
    "rate": (
        "BD-rate",
        "Percent of bytes at equal {metric}; negative: the entry needs fewer than its anchor.",
    ),
    "map": (
        "BD-{metric}",
        "Percent points of {metric} at equal bytes; positive: the entry is better than its anchor.",
    ),
    "attack-psnr": (
        "BD-PSNR of the attack",
        "dB of the strongest attacker at equal {metric}; negative: less is rebuilt of it than of its anchor.",
    ),
}

_UNITS = {"rate": "%", "map": "points", "attack-psnr": "dB"}
_SHOWN: dict[str, str] = {CONSTRAINED: "cubic"}
_LEADS = {  # what the rows of all these tables have in common, said above the first that has it
    "cubic": (
        "Cubic, the headline: a curve that neither falls nor bends upwards (Wang et al. 2024), fitted to all "
        "points of an entry; within: how far from it the farthest one is, in points of {metric}."
    ),
    "splines": "pchip and akima go through the points, and take no curve on which {metric} falls.",
    "dropped": (
        "Left out: the row lacks so many points that others of their entry outdo, which flatters the entry."
    ),
    "none": "None: so much of the bootstrap was refused that there is no interval.",
}


class _Row(NamedTuple):
    """A row of an entry: a delta against an anchor, and the methods that it stands for."""

    methods: tuple[str, ...]
    delta: BD
    refused: str  # why there is no value; empty where there is one


def delta_tables(result: Result) -> tuple[Table, ...]:
    """A table for each measure that the result has deltas of. What one has said the next does not repeat."""
    notes, said = Footnotes(), set[str]()
    tables = []
    for measure in dict.fromkeys(d.measure for d in result.bd):
        found = [d for d in result.bd if d.measure == measure]
        tables.append(_table(measure, found, result.metric, notes, said))
    return tuple(tables)


def _table(measure: str, deltas: Sequence[BD], metric: str, notes: Footnotes, said: set[str]) -> Table:
    title, lead = (text.format(metric=metric) for text in _BD_TITLES.get(measure, (f"BD of {measure}", "")))
    by_test: dict[str, list[BD]] = {}
    for d in deltas:
        by_test.setdefault(d.test, []).append(d)
    earlier = len(notes)
    groups = tuple(Group(test, "", _cells(_rows(found), notes)) for test, found in by_test.items())
    parts = [key for key in _features(deltas) if key not in said]
    said |= set(parts)
    told = [lead, *(_LEADS[key].format(metric=metric) for key in parts)]
    if earlier and _points_back(groups, earlier):
        told.append("Footnotes that are not here stand under an earlier table.")
    columns = (
        Column("anchor", left=True),
        Column("by", left=True),
        Column(f"{_UNITS.get(measure, 'value')} [95 %]"),
        Column("overlap"),
        Column("covers"),
        Column("points", left=True),
    )
    return Table(title, " ".join(filter(None, told)), "entry", columns, groups, notes.new())


def _features(deltas: Sequence[BD]) -> tuple[str, ...]:
    """What of `_LEADS` these deltas need."""
    shown = [row.delta for row in _rows(deltas)]
    there = {
        "cubic": any(d.method == CONSTRAINED for d in shown),
        "splines": any(d.method != CONSTRAINED for d in shown),
        "dropped": any(d.dropped for d in shown),
        "none": any(d.value is not None and d.interval is None and d.refused_resamples for d in shown),
    }
    return tuple(key for key, needed in there.items() if needed)


def _points_back(groups: Iterable[Group], earlier: int) -> bool:
    """Whether a cell has the number of a footnote that stands under an earlier table."""
    marks = [f"[{number}]" for number in range(1, earlier + 1)]
    return any(mark in cell for g in groups for row in g.rows for cell in row for mark in marks)


def _rows(deltas: Sequence[BD]) -> list[_Row]:
    """Rows of deltas. An interpolation that refused the curves as they are gives way to the delta of their
    Pareto fronts, which it led to; methods next to each other that are refused share a row.
    """
    pairs: dict[tuple[str, str], dict[str, list[BD]]] = {}
    for d in deltas:
        pairs.setdefault((d.test, d.anchor), {}).setdefault(d.method, []).append(d)
    rows: list[_Row] = []
    for methods in pairs.values():
        known = [m for m in METHODS if m in methods]
        best = [_best(methods[m]) for m in (*known, *(m for m in methods if m not in known))]
        for none, run in groupby(best, key=lambda d: d.value is None):
            if none:
                refused = list(run)
                rows.append(_Row(tuple(d.method for d in refused), refused[0], _reason(refused)))
            else:
                rows += [_Row((d.method,), d, "") for d in run]
    return rows


def _best(found: Sequence[BD]) -> BD:
    """Of one method: the delta of all points, else that of the fronts; else why not of all points."""
    return next((d for d in found if d.value is not None), found[0])


def _reason(refused: Sequence[BD]) -> str:
    """Why every one was refused, what they say alike once: "x: 1 point, pchip takes 3, akima takes 4"."""
    heads: dict[str, dict[str, None]] = {}
    for d in refused:
        head, _, rest = (d.refused or "no reason given").partition(", ")
        heads.setdefault(head, {})[rest] = None
    return "; ".join(", ".join(filter(None, (head, *rests))) for head, rests in heads.items())


def _cells(rows: Sequence[_Row], notes: Footnotes) -> tuple[tuple[str, ...], ...]:
    """Cells of the rows of one entry; a refusal that is the same against all anchors has one row."""
    anchors = {row.delta.anchor for row in rows}
    if 1 < len(anchors) == len(rows) and len({(row.methods, row.refused) for row in rows}) == 1:
        first = rows[0]
        if first.refused:
            value = f"refused {notes.mark(first.refused)}"
            return ((f"each of {len(anchors)}", _named(first.methods), value, "", "", ""),)
    return tuple(_row_cells(row, notes) for row in rows)


def _row_cells(row: _Row, notes: Footnotes) -> tuple[str, ...]:
    d = row.delta
    if row.refused:
        value = f"refused {notes.mark(row.refused)}"
    else:
        value = signed(d.value or 0.0, d.interval, 2 if d.measure == "attack-psnr" else 1)
        if d.interval is None and d.refused_resamples:
            value += f" [none: {100 * d.refused_resamples:.0f} %]"
    overlap = "none" if d.overlap is None else span(d.overlap, 0 if d.measure == "map" else 1)
    return d.anchor, _named(row.methods), value, overlap, f"{100 * d.fraction:.0f} %", _points(d, notes)


def _named(methods: Iterable[str]) -> str:
    return ", ".join(_SHOWN.get(m, m) for m in methods)


def _points(d: BD, notes: Footnotes) -> str:
    """How many points are missing, and which."""
    if d.dropped:
        return f"{len(d.dropped)} left out {''.join(map(notes.mark, _left_out(d)))}"
    return "all" if d.misfit is None else f"all, within {d.misfit:.1f}"


def _left_out(d: BD) -> list[str]:
    """The points that are missing, of each curve."""
    points: dict[str, list[str]] = {}
    for name, _, label in (text.rpartition("@") for text in d.dropped):
        points.setdefault(name, []).append(label)
    cost = " (attack)" if d.measure == "attack-psnr" else ""
    return [f"{name}{cost} without {', '.join(labels)}" for name, labels in points.items()]
