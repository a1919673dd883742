"""Average precision of an uncoded detector, and the score from which its boxes are worth showing."""

from __future__ import annotations

from pathlib import Path

import torch

from featcodec.evaluation.datasets import CocoSet
from featcodec.evaluation.metrics import Accuracy, average_precision
from featcodec.networks.yolov5 import YOLOv5
from featcodec.pictures.boxes import Boxes, box_iou, suppress
from featcodec.pictures.loading import load_image

__all__ = ["best_confidence", "evaluate_detector"]


@torch.no_grad()
def _boxes(net: YOLOv5, path: Path, *, size: int, confidence: float, iou: float, most: int) -> Boxes:
    """Detections of one picture, in its own pixels."""
    x, geometry = load_image(path, size=size)
    rows = net.detect.decode(net(x))[0]
    boxes, scores, labels = suppress(rows, confidence=confidence, iou=iou, most=most)
    return Boxes(geometry.boxes_to_picture(boxes), scores, labels, ())


def evaluate_detector(net: YOLOv5, data: CocoSet, *, size: int) -> Accuracy:
    """COCO's protocol: confidence 0.001, suppression at IoU 0.6, 300 boxes; longest side `size` px."""
    training = net.training
    net.eval()
    found = [_boxes(net, p.path, size=size, confidence=0.001, iou=0.6, most=300) for p in data.pictures]
    net.train(training)
    return average_precision(data, found)


def best_confidence(net: YOLOv5, data: CocoSet, *, size: int) -> float:
    """The score above which a box is worth showing: where F2 at IoU 0.5, over all classes, is greatest.

    F2 counts recall twice: a camera that misses somebody does more harm than one that looks twice. Crowd
    regions are left out, as objects and as places for boxes.
    """
    scored: list[tuple[float, bool]] = []
    objects = 0
    for picture in data.pictures:
        found = _boxes(net, picture.path, size=size, confidence=0.02, iou=0.45, most=100)
        overlap = box_iou(found.xyxy, torch.from_numpy(picture.boxes))
        overlap[found.labels[:, None] != torch.from_numpy(picture.labels)[None]] = 0
        free = ~torch.from_numpy(picture.crowd)
        objects += int(free.sum())
        for score, row in zip(found.scores.tolist(), overlap, strict=True):
            hits = (row >= 0.5).nonzero()[:, 0]
            if len(hits) and not bool(free[hits].any()) and bool(torch.from_numpy(picture.crowd)[hits].any()):
                continue
            hit = hits[free[hits]]
            if len(hit):
                free[hit[row[hit].argmax()]] = False
            scored.append((score, bool(len(hit))))
    scored.sort(reverse=True)
    right = torch.tensor([hit for _, hit in scored]).cumsum(0)
    f2 = 5 * right / (torch.arange(1, len(scored) + 1) + 4 * objects)
    return round(scored[int(f2.argmax())][0], 2)
