"""What must not be inferable: a network's vectors of pictures, and the adversaries that infer them.

    portraits ─▶ head, g_a, quantizer ─▶ latents ─┐
                                                  ├─ ridge regression, linear and kernel ─▶ inferred vectors
    portraits ─▶ face recogniser (or another) ────┘                                             │ cosine
                                                                            true vectors ───────┘

An adversary that rebuilds pictures does not see what a thief infers who regresses the vector of a face
recogniser on the latents. Such a thief needs no training: its regression has a closed form. Here it learns
from a memory of the latents of earlier portraits and is asked about those of this step, on whom it has never
learned; the cosine between its answers and the truth is what the codec pays for.

Source: closed-form adversaries after Sadeghi et al. 2019, "On the global optima of kernelized adversarial
representation learning" (arXiv:1910.07423); there a global solution, here a term of the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file, save
from torch import Tensor

from featcodec.console import Progress
from featcodec.errors import FitError, InputError
from featcodec.evaluation.kept import key, picture_key, unlike_ours
from featcodec.files import list_pictures, printable, write_atomic
from featcodec.networks.vector_model import VectorModel
from featcodec.pictures.loading import GREY, open_picture
from featcodec.pictures.people import person
from featcodec.training.regression import KernelRidge, middle

__all__ = ["HiddenBatch", "HiddenVectors", "VectorAdversary", "hidden_pictures"]

VERSION = 1  # of the vectors, which are kept
MEMORY = 1024  # pictures, at most, that the adversaries learn from
EVERY = 8  # steps, at most, after which they learn anew
REFRESH = 48  # steps of the codec after which what they remember is computed anew, as the codec has moved
LEAST_KINDS = 8
LINEAR_LEVEL = (
    3.0  # of the penalty, as a thief's that chooses it on people held out; in `kernel_weights`' units
)
GAMMA, GAUSSIAN_LEVEL = 1.0, 0.1  # of the Gaussian kernel, likewise
_EMBEDDED = 32  # pictures at a time


@dataclass(frozen=True, slots=True, eq=False)
class HiddenBatch:
    """Pictures of a step, and what must not be inferred from their latents.

    Attributes:
        pictures: (B, 3, H, W) uint8.
        vectors: (B, D) about the mean of all, of length 1.
        kinds: (B,) numbers of who or what is on them.
    """

    pictures: Tensor
    vectors: Tensor
    kinds: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class HiddenVectors:
    """Pictures on which a network's vectors must not be inferable; made by `read`.

    Sample i depends on (seed, i) alone: each pass over the pictures has an order of its own, and each picture
    is mirrored or not.

    Attributes:
        paths: of the P pictures.
        vectors: (P, 2, D) as `HiddenBatch` has them, of each picture as it is and in a mirror.
        kinds: (P,) numbers of who or what is on them.
        canvas: height and width in pixels.
        crop: share of the shorter side that the network saw, and whose latents the adversaries see.
        batch: pictures a step.
        seed: of order and mirrors.
        identity: text that changes with the network, the pictures and the crop.
    """

    paths: tuple[Path, ...]
    vectors: Tensor
    kinds: Tensor
    canvas: tuple[int, int]
    crop: float
    batch: int
    seed: int
    identity: str

    @staticmethod
    def read(
        model: VectorModel, file: Path, paths: Sequence[Path], *, crop: float, canvas: tuple[int, int],
        batch: int, seed: int, work: Path | None,
    ) -> HiddenVectors:  # fmt: skip
        """Computes the vectors, or reads those that an earlier call has kept.

        Args:
            model: whose output must not be inferable.
            file: that it was read from.
            paths: of the pictures, at least eight people or things, by their names.
            crop: share of the shorter side, whose middle square the network gets.
            canvas: height and width in pixels.
            batch: pictures a step, at most; no more than a quarter of the people or things.
            seed: of order and mirrors.
            work: folder for what is kept; None: nothing is.

        Raises:
            InputError: too few people or things, or what is kept does not fit.
            ImageError: a picture that cannot be read.
            CodecFileError: the model fails.
        """
        names = [person(path) for path in paths]
        kinds = sorted(set(names))
        if len(kinds) < LEAST_KINDS:
            raise InputError(f"hide_images: got pictures of {len(kinds)}, expected {LEAST_KINDS} at least")
        facts = {"model": picture_key(file), "pictures": tuple(map(picture_key, paths)), "crop": crop}
        identity = key({"hidden vectors": VERSION}, **facts)
        vectors = _kept_vectors(model, paths, crop, work and work / f"hidden-{identity}.safetensors")
        centred = torch.from_numpy(vectors)
        centred = F.normalize(centred - centred.mean((0, 1)), dim=2)
        number = torch.tensor([kinds.index(name) for name in names])
        step = min(batch, len(kinds) // 4)
        return HiddenVectors(tuple(paths), centred, number, canvas, crop, step, seed, identity)

    @property
    def memory(self) -> int:
        """Pictures that the adversaries learn from."""
        return min(MEMORY, len(self.paths))

    @property
    def every(self) -> int:
        """Steps after which they learn anew: in so many, no more than a quarter of all is asked about."""
        return max(1, min(EVERY, len(self.kinds.unique()) // (4 * self.batch)))

    def of_step(self, taken: int) -> range:
        """Numbers of the samples of a step; those before the first step's fill the memory."""
        first = self.memory + taken * self.batch
        return range(first, first + self.batch)

    def asked(self, taken: int) -> Tensor:
        """Who or what is on the pictures of all steps for which the adversaries learn once."""
        start = taken - taken % self.every
        numbers = [i for step in range(start, start + self.every) for i in self.of_step(step)]
        return self.kinds[self._chosen(numbers)]

    def samples(self, numbers: Sequence[int]) -> HiddenBatch:
        """Samples by their numbers."""
        chosen = self._chosen(numbers)
        mirrored = [int(np.random.default_rng((self.seed, 1, i)).integers(2)) for i in numbers]
        pictures = [
            _placed(self.paths[k], self.canvas, bool(m)) for k, m in zip(chosen, mirrored, strict=True)
        ]
        x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        return HiddenBatch(x, self.vectors[chosen, mirrored], self.kinds[chosen])

    def _chosen(self, numbers: Sequence[int]) -> list[int]:
        """Positions of the pictures of samples."""
        orders: dict[int, NDArray[np.int64]] = {}
        chosen = []
        for i in numbers:
            epoch, k = divmod(i, len(self.paths))
            if epoch not in orders:
                orders[epoch] = np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.paths))
            chosen.append(int(orders[epoch][k]))
        return chosen


