"""Whole files in, whole files out: the reading and writing that every command shares.

Files are written whole or not at all, and whatever the operating system objects to becomes one line.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featcodec.errors import InputError
from featcodec.unreadable import is_passed_over, summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PICTURE_ENDINGS",
    "check_folder",
    "check_target",
    "is_disk_full",
    "is_file",
    "list_pictures",
    "make_folder",
    "npy",
    "passed_over",
    "printable",
    "read_file",
    "remove_stale",
    "write_atomic",
]

# by which pictures in a folder are known; a file that is named itself may have any ending
_JPEG = {".jfif", ".jpe", ".jpeg", ".jpg"}
_PNM = {".pbm", ".pgm", ".pnm", ".ppm"}
PICTURE_ENDINGS = {".avif", ".bmp", ".gif", ".jp2", ".png", ".tif", ".tiff", ".webp"} | _JPEG | _PNM
_CHUNK = 2**20
# Reopening these would truncate a file that the shell opened with ">>": write to the open stream instead.
_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
_TEMPORARY = re.compile(r"\.featcodec-[0-9a-f]{16}\.tmp")
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_STALE = 3600  # seconds after which nobody is still writing a temporary file


def printable(text: str | os.PathLike[str]) -> str:
    r"""Return ``text`` as one line that is safe on a terminal: other characters become escapes.

    Args:
        text: a path, a message or any other text, possibly from an untrusted file.

    Returns:
        The text with control characters, line ends, direction marks and undecodable bytes escaped.

    Example:
        >>> print(printable("red\x1b[31m\nstreet.plf"))
        red\x1b[31m\nstreet.plf
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in os.fspath(text))


