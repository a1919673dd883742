"""Photographs of faces and pairs of them to tell apart, read from a folder."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.attacks.face_checks import check_landmarks, check_pairs
from featcodec.attacks.verification import check_kinds
from featcodec.errors import InputError
from featcodec.files import is_file, printable, read_file

__all__ = ["Faces"]

_MAX_BYTES = 2**26  # of either file


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Photographs of faces and the pairs of them to tell apart.

    Attributes:
        paths: the P photographs that the pairs name, sorted.
        landmarks: (P, 5, 2) x, y in pixels of the photograph: eyes, nose, corners of the mouth; those of
            the side that is on the picture's left first.
        pairs: (N, 2) positions in `paths`.
        same: (N,) True where both are of one person.
    """

    paths: tuple[Path, ...]
    landmarks: NDArray[np.float64]
    pairs: NDArray[np.int64]
    same: NDArray[np.bool_]

    @classmethod
    def read(cls, folder: str | Path) -> Faces:
        """Reads a folder of faces.

        Args:
            folder: holds ``images/``; ``pairs.csv`` with the columns a, b (file names) and same (0 or 1);
                and ``landmarks.json``, an object from file names to five [x, y].

        Raises:
            InputError: a file is missing or malformed, the pairs name a picture that is missing or has no
                landmarks or landmarks of another picture, a pair stands twice, or there are fewer than ten
                pairs of either kind.
        """
        folder = Path(folder)
        rows = _read_pairs(folder / "pairs.csv")
        names = sorted({name for row in rows for name in row[:2]})
        paths = tuple(folder / "images" / name for name in names)
        for path in paths:
            if not is_file(path):
                raise InputError("pairs.csv names this picture, but it is missing", path=printable(path))
        landmarks = _read_landmarks(folder / "landmarks.json", names)
        check_landmarks(paths, landmarks, printable(folder / "landmarks.json"))
        number = {name: i for i, name in enumerate(names)}
        pairs = np.array([[number[a], number[b]] for a, b, _ in rows], np.int64)
        return cls(paths, landmarks, pairs, np.array([same for _, _, same in rows], np.bool_))


def _read_pairs(path: Path) -> list[tuple[str, str, bool]]:
    try:
        rows = list(csv.reader(read_file(path, _MAX_BYTES).decode("utf-8").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"got {printable(str(error))}, expected a csv file", path=printable(path)) from error
    if not rows or rows[0] != ["a", "b", "same"]:
        got = printable(",".join(rows[0])[:80]) if rows else "nothing"
        raise InputError(f"got the header {got!r}, expected 'a,b,same'", path=printable(path))
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != 3 or row[2] not in ("0", "1") or "" in row or "\0" in "".join(row):
            got = printable(",".join(row)[:80])
            raise InputError(
                f"line {line}: got {got!r}, expected two file names and 0 or 1", path=printable(path)
            )
    found = [(a, b, same == "1") for a, b, same in rows[1:]]
    check_pairs(found, printable(path))
    check_kinds(np.array([same for _, _, same in found], np.bool_), printable(path))
    return found


def _read_landmarks(path: Path, names: list[str]) -> NDArray[np.float64]:
    data = read_file(path, _MAX_BYTES)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"got {printable(str(error))}, expected json", path=printable(path)) from error
    if not isinstance(content, dict):
        raise InputError(
            f"got {type(content).__name__}, expected an object of file names", path=printable(path)
        )
    return np.stack([_points(content.get(name), f"{printable(path)}: {printable(name)}") for name in names])


def _points(value: Any, where: str) -> NDArray[np.float64]:
    """Five points, as a json file gives them, (5, 2)."""
    if value is None:
        raise InputError(f"{where}: no landmarks, but pairs.csv names this picture")
    try:
        points = np.array(value)
    except ValueError:  # lists of unequal lengths
        points = np.array(None)
    if points.shape != (5, 2) or points.dtype.kind not in "if" or not np.isfinite(points).all():
        raise InputError(f"{where}: got {printable(str(value)[:80])}, expected five landmarks [x, y]")
    if not points.std(0).any():
        raise InputError(f"{where}: got the same landmark five times, expected five different ones")
    return points.astype(np.float64)
