"""The attackers that are networks, trained from scratch on what a thief has collected.

An attacker that has not converged tells nothing: each is trained on a shorter budget, too, with a schedule of
its own, and the learning curves of both are part of a report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from featcodec.attacks.attacker import LearningCurve
from featcodec.attacks.attacker_networks import Kind, round_weights
from featcodec.attacks.observations import Observations, Seen
from featcodec.attacks.targets import Target, as_observation
from featcodec.attacks.training import Recipe, Trained, steps_within, train, training_key, with_crops_within
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Origin
from featcodec.networks.torch_state import inference

__all__ = ["NetworkAttacker", "TrainedRebuilder", "invnet", "unet", "unet_36"]


def invnet(*, steps: int | None, seed: int) -> NetworkAttacker:
    """The network's head, mirrored, as in the seed papers."""
    return NetworkAttacker("invnet", _asked(Recipe(lr=1.5e-3), steps, seed))


def unet(*, steps: int | None, seed: int) -> NetworkAttacker:
    """A residual U-Net, which sees the whole picture at coarser scales, too."""
    return NetworkAttacker("unet", _asked(Recipe(lr=1e-3), steps, seed))


def unet_36(*, steps: int | None, seed: int) -> NetworkAttacker:
    """The residual U-Net at a little more than a quarter of its width: what a thief file holds.

    For 128 latents at stride 16 it has 363,360 weights, a twelfth of those of `unet`.
    """
    return NetworkAttacker("unet", _asked(Recipe(lr=4e-3), steps, seed), width=36)


def _asked(recipe: Recipe, steps: int | None, seed: int) -> Recipe:
    return replace(recipe, seed=seed, steps=steps or recipe.steps)


@dataclass(frozen=True, slots=True)
class TrainedRebuilder:
    """Trained networks of one kind: a `featcodec.attacks.attacker.Rebuilder`.

    Attributes:
        every: at all budgets, shorter ones first; the last one rebuilds.
    """

    every: tuple[Trained, ...]

    @property
    def best(self) -> Trained:
        """The one of the greatest budget."""
        return self.every[-1]

    @property
    def identity(self) -> str:
        return self.best.identity

    @property
    def budget(self) -> int:
        return self.best.recipe.steps

    @property
    def curves(self) -> tuple[LearningCurve, ...]:
        return tuple(LearningCurve(one.recipe.steps, one.curve) for one in self.every)

    @property
    def origins(self) -> tuple[Origin, ...]:
        return tuple(o for one in self.every for o in one.origins)

    def rebuild(self, seen: Seen, start: Tensor | None) -> Tensor:  # noqa: ARG002
        with inference():
            observed = as_observation(seen.tensor)[None].contiguous(memory_format=torch.channels_last)
            rebuilt: Tensor = self.best.network(observed, torch.tensor([seen.point]))[0]
        return rebuilt.clamp(0, 1)


@dataclass(frozen=True, slots=True)
class NetworkAttacker:
    """A network to be trained: a `featcodec.attacks.attacker.Attacker`.

    Attributes:
        kind: ``"invnet"`` or ``"unet"``.
        recipe: of its training.
        shorter: a training of so many of its steps goes with it; 0 for none.
        width: of the network, if not that of its kind. Its weights are then rounded to half precision, as a
            thief file holds them, so that all figures are those of the file.
    """

    kind: Kind
    recipe: Recipe
    shorter: float = 0.25
    follows: bool = False
    pictures: int | None = None
    width: int | None = None

    @property
    def name(self) -> str:
        """The kind, with the width where that is another."""
        return self.kind if self.width is None else f"{self.kind}-{self.width}"

    def fits(self, target: Target, seen: Observations) -> bool:  # noqa: ARG002
        return True

    def prepare(self, target: Target, seen: Observations, *, work: Path) -> TrainedRebuilder:
        full = with_crops_within(self.recipe, seen)
        short = [max(1, round(full.steps * self.shorter))] if self.shorter else []
        every = []
        for steps in [*short, full.steps]:
            recipe = replace(full, steps=steps)
            key = training_key(self.kind, seen, recipe, width=self.width)
            checkpoint = work / "attackers" / f"{target.name}-{self.name}-{steps}-{key}.pt"
            every.append(train(self.kind, seen, recipe, checkpoint=checkpoint, width=self.width))
        if self.width is not None:
            round_weights(every[-1].network)
        return TrainedRebuilder(tuple(every))

    def within(self, minutes: float, seen: Observations, *, kept: Path) -> tuple[NetworkAttacker, str]:
        recipe = with_crops_within(self.recipe, seen)
        budget = steps_within(minutes, self.kind, seen, recipe, kept=kept, width=self.width)
        machine = budget.origin.machine
        elsewhere = f"{minutes:g} minutes of {self.name} are {budget.steps:,} steps, as on {machine}."
        asked = replace(self, recipe=replace(self.recipe, steps=budget.steps))
        return asked, "" if machine == origin().machine else elsewhere
