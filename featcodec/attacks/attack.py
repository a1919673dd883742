"""The whole attack: collect, train, rebuild, measure; for any number of targets.

An attacker that has not converged tells nothing: each is trained on a shorter budget, too, and the learning
curves of both are part of the report. The strongest attacker of a target and point counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from featcodec.attacks import BUILT_IN, INFERRING
from featcodec.attacks.attacker import Attacker, LearningCurve, Rebuilder, find_attackers
from featcodec.attacks.faces import Verification
from featcodec.attacks.identity import FaceThief, infer_identities, mark_strongest_identity, to_row
from featcodec.attacks.inference import INFERENCE_VERSION, Inferrer, find_inferrers
from featcodec.attacks.observations import OBSERVATIONS_VERSION, Observations, Seen, collect
from featcodec.attacks.outcomes import Outcome, mark_strongest, measure
from featcodec.attacks.portraits import PORTRAITS_VERSION
from featcodec.attacks.targets import Target, shoot, window
from featcodec.attacks.training import TRAINING_VERSION
from featcodec.attacks.verification import VERIFICATION_VERSION
from featcodec.attacks.whitebox import SEARCH_VERSION
from featcodec.errors import InputError
from featcodec.evaluation.closeness import CLOSENESS_VERSION, check_packages
from featcodec.evaluation.kept import keep, key, recall
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Attacked, Identified, Learned, Origin
from featcodec.pictures.pixels import Pixels, eight_bits, pixels, unit_floats

__all__ = ["MEASURES", "AsDecoded", "AttackPlan", "AttackReport", "Verify", "attack", "rebuild"]

REBUILDING_VERSION = 1  # raise it when the same attacker makes another picture of the same observation
MEASURES = {
    "closeness": CLOSENESS_VERSION,
    "inference": INFERENCE_VERSION,
    "observations": OBSERVATIONS_VERSION,
    "portraits": PORTRAITS_VERSION,
    "rebuilding": REBUILDING_VERSION,
    "search": SEARCH_VERSION,
    "training": TRAINING_VERSION,
    "verification": VERIFICATION_VERSION,
}  # versions of all code that a report depends on


class Verify(Protocol):
    """Recognises faces on what was rebuilt.

    Attributes:
        identity: text that changes with photographs, pairs and recognizer: what was found is kept by it.
    """

    @property
    def identity(self) -> str: ...

    def __call__(self, rebuilt: Callable[[Path], Pixels]) -> Verification:
        """Whom it tells apart.

        Args:
            rebuilt: from a photograph to what was rebuilt of it, in the photograph's own size.
        """
        ...


@dataclass(frozen=True, slots=True)
class AttackPlan:
    """What is tried.

    Attributes:
        attackers: the built-in ones by `featcodec.attacks.attacker.find_attackers`, and any of one's own.
            Where a target is decoded to a picture, that as it is counts, too. None of them for an attack that
            only infers.
        inferring: thieves that infer who somebody is, by `featcodec.attacks.inference.find_inferrers`, and
            any of one's own; they need an attack's `face_thief`.
        pictures: of how many evaluated photographs what was rebuilt is kept to be shown: the first.
    """

    attackers: tuple[Attacker, ...] = field(default_factory=lambda: find_attackers(tuple(BUILT_IN)))
    inferring: tuple[Inferrer, ...] = field(default_factory=lambda: find_inferrers(tuple(INFERRING)))
    pictures: int = 6


@dataclass(frozen=True, slots=True)
class AttackReport:
    """What an attack found.

    Attributes:
        outcomes: of every target, point and attacker.
        curves: of every target, network attacker and budget.
        origins: code and machine of each kept piece: shards of observations, attackers, figures.
        identified: whom thieves tell apart, of every target and point: the attacker that `verify` was asked
            about, and those that infer.
    """

    outcomes: tuple[Outcome, ...]
    curves: tuple[Learned, ...]
    origins: tuple[Origin, ...] = ()
    identified: tuple[Identified, ...] = ()

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
    plan: AttackPlan | None = None,
    verify: Verify | None = None,
    face_thief: FaceThief | None = None,
) -> AttackReport:
    """Attacks each target; what an earlier call with the same arguments has finished is not done again.

    Args:
        targets: what the photographs cross.
        training: photographs that the attackers train on.
        evaluation: other photographs, that the figures are of.
        work: folder for collections, checkpoints and outcomes.
        plan: attackers; the built-in ones unless given.
        verify: recognises faces; it is asked about the strongest of the attackers that need no search for
            every photograph.
        face_thief: what the thieves that infer learn from, and whom they are to tell apart; none of them
            without it.

    Raises:
        InputError: no attacker; a photograph is in both sets, there are none to evaluate or
            too few to train on; portraits of several sizes or of too few people.
        CoderError: a coder of the bench failed.
        FitError: a training diverged.
        MissingExtraError: a package that measures is missing.
    """
    check_packages()
    plan = plan or AttackPlan()
    both = {p.resolve() for p in training} & {p.resolve() for p in evaluation}
    if both:
        raise InputError(f"{min(both)}: got it to train on and to evaluate, expected other photographs")
    if not plan.attackers and not (plan.inferring and face_thief):
        raise InputError("attackers: got none, expected some")
    if plan.attackers and not evaluation:
        raise InputError("attack: got no photographs to evaluate, expected some")
    outcomes: list[Outcome] = []
    curves: list[Learned] = []
    origins: list[Origin] = []
    identified: list[Identified] = []
    for target in targets:
        if plan.attackers:
            found = _rebuilt(target, training, evaluation, work, plan, verify)
            outcomes, curves = [*outcomes, *found.outcomes], [*curves, *found.curves]
            origins += found.origins
            identified += found.identified
        if face_thief:
            rows, by = infer_identities(target, plan.inferring, face_thief, work=work)
            identified, origins = [*identified, *rows], [*origins, *by]
    return AttackReport(
        tuple(outcomes), tuple(curves), tuple(origins), tuple(mark_strongest_identity(identified))
    )


def _rebuilt(
    target: Target, training: Sequence[Path], evaluation: Sequence[Path], work: Path, plan: AttackPlan,
    verify: Verify | None,
) -> AttackReport:  # fmt: skip
    """What the attackers that rebuild reach of one target."""
    learned_on = collect(target, training, work=work, training=True)
    fitting = [one for one in (*plan.attackers, AsDecoded()) if one.fits(target, learned_on)]
    ready = [_Ready(one, one.prepare(target, learned_on, work=work)) for one in fitting]
    curves = [Learned(target.name, one.name, c.steps, c.readings) for one in ready for c in one.curves]
    seen = collect(target, evaluation, work=work, training=False)
    origins = [*learned_on.origins, *seen.origins, *(o for one in ready for o in one.how.origins)]
    outcomes = []
    for point in target.points:
        outcomes += _Aim(target, seen, point, work, plan.pictures).outcomes(ready, verify)
    origins += [o for outcome in outcomes for o in outcome.origins]
    identified = [
        to_row(o.faces, o.row.target, o.row.point, o.row.bytes, attacker=o.row.attacker, way="rebuilds")
        for o in outcomes
        if o.faces is not None
    ]
    return AttackReport(tuple(outcomes), tuple(curves), tuple(origins), tuple(identified))


@dataclass(frozen=True, slots=True)
class AsDecoded:
    """The decoded picture as it is, where a target has one: an `Attacker`, and its `Rebuilder`."""

    name: str = "as decoded"
    follows: bool = False
    pictures: int | None = None
    identity: str = "none"
    budget: int = 0
    curves: tuple[LearningCurve, ...] = ()
    origins: tuple[Origin, ...] = ()

    def fits(self, target: Target, seen: Observations) -> bool:  # noqa: ARG002
        return seen.picture

    def prepare(self, target: Target, seen: Observations, *, work: Path) -> AsDecoded:  # noqa: ARG002
        return self

    def rebuild(self, seen: Seen, start: Tensor | None) -> Tensor:  # noqa: ARG002
        if seen.tensor.dtype != torch.uint8:
            raise InputError(f"rebuild: got {tuple(seen.tensor.shape)} features, expected a picture")
        return unit_floats(seen.tensor)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An attacker of one target, and what it has learned."""

    who: Attacker
    how: Rebuilder

    @property
    def name(self) -> str:
        return self.who.name

    @property
    def curves(self) -> Sequence[LearningCurve]:
        return self.how.curves


