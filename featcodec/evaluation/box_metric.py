"""Mean average precision as a `featcodec.evaluation.metric.Metric`: what detectors are measured by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featcodec.evaluation.bootstrap import PERCENT, resampled_map
from featcodec.evaluation.coders import Shot
from featcodec.evaluation.datasets import CocoSet, label_by
from featcodec.evaluation.metric import Found, Scored
from featcodec.evaluation.metrics import METRICS_VERSION, match
from featcodec.evaluation.results import Interval
from featcodec.networks.cut_network import CutNetwork, find_boxes
from featcodec.pictures.boxes import Boxes
from featcodec.pictures.geometry import Geometry

__all__ = ["KEPT_BOXES", "MeanAveragePrecision", "boxes_of", "rows_of"]

KEPT_BOXES = 100  # COCO's measures look at no more


def rows_of(found: Boxes) -> Found:
    """The best boxes as rows: corners in pixels of the photograph, score, class number."""
    rows = torch.cat((found.xyxy, found.scores[:, None], found.labels[:, None].float()), 1)
    return rows[:KEPT_BOXES].double().numpy()


def boxes_of(rows: Found, names: tuple[str, ...]) -> Boxes:
    """The rows as a detector gives them."""
    kept = torch.from_numpy(rows)
    return Boxes(kept[:, :4].float(), kept[:, 4].float(), kept[:, 5].long(), names)


@dataclass(frozen=True, slots=True)
class MeanAveragePrecision:
    """mAP over IoU .50 to .95, and AP50, by pycocotools.

    Attributes:
        confidence, iou, most: of the boxes that are looked at; as YOLOv5's own evaluation has them.
    """

    confidence: float = 0.001
    iou: float = 0.6
    most: int = 300
    name: str = "mAP"
    detail: str = "AP50"
    within: Interval = PERCENT
    wants_labels: bool = True
    columns: Mapping[str, int] = field(
        default_factory=lambda: {"x1": 2, "y1": 2, "x2": 2, "y2": 2, "score": 6, "label": 0}
    )

    @property
    def identity(self) -> str:
        return f"mAP version {METRICS_VERSION} of boxes {self.confidence} {self.iou} {self.most}"

    def fits(self, network: CutNetwork) -> bool:
        return network.detector is not None

    def prepare(self, network: CutNetwork, shot: Shot) -> None:
        """Nothing: boxes are compared when all of them are there."""

    def find(self, network: CutNetwork, f: Tensor, geometry: Geometry, prepared: Any) -> Found:  # noqa: ARG002
        options = {"confidence": self.confidence, "iou": self.iou}
        return rows_of(find_boxes(network, f, [geometry], **options, most=self.most)[0])

    def reference(self, data: CocoSet, uncoded: Sequence[Found], confidence: float) -> CocoSet:
        if any(data.labelled):
            return data
        return label_by(data, [boxes_of(rows, data.names) for rows in uncoded], confidence=confidence)

    def counts(self, data: CocoSet) -> NDArray[np.bool_]:
        return np.array([not p.crowd.all() for p in data.pictures])  # a picture's boxes beside crowd regions

    def score(self, data: CocoSet, found: Sequence[Found], draws: NDArray[np.int64]) -> Scored:
        matches = match(data, [boxes_of(rows, data.names) for rows in found])
        return Scored(matches.accuracy.map, matches.accuracy.ap50, resampled_map(matches, draws))
