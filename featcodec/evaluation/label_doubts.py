"""Labels compared with what the uncoded network finds: do they belong to these pictures and classes?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from featcodec.evaluation.datasets import CocoSet, Picture
from featcodec.files import printable
from featcodec.pictures.boxes import Boxes, box_iou

__all__ = ["label_doubts"]

OVERLAP = 0.5  # IoU from which a find lies on a box
FINDS, BOXES = 20, 10  # in all, and of a class those that were found as something, to say anything
STRAY = 0.1  # share of the finds on any box, below which labels and pictures hardly belong together
MOSTLY, HARDLY = 0.7, 0.1  # shares of a class's boxes found as another class, and as itself


def label_doubts(data: CocoSet, found: Sequence[Boxes], *, confidence: float) -> tuple[str, ...]:
    """Notes on labels that contradict the uncoded network so much that they may be wrong themselves.

    Geometry that no comparison of sizes shows, such as a picture upside down or boxes of the next picture,
    leaves the finds on no box; class names that were exchanged leave the boxes of one class found as another.

    Args:
        data: the pictures with their labels.
        found: detections of the uncoded network, one entry a picture, in the same order.
        confidence: score from which a detection counts as a find.
    """
    counts = np.zeros((len(data.names), len(data.names)), np.int64)  # labelled as, found as
    finds = met = 0
    for picture, boxes in zip(data.pictures, found, strict=True):
        sure = boxes.scores >= confidence
        overlap = box_iou(boxes.xyxy[sure], torch.from_numpy(picture.boxes)).numpy()
        finds, met = finds + len(overlap), met + int((overlap >= OVERLAP).any(1).sum())
        _count(counts, picture, overlap, boxes.labels[sure].numpy())
    return (*_stray(finds, met), *_exchanged(counts, data.names))


def _count(
    counts: NDArray[np.int64], picture: Picture, overlap: NDArray[np.float32], labels: NDArray[np.int64]
) -> None:
    """Adds each box that was found as something: as what the find that overlaps it most is."""
    for box in np.flatnonzero(~picture.crowd) if len(overlap) else ():
        best = int(overlap[:, box].argmax())
        if overlap[best, box] >= OVERLAP:
            counts[picture.labels[box], labels[best]] += 1


def _stray(finds: int, met: int) -> Iterator[str]:
    if finds >= FINDS and met < STRAY * finds:
        yield (
            f"Of {finds:,} objects that the uncoded network finds, {met:,} lie on a labelled box: "
            "labels and pictures, or network and pictures, may not belong together."
        )


def _exchanged(counts: NDArray[np.int64], names: Sequence[str]) -> Iterator[str]:
    for label, row in enumerate(counts):
        other = int(row.argmax())
        if row.sum() >= BOXES and row[other] >= MOSTLY * row.sum() and row[label] <= HARDLY * row.sum():
            of, found = printable(names[label]), printable(names[other])
            counted = f"{row[other]:,} of {row.sum():,}, and as {of}, {row[label]:,}"
            yield f"Boxes of {of} are found as {found}, {counted}: the class names may be exchanged."
