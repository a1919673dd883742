"""What the commands share: complaints, exit codes, standard streams, progress. Standard library only.

Exit codes: 0 done; 1 an input is bad or a dependency is missing (one line on standard error says which and
why); 2 the command line is wrong; 130 and 141 when interrupted or when the output is cut off. Any other
exception is a bug in featcodec and keeps its traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from featcodec.errors import NO_PATH, FeatcodecError, InputError, MissingExtraError, missing_dependency
from featcodec.files import check_target, printable, read_file, write_atomic

__all__ = [
    "MAX_INPUT",
    "STANDARD",
    "Parser",
    "Progress",
    "Terminated",
    "about",
    "aligned",
    "check_output",
    "complain",
    "duration",
    "identities",
    "note",
    "positive",
    "read_input",
    "run_command",
    "show",
    "show_json",
    "write_output",
]

STANDARD = "-"  # as a path: standard input or output
MAX_INPUT = 2**30  # bytes of a picture


class Terminated(SystemExit):
    """The process was told to end by a signal, and has saved what it had; the code is the shell's."""


class Parser(argparse.ArgumentParser):
    """A command line whose help is output as any other: what keeps it from being written is an error."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if not message or file is None or file is not sys.stdout:
            super()._print_message(message, file)
        elif code := run_command(self.prog.split()[0], lambda: show(message.removesuffix("\n"))):
            sys.exit(code)


def run_command(program: str, command: Callable[[], int | None], *, trouble: int = 1) -> int:
    """Run a command and return its exit code.

    Args:
        program: what complaints begin with.
        command: does the work and returns an exit code; None is 0.
        trouble: the exit code after an error.

    Returns:
        What `command` returned, `trouble` after a `FeatcodecError` and without a dependency, 130 or 141 as
        the module says.

    Example:
        >>> run_command("plf", lambda: 0)
        0
    """
    try:
        with warnings.catch_warnings(), _one_log():
            # A sound picture needs no comment, and about one that is not there is to be one line.
            warnings.filterwarnings("ignore", module="PIL")
            return command() or 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _discard_output()
        return 141
    except Terminated:
        raise
    except SystemExit as error:  # of a network's own code: what a command says ends with its exit code
        complain(program, f"code of the user's asked to exit with {error.code!r}, expected it to return")
        return trouble
    except ModuleNotFoundError as error:
        if (missing := missing_dependency(error)) is None:
            raise
        complain(program, missing)
        return trouble
    except FeatcodecError as error:
        complain(program, error)
        return trouble


def complain(program: str, error: Exception | str) -> None:
    """Say on standard error, in one line, what is wrong."""
    if sys.stderr is not None:  # None when the process was started with it closed
        with suppress(OSError):  # there is no better place to say that this place is gone
            print(f"{program}: {printable(str(error))}", file=sys.stderr, flush=True)


def note(program: str, text: str) -> None:
    """Say on standard error, in one line, what is worth knowing; of an input nothing is wrong with."""
    complain(program, text)


@contextmanager
def about(path: str) -> Iterator[None]:
    """Let every `FeatcodecError` inside that does not know its file be about this one.

    Example:
        >>> with about("street.plf"):
        ...     raise FeatcodecError("the file is empty")
        Traceback (most recent call last):
        featcodec.errors.FeatcodecError: street.plf: the file is empty
    """
    try:
        yield
    except FeatcodecError as error:
        if error.path in (None, NO_PATH) and not isinstance(error, MissingExtraError):
            error.path = _name(path)
        raise


def positive(text: str) -> int:
    """For argparse: an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


positive.__name__ = "positive integer"  # argparse shows it: "invalid positive integer value: '0'"


# ---- standard input and output


