"""The tables of a result, as text cells: what the terminal, Markdown and the page show alike."""

from __future__ import annotations

from collections.abc import Sequence

from featcodec.bench.cells import Column, Group, Table, count, signed, span, with_interval
from featcodec.bench.footnotes import Footnotes, shared
from featcodec.bench.privacy_rows import identity_table, rebuilt_table
from featcodec.evaluation.results import BD, Entry, Point, Result

__all__ = ["facts", "tables"]

_KINDS = {"codec": "codec", "features": "features", "bottleneck": "latents", "image": "picture"}
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
_METHODS = ("pchip", "akima")


def facts(result: Result) -> tuple[tuple[str, str], ...]:
    """What was measured and how it was made: names and texts."""
    made = result.made
    demo = (("Demo", "a quick run on a few photographs: it shows what the bench does, and decides nothing"),)
    waited = f"{100 * result.effort.waited:.0f} %" if result.effort else ""
    busy = (
        ("Times", f"taken on a busy machine: what was timed waited for a processor {waited} of the time"),
    )
    uncoded = f"{result.metric} {result.uncoded_map:.1f}, {result.detail} {result.uncoded_ap50:.1f}"
    if not result.labelled:
        uncoded += (
            f"; {result.metric} is against what the network itself gives uncoded, as there are no labels"
        )
    return (
        *(demo if result.demo else ()),
        *(busy if result.effort and result.effort.busy else ()),
        ("Data", f"{result.data}; {count(result.pictures, 'picture')}"),
        ("Network", result.network),
        ("Uncoded", uncoded),
        ("Command", made.command),
        ("Commit", made.commit),
        ("Date", made.date),
        ("Machine", made.machine),
        ("Versions", ", ".join(f"{k} {v}" for k, v in made.versions.items())),
        ("Seeds", ", ".join(f"{k} {v}" for k, v in made.seeds.items())),
    )


def tables(result: Result) -> tuple[Table, ...]:
    """All tables of a result that have rows: rate and accuracy, the Bjøntegaard deltas, privacy."""
    measures, notes = list(dict.fromkeys(d.measure for d in result.bd)), Footnotes()
    return (
        _accuracy(result),
        *(_deltas(m, [d for d in result.bd if d.measure == m], result.metric, notes) for m in measures),
        *([rebuilt_table(result)] if result.attacks else []),
        *([identity_table(result)] if result.identified else []),
    )


def _accuracy(result: Result) -> Table:
    heads = (
        "point",
        "bytes",
        "bpp",
        f"{result.metric} [95 %]",
        result.detail,
        "lost [95 %]",
        "encode ms",
        "decode ms",
    )
    notes = Footnotes()
    abouts = shared(["; ".join(filter(None, (_KINDS[e.kind], e.note))) for e in result.entries], notes)
    groups = (
        Group(e.name, about, _points(e, notes)) for e, about in zip(result.entries, abouts, strict=True)
    )
    return Table(
        "Rate and accuracy",
        f"Means over {count(result.pictures, 'picture')}; bytes and bpp are of whole files, decoded again "
        f"from nothing else. Lost: {result.metric} below the uncoded {result.uncoded_map:.1f}, the same "
        "pictures drawn for both. Times are medians and include the network's halves.",
        "entry",
        tuple(Column(h) for h in heads),
        tuple(groups),
        notes.new(),
    )


def _points(entry: Entry, notes: Footnotes) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            f"{p.point:g}",
            f"{p.bytes:,.0f}",
            f"{p.bpp:.3f}",
            with_interval(p.map, p.map_interval, 1),
            f"{p.ap50:.1f}",
            with_interval(p.lost, p.lost_interval, 2),
            f"{p.encode_ms:,.1f}",
            f"{p.decode_ms:,.1f}{_elsewhere(p, notes)}",
        )
        for p in entry.points
    )


def _elsewhere(p: Point, notes: Footnotes) -> str:
    return "" if p.timed_on is None else f" {notes.mark(f'both times of the row are of {p.timed_on}')}"


