"""Whom a thief tells apart by inferring: portraits of others cross a target, and vectors are learned.

The pairs and their scores are those of `featcodec.attacks.faces`; in the place of the vector of a rebuilt
face stands the one that was inferred from the file. All vectors are taken about the mean of the thief's
portraits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featcodec.attacks.faces import Recognizer, Verification, told_apart
from featcodec.attacks.inference import INFERENCE_VERSION, Examples, Inferrer
from featcodec.attacks.observations import Observations, collect
from featcodec.attacks.portraits import Portraits
from featcodec.attacks.targets import Target, as_observation, at_point
from featcodec.errors import InputError
from featcodec.evaluation.kept import keep, key, recall
from featcodec.evaluation.means import mean
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Identified, Origin

__all__ = ["FaceThief", "about", "infer_identities", "mark_strongest_identity", "tell_apart", "to_row"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FaceThief:
    """What a thief that infers has beside the files: a recogniser, and portraits of people whom it knows.

    Attributes:
        recognizer: with the pairs that are to be told apart.
        portraits: of other people.
    """

    recognizer: Recognizer
    portraits: Portraits

    def examples(self, seen: Tensor, number: Sequence[int], mirror: Sequence[bool]) -> Examples:
        """What was seen of portraits (N, C, h, w), by number and whether in a mirror, with their vectors."""
        vectors = self.portraits.vectors[list(number), [int(one) for one in mirror]]
        people = tuple(self.portraits.people[i] for i in number)
        return Examples(seen, torch.from_numpy(about(vectors, self.portraits.mean)), people)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What one thief reached at one point of one target."""

    bytes: float
    settings: str
    found: Verification
    origin: Origin


def infer_identities(
    target: Target, thieves: Sequence[Inferrer], face_thief: FaceThief, *, work: Path
) -> tuple[list[Identified], list[Origin]]:
    """Lets each thief infer at each point of a target; what an earlier call has found is not found again.

    Args:
        target: what is attacked.
        thieves: those that infer.
        face_thief: recogniser, pairs and portraits.
        work: folder for what is kept.

    Returns:
        Rows, none marked as the strongest, and what they were made by.

    Raises:
        InputError: photographs of several sizes, too few people, or a target of several points that cannot be
            attacked at one of them.
    """
    faces = face_thief.recognizer.faces
    rows, origins = [], []
    for point in target.points:
        aim = at_point(target, point)
        learned_on = collect(aim, face_thief.portraits.paths, work=work, training=True)
        seen = collect(aim, faces.paths, work=work, training=False)
        size = mean([float(seen.bytes(i)) for i in range(len(seen))])
        files: Tensor | None = None
        examples: Examples | None = None
        for thief in thieves:
            kept = _file(aim, point, thief, face_thief, (learned_on, seen), work)
            known = recall(_Kept, kept)
            if known is None:
                if files is None or examples is None:
                    files, examples = _tensors(seen), _examples(learned_on, face_thief)
                settings, found = tell_apart(thief, examples, files, face_thief)
                known = keep(kept, _Kept(size, settings, found, origin()))
            rows.append(
                to_row(
                    known.found,
                    target.name,
                    point,
                    known.bytes,
                    attacker=thief.name,
                    way="infers",
                    portraits=len(face_thief.portraits.paths),
                    settings=known.settings,
                )
            )
            origins.append(known.origin)
        origins += [*learned_on.origins, *seen.origins]
    return rows, origins


def tell_apart(
    thief: Inferrer, examples: Examples, files: Tensor, face_thief: FaceThief
) -> tuple[str, Verification]:
    """What a thief chooses and reaches, of what was seen of the pairs' photographs (P, C, h, w)."""
    recognizer, centre = face_thief.recognizer, face_thief.portraits.mean
    learned = thief.learn(examples)
    inferred = about(learned(files).numpy(), np.zeros_like(centre))
    known = about(recognizer.known, centre)
    return learned.settings, told_apart(inferred, known, recognizer.faces, seed=recognizer.seed)


def about(vectors: Floats, centre: Floats) -> Floats:
    """Vectors (N, D) about a centre (D,), of length 1.

    Example:
        >>> about(np.array([[4.0, 5.0]], np.float32), np.array([1.0, 1.0], np.float32))
        array([[0.6, 0.8]], dtype=float32)
    """
    moved = vectors - centre
    scaled: Floats = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    return scaled


def to_row(
    found: Verification, target: str, point: float, size: float, *,
    attacker: str, way: Literal["rebuilds", "infers"], portraits: int = 0, settings: str = "",
) -> Identified:  # fmt: skip
    """A verification as it is reported."""
    photograph, file = found.against_photographs, found.among_rebuilt
    return Identified(
        target=target,
        point=point,
        bytes=size,
        attacker=attacker,
        way=way,
        portraits=portraits,
        settings=settings,
        photograph_accuracy=photograph.accuracy,
        photograph_interval=photograph.accuracy_interval,
        photograph_tar=photograph.tar,
        file_accuracy=file.accuracy,
        file_interval=file.accuracy_interval,
        file_tar=file.tar,
        strongest=False,
    )


def mark_strongest_identity(rows: Sequence[Identified]) -> list[Identified]:
    """The thief of each target and point marked that tells more pairs apart, in either way, than any other.

    They are put together by target and point, in the order in which those come.
    """
    out = []
    for where in dict.fromkeys((row.target, row.point) for row in rows):
        here = [row for row in rows if (row.target, row.point) == where]
        best = max(here, key=lambda row: row.accuracy)
        out += [replace(row, strongest=row is best) for row in here]
    return out


def _file(
    target: Target, point: float, thief: Inferrer, face_thief: FaceThief,
    seen: tuple[Observations, Observations], work: Path,
) -> Path:  # fmt: skip
    name = key(
        {"inference": INFERENCE_VERSION},
        thief=thief.identity,
        recognizer=face_thief.recognizer.identity,
        seed=face_thief.recognizer.seed,
        portraits=face_thief.portraits.identity,
        seen=tuple(one.identity for one in seen),
    )
    return work / "identities" / f"{target.name}-{point:g}-{thief.name.replace(' ', '-')}-{name}.json"


def _examples(seen: Observations, face_thief: FaceThief) -> Examples:
    every = range(len(seen))
    number, mirror = [seen.photograph(i) for i in every], [seen.mirror(i) for i in every]
    return face_thief.examples(_tensors(seen), number, mirror)


def _tensors(seen: Observations) -> Tensor:
    """All observations, (N, C, h, w)."""
    first = as_observation(seen.tensor(0))
    out = torch.empty(len(seen), *first.shape)
    for i in range(len(seen)):
        one = as_observation(seen.tensor(i))
        if one.shape != first.shape:
            got, expected = tuple(one.shape), tuple(first.shape)
            raise InputError(f"inference: got {got} and {expected}, expected photographs of one size")
        out[i] = one
    return out
