"""The whole attack: collect, train, rebuild, measure; for any number of targets.

An attacker that has not converged tells nothing: each is trained on a shorter budget, too, and the learning
curves of both are part of the report. The strongest attacker of a target and point counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from featcodec.attacks import ATTACKERS
from featcodec.attacks.attackers import KINDS, Kind
from featcodec.attacks.measures import check_packages
from featcodec.attacks.observations import Observations, Seen, collect
from featcodec.attacks.outcomes import Outcome, Pixels, mark_strongest, measure, pixels
from featcodec.attacks.targets import Target, as_observation, shoot, window
from featcodec.attacks.training import Recipe, Trained, train, with_crops_within
from featcodec.attacks.whitebox import Search, open_to_search, search
from featcodec.errors import InputError
from featcodec.evaluation.results import Attacked, Learned
from featcodec.files import make_folder, write_atomic
from featcodec.networks.torch_state import inference
from featcodec.pictures.loading import GREY

__all__ = ["Plan", "Report", "Verify", "attack", "rebuild", "train_attackers"]

AS_DECODED = "as decoded"


class Verify(Protocol):
    """Recognises faces on what was rebuilt.

    Attributes:
        identity: text that changes with photographs, pairs and recognizer: what was found is kept by it.
    """

    @property
    def identity(self) -> str: ...

    def __call__(self, rebuilt: Callable[[Path], Pixels]) -> tuple[float, float]:
        """Accuracy and TAR at FAR 1 %, percent.

        Args:
            rebuilt: from a photograph to what was rebuilt of it, in the photograph's own size.
        """
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is tried, and for how long.

    Attributes:
        attackers: of `featcodec.attacks.ATTACKERS`. Where a target is decoded to a picture, that counts, too.
        invnet, unet: the two trainings.
        shorter: a training of so many of its steps, with a schedule of its own, goes with each; 0 for none.
        white_box: the optimisation.
        pictures: of how many evaluated photographs what was rebuilt is kept to be shown: the first.
    """

    attackers: tuple[str, ...] = ATTACKERS
    invnet: Recipe = Recipe(lr=1.5e-3)  # noqa: RUF009
    unet: Recipe = Recipe(lr=1e-3)  # noqa: RUF009
    shorter: float = 0.25
    white_box: Search = Search()  # noqa: RUF009
    pictures: int = 6


@dataclass(frozen=True, slots=True)
class Report:
    """What an attack found.

    Attributes:
        outcomes: of every target, point and attacker.
        curves: of every target, network attacker and budget.
    """

    outcomes: tuple[Outcome, ...]
    curves: tuple[Learned, ...]

    @property
    def rows(self) -> tuple[Attacked, ...]:
        """The outcomes as they are reported."""
        return tuple(outcome.row for outcome in self.outcomes)


def attack(
    targets: Sequence[Target],
    *,
    training: Sequence[Path],
    evaluation: Sequence[Path],
    work: Path,
    plan: Plan = Plan(),
    verify: Verify | None = None,
) -> Report:
    """Attacks each target; what an earlier call with the same arguments has finished is not done again.

    Args:
        targets: what the photographs cross.
        training: photographs that the attackers train on.
        evaluation: other photographs, that the figures are of.
        work: folder for collections, checkpoints and outcomes.
        plan: attackers and budgets.
        verify: recognises faces; it is asked about the strongest of the attackers that need no search for
            every photograph.

    Raises:
        InputError: an unknown attacker, or none; a photograph is in both sets, there are none to evaluate or
            too few to train on.
        CoderError: a coder of the bench failed.
        FitError: a training diverged.
        MissingExtraError: a package that measures is missing.
    """
    check_packages()
    both = {p.resolve() for p in training} & {p.resolve() for p in evaluation}
    if both:
        raise InputError(f"{min(both)}: got it to train on and to evaluate, expected other photographs")
    unknown = [name for name in plan.attackers if name not in ATTACKERS]
    if unknown or not plan.attackers:
        got = unknown[0] if unknown else "none"
        raise InputError(f"attackers: got {got!r}, expected some of {', '.join(ATTACKERS)}")
    if not evaluation:
        raise InputError("attack: got no photographs to evaluate, expected some")
    outcomes: list[Outcome] = []
    curves: list[Learned] = []
    for target in targets:
        trained, learned = train_attackers(target, training, work=work, plan=plan)
        curves += learned
        seen = collect(target, evaluation, work=work, training=False)
        for point in target.points:
            outcomes += _Aim(target, seen, point, work, plan).outcomes(trained, verify)
    return Report(tuple(outcomes), tuple(curves))


