"""Writes docs/benchmarks.md and its plots from the committed runs of featcodec-bench, and docs/speed.md.

    python benchmarks/make_docs.py

A test compares the text with what is committed; the plots' bytes may differ between releases of matplotlib.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aims
import speed_page

from featcodec.bench.plots import draw, panels
from featcodec.bench.rows import facts
from featcodec.bench.table import escape, to_markdown
from featcodec.evaluation.results import Result, from_json
from featcodec.files import printable, read_file, write_atomic

ROOT = Path(__file__).parents[1]
INTRO = """\
# Benchmarks

<!-- written by benchmarks/make_docs.py from benchmarks/results/bench-*.json: change those, not this -->

What `featcodec-bench` measured: bytes of real files, decoded again from those bytes alone; accuracy of the
boxes found in what was decoded; and what attackers rebuild of the pictures. Intervals are 95 %, by
bootstrap over the pictures. An entry is compared with coding the features directly (`raw-*`,
`bottleneck-*`), which alone would be a weak anchor, and with sending the picture (`image-*`). What a
BD-rate is, and which points it takes, is in [evaluating.md](evaluating.md). Privacy is measured by
attack: the figures say what the attackers that were tried could rebuild, and are no proof.
**Faces were looked for on rebuilt pictures here; thieves that infer tell more people apart, from files of
every codec that was tried**: see [privacy.md](privacy.md)."""
EMPTY = "No run has been committed yet: a run's `--json` goes to `benchmarks/results/bench-NAME.json`."
MOST = 16 * 2**20  # bytes of a result


def results(folder: Path) -> list[tuple[str, Result]]:
    """The committed runs by name, in the order of their names."""
    paths = sorted(folder.glob("bench-*.json"))
    return [(p.stem, from_json(read_file(p, MOST).decode("utf-8", "replace"), str(p))) for p in paths]


def speed() -> dict[str, Any]:
    """The committed run of speed.py."""
    found: dict[str, Any] = json.loads((ROOT / "benchmarks/results/speed.json").read_text("utf-8"))
    return found


def document(runs: list[tuple[str, Result]]) -> str:
    """The text of docs/benchmarks.md."""
    return "\n\n".join([INTRO, *([_section(*run) for run in runs] or [EMPTY])]) + "\n"


def _section(name: str, result: Result) -> str:
    known = dict(facts(result))
    command = known.pop("Command")
    listed = "\n".join(f"- {n}: {escape(text)}" for n, text in known.items() if text)
    plots = [f"![{escape(p.title)}]({_plot(name, p.name)})\n\n{escape(p.caption)}" for p in panels(result)]
    made = f"    {printable(command)}\n\nFigures: [{name}.json](../benchmarks/results/{name}.json)"
    if set(aims.CODECS) <= {e.name for e in result.entries}:
        plots.insert(0, aims.to_markdown(result))
    heading = f"## {escape(result.data)}: {escape(result.network)}"
    return "\n\n".join([heading, made, listed, *plots, to_markdown(result)])


def _plot(name: str, panel: str) -> str:
    return f"benchmarks-{name.removeprefix('bench-')}-{panel}.png"


def main() -> None:
    runs = results(ROOT / "benchmarks/results")
    for name, result in runs:
        for panel in panels(result):
            write_atomic(ROOT / "docs" / _plot(name, panel.name), draw(result, [panel], "png"))
    write_atomic(ROOT / "docs/benchmarks.md", document(runs).encode())
    write_atomic(ROOT / "docs/speed.md", speed_page.to_markdown(speed()).encode())


if __name__ == "__main__":
    main()
