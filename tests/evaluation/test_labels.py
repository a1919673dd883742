"""Labels and pictures that do not belong together are refused by name or noted; the others pass silently."""

from __future__ import annotations

import copy
import json
import math
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from featcodec.errors import ImageError, InputError
from featcodec.evaluation.datasets import class_names, read_coco
from featcodec.evaluation.label_doubts import label_doubts
from featcodec.evaluation.picture_checks import check_pictures
from featcodec.pictures.boxes import Boxes
from featcodec.pictures.loading import upright_size

NAMES = ("person", "traffic light", "car")
SIDES = {1: (64, 48), 2: (40, 60), 3: (50, 50)}
SHARED = Path(os.environ.get("FEATCODEC_SHARED", Path(__file__).parents[3] / "shared")) / "data"


def boxes_of(width, height):
    """Boxes in all parts of a picture, none of which fits as corners."""
    w, h = width // 4, height // 4
    return [[x, y, w, h] for x, y in ((0, 0), (2 * w, h), (width - w, height - h), (w, 2 * h))]


@pytest.fixture
def content():
    """Three pictures of other shapes with four boxes each, in a COCO json as it should be."""
    annotations = [
        {"image_id": i, "category_id": 3 + k % 3, "bbox": box, "iscrowd": 0, "area": box[2] * box[3]}
        for i, (width, height) in SIDES.items()
        for k, box in enumerate(boxes_of(width, height))
    ]
    return {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": w, "height": h} for i, (w, h) in SIDES.items()
        ],
        "categories": [{"id": 3 + k, "name": name} for k, name in enumerate(NAMES)],
        "annotations": [{"id": k, **a} for k, a in enumerate(annotations, 1)],
    }


@pytest.fixture
def folder(tmp_path):
    """The pictures, each with content of its own."""
    rng = np.random.default_rng(0)
    for i, (width, height) in SIDES.items():
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def read(folder, content):
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return check_pictures(read_coco(path, folder, NAMES))


def with_boxes(content, change):
    changed = copy.deepcopy(content)
    for a in changed["annotations"]:
        a["bbox"] = change(*a["bbox"], *SIDES[a["image_id"]])
    return changed


def save_turned(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)


# ---- what is right


def test_labels_that_fit_are_read_as_they_stand_without_a_note(folder, content):
    data = read(folder, content)
    assert data.notes == ()
    assert [p.image_id for p in data.pictures] == [1, 2, 3]
    for picture in data.pictures:
        expected = [[x, y, x + w, y + h] for x, y, w, h in boxes_of(*SIDES[picture.image_id])]
        assert picture.boxes.tolist() == expected
        assert picture.labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("name", ["coco/val", "coco/train", "highway5/images"])
def test_real_labels_pass_without_a_note(name):
    annotations = SHARED / {"highway5/images": "highway5/annotations.json"}.get(name, f"{name}.json")
    if not annotations.is_file():
        pytest.skip(f"no {annotations}: set FEATCODEC_SHARED")
    data = check_pictures(read_coco(annotations, SHARED / name, class_names(annotations)))
    assert data.notes == ()
    count = len(json.loads(annotations.read_text())["annotations"])
    assert sum(len(p.labels) for p in data.pictures) == count


def test_numbers_that_tables_and_other_languages_write_otherwise_are_the_same(folder, content):
    other = copy.deepcopy(content)
    for image in other["images"]:
        image |= {"id": float(image["id"]), "width": float(image["width"])}
    for a in other["annotations"]:
        a |= {"image_id": float(a["image_id"]), "iscrowd": bool(a["iscrowd"])}
    for mine, its in zip(read(folder, content).pictures, read(folder, other).pictures, strict=True):
        assert mine.image_id == its.image_id
        assert np.array_equal(mine.boxes, its.boxes)
        assert np.array_equal(mine.crowd, its.crowd)


