"""Boxes as `supervision.Detections`, by the real package."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from skimage.data import astronaut

import featcodec
from featcodec.errors import MissingExtraError

sv = pytest.importorskip("supervision")


@pytest.fixture(scope="module")
def boxes():
    codec = featcodec.load("yolox-nano-private")
    return codec.detect(codec.encode(astronaut()), confidence=0.05)


def test_every_box_is_there_with_its_class_and_score(boxes):
    detections = boxes.to_supervision()
    assert isinstance(detections, sv.Detections)
    assert len(detections) == len(boxes) > 1
    for (xyxy, _, score, number, _, data), box in zip(detections, boxes, strict=True):
        assert xyxy.tolist() == [box.x1, box.y1, box.x2, box.y2]
        assert (float(score), data["class_name"], boxes.names[number]) == (box.score, box.label, box.label)


def test_supervision_filters_and_measures_them(boxes):
    detections = boxes.to_supervision()
    people = detections[detections["class_name"] == "person"]
    assert 0 < len(people) < len(detections)
    assert len(detections.with_nms(0.5, class_agnostic=True)) <= len(detections)
    np.testing.assert_allclose(
        detections.box_area, np.prod(detections.xyxy[:, 2:] - detections.xyxy[:, :2], 1)
    )
    drawn = sv.BoxAnnotator().annotate(astronaut().copy(), detections)
    assert (drawn != astronaut()).any()


def test_no_boxes_are_no_detections():
    none = featcodec.Boxes(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long), ("cat",))
    detections = none.to_supervision()
    assert len(detections) == 0
    assert len(sv.Detections.merge([detections, none.to_supervision()])) == 0


def test_without_supervision_one_line_says_what_to_install(boxes, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(
        MissingExtraError, match=r"^supervision is missing: pip install 'featcodec\[tools\]'$"
    ):
        boxes.to_supervision()