def train_attackers(
    target: Target, training: Sequence[Path], *, work: Path, plan: Plan
) -> tuple[tuple[Trained, ...], tuple[Learned, ...]]:
    """The network attackers of one target, at the full budget, and the learning curves of all budgets.

    Arguments and errors as `attack`; finished ones are read from the work folder.
    """
    seen = collect(target, training, work=work, training=True)
    trained, curves = [], []
    recipes: dict[Kind, Recipe] = {"invnet": plan.invnet, "unet": plan.unet}
    for kind in [k for k in KINDS if k in plan.attackers]:
        full = with_crops_within(recipes[kind], seen)
        short = [max(1, round(full.steps * plan.shorter))] if plan.shorter else []
        for steps in [*short, full.steps]:
            recipe = replace(full, steps=steps)
            name = f"{target.name}-{kind}-{steps}-{_digest(seen.identity, recipe)}.pt"
            one = train(kind, seen, recipe, checkpoint=work / "attackers" / name)
            curves.append(Learned(target.name, kind, steps, one.curve))
        trained.append(one)
    return tuple(trained), tuple(curves)


def rebuild(target: Target, attacker: Trained | None, image: Path, *, point: float) -> Pixels:
    """Sends a photograph through a target and an attacker.

    Args:
        target: what it crosses.
        attacker: trained on that target; None for the decoded picture as it is.
        image: the photograph.
        point: quality or quantization parameter.

    Returns:
        (H, W, 3) RGB, of the photograph's own size.

    Raises:
        InputError: no attacker for a target that is not decoded to a picture.
    """
    shot = shoot(target.network, image)
    tensor, _ = target.observe(shot, point)
    picture = Image.fromarray(pixels(_canvas(attacker, tensor, point)[window(shot.geometry)]))
    size = shot.geometry.width, shot.geometry.height
    return np.asarray(picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS))


def _canvas(attacker: Trained | None, tensor: Tensor, point: float) -> Tensor:
    """What was observed to a canvas (3, H, W) in [0, 1]."""
    if attacker is None:
        if tensor.dtype != torch.uint8:
            raise InputError(f"rebuild: got {tuple(tensor.shape)} features, expected an attacker for them")
        return tensor.float() / 255
    with inference():
        seen = as_observation(tensor)[None].contiguous(memory_format=torch.channels_last)
        rebuilt: Tensor = attacker.network(seen, torch.tensor([point]))[0]
    return rebuilt.clamp(0, 1)


@dataclass(frozen=True, slots=True)
class _Aim:
    """One point of one target, and what was seen of the evaluation there."""

    target: Target
    seen: Observations
    point: float
    work: Path
    plan: Plan

    def outcomes(self, trained: Sequence[Trained], verify: Verify | None) -> list[Outcome]:
        """Of all attackers: networks, the picture as it is decoded, the search from the best network's."""
        attackers: dict[str, Trained | None] = {one.kind: one for one in trained}
        if self.seen.picture:
            attackers[AS_DECODED] = None
        found = [self._network(name, one) for name, one in attackers.items()]
        best = max(found, key=lambda o: o.row.psnr, default=None)
        if verify and best:
            accuracy, tar = self._verified(verify, attackers[best.row.attacker])
            faces = replace(best, row=replace(best.row, face_accuracy=accuracy, face_tar=tar))
            found[found.index(best)] = faces
        if "white-box" in self.plan.attackers and open_to_search(self.target):
            found.append(self._search(attackers[best.row.attacker] if best else None))
        return mark_strongest(found)

    def _verified(self, verify: Verify, one: Trained | None) -> tuple[float, float]:
        """What an earlier call has found, or the recognizer's answer."""
        state = (one.kind, one.recipe, one.curve) if one else None
        key = _digest(verify.identity, self.seen.identity, state)
        kept = self.work / "faces" / f"{self.target.name}-{self.point:g}-{key}.json"
        if not kept.exists():
            found = verify(lambda path: rebuild(self.target, one, path, point=self.point))
            make_folder(str(kept.parent), parents=True)
            write_atomic(kept, json.dumps(found).encode())
        accuracy, tar = json.loads(kept.read_text())
        return accuracy, tar

    def _network(self, name: str, one: Trained | None) -> Outcome:
        state = (one.recipe, one.curve) if one else None
        budget = one.recipe.steps if one else 0
        return self._measured(name, budget, lambda s: _canvas(one, s.tensor, self.point), None, state)

    def _search(self, start: Trained | None) -> Outcome:
        options = self.plan.white_box

        def run(seen: Seen) -> Tensor:
            grey = torch.full(seen.picture.shape, GREY / 255)
            return search(
                self.target, seen, _canvas(start, seen.tensor, self.point) if start else grey, options
            )

        state = (start.kind, start.recipe, start.curve) if start else None
        return self._measured("white-box", options.steps, run, options.pictures, (state, options))

    def _measured(
        self, attacker: str, budget: int, run: Callable[[Seen], Tensor], most: int | None, state: object
    ) -> Outcome:
        name = f"{self.target.name}-{self.point:g}-{attacker.replace(' ', '-')}"
        key = _digest(self.seen.identity, state, self.plan.pictures)
        return measure(
            self.seen,
            self.point,
            run,
            target=self.target.name,
            attacker=attacker,
            budget=budget,
            most=most,
            pictures=self.plan.pictures,
            kept=self.work / "outcomes" / f"{name}-{key}.safetensors",
        )


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