def test_ids_may_be_text_throughout(folder, content):
    for entry in (*content["images"], *content["categories"]):
        entry["id"] = str(entry["id"])
    for a in content["annotations"]:
        a |= {"image_id": str(a["image_id"]), "category_id": str(a["category_id"])}
    assert [len(p.labels) for p in read(folder, content).pictures] == [4, 4, 4]


def test_annotations_need_neither_id_nor_area_nor_crowd_flag(folder, content):
    for a in content["annotations"]:
        del a["id"], a["area"], a["iscrowd"]
    assert read(folder, content).notes == ()


# ---- sizes


def test_scaled_pictures_are_refused_with_their_factor(folder, content):
    for i, (width, height) in SIDES.items():
        Image.new("RGB", (width * 9 // 10, height * 9 // 10)).save(folder / f"{i}.png")
    with pytest.raises(InputError) as caught:
        read(folder, content)
    assert str(caught.value) == (
        f"{folder}/1.png: got 57 x 43 pixels, expected 64 x 48 as its labels say; "
        "3 of 3 pictures differ, all by the factor 0.90"
    )


def test_one_picture_of_another_size_is_refused(folder, content):
    Image.new("RGB", (40, 59)).save(folder / "2.png")
    with pytest.raises(InputError, match=r"2\.png: got 40 x 59 pixels, expected 40 x 60 as its labels say$"):
        read(folder, content)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_labels_that_ignore_exif_are_told_so(folder, content, orientation):
    save_turned(folder / "1.png", orientation)
    with pytest.raises(InputError) as caught:
        read(folder, content)
    assert str(caught.value) == (
        f"{folder}/1.png: got 48 x 64 pixels after it is turned upright as EXIF says (orientation "
        f"{orientation}), expected 64 x 48 as its labels say; the labels are for the pictures as stored: "
        "they ignore EXIF"
    )


def test_labels_of_the_upright_picture_are_right(folder, content):
    Image.open(folder / "1.png").transpose(Image.Transpose.ROTATE_90).save(folder / "1.png")
    save_turned(folder / "1.png", 6)
    assert read(folder, content).notes == ()


@pytest.mark.parametrize(("name", "orientation"), [("1.png", 3), ("1.png", 2), ("3.png", 6)])
def test_a_turn_that_sides_do_not_show_is_noted(folder, content, name, orientation):
    save_turned(folder / name, orientation)
    (note,) = read(folder, content).notes
    assert "EXIF turns or mirrors them in a way that their sides do not show, 1 of 3" in note
    assert name in note


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_sides_are_those_of_the_picture_that_is_read(tmp_path, ending, orientation):
    from featcodec.pictures.loading import open_picture

    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (64, 48)).save(path, exif=exif)
    assert upright_size(path) == (*open_picture(path).size, orientation)
    assert upright_size(path)[:2] == ((48, 64) if orientation >= 5 else (64, 48))


def test_a_file_that_is_no_picture_is_refused(folder, content):
    (folder / "2.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"2\.png: no image"):
        read(folder, content)


# ---- boxes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, w, h, *_: [x, y, x + w, y + h], "read as x1, y1, x2, y2, 100 % of all boxes would fit"),
        (
            lambda x, y, w, h, *_: [x + w / 2, y + h / 2, w, h],
            "read as the centre, width, height, 100 % of all",
        ),
        (
            lambda x, y, w, h, W, H: [x / W, y / H, w / W, h / H],
            r"boxes of 3 of 3 pictures lie between 0 and 1",
        ),
        (lambda x, y, w, h, *_: [3 * x, 3 * y, 3 * w, 3 * h], r"of which \d+ % lies inside .* \(and 8 more"),
        (lambda x, y, w, h, *_: [x + w, y, -w, h], r"got \[\d+, 0, -\d+, 12\], expected a positive width"),
    ],
)
def test_boxes_written_otherwise_are_refused_with_the_reading_that_fits(folder, content, change, message):
    with pytest.raises(InputError, match=message) as caught:
        read(folder, with_boxes(content, change))
    assert str(caught.value).startswith(f"{folder}/boxes.json: annotation ")


