"""Encoding whole folders: what goes where, what is kept of a run before, and what a killed run leaves."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featcodec
from featcodec.commands.batch import ledger as ledger_module
from featcodec.commands.batch import work
from featcodec.commands.batch.ledger import LEDGER
from featcodec.commands.main import main
from featcodec.plf.bitstream import parse

KILLS = 20


def bitmap(seed: int) -> bytes:
    """A picture whose file has the same size whatever is on it."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


def counting(read: list[bytes]):
    """SHA-256 that keeps what it was of."""

    def sha256(data: bytes):
        read.append(data)
        return real(data)

    real = hashlib.sha256
    return sha256


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in: ``photos`` with two pictures, one in a subfolder, and what is no picture."""
    monkeypatch.chdir(tmp_path)
    photo(Path("photos/a.png"), 1)
    photo(Path("photos/b.one.JPG"), 2)
    photo(Path("photos/sub/a.png"), 3)
    Path("photos/notes.txt").write_text("no picture")
    Path("photos/.hidden.png").write_bytes(b"no picture")
    return tmp_path


@pytest.fixture
def encode(here, capsys):  # noqa: ARG001
    """Run ``featcodec encode photos -o coded --json`` with more arguments; statuses by name of the output."""

    def run(*arguments: str, status: int = 0) -> dict[str, str]:
        assert main(["encode", "photos", "-o", "coded", "--json", *arguments]) == status
        shown = json.loads(capsys.readouterr().out)
        return {str(Path(one["output"]).relative_to("coded")): one["status"] for one in shown}

    return run


def files(folder: str) -> list[str]:
    found = (path for path in Path(folder).rglob("*") if path.is_file() and path.name != LEDGER)
    return sorted(str(path.relative_to(folder)) for path in found)


@pytest.mark.usefixtures("here")
class TestFolders:
    def test_every_picture_of_a_folder_is_encoded(self, capsys):
        assert main(["encode", "photos/", "-o", "coded"]) == 0
        assert files("coded") == ["a.plf", "b.one.plf"]
        assert Path("coded/a.plf").read_bytes() == featcodec.encode("photos/a.png")
        out, err = capsys.readouterr()
        assert [line.split(":")[0] for line in out.splitlines()] == ["coded/a.plf", "coded/b.one.plf"]
        read = sum(Path("photos", name).stat().st_size for name in ("a.png", "b.one.JPG"))
        made = sum(Path("coded", name).stat().st_size for name in files("coded"))
        sizes = rf"{read:,} bytes of pictures, {made:,} bytes of \.plf files"
        assert re.fullmatch(rf"featcodec: 2 encoded, 0 kept, 0 failed; {sizes}; [0-9.]+ s\n", err)

    def test_subfolders_stay_the_same_below_the_output(self, encode):
        made = encode("--recursive")
        assert made == dict.fromkeys(["a.plf", "b.one.plf", "sub/a.plf"], "encoded")
        assert files("coded") == sorted(made)
        assert set(encode("--recursive").values()) == {"kept"}

    def test_folders_and_pictures_go_together(self, capsys):
        photo(Path("c.png"))
        assert main(["encode", "photos", "c.png", "-o", "coded", "--json"]) == 0
        assert [one["file"] for one in json.loads(capsys.readouterr().out)] == [
            "photos/a.png",
            "photos/b.one.JPG",
            "c.png",
        ]
        assert files("coded") == ["a.plf", "b.one.plf", "c.plf"]

    def test_a_folder_without_pictures_is_refused(self, capsys):
        Path("empty/below").mkdir(parents=True)
        photo(Path("empty/below/a.png"))
        assert main(["encode", "photos", "empty", "-o", "coded"]) == 1
        line = capsys.readouterr().err
        assert line.startswith("featcodec: empty: got no pictures, expected some with endings such as .jpg")
        assert "--recursive" in line
        assert not Path("coded").exists()

    def test_two_pictures_of_one_name_are_refused(self, capsys):
        photo(Path("photos/a.bmp"))
        assert main(["encode", "photos", "-o", "coded"]) == 1
        line = (
            "got photos/a.bmp and photos/a.png, expected one picture for each name; --keep-suffix keeps both"
        )
        assert line in capsys.readouterr().err
        assert main(["encode", "photos", "-o", "coded", "--keep-suffix"]) == 0
        assert files("coded") == ["a.bmp.plf", "a.png.plf", "b.one.JPG.plf"]

    def test_what_failed_is_listed_at_the_end(self, capsys):
        Path("photos/bad.png").write_bytes(b"no picture")
        arguments = ["encode", "missing.jpg", "photos", "-o", "coded"]
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert out.count("\n") == 2
        head, missing, bad, totals = err.splitlines()
        assert totals.startswith("featcodec: 2 encoded, 0 kept, 2 failed; ")
        assert head == "featcodec: 2 of 4 pictures failed:"
        assert missing == "featcodec: missing.jpg: No such file or directory"
        assert bad.startswith("featcodec: photos/bad.png: no image of a known kind")
        assert main([*arguments, "--json"]) == 1
        shown = json.loads(capsys.readouterr().out)
        assert [one["status"] for one in shown] == ["failed", "kept", "kept", "failed"]
        failed = {"file": "missing.jpg", "output": "coded/missing.plf", "status": "failed"}
        assert shown[0] == {**failed, "error": "missing.jpg: No such file or directory"}

    def test_what_was_passed_over_is_said_once_at_the_end(self, capsys):
        for name in ("photos/c.HEIC", "photos/d.nef", "photos/sub/e.heic"):
            Path(name).touch()
        for arguments, expected in (
            ([], "2 files (1 HEIC, 1 RAW), photos/c.HEIC and photos/d.nef"),
            (["--recursive"], "3 files (2 HEIC, 1 RAW), photos/c.HEIC, photos/d.nef and photos/sub/e.heic"),
        ):
            assert main(["encode", "photos", "-o", "coded", *arguments]) == 0
            totals, line = capsys.readouterr().err.splitlines()
            assert totals.startswith("featcodec: ")
            assert line == f"featcodec: passed over {expected}: convert them to JPEG or PNG"
        assert (
            main(["encode", "photos/c.HEIC", "photos/a.png", "-o", "coded"]) == 1
        )  # named itself: a failure
        failed, empty, _totals = capsys.readouterr().err.splitlines()
        assert failed == "featcodec: 1 of 2 pictures failed:"
        assert empty == "featcodec: photos/c.HEIC: got 0 bytes, expected an image"

    def test_max_pixels_is_a_limit(self, capsys):
        photo(Path("photos/large.png"), size=(41, 30))
        assert main(["encode", "photos", "-o", "coded", "--max-pixels", "1200"]) == 1
        assert "large.png" in capsys.readouterr().err
        assert files("coded") == ["a.plf", "b.one.plf"]


def written(path):
    """All that a file's status says of it, but for when it was read."""
    found = Path(path).stat()
    return {n: getattr(found, n) for n in dir(found) if n.startswith("st_") and "atime" not in n}