def read_file(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Read a file that is expected to be small.

    Args:
        path: the file; pipes and devices are read up to the limit, too.
        max_bytes: the largest size that is accepted; a larger regular file is not read at all.

    Returns:
        The whole content.

    Raises:
        InputError: the file is missing, a directory, unreadable or larger than ``max_bytes``; one line
            that begins with the path.

    Example:
        >>> read_file(os.devnull, max_bytes=16)
        b''
    """
    with _complaints(path), Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # 0 for a pipe or a device
        parts: list[bytes] = []
        total = 0
        while max(size, total) <= max_bytes and (part := file.read(_CHUNK)):
            parts.append(part)
            total += len(part)
    if max(size, total) > max_bytes:
        got = f"{size:,} bytes" if size > max_bytes else "a longer stream"
        raise InputError(f"got {got}, expected at most {max_bytes:,} bytes", path=_shown(path))
    return b"".join(parts)


def check_target(path: str | os.PathLike[str]) -> None:
    """Find out, before the work whose result it would take, whether `write_atomic` can write a file.

    Args:
        path: where to write; nothing is written, and what is there stays.

    Raises:
        InputError: a directory, or one that is missing or closed to us; one line that begins with the path.

    Example:
        >>> check_target("no/such/folder/street.plf")
        Traceback (most recent call last):
        featcodec.errors.InputError: no/such/folder/street.plf: No such file or directory
    """
    with _complaints(path):
        mode = _mode(path)
        if mode is not None and stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if mode is not None:
            _check_unprotected(Path(path))
        if mode is None or stat.S_ISREG(mode):  # else written directly, without a temporary file beside it
            _check_open(Path(path).resolve().parent)


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder, and find out before the work whether what it yields can be written there.

    Raises:
        InputError: it cannot be made, or is closed to us; one line that begins with the path.

    Example:
        >>> check_folder(os.devnull)
        Traceback (most recent call last):
        featcodec.errors.InputError: /dev/null: File exists, expected a folder
    """
    make_folder(os.fspath(folder), parents=True)
    with _complaints(folder):
        _check_open(Path(folder).resolve())


def is_disk_full(error: BaseException) -> bool:
    """Whether what kept a file from being written keeps all others from it, too: no space, or read-only.

    Args:
        error: as `write_atomic` raised it.

    Example:
        >>> is_disk_full(InputError("no image of a known kind"))
        False
    """
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_SPACE


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is there; no for a path that can have none: too long a name, or with a null byte.

    Example:
        >>> is_file(os.devnull), is_file("n" * 5000)
        (False, False)
    """
    with suppress(OSError, ValueError):
        return Path(path).is_file()
    return False


def make_folder(folder: str, *, parents: bool = False) -> None:
    """Make a folder, if it is not there; its parents only if asked to: those are more likely mistyped.

    Raises:
        InputError: it cannot be made, or is a file.
    """
    try:
        Path(folder).mkdir(exist_ok=True, parents=parents)
    except (OSError, ValueError) as error:  # FileExistsError: it is a file
        reason = getattr(error, "strerror", error)
        raise InputError(f"{reason}, expected a folder", path=_shown(folder)) from error


def list_pictures(
    folder: str | os.PathLike[str],
    *,
    recursive: bool = False,
    may_be_empty: bool = False,
    others: AbstractSet[str] = frozenset(),
) -> list[tuple[str, str]]:
    """Pictures in a folder, known by their endings, by name; hidden ones are left out.

    Args:
        folder: where to look.
        recursive: in its subfolders, too.
        may_be_empty: return an empty list where there are none.
        others: endings of files that are listed, too.

    Returns:
        The path of each, and the folder that it lies in, relative to ``folder``.

    Raises:
        InputError: there are none and there have to be some, or a folder cannot be read.

    Example:
        >>> list_pictures("no/such/folder")
        Traceback (most recent call last):
        featcodec.errors.InputError: no/such/folder: No such file or directory
    """
    endings = PICTURE_ENDINGS | others
    found = [
        (path, within)
        for path, within in _walk(folder, recursive=recursive)
        if Path(path).suffix.lower() in endings
    ]
    if not found and not may_be_empty:
        hint = "" if recursive else "; --recursive looks into subfolders"
        passed = passed_over(folder, recursive=recursive)
        hint = f"; {summary(passed)}{hint}" if passed else hint
        got = f"got no pictures, expected some with endings such as .jpg or .png{hint}"
        raise InputError(got, path=_shown(folder))
    return found


def passed_over(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[str]:
    """Files in a folder that are pictures by their endings, but of a kind that `list_pictures` leaves out.

    Args:
        folder: where to look.
        recursive: in its subfolders, too.

    Returns:
        The path of each, by name; `featcodec.unreadable.summary` makes a line of them.

    Raises:
        InputError: a folder cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.heic", "b.jpg", "labels.json"):
        ...         Path(folder, name).touch()
        ...     [Path(path).name for path in passed_over(folder)]
        ['a.heic']
    """
    return [path for path, _ in _walk(folder, recursive=recursive) if is_passed_over(path)]


def _walk(folder: str | os.PathLike[str], *, recursive: bool) -> Iterator[tuple[str, str]]:
    """Files that are not hidden, by name, and the folder that each lies in, relative to `folder`."""
    if "\0" in os.fspath(folder):  # os.walk lets Python's own error through
        raise InputError(f"{_shown(folder)}: null byte in the path")
    for where, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        within = os.path.relpath(where, folder)
        yield from ((str(Path(where, name)), within) for name in sorted(names) if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise InputError(error.strerror, path=_shown(error.filename)) from error


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all: into a temporary file beside it, which then takes its name.

    A new file gets the permissions that the umask leaves, a replaced one keeps its own; a symbolic link
    stays and its target is replaced. What is no regular file (a pipe, a device, ``/dev/stdout``) cannot be
    replaced and is written directly.

    Args:
        path: where to write.
        data: the content.

    Raises:
        InputError: the operating system refused; one line that begins with the path.
        BrokenPipeError: the reader at the other end of a pipe is gone, which is no fault of the path.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder) / "street.plf", b"...")
        ...     [file.name for file in Path(folder).iterdir()]
        ['street.plf']
    """
    with _complaints(path):
        mode = _mode(path)
        if os.fspath(path) in _STREAMS:
            _write_stream(_STREAMS[os.fspath(path)], data)
        elif mode is not None and not stat.S_ISREG(mode):
            with Path(path).open("wb") as file:
                file.write(data)
        else:
            _replace(Path(path).resolve(), data, mode)


def npy(array: NDArray[Any]) -> bytes:
    """An array of numbers as the content of a NumPy file (``.npy``), without pickles."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays of numbers by name as the content of a NumPy archive (``.npz``), without pickles."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy(array))  # of no date: always the same bytes
    return buffer.getvalue()


def remove_stale(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files that `write_atomic` had no chance to remove, in processes that were killed.

    Younger ones than an hour stay: another process may be writing them. So do those that cannot be removed;
    they are hidden, and do no harm.

    Args:
        folder: where to look, not in its subfolders.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     left = Path(folder, ".featcodec-0123456789abcdef.tmp")
        ...     left.touch()
        ...     os.utime(left, (0, 0))
        ...     remove_stale(folder)
        ...     left.exists()
        False
    """
    with suppress(OSError):
        for path in [p for p in Path(folder).iterdir() if _TEMPORARY.fullmatch(p.name)]:
            with suppress(OSError):  # another process was faster
                if path.stat().st_mtime < time.time() - _STALE:
                    path.unlink()


def _mode(path: str | os.PathLike[str]) -> int | None:
    """Return type and permissions of what ``path`` leads to; ``None`` if there is nothing yet."""
    try:
        return Path(path).stat().st_mode
    except FileNotFoundError:
        return None


def _check_unprotected(path: Path) -> None:
    if not os.access(path, os.W_OK):
        raise _denied("the file is write-protected; choose another name, or change its permissions")


def _check_open(folder: Path) -> None:
    """See that files can be made in a folder."""
    if not stat.S_ISDIR(folder.stat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(folder, os.W_OK | os.X_OK):
        if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        where = f"nothing may be written in the folder {printable(folder)}"
        raise _denied(f"{where}; choose another one, or change its permissions")


def _denied(why: str) -> PermissionError:
    return PermissionError(errno.EACCES, f"{os.strerror(errno.EACCES)}: {why}")


def _write_stream(descriptor: int, data: bytes) -> None:
    """Write to a standard stream of this process, after what was printed to it before."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None when the process was started with it closed
            stream.flush()
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    """Write ``data`` beside ``target``, then rename it; leave nothing behind on any failure."""
    if mode is not None:
        _check_unprotected(target)  # a rename would not ask
    _check_open(target.parent)
    # A name of its own, not the target's with an ending: that could be longer than file names may be.
    temporary = target.parent / f".featcodec-{os.urandom(8).hex()}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a crash after the rename could leave an empty file
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(target)
    except BaseException:  # KeyboardInterrupt, too
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def _complaints(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the operating system objects to into one line that begins with the path."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path that cannot be one
        reason = error.strerror if isinstance(error, OSError) else None
        if "\0" in os.fspath(path):  # Python's words for it depend on its version
            reason = "null byte in the path"
        raise InputError(reason or printable(str(error)), path=_shown(path)) from error


def _shown(path: str | os.PathLike[str]) -> str:
    """Return the path as messages show it."""
    return printable(path) or "''"
