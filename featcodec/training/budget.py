"""How many steps a training has, where minutes were asked for: measured once, and then kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from featcodec.evaluation.kept import keep, recall
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Origin

__all__ = ["Budget", "kept_budget"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How many steps a training has.

    Attributes:
        steps: of the optimizer.
        origin: code and machine that the time of a step was measured on.
    """

    steps: int
    origin: Origin


def kept_budget(path: Path | None, measured: Callable[[], int], *, write: bool = True) -> Budget:
    """What is kept: a training that goes on, elsewhere perhaps, has to go on with the same budget.

    Args:
        path: of the file, whose name holds the key; None keeps nothing.
        measured: how many steps it is to be; asked where nothing is kept.
        write: False in all processes of a training but one.

    Raises:
        InputError: another version has kept it.
    """
    known = recall(Budget, path) if path else None
    if known is None:
        known = Budget(measured(), origin())
        known = keep(path, known) if path and write else known
    return known
