"""The ``featcodec`` command: what it writes, what it prints, and with which exit code it ends."""

import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

import featcodec
from featcodec import console as terminal
from featcodec.commands import bench as bench_cli
from featcodec.commands import decode, encode, finder
from featcodec.commands.main import main
from featcodec.commands.plf import main as plf
from featcodec.pictures.boxes import Boxes
from featcodec.pictures.drawing import CANVAS_PIXELS, canvas, draw_boxes
from featcodec.plf.bitstream import parse, serialize

EVERY_BOX = ["--confidence", "0"]  # there are some whatever the network has learned
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")


@pytest.fixture(scope="module")
def jpeg():
    """A photograph of 512 x 384 pixels, as the bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(astronaut()[:384]).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def data(jpeg):
    """The photograph as a ``.plf``."""
    return featcodec.encode(jpeg)


@pytest.fixture
def here(tmp_path, monkeypatch, jpeg, data):
    """A folder to work in, with ``photo.jpg`` and ``photo.plf``."""
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(jpeg)
    Path("photo.plf").write_bytes(data)
    return tmp_path


@pytest.fixture
def listing(here):
    """Names of what is in the folder."""
    return lambda: sorted(str(p.relative_to(here)) for p in here.rglob("*"))


def stdin(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def run(*arguments, **options):
    """Run ``featcodec`` as a process of its own: expensive, as torch is imported again."""
    command = [sys.executable, "-m", "featcodec.commands.main", *arguments]
    return subprocess.run(command, stderr=PIPE, **{"stdout": PIPE, **options})


def fails(capsys, *arguments):
    """Run a command that must fail with one line; return the line."""
    assert main([str(a) for a in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("featcodec: ")
    assert err.count("\n") == 1
    return err.removeprefix("featcodec: ").removesuffix("\n")


@pytest.mark.usefixtures("here")
class TestEncode:
    def test_the_file_is_what_the_function_gives(self, data, capsys):
        assert main(["encode", "photo.jpg", "-o", "new.plf"]) == 0
        assert Path("new.plf").read_bytes() == data
        rate = f"{8 * len(data) / (512 * 384):.2g}"
        assert capsys.readouterr() == (
            f"new.plf: {len(data):,} bytes, {rate} bpp, quality 4, codec yolox-nano-private\n",
            "",
        )

    def test_quality_codec_and_metadata_reach_the_file(self, capsys):
        options = ["--quality", "2.5", "--codec", "yolox-nano-open", "--metadata", '{"camera": 7}']
        assert main(["encode", "photo.jpg", "-o", "new.plf", *options, "--json"]) == 0
        content = Path("new.plf").read_bytes()
        stream = parse(content)
        assert (stream.header.quality, stream.header.codec, stream.metadata) == (
            2.5,
            "yolox-nano-open",
            {"camera": 7},
        )
        assert json.loads(capsys.readouterr().out) == {
            "file": "photo.jpg",
            "output": "new.plf",
            "status": "encoded",
            "bytes": len(content),
            "bpp": 8 * len(content) / (512 * 384),
            "quality": 2.5,
            "codec": "yolox-nano-open",
            "fingerprint": stream.header.fingerprint.hex(),
            "width": 512,
            "height": 384,
        }

    def test_target_bytes_are_kept(self, data, capsys):
        assert main(["encode", "photo.jpg", "-o", "new.plf", "--target-bytes", str(len(data))]) == 0
        assert Path("new.plf").stat().st_size <= len(data)
        capsys.readouterr()
        line = fails(capsys, "encode", "photo.jpg", "-o", "small.plf", "--target-bytes", 20)
        assert line.startswith("photo.jpg: target_bytes: got 20, expected at least ")
        assert not Path("small.plf").exists()

    def test_standard_input_and_output(self, jpeg, data, monkeypatch, capsysbinary):
        stdin(monkeypatch, jpeg)
        assert main(["encode", "-", "-o", "-"]) == 0
        assert capsysbinary.readouterr() == (data, b"")
        stdin(monkeypatch, b"no picture")
        assert main(["encode", "-", "-o", "-"]) == 1
        out, err = capsysbinary.readouterr()
        assert out == b""
        assert err.startswith(b"featcodec: standard input: no image of a known kind")

    def test_a_photograph_is_not_overwritten(self, jpeg, capsys):
        Path("link.plf").symlink_to("photo.jpg")
        assert "expected another output" in fails(capsys, "encode", "photo.jpg", "-o", "link.plf")
        shutil.copy("photo.jpg", "hidden.plf")
        Path("hidden.jpg").symlink_to("hidden.plf")
        assert "expected another output" in fails(capsys, "encode", "hidden.jpg", "-o", "./")
        assert Path("photo.jpg").read_bytes() == Path("hidden.plf").read_bytes() == jpeg


@pytest.mark.usefixtures("here")
class TestSeveralPictures:
    def test_each_goes_to_the_folder_under_its_name(self, data, capsys):
        shutil.copy("photo.jpg", "other.one.jpg")
        assert main(["encode", "photo.jpg", "other.one.jpg", "-o", "coded"]) == 0
        assert Path("coded/photo.plf").read_bytes() == Path("coded/other.one.plf").read_bytes() == data
        out, err = capsys.readouterr()
        assert [line.split(":")[0] for line in out.splitlines()] == ["coded/photo.plf", "coded/other.one.plf"]
        assert err.startswith("featcodec: 2 encoded, 0 kept, 0 failed; ")

    @pytest.mark.parametrize("output", ["coded/", "there"])
    def test_one_goes_to_a_folder_too(self, output, capsys):
        Path("there").mkdir()
        assert main(["encode", "photo.jpg", "-o", output, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["output"] == str(Path(output, "photo.plf"))
        assert Path(output, "photo.plf").is_file()

    def test_the_others_are_done_after_a_bad_one(self, jpeg, capsys):
        Path("bad.jpg").write_bytes(jpeg[: len(jpeg) // 2])
        assert main(["encode", "missing.jpg", "bad.jpg", "photo.jpg", "-o", "coded/", "--json"]) == 1
        out, err = capsys.readouterr()
        shown = {one["file"]: one["status"] for one in json.loads(out)}
        assert shown == {"missing.jpg": "failed", "bad.jpg": "failed", "photo.jpg": "encoded"}
        head, missing, bad, _totals = err.splitlines()
        assert head == "featcodec: 2 of 3 pictures failed:"
        assert missing == "featcodec: missing.jpg: No such file or directory"
        assert bad.startswith("featcodec: bad.jpg: ")
        assert [p.name for p in Path("coded").glob("*.*") if p.suffix != ".jsonl"] == ["photo.plf"]

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (
                ["photo.jpg", "photo.png", "-o", "new"],
                "new/photo.plf: got photo.jpg and photo.png, expected one picture for each name",
            ),
            (["photo.jpg", "a.jpg", "-o", "-"], "standard output: got 2 pictures, expected one; "),
            (["photo.jpg", "-", "-o", "new"], "standard input: has no name to go by in new; "),
            (["photo.jpg", "a.jpg", "-o", "photo.plf"], "photo.plf: File exists, expected a folder"),
            (["photo.jpg", "a.jpg", "-o", "a/b"], "a/b: No such file or directory, expected a folder"),
        ],
    )
    def test_a_plan_that_cannot_be_is_found_before_the_work(self, listing, arguments, line, capsys):
        assert fails(capsys, "encode", *arguments).startswith(line)
        assert listing() == ["photo.jpg", "photo.plf"]

    def test_progress_is_for_terminals(self, capsys, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        assert main(["encode", "missing.jpg", "photo.jpg", "-o", "coded"]) == 1
        err, _totals = capsys.readouterr().err.rsplit("featcodec: 1 encoded", 1)
        assert err.startswith("\r\x1b[K0/2 missing.jpg\r\x1b[K1/2 (1 failed) photo.jpg\r\x1b[K")
        assert err.endswith(
            "\r\x1b[Kfeatcodec: 1 of 2 pictures failed:\nfeatcodec: missing.jpg: No such file or directory\n"
        )


@pytest.mark.usefixtures("here")
class TestDecode:
    def test_the_array_is_what_the_function_gives(self, data, capsys):
        assert main(["decode", "photo.plf", "-o", "photo.npy"]) == 0
        array = np.load("photo.npy", allow_pickle=False)
        assert (array.dtype, array.shape) == (np.float32, (1, 64, 40, 52))
        assert np.array_equal(array, featcodec.decode(data).numpy())
        shown = "photo.npy: 1 x 64 x 40 x 52 features, float32, codec yolox-nano-private\n"
        assert capsys.readouterr() == (shown, "")

    def test_latents(self, data, capsys):
        assert main(["decode", "photo.plf", "-o", "photo.npy", "--latents"]) == 0
        expected, _ = featcodec.load("yolox-nano-private").decode_latents(data)
        assert np.array_equal(np.load("photo.npy"), expected.numpy())
        assert "26 latents, float32" in capsys.readouterr().out

    def test_standard_input_and_output(self, data, monkeypatch, capsysbinary):
        stdin(monkeypatch, data)
        assert main(["decode", "/dev/stdin", "-o", "/dev/stdout"]) == 0
        out, err = capsysbinary.readouterr()
        assert np.array_equal(np.load(io.BytesIO(out)), featcodec.decode(data).numpy())
        assert err == b""

    def test_the_coded_file_is_not_overwritten(self, data, capsys):
        assert "expected another output" in fails(capsys, "decode", "photo.plf", "-o", "./photo.plf")
        assert Path("photo.plf").read_bytes() == data

    def test_a_codec_of_ones_own(self, jpeg, capsys):
        default = featcodec.load("yolox-nano-private")
        config = dataclasses.replace(default.file.config, name="mine-cli")
        mine = featcodec.FeatureCodec(dataclasses.replace(default.file, config=config), default.network)
        mine.save("mine.safetensors")
        Path("mine.plf").write_bytes(mine.encode(jpeg))
        line = fails(capsys, "decode", "mine.plf", "-o", "mine.npy")
        assert line.startswith("mine.plf: the file wants codec 'mine-cli' with fingerprint ")
        assert "--codec PATH" in line
        assert main(["decode", "mine.plf", "-o", "mine.npy", "--codec", "mine.safetensors"]) == 0
        assert np.array_equal(np.load("mine.npy"), default.decode(default.encode(jpeg)).numpy())

    def test_the_codec_asked_for_is_the_one_used(self, capsys):
        line = fails(capsys, "decode", "photo.plf", "-o", "photo.npy", "--codec", "yolox-nano-open")
        assert re.match("photo.plf: the file wants codec 'yolox-nano-private' .* got 'yolox-nano-open'", line)

    def test_max_pixels_is_a_limit(self, capsys):
        assert main(["decode", "photo.plf", "-o", "photo.npy", "--max-pixels", str(512 * 384)]) == 0
        capsys.readouterr()
        line = fails(capsys, "detect", "photo.plf", "--max-pixels", 512 * 384 - 1)
        assert "got 196,608 pixels, expected at most 196,607" in line

    @pytest.mark.parametrize("command", [["decode", "-o", "photo.npy"], ["detect"]])
    @pytest.mark.parametrize(
        ("option", "limit", "what"),
        [
            ("--max-latents", 519, "got 520 positions"),
            ("--max-payload", 3, "section D"),
            ("--max-sections", 1, "got 2 sections"),
            ("--max-file", 60, "file: got "),
            ("--max-memory", 2**20, "decoding 20 x 26 latents of 128 channels and 64 features: would take"),
        ],
    )
    def test_every_limit_has_an_option(self, command, option, limit, what, capsys):
        name, *rest = command
        line = fails(capsys, name, "photo.plf", *rest, option, limit)
        assert what in line or "expected at most 60 bytes" in line  # before it is read
        assert f"expected at most {limit:,}" in line


@pytest.mark.usefixtures("here")
class TestDetect:
    def test_json_is_what_the_function_gives(self, data, capsys):
        assert main(["detect", "photo.plf", "--json", *EVERY_BOX]) == 0
        shown = json.loads(capsys.readouterr().out)
        boxes = featcodec.load("yolox-nano-private").detect(data, confidence=0)
        assert shown.pop("boxes") == [dataclasses.asdict(box) for box in boxes]
        assert len(boxes) > 0
        assert shown == {
            "file": "photo.plf",
            "bytes": len(data),
            "codec": "yolox-nano-private",
            "fingerprint": parse(data).header.fingerprint.hex(),
            "quality": 4.0,
            "width": 512,
            "height": 384,
            "confidence": 0.0,
            "drawing": None,
        }

    def test_text_is_one_line_a_box(self, data, capsys):
        assert main(["detect", "photo.plf", *EVERY_BOX]) == 0
        out, err = capsys.readouterr()
        boxes = featcodec.load("yolox-nano-private").detect(data, confidence=0)
        rows = [re.split(r"\s\s+|(?<=\d)\s", line) for line in out.splitlines()]
        best = boxes[0]
        corners = [f"{corner:.1f}" for corner in (best.x1, best.y1, best.x2, best.y2)]
        assert len(rows) == len(boxes)
        assert rows[0] == [best.label, f"{best.score:.2f}", *corners]
        assert err == ""

    def test_nothing_found_is_said(self, capsys):
        assert main(["detect", "photo.plf", "--confidence", "1"]) == 0
        assert capsys.readouterr() == ("", "no box with a score of 1 or more\n")

    def test_a_picture_is_encoded_first(self, jpeg, monkeypatch, capsys):
        assert main(["detect", "photo.plf", "--json", *EVERY_BOX]) == 0
        coded = json.loads(capsys.readouterr().out)
        stdin(monkeypatch, jpeg)
        assert main(["detect", "-", "--json", *EVERY_BOX]) == 0
        assert json.loads(capsys.readouterr().out) == {**coded, "file": "-"}

    def test_a_file_without_its_photograph_is_drawn_on_grey(self):
        assert main(["detect", "photo.plf", "--draw", "boxes.png", "--confidence", "1"]) == 0
        with Image.open("boxes.png") as drawn:
            assert (drawn.size, drawn.getcolors()) == ((512, 384), [(512 * 384, (128, 128, 128))])

    def test_a_photograph_is_drawn_on(self):
        nothing = ["--confidence", "1"]
        assert main(["detect", "photo.plf", "--draw", "on.png", "--on", "photo.jpg", *nothing]) == 0
        assert main(["detect", "photo.jpg", "--draw", "self.png", *nothing]) == 0
        with Image.open("on.png") as on, Image.open("self.png") as own, Image.open("photo.jpg") as photo:
            assert on.tobytes() == own.tobytes() == photo.tobytes()
        assert main(["detect", "photo.plf", "--draw", "boxes.webp", "--on", "photo.jpg", *EVERY_BOX]) == 0
        with Image.open("boxes.webp") as drawn:
            assert (drawn.format, drawn.size) == ("WEBP", (512, 384))

    def test_another_photograph_is_refused(self, listing, capsys):
        Image.new("RGB", (384, 512)).save("turned.png")
        line = fails(capsys, "detect", "photo.plf", "--draw", "boxes.png", "--on", "turned.png")
        assert line.startswith("turned.png: got 384 x 512 pixels, expected 512 x 384, ")
        assert "boxes.png" not in listing()

    def test_a_photograph_is_not_drawn_over(self, jpeg, capsys):
        assert "expected another output" in fails(capsys, "detect", "photo.jpg", "--draw", "photo.jpg")
        line = fails(capsys, "detect", "photo.plf", "--draw", "photo.jpg", "--on", "photo.jpg")
        assert "expected another output" in line
        assert Path("photo.jpg").read_bytes() == jpeg

    def test_a_large_drawing_is_scaled_down(self):
        Image.new("L", (4000, 3000)).save("large.png")
        assert main(["detect", "large.png", "--draw", "boxes.jpg", *EVERY_BOX]) == 0
        with Image.open("boxes.jpg") as drawn:
            assert drawn.size == (2309, 1732)


class TestZoo:
    def test_json(self, capsys):
        assert main(["zoo", "--json"]) == 0
        listed = json.loads(capsys.readouterr().out)
        assert tuple(one["name"] for one in listed) == featcodec.zoo.names()
        assert [one["name"] for one in listed if one["default"]] == ["yolox-nano-private"]
        for one in listed:
            assert one["fingerprint"] == featcodec.zoo.decoder(one["name"]).fingerprint.hex()
            assert one["bytes"] > 0

    def test_text(self, capsys):
        assert main(["zoo"]) == 0
        out = capsys.readouterr().out
        assert "yolox-nano-private (default): " in out
        assert featcodec.load("yolox-nano-open").fingerprint.hex() in out


@pytest.mark.usefixtures("here")
class TestBadInput:
    @pytest.mark.parametrize("command", ["encode", "detect"])
    def test_what_is_no_picture(self, listing, jpeg, command, capsys):
        Path("text.jpg").write_text("hello, world")
        Path("empty.jpg").touch()
        Path("cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
        Path("folder.jpg").mkdir()
        before = listing()
        option = {"encode": "-o", "detect": "--draw"}[command]
        for path, reason in [
            ("missing.jpg", "No such file or directory"),
            ("text.jpg", "no image of a known kind (it starts with b'hello, w')"),
            ("empty.jpg", "got 0 bytes, expected an image"),
            ("cut.jpg", "no readable image: image file is truncated"),
            ("folder.jpg", "got no pictures, expected" if command == "encode" else "Is a directory"),
        ]:
            assert fails(capsys, command, path, option, "new.png").startswith(f"{path}: {reason}")
        assert listing() == before

    @pytest.mark.parametrize("command", ["decode", "detect"])
    def test_what_is_no_sound_file(self, listing, data, command, capsys):
        stream = parse(data)
        foreign = dataclasses.replace(stream.header, fingerprint=bytes(16), codec="foreign")
        Path("foreign.plf").write_bytes(serialize(dataclasses.replace(stream, header=foreign)))
        swapped = stream.payload[4:] + stream.payload[:4]
        Path("garbage.plf").write_bytes(serialize(dataclasses.replace(stream, payload=swapped)))
        Path("cut.plf").write_bytes(data[:-1])
        Path("text.plf").write_bytes(data.replace(b"\r\n", b"\n"))
        before = listing()
        option = {"decode": "-o", "detect": "--draw"}[command]
        for path, reason in [
            ("missing.plf", "No such file or directory"),
            ("foreign.plf", f"the file wants codec 'foreign' with fingerprint {bytes(16).hex()}, "),
            ("garbage.plf", ""),
            ("cut.plf", "checksum of section 'D'"),
            ("text.plf", "magic at offset 0: got "),
        ]:
            assert fails(capsys, command, path, option, "new.png").startswith(f"{path}: {reason}")
        assert listing() == before

    def test_a_picture_is_no_plf_and_the_other_way_round(self, capsys):
        assert fails(capsys, "decode", "photo.jpg", "-o", "a.npy").startswith("photo.jpg: magic at offset 0")
        assert "got a .plf file, expected an image" in fails(capsys, "encode", "photo.plf", "-o", "a.plf")

    @pytest.mark.parametrize(
        ("codec", "line"),
        [
            ("nowhere", "codec: got 'nowhere', expected a path or one of yolov5s-p3, yolox-nano-open"),
            ("missing.safetensors", "missing.safetensors: No such file or directory"),
            ("n" * 256, "codec: got 'nnn"),
            ("n\0n", r"codec: got 'n\x00n', expected a path or one of yolov5s-p3"),
            ("n" * 256 + ".safetensors", "n" * 256 + ".safetensors: File name too long"),
            ("photo.jpg", "photo.jpg: expected a featcodec codec file"),
        ],
    )
    def test_a_codec_that_is_none(self, codec, line, capsys):
        assert fails(capsys, "encode", "photo.jpg", "-o", "a.plf", "--codec", codec).startswith(line)
        assert fails(capsys, "decode", "photo.plf", "-o", "a.npy", "--codec", codec).startswith(line)

    def test_a_hostile_file_name_stays_one_harmless_line(self, capsys):
        path = "a\n\x1b[31mb.jpg"
        Path(path).touch()
        assert fails(capsys, "encode", path, "-o", "a.plf") == (
            r"a\n\x1b[31mb.jpg: got 0 bytes, expected an image"
        )

    def test_what_pillow_mutters_is_kept_from_the_terminal(self, jpeg, capsys, recwarn):
        exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01"  # ends in its first entry
        block = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
        Path("odd.jpg").write_bytes(jpeg[:2] + block + jpeg[2:])
        assert main(["encode", "odd.jpg", "-o", "odd.plf"]) == 0
        assert capsys.readouterr().err == ""
        assert not recwarn.list


# what no file can be called, or what is none; the last is a byte that is no text, as the shell hands it over
ODD_PATHS = ("n" * 256, "n" * 5000, "a\0b", "photo.jpg/x", "missing/x", "\udcff")
PATH_ARGUMENTS = {
    "image": "encode @ -o b.plf",
    "network": "encode photo.jpg -o b.plf --network @.pt",
    "code": "encode photo.jpg -o b.plf --network @:net",
    "weights": "encode photo.jpg -o b.plf --network yolov5n --weights @",
    "file": "decode @ -o b.npy",
    "codec": "decode photo.plf -o b.npy --codec @",
    "codec file": "decode photo.plf -o b.npy --codec @.safetensors",
    "output": "decode photo.plf -o @/b.npy",
    "photograph": "detect photo.plf --draw b.png --on @",
    "drawing": "detect photo.plf --draw @/b.png",
    "layers": "layers yolov5n --weights @",
    "fit": "fit yolov5n --at 4 --images @ -o c.safetensors --steps 1",
    "training": "attack yolox-nano-private --train @ --eval . --work w",
    "evaluation": "attack yolox-nano-private --train . --eval @ --work w",
}


@pytest.mark.usefixtures("here")
class TestOddPaths:
    @pytest.mark.parametrize("odd", ODD_PATHS, ids=["256", "5000", "null", "a file", "missing", "no text"])
    @pytest.mark.parametrize("arguments", PATH_ARGUMENTS.values(), ids=PATH_ARGUMENTS.keys())
    def test_every_argument_that_is_a_path_ends_with_one_line(self, arguments, odd, capsys):
        line = fails(capsys, *(part.replace("@", odd) for part in arguments.split()))
        assert line.isprintable()

    @pytest.mark.parametrize("odd", ODD_PATHS, ids=["256", "5000", "null", "a file", "missing", "no text"])
    def test_so_does_every_one_of_plf_and_of_the_bench(self, odd, capsys):
        coco = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 96, "height": 96}],
            "annotations": [],
            "categories": [{"id": 1, "name": "person"}],
        }
        Path("coco.json").write_text(json.dumps(coco))
        for command in (
            "info @",
            "verify @",
            "map @ -o b.png",
            "dump @",
            "diff @ photo.plf",
            "conformance @",
        ):
            assert plf([part.replace("@", odd) for part in command.split()]) in (1, 2), command
            assert capsys.readouterr().err.count("\n") == 1, command
        for options in ("--data @ --images .", "--data coco.json --images @", "--html @/a.html"):
            assert bench_cli.main([part.replace("@", odd) for part in options.split()]) == 1, options
            assert capsys.readouterr().err.count("\n") == 1, options

    def test_names_that_are_no_text_work(self, jpeg, capsys):
        Path("\udcff.jpg").write_bytes(jpeg)
        assert main(["encode", "\udcff.jpg", "-o", "\udcfe.plf", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["file"] == "\udcff.jpg"
        assert main(["detect", "\udcfe.plf", "--draw", "\udcff.png"]) == 0
        assert plf(["info", "\udcfe.plf"]) == 0
        assert Path("\udcff.png").is_file()
        capsys.readouterr()


@pytest.mark.usefixtures("here")
class TestMetadata:
    @pytest.mark.parametrize(
        ("text", "got"),
        [
            ('{"a": 1, "a": 2}', "got key 'a' twice, expected unique keys"),
            ('{"b": {"a": 1, "a": 1}}', "got key 'a' twice"),
            ('{"a": NaN}', "got NaN, expected a JSON number"),
            ('{"a": -Infinity}', "got -Infinity, expected a JSON number"),
            ('{"a": 1e999}', "got number 1e999"),
            ('{"a": 9007199254740992}', "expected one within 2**53 - 1"),
            ('{"a": "\\ud800"}', "half of a surrogate pair"),
            ('{"a": "\udcff"}', "expected UTF-8"),
            ("{1: 2}", "expected JSON"),
            ("[1]", "got list, expected a JSON object"),
            ("[" * 100_000, "level 33 of nesting"),
        ],
    )
    def test_what_a_file_cannot_hold_is_refused_by_name(self, text, got, capsys):
        with pytest.raises(SystemExit) as ended:
            main(["encode", "photo.jpg", "-o", "a.plf", "--metadata", text])
        assert ended.value.code == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("featcodec encode: error: argument --metadata: ")
        assert got in error


@pytest.mark.usefixtures("here")
class TestBadOutput:
    @pytest.mark.parametrize(
        "command",
        [["encode", "photo.jpg", "-o"], ["decode", "photo.plf", "-o"], ["detect", "photo.plf", "--draw"]],
    )
    def test_it_is_found_before_the_work(self, listing, command, capsys, monkeypatch):
        monkeypatch.setattr(encode, "codec_for_request", None)
        monkeypatch.setattr(decode, "decoder_for", None)
        for name in ("codec_of", "codec_for"):
            monkeypatch.setattr(finder, name, None)
        before = listing()
        assert fails(capsys, *command, "no/such.png") == "no/such.png: No such file or directory"
        assert fails(capsys, *command, "photo.jpg/a.png") == "photo.jpg/a.png: Not a directory"
        assert listing() == before

    def test_a_directory(self, capsys):
        Path("there.png").mkdir()
        assert fails(capsys, "decode", "photo.plf", "-o", "there.png") == "there.png: Is a directory"
        assert fails(capsys, "detect", "photo.plf", "--draw", "there.png") == "there.png: Is a directory"

    @needs_full
    def test_a_full_disk(self, capsys):
        for command in (["encode", "photo.jpg"], ["decode", "photo.plf"]):
            assert fails(capsys, *command, "-o", "/dev/full") == "/dev/full: No space left on device"

    def test_binary_data_is_kept_from_terminals(self, capsys, monkeypatch):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        line = fails(capsys, "encode", "photo.jpg", "-o", "-")
        assert line == "standard output: got a terminal, expected a file or a pipe for binary data"

    def test_json_and_data_do_not_share_a_stream(self, capsys):
        assert "got --json and -o -" in fails(capsys, "encode", "photo.jpg", "-o", "-", "--json")


class TestCommandLine:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["show"],
            ["encode", "a.jpg"],
            ["encode", "-o", "a.plf"],
            ["encode", "a.jpg", "-o", ""],
            ["encode", "a.jpg", "-o", "a.plf", "--quality", "8.1"],
            ["encode", "a.jpg", "-o", "a.plf", "--quality", "nan"],
            ["encode", "a.jpg", "-o", "a.plf", "--quality", "4", "--target-bytes", "4000"],
            ["encode", "a.jpg", "-o", "a.plf", "--target-bytes", "0"],
            ["encode", "a.jpg", "-o", "a.plf", "--metadata", "{"],
            ["encode", "a.jpg", "-o", "a.plf", "--metadata", "[" * 10_000],
            ["encode", "a.jpg", "-o", "a.plf", "--metadata", "[]"],
            ["encode", "a.jpg", "-o", "a.plf", "--metadata", '{"a": NaN}'],
            ["encode", "a.jpg", "-o", "a.plf", "--metadata", json.dumps({"a": "b" * 65_536})],
            ["decode", "a.plf"],
            ["decode", "a.plf", "-o", "a.npy", "--max-pixels", "0"],
            ["detect", "a.plf", "--confidence", "1.1"],
            ["detect", "a.plf", "--draw", "a.xyz"],
            ["detect", "a.plf", "--on", "a.jpg"],
        ],
    )
    def test_wrong_usage_is_exit_code_2(self, arguments, capsys):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith("usage: featcodec")

    def test_without_a_command_help_is_shown(self, capsys):
        assert main([]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert all(name in err for name in ("encode", "decode", "detect", "zoo"))

    @pytest.mark.parametrize("given", ["--faces", "--face-model"])
    def test_faces_need_a_folder_and_a_network(self, given, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["attack", "yolox-nano-private", "--train", "a", "--eval", "b", given, "c"])
        assert caught.value.code == 2
        assert "got one of them, expected both or none" in capsys.readouterr().err

    @pytest.mark.parametrize("command", [main, bench_cli.main])
    def test_version(self, command, capsys):
        with pytest.raises(SystemExit) as caught:
            command(["--version"])
        assert caught.value.code == 0
        assert f" {featcodec.__version__}" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
class TestExitCodes:
    @pytest.mark.parametrize(
        ("error", "status"),
        [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141), (featcodec.FitError("no"), 1)],
    )
    def test_what_is_expected_ends_quietly(self, error, status, capsys):
        def command():
            raise error

        assert terminal.run_command("featcodec", command) == status
        assert capsys.readouterr() == ("", "featcodec: no\n" if status == 1 else "")

    def test_a_bug_keeps_its_traceback(self, monkeypatch):
        def broken(*_, **__):
            raise OSError("from inside a library")

        monkeypatch.setattr(decode, "parse", broken)
        with pytest.raises(OSError, match="from inside a library"):
            main(["decode", "photo.plf", "-o", "photo.npy"])


@pytest.mark.usefixtures("here")
class TestProcess:
    def test_help_and_version_import_neither_torch_nor_numpy(self):
        script = (
            "import sys, contextlib; from featcodec.commands.main import main\n"
            "for option in ('--help', '--version'):\n"
            "    with contextlib.suppress(SystemExit): main([option])\n"
            "main(['decode', 'missing.plf', '-o', 'a.npy'])\n"
            "sys.exit(bool({'torch', 'numpy', 'PIL', 'constriction'} & set(sys.modules)))"
        )
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)

    def test_data_goes_through_pipes_unharmed(self, jpeg, data):
        done = run("encode", "-", "-o", "-", input=jpeg)
        assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")

    def test_a_bad_picture_is_one_line_and_exit_code_1(self, jpeg):
        Path("cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
        done = run("encode", "cut.jpg", "-o", "cut.plf")
        assert (done.returncode, done.stdout) == (1, b"")
        assert re.fullmatch(rb"featcodec: cut\.jpg: no readable image: [^\n]*\n", done.stderr)

    @needs_full
    def test_a_full_disk_behind_standard_output(self, jpeg):
        with Path("/dev/full").open("wb") as full:
            done = run("encode", "-", "-o", "-", input=jpeg, stdout=full)
        assert (done.returncode, done.stderr) == (1, b"featcodec: standard output: No space left on device\n")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
    def test_an_interrupt_is_quiet(self, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        command = [
            sys.executable,
            "-m",
            "featcodec.commands.main",
            "decode",
            str(pipe),
            "-o",
            str(tmp_path / "a.npy"),
        ]
        # tests in the background of a script inherit an interrupt that is ignored
        heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        options = {"stdout": PIPE, "stderr": PIPE, "preexec_fn": heed}
        with subprocess.Popen(command, **options) as process, pipe.open("wb"):
            process.send_signal(signal.SIGINT)  # opening the pipe has waited until the process read from it
            assert process.communicate(timeout=30) == (b"", b"")
        assert process.returncode == 130


def some_boxes(*corners):
    count = len(corners)
    xyxy = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)
    return Boxes(xyxy, torch.linspace(0.9, 0.5, count), torch.arange(count), ("cat",) * count)


class TestDrawing:
    def test_frames_lie_where_the_boxes_are(self):
        drawn = np.asarray(draw_boxes(canvas(200, 100), some_boxes([20, 40, 180, 90])))
        changed = (drawn != 128).any(2)
        assert changed[90, 20:181].all()
        assert changed[40:91, 180].all()
        assert not changed[60:80, 40:160].any()

    def test_boxes_are_in_pixels_of_the_photograph(self):
        small = draw_boxes(canvas(200, 100), some_boxes([20, 40, 180, 90]))
        large = draw_boxes(canvas(200, 100), some_boxes([200, 400, 1800, 900]), photograph=(2000, 1000))
        assert small.tobytes() == large.tobytes()

    def test_the_picture_stays_as_it_is(self):
        picture = canvas(64, 64)
        draw_boxes(picture, some_boxes([0, 0, 63, 63]))
        assert picture.getcolors() == [(64 * 64, (128, 128, 128))]

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (40, 40), (3000, 20)])
    def test_any_picture_and_any_box_can_be_drawn(self, size):
        boxes = some_boxes([0, 0, *size], [*size, *size], [0, 0, 0, 0], [-9, -9, 9e9, 9e9])
        assert draw_boxes(canvas(*size), boxes).size == size

    @pytest.mark.parametrize("size", [(1, 2**28), (2**28, 1), (2**14, 2**14), (2001, 2000), (2000, 2000)])
    def test_canvases_are_bounded(self, size):
        width, height = canvas(*size).size
        assert 1 <= width * height <= CANVAS_PIXELS
        assert max(width, height) < 2**14  # what WebP can hold
