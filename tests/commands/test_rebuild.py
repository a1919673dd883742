"""``featcodec rebuild`` and ``featcodec attack --embed``, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut
from thieves import thief_for_tests

import featcodec
from featcodec.attacks.thief_file import ThiefFile
from featcodec.commands.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photograph, its file, and a thief of the default codec."""
    folder = tmp_path_factory.mktemp("rebuild")
    codec = featcodec.load()
    Image.fromarray(astronaut()[:384]).save(folder / "photo.png")
    (folder / "photo.plf").write_bytes(codec.encode(folder / "photo.png"))
    thief_for_tests(codec.file).save(folder / "thief.safetensors")
    thief_for_tests(codec.file, codec="other", fingerprint="ab" * 16).save(folder / "other.safetensors")
    return folder


@pytest.fixture
def here(folder, monkeypatch, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


pytestmark = pytest.mark.usefixtures("here")
THIEF = ("--thief", "thief.safetensors")


def test_the_picture_is_that_of_the_function(capsys):
    assert main(["rebuild", "photo.plf", "-o", "thief.png", *THIEF]) == 0
    found = featcodec.rebuild(Path("photo.plf").read_bytes(), thief="thief.safetensors")
    with Image.open("thief.png") as picture:
        assert np.array_equal(np.asarray(picture), found)
    first, *about = capsys.readouterr().out.splitlines()
    assert (
        first == f"thief.png: 416 x 312 px, rebuilt from a file of codec {featcodec.zoo.DEFAULT} at quality 4"
    )
    assert about[0].startswith("The thief is a U-Net of ")
    assert "reaches a PSNR of 16.0 dB" in about[1]
    assert "85.8 % of pairs" in about[2]


def test_a_picture_is_first_encoded_in_memory():
    assert main(["rebuild", "photo.png", "-o", "a.png", *THIEF]) == 0
    assert main(["rebuild", "photo.plf", "-o", "b.png", *THIEF]) == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_json_has_the_header_and_all_that_is_known_of_the_thief(capsys):
    assert main(["rebuild", "photo.plf", "-o", "thief.png", "--json", *THIEF]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["output_width"], found["output_height"]) == (416, 312)
    assert (found["width"], found["height"], found["quality"]) == (512, 384, 4.0)
    record = ThiefFile.load("thief.safetensors").record
    assert found["thief"]["fingerprint"] == record.fingerprint
    assert found["thief"]["rebuilt"][1]["psnr"] == 16.04
    assert "compared" not in found


def test_a_sheet_is_written_beside_the_photograph(capsys):
    command = ["rebuild", "photo.plf", "--compare", "photo.png", "-o", "sheet.png", *THIEF]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    with Image.open("sheet.png") as page:
        assert page.size == (found["output_width"], found["output_height"])
        assert page.width == 900
    size = Path("photo.plf").stat().st_size
    given = next(one for one in found["compared"]["rebuilt"] if one["codec"] == featcodec.zoo.DEFAULT)
    assert given["bytes"] == size
    assert found["compared"]["jpeg"]["bytes"] <= size
    assert main(command) == 0
    assert f", quality 4, {size:,} bytes: {given['psnr']:.2f} dB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["photo.plf", "--thief", "other.safetensors"], "the thief learned from files of codec 'other'"),
        (["photo.plf", "--thief", "photo.png"], "photo.png: expected a featcodec thief file, got header"),
        (["photo.plf", "--thief", "none.safetensors"], "none.safetensors: No such file"),
        (["thief.safetensors", *THIEF], "thief.safetensors: "),
        (["photo.plf", *THIEF, "--compare", "thief.safetensors"], "thief.safetensors: "),
        (["photo.plf", *THIEF, "--max-latents", "10"], "photo.plf: "),
    ],
    ids=["another codec's", "no thief", "missing", "no picture", "no photograph", "limits"],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_1(capsys, typed, message):
    assert main(["rebuild", *typed, "-o", "out.png"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("out.png").exists()


def test_the_photograph_of_another_file_is_refused_by_its_name(capsys):
    Image.fromarray(astronaut()).save("square.png")
    assert main(["rebuild", "photo.plf", "--compare", "square.png", "-o", "s.png", *THIEF]) == 1
    assert "square.png: got 512 x 512 pixels, expected 512 x 384" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["photo.png", "thief.npy"])
def test_an_output_that_is_an_input_or_no_picture_is_refused(capsys, output):
    before = Path("photo.png").read_bytes()
    try:
        code = main(["rebuild", "photo.png", "-o", output, *THIEF])
    except SystemExit as stopped:
        code = stopped.code
    assert code in (1, 2)
    assert output in capsys.readouterr().err
    assert Path("photo.png").read_bytes() == before


def test_the_thief_of_ones_own_codec_is_made_by_one_command(capsys):
    for name, count, step in (("train", 22, 8), ("eval", 2, 37)):
        Path(name).mkdir()
        for i in range(count):
            Image.fromarray(astronaut()[step * i : step * i + 130, 9 * i : 9 * i + 140]).save(
                f"{name}/{i:02}.png"
            )
    folders = ["--train", "train", "--eval", "eval", "--work", "work"]
    options = ["--attackers", "unet-36", "--steps", "4", "--quality", "4,8", "--embed", "mine.safetensors"]
    assert main(["attack", featcodec.zoo.DEFAULT, *folders, *options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    thief = ThiefFile.load("mine.safetensors")
    thief.check_codec(featcodec.load().file)
    assert f"mine.safetensors: a thief of {thief.weights:,} weights" in report["notes"][-1]
    record = thief.record
    assert (record.attacker, record.width, record.recipe.steps) == ("unet-36", 36, 4)
    assert (record.photographs, record.points) == (22, (4.0, 8.0))
    measured = [(a["point"], a["psnr"], a["pictures"]) for a in report["attacks"]]
    assert [(row.point, row.psnr, row.pictures) for row in record.rebuilt] == measured
    assert record.reference.blind_psnr == report["attacks"][0]["blind_psnr"]
    assert record.made.command.startswith("featcodec attack ")
    assert Path("mine.safetensors").stat().st_size <= 850_000

    # the figures are those of the file: its pictures are as far from the photographs
    from featcodec.attacks.comparison import compare

    codec = featcodec.load()
    found = []
    for path in sorted(Path("eval").iterdir()):
        with Image.open(path) as picture:
            found.append(compare(picture, codec.encode(path, quality=4), codec, thief).given.psnr)
    assert np.mean(found) == pytest.approx(record.own(4.0).psnr, abs=0.01)


def test_a_thief_is_embedded_of_a_single_codec(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["attack", "a", "b", "--train", "t", "--eval", "e", "--embed", "mine.safetensors"])
    assert stopped.value.code == 2
    assert "argument --embed: got several codecs, expected a single one" in capsys.readouterr().err
