"""``featcodec detect`` on many files, its formats, and ``detect_batch``."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

import featcodec
from featcodec.commands.detections import CocoIds, image_ids
from featcodec.commands.main import main
from featcodec.errors import InputError
from featcodec.networks.coco import CATEGORY_IDS, COCO

ANY = ["--confidence", "0.05"]
# COCO's numbers of its 80 classes: of 1 to 90 it gave up ten
NUMBERS = [n for n in range(1, 91) if n not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]


@pytest.fixture(scope="module")
def codec():
    return featcodec.load("yolox-nano-private")


@pytest.fixture(scope="module")
def photos():
    """Pictures of two shapes, three of one canvas."""
    whole = astronaut()
    return [whole, whole[:384], np.ascontiguousarray(whole[:, ::-1]), whole[64:448]]


@pytest.fixture
def here(tmp_path, monkeypatch, codec, photos):
    """A folder ``mixed`` with two .plf files and a picture."""
    monkeypatch.chdir(tmp_path)
    Path("mixed").mkdir()
    for name, photo in (("12", photos[0]), ("7", photos[1])):
        Path(f"mixed/{name}.plf").write_bytes(codec.encode(photo))
    Image.fromarray(photos[1]).save("mixed/30.png")
    return tmp_path


@pytest.fixture
def boxes(here, codec):  # noqa: ARG001
    """What ``detect`` finds in each file of the folder, in the order of their names."""
    data = [
        Path("mixed/12.plf").read_bytes(),
        codec.encode("mixed/30.png"),
        Path("mixed/7.plf").read_bytes(),
    ]
    return [codec.detect(one, confidence=0.05) for one in data]


class TestBatch:
    def test_it_finds_what_detect_finds(self, codec, photos):
        files = [codec.encode(photo) for photo in photos]
        mixed = [files[0], codec.decode(files[1]), files[2], codec.decode(files[3])]
        found = codec.detect_batch(mixed, confidence=0.05)
        assert sum(map(len, found)) > 4
        for one, data in zip(found, files, strict=True):
            alone = codec.detect(data, confidence=0.05)
            assert one.labels.tolist() == alone.labels.tolist()
            torch.testing.assert_close(one.scores, alone.scores, rtol=0, atol=1e-4)
            torch.testing.assert_close(one.xyxy, alone.xyxy, rtol=0, atol=1e-2)

    def test_pictures_of_one_shape_share_passes(self, codec, photos, monkeypatch):
        files = [codec.encode(photo) for photo in photos]
        shapes = []
        tail = type(codec.network).tail
        monkeypatch.setattr(
            type(codec.network), "tail", lambda self, f: shapes.append(len(f[0])) or tail(self, f)
        )
        codec.detect_batch(files)
        assert sorted(shapes) == [2, 2]

    def test_nothing_is_nothing(self, codec):
        assert codec.detect_batch([]) == []

    def test_plain_tensors_need_their_geometries(self, codec, photos):
        features = codec.decode(codec.encode(photos[0]))
        plain = features.as_subclass(torch.Tensor)
        with pytest.raises(InputError, match="give geometry="):
            codec.detect_batch([plain])
        given = codec.detect_batch([plain], geometries=[features.geometry])
        assert given[0].scores.tolist() == codec.detect(features).scores.tolist()

    def test_what_is_neither_is_named(self, codec):
        with pytest.raises(InputError, match="got str, expected features or the bytes of a file"):
            codec.detect_batch(["street.plf"])


class TestHeader:
    def test_decode_gives_header_and_metadata_back(self, codec, photos):
        data = codec.encode(photos[1], quality=2, metadata={"camera": 7})
        for features in (featcodec.decode(data), *codec.decode_batch([data])):
            header = features.header
            assert (header.quality, header.codec, header.width, header.height) == (
                2.0,
                "yolox-nano-private",
                512,
                384,
            )
            assert features.metadata == {"camera": 7}
        assert codec.decode(codec.encode(photos[1])).metadata is None
        assert codec.features(photos[1]).header is None

    @pytest.mark.usefixtures("here")
    def test_on_the_command_line_too(self, codec, photos, capsys):
        Path("a.plf").write_bytes(codec.encode(photos[1], metadata={"camera": 7}))
        assert main(["decode", "a.plf", "-o", "a.npy", "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        header = codec.decode(Path("a.plf").read_bytes()).header
        assert shown == {
            "file": "a.plf",
            "output": "a.npy",
            "array": "features",
            "shape": [1, 64, 40, 52],
            "dtype": "float32",
            "codec": "yolox-nano-private",
            "fingerprint": codec.fingerprint.hex(),
            "quality": 4.0,
            "width": 512,
            "height": 384,
            "size": 416,
            "latent_height": header.latent_height,
            "latent_width": header.latent_width,
            "symbol_hash": header.symbol_hash.hex(),
            "metadata": {"camera": 7},
        }
        assert main(["decode", "a.plf", "-o", "-", "--json"]) == 1
        assert "got --json and -o -" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
class TestFormats:
    def test_text_has_a_line_for_each_file(self, boxes, capsys):
        assert main(["detect", "mixed", *ANY]) == 0
        out, err = capsys.readouterr()
        heads = [line for line in out.splitlines() if not line.startswith("  ")]
        counts = [f"{len(one)} box{'' if len(one) == 1 else 'es'}" for one in boxes]
        names = ("12.plf", "30.png", "7.plf")
        assert heads == [f"mixed/{name}: {count}" for name, count in zip(names, counts, strict=True)]
        assert err.startswith(f"featcodec: 3 files, 0 failed, {sum(map(len, boxes))} boxes; ")
        assert main(["detect", "mixed", "--quiet", *ANY]) == 0
        assert capsys.readouterr() == (out, "")

    def test_json_is_a_list_that_names_what_failed(self, boxes, capsys):
        Path("mixed/9.plf").write_bytes(Path("mixed/7.plf").read_bytes()[:-1])
        assert main(["detect", "mixed", "missing.plf", "--json", *ANY]) == 1
        out, err = capsys.readouterr()
        shown = json.loads(out)
        assert [len(one["boxes"]) for one in shown if "boxes" in one] == [len(one) for one in boxes]
        failed = {one["file"]: one["error"] for one in shown if "error" in one}
        assert list(failed) == ["mixed/9.plf", "missing.plf"]
        assert failed["missing.plf"] == "missing.plf: No such file or directory"
        assert err.splitlines()[0] == "featcodec: 2 of 5 files failed:"

    def test_coco_results_are_what_pycocotools_loads(self, boxes, capsys):
        assert main(["detect", "mixed", "--format", "coco", *ANY]) == 0
        results = json.loads(capsys.readouterr().out)
        assert len(results) == sum(map(len, boxes))
        assert {one["image_id"] for one in results} <= {12, 30, 7}
        for one, box in zip([r for r in results if r["image_id"] == 12], boxes[0], strict=True):
            expected = [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1]
            assert one["bbox"] == pytest.approx(expected, abs=0.02)
            assert one["category_id"] == NUMBERS[COCO.index(box.label)]
            assert set(one) == {"image_id", "category_id", "bbox", "score"}
        coco = pytest.importorskip("pycocotools.coco").COCO()
        coco.dataset = {
            "images": [{"id": i} for i in (12, 30, 7)],
            "categories": [{"id": i} for i in range(1, 91)],
            "annotations": [],
        }
        coco.createIndex()
        assert len(coco.loadRes(results).anns) == len(results)

    def test_ids_are_numbers_in_names_or_places(self):
        assert image_ids(["a/000000000139.jpg", "285.plf"]) == [139, 285]
        assert image_ids(["a/1.jpg", "b/1.jpg"]) == image_ids(["a/1.jpg", "x.jpg"]) == [1, 2]

    def test_category_ids_are_cocos(self):
        assert [CATEGORY_IDS[name] for name in ("person", "stop sign", "toothbrush")] == [1, 13, 90]
        assert list(CATEGORY_IDS) == list(COCO)

    def test_yolo_labels_are_shares_of_the_picture(self, boxes):
        assert main(["detect", "mixed", "--format", "yolo", "-o", "labels", *ANY]) == 0
        assert sorted(path.name for path in Path("labels").iterdir()) == ["12.txt", "30.txt", "7.txt"]
        rows = [line.split() for line in Path("labels/30.txt").read_text().splitlines()]
        for row, box in zip(rows, boxes[1], strict=True):
            cx, cy, w, h = (float(value) for value in row[1:])
            corners = [(cx - w / 2) * 512, (cy - h / 2) * 384, (cx + w / 2) * 512, (cy + h / 2) * 384]
            assert corners == pytest.approx([box.x1, box.y1, box.x2, box.y2], abs=0.01)
            assert boxes[1].names[int(row[0])] == box.label
        assert main(["detect", "mixed", "--format", "yolo", "-o", "labels", "--scores", *ANY]) == 0
        assert all(len(line.split()) == 6 for line in Path("labels/30.txt").read_text().splitlines())

    def test_a_picture_without_boxes_has_empty_labels(self):
        assert main(["detect", "mixed", "--format", "yolo", "-o", "labels", "--confidence", "1"]) == 0
        assert Path("labels/12.txt").read_bytes() == b""

    @pytest.mark.usefixtures("here")
    def test_csv_of_a_hostile_name_is_faithful_in_a_file_and_harmless_on_a_terminal(
        self, capsys, monkeypatch
    ):
        name = "red\x1b[31m.plf"
        Path("mixed/7.plf").rename(name)
        command = ["detect", name, "--format", "csv", *ANY]
        assert main([*command, "-o", "boxes.csv"]) == 0
        assert next(csv.DictReader(io.StringIO(Path("boxes.csv").read_text())))["file"] == name
        assert main(command) == 0  # a pipe is as good as a file
        assert capsys.readouterr().out == Path("boxes.csv").read_text()
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        assert main(command) == 0
        out = capsys.readouterr().out
        assert out == Path("boxes.csv").read_text().replace("\x1b", r"\x1b")

    def test_csv_has_a_header(self, boxes):
        Path("mixed/12.plf").rename('mixed/a, "b".plf')
        assert main(["detect", "mixed", "--format", "csv", "-o", "boxes.csv", *ANY]) == 0
        rows = list(csv.DictReader(io.StringIO(Path("boxes.csv").read_text())))
        assert list(rows[0]) == ["file", "label", "score", "x1", "y1", "x2", "y2"]
        assert len(rows) == sum(map(len, boxes))
        assert {row["file"] for row in rows} <= {'mixed/a, "b".plf', "mixed/30.png", "mixed/7.plf"}

    def test_files_of_several_codecs_go_together(self, photos, capsys):
        Path("mixed/open.plf").write_bytes(featcodec.encode(photos[1], codec="yolox-nano-open"))
        assert main(["detect", "mixed", "--json", *ANY]) == 0
        codecs = [one["codec"] for one in json.loads(capsys.readouterr().out)]
        assert codecs == ["yolox-nano-private", "yolox-nano-private", "yolox-nano-private", "yolox-nano-open"]

    def test_together_they_take_no_more_memory_than_one_file_may(self, codec, monkeypatch):
        sizes = []
        together = type(codec).detect_batch

        def detect_batch(self, features, **options):
            sizes.append(len(features))
            return together(self, features, **options)

        monkeypatch.setattr(type(codec), "detect_batch", detect_batch)
        assert main(["detect", "mixed", "--json"]) == 0
        assert main(["detect", "mixed", "--json", "--max-latents", "700"]) == 0  # 676 of the largest
        assert sizes == [3, 1, 1, 1]

    @pytest.mark.parametrize(
        "arguments",
        [
            ["a.plf", "b.plf", "--draw", "a.png"],
            ["a.plf", "--format", "yolo"],
            ["a.plf", "--format", "csv", "--json"],
            ["a.plf", "--scores"],
            ["a.plf", "--coco", "-"],
            ["a.plf", "--yolo", "-"],
            ["a.plf", "--images", "val.json"],
            ["a.plf", "--quiet", "-v"],
        ],
    )
    def test_options_that_do_not_go_together(self, arguments, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["detect", *arguments])
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith("usage: featcodec detect")

    def test_labels_do_not_go_to_one_place(self, capsys):
        Image.new("RGB", (64, 64)).save("mixed/7.jpg")
        assert main(["detect", "mixed", "--format", "yolo", "-o", "labels"]) == 1
        assert "labels/7.txt: got mixed/7.jpg and mixed/7.plf, expected one file" in capsys.readouterr().err


def listing(**changes):
    """A COCO json of the folder's pictures, none of which has boxes."""
    images = [
        {"id": 900 + i, "file_name": f"val/{name}.jpg", "width": 512, "height": 512}
        for i, name in enumerate(("7", "12", "30", "44"))
    ]
    content = {"images": images, "annotations": [], "categories": [{"id": 5, "name": "person"}], **changes}
    Path("val.json").write_text(json.dumps(content))


