"""The whole attack: collect, train, rebuild, measure; for any number of targets.

An attacker that has not converged tells nothing: each is trained on a shorter budget, too, and the learning
curves of both are part of the report. The strongest attacker of a target and point counts.
"""

from __future__ import annotations

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
from featcodec.attacks.observations import OBSERVATIONS_VERSION, Observations, Seen, collect
from featcodec.attacks.outcomes import Outcome, mark_strongest, measure
from featcodec.attacks.targets import Target, as_observation, shoot, window
from featcodec.attacks.training import (
    TRAINING_VERSION,
    Recipe,
    Trained,
    train,
    training_key,
    with_crops_within,
)
from featcodec.attacks.verification import VERIFICATION_VERSION
from featcodec.attacks.whitebox import SEARCH_VERSION, Search, open_to_search, search
from featcodec.errors import InputError
from featcodec.evaluation.closeness import CLOSENESS_VERSION, check_packages
from featcodec.evaluation.kept import keep, key, recall
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Attacked, Learned, Origin
from featcodec.networks.torch_state import inference
from featcodec.pictures.loading import GREY
from featcodec.pictures.pixels import Pixels, pixels

__all__ = ["MEASURES", "Plan", "Report", "Verify", "attack", "rebuild", "train_attackers"]

REBUILDING_VERSION = 1  # raise it when the same attacker makes another picture of the same observation
MEASURES = {
    "closeness": CLOSENESS_VERSION,
    "observations": OBSERVATIONS_VERSION,
    "rebuilding": REBUILDING_VERSION,
    "search": SEARCH_VERSION,
    "training": TRAINING_VERSION,
    "verification": VERIFICATION_VERSION,
}  # versions of all code that a report depends on

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
        origins: code and machine of each kept piece: shards of observations, attackers, figures.
    """

    outcomes: tuple[Outcome, ...]
    curves: tuple[Learned, ...]
    origins: tuple[Origin, ...] = ()

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
    origins: list[Origin] = []
    for target in targets:
        learned_on = collect(target, training, work=work, training=True)
        every = _trained(target, learned_on, work=work, plan=plan)
        curves += [Learned(target.name, one.kind, one.recipe.steps, one.curve) for one in every]
        seen = collect(target, evaluation, work=work, training=False)
        origins += (*learned_on.origins, *seen.origins, *(o for one in every for o in one.origins))
        for point in target.points:
            outcomes += _Aim(target, seen, point, work, plan).outcomes(_full(every), verify)
    origins += [o for outcome in outcomes for o in outcome.origins]
    return Report(tuple(outcomes), tuple(curves), tuple(origins))


def train_attackers(
    target: Target, training: Sequence[Path], *, work: Path, plan: Plan
) -> tuple[tuple[Trained, ...], tuple[Learned, ...]]:
    """The network attackers of one target, at the full budget, and the learning curves of all budgets.

    Arguments and errors as `attack`; finished ones are read from the work folder.
    """
    seen = collect(target, training, work=work, training=True)
    every = _trained(target, seen, work=work, plan=plan)
    return _full(every), tuple(Learned(target.name, one.kind, one.recipe.steps, one.curve) for one in every)


def _full(every: Sequence[Trained]) -> tuple[Trained, ...]:
    """Of each kind of attacker the one of the greatest budget, which is the last."""
    return tuple({one.kind: one for one in every}.values())


def _trained(target: Target, seen: Observations, *, work: Path, plan: Plan) -> tuple[Trained, ...]:
    """The network attackers of one target at all budgets, shorter ones first."""
    every = []
    recipes: dict[Kind, Recipe] = {"invnet": plan.invnet, "unet": plan.unet}
    for kind in [k for k in KINDS if k in plan.attackers]:
        full = with_crops_within(recipes[kind], seen)
        short = [max(1, round(full.steps * plan.shorter))] if plan.shorter else []
        for steps in [*short, full.steps]:
            recipe = replace(full, steps=steps)
            name = f"{target.name}-{kind}-{steps}-{training_key(kind, seen, recipe)}.pt"
            every.append(train(kind, seen, recipe, checkpoint=work / "attackers" / name))
    return tuple(every)


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
class _FacesFound:
    """What a recognizer has found, percent."""

    accuracy: float
    tar: float
    origin: Origin


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
            faces = self._verified(verify, attackers[best.row.attacker])
            row = replace(best.row, face_accuracy=faces.accuracy, face_tar=faces.tar)
            found[found.index(best)] = replace(best, row=row, origins=(*best.origins, faces.origin))
        if "white-box" in self.plan.attackers and open_to_search(self.target):
            found.append(self._search(attackers[best.row.attacker] if best else None))
        return mark_strongest(found)

    def _verified(self, verify: Verify, one: Trained | None) -> _FacesFound:
        """What an earlier call has found, or the recognizer's answer."""
        versions = {"rebuilding": REBUILDING_VERSION}
        name = key(versions, faces=verify.identity, **self._facts(one))
        kept = self.work / "faces" / f"{self.target.name}-{self.point:g}-{name}.json"
        known = recall(_FacesFound, kept)
        if known is None:
            accuracy, tar = verify(lambda path: rebuild(self.target, one, path, point=self.point))
            known = keep(kept, _FacesFound(float(accuracy), float(tar), origin()))
        return known

    def _facts(self, one: Trained | None) -> dict[str, object]:
        """What all that comes of an attacker depends on; with none, the picture is what was decoded."""
        attacker = one.identity if one else "none"
        return {"seen": self.seen.identity, "point": self.point, "attacker": attacker}

    def _network(self, name: str, one: Trained | None) -> Outcome:
        budget = one.recipe.steps if one else 0
        return self._measured(name, budget, lambda s: _canvas(one, s.tensor, self.point), None, one)

    def _search(self, start: Trained | None) -> Outcome:
        options = self.plan.white_box

        def run(seen: Seen) -> Tensor:
            grey = torch.full(seen.picture.shape, GREY / 255)
            return search(
                self.target, seen, _canvas(start, seen.tensor, self.point) if start else grey, options
            )

        return self._measured("white-box", options.steps, run, options.pictures, start, options)

    def _measured(
        self,
        attacker: str,
        budget: int,
        run: Callable[[Seen], Tensor],
        most: int | None,
        one: Trained | None,
        options: Search | None = None,
    ) -> Outcome:
        versions = {"rebuilding": REBUILDING_VERSION, "closeness": CLOSENESS_VERSION}
        versions |= {"search": SEARCH_VERSION} if options else {}
        about = self._facts(one) | {"search": options, "pictures": self.plan.pictures}
        name = f"{self.target.name}-{self.point:g}-{attacker.replace(' ', '-')}-{key(versions, **about)}"
        return measure(
            self.seen,
            self.point,
            run,
            target=self.target.name,
            attacker=attacker,
            budget=budget,
            most=most,
            pictures=self.plan.pictures,
            kept=self.work / "outcomes" / f"{name}.safetensors",
        )