def test_boxes_in_the_order_of_rows_are_recognized(folder, content):
    only = [a for a in content["annotations"] if a["image_id"] != 3]  # on a square both orders fit
    content["annotations"] = [a | {"bbox": [a["bbox"][i] for i in (1, 0, 3, 2)]} for a in only]
    with pytest.raises(InputError, match="read as y, x, height, width, 100 % of all boxes would fit"):
        read(folder, content)


def test_boxes_that_fit_as_corners_too_are_noted(folder, content):
    content["annotations"] = [
        {"image_id": i, "category_id": 3, "bbox": [k, k, w / 2 + k, h / 2 + k]}
        for i, (w, h) in SIDES.items()
        for k in range(1, 5)
    ]
    assert read(folder, content).notes == (
        "All boxes fit as x1, y1, x2, y2, too; they are read as x, y, width, height.",
    )
    few = content | {"annotations": content["annotations"][:3]}
    assert read(folder, few).notes == ()  # three of them may well do so
    for a in few["annotations"]:
        x, y, w, h = a["bbox"]
        a["area"] = (w - x) * (h - y)
    assert "All boxes fit as x1, y1, x2, y2, too" in read(folder, few).notes[0]


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([-0.4, 0, 10, 10], ()),  # rounding
        ([60, 40, 4.5, 8.5], ()),
        ([55, 40, 10, 8], ("reach beyond", "annotation 1 reaches furthest, 1.0 px")),
        ([40, 20, 40, 10], ("reach beyond", "1 of 12; annotation 1 reaches furthest, 16.0 px")),
    ],
)
def test_a_box_that_overhangs_is_kept_as_it_is_and_noted_beyond_rounding(folder, content, box, said):
    content["annotations"][0] |= {"bbox": box, "area": 60}
    data = read(folder, content)
    x, y, w, h = box
    assert data.pictures[0].boxes[0].tolist() == pytest.approx([x, y, x + w, y + h])
    assert len(data.notes) == bool(said)
    assert all(part in data.notes[0] for part in said)


@pytest.mark.parametrize("box", [[64, 0, 10, 10], [-30, 0, 10, 10], [50, 0, 30, 10], [0, 47.5, 10, 10]])
def test_a_box_mostly_outside_its_picture_is_refused(folder, content, box):
    content["annotations"][0]["bbox"] = box
    with pytest.raises(InputError, match=r"annotation 1 of '1\.png': bbox: got .* lies inside the picture"):
        read(folder, content)


@pytest.mark.parametrize("crowd", [0, 1])
@pytest.mark.parametrize("width", [0, 1e-300, 1e-7])
def test_a_box_without_area_is_left_out_and_noted(folder, content, crowd, width):
    content["annotations"][1] |= {"bbox": [5, 5, width, 9], "area": 0, "iscrowd": crowd}
    data = read(folder, content)
    assert [len(p.labels) for p in data.pictures] == [3, 4, 4]
    (note,) = data.notes
    assert "Boxes without width or height are left out, 1 of 12, such as annotation 2" in note


def test_a_box_that_stands_twice_counts_once_and_is_noted(folder, content):
    content["annotations"].append(content["annotations"][2] | {"id": 99})
    data = read(folder, content)
    assert [len(p.labels) for p in data.pictures] == [4, 4, 4]
    (note,) = data.notes
    assert note.endswith("of the same picture and class are left out, 1 of 13, such as annotation 99.")


def test_boxes_of_smaller_pictures_are_noted(folder, content):
    content["annotations"] = content["annotations"] * 5
    for k, a in enumerate(content["annotations"]):
        x, y, w, h = a["bbox"]
        content["annotations"][k] = a | {"id": k, "bbox": [x / 2, y / 2 + k / 50, w / 2, h / 2]}
    reach, area = read(folder, content).notes
    assert reach.startswith("No box reaches beyond 50 % of the width and 5")
    assert area.startswith("Areas are larger than their boxes, 60 of 60")