class VectorAdversary:
    """Infers vectors from the middle of decoded latents, by ridge regression, linear and kernel.

    It learns anew every few steps, from the latents of the last thousand pictures or so; of these it leaves
    out whoever is on the pictures that it will be asked about until it learns again.

    Args:
        hidden: pictures and vectors.
        where: the device.
    """

    def __init__(self, hidden: HiddenVectors, where: torch.device | str = "cpu"):
        self.hidden, self.where = hidden, where
        self.seen = torch.zeros(0, 0, device=where)  # (N, R), the oldest first; of them, `memory` are learned
        self.vectors = torch.zeros(0, hidden.vectors.shape[2], device=where)
        self.kinds = torch.zeros(0, dtype=torch.int64, device=where)
        self.regressions: tuple[KernelRidge, ...] = ()

    def forget(self, taken: int) -> range:
        """Empties the memory, and says which samples fill it: those before a step's, by their numbers."""
        self.seen, self.vectors, self.kinds = self.seen[:0], self.vectors[:0], self.kinds[:0]
        self.regressions = ()
        first = self.hidden.of_step(taken).start
        return range(first - self.hidden.memory, first)

    def is_stale(self, step: int) -> bool:
        """Whether the memory is to be filled before a step of the codec, below 0 for its head start."""
        return not len(self.kinds) or (step > 0 and step % REFRESH == 0)

    def take_in(self, y_hat: Tensor, batch: HiddenBatch) -> None:
        """Decoded latents (B, M, h, w) of pictures, to learn from some day."""
        rows = middle(y_hat.detach().float(), self.hidden.crop)
        self.seen = torch.cat((self.seen, rows)) if len(self.seen) else rows
        self.vectors = torch.cat((self.vectors, batch.vectors.to(self.where)))
        self.kinds = torch.cat((self.kinds, batch.kinds.to(self.where)))

    def inferred(self, y_hat: Tensor, batch: HiddenBatch, taken: int) -> Tensor:
        """How well the better adversary infers each vector; the pictures are taken in afterwards.

        Args:
            y_hat: (B, M, h, w) decoded latents, through which the gradient goes.
            batch: the pictures of the step.
            taken: number of the step.

        Returns:
            (B,) cosine of the inferred vector with the true one, 0 where it is below.
        """
        if taken % self.hidden.every == 0 and len(self.kinds) > self.hidden.memory:
            self._drop()
        if not self.regressions:
            self.regressions = self._learned(self.hidden.asked(taken).to(self.where))
        x, true = middle(y_hat.float(), self.hidden.crop), batch.vectors.to(self.where)
        cosines = [F.cosine_similarity(infer(x), true) for infer in self.regressions]
        self.take_in(y_hat, batch)
        return torch.stack(cosines).amax(0).clamp(min=0)

    def _drop(self) -> None:
        """Drops the oldest, and what was learned with them."""
        keep = slice(-self.hidden.memory, None)
        self.seen, self.vectors, self.kinds = self.seen[keep], self.vectors[keep], self.kinds[keep]
        self.regressions = ()

    @torch.no_grad()
    def _learned(self, asked: Tensor) -> tuple[KernelRidge, ...]:
        known = ~torch.isin(self.kinds[: self.hidden.memory], asked)
        x, vectors = (rows[: self.hidden.memory][known] for rows in (self.seen, self.vectors))
        linear = KernelRidge.fit(x, vectors, gamma=None, level=LINEAR_LEVEL)
        return linear, KernelRidge.fit(x, vectors, gamma=GAMMA, level=GAUSSIAN_LEVEL)

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps; regressions are learned again from it, alike."""
        return {"seen": self.seen, "vectors": self.vectors, "kinds": self.kinds}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        """As `state_dict` gave it."""
        self.seen, self.vectors, self.kinds = kept["seen"], kept["vectors"], kept["kinds"]
        self.regressions = ()


# ---- pictures


def _kept_vectors(
    model: VectorModel, paths: Sequence[Path], crop: float, kept: Path | None
) -> NDArray[np.float32]:
    """(P, 2, D) as the model gives them."""
    if kept is None or not kept.exists():
        vectors = _embedded(model, paths, crop)
        if kept is not None:
            write_atomic(kept, save({"vectors": vectors}))
        return vectors
    try:
        vectors = load_file(kept)["vectors"]
    except Exception as error:  # safetensors has kinds of its own
        raise unlike_ours(kept, error, error=FitError) from error
    if vectors.shape[:2] != (len(paths), 2) or vectors.ndim != 3:
        raise unlike_ours(kept, f"got vectors {vectors.shape} of {len(paths)} pictures", error=FitError)
    return vectors


def _embedded(model: VectorModel, paths: Sequence[Path], crop: float) -> NDArray[np.float32]:
    found = []
    with Progress(len(paths)) as progress:
        for start in range(0, len(paths), _EMBEDDED):
            progress.show(start, "pictures put through the network whose output is to be hidden")
            part = [_middle_square(path, crop, model.side) for path in paths[start : start + _EMBEDDED]]
            pictures = np.stack(part)
            found.append(np.stack([model(pictures), model(pictures[:, :, ::-1])], 1))
    vectors = np.concatenate(found)
    if vectors.std((0, 1)).max() <= 0:
        raise InputError("hide: got the same vector of all pictures", path=printable(paths[0].parent))
    return vectors


def _middle_square(path: Path, share: float, side: int) -> NDArray[np.uint8]:
    """The middle of a picture, of a share of its shorter side, scaled to (side, side, 3)."""
    picture = open_picture(path)
    half = share * min(picture.size) / 2
    x, y = picture.width / 2, picture.height / 2
    box = (x - half, y - half, x + half, y + half)
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box=box))


def _placed(path: Path, canvas: tuple[int, int], mirrored: bool) -> NDArray[np.uint8]:
    """The middle square of a picture on a grey canvas (H, W, 3), scaled down where it is larger."""
    picture = open_picture(path)
    side = min(*picture.size, *canvas)
    square = _middle_square(path, 1.0, side)
    out = np.full((*canvas, 3), GREY, np.uint8)
    top, left = (canvas[0] - side) // 2, (canvas[1] - side) // 2
    out[top : top + side, left : left + side] = square[:, ::-1] if mirrored else square
    return out


def hidden_pictures(folder: str | Path, hold_out: int) -> list[Path]:
    """Pictures of a folder and its subfolders, by name, without those of every so many people or things.

    Raises:
        InputError: no folder, or no pictures in it.
    """
    paths = [Path(path) for path, _ in list_pictures(str(folder), recursive=True)]
    out = set(sorted({person(path) for path in paths})[::hold_out]) if hold_out else set()
    return [path for path in paths if person(path) not in out]
