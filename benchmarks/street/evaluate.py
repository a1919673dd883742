"""Average precision of an uncoded detector."""

from __future__ import annotations

import torch

from featcodec.backbones.detection import Boxes, suppress
from featcodec.backbones.yolov5 import YOLOv5
from featcodec.bench.datasets import CocoSet
from featcodec.bench.metrics import Accuracy, average_precision
from featcodec.images import load_image

__all__ = ["evaluate_detector"]


@torch.no_grad()
def evaluate_detector(net: YOLOv5, data: CocoSet, *, size: int) -> Accuracy:
    """COCO's protocol: confidence 0.001, suppression at IoU 0.6, 300 boxes; longest side `size` px."""
    training = net.training
    net.eval()
    found = []
    for picture in data.pictures:
        x, geometry = load_image(picture.path, size=size)
        rows = net.detect.decode(net(x))[0]
        boxes, scores, labels = suppress(rows, confidence=0.001, iou=0.6, most=300)
        found.append(Boxes(geometry.boxes_to_picture(boxes), scores, labels, data.names))
    net.train(training)
    return average_precision(data, found)
