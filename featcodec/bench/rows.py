"""The tables of a result, as text cells: what the terminal, Markdown and the page show alike."""

from __future__ import annotations

from featcodec.bench.cells import Column, Group, Table, count, with_interval
from featcodec.bench.delta_rows import delta_tables
from featcodec.bench.footnotes import Footnotes, shared
from featcodec.bench.privacy_rows import identity_table, rebuilt_table
from featcodec.evaluation.results import Entry, Point, Result

__all__ = ["facts", "tables"]

_KINDS = {"codec": "codec", "features": "features", "bottleneck": "latents", "image": "picture"}


DOMINATED = "\u2020"  # behind a point


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
    return (
        _accuracy(result),
        *delta_tables(result),
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
    lead = (
        f"Means over {count(result.pictures, 'picture')}; bytes and bpp are of whole files, decoded again "
        f"from nothing else. Lost: {result.metric} below the uncoded {result.uncoded_map:.1f}, the same "
        "pictures drawn for both. Times are medians and include the network's halves."
    )
    if any(p.dominated for e in result.entries for p in e.points):
        lead += (
            f" {DOMINATED}: another point of the entry has at least this {result.metric} for no more bytes."
        )
    return Table(
        "Rate and accuracy",
        lead,
        "entry",
        tuple(Column(h) for h in heads),
        tuple(groups),
        notes.new(),
    )


def _points(entry: Entry, notes: Footnotes) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            f"{p.point:g}{f' {DOMINATED}' if p.dominated else ''}",
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
