"""Data sets: pictures and boxes as a COCO json lists them, and the average precision of what was found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from featcodec.errors import InputError
from featcodec.evaluation.datasets import read_coco
from featcodec.evaluation.metrics import average_precision
from featcodec.pictures.boxes import Boxes

NAMES = ("person", "bicycle")


@pytest.fixture
def coco(tmp_path):
    for i in (1, 2):
        Image.new("RGB", (64, 48)).save(tmp_path / f"{i}.png")
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in (2, 1)],
        "categories": [{"id": 7, "name": "person"}, {"id": 9, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 4, 20, 30], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 9, "bbox": [0, 0, 9, 9], "iscrowd": 0},
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [30, 10, 20, 20]},
            {"id": 4, "image_id": 2, "category_id": 7, "bbox": [0, 0, 64, 48], "iscrowd": 1},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    return read_coco(tmp_path / "a.json", tmp_path, NAMES)


def found(rows):
    boxes = torch.tensor([r[:4] for r in rows], dtype=torch.float32).reshape(-1, 4)
    scores = torch.tensor([r[4] for r in rows], dtype=torch.float32)
    return Boxes(boxes, scores, torch.zeros(len(rows), dtype=torch.long), NAMES)


def test_pictures_come_in_the_order_of_their_names_with_the_classes_asked_for(coco):
    assert [p.path.name for p in coco.pictures] == ["1.png", "2.png"]
    assert coco.pictures[0].boxes.tolist() == [[4, 4, 24, 34]]
    assert coco.pictures[1].crowd.tolist() == [False, True]
    assert coco.labelled == (True, False)


def test_where_keeps_positions(coco):
    assert [p.path.name for p in coco.where(lambda i: i == 1).pictures] == ["2.png"]


def test_every_object_found_is_full_precision_and_an_unlabelled_class_does_not_count(coco):
    accuracy = average_precision(coco, [found([(4, 4, 24, 34, 0.9)]), found([(30, 10, 50, 30, 0.8)])])
    assert (accuracy.map, accuracy.ap50) == (pytest.approx(100), pytest.approx(100))
    assert accuracy.ap50_by_class == {"person": pytest.approx(100)}


def test_a_find_inside_a_crowd_region_is_neither_right_nor_wrong(coco):
    crowd = found([(30, 10, 50, 30, 0.8), (0, 0, 25, 40, 0.95)])
    assert average_precision(coco, [found([(4, 4, 24, 34, 0.9)]), crowd]).ap50 == pytest.approx(100)


def test_half_the_objects_found_is_half_the_recall(coco):
    accuracy = average_precision(coco, [found([(4, 4, 24, 34, 0.9)]), found([])])
    assert accuracy.ap50 == pytest.approx(100 * 51 / 101)  # 51 of 101 recall points lie at or below 0.5


def test_nothing_found_is_zero(coco):
    assert average_precision(coco, [found([]), found([])]).map == 0.0


@pytest.mark.usefixtures("coco")
def test_a_missing_picture_is_named(tmp_path):
    (tmp_path / "2.png").unlink()
    with pytest.raises(InputError, match=r"2\.png"):
        read_coco(tmp_path / "a.json", tmp_path, NAMES)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": 3, "categories": [], "annotations": []}'])
def test_a_file_that_is_no_coco_json_is_refused(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(InputError, match="COCO json"):
        read_coco(tmp_path / "b.json", tmp_path, NAMES)


def test_boxes_are_a_sequence_of_named_boxes():
    boxes = found([(1, 2, 3, 4, 0.5)])
    assert len(boxes) == 1
    assert (boxes[0].label, boxes[0].x2, [b.score for b in boxes]) == ("person", 3.0, [0.5])
    assert np.allclose(boxes.xyxy, [[1, 2, 3, 4]])
