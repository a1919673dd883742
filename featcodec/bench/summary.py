"""What most readers look for in a result: sizes, accuracy, bytes against the anchors, privacy."""

from __future__ import annotations

from featcodec.bench.bd import CONSTRAINED
from featcodec.bench.cells import Column, Group, Table
from featcodec.evaluation.results import BD, Entry, Result

__all__ = ["summary"]


def summary(result: Result) -> Table | None:
    """A row for each codec, from figures of the other tables; None where a result has no codec."""
    codecs = [e for e in result.entries if e.kind == "codec" and e.points]
    if not codecs:
        return None
    found = {codec.name: _against(codec, result) for codec in codecs}
    anchors = list(dict.fromkeys(d.anchor for deltas in found.values() for d in deltas.values()))
    attacked = any(a.target in found for a in result.attacks)
    identified = any(row.target in found for row in result.identified)
    rows = [
        Group(
            c.name,
            "",
            (
                (
                    _range([p.bytes for p in c.points], 0),
                    _range([p.map for p in c.points], 1),
                    *(_percent(found[c.name].get(anchor)) for anchor in anchors),
                    *([_rebuilt(c, result)] if attacked else []),
                    *([_told_apart(c, result)] if identified else []),
                ),
            ),
        )
        for c in codecs
    ]
    heads = ["bytes", result.metric, *(f"against {anchor}" for anchor in anchors)]
    heads += ["attack, dB"] if attacked else []
    heads += ["identity, %"] if identified else []
    lead = f"{result.metric} without coding: {result.uncoded_map:.1f}."
    if anchors:
        lead += (
            f" Against an anchor: bytes at equal {result.metric}, negative is fewer (BD-rate of all points, "
        )
        lead += "by the constrained cubic)."
    if attacked:
        lead += " Attack: PSNR of what the strongest attacker rebuilds, lower is harder to rebuild."
    if identified:
        lead += " Identity: pairs of people that the strongest thief tells apart, where guessing gives 50."
    return Table("In short", lead, "codec", tuple(map(Column, heads)), tuple(rows))


def _against(codec: Entry, result: Result) -> dict[str, BD]:
    """BD-rate of a codec by anchor, where there is one."""
    rates = [d for d in result.bd if (d.test, d.measure, d.method) == (codec.name, "rate", CONSTRAINED)]
    return {d.anchor: d for d in rates}


def _percent(d: BD | None) -> str:
    if d is None or d.value is None:
        return "none"
    shown = f"{d.value:+.0f} %"
    return shown if d.interval is None else f"{shown} [{d.interval[0]:+.0f}, {d.interval[1]:+.0f}]"


def _rebuilt(codec: Entry, result: Result) -> str:
    found = [a.psnr for a in result.attacks if a.target == codec.name and a.strongest]
    return _range(found, 1) if found else "-"


def _told_apart(codec: Entry, result: Result) -> str:
    found = [row.accuracy for row in result.identified if row.target == codec.name and row.strongest]
    return _range(found, 1) if found else "-"


def _range(values: list[float], digits: int) -> str:
    ends = dict.fromkeys(f"{end(values):,.{digits}f}" for end in (min, max))
    return "\u2013".join(ends)
