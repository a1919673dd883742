"""Average precision by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featcodec.backbones.detection import Boxes
from featcodec.bench.datasets import CocoSet
from featcodec.errors import MissingExtraError

__all__ = ["Accuracy", "average_precision"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Average precision in percent points, 0 to 100.

    Attributes:
        map: mean over the classes and IoU .50 to .95.
        ap50: mean over the classes at IoU .50.
        ap50_by_class: AP50 of each class that has boxes.
    """

    map: float
    ap50: float
    ap50_by_class: dict[str, float]


def _coco_json(data: CocoSet) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for p in data.pictures:
        for (x1, y1, x2, y2), label, crowd in zip(
            p.boxes.tolist(), p.labels.tolist(), p.crowd.tolist(), strict=True
        ):
            row = {"id": len(annotations) + 1, "image_id": p.image_id, "category_id": label}
            row |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": int(crowd)}
            annotations.append(row)
    return {
        "info": {},
        "images": [{"id": p.image_id, "width": p.width, "height": p.height} for p in data.pictures],
        "annotations": annotations,
        "categories": [{"id": i, "name": n} for i, n in enumerate(data.names)],
    }


def average_precision(data: CocoSet, detections: Sequence[Boxes]) -> Accuracy:
    """COCO average precision of `detections` (one entry a picture, same order) over the labelled classes.

    Args:
        data: the pictures and their boxes.
        detections: boxes in pixels of the original pictures, class numbers into ``data.names``.

    Raises:
        MissingExtraError: pycocotools is not installed.

    Source: Lin et al. 2014 (arXiv:1405.0312); 101 recall points, at most 100 boxes a picture.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingExtraError("pycocotools is missing: pip install 'featcodec[bench]'") from error
    results = [
        [p.image_id, x1, y1, x2 - x1, y2 - y1, score, label]
        for p, found in zip(data.pictures, detections, strict=True)
        for (x1, y1, x2, y2), score, label in zip(
            found.xyxy.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth = COCO()
        truth.dataset = _coco_json(data)
        truth.createIndex()
        if not results:
            return Accuracy(0.0, 0.0, {})
        run = COCOeval(truth, truth.loadRes(np.array(results)), "bbox")
        run.params.catIds = [i for i, known in enumerate(data.labelled) if known]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, 2]  # (IoU, recall, class), all areas, 100 boxes
    return Accuracy(
        _mean(precision),
        _mean(precision[0]),
        {
            data.names[c]: _mean(precision[0, :, k])
            for k, c in enumerate(run.params.catIds)
            if (precision[0, :, k] > -1).any()
        },
    )


def _mean(precision: np.ndarray[Any, Any]) -> float:
    known = precision[precision > -1]  # -1 marks classes without boxes
    return float(known.mean() * 100) if known.size else 0.0
