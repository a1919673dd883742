"""What is kept to be used again: what its files are called, and how their rows are read.

A kept figure goes by a key over everything that it depends on, by name, and over the versions of the code
that measured it: constants beside that code, such as `featcodec.evaluation.closeness.CLOSENESS_VERSION`, to
be raised by whoever changes a figure. So what other code measured is not found. What is found says which
commit and machine it comes from (`featcodec.evaluation.results.Origin`), and has its columns by name: those
that do not fit are refused by the name of the file, since somebody has forgotten to raise a version.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from featcodec.errors import FeatcodecError, InputError
from featcodec.evaluation.plain_json import from_plain, to_plain
from featcodec.files import make_folder, printable, read_file, write_atomic

__all__ = ["keep", "key", "picture_key", "recall", "unlike_ours"]

T = TypeVar("T")

LARGEST_ROW = 1 << 20  # bytes


def key(versions: Mapping[str, int], /, **facts: object) -> str:
    """24 hexadecimal digits over what a kept figure depends on.

    Args:
        versions: of the code that measures, by what each speaks for; no figure comes from no code.
        facts: all else that the figure depends on, by name: texts, numbers, arrays, and tuples, mappings and
            dataclasses of these.

    Example:
        >>> key({"closeness": 1}, attacker="unet", steps=4000)
        'b2442bd12c19681ecbe3f014'
        >>> key({"closeness": 2}, attacker="unet", steps=4000)
        '1a9adad0c90aa23a9f3e7217'
    """
    text = json.dumps(_plain({"versions": versions, "facts": facts}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value  # a point of 4 is one of 4.0
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {"a": type(value).__name__, **{f.name: _plain(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return {"array": content, "shape": value.shape, "dtype": str(value.dtype)}
    raise TypeError(f"key: got {type(value).__name__}, expected something that has a text")


def picture_key(path: Path) -> str:
    """20 hexadecimal digits over a photograph's bytes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:20]
    except OSError as error:
        raise InputError(error.strerror, path=printable(path)) from error


def keep(path: Path, row: T) -> T:
    """Writes a row, a dataclass, and returns what is kept: another process's row, if that one was faster.

    Raises:
        InputError: the folder cannot be written to, or the other row does not fit.
    """
    make_folder(str(path.parent), parents=True)
    mine = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        write_atomic(mine, json.dumps(to_plain(row, {})).encode())
        try:
            os.link(mine, path)  # unlike a rename, this leaves the row of a faster one
        except FileExistsError:
            pass
        except OSError:  # no hard links on this file system
            write_atomic(path, mine.read_bytes())
    finally:
        with suppress(OSError):
            mine.unlink()
    return recall(type(row), path) or row


def recall(kind: type[T], path: Path) -> T | None:
    """A kept row; None where there is none.

    Args:
        kind: the dataclass that it is.
        path: of the file.

    Raises:
        InputError: it is damaged, or has other columns than `kind`.
    """
    if not path.exists():
        return None
    try:
        return from_plain(kind, json.loads(read_file(path, LARGEST_ROW)))
    except (ValueError, RecursionError) as error:
        raise unlike_ours(path, error) from error


def unlike_ours(
    path: Path, what: Exception | str, *, error: type[FeatcodecError] = InputError
) -> FeatcodecError:
    """The error for a kept file that its name promises to be ours, and that is not.

    Args:
        path: of the file.
        what: does not fit.
        error: its kind.

    Example:
        >>> raise unlike_ours(Path("work/a.json"), "steps: got 'few', expected an integer")
        Traceback (most recent call last):
        featcodec.errors.InputError: work/a.json: kept by another version, or damaged (steps: got 'few', \
expected an integer); remove it or use another work folder
    """
    text = " ".join(str(what).split()) or type(what).__name__
    if isinstance(what, Exception) and not isinstance(what, InputError):
        text = f"{type(what).__name__}: {text}"
    about = printable(text[:300])
    return error(
        f"kept by another version, or damaged ({about}); remove it or use another work folder",
        path=printable(path),
    )
