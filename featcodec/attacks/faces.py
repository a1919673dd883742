"""Whom a thief recognizes: face verification of the pictures that an attacker rebuilt.

    photograph ─▶ codec, attacker ─▶ rebuilt ─┐
                                              ├─ align ─▶ 112 x 112 ─▶ MobileFaceNet ─▶ cosine similarity
    known photograph ─────────────────────────┘

A verification pair is two photographs of one person or of two. Of the 600 pairs of LFW's first fold
MobileFaceNet tells 98.5 % right by the protocol, 99.2 % by the threshold that is best on those very pairs;
of pictures that give nobody away, half.

The thief is given the landmarks of the undisturbed photographs: failing to find a face in what was rebuilt
would otherwise pass for privacy. The recognizer is used as it is, not trained on rebuilt faces.

Sources: Huang et al. 2007, Labeled Faces in the Wild (the pairs and the protocol); Deng et al. 2019, ArcFace
(arXiv:1801.07698; the template); Chen et al. 2018, MobileFaceNets (arXiv:1804.07573).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featcodec.attacks.face_pairs import Faces
from featcodec.attacks.verification import VERIFICATION_VERSION, Score, score
from featcodec.console import Progress
from featcodec.errors import CodecFileError, InputError
from featcodec.evaluation.kept import key
from featcodec.files import printable
from featcodec.networks.vector_model import VectorModel
from featcodec.pictures.loading import open_picture, upright_size

__all__ = [
    "Embedder",
    "Faces",
    "Recognizer",
    "Score",
    "Verification",
    "align",
    "embed",
    "photograph",
    "score",
    "similarity",
    "told_apart",
    "verify",
]

SIDE = 112  # of an aligned face, px

# x, y in an aligned face, pixel centres at integers. Source: insightface, common/face_align.py (arcface_dst)
_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_BATCH = 32


# ---- from a picture to a place among the faces


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[complex, complex]:
    """The rotation, scale and shift that bring points closest to others, in the sense of least squares.

    In the plane, with points as complex numbers x + iy, rotation and scale are one complex factor, and the
    general solution becomes the regression of the centred points.

    Args:
        source: (N, 2) x, y; not all the same.
        target: (N, 2) x, y.

    Returns:
        a and t of ``target = a source + t``: \\|a\\| is the scale, its argument the rotation.

    Source: Umeyama 1991, Least-squares estimation of transformation parameters between two point patterns,
    eq. 40 to 42.

    Example:
        >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        >>> similarity(square, 2 * square + [3.0, 4.0])
        ((2+0j), (3+4j))
    """
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    centred = z - z.mean()
    a = np.vdot(centred, w - w.mean()) / np.vdot(centred, centred).real
    return complex(a), complex(w.mean() - a * z.mean())


def align(picture: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The face of a picture, upright, in the middle and of one size, as face recognizers want it.

    Args:
        picture: (H, W, 3).
        landmarks: (5, 2) x, y in pixels, whose centres are at integers.

    Returns:
        (112, 112, 3), bilinear interpolation, black where it reaches beyond the picture.

    Source: Deng et al. 2019 (arXiv:1801.07698), section 3.1.

    Example:
        >>> align(np.full((250, 250, 3), 7, np.uint8), _TEMPLATE + 70)[56, 56]
        array([7, 7, 7], dtype=uint8)
    """
    a, t = similarity(landmarks, _TEMPLATE)
    factor = 1 / a  # Pillow asks where a pixel of the result comes from,
    centre = 0.5 + 0.5j  # and has the centres of pixels at halves
    shift = centre - factor * (centre + t)
    coefficients = (factor.real, -factor.imag, shift.real, factor.imag, factor.real, shift.imag)
    face = Image.fromarray(picture).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(face)


class Embedder:
    """A face recognizer: aligned faces to vectors that are close for one person.

    Args:
        path: an ONNX model such as MobileFaceNet: (N, 3, 112, 112) float32, RGB in the order of the planes,
            ImageNet normalization, to (N, D).
        threads: of the CPU.

    Raises:
        InputError: the file cannot be read.
        CodecFileError: it holds no such model.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int = 1):
        self._model = VectorModel(path, threads=threads)
        if self._model.side != SIDE or self._model.ranks != 2:
            raise CodecFileError(
                f"got {self._model.shapes}, expected [['N', 3, 112, 112]] to [['N', D]]", path=printable(path)
            )

    def __call__(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds aligned faces.

        Args:
            faces: (N, 112, 112, 3).

        Returns:
            (N, D) of length 1.

        Raises:
            CodecFileError: the model fails, or gives what is not finite.
        """
        vectors = self._model(faces)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors


def embed(
    pictures: Callable[[Path], NDArray[np.uint8]], faces: Faces, embedder: Embedder
) -> NDArray[np.float32]:
    """Embeds every face once.

    Args:
        pictures: gives (H, W, 3) RGB for the path of a photograph, of the photograph's size; called once for
            each, in the order of ``faces.paths``.
        faces: the photographs.
        embedder: the recognizer.

    Returns:
        (P, D) of length 1, in the order of ``faces.paths``.

    Raises:
        InputError: a picture has another size than its photograph, or other than 8-bit RGB pixels.
        CodecFileError: as `Embedder`.
    """
    vectors = []
    with Progress(len(faces.paths)) as progress:
        for start in range(0, len(faces.paths), _BATCH):
            aligned = []
            for i, path in enumerate(faces.paths[start : start + _BATCH], start):
                progress.show(i, path.name)
                aligned.append(align(_checked(pictures(path), path), faces.landmarks[i]))
            vectors.append(embedder(np.stack(aligned)))
    return np.concatenate(vectors)


