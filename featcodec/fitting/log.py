"""What a fit tells while it runs: a line on the terminal, a log, a plot, and TensorBoard's files."""

from __future__ import annotations

import io
import json
import time
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from featcodec.clocks import seconds
from featcodec.console import Progress
from featcodec.errors import FitError
from featcodec.evaluation.kept import unlike_ours
from featcodec.files import write_atomic
from featcodec.fitting.loop import Figures
from featcodec.fitting.run import Run

__all__ = ["FitLog"]

LINES = 400  # of the log, at most
PLOT_EVERY = 60.0  # seconds


class FitLog:
    """Takes the figures of each step.

    Args:
        folder: where ``log.jsonl``, ``run.png`` and ``tensorboard/`` go; None for the terminal alone.
        run: about to start, or to go on.

    ``log.jsonl`` has one line for every few steps, with their mean figures and the minutes that processors
    have worked for the fit so far: for this process, interrupted runs included.
    """

    def __init__(self, folder: Path | None, run: Run):
        steps = run.options.steps
        self.folder, self.steps, self.every = folder, steps, max(1, steps // LINES)
        self.plotted = time.monotonic()
        self.recent: list[Figures] = []
        self.rows = _rows(folder / "log.jsonl", run.step) if folder else []
        self.worked = seconds().cpu - 60 * (self.rows[-1].get("cpu_minutes", 0.0) if self.rows else 0.0)
        self.progress = Progress(steps, done=max(run.step, 0))
        self.board = _board(folder / "tensorboard", run.step) if folder else None

    def __enter__(self) -> FitLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.clear()
        if self.board:
            self.board.close()
        if error is None:
            self._plot()

    def __call__(self, run: Run, figures: Figures) -> None:
        self.progress.show(run.step, f"{figures}")
        self.recent.append(figures)
        if len(self.recent) >= self.every or run.step == self.steps:
            self._write(run.step)

    def _write(self, step: int) -> None:
        count = len(self.recent)
        columns = {name: [getattr(f, name) for f in self.recent] for name in asdict(self.recent[0])}
        row: dict[str, float] = {
            "step": step,
            **{name: round(sum(v) / count, 5) for name, v in columns.items()},
        }
        row["cpu_minutes"] = round((seconds().cpu - self.worked) / 60, 3)
        self.rows.append(row)
        self.recent = []
        if self.board:
            for name, value in row.items():
                self.board.add_scalar(name, value, step)
        if self.folder:
            lines = "".join(json.dumps(r) + "\n" for r in self.rows)
            write_atomic(self.folder / "log.jsonl", lines.encode())
        if time.monotonic() - self.plotted > PLOT_EVERY:
            self._plot()

    def _plot(self) -> None:
        self.plotted = time.monotonic()
        if self.folder and len(self.rows) > 1 and (picture := _plotted(self.rows)):
            write_atomic(self.folder / "run.png", picture)


def _rows(path: Path, step: int) -> list[dict[str, float]]:
    """The log of an interrupted run, up to where its checkpoint stands; FitError where it is not ours."""
    if step <= 0 or not path.exists():
        return []
    later = {"cpu_minutes", "inferred"}  # which earlier releases did not measure
    needed = {"step", *(f.name for f in fields(Figures))} - later
    names = needed | later
    rows: list[dict[str, float]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise unlike_ours(path, error, error=FitError) from error
        if not isinstance(row, dict) or not needed <= set(row) <= names:
            got = ", ".join(row) if isinstance(row, dict) else type(row).__name__
            expected = ", ".join(sorted(names))
            raise unlike_ours(path, f"got {got}, expected {expected}", error=FitError)
        rows.append(row)
    return [row for row in rows if row["step"] <= step]


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # it is optional
        return None
    return SummaryWriter(str(folder), purge_step=max(step, 0))


def _plotted(rows: list[dict[str, float]]) -> bytes | None:
    """Rate, distortion and the adversary's PSNR over the steps, as PNG."""
    try:
        from matplotlib.figure import Figure
    except ImportError:  # it is optional
        return None
    steps = [row["step"] for row in rows]
    curves = {
        "estimated bits per pixel": [row["bpp_y"] + row["bpp_z"] for row in rows],
        "distortion": [row["distortion"] for row in rows],
        "adversary, dB": [row["psnr"] for row in rows],
        "explained by a linear attacker": [row["explained"] for row in rows],
        "cosine of inferred vectors": [row.get("inferred", 0.0) for row in rows],
    }
    shown = {title: values for title, values in curves.items() if any(values)}
    figure = Figure(figsize=(4 * len(shown), 3), layout="constrained")
    for i, (title, values) in enumerate(shown.items()):
        axes = figure.add_subplot(1, len(shown), i + 1)
        axes.plot(steps, values, linewidth=1)
        axes.set(title=title, xlabel="step", yscale="linear" if title.endswith("dB") else "log")
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