def test_detections_taken_for_labels_are_noted(folder, content):
    for a in content["annotations"]:
        a["score"] = 0.5
    assert read(folder, content).notes == (
        "Annotations have scores, 12 of 12: they may be detections, not labels.",
    )


# ---- single fields


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        (
            "annotations",
            "bbox",
            [1, 2, float("nan"), 4],
            r"annotation 1: bbox: got \[1, 2, NaN, 4\], expected",
        ),
        ("annotations", "bbox", [1, 2, float("inf"), 4], "expected four finite numbers"),
        ("annotations", "bbox", [1, 2, 10**400, 4], "expected four finite numbers"),
        ("annotations", "bbox", [1, 2, 10**4000, 4], "expected four finite numbers"),
        ("annotations", "bbox", ["1", "2", "3", "4"], "expected four finite numbers"),
        ("annotations", "bbox", [True, 2, 3, 4], "expected four finite numbers"),
        ("annotations", "bbox", [1, 2, 3, 4, 90], "expected four finite numbers"),
        ("annotations", "bbox", "1234", "expected four finite numbers"),
        ("annotations", "bbox", None, "got no bbox, expected one"),
        ("annotations", "iscrowd", "0", 'iscrowd: got "0", expected 0 or 1'),
        ("annotations", "iscrowd", 2, "iscrowd: got 2, expected 0 or 1"),
        ("annotations", "iscrowd", None, "iscrowd: got null, expected 0 or 1"),
        ("annotations", "iscrowd", float("nan"), "iscrowd: got NaN, expected 0 or 1"),
        ("annotations", "area", float("nan"), "area: got NaN, expected square pixels"),
        ("annotations", "area", -1, "area: got -1, expected square pixels"),
        (
            "annotations",
            "image_id",
            9,
            "image_id: got 9, expected the id of one of the 3 listed, such as 1, 2, 3",
        ),
        ("annotations", "image_id", "1", r'image_id: got "1" \(text\), expected 1 \(a number\)'),
        ("annotations", "image_id", "001", r'image_id: got "001" \(text\), expected 1 \(a number\)'),
        ("annotations", "image_id", True, "image_id: got true, expected a whole number"),
        ("annotations", "image_id", 1.5, "image_id: got 1.5, expected a whole number"),
        ("annotations", "category_id", 0, "category_id: got 0, expected the id of one of the 3 listed"),
        ("annotations", "category_id", "3", r'category_id: got "3" \(text\), expected 3 \(a number\)'),
        ("annotations", "id", 2, "annotation 2: got this id twice"),
        ("images", "id", 2, r'image 2: got this id twice \("1\.png", "2\.png"\)'),
        (
            "images",
            "id",
            "2",
            r'got the ids "2" \(text\) and 2 \(a number\), expected ids that differ by more',
        ),
        ("images", "id", 2**70, "id: got 1180591620717411303424, expected a whole number of at most 63 bits"),
        ("images", "id", "a1", 'id: got "a1", expected a whole number'),
        ("images", "id", None, r"images\[0\]: id: got null, expected a whole number"),
        ("images", "file_name", "2.png", r'images: got "2\.png" twice, expected each file once'),
        ("images", "file_name", "./2.png", r'got "2\.png" twice, once as "\./2\.png"'),
        ("images", "file_name", 5, "file_name: got 5, expected a file"),
        ("images", "file_name", "", 'file_name: got "", expected a file'),
        ("images", "file_name", "a\0", "expected a file"),
        ("images", "file_name", "x" * 5000, "it is missing"),
        ("images", "width", float("nan"), "width: got NaN, expected a positive whole number of pixels"),
        ("images", "width", -64, "width: got -64, expected a positive whole number"),
        ("images", "width", 0, "width: got 0, expected a positive whole number"),
        ("images", "height", 48.5, "height: got 48.5, expected a positive whole number"),
        ("images", "height", "48", 'height: got "48", expected a positive whole number'),
        ("images", "height", 10**400, "expected a positive whole number"),
        ("categories", "id", 4, r'category 4: got this id twice \("person", "traffic light"\)'),
        ("categories", "name", "car", 'categories: got "car" under the ids 3, 5, expected each name once'),
        ("categories", "name", None, "name: got null, expected a class name"),
        ("categories", "name", "Person", "category 'Person': got this name, expected 'person'"),
    ],
)
def test_a_field_that_cannot_be_right_is_named(folder, content, part, field, value, message):
    content[part][0][field] = value
    with pytest.raises(InputError, match=message) as caught:
        read(folder, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["traffic_light", "Traffic-Light", "trafficlight"])