def show(text: str) -> None:
    """Print to standard output, escaping what its encoding cannot show.

    Raises:
        InputError: the operating system refused.
        BrokenPipeError: nobody reads any more.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    with _complaints_about_output():
        # Flushed at once: else the interpreter would meet what is wrong with the output, noisily, at exit.
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def show_json(found: Sequence[Mapping[str, object]], *, several: bool = False) -> None:
    """Show one object, if there is one; a list of any length where several were asked for."""
    if several:
        show(json.dumps(found, indent=2))
    elif found:
        show(json.dumps(found[0], indent=2))


def aligned(
    rows: Iterable[Sequence[str]], kinds: str, *, least: Sequence[int] = (), gap: str = "  "
) -> list[str]:
    """Lay out a table: a line for each row, cells below each other.

    Args:
        rows: their cells, as many in each as `kinds` has characters.
        kinds: of each column ``<``, to the left, or ``>``, to the right.
        least: widths of the columns in characters, at the least.
        gap: between the columns.

    Returns:
        The lines, without spaces at their ends.

    Example:
        >>> print("\\n".join(aligned([("layer", "bytes"), ("conv1", "802,816")], "<>")))
        layer    bytes
        conv1  802,816
    """
    table = [tuple(row) for row in rows]
    start = least or [0] * len(kinds)
    widths = [max([start[i], *(len(row[i]) for row in table)]) for i in range(len(kinds))]
    cells = [[f"{c:{k}{w}}" for c, k, w in zip(row, kinds, widths, strict=True)] for row in table]
    return [gap.join(row).rstrip() for row in cells]


def read_input(path: str, max_bytes: int) -> bytes:
    """Read a file, or standard input for ``-``.

    Raises:
        InputError: as `featcodec.files.read_file`.
    """
    if path != STANDARD:
        return read_file(path, max_bytes)
    if sys.stdin is None:
        raise InputError("closed", path=_name(STANDARD))
    try:
        data = sys.stdin.buffer.read(max_bytes + 1)
    except OSError as error:  # a directory, for one
        raise InputError(error.strerror, path=_name(STANDARD)) from error
    if len(data) > max_bytes:
        got = f"got a longer stream, expected at most {max_bytes:,} bytes"
        raise InputError(got, path=_name(STANDARD))
    return data


def write_output(path: str, data: bytes) -> None:
    """Write a file whole or not at all, or to standard output for ``-``.

    Raises:
        InputError: as `featcodec.files.write_atomic`.
        BrokenPipeError: nobody reads any more.
    """
    if path != STANDARD:
        write_atomic(path, data)
        return
    with _complaints_about_output():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def identities(paths: Iterable[str]) -> set[tuple[int, int]]:
    """What tells files apart whatever they are called: device and inode of each that is there."""
    found = set()
    for path in paths:
        with suppress(OSError, ValueError):  # a missing input is no problem here; its reader names it
            if path != STANDARD:
                status = Path(path).stat()
                found.add((status.st_dev, status.st_ino))
    return found


def check_output(path: str, inputs: AbstractSet[tuple[int, int]] = frozenset()) -> None:
    """Find out before the work whether `write_output` could succeed after it, without losing an input.

    Args:
        path: where the result will go.
        inputs: `identities` of what is read.

    Raises:
        InputError: it could not, or it would replace one of the inputs.
    """
    if identities([path]) & inputs:
        raise InputError("got one of the inputs, expected another output", path=_name(path))
    if path != STANDARD:
        check_target(path)
    elif sys.stdout is None:
        raise InputError("standard output: closed")
    elif sys.stdout.isatty():
        raise InputError("standard output: got a terminal, expected a file or a pipe for binary data")


def _name(path: str) -> str:
    return "standard input" if path == STANDARD else printable(path) or "''"


@contextmanager
def _complaints_about_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_output()
        raise InputError(f"standard output: {error.strerror}") from error


def _discard_output() -> None:
    """Point standard output nowhere, so that the interpreter's flush at exit does not fail, too."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a real stream: nothing will be flushed
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


# ---- progress


_FIRST = 5.0  # seconds of work, after which the time left can be told
_LINE_EVERY = 60.0  # seconds, where there is no terminal


def duration(seconds: float) -> str:
    """A length of time, in two units at the most.

    Example:
        >>> [duration(s) for s in (5, 65, 1000, 7380)]
        ['5 s', '1:05 min', '17 min', '2 h 3 min']
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    if minutes >= 10:
        return f"{round(seconds / 60)} min"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


_line_at: float | None = None  # when the command that runs has last written a line to a log, or began


@contextmanager
def _one_log() -> Iterator[None]:
    """Let all parts of a command share the minute between lines: many short parts are a long run, too."""
    global _line_at
    before, _line_at = _line_at, time.monotonic()
    try:
        yield
    finally:
        _line_at = before


class Progress:
    """How far the work is, what is left and when it will end, on standard error.

    On a terminal a line that is replaced; elsewhere, in a log file, a line a minute, which all parts of a
    command share (`run_command`).

    Args:
        total: pieces of work; a single one needs no such line.
        done: pieces that an earlier run has done.
        quiet: say nothing.

    Example:
        >>> with Progress(2) as progress:
        ...     for number, name in enumerate(["a.jpg", "b.jpg"]):
        ...         progress.show(number, name)
    """

    def __init__(self, total: int, *, done: int = 0, quiet: bool = False):
        self._total, self._start = total, done
        self._began = self._written = time.monotonic()
        self._used = total > 1 and not quiet and sys.stderr is not None
        self._live = self._used and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, done: int, what: str) -> None:
        """Say it anew.

        Args:
            done: pieces that are done.
            what: what is being worked on.
        """
        global _line_at
        now = time.monotonic()
        written = self._written if _line_at is None else _line_at
        if not self._live and (not self._used or now - written < _LINE_EVERY):
            return
        text = f"{done}/{self._total} {printable(what)}{self._left(done, now)}"
        if self._live:
            self._write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}", end="")
        else:
            self._written = now
            if _line_at is not None:
                _line_at = now
            self._write(text, end="\n")

    def _left(self, done: int, now: float) -> str:
        """How long it will take, at the pace so far."""
        fresh, spent = done - self._start, now - self._began
        if fresh <= 0 or spent < _FIRST or done >= self._total:
            return ""
        left = spent / fresh * (self._total - done)
        form = "%H:%M" if left < 43_200 else "%Y-%m-%d %H:%M"
        return f"; {duration(left)} left, until {time.strftime(form, time.localtime(time.time() + left))}"

    def clear(self) -> None:
        """Make room for other output."""
        if self._live:
            self._write("\r\x1b[K", end="")

    def _write(self, text: str, *, end: str) -> None:
        with suppress(OSError):
            print(text, end=end, file=sys.stderr, flush=True)
