"""docs/speed.md: what was aimed at, and what the committed run of `speed.py` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["to_markdown"]

STAGES = (
    (
        "encoding",
        ("pixels to canvas", "head", "g_a", "h_a, h_s, rounding", "entropy encode", "hash, container"),
    ),
    ("", ("encode",)),
    ("decoding", ("entropy decode", "h_s", "g_s")),
    ("", ("decode",)),
    ("behind it", ("tail", "boxes at 0.25", "boxes at 0.001")),
    ("to compare with", ("h_s in float32, not exact",)),
)
WHOLE = ("encode", "decode")
INTRO = """\
# Speed

<!-- written by benchmarks/make_docs.py from benchmarks/results/speed.json: change those, not this -->

Where the time of the default codec goes, on one core and on two, side by side in one run:

    {command}

{machine}; torch {torch}, NumPy {numpy}, constriction {constriction}; commit {commit}, {date}.
Stages are timed in turn, round after round; medians, milliseconds a picture; quality {quality:g}. "encode"
starts at decoded pixels and ends with the bytes of a `.plf` file; "decode" starts there and ends with
features. A whole is not the sum of its stages: a stage that is repeated alone finds its data in the cache.
Small maps do not use a second core well, and entropy coding and hash do not use it at all."""
EXACT = """\
**Exact, in float32.** The integer hyper-synthesis runs as matrix products in NumPy. When a codec is loaded,
it is proved that no partial sum of any input reaches 2^53; and for each layer the largest input is worked
out with which every partial sum stays below 2^24. A layer whose inputs in a picture lie within it is carried
in float32, else in float64; the integers are the same (`featcodec/codec/hyper_synthesis.py`,
`tests/codec/test_hyper_synthesis.py`)."""
MISSED = """\
**What stands in the way.** Encoding runs `g_a` behind the head, decoding `g_s` before the tail. With the
widths of this codec they are about 240 and 440 million multiplications of floats at 416 px: only narrower
ones come to the first two aims. Symbols are decoded one after the other, and before that sorted into the
order of their tables; the table of stages has what that takes."""
CODERS = """\
## Entropy coders

Million symbols a second, of one picture's latents. CompressAI's coder takes lists, which are made before it
is timed, and its frequencies have 16 bits where these have 24."""
PICTURES = """\
## Pictures

One picture of 416 px, in files of about one size. JPEG is written by Pillow and VVC by VVenC ("faster"),
whose process starts with every picture; behind both, the whole network has yet to run."""
PROCESSES = """\
## Processes