def _deltas(measure: str, deltas: Sequence[BD], metric: str, notes: Footnotes) -> Table:
    """One table of deltas; a footnote that an earlier table has stands there alone."""
    title, lead = (text.format(metric=metric) for text in _BD_TITLES.get(measure, (f"BD of {measure}", "")))
    if any(d.dropped for d in deltas):
        falls = f"{metric} does not rise all along a curve"
        lead += f" Pareto: {falls}, so the points that others outdo are left out."
    if any(d.value is not None and d.interval is None and d.refused_resamples for d in deltas):
        lead += " None: so much of the bootstrap was refused that there is no interval."
    by_test: dict[str, list[BD]] = {}
    for d in deltas:
        by_test.setdefault(d.test, []).append(d)
    if notes:
        lead += " Footnotes that are not here stand under an earlier table."
    groups = tuple(Group(test, "", _delta_rows(found, metric, notes)) for test, found in by_test.items())
    columns = (
        Column("anchor", left=True),
        *(Column(f"{m} [95 %]") for m in _METHODS),
        Column("overlap"),
        Column("covers"),
        Column("points", left=True),
    )
    return Table(title, lead.strip(), "entry", columns, groups, notes.new())


def _delta_rows(deltas: Sequence[BD], metric: str, notes: Footnotes) -> tuple[tuple[str, ...], ...]:
    """Rows of one entry. A refusal is shown where nothing else is: neither beside the delta of the Pareto
    fronts, which it led to, nor once for every anchor where it is the same for all."""
    by_anchor: dict[str, dict[tuple[str, ...], dict[str, BD]]] = {}
    for d in deltas:
        by_anchor.setdefault(d.anchor, {}).setdefault(d.dropped, {})[d.method] = d
    kept: list[dict[str, BD]] = []
    for found in by_anchor.values():
        told = [methods for methods in found.values() if any(d.value is not None for d in methods.values())]
        kept += told or list(found.values())[-1:]
    reasons = {_refusal(methods) for methods in kept}
    if len(kept) > 1 and len(reasons) == 1 and (reason := reasons.pop()):
        refused, test = f"refused {notes.mark(reason)}", deltas[0].test
        own = [d for methods in kept for d in methods.values() if d.dropped]
        front = [notes.mark(text) for name, text in _left_out(own[0], metric) if name == test] if own else []
        points = f"Pareto {front[0]}" if front else ""
        return ((f"each of {len(by_anchor)}", refused, refused, "", "", points),)
    return tuple(_delta_row(methods, metric, notes) for methods in kept)


def _delta_row(methods: dict[str, BD], metric: str, notes: Footnotes) -> tuple[str, ...]:
    one = next(iter(methods.values()))
    points = "all"
    if one.dropped:
        points = f"Pareto {''.join(notes.mark(text) for _, text in _left_out(one, metric))}"
    overlap = "none" if one.overlap is None else span(one.overlap, 0 if one.measure == "map" else 1)
    reason = _refusal(methods)
    cells = (_delta(methods.get(m), reason, notes) for m in _METHODS)
    return (one.anchor, *cells, overlap, f"{100 * one.fraction:.0f} %", points)


def _left_out(d: BD, metric: str) -> list[tuple[str, str]]:
    """By name of the curve, which points are left out and why."""
    cost = "attack PSNR" if d.measure == "attack-psnr" else "bytes"
    points: dict[str, list[str]] = {}
    for name, _, label in (text.rpartition("@") for text in d.dropped):
        points.setdefault(name, []).append(label)
    why = f"its other points have at least their {metric} for no more {cost}"
    return [(name, f"{name} without {', '.join(labels)}: {why}") for name, labels in points.items()]


def _refusal(methods: dict[str, BD]) -> str:
    """Why every method was refused, what they say alike once; empty where one of them was not."""
    if any(d.value is not None for d in methods.values()):
        return ""
    reasons = list(dict.fromkeys(d.refused or "no reason given" for d in methods.values()))
    heads = {reason.partition(", ")[0] for reason in reasons}
    if len(heads) == 1 and all(", " in reason for reason in reasons):
        return ", ".join([heads.pop(), *(reason.partition(", ")[2] for reason in reasons)])
    return "; ".join(reasons)


def _delta(d: BD | None, reason: str, notes: Footnotes) -> str:
    if d is None:
        return "-"
    if d.value is None:
        return f"refused {notes.mark(reason or d.refused or 'no reason given')}"
    shown = signed(d.value, d.interval, 2 if d.measure == "attack-psnr" else 1)
    if d.interval is None and d.refused_resamples:
        return f"{shown} [none: {100 * d.refused_resamples:.0f} %]"
    return shown
