"""A thief's own portraits: photographs of people whom it knows, and a recogniser's vectors of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from featcodec.attacks.face_detector import FaceDetector
from featcodec.attacks.faces import Recognizer, align, photograph
from featcodec.attacks.observations import ours
from featcodec.console import Progress
from featcodec.errors import InputError
from featcodec.evaluation.kept import key, picture_key
from featcodec.files import list_pictures, make_folder, printable, write_atomic
from featcodec.pictures.people import person

__all__ = ["PORTRAITS_VERSION", "Portraits"]

PORTRAITS_VERSION = 1  # raise it when the same portraits give other vectors

_BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class Portraits:
    """Photographs of people, with a vector of each as it is and of each in a mirror; made by `read`.

    Attributes:
        paths: the P photographs on which a face was found, by name.
        vectors: (P, 2, D) of length 1: as it is, and in a mirror.
        identity: text that changes with photographs, recogniser or detector.
    """

    paths: tuple[Path, ...]
    vectors: NDArray[np.float32]
    identity: str

    @property
    def people(self) -> tuple[str, ...]:
        """Who is on each."""
        return tuple(person(path) for path in self.paths)

    @property
    def mean(self) -> NDArray[np.float32]:
        """(D,) mean of all vectors, those of mirrors included."""
        mean: NDArray[np.float32] = self.vectors.mean((0, 1))
        return mean

    @staticmethod
    def read(folder: str | Path, model: str | Path, recognizer: Recognizer, *, work: Path) -> Portraits:
        """Finds and embeds the face of every photograph of a folder, or reads what an earlier call has kept.

        Args:
            folder: of photographs, one person each, the same name but for a number for the same person.
            model: ONNX, as `FaceDetector` takes it.
            recognizer: whose vectors the thief learns to infer.
            work: folder for what is kept.

        Raises:
            InputError: no photographs, no faces on them, or one of somebody whom the recogniser's pairs
                have; a model cannot be read.
            CodecFileError, MissingExtraError: as `FaceDetector` and `Embedder`.
        """
        paths = [Path(p) for p, _ in list_pictures(str(folder))]
        _check_others(paths, recognizer)
        detector = FaceDetector(model)
        facts = {"photographs": tuple(map(picture_key, paths)), "detector": picture_key(Path(model))}
        identity = key({"portraits": PORTRAITS_VERSION}, recognizer=recognizer.identity, **facts)
        kept = work / "portraits" / f"{identity}.safetensors"
        if not kept.exists():
            make_folder(str(kept.parent), parents=True)
            write_atomic(kept, save(_embedded(paths, detector, recognizer)))
        with ours(kept):
            found = load_file(kept)
            number, vectors = found["number"], found["vectors"]
        if len(number) == 0:
            raise InputError("got no photograph with a face, expected portraits", path=printable(folder))
        return Portraits(tuple(paths[i] for i in number), vectors, identity)


def _check_others(paths: list[Path], recognizer: Recognizer) -> None:
    """Refuses people, by name, and photographs, by content, that are in the pairs."""
    known = {person(path) for path in recognizer.faces.paths}
    contents = {picture_key(path) for path in recognizer.faces.paths}
    for path in paths:
        if person(path) in known or picture_key(path) in contents:
            got = "got somebody to learn from who is in the verification pairs, too"
            raise InputError(f"{got}; expected portraits of other people", path=printable(path))


def _embedded(
    paths: list[Path], detector: FaceDetector, recognizer: Recognizer
) -> dict[str, NDArray[np.int64] | NDArray[np.float32]]:
    """Positions of the photographs on which a face was found, and the vectors of those faces."""
    number, faces = [], []
    with Progress(len(paths)) as progress:
        for i, path in enumerate(paths):
            progress.show(i, "portraits embedded")
            picture = photograph(path)
            landmarks = detector(picture)
            if landmarks is not None:
                number.append(i)
                faces.append(align(picture, landmarks))
    vectors = [
        np.stack([recognizer.embedder(part), recognizer.embedder(part[:, :, ::-1])], 1)
        for part in (np.stack(faces[i : i + _BATCH]) for i in range(0, len(faces), _BATCH))
    ]
    joined = np.concatenate(vectors) if vectors else np.zeros((0, 2, 1), np.float32)
    return {"number": np.array(number, np.int64), "vectors": joined}
