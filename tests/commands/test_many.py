"""Encoding with several processes, in several runs at once, and as pictures come."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featcodec
from featcodec.commands.batch import watch
from featcodec.commands.batch.ledger import LEDGER, Ledger, read_picture
from featcodec.commands.batch.plan import Job
from featcodec.commands.main import main

COMMAND = [sys.executable, "-m", "featcodec.commands.main", "encode"]
needs_locks = pytest.mark.skipif(os.name != "posix", reason="no locks on this system")


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with eight pictures in ``photos``."""
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        photo(Path(f"photos/{number}.png"), number)
    return tmp_path


def start(*arguments: str, interruptible: bool = False, **options):
    """A run in a process of its own."""
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed if interruptible else None,
        **options,
    )


def until(condition, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def made(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.plf")}


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.usefixtures("here")
class TestProcesses:
    def test_several_make_the_same_files_as_one(self, capsys):
        Path("photos/bad.png").write_bytes(b"no picture")
        assert main(["encode", "photos", "-o", "one", "--json"]) == 1
        one = json.loads(capsys.readouterr().out)
        assert main(["encode", "photos", "-o", "two", "-j", "2", "--json"]) == 1
        out, err = capsys.readouterr()
        two = json.loads(out.replace('"two/', '"one/'))
        assert two == one  # in the order of the pictures, too
        assert made("two") == made("one")
        assert "8 encoded, 0 kept, 1 failed" in err
        assert main(["encode", "photos", "-o", "two", "-j", "2"]) == 1
        assert "0 encoded, 8 kept, 1 failed" in capsys.readouterr().err

    @needs_locks
    def test_an_interrupt_ends_all_and_leaves_whole_files_only(self):
        for number in range(60):
            photo(Path(f"photos/{number}.png"), number, (400, 300))
        run = start("photos", "-o", "coded", "-j", "2", interruptible=True)
        assert until(lambda: made("coded"))
        os.killpg(run.pid, signal.SIGINT)  # as the terminal does: to all of them
        _, err = run.communicate(timeout=60)
        assert run.returncode == 130
        assert re.fullmatch(r"featcodec: \d+ encoded, 0 kept, 0 failed; [^\n]*\n", err)
        assert until(lambda: not alive(run.pid), 5)
        assert 0 < len(made("coded")) < 60
        assert {path.suffix for path in Path("coded").iterdir()} == {".plf", Path(LEDGER).suffix}
        codec = featcodec.load()
        assert all(codec.decode(data) is not None for data in made("coded").values())

    @needs_locks
    def test_a_process_that_is_killed_costs_its_picture(self):
        for number in range(20):
            photo(Path(f"photos/{number}.png"), number, (400, 300))
        run = start("photos", "-o", "coded", "-j", "2", "--json")
        assert until(lambda: made("coded"))
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        if not children.exists():
            run.kill()
            pytest.skip("no list of child processes on this system")
        workers = [
            c
            for c in children.read_text().split()
            if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()
        ]
        os.kill(int(workers[0]), signal.SIGKILL)
        out, err = run.communicate(timeout=120)
        failed = [one for one in json.loads(out) if one["status"] == "failed"]
        assert (run.returncode, len(failed), len(json.loads(out))) == (1, 1, 20)
        assert failed[0]["error"].endswith("ended unexpectedly (out of memory?)")
        assert "1 of 20 pictures failed" in err


@pytest.mark.usefixtures("here")
class TestTwoRuns:
    @needs_locks
    def test_they_share_the_work(self):
        for number in range(20):
            photo(Path(f"photos/{number}.png"), number, (400, 300))
        runs = [start("photos", "-o", "coded", "--json") for _ in range(2)]
        results = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
        assert [run.returncode for run in runs] == [0, 0]
        encoded = [{one["output"] for one in found if one["status"] == "encoded"} for found in results]
        assert not encoded[0] & encoded[1]
        assert len(encoded[0] | encoded[1]) == 20
        for found in results:  # each ends when all is done, and says so of all
            assert len(found) == 20

    @needs_locks
    def test_a_claim_keeps_others_off_and_ends_with_its_process(self, here):
        script = (
            "import sys, time; from featcodec.commands.batch.ledger import Ledger\n"
            f"with Ledger({str(here)!r}) as ledger, ledger.claim('a.plf') as ours:\n"
            "    print(ours, flush=True); time.sleep(60)"
        )
        other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "True\n"
        with Ledger(str(here)) as ledger:
            with ledger.claim("a.plf") as ours:
                assert not ours
            with ledger.claim("b.plf") as ours:
                assert ours
            other.kill()
            other.communicate()
            with ledger.claim(str(here / "a.plf")) as ours:  # the same file by another name
                assert ours


@pytest.mark.usefixtures("here")
class TestWatch:
    @needs_locks
    def test_pictures_are_encoded_as_they_come_until_an_interrupt(self):
        run = start("photos", "-o", "coded", "--watch", interruptible=True)
        assert until(lambda: len(made("coded")) == 8)
        photo(Path("photos/new.png"), 9)
        assert until(lambda: "new.plf" in made("coded"))
        photo(Path("photos/0.png"), 10)
        assert until(lambda: made("coded")["0.plf"] == featcodec.encode("photos/0.png"))
        photo(Path("photos/0.bmp"), 10)
        Path("photos/bad.png").write_bytes(b"no picture")
        time.sleep(5)
        os.killpg(run.pid, signal.SIGINT)
        out, err = run.communicate(timeout=60)
        assert run.returncode == 1  # as one was bad
        first, *failures, last = err.splitlines()
        assert first == "featcodec: watching for pictures for coded; Ctrl-C ends it"
        assert any("bad.png: no image of a known kind" in line for line in failures)
        assert any("got photos/0.png and photos/0.bmp" in line for line in failures)
        assert len(failures) == 2
        assert ", 2 failed; " in last
        assert out.count("\n") == 10

    def test_a_picture_that_grows_is_waited_for(self, monkeypatch):
        now = [0.0]
        monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
        job = Job("photos/0.png", "0.plf")

        def sleep(seconds: float) -> None:
            now[0] += seconds

        looks = watch.arrivals(lambda: [job], sleep=sleep)
        found = []
        for look in range(12):
            if look < 5:
                with Path("photos/0.png").open("ab") as file:
                    file.write(b"more")
            found.append(next(looks))
        assert found.index([job]) == 4 + watch.SETTLED
        assert found.count([job]) == 1

    @pytest.mark.parametrize("arguments", [["photos/0.png"], ["photos", "--json"]])
    def test_what_cannot_be_watched_is_a_wrong_command_line(self, arguments, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["encode", *arguments, "-o", "coded", "--watch"])
        assert caught.value.code == 2
        assert "argument --watch" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
class TestSaying:
    def test_quiet_says_what_went_wrong_only(self, capsys):
        assert main(["encode", "photos", "-o", "coded", "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")
        Path("photos/bad.png").write_bytes(b"no picture")
        assert main(["encode", "photos", "-o", "coded", "--quiet"]) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 2)

    def test_verbose_says_why(self, capsys):
        main(["encode", "photos", "-o", "coded", "-v"])
        assert "photos/0.png: encoded, not made yet; " in capsys.readouterr().err
        main(["encode", "photos", "-o", "coded", "-v"])
        assert "photos/0.png: kept, of this picture, by an earlier run; " in capsys.readouterr().err
        Path("coded", LEDGER).unlink()
        main(["encode", "photos", "-o", "coded", "-v"])
        assert "photos/0.png: kept, encoded again: the same bytes; " in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="elsewhere no time is trusted")
class TestStamps:
    def test_a_picture_is_known_by_its_stamp_unless_something_touched_it(self, here, monkeypatch):
        picture = here / "photos/0.png"
        monkeypatch.setattr("featcodec.commands.batch.ledger._RACY", -1.0)
        with Ledger(str(here)) as ledger:
            content = read_picture(str(picture), ledger, 2**20)
            ledger.add(content, "recipe", b"file")
            again = read_picture(str(picture), ledger, 2**20)
            assert (again.digest, again.data) == (content.digest, None)
            status = picture.stat()
            picture.write_bytes(picture.read_bytes())  # the same inode
            os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns))  # as cp -p does
            assert read_picture(str(picture), ledger, 2**20).data is not None

    def test_times_of_a_coarse_file_system_are_not_trusted(self, here, monkeypatch):
        status = (here / "photos/0.png").stat()
        fields = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
        coarse = type("Status", (), {**fields, "st_ctime_ns": status.st_ctime_ns // 10**9 * 10**9})
        monkeypatch.setattr("featcodec.commands.batch.ledger.os.fstat", lambda _: coarse)
        monkeypatch.setattr("featcodec.commands.batch.ledger._RACY", -1.0)
        with Ledger(str(here)) as ledger:
            assert read_picture(str(here / "photos/0.png"), ledger, 2**20).stamp is None
