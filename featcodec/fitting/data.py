"""The pictures that a codec is fitted to: folders, lists, COCO json, or the user's own data set.

Sample i depends on (seed, i) alone, so that a fit that goes on after a kill sees what it would have seen.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from featcodec.errors import FeatcodecError, FitError, ImageError, InputError
from featcodec.evaluation.coco_json import picture_names
from featcodec.files import list_pictures
from featcodec.pictures.loading import GREY, load_image
from featcodec.pictures.pixels import pixels as eight_bit_pixels

__all__ = ["Batch", "Images", "Photographs", "Source", "batches", "coco_pictures", "data_set"]

Batch: TypeAlias = tuple[Tensor, Any]  # pictures (B, 3, H, W), uint8 or floats in [0, 1]; labels or None
Source: TypeAlias = Callable[[int], Iterable[Batch]]  # from the number of the first batch
Images: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Dataset[Any]

SCALES = (0.6, 1.4)  # of the picture's longest side, in sizes that the codec is for


class Photographs(Dataset[Tensor]):
    """Photographs at random scales and places on a square canvas; any number of samples.

    Pictures are kept decoded while they fit into memory, and decoded again and again beyond that. A file that
    is no readable picture is passed over for the next.

    Args:
        paths: of the photographs.
        side: of the canvas in pixels.
        seed: of choice, scale, place and mirroring.
        size: longest side that they are about scaled to; that of the canvas unless given.
        cache_bytes: of decoded pictures that are kept.

    Example:
        >>> from skimage import data_dir
        >>> photographs = Photographs([Path(data_dir, "astronaut.png")], side=64, seed=1)
        >>> tuple(photographs[7].shape), torch.equal(photographs[7], photographs[7])
        ((3, 64, 64), True)
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        side: int,
        seed: int,
        size: int | None = None,
        cache_bytes: int = 1 << 31,
    ):
        self.paths, self.side, self.seed, self.left = list(paths), side, seed, cache_bytes
        self.size = size or side
        self.kept: dict[int, NDArray[np.uint8] | None] = {}

    def __getitem__(self, i: int) -> Tensor:
        random = np.random.default_rng((self.seed, i))
        first = int(random.integers(len(self.paths)))
        for k in range(len(self.paths)):
            pixels = self._pixels((first + k) % len(self.paths))
            if pixels is not None:
                return (
                    torch.from_numpy(_placed(pixels, random, self.side, self.size))
                    .permute(2, 0, 1)
                    .contiguous()
                )
        raise FitError(
            f"images: none of {len(self.paths)} files is a readable picture, such as {self.paths[0]}"
        )

    def _pixels(self, k: int) -> NDArray[np.uint8] | None:
        """(H, W, 3), at most twice the size; None for what is no picture."""
        if k in self.kept:
            return self.kept[k]
        pixels = None
        try:
            x, _ = load_image(self.paths[k], size=2 * self.size, stride=1)
            pixels = eight_bit_pixels(x[0])
        except ImageError:
            self.kept[k] = None
        if pixels is not None and pixels.nbytes <= self.left:
            self.kept[k], self.left = pixels, self.left - pixels.nbytes
        return pixels


def _placed(
    pixels: NDArray[np.uint8], random: np.random.Generator, side: int, size: int
) -> NDArray[np.uint8]:
    """A picture (H, W, 3), scaled, shifted and mirrored at random on a grey canvas (side, side, 3)."""
    height, width = pixels.shape[:2]
    scale = (
        size / max(height, width) * float(np.exp(random.uniform(math.log(SCALES[0]), math.log(SCALES[1]))))
    )
    canvas = np.full((side, side, 3), GREY, np.uint8)
    spans, box = [], []
    for length in (width, height):
        scaled = max(1.0, length * scale)
        free = side - scaled
        shift = float(random.uniform(min(free, 0.0), max(free, 0.0)))
        first, last = max(0, round(shift)), min(side, max(round(shift) + 1, round(shift + scaled)))
        spans.append(slice(first, last))
        box.append(tuple(min(max((edge - shift) / scaled * length, 0.0), length) for edge in (first, last)))
    (left, right), (top, bottom) = box
    shape = spans[0].stop - spans[0].start, spans[1].stop - spans[1].start
    part = Image.fromarray(pixels).resize(
        shape, Image.Resampling.BILINEAR, box=(left, top, right, bottom), reducing_gap=2.0
    )
    canvas[spans[1], spans[0]] = np.asarray(part)
    return canvas[:, ::-1].copy() if random.random() < 0.5 else canvas


class _Shuffled(Dataset[Any]):
    """The user's data set, again and again, each time in another order."""

    def __init__(self, samples: Dataset[Any], *, seed: int):
        self.samples, self.seed = samples, seed
        self.count = len(samples)  # type: ignore[arg-type]

    def __getitem__(self, i: int) -> Any:
        epoch, k = divmod(i, self.count)
        return self.samples[int(np.random.default_rng((self.seed, epoch)).permutation(self.count)[k])]


