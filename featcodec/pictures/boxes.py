"""From a detector's scores to boxes: non-maximum suppression and the result type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from featcodec.errors import MissingExtraError

if TYPE_CHECKING:
    from supervision import Detections

__all__ = ["Box", "Boxes", "box_iou", "nms", "suppress"]


@dataclass(frozen=True, slots=True)
class Box:
    """One detection: class name, score in [0, 1], corners in pixels of the original photograph."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Boxes(Sequence[Box]):
    """Detections of one picture, best first.

    Attributes:
        xyxy: (N, 4) corners in pixels of the original photograph.
        scores: (N,) in [0, 1], falling.
        labels: (N,) class numbers.
        names: class names by number.
    """

    xyxy: Tensor
    scores: Tensor
    labels: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.scores.numel())

    def __getitem__(self, i: int) -> Box:  # type: ignore[override]
        x1, y1, x2, y2 = (float(v) for v in self.xyxy[i])
        return Box(self.names[int(self.labels[i])], float(self.scores[i]), x1, y1, x2, y2)

    def __iter__(self) -> Iterator[Box]:
        return (self[i] for i in range(len(self)))

    def to_supervision(self) -> Detections:
        """The same as `supervision.Detections`, for its annotators, trackers and metrics; see docs/tools.md.

        Returns:
            ``xyxy`` (N, 4) float32 in pixels of the original photograph, ``confidence`` (N,) float32 in
            [0, 1], ``class_id`` (N,) int64, and the names of the classes in ``data["class_name"]``.

        Raises:
            MissingExtraError: supervision is not installed.

        Example:
            >>> xyxy = torch.tensor([[10.0, 20.0, 110.0, 220.0]])
            >>> boxes = Boxes(xyxy, torch.tensor([0.75]), torch.tensor([1]), ("cat", "dog"))
            >>> boxes.to_supervision()["class_name"].tolist()
            ['dog']
        """
        try:
            from supervision import Detections
        except ImportError as error:
            raise MissingExtraError.of("supervision", "tools") from error
        labels = self.labels.cpu().numpy().astype(np.int64)
        return Detections(
            xyxy=self.xyxy.cpu().numpy().astype(np.float32),
            confidence=self.scores.cpu().numpy().astype(np.float32),
            class_id=labels,
            data={"class_name": np.array([self.names[i] for i in labels], dtype=str)},
        )


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of (N, 4) and (M, 4) corner boxes: (N, M) in [0, 1]."""
    lo = torch.maximum(a[:, None, :2], b[None, :, :2])
    hi = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = (hi - lo).clamp(min=0).prod(-1)
    area_a = (a[:, 2:] - a[:, :2]).prod(-1)
    area_b = (b[:, 2:] - b[:, :2]).prod(-1)
    return inter / (area_a[:, None] + area_b[None] - inter).clamp(min=1e-9)


def nms(boxes: Tensor, scores: Tensor, iou: float, *, most: int | None = None) -> Tensor:
    """Greedy non-maximum suppression: indexes of the boxes kept, best score first, at most `most`.

    Written here because torch has none and torchvision is not among the core dependencies.
    """
    order = scores.argsort(descending=True, stable=True)
    rows = boxes[order].cpu()
    alive = torch.ones(len(rows), dtype=torch.bool).numpy()
    kept: list[int] = []
    i = 0
    # a row of overlaps for each box kept, not the whole matrix: far fewer are kept than come in
    while i < len(rows) and (most is None or len(kept) < most):
        kept.append(i)
        alive &= (box_iou(rows[i : i + 1], rows)[0] <= iou).numpy()
        alive[: i + 1] = False
        i = int(alive.argmax()) if alive.any() else len(rows)
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


def suppress(
    rows: Tensor, *, confidence: float, iou: float, most: int, candidates: int = 3000
) -> tuple[Tensor, Tensor, Tensor]:
    """Decoded rows of one picture to boxes, with suppression inside each class.

    Args:
        rows: (N, 5 + classes): cx, cy, w, h in pixels, objectness, class scores.
        confidence: least objectness x class score.
        iou: overlap above which the weaker box goes.
        most: boxes kept at the most.
        candidates: boxes that enter suppression at the most, best first (bounds the time).

    Returns:
        boxes (K, 4) as corners, scores (K,), class numbers (K,).
    """
    rows = rows[rows[:, 4] >= confidence]
    scores = rows[:, 5:] * rows[:, 4:5]
    row, label = (scores >= confidence).nonzero(as_tuple=True)
    score = scores[row, label]
    best = score.argsort(descending=True, stable=True)[:candidates]
    row, label, score = row[best], label[best], score[best]
    centre, half = rows[row, :2], rows[row, 2:4] / 2
    boxes = torch.cat((centre - half, centre + half), 1)
    # classes are moved apart so that they never overlap: one pass serves all of them
    apart = label[:, None].to(boxes) * (boxes.abs().max().item() * 2 + 1 if len(boxes) else 1.0)
    keep = nms(boxes + apart, score, iou, most=most)
    return boxes[keep], score[keep], label[keep]
