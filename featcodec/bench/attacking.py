"""The privacy part of a run: what attackers rebuild of the pictures that crossed each codec.

Beside the codecs the same attackers are run against what they are compared with: the features as they are,
and the picture sent by image-vvc at points whose bytes are about the codecs'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from featcodec.attacks.attack import AttackPlan, AttackReport, attack
from featcodec.attacks.attacker import Attacker, find_attackers
from featcodec.attacks.faces import Recognizer, photograph
from featcodec.attacks.identity import FaceThief
from featcodec.attacks.inference import find_inferrers, split_names
from featcodec.attacks.outcomes import Outcome
from featcodec.attacks.portraits import Portraits
from featcodec.attacks.targets import CodecTarget, CoderTarget, RawTarget, Target
from featcodec.bench.assemble import ScoredRun, deltas_of
from featcodec.bench.bd import METHODS
from featcodec.bench.curves import Curve
from featcodec.bench.subject import Subject
from featcodec.evaluation.bootstrap import resampled_mean
from featcodec.evaluation.coders import Coder
from featcodec.evaluation.datasets import spread
from featcodec.evaluation.results import BD, Reference
from featcodec.files import list_pictures

__all__ = ["Attacking", "Privacy", "attack_deltas", "run_attacks"]

PICTURE = "image-vvc"  # the picture sent, to compare with


@dataclass(frozen=True, slots=True)
class Attacking:
    """What to attack, and how.

    Attributes:
        training: folders of photographs that the attackers train on, none of which is evaluated.
        qualities: of the codecs; a curve of accuracy against privacy takes three at least.
        effort: of the codecs' encoders, 0 to 3.
        picture_points: of image-vvc.
        attackers: names of `featcodec.attacks.ATTACKERS`, and attackers of one's own that rebuild.
        photographs: to train on, at most; spread over the folders.
        steps: of each training; 0 for the default.
        seed: of the trainings.
        codecs_only: leaves out what they are compared with, the uncoded features and the picture.
        faces, face_model: folder of verification pairs, and the network that recognises; both or none.
        portraits, face_detector: folder of other people's portraits, for the thieves that infer, and the
            network that finds their landmarks; both or none, and none without `faces`.
    """

    training: tuple[Path, ...]
    qualities: tuple[float, ...]
    effort: int
    picture_points: tuple[float, ...]
    attackers: tuple[str | Attacker, ...]
    photographs: int
    steps: int
    seed: int
    codecs_only: bool
    faces: Path | None
    face_model: Path | None
    portraits: Path | None = None
    face_detector: Path | None = None


@dataclass(frozen=True, slots=True)
class Privacy:
    """What the attacks found.

    Attributes:
        report: of all targets.
        reference: what its figures are read against.
    """

    report: AttackReport
    reference: Reference


def run_attacks(
    wanted: Attacking, subject: Subject, coders: Sequence[Coder], evaluation: Sequence[Path], work: Path
) -> Privacy:
    """Attacks the codecs; if wanted also the features as they are, and the picture where image-vvc is there.

    Raises:
        FeatcodecError: as `featcodec.attacks.attack.attack`; what was finished is kept.
    """
    targets: list[Target] = [CodecTarget(codec, wanted.qualities, wanted.effort) for codec in subject.codecs]
    if not wanted.codecs_only:
        targets.append(RawTarget(subject.network))
        targets += [
            CoderTarget(coder, subject.network, wanted.picture_points)
            for coder in coders
            if coder.name == PICTURE
        ]
    training = [Path(p) for folder in wanted.training for p, _ in list_pictures(folder, recursive=True)]
    training = spread(training, wanted.photographs)
    recognizer, face_thief, faces = None, None, Reference()
    if wanted.faces is not None and wanted.face_model is not None:
        recognizer = Recognizer.of(wanted.faces, wanted.face_model, seed=wanted.seed)
        found = recognizer(photograph)
        faces = Reference(face_accuracy=found.face_accuracy, face_tar=found.face_tar)
        if wanted.portraits is not None and wanted.face_detector is not None:
            portraits = Portraits.read(
                wanted.portraits, wanted.face_detector, recognizer, work=work / "attacks"
            )
            face_thief = FaceThief(recognizer, portraits)
    names = [one for one in wanted.attackers if isinstance(one, str)]
    built_in, inferring = split_names(names)
    attackers = find_attackers(built_in, steps=wanted.steps or None, seed=wanted.seed)
    own = tuple(one for one in wanted.attackers if not isinstance(one, str))
    report = attack(
        targets,
        training=training,
        evaluation=evaluation,
        work=work / "attacks",
        plan=AttackPlan((*attackers, *own), find_inferrers(inferring, seed=wanted.seed)),
        verify=recognizer,
        face_thief=face_thief,
    )
    blind = report.outcomes[0].blind if report.outcomes else None
    return Privacy(report, replace(faces, blind_psnr=blind))


def attack_deltas(report: AttackReport, measured: ScoredRun) -> tuple[BD, ...]:
    """BD-PSNR of the strongest attack at equal mAP, of every target against those that follow it.

    Attackers that were measured on some of the pictures only, as the search is, do not take part: their mean
    is of other pictures.
    """
    best: dict[tuple[str, float], Outcome] = {}
    for o in report.outcomes:
        step = o.row.target, o.row.point
        whole = step in measured.scores and len(o.psnr) == len(measured.data.pictures)
        if whole and (step not in best or o.row.psnr > best[step].row.psnr):
            best[step] = o
    curves = {
        target: _curve([o for (name, _), o in best.items() if name == target], measured)
        for target in dict.fromkeys(name for name, _ in best)
    }
    names = list(curves)
    out: list[BD] = []
    for i, test in enumerate(names):
        for anchor in names[i + 1 :]:
            for method in METHODS:
                out += deltas_of(curves[test], curves[anchor], "attack-psnr", method)
    return tuple(out)


def _curve(outcomes: Sequence[Outcome], measured: ScoredRun) -> Curve:
    scores = [measured.scores[o.row.target, o.row.point] for o in outcomes]
    return Curve(
        outcomes[0].row.target,
        tuple(f"{o.row.point:g}" for o in outcomes),
        np.array([o.row.psnr for o in outcomes]),
        np.array([s.accuracy.value for s in scores]),
        np.stack([resampled_mean(np.array(o.psnr), measured.draws) for o in outcomes], 1),
        np.stack([s.accuracy.resampled for s in scores], 1),
        measured.metric.name,
    )