def data_set(
    images: Images,
    *,
    side: int,
    seed: int,
    size: int | None = None,
    hold_out: int = 0,
    coco: str | os.PathLike[str] | None = None,
) -> Dataset[Any]:
    """Any number of samples from a folder, a list of paths or a data set.

    Args:
        images: a folder, searched with its subfolders; paths; or a data set with a length whose items are
            pictures (3, H, W) of one size, uint8 or floats in [0, 1], or pairs of such a picture and a label.
        side: of the canvas in pixels.
        seed: of everything that is random.
        size: as `Photographs` takes it.
        hold_out: of the pictures of a folder the first and then every so many are left out, by name; 0: none.
        coco: COCO json, of whose pictures in the folder `images` only those are taken that it names.

    Raises:
        InputError: a folder or list without pictures, or no COCO json.
    """
    if isinstance(images, str | os.PathLike):
        folder = Path(images)
        paths = (
            coco_pictures(coco, folder)
            if coco
            else [Path(p) for p, _ in list_pictures(folder, recursive=True)]
        )
        used = [p for i, p in enumerate(paths) if not hold_out or i % hold_out]
        if not used:
            raise InputError(f"hold_out: got {hold_out}, expected more than 1, or 0 for none")
        return Photographs(used, side=side, seed=seed, size=size)
    if isinstance(images, Dataset):
        if not hasattr(images, "__len__") or len(images) < 1:
            raise InputError(
                f"images: got {type(images).__name__}, expected a data set with a length above 0"
            )
        return _Shuffled(images, seed=seed)
    wrong = next((path for path in images if not isinstance(path, str | os.PathLike)), None)
    if not images or wrong is not None:
        got = "no paths" if wrong is None else f"a {type(wrong).__name__} in the list"
        raise InputError(f"images: got {got}, expected paths")
    paths = [Path(path) for path in images]
    return Photographs(paths, side=side, seed=seed, size=size)


def coco_pictures(annotations: str | os.PathLike[str], folder: Path) -> list[Path]:
    """The pictures that a COCO json names, by name; its boxes are not needed.

    Raises:
        InputError: not a COCO json, or a picture that it names stands twice or is missing.
    """
    paths = [folder / name for name in picture_names(annotations)]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing or not paths:
        raise InputError(
            f"got {missing or 'no pictures'}, expected pictures that are in {folder}", path=str(annotations)
        )
    return paths


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Numbers of the samples of each batch, from batch `start` on, without end."""

    start: int
    batch: int
    rank: int
    world: int

    def __iter__(self) -> Iterator[list[int]]:
        step = self.start
        while True:
            first = (step * self.world + self.rank) * self.batch
            yield list(range(first, first + self.batch))
            step += 1


def batches(samples: Dataset[Any], batch: int, *, workers: int = 0, rank: int = 0, world: int = 1) -> Source:
    """Samples as batches that start anywhere.

    Args:
        samples: as `data_set` gives them.
        batch: samples a batch.
        workers: processes that prepare them; 0: this one.
        rank, world: this process, of how many; each takes other samples.

    Labels that cannot be stacked come as a list. Batches raise InputError where a sample is no picture
    (3, H, W) or not as large as the others.
    """

    def start(number: int) -> Iterator[Batch]:
        loader: DataLoader[Any] = DataLoader(
            _Named(samples),
            batch_sampler=_Numbers(number, batch, rank, world),
            num_workers=workers,
            collate_fn=_collate,
        )
        shape: tuple[int, ...] | None = None
        for found in loader:
            if isinstance(found, FeatcodecError):
                raise found
            pictures, labels = found
            shape = shape or tuple(pictures.shape[1:])
            if tuple(pictures.shape[1:]) != shape:
                raise _unlike(shape, pictures.shape[1:])
            yield pictures, labels

    return start


class _Named(Dataset[Any]):
    """Samples as pictures and labels, or what is wrong with them: a worker's errors would lose their kind."""

    def __init__(self, samples: Dataset[Any]):
        self.samples = samples

    def __getitem__(self, i: int) -> Batch | FeatcodecError:
        try:
            return _sample(self.samples[i])
        except FeatcodecError as error:
            return error


def _sample(item: Any) -> Batch:
    """A picture (3, H, W) and its label, None where there is none."""
    labelled = isinstance(item, list | tuple)
    if labelled and len(item) != 2:
        raise InputError(f"images: got a sample of {len(item)}, expected a picture, or a picture and a label")
    picture, label = item if labelled else (item, None)
    if isinstance(picture, np.ndarray):
        picture = torch.from_numpy(picture)
    if not isinstance(picture, Tensor):
        kind = type(picture).__name__
        raise InputError(f"images: got a sample of {kind}, expected a tensor (3, H, W) of uint8 or floats")
    known = picture.dtype == torch.uint8 or picture.is_floating_point()
    if picture.ndim != 3 or picture.shape[0] != 3 or not known:
        kind = str(picture.dtype).removeprefix("torch.")
        raise InputError(f"images: got {tuple(picture.shape)} {kind}, expected (3, H, W) of uint8 or floats")
    picture = picture.detach()
    if picture.is_floating_point():
        picture = picture.float()
        low, high = (float(v) for v in picture.aminmax())
        if not -0.01 <= low <= high <= 1.01:  # resampling may overshoot
            raise InputError(
                f"images: got values from {low:g} to {high:g}, expected floats in [0, 1] or uint8"
            )
    return picture, label


def _collate(samples: list[Any]) -> Batch | FeatcodecError:
    """Pictures (B, 3, H, W) and labels: as tensors where they can be stacked, else a list of them."""
    wrong = next((sample for sample in samples if isinstance(sample, FeatcodecError)), None)
    if wrong:
        return wrong
    pictures, labels = ([sample[k] for sample in samples] for k in range(2))
    other = next((p.shape for p in pictures if p.shape != pictures[0].shape), None)
    if other is not None:
        return _unlike(pictures[0].shape, other)
    if len({picture.dtype for picture in pictures}) > 1:
        return InputError("images: got uint8 and floats in one batch, expected one of them")
    try:
        return torch.stack(pictures), None if all(v is None for v in labels) else default_collate(labels)
    except (TypeError, RuntimeError):  # boxes, for one: not as many in each picture
        return torch.stack(pictures), labels


def _unlike(one: Sequence[int], other: Sequence[int]) -> InputError:
    return InputError(
        f"images: got pictures of {tuple(one)} and {tuple(other)}, expected one size: crop or pad them"
    )
