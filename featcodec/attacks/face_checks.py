"""Pairs and landmarks of faces compared with each other and with their photographs; no pixel is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.files import printable
from featcodec.pictures.loading import upright_size

__all__ = ["check_landmarks", "check_pairs"]

Floats = NDArray[np.float64]

# what each EXIF orientation does to a vector x, y of the stored picture
_TURNS = {
    1: [[1, 0], [0, 1]],
    2: [[-1, 0], [0, 1]],
    3: [[-1, 0], [0, -1]],
    4: [[1, 0], [0, -1]],
    5: [[0, 1], [1, 0]],
    6: [[0, -1], [1, 0]],
    7: [[0, -1], [-1, 0]],
    8: [[0, 1], [-1, 0]],
}


def check_pairs(rows: Sequence[tuple[str, str, bool]], where: str) -> None:
    """Refuses pairs that would count twice, or that are none.

    Args:
        rows: two file names and whether they show one person, from line 2 on.
        where: what messages begin with.

    Raises:
        InputError: a photograph paired with itself, or two photographs that are a pair already.
    """
    seen: dict[tuple[str, str], tuple[int, bool]] = {}
    for line, (a, b, same) in enumerate(rows, start=2):
        names = f"{printable(a)} and {printable(b)}"
        if a == b:
            raise InputError(f"{where}: line {line}: got {printable(a)} twice, expected two photographs")
        pair = (min(a, b), max(a, b))
        if pair in seen:
            first, before = seen[pair]
            otherwise = "" if before == same else ", and there the other way"
            got = f"got {names}, which line {first} has, too{otherwise}"
            raise InputError(f"{where}: line {line}: {got}; expected each pair once")
        seen[pair] = line, same


def check_landmarks(paths: Sequence[Path], landmarks: Floats, where: str) -> None:
    """Compares landmarks with the sides of the upright photographs, and with what a face looks like.

    Args:
        paths: P photographs.
        landmarks: (P, 5, 2) x, y in pixels, as `Faces` has them.
        where: what messages begin with.

    Raises:
        InputError: points outside their photograph, in [0, 1], of the picture as stored although EXIF turns
            it, or, of most photographs, with x and y or the two sides of the face exchanged.
        ImageError: a photograph that is no picture.
    """
    for path, points in zip(paths, landmarks, strict=True):
        _check_face(path, points, f"{where}: {printable(path.name)}")
    upright = np.array([_is_upright(points) for points in landmarks])
    for points, got in (
        (landmarks[..., ::-1], "y, x"),
        (landmarks[:, [1, 0, 2, 4, 3]], "the side on the picture's right first"),
    ):
        as_read = np.array([_is_upright(face) for face in points])
        if (as_read & ~upright).sum() > len(landmarks) / 2:
            which = f"{int((as_read & ~upright).sum()):,} of {len(landmarks):,} faces"
            expected = "x, y of eyes, nose and mouth, the side on the picture's left first"
            raise InputError(f"{where}: got landmarks that look like {got} for {which}, expected {expected}")


def _check_face(path: Path, points: Floats, where: str) -> None:
    width, height, orientation = upright_size(path)
    if min(width, height) > 2 and points.min() >= 0 and points.max() <= 1:
        got = "got landmarks between 0 and 1, which look normalised"
        raise InputError(f"{where}: {got}, expected pixels of {width} x {height}")
    turned = points @ np.array(_TURNS[orientation]).T
    if _inside(points, width, height) < 3:
        ignores = orientation >= 5 and _inside(points, height, width) >= 3
        got = f"got {_inside(points, width, height)} of 5 landmarks inside the picture"
        expected = f"expected most of them inside {width} x {height}"
    elif _is_upright(turned) and not _is_upright(points):
        ignores = True
        got, expected = "got landmarks of a face that is turned", f"expected them on {width} x {height}"
    else:
        return
    hint = f"; they are for the picture as stored, and ignore EXIF (orientation {orientation})"
    raise InputError(f"{where}: {got}, {expected} upright{hint if ignores else ''}")


def _inside(points: Floats, width: int, height: int) -> int:
    """How many points lie in a picture; its pixels have their centres at integers."""
    return int(((points >= -0.5) & (points <= np.array([width, height]) - 0.5)).all(1).sum())


def _is_upright(points: Floats) -> bool:
    """Whether the mouth is below the eyes, and the eye that comes first on the left."""
    right, down = points[1] - points[0], points[3:].mean(0) - points[:2].mean(0)
    return bool(down[1] > abs(down[0]) and right[0] > 0)
