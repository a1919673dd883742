"""What earlier runs made of which picture, in one file beside the outputs: ``OUT/.featcodec-encode.jsonl``.

A ``.plf`` is finished when it is byte for byte what some run made, by the recipe of this run, of a picture
with the content that is there now. So each line has the hash of a picture's bytes, the recipe (all else that
the bytes of a ``.plf`` depend on) and the hash of the ``.plf``; names and times decide nothing. Lines are
only ever appended, and those that a kill or a full disk tore are left out: a line that is missing costs an
encoding, never a wrong file. The same file serves as the lock by which runs at the same time share the work.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType

from featcodec.errors import InputError
from featcodec.files import read_file

try:
    import fcntl
except ImportError:  # not on Windows: two runs at once do the work twice there, which does no harm
    _locks: ModuleType | None = None
else:
    _locks = fcntl

__all__ = ["LEDGER", "Content", "Ledger", "read_picture"]

LEDGER = ".featcodec-encode.jsonl"
_FORM = 1  # of a line
_RACY = 2.0  # seconds: no file system tells times apart less finely
_CHUNK = 2**20
_Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Content:
    """A picture as it was read.

    Attributes:
        digest: SHA-256 of its bytes, hexadecimal.
        data: the bytes, if they were read; else they are known from an earlier run.
        stamp: what tells whether the file was touched since, if that can be told; see `_stamp`.
    """

    digest: str
    data: bytes | None
    stamp: _Stamp | None


class Ledger:
    """The file, open; every process has its own.

    Args:
        folder: where the outputs go, which is there.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, folder: str):
        self.path = Path(folder, LEDGER)
        self._made: dict[tuple[str, str], set[str]] = {}  # picture and recipe to files
        self._pictures: dict[_Stamp, str] = {}
        self._read, self._rest = 0, b""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
        try:
            # one descriptor for all: closing any other one of this file would drop the locks of the process
            self._file = os.open(self.path, flags | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise InputError(error.strerror, path=str(self.path)) from error
        self.refresh()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, which drops all claims of the process."""
        os.close(self._file)

    def refresh(self) -> None:
        """Read what was added since, by whichever run."""
        with suppress(OSError):
            os.lseek(self._file, self._read, os.SEEK_SET)
            while part := os.read(self._file, _CHUNK):
                self._read += len(part)
                *lines, self._rest = (self._rest + part).split(b"\n")
                for line in lines:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            form, picture, recipe, made, stamp = json.loads(line)
            if form == _FORM and all(isinstance(text, str) for text in (picture, recipe, made)):
                self._made.setdefault((picture, recipe), set()).add(made)
                if stamp is not None:
                    device, inode, size, modified, changed = map(int, stamp)
                    self._pictures[device, inode, size, modified, changed] = picture
        except (ValueError, TypeError, RecursionError):
            return  # torn

    def digest(self, stamp: _Stamp | None) -> str | None:
        """The hash of a picture that an earlier run has read, if it was not touched since."""
        return None if stamp is None else self._pictures.get(stamp)

    def finished(self, content: Content, recipe: str, target: str, max_bytes: int) -> bytes | None:
        """The file that is at `target`, if a run has made it of this picture by this recipe."""
        made = self._made.get((content.digest, recipe))
        if not made or not Path(target).is_file():  # a pipe is no file that could be finished
            return None
        with suppress(InputError):  # whoever writes it says what is wrong with it
            data = read_file(target, max_bytes)
            return data if hashlib.sha256(data).hexdigest() in made else None
        return None

    def add(self, content: Content, recipe: str, data: bytes) -> None:
        """Keep what was made; a disk that is full may lose that, which costs an encoding some day."""
        row = [_FORM, content.digest, recipe, hashlib.sha256(data).hexdigest(), content.stamp]
        # a newline before as well as behind: a line torn earlier must not swallow this one
        line = f"\n{json.dumps(row, separators=(',', ':'))}\n".encode()
        with suppress(OSError):
            os.write(self._file, line)
        self.refresh()

    @contextmanager
    def claim(self, target: str) -> Iterator[bool]:
        """Try to be the one that makes a file, as long as this lasts; whether that succeeded.

        The system keeps the claims and forgets those of a process that ends, however it ends.
        """
        if _locks is None:
            yield True
            return
        # a byte beyond the end of the file for each target: nothing needs to be there to be locked
        where = 2**62 + int.from_bytes(hashlib.sha256(_name(target, self.path)).digest()[:7], "big")
        try:
            _locks.lockf(self._file, _locks.LOCK_EX | _locks.LOCK_NB, 1, where)
        except (BlockingIOError, PermissionError):  # which of them is up to the system
            yield False
            return
        except OSError:  # a file system without locks
            yield True
            return
        try:
            yield True
        finally:
            with suppress(OSError):
                _locks.lockf(self._file, _locks.LOCK_UN, 1, where)


def _name(target: str, ledger: Path) -> bytes:
    """The same for every run, whatever folder it was started in."""
    return os.fsencode(os.path.relpath(Path(target).resolve(), ledger.parent.resolve()))


# ---- pictures


def read_picture(path: str, ledger: Ledger, max_bytes: int) -> Content | None:
    """Read a picture and its hash together, or only recognise it as one that an earlier run has read.

    Args:
        path: the picture.
        ledger: what earlier runs have read.
        max_bytes: of the largest picture that is read into memory.

    Returns:
        None for what is no file, or a larger one: that is encoded each time.
    """
    try:
        if not Path(path).is_file():  # opening a pipe would wait for its writer
            return None
        with Path(path).open("rb") as file:
            # of the open file: on a network that asks the server anew
            stamp = _stamp(before := os.fstat(file.fileno()))
            if digest := ledger.digest(stamp):
                return Content(digest, None, stamp)
            if before.st_size > max_bytes:
                return None
            began = time.time()
            data = file.read(max_bytes + 1)
            if len(data) > max_bytes or _stamp(os.fstat(file.fileno())) != stamp:
                stamp = None
    except (OSError, ValueError):  # whoever encodes the picture says what is wrong with it
        return None
    if stamp is not None and began - max(stamp[3], stamp[4]) / 1e9 < _RACY:
        stamp = None  # it could be written to once more without getting another time
    return Content(hashlib.sha256(data).hexdigest(), data, stamp)


def _stamp(status: os.stat_result) -> _Stamp | None:
    """What of a file's status stays the same as long as nobody writes to it; None where nothing is sure to.

    Size and time of modification alone do not do: ``cp -p``, rsync and unpacking set that time as they like.
    The time of the last change of the inode (ctime) is the system's own: writing, renaming and setting the
    other times all move it, and nobody can set it back. It is not trusted on systems where it is something
    else (Windows), nor from file systems that keep it coarsely or copy the time of modification there (FAT
    and exFAT, known by times without a fraction of a millisecond).
    """
    if os.name != "posix" or not status.st_ctime_ns % 1_000_000:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
