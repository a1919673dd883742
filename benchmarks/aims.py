"""What the codecs for YOLOv5s were to reach, beside what a committed run of the bench says that they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from featcodec.bench.bd import CONSTRAINED
from featcodec.evaluation.results import BD, Attacked, Result

__all__ = ["CODECS", "to_markdown"]

OPEN, PRIVATE = CODECS = ("yolov5s-p3", "yolov5s-p3-private")
QUALITY = 4.0  # where one quality has to stand for all


@dataclass(frozen=True, slots=True)
class _Aim:
    """One line: what is aimed at, what the seed paper reached, and how to read what was reached."""

    figure: str
    seed: str
    aim: str
    read: Callable[[Result], str]


def to_markdown(result: Result) -> str:
    """The table, of a run that has both codecs."""
    rows = [f"| {a.figure} | {a.seed} | {a.aim} | {a.read(result)} |" for a in _AIMS]
    return "\n".join(["| figure | seed paper | aim | reached |", "|---|---|---|---|", *rows])


def _delta(result: Result, test: str, anchor: str, measure: str) -> str:
    """A delta of all points, by the constrained cubic, and why there is none."""
    pair = [d for d in result.bd if (d.measure, d.method) == (measure, CONSTRAINED)]
    found = [d for d in pair if (d.test, d.anchor) == (test, anchor)]
    if measure == "attack-psnr":  # the bench gives each pair once; in dB the other way round is the negative
        found += [_turned(d) for d in pair if (d.test, d.anchor) == (anchor, test)]
    if not found:
        return "not computed"
    d = found[0]
    if d.value is None:
        return f"none ({d.refused})"
    low_high = d.interval and f" \\[{d.interval[0]:.1f}, {d.interval[1]:.1f}\\]"
    return f"{d.value:+.1f} {'dB' if measure == 'attack-psnr' else '%'}{low_high or ''}"


def _turned(delta: BD) -> BD:
    low_high = delta.interval and (-delta.interval[1], -delta.interval[0])
    value = None if delta.value is None else -delta.value
    return replace(delta, test=delta.anchor, anchor=delta.test, value=value, interval=low_high)


def _both(read: Callable[[Result, str], str]) -> Callable[[Result], str]:
    return lambda result: "; ".join(f"`{name}` {read(result, name)}" for name in CODECS)


def _lost(result: Result, name: str) -> str:
    entry = next(e for e in result.entries if e.name == name)
    best = max(entry.points, key=lambda p: p.point)
    return f"{best.lost:.2f} \\[{best.lost_interval[0]:.2f}, {best.lost_interval[1]:.2f}\\]"


def _strongest(result: Result, name: str) -> list[Attacked]:
    return sorted((a for a in result.attacks if a.target == name and a.strongest), key=lambda a: a.point)


def _edges(result: Result, name: str) -> str:
    here = next(a for a in _strongest(result, name) if a.point == QUALITY)
    return f"{here.psnr_edges:.1f} and {here.psnr_flat:.1f} dB"


def _faces(result: Result, name: str) -> str:
    shares = [a.face_accuracy for a in _strongest(result, name) if a.face_accuracy is not None]
    return f"{min(shares):.1f} to {max(shares):.1f} %" if shares else "not measured"


_AIMS = (
    _Aim(
        "BD-rate against `raw-vvc`", "-30 %", "-90 %",
        _both(lambda r, name: _delta(r, name, "raw-vvc", "rate")),
    ),
    _Aim(
        "BD-rate against `image-vvc`", "not given", "-60 %",
        _both(lambda r, name: _delta(r, name, "image-vvc", "rate")),
    ),
    _Aim("mAP lost at quality 8", "", "at most 0.5", _both(_lost)),
    _Aim(
        f"attack PSNR of `{PRIVATE}` against `{OPEN}`, at equal mAP", "-0.8 dB (TIP 2024: about -4)", "-5 dB",
        lambda r: _delta(r, PRIVATE, OPEN, "attack-psnr"),
    ),
    _Aim(
        "attack PSNR near edges and elsewhere, quality 4", "lower near edges", "a larger gap with adversary",
        _both(_edges),
    ),
    _Aim("faces recognised, over the qualities (chance 50 %)", "", "under 60 %", _both(_faces)),
    _Aim(
        "bytes that privacy costs at equal mAP", "", "at most 10 %",
        lambda r: _delta(r, PRIVATE, OPEN, "rate"),
    ),
)  # fmt: skip