def test_a_class_that_differs_by_its_spelling_is_refused(folder, content, name):
    content["categories"][1]["name"] = name
    with pytest.raises(InputError, match="expected 'traffic light', as the network calls it"):
        read(folder, content)


def test_boxes_of_other_classes_are_noted(folder, content):
    content["categories"][2]["name"] = "walrus"
    data = read(folder, content)
    assert data.labelled == (True, True, False)
    assert data.notes == ("Boxes of classes that are not the network's are left out, 3 of 12: walrus.",)


def test_a_segmentation_alone_is_no_box(folder, content):
    del content["annotations"][0]["bbox"]
    content["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, 9]]
    with pytest.raises(InputError, match="annotation 1: got no bbox but a segmentation, expected one"):
        read(folder, content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}]',
            "got a list of detections",
        ),
        ('{"images": [], "annotations": []}', "got no categories, expected a COCO json"),
        (
            '{"images": [], "images": [], "annotations": [], "categories": []}',
            'an object with "images" twice',
        ),
        ('{"images": [7], "annotations": [], "categories": []}', r"images\[0\]: got 7, expected an object"),
        (
            '{"images": [{"id": 1, "width": 4, "height": 4}], "annotations": [], "categories": []}',
            "image 1: file_name: got none, expected a file",
        ),
        ("[" * 100_000, "expected a COCO json, got RecursionError"),
        ("3", "got 3, expected a COCO json"),
    ],
)
def test_another_kind_of_json_is_named(folder, text, message):
    with pytest.raises(InputError, match=message):
        read(folder, text)


ODD = (
    None,
    True,
    "",
    "1",
    "\ud800",
    "\0",
    -1,
    2**70,
    1e308,
    math.nan,
    math.inf,
    0.5,
    [],
    {},
    [[]],
    [1, 2, 3, 4],
)
ODD += ([0, 0, 0, 0], [1e-300] * 4, [1e9] * 4, {"id": 1}, "../x", "²")