@pytest.mark.usefixtures("here")
class TestBeside:
    def test_coco_and_yolo_are_written_beside_what_is_printed(self, capsys):
        assert main(["detect", "mixed", "--quiet", *ANY]) == 0
        text = capsys.readouterr().out
        beside = ["--coco", "boxes.json", "--yolo", "labels", "--scores"]
        assert main(["detect", "mixed", "--quiet", *beside, *ANY]) == 0
        assert capsys.readouterr().out == text
        assert main(["detect", "mixed", "--format", "coco", *ANY]) == 0
        assert Path("boxes.json").read_text() == capsys.readouterr().out
        assert main(["detect", "mixed", "--format", "yolo", "-o", "same", "--scores", *ANY]) == 0
        for name in ("12.txt", "30.txt", "7.txt"):
            assert Path("labels", name).read_text() == Path("same", name).read_text()

    def test_ids_of_a_json_are_those_that_pycocotools_evaluates(self, boxes, capsys):
        listing()
        assert main(["detect", "mixed", "--coco", "boxes.json", "--images", "val.json", *ANY]) == 0
        results = json.loads(Path("boxes.json").read_text())
        people = [sum(box.label == "person" for box in one) for one in boxes]
        of = dict(zip((901, 902, 900), people, strict=True))
        assert {i: sum(r["image_id"] == i for r in results) for i in of} == of
        assert {r["category_id"] for r in results} == {5}
        with capsys.disabled():
            coco = pytest.importorskip("pycocotools.coco").COCO("val.json")
            assert len(coco.loadRes("boxes.json").anns) == len(results)

    def test_without_categories_the_detectors_numbers_stay(self):
        listing(categories=[])
        assert main(["detect", "mixed", "--coco", "boxes.json", "--images", "val.json", *ANY]) == 0
        assert 1 in {r["category_id"] for r in json.loads(Path("boxes.json").read_text())}

    def test_classes_of_ones_own_are_numbered_from_1(self):
        assert CocoIds({}, None).of_classes(("crack", "dent", "person")) == [1, 2, 3]

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"images": []}, "val.json: got 0 pictures named '12', expected one, for mixed/12.plf"),
            ({"categories": [{"id": 1, "name": "crack"}]}, "categories: got crack, expected some of the"),
            ({"images": 7}, "val.json: images: got 7, expected a COCO json with a list of them"),
        ],
    )
    def test_a_json_of_something_else_is_named(self, changes, said, capsys):
        listing(**changes)
        assert main(["detect", "mixed", "--coco", "boxes.json", "--images", "val.json", *ANY]) == 1
        assert said in capsys.readouterr().err
        assert not Path("boxes.json").exists()

    def test_two_files_are_not_one_picture(self, capsys):
        listing()
        command = ["detect", "mixed/7.plf", "7.jpg", "--coco", "boxes.json", "--images", "val.json"]
        assert main(command) == 1
        assert "got mixed/7.plf and 7.jpg, expected one file for image 900" in capsys.readouterr().err

    @pytest.mark.parametrize("option", ["--coco", "--yolo"])
    def test_what_cannot_be_written_is_said_before_the_work(self, option, capsys):
        assert main(["detect", "missing.plf", option, "no/such/place"]) == 1
        assert "no/such/place: No such file or directory" in capsys.readouterr().err
