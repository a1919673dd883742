"""What the commands share: tables, lengths of time, progress on a terminal and in a log file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from featcodec import console
from featcodec.console import Progress, aligned, duration


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(console.time, "monotonic", clock.monotonic)
    return clock


def work(clock: Clock, pieces: int, seconds: float, **options) -> None:
    with Progress(pieces, **options) as progress:
        for number in range(pieces):
            progress.show(number, f"{number}.jpg")
            clock.now += seconds


class TestProgress:
    def test_a_log_file_gets_a_line_a_minute_with_the_step_and_the_end(self, clock, capsys):
        work(clock, 100, 20.0)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 33  # 2,000 seconds
        assert re.fullmatch(r"3/100 3\.jpg; 32 min left, until \d\d:\d\d", lines[0])
        assert re.fullmatch(r"99/100 99\.jpg; 20 s left, until \d\d:\d\d", lines[-1])

    def test_what_takes_less_than_a_minute_is_silent_there(self, clock, capsys):
        work(clock, 59, 1.0)
        assert capsys.readouterr().err == ""

    def test_a_terminal_has_one_line_that_is_replaced(self, clock, capsys, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", "60")
        work(clock, 3, 4.0)
        err = capsys.readouterr().err
        assert "\n" not in err
        shown = err.split("\r\x1b[K")
        assert shown[:3] == ["", "0/3 0.jpg", "1/3 1.jpg"]
        assert re.fullmatch(r"2/3 2\.jpg; 4 s left, until \d\d:\d\d", shown[3])

    def test_what_an_earlier_run_did_does_not_count_as_pace(self, clock, capsys):
        with Progress(1000, done=900) as progress:
            clock.now += 60
            progress.show(910, "steps")
        assert re.match(r"910/1000 steps; 9:00 min left", capsys.readouterr().err)

    def test_many_short_parts_of_a_command_share_the_minute(self, clock, capsys):
        def command() -> int:
            for _ in range(9):
                work(clock, 3, 10.0)  # 270 seconds, of which no part takes a minute
            return 0

        console.run_command("featcodec", command)
        err = capsys.readouterr().err.splitlines()
        assert [line.partition(";")[0] for line in err] == ["0/3 0.jpg"] * 4
        for _ in range(9):
            work(clock, 3, 10.0)
        assert capsys.readouterr().err == ""  # outside of a command each has a minute of its own

    @pytest.mark.parametrize("options", [{"quiet": True}, {}])
    def test_quiet_and_single_pieces_say_nothing(self, clock, capsys, options):
        work(clock, 100 if options else 1, 100.0, **options)
        assert capsys.readouterr().err == ""

    def test_without_standard_error_it_is_silent(self, clock, monkeypatch):
        monkeypatch.setattr(sys, "stderr", None)
        work(clock, 3, 100.0)

    def test_a_hostile_name_stays_one_line(self, clock, capsys):
        with Progress(2) as progress:
            clock.now += 61
            progress.show(1, "a\n\x1b[31mb.jpg")
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1:00 min"), (599, "9:59 min"), (3599, "60 min"), (3600, "1 h 0 min")],
)
def test_lengths_of_time(seconds, text):
    assert duration(seconds) == text


def test_a_table_without_rows_has_no_lines():
    assert aligned([], "<>") == []


def test_cells_of_a_table_lie_below_each_other():
    assert aligned([("a", "1"), ("bcd", "22")], "<>", least=(0, 4)) == ["a       1", "bcd    22"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(
    ("module", "program"), [("main", "featcodec"), ("plf", "plf"), ("bench", "featcodec-bench")]
)
def test_help_and_version_that_cannot_be_written_are_an_error(module, program):
    for asked in ("--help", "--version"):
        command = [sys.executable, "-m", f"featcodec.commands.{module}", asked]
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (
            1,
            f"{program}: standard output: No space left on device\n",
        )
