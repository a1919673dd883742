"""The street detector's pictures: splits, a cache of decoded pixels, and augmentation.

Splits, by position in the order of file names, fixed forever:
    coco/train    every 20th is held out to choose by; the rest trains
    highway5      every 10th is the test tenth, only ever measured; of the rest every 20th is held out
    coco/val      only ever measured
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featcodec.evaluation.datasets import CocoSet, Picture, read_coco
from featcodec.evaluation.picture_checks import check_pictures

__all__ = ["CLASSES", "Batch", "StreetTraining", "collate", "splits"]

CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")


def splits(shared: Path) -> dict[str, CocoSet]:
    """All splits by name: train-coco, train-highway, choose-coco, choose-highway, coco-val, highway-tenth."""
    data = shared / "data"

    def read(annotations: str, images: str) -> CocoSet:
        return check_pictures(read_coco(data / annotations, data / images, CLASSES))

    coco = read("coco/train.json", "coco/train")
    road = read("highway5/annotations.json", "highway5/images")
    return {
        "train-coco": coco.where(lambda i: i % 20 != 0),
        "choose-coco": coco.where(lambda i: i % 20 == 0),
        "train-highway": road.where(lambda i: i % 10 != 0 and i % 20 != 1),
        "choose-highway": road.where(lambda i: i % 20 == 1),
        "highway-tenth": road.where(lambda i: i % 10 == 0),
        "coco-val": read("coco/val.json", "coco/val"),
    }


@dataclass(frozen=True, slots=True)
class Batch:
    """A training batch.

    Attributes:
        images: (B, 3, S, S) uint8 RGB.
        boxes: (N, 4) corners in pixels of the canvas.
        labels: (N,) class numbers.
        picture: (N,) which image of the batch a box belongs to.
        ignore: (K, 5): image number and corners of regions that are neither object nor background.
        labelled: (B, classes) which classes are labelled in each image.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    picture: Tensor
    ignore: Tensor
    labelled: Tensor


@dataclass(slots=True)
class _Sample:
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    labelled: NDArray[np.bool_]