`plf info` takes {plf_info_ms:g} ms from start to end. Encoding a 12-megapixel JPEG takes
{encode_12mp_jpeg_mb_above_import_torch:g} MB more, at its peak, than `import torch` alone."""


@dataclass(frozen=True, slots=True)
class _Aim:
    """One figure: what it was before, what is aimed at, and how to read it, in two threads at 416 px."""

    figure: str
    before: str
    aim: float | None  # None: none was set
    unit: str
    read: Callable[[dict[str, Any]], float]
    at_least: bool = False

    def row(self, found: dict[str, Any]) -> str:
        got, aim, word = self.read(found), "none", ""
        if self.aim is not None:
            reached = got >= self.aim if self.at_least else got <= self.aim
            aim, word = f"{self.aim:g}{self.unit}", "reached" if reached else "**missed**"
        return f"| {self.figure} | {self.before} | {aim} | {got:.3g}{self.unit} | {word} |"


def _ratio(name: str) -> Callable[[dict[str, Any]], float]:
    return lambda found: float(_case(found, "416 px")["ratios"][name])


def _ms(name: str) -> Callable[[dict[str, Any]], float]:
    return lambda found: float(_case(found, "416 px")["ms"][name])


def _symbols(name: str) -> Callable[[dict[str, Any]], float]:
    return lambda found: float(found["coders"][-1]["million_symbols_per_second"][name])


def _case(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(case for case in found["cases"] if case["case"] == name)


_AIMS = (
    _Aim(
        "encode from decoded pixels, against the head alone",
        "about 2.2 x",
        1.3,
        " x",
        _ratio("encode / head"),
    ),
    _Aim("decode to features, against the tail alone", "about 0.75 x", 0.4, " x", _ratio("decode / tail")),
    _Aim("hyper-synthesis, exact", "2 ms", 0.7, " ms", _ms("h_s")),
    _Aim("entropy encoding of one picture", "0.8 ms", 0.5, " ms", _ms("entropy encode")),
    _Aim("entropy decoding of one picture", "1.8 ms", 0.8, " ms", _ms("entropy decode")),
    _Aim("entropy encoding, large picture", "unknown", 50, " Msym/s", _symbols("featcodec encode"), True),
    _Aim("entropy decoding, large picture", "unknown", 50, " Msym/s", _symbols("featcodec decode"), True),
    _Aim("boxes at 0.25, against the tail", "unknown", 0.1, " x", _ratio("boxes at 0.25 / tail")),
    _Aim("boxes at 0.001, against the tail", "above 1 x", None, " x", _ratio("boxes at 0.001 / tail")),
)


def to_markdown(result: dict[str, Any]) -> str:
    """The text of docs/speed.md."""
    made, two = result["made"], next(t for t in result["threads"] if t["threads"] == 2)
    facts = {**made["versions"], **{k: made[k] for k in ("command", "machine", "commit", "date")}}
    parts = [
        INTRO.format(quality=result["quality"], **facts),
        '## Aims\n\nOn two cores, at 416 px; what stands under "before" comes from earlier runs, not from '
        "this one:",
        _table(("figure", "before", "aim", "measured", ""), [a.row(two) for a in _AIMS]),
        EXACT,
        MISSED,
        "## Stage by stage",
        _stages(result),
        CODERS,
        _coders(result),
        PICTURES,
        _pictures(result),
        PROCESSES.format(**result),
    ]
    return "\n\n".join(parts) + "\n"


def _table(columns: tuple[str, ...], rows: list[str]) -> str:
    head = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return "\n".join(head + rows)


def _stages(result: dict[str, Any]) -> str:
    cases = [(t["threads"], c) for t in result["threads"] for c in t["cases"]]
    cases.sort(key=lambda pair: [c["case"] for c in result["threads"][0]["cases"]].index(pair[1]["case"]))
    columns = ("", "ms a picture", *(f"{c['case']}, {_cores(n)}" for n, c in cases))
    rows = []
    for group, names in STAGES:
        for i, name in enumerate(names):
            bold = "**" if name in WHOLE else ""
            times = " | ".join(f"{bold}{c['ms'][name]:.3g}{bold}" for _, c in cases)
            rows.append(f"| {'' if i else group} | {bold}{name}{bold} | {times} |")
    for i, name in enumerate(cases[0][1]["ratios"]):
        times = " | ".join(f"{c['ratios'][name]:.2f}" for _, c in cases)
        rows.append(f"| {'' if i else 'ratios'} | {name} | {times} |")
    return _table(columns, rows)


def _cores(threads: int) -> str:
    return "one core" if threads == 1 else f"{threads} cores"


def _coders(result: dict[str, Any]) -> str:
    found = [(t["threads"], c) for t in result["threads"] for c in t["coders"]]
    names = tuple(found[0][1]["million_symbols_per_second"])
    rows = [
        f"| {c['symbols']:,} | {n} | "
        + " | ".join(f"{c['million_symbols_per_second'][name]:.0f}" for name in names)
        + " |"
        for n, c in found
    ]
    return _table(("symbols", "cores", *names), rows)


def _pictures(result: dict[str, Any]) -> str:
    found = [(t["threads"], t["pictures"]) for t in result["threads"]]
    columns = [f"{what} ms, {_cores(n)}" for n, _ in found for what in WHOLE]
    rows = [
        f"| {name} | {size:,} | "
        + " | ".join(f"{p['ms'][f'{name} {what}']:.3g}" for _, p in found for what in WHOLE)
        + " |"
        for name, size in found[0][1]["bytes"].items()
    ]
    return _table(("", "bytes", *columns), rows)