def _checked(picture: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(
            f"got {picture.dtype} {picture.shape}, expected uint8 (H, W, 3)", path=printable(path)
        )
    width, height, _ = upright_size(path)
    if picture.shape[:2] != (height, width):
        got = f"{picture.shape[1]} x {picture.shape[0]}"
        raise InputError(f"got a rebuilt picture of {got}, expected {width} x {height}", path=printable(path))
    return picture


# ---- what it gives away


@dataclass(frozen=True, slots=True)
class Verification:
    """Whom a thief recognizes by what it rebuilt or inferred, in the two ways that it may go about it.

    Attributes:
        against_photographs: what it made of a file against an undisturbed photograph of the same person or of
            another one, as when it looks for somebody whom it knows. Each pair is compared both ways.
        among_rebuilt: what it made of two files, one against the other, as when it follows somebody from file
            to file.
    """

    against_photographs: Score
    among_rebuilt: Score

    @property
    def face_accuracy(self) -> float:
        """Accuracy in percent of the way that reaches more: what counts."""
        return max(self.against_photographs.accuracy, self.among_rebuilt.accuracy)

    @property
    def face_tar(self) -> float:
        """TAR at FAR 1 % in percent of the way that reaches more."""
        return max(self.against_photographs.tar, self.among_rebuilt.tar)


def photograph(path: Path) -> NDArray[np.uint8]:
    """An undisturbed photograph, (H, W, 3): what `embed` takes to learn what the thief knows."""
    return np.asarray(open_picture(path))


def verify(
    pictures: Callable[[Path], NDArray[np.uint8]],
    faces: Faces,
    embedder: Embedder,
    *,
    known: NDArray[np.float32] | None = None,
    seed: int = 1,
) -> Verification:
    """Measures by how much what was rebuilt gives away who it shows.

    Args:
        pictures: what the attacker rebuilt, as for `embed`; ``rebuilt.__getitem__`` of a mapping will do,
            and `photograph` gives what the recognizer reaches at most.
        faces: the photographs and pairs; neither codec nor attacker may have seen those people.
        embedder: the recognizer.
        known: ``embed(photograph, faces, embedder)``, where several measurements share it; computed here
            if None.
        seed: of the bootstrap.

    Raises:
        InputError: as `embed`.
        CodecFileError: as `Embedder`.

    Source: Huang et al. 2007 for the pairs; see `score` for what is measured on them.
    """
    rebuilt = embed(pictures, faces, embedder)
    if known is None:
        known = embed(photograph, faces, embedder)
    return told_apart(rebuilt, known, faces, seed=seed)


def told_apart(
    vectors: NDArray[np.float32], known: NDArray[np.float32], faces: Faces, *, seed: int = 1
) -> Verification:
    """Scores the pairs by vectors of what a thief made of the files.

    Args:
        vectors: (P, D) of length 1, in the order of ``faces.paths``.
        known: (P, D) of length 1, of the undisturbed photographs.
        faces: the pairs.
        seed: of the bootstrap.
    """
    a, b = faces.pairs.T
    crosswise = np.stack([(vectors[a] * known[b]).sum(1), (known[a] * vectors[b]).sum(1)], axis=1)
    return Verification(
        against_photographs=score(crosswise, faces.same, seed=seed),
        among_rebuilt=score((vectors[a] * vectors[b]).sum(1), faces.same, seed=seed),
    )


@dataclass(frozen=True, slots=True)
class Recognizer:
    """What an attack asks of each codec and quality: whom do the rebuilt pictures give away?

    Attributes:
        faces: the photographs and pairs.
        embedder: the network.
        known: embeddings of the undisturbed photographs.
        seed: of the bootstrap.
    """

    faces: Faces
    embedder: Embedder
    known: NDArray[np.float32]
    seed: int

    @staticmethod
    def of(folder: str | Path, model: str | Path, *, seed: int = 1) -> Recognizer:
        """From a folder that `Faces.read` takes, and an ONNX model; errors as `Faces.read` and `Embedder`."""
        faces, embedder = Faces.read(Path(folder)), Embedder(model)
        return Recognizer(faces, embedder, embed(photograph, faces, embedder), seed)

    @property
    def identity(self) -> str:
        """Text that changes with photographs, pairs, landmarks, network or the code that verifies."""
        about = {"landmarks": self.faces.landmarks, "pairs": self.faces.pairs, "same": self.faces.same}
        return key({"verification": VERIFICATION_VERSION}, known=self.known, **about)

    def __call__(self, rebuilt: Callable[[Path], NDArray[np.uint8]]) -> Verification:
        """Of what `verify` takes."""
        return verify(rebuilt, self.faces, self.embedder, known=self.known, seed=self.seed)