@pytest.mark.usefixtures("here")
class TestFinished:
    def test_what_is_there_is_kept(self, encode, capsys):
        assert encode() == dict.fromkeys(["a.plf", "b.one.plf"], "encoded")
        before = written("coded/a.plf")
        Path("coded/b.one.plf").unlink()
        assert encode() == {"a.plf": "kept", "b.one.plf": "encoded"}
        assert written("coded/a.plf") == before
        assert main(["encode", "photos/a.png", "-o", "coded/"]) == 0
        assert capsys.readouterr().out.endswith(", codec yolox-nano-private (kept)\n")

    def test_a_single_named_output_is_always_written(self, capsys):
        for _ in range(2):
            assert main(["encode", "photos/a.png", "-o", "a.plf", "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["status"] == "encoded"

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--overwrite"],
            ["--quality", "6"],
            ["--codec", "yolox-nano-open"],
            ["--metadata", "{}"],
        ],
    )
    def test_what_would_come_out_otherwise_is_encoded_again(self, encode, arguments):
        encode()
        assert set(encode(*arguments).values()) == {"encoded"}
        if "--overwrite" not in arguments:
            assert set(encode(*arguments).values()) == {"kept"}

    def test_damaged_files_are_encoded_again(self, encode):
        encode()
        good = Path("coded/a.plf").read_bytes()
        for bad in (b"", good[:-1], good[:-1] + b"\0", good + b"\0"):
            Path("coded/a.plf").write_bytes(bad if bad != good else good[:-1] + b"\1")
            assert encode() == {"a.plf": "encoded", "b.one.plf": "kept"}
            assert Path("coded/a.plf").read_bytes() == good

    def test_times_decide_nothing(self, encode):
        encode()
        before = written("coded/a.plf")
        os.utime("photos/a.png", ns=(0, 2**62))
        assert set(encode().values()) == {"kept"}
        assert written("coded/a.plf") == before

    @pytest.mark.parametrize("same_times", [False, True])
    def test_another_picture_of_the_same_size_and_an_older_time_is_encoded(self, encode, same_times):
        for number in range(2):
            Path(f"photos/{number}.bmp").write_bytes(bitmap(number))
        status = Path("photos/0.bmp").stat()
        encode()
        Path("photos/0.bmp").write_bytes(bitmap(2))
        old = (status.st_atime_ns, status.st_mtime_ns) if same_times else (0, 0)
        os.utime("photos/0.bmp", ns=old)
        assert Path("photos/0.bmp").stat().st_size == status.st_size
        assert [name for name, what in encode().items() if what == "encoded"] == ["0.plf"]
        assert Path("coded/0.plf").read_bytes() == featcodec.encode(bitmap(2))

    def test_swapped_names_are_encoded_each_anew(self, encode):
        for number in range(2):
            Path(f"photos/{number}.bmp").write_bytes(bitmap(number))
        encode()
        for old, new in (("0.bmp", "x"), ("1.bmp", "0.bmp"), ("x", "1.bmp")):
            Path("photos", old).rename(Path("photos", new))
        assert [name for name, what in encode().items() if what == "encoded"] == ["0.plf", "1.plf"]
        for number in range(2):
            assert Path(f"coded/{number}.plf").read_bytes() == featcodec.encode(bitmap(1 - number))

    def test_swapped_outputs_are_noticed_too(self, encode):
        encode()
        a, b = Path("coded/a.plf"), Path("coded/b.one.plf")
        right = a.read_bytes()
        a.write_bytes(b.read_bytes())
        assert encode() == {"a.plf": "encoded", "b.one.plf": "kept"}
        assert a.read_bytes() == right

    def test_without_its_ledger_nothing_is_kept_unseen(self, encode):
        encode()
        before, right = written("coded/a.plf"), Path("coded/b.one.plf").read_bytes()
        Path("coded/b.one.plf").write_bytes(featcodec.encode("photos/a.png"))  # sound, but of another picture
        Path("coded", LEDGER).unlink()
        assert encode() == {"a.plf": "kept", "b.one.plf": "encoded"}
        assert written("coded/a.plf") == before  # encoded again, with the same bytes: left alone
        assert Path("coded/b.one.plf").read_bytes() == right

    def test_torn_and_foreign_lines_of_the_ledger_are_left_out(self, encode):
        encode()
        ledger = Path("coded", LEDGER)
        whole = ledger.read_bytes()
        lines = [b"{}", b"[1,2]", b"[" * 10_000, b'[1,"a",3,"b",null]', b'[1,"a","b","c",["x"]]', b"\xff\0"]
        ledger.write_bytes(b"\n".join([whole[:60], *lines, whole[60:-20]]))
        assert encode() == {"a.plf": "kept", "b.one.plf": "kept"}
        assert ledger.read_bytes().startswith(whole[:60])

    def test_a_picture_that_nobody_touched_is_not_read_again(self, encode, monkeypatch):
        for name in ("a.png", "b.one.JPG"):
            os.utime(Path("photos", name), (0, 0))
        monkeypatch.setattr(ledger_module, "_RACY", -1.0)  # as if some time had passed
        encode()
        read = []
        monkeypatch.setattr(ledger_module.hashlib, "sha256", counting(read))
        assert set(encode().values()) == {"kept"}
        assert not [data for data in read if data == Path("photos/a.png").read_bytes()]

    def test_a_picture_touched_just_now_is_read_again(self, encode):
        encode()
        lines = [json.loads(line) for line in Path("coded", LEDGER).read_text().split()]
        assert [line[-1] for line in lines] == [None, None]  # written to again, it could have the same time

    def test_a_picture_that_lies_on_its_side_is_kept_too(self, encode):
        with Image.open("photos/a.png") as picture:
            exif = picture.getexif()
            exif[0x0112] = 6
            picture.save("photos/b.one.JPG", exif=exif)
        assert encode()["b.one.plf"] == "encoded"
        header = parse(Path("coded/b.one.plf").read_bytes()).header
        assert (header.width, header.height) == (30, 40)
        assert encode()["b.one.plf"] == "kept"

    def test_files_for_the_same_target_bytes_are_kept(self, encode):
        target = ["--target-bytes", "1000"]
        assert set(encode(*target).values()) == {"encoded"}
        assert set(encode(*target).values()) == {"kept"}
        encode("--quality", "1")
        assert set(encode(*target).values()) == {"encoded"}

    def test_another_release_of_the_encoder_keeps_nothing_unseen(self, encode, monkeypatch):
        encode()
        before = Path("coded", LEDGER).read_text()
        monkeypatch.setattr(work, "VERSION", work.VERSION + 1)
        encode()
        assert Path("coded", LEDGER).read_text().count("[") == 2 * before.count("[")

    def test_a_picture_that_became_unreadable_is_a_failure(self, encode):
        encode()
        Path("photos/a.png").write_bytes(b"no picture")
        os.utime("photos/a.png", (0, 0))
        assert encode(status=1) == {"a.plf": "failed", "b.one.plf": "kept"}

    def test_temporary_files_of_killed_runs_go_after_an_hour(self, encode):
        encode()
        old, young = (Path(f"coded/.featcodec-{digit * 16}.tmp") for digit in "0a")
        others = [Path("coded/.featcodec-.tmp"), Path("coded/notes.tmp")]
        for path in (old, young, *others):
            path.write_bytes(b"half a fi")
        for path in (old, *others):
            os.utime(path, (0, 0))
        encode()
        assert not old.exists()
        assert all(path.exists() for path in (young, *others))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_runs_may_be_killed_at_any_moment_and_two_may_run_at_once(tmp_path):
    for number in range(100):
        photo(tmp_path / f"photos/{number:02}.png", number)
    script = Path(__file__).with_name("killed_runs.py")
    # Python warns of forks in processes with threads; the one thread of this script's that counts is its own
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        str(script),
        str(tmp_path),
        str(KILLS),
        "0",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    # after each kill: all files whole, none of before touched, the work not over
    assert (report["killed"], report["sound"], report["untouched"]) == (KILLS, KILLS, KILLS)
    assert report["half-way"] > KILLS // 4
    assert report["left"][-1] > 0  # some died while they wrote
    # the run that was let end: it kept what was there, and made the rest
    assert (report["last"], report["kept"], report["all"], report["all sound"]) == (0, True, True, True)
    assert 0 < report["finished"] < 100
    assert (report["statuses"].count("kept"), len(report["statuses"])) == (report["finished"], 100)
    # two at once
    assert (report["both"], report["both the same"], report["both left"]) == ([0, 0], True, 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.usefixtures("here")
class TestFullDisk:
    def test_a_full_disk_ends_the_run_with_one_line(self, capsys):
        Path("coded").mkdir()
        Path("coded/b.one.plf").symlink_to("/dev/full")
        photo(Path("photos/c.png"), 4)
        assert main(["encode", "photos", "-o", "coded"]) == 1
        out, err = capsys.readouterr()
        assert [line.split(":")[0] for line in out.splitlines()] == ["coded/a.plf"]
        stopped, summary = err.splitlines()
        assert stopped == (
            "featcodec: coded/b.one.plf: No space left on device; stopped at picture 2 of 3, the same "
            "command goes on from there"
        )
        assert summary.startswith("featcodec: 1 encoded, 0 kept, 1 failed; ")
        assert not Path("coded/c.plf").exists()

    def test_bad_pictures_before_are_listed_as_ever(self, capsys):
        Path("coded").mkdir()
        Path("coded/b.one.plf").symlink_to("/dev/full")
        Path("photos/a.png").write_bytes(b"no picture")
        assert main(["encode", "photos", "-o", "coded", "--json"]) == 1
        out, err = capsys.readouterr()
        assert [one["status"] for one in json.loads(out)] == ["failed", "failed"]
        first, bad, stopped, _ = err.splitlines()
        assert first == "featcodec: 1 of 2 pictures failed:"
        assert bad.startswith("featcodec: photos/a.png: no image of a known kind")
        assert stopped.startswith(
            "featcodec: coded/b.one.plf: No space left on device; stopped at picture 2 of 2"
        )

    def test_labels_say_how_many_files_are_written(self, capsys):
        Path("labels").mkdir()
        Path("labels/b.one.txt").symlink_to("/dev/full")
        options = ["--format", "yolo", "-o", "labels", "--confidence", "0", "--quiet"]
        assert main(["detect", "photos", *options]) == 1
        assert capsys.readouterr().err == (
            "featcodec: labels/b.one.txt: No space left on device; stopped, 1 of 2 files are written\n"
        )