class StreetTraining(torch.utils.data.Dataset[_Sample]):
    """Augmented training samples on an S x S canvas; sample i depends on (seed, i) alone.

    Args:
        sets: where the pictures come from.
        size: S in pixels.
        scales: range of the picture's longest side, in canvases.
        count: samples.
        seed: of the augmentation.
        start: number of the first sample.
    """

    def __init__(
        self,
        sets: list[CocoSet],
        *,
        size: int,
        count: int,
        seed: int,
        scales: tuple[float, float] = (0.7, 1.4),
        start: int = 0,
    ):
        self.pictures = [(p, np.array(s.labelled)) for s in sets for p in s.pictures]
        self.pixels = [_decode(p) for p, _ in self.pictures]
        self.size, self.scales = size, scales
        self.count, self.seed, self.start = count, seed, start

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> _Sample:
        rng = np.random.default_rng((self.seed, self.start + i))
        if rng.random() < 0.15:
            return self._mosaic(rng)
        sample = self._placed(rng, (self.size, self.size), *self.scales)
        return _colour(sample, rng)

    def _placed(self, rng: np.random.Generator, canvas: tuple[int, int], lo: float, hi: float) -> _Sample:
        """One picture, scaled, stretched, flipped and shifted at random on a grey canvas (h, w)."""
        k = int(rng.integers(len(self.pictures)))
        (picture, labelled), pixels = self.pictures[k], self.pixels[k]
        h, w = pixels.shape[:2]
        scale = max(canvas) / max(h, w) * float(np.exp(rng.uniform(np.log(lo), np.log(hi))))
        stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
        sx, sy = scale * stretch, scale / stretch
        dx = float(rng.uniform(*sorted((0.0, canvas[1] - w * sx))))
        dy = float(rng.uniform(*sorted((0.0, canvas[0] - h * sy))))
        boxes = picture.boxes * np.float32([sx, sy, sx, sy])
        if rng.random() < 0.5:
            sx, dx = -sx, dx + w * sx
            boxes = boxes[:, [2, 1, 0, 3]] * np.float32([-1, 1, -1, 1])
        matrix = np.array([[sx, 0, dx], [0, sy, dy]], np.float64)
        image = cv2.warpAffine(
            pixels, matrix, canvas[::-1], flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114)
        )
        boxes = boxes + np.float32([dx, dy, dx, dy])
        return _clip(_Sample(image, boxes, picture.labels, picture.crowd, labelled), canvas)

    def _mosaic(self, rng: np.random.Generator) -> _Sample:
        """Four pictures around a random centre: more objects, smaller, in unusual company."""
        s = self.size
        cx, cy = (int(v) for v in rng.integers(s * 3 // 10, s * 7 // 10, 2))
        image = np.full((s, s, 3), 114, np.uint8)
        parts = []
        for x, y, w, h in (
            (0, 0, cx, cy),
            (cx, 0, s - cx, cy),
            (0, cy, cx, s - cy),
            (cx, cy, s - cx, s - cy),
        ):
            part = self._placed(rng, (h, w), 0.8, 1.8)
            image[y : y + h, x : x + w] = part.image
            part.boxes = part.boxes + np.float32([x, y, x, y])
            parts.append(part)
        whole = _Sample(
            image,
            np.concatenate([p.boxes for p in parts]),
            np.concatenate([p.labels for p in parts]),
            np.concatenate([p.crowd for p in parts]),
            np.logical_and.reduce([p.labelled for p in parts]),
        )
        return _colour(whole, rng)


def _decode(picture: Picture) -> NDArray[np.uint8]:
    image = cv2.imread(str(picture.path), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(image[..., ::-1])


def _clip(s: _Sample, canvas: tuple[int, int]) -> _Sample:
    """Drops boxes of which less than a quarter, or less than 3 px, is left on the canvas."""
    limit = np.float32([canvas[1], canvas[0], canvas[1], canvas[0]])
    clipped = np.minimum(np.maximum(s.boxes, 0), limit)
    size, before = clipped[:, 2:] - clipped[:, :2], s.boxes[:, 2:] - s.boxes[:, :2]
    keep = (size.min(1) >= 3) & (size.prod(1) >= 0.25 * before.prod(1)) if len(size) else np.zeros(0, bool)
    return _Sample(s.image, clipped[keep], s.labels[keep], s.crowd[keep], s.labelled)


def _colour(s: _Sample, rng: np.random.Generator) -> _Sample:
    """Random contrast, brightness and saturation, by one 3 x 3 matrix."""
    gain, bias, saturation = rng.uniform(0.65, 1.4), rng.uniform(-25, 25), rng.uniform(0.4, 1.5)
    luma = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))
    matrix = gain * (saturation * np.eye(3) + (1 - saturation) * luma)
    matrix = np.concatenate((matrix, np.full((3, 1), bias)), 1)
    s.image = cv2.transform(s.image, matrix)
    return s


def collate(samples: list[_Sample]) -> Batch:
    """Joins samples; crowd regions become regions to ignore."""
    images = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
    boxes, labels, picture, ignore = [], [], [], []
    for i, s in enumerate(samples):
        objects = ~s.crowd
        boxes.append(s.boxes[objects])
        labels.append(s.labels[objects])
        picture.append(np.full(objects.sum(), i))
        ignore.append(np.concatenate((np.full((s.crowd.sum(), 1), i, np.float32), s.boxes[s.crowd]), 1))
    return Batch(
        images,
        torch.from_numpy(np.concatenate(boxes)),
        torch.from_numpy(np.concatenate(labels)),
        torch.from_numpy(np.concatenate(picture)),
        torch.from_numpy(np.concatenate(ignore).astype(np.float32)),
        torch.from_numpy(np.stack([s.labelled for s in samples])),
    )
