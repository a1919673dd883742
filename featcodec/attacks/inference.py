"""Thieves that infer: from what crossed a target straight to who is on it, without any picture between.

    portraits of others ─▶ target ─▶ latents ─┐
                                              ├─ learn ─▶ latents to vector
    the same portraits ─▶ face recogniser ────┘

An `Inferrer` learns from a thief's own portraits what vector a recogniser would give for the photograph
behind a file. Vectors of two files, or of a file and a known photograph, then say whether they show one
person. What there is to be chosen is chosen on people held out of the portraits, never on those who are to be
recognised.
`featcodec.attacks.INFERRING` lists the built-in ones; a user's own goes into the plan of an attack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from featcodec.attacks import ATTACKERS, BUILT_IN, INFERRING, NARROW
from featcodec.attacks.attacker import make_listed
from featcodec.errors import InputError

__all__ = [
    "INFERENCE_VERSION",
    "Examples",
    "Inference",
    "Inferrer",
    "find_inferrers",
    "likeness",
    "split_names",
]

# raise it when a thief that infers learns something else from the same examples
INFERENCE_VERSION = 1

HOLD_OUT = 5  # one person of so many
LEAST_PEOPLE = 10


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """What a thief that infers learns from.

    Attributes:
        seen: (N, C, h, w) what crossed the target, as `featcodec.attacks.targets.as_observation` has it.
        vectors: (N, D) the recogniser's of the photographs, about the mean of all, then of length 1.
        people: N names; examples of one name are held out together.
    """

    seen: Tensor
    vectors: Tensor
    people: tuple[str, ...]

    def divided(self) -> tuple[Examples, Examples]:
        """Those to learn from, and those of every fifth person, held out to choose by.

        Raises:
            InputError: fewer than ten people.

        Example:
            >>> names = tuple("abcdefghij")
            >>> learned, held = Examples(torch.zeros(10, 1, 1, 1), torch.zeros(10, 2), names).divided()
            >>> held.people
            ('a', 'f')
        """
        people = sorted(set(self.people))
        if len(people) < LEAST_PEOPLE:
            got = f"portraits of {len(people)} people"
            raise InputError(f"inference: got {got} to learn from, expected at least {LEAST_PEOPLE}")
        out = set(people[::HOLD_OUT])
        held = [i for i, person in enumerate(self.people) if person in out]
        learned = [i for i, person in enumerate(self.people) if person not in out]
        return self._of(learned), self._of(held)

    def _of(self, which: Sequence[int]) -> Examples:
        return Examples(self.seen[which], self.vectors[which], tuple(self.people[i] for i in which))


class Inference(Protocol):
    """What a thief has learned.

    Attributes:
        settings: what it has chosen, in words.
    """

    @property
    def settings(self) -> str: ...

    def __call__(self, seen: Tensor) -> Tensor:
        """Vectors (N, D), of any length, of what crossed the target (N, C, h, w)."""
        ...


class Inferrer(Protocol):
    """A way to infer a face's vector from what crossed a target.

    Attributes:
        name: as in tables.
        identity: text that changes whenever it could learn something else: figures are kept by it.
    """

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> str: ...

    def learn(self, examples: Examples) -> Inference:
        """Learns.

        Raises:
            InputError: too few people.
        """
        ...


def likeness(inferred: Tensor, vectors: Tensor) -> float:
    """Mean cosine of vectors (N, D) with those that they should be (N, D), which are of length 1.

    Example:
        >>> likeness(torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        0.5
    """
    return float((torch.nn.functional.normalize(inferred) * vectors).sum(1).mean())


def split_names(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of attackers that rebuild, and of those that infer.

    Raises:
        InputError: there is no such attacker.

    Example:
        >>> split_names(["ridge", "invnet"])
        (('invnet',), ('ridge',))
    """
    for name in names:
        if name not in (*ATTACKERS, *NARROW):
            raise InputError(f"attackers: got {name!r}, expected some of {', '.join((*NARROW, *ATTACKERS))}")
    rebuild = tuple(name for name in names if name in BUILT_IN | NARROW)
    return rebuild, tuple(name for name in names if name in INFERRING)


def find_inferrers(names: Sequence[str], *, seed: int = 1) -> tuple[Inferrer, ...]:
    """Built-in thieves that infer, by their names.

    Args:
        names: of `featcodec.attacks.INFERRING`.
        seed: of what is drawn at random.

    Raises:
        InputError: no such thief.

    Example:
        >>> [thief.name for thief in find_inferrers(["ridge", "kernel-ridge"])]
        ['ridge', 'kernel-ridge']
    """
    return tuple(make_listed(INFERRING, names, seed=seed))
