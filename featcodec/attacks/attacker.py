"""What an attacker is: something that learns from observations of one target, and then rebuilds pictures.

A user's own is given to `featcodec.attacks.attack.attack` in its plan, beside the built-in ones, which are
written the same way; `featcodec.attacks.BUILT_IN` lists those.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from featcodec.attacks import BUILT_IN, NARROW
from featcodec.attacks.observations import Observations, Seen
from featcodec.attacks.targets import Target
from featcodec.errors import InputError
from featcodec.evaluation.results import Origin

__all__ = ["Attacker", "BuiltIn", "LearningCurve", "Rebuilder", "find_attackers", "make_listed"]


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """How a training went: where it still rises at the end, a longer attack would rebuild more.

    Attributes:
        steps: the budget.
        readings: (step, PSNR in dB on observations that were held out), rising steps.
    """

    steps: int
    readings: tuple[tuple[int, float], ...]


class Rebuilder(Protocol):
    """An attacker that has learned all it will of one target.

    Attributes:
        identity: text that changes whenever it could rebuild something else: figures are kept by it.
        budget: training steps, or steps of a search for each picture.
        curves: of its trainings, shorter ones first; empty if there was none.
        origins: code and machine of each process that trained it.
    """

    @property
    def identity(self) -> str: ...
    @property
    def budget(self) -> int: ...
    @property
    def curves(self) -> Sequence[LearningCurve]: ...
    @property
    def origins(self) -> Sequence[Origin]: ...

    def rebuild(self, seen: Seen, start: Tensor | None) -> Tensor:
        """A canvas (3, H, W) in [0, 1] of one observation.

        Args:
            seen: what the thief has; its `picture` is the truth, and not to be looked at.
            start: what the best of the other attackers made of it; None unless the attacker `follows`.
        """
        ...


class Attacker(Protocol):
    """A way to rebuild pictures from what crossed a target.

    Attributes:
        name: as in tables.
        follows: whether it goes on from what the best of the attackers that do not has rebuilt.
        pictures: how many of the evaluated photographs it attacks, the first; None for all.
    """

    @property
    def name(self) -> str: ...
    @property
    def follows(self) -> bool: ...
    @property
    def pictures(self) -> int | None: ...

    def fits(self, target: Target, seen: Observations) -> bool:
        """Whether it can attack this target."""
        ...

    def prepare(self, target: Target, seen: Observations, *, work: Path) -> Rebuilder:
        """Learns from what a thief has collected; goes on where an earlier call was interrupted.

        Args:
            target: what is attacked.
            seen: photographs of the thief's own that crossed it.
            work: folder for what is to be kept.

        Raises:
            InputError: too few photographs.
            FitError: a training diverged.
        """
        ...


class BuiltIn(Attacker, Protocol):
    """An attacker of this package, which can be told how long to work."""

    def within(self, minutes: float, seen: Observations, *, kept: Path) -> tuple[BuiltIn, str]:
        """The same with as many steps as it does in so many minutes, and what is to be said of that, if
        anything; an attacker without a training stays as it is."""
        ...


def find_attackers(names: Sequence[str], *, steps: int | None = None, seed: int = 1) -> tuple[BuiltIn, ...]:
    """Built-in attackers by their names.

    Args:
        names: of `featcodec.attacks.BUILT_IN` and `NARROW`.
        steps: of each training; its own unless given.
        seed: of weights and crops.

    Raises:
        InputError: no such attacker.

    Example:
        >>> [attacker.name for attacker in find_attackers(["unet", "white-box"], steps=100)]
        ['unet', 'white-box']
    """
    return tuple(make_listed(BUILT_IN | NARROW, names, steps=steps, seed=seed))


def make_listed(table: Mapping[str, str], names: Sequence[str], **settings: Any) -> list[Any]:
    """What a list of `featcodec.attacks` has under names, each once, made with settings.

    Raises:
        InputError: it has no such name.
    """
    found = []
    for name in dict.fromkeys(names):
        if name not in table:
            raise InputError(f"attackers: got {name!r}, expected some of {', '.join(table)}")
        module, _, make = table[name].partition(":")
        found.append(getattr(importlib.import_module(module), make)(**settings))
    return found