def rebuild(target: Target, rebuilder: Rebuilder, image: Path, *, point: float) -> Pixels:
    """Sends a photograph through a target and an attacker.

    Args:
        target: what it crosses.
        rebuilder: prepared for that target.
        image: the photograph.
        point: quality or quantization parameter.

    Returns:
        (H, W, 3) RGB, of the photograph's own size.
    """
    shot = shoot(target.network, image)
    tensor, size = target.observe(shot, point)
    seen = Seen(image, point, size, shot.geometry, tensor, eight_bits(shot.x[0]))
    picture = Image.fromarray(pixels(rebuilder.rebuild(seen, None)[window(shot.geometry)]))
    sides = shot.geometry.width, shot.geometry.height
    return np.asarray(picture if picture.size == sides else picture.resize(sides, Image.Resampling.LANCZOS))


@dataclass(frozen=True, slots=True)
class _FacesFound:
    """What a recognizer has found."""

    found: Verification
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Aim:
    """One point of one target, and what was seen of the evaluation there."""

    target: Target
    seen: Observations
    point: float
    work: Path
    pictures: int

    def outcomes(self, ready: Sequence[_Ready], verify: Verify | None) -> list[Outcome]:
        """Of all attackers; those that follow go on from what the best of the others has rebuilt."""
        first = {one.name: one for one in ready if not one.who.follows}
        found = [self._measured(one, None) for one in first.values()]
        best = max(found, key=lambda o: o.row.psnr, default=None)
        if verify and best:
            faces = self._verified(verify, first[best.row.attacker].how)
            told = faces.found
            row = replace(best.row, face_accuracy=told.face_accuracy, face_tar=told.face_tar)
            verified = replace(best, row=row, origins=(*best.origins, faces.origin), faces=told)
            found[found.index(best)] = verified
        start = first[best.row.attacker].how if best else None
        found += [self._measured(one, start) for one in ready if one.who.follows]
        return mark_strongest(found)

    def _verified(self, verify: Verify, how: Rebuilder) -> _FacesFound:
        """What an earlier call has found, or the recognizer's answer."""
        versions = {"rebuilding": REBUILDING_VERSION}
        name = key(versions, faces=verify.identity, **self._facts(how))
        kept = self.work / "faces" / f"{self.target.name}-{self.point:g}-{name}.json"
        known = recall(_FacesFound, kept)
        if known is None:
            told = verify(lambda path: rebuild(self.target, how, path, point=self.point))
            known = keep(kept, _FacesFound(told, origin()))
        return known

    def _facts(self, how: Rebuilder) -> dict[str, object]:
        """What all that comes of an attacker depends on."""
        return {"seen": self.seen.identity, "point": self.point, "attacker": how.identity}

    def _measured(self, one: _Ready, start: Rebuilder | None) -> Outcome:
        """What one attacker reaches, from what another one has rebuilt."""

        def run(seen: Seen) -> Tensor:
            return one.how.rebuild(seen, None if start is None else start.rebuild(seen, None))

        versions = {"rebuilding": REBUILDING_VERSION, "closeness": CLOSENESS_VERSION}
        about = self._facts(one.how) | {
            "start": None if start is None else start.identity,
            "pictures": self.pictures,
            "most": one.who.pictures,
        }
        name = f"{self.target.name}-{self.point:g}-{one.name.replace(' ', '-')}-{key(versions, **about)}"
        return measure(
            self.seen,
            self.point,
            run,
            target=self.target.name,
            attacker=one.name,
            budget=one.how.budget,
            most=one.who.pictures,
            pictures=self.pictures,
            kept=self.work / "outcomes" / f"{name}.safetensors",
        )