def places(value, path=()):
    """Where in a json something stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*path, key)
        yield from places(part, (*path, key))


@given(drawn=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_json_only_named_errors_come_out(folder, content, drawn):
    changed = copy.deepcopy(content)
    *path, last = drawn.draw(st.sampled_from(list(places(changed))))
    part = changed
    for key in path:
        part = part[key]
    what = drawn.draw(st.sampled_from((*ODD, "without")))
    if what == "without":
        del part[last]
    else:
        part[last] = what
    try:
        data = read(folder, changed)
    except InputError as error:
        said = str(error)
    else:
        said = f"{folder}: read"
        boxes = np.concatenate([p.boxes for p in data.pictures])
        assert np.isfinite(boxes).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert said.startswith(str(folder))
    assert "\n" not in said


# ---- files


def test_a_file_under_two_names_is_refused(folder, content):
    (folder / "4.png").symlink_to(folder / "1.png")
    content["images"].append(content["images"][0] | {"id": 4, "file_name": "4.png"})
    with pytest.raises(
        InputError, match=r"4\.png: got the same file as .*1\.png, expected each picture once"
    ):
        read(folder, content)


@pytest.mark.parametrize(("labelled", "said"), [(True, ""), (False, ", some with other labels")])
def test_pictures_of_the_same_content_are_noted(folder, content, labelled, said):
    (folder / "4.png").write_bytes((folder / "1.png").read_bytes())
    content["images"].append(content["images"][0] | {"id": 4, "file_name": "4.png"})
    if labelled:
        mine = [a for a in content["annotations"] if a["image_id"] == 1]
        content["annotations"] += [a | {"id": a["id"] + 100, "image_id": 4} for a in mine]
    assert read(folder, content).notes == (
        f"Pictures of the same content count again, 1 of 4{said}, such as 1.png and 4.png.",
    )


def test_files_that_begin_alike_are_no_copies(folder, content):
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data + bytes(5000) + b"a")  # what follows a picture is no part of it
    (folder / "4.png").write_bytes(data + bytes(5000) + b"b")
    content["images"].append(content["images"][0] | {"id": 4, "file_name": "4.png"})
    assert read(folder, content).notes == ()


def test_pictures_without_an_entry_are_noted(folder, content):
    for name in ("4.png", "5.png", ".hidden.png"):
        Image.new("RGB", (9, 9)).save(folder / name)
    assert read(folder, content).notes == (
        "Pictures without an entry in the json are left out, 2 beside 3 that have one, such as 4.png.",
    )


@pytest.mark.parametrize(
    ("listed", "there"),
    [
        (unicodedata.normalize("NFC", "Straßenbäume.png"), unicodedata.normalize("NFD", "Straßenbäume.png")),
        ("1.PNG", "1.png"),
        ("1.jpg", "1.png"),
        ("val\\1.png", "1.png"),
        ("val/1.png", "1.png"),
        ("1.png", "val/1.png"),
    ],
)
def test_a_missing_picture_is_named_with_the_one_that_is_there(tmp_path, content, listed, there):
    (tmp_path / there).parent.mkdir(exist_ok=True)
    Image.new("RGB", SIDES[1]).save(tmp_path / there)
    if (tmp_path / listed).exists():
        pytest.skip("this file system takes both spellings for one")
    only = {"images": [content["images"][0] | {"file_name": listed}], "annotations": []}
    with pytest.raises(
        InputError, match="the annotations name this picture, but it is missing; there is"
    ) as caught:
        read(tmp_path, content | only)
    assert there.encode("unicode_escape") in str(caught.value).encode("unicode_escape")


# ---- what the network finds


def finds(data, change=lambda boxes: boxes, labels=lambda labels: labels):
    return [
        Boxes(
            torch.from_numpy(change(p.boxes)).float(),
            torch.full((len(p.labels),), 0.9),
            torch.from_numpy(labels(p.labels)),
            data.names,
        )
        for p in data.pictures
    ]


@pytest.fixture
def many(folder, content):
    for i in range(4, 10):
        Image.fromarray(np.full((48, 64), 20 * i, np.uint8)).save(folder / f"{i}.png")
        content["images"].append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 48})
        mine = [a for a in content["annotations"] if a["image_id"] == 1]
        content["annotations"] += [a | {"id": a["id"] + 100 * i, "image_id": i} for a in mine]
    return read(folder, content)


def test_finds_on_the_labels_leave_no_doubt(many):
    assert label_doubts(many, finds(many), confidence=0.5) == ()


def test_finds_beside_all_labels_leave_a_doubt(many):
    (doubt,) = label_doubts(many, finds(many, lambda boxes: boxes + 9), confidence=0.5)
    assert doubt.startswith("Of 36 objects that the uncoded network finds, 0 lie on a labelled box")
    assert label_doubts(many, finds(many, lambda boxes: boxes + 9), confidence=0.95) == ()


def test_exchanged_class_names_leave_a_doubt(many):
    exchanged = finds(many, labels=lambda labels: np.array([2, 1, 0])[labels])
    assert label_doubts(many, exchanged, confidence=0.5) == (
        "Boxes of person are found as car, 18 of 18, and as person, 0: the class names may be exchanged.",
    )
