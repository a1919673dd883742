"""What a COCO json says, field by field: what cannot be right is refused by name."""

from __future__ import annotations

import json
import math
import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.evaluation.coco_values import (
    Id,
    Where,
    described,
    file_name,
    identity,
    number,
    plain,
    shown,
    side,
)
from featcodec.files import printable, read_file

__all__ = ["Labels", "ListedImage", "picture_names", "read_ids", "read_labels"]

_LARGEST_BOX = 2**31  # px
LARGEST_JSON = 1 << 30  # bytes; all of COCO train2017 has 0.45 GB


@dataclass(frozen=True, slots=True)
class ListedImage:
    """A picture as the json lists it: its number, its file and its upright sides in pixels."""

    id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The content of a COCO json with I pictures and N annotations.

    Attributes:
        path: the json file.
        images: the pictures, in the order of their file names.
        categories: class names, in the order of their ids; no two are the same.
        names: (N,) whose text is what messages call an annotation.
        image: (N,) position in `images`.
        category: (N,) position in `categories`.
        xywh: (N, 4) left, top, width, height in pixels; finite, not checked otherwise.
        crowd: (N,) True where the box is a crowd region.
        area: (N,) in square pixels; NaN where the json has none.
        scored: annotations that have a score, as detections do and labels do not.
    """

    path: Path
    images: tuple[ListedImage, ...]
    categories: tuple[str, ...]
    names: tuple[Where, ...]
    image: NDArray[np.int64]
    category: NDArray[np.int64]
    xywh: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    area: NDArray[np.float64]
    scored: int


def read_labels(annotations: str | os.PathLike[str]) -> Labels:
    """Reads a COCO json and checks its fields; boxes are compared with nothing yet.

    Raises:
        InputError: no COCO json; an id, a file name or a class name that stands twice; an annotation of a
            picture or class that is not listed; a size, box, area or crowd flag that is none.
    """
    content = _load(annotations)
    with _about(annotations):
        _check_kind(content)
        images = _images(content["images"])
        categories = _categories(content["categories"])
        return _annotations(Path(annotations), content["annotations"], images, categories)


def picture_names(annotations: str | os.PathLike[str]) -> list[str]:
    """The files that a COCO json lists, by name; it need not have boxes.

    Raises:
        InputError: no COCO json, or a file that it lists twice.
    """
    content = _load(annotations)
    with _about(annotations):
        if not isinstance(content, dict) or "images" not in content:
            _check_kind(content)
        listed = [file_name(entry, where) for entry, where in _entries(content["images"], "image")]
        _check_files(listed)
    return sorted(listed)


def read_ids(annotations: str | os.PathLike[str]) -> tuple[dict[str, int], dict[str, Id]]:
    """The ids of a COCO json, of pictures by file name and of classes by name; it needs neither boxes nor
    classes.

    Raises:
        InputError: no COCO json; an id, a file name or a class name that stands twice.
    """
    content = _load(annotations)
    with _about(annotations):
        if not isinstance(content, dict) or "images" not in content:
            _check_kind(content)
        images = _images(content["images"]).values()
        categories = _categories(content.get("categories", []))
    return {image.file_name: image.id for image in images}, {n: i for i, n in categories.items()}


# ---- the file


def _load(annotations: str | os.PathLike[str]) -> Any:
    data = read_file(annotations, LARGEST_JSON)
    with _about(annotations):
        try:
            return json.loads(data, object_pairs_hook=_object)
        except InputError:
            raise
        except (ValueError, RecursionError) as error:
            raise InputError(f"expected a COCO json, got {type(error).__name__}: {error}") from error


@contextmanager
def _about(annotations: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(str(error), path=printable(annotations)) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"got an object with {shown(twice)} twice, expected each key once")
    return found


def _check_kind(content: Any) -> None:
    """Refuse what is another kind of json, and say which."""
    wanted = "expected a COCO json: an object with images, annotations and categories"
    if isinstance(content, list):
        detections = bool(content) and isinstance(content[0], dict) and "score" in content[0]
        raise InputError(f"got a list{' of detections' if detections else ''}, {wanted}")
    if not isinstance(content, dict):
        raise InputError(f"got {shown(content)}, {wanted}")
    for key in ("images", "annotations", "categories"):
        if key not in content:
            raise InputError(f"got no {key}, {wanted}")


def _entries(value: Any, what: str) -> Iterator[tuple[dict[str, Any], Where]]:
    """The objects of a list, and what messages call them."""
    if not isinstance(value, list):
        raise InputError(f"{what}s: got {shown(value)}, expected a COCO json with a list of them")
    for position, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise InputError(f"{what}s[{position}]: got {shown(entry)}, expected an object")
        yield entry, Where(what, position, entry.get("id"))


# ---- pictures and classes


def _images(value: Any) -> dict[Id, ListedImage]:
    """By their ids as the json writes them, in the order of file names."""
    listed: list[tuple[Id, ListedImage]] = []
    for entry, where in _entries(value, "image"):
        written = identity(entry, "id", where)
        known = written if isinstance(written, int) else _whole(written)
        if known is None:
            raise InputError(f"{where}: id: got {shown(written)}, expected a whole number")
        width, height = (side(entry, key, where) for key in ("width", "height"))
        listed.append((written, ListedImage(known, file_name(entry, where), width, height)))
    _check_unique([written for written, _ in listed], "image", [i.file_name for _, i in listed])
    _check_files([image.file_name for _, image in listed])
    return dict(sorted(listed, key=lambda pair: pair[1].file_name))


def _whole(text: str) -> int | None:
    """The number that text is in its usual form."""
    return int(text) if text.isdecimal() and len(text) < 19 and str(int(text)) == text else None


def _check_files(names: Sequence[str]) -> None:
    """No file twice: neither by one spelling nor by two, such as ``a.jpg`` and ``./a.jpg``."""
    seen: dict[str, str] = {}
    for name in names:
        file = posixpath.normpath(unicodedata.normalize("NFC", name))
        if file in seen:
            other = "" if seen[file] == name else f", once as {shown(seen[file])}"
            raise InputError(f"images: got {shown(name)} twice{other}, expected each file once")
        seen[file] = name


def _categories(value: Any) -> dict[Id, str]:
    """Names by their ids, in the order of the ids."""
    listed: list[tuple[Id, str]] = []
    for entry, where in _entries(value, "category"):
        name = entry.get("name")
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{where}: name: got {shown(name)}, expected a class name")
        listed.append((identity(entry, "id", where), name))
    names = [name for _, name in listed]
    _check_unique([written for written, _ in listed], "category", names)
    if len(set(names)) < len(names):
        name, _ = Counter(names).most_common(1)[0]
        ids = ", ".join(shown(written) for written, other in listed if other == name)
        raise InputError(f"categories: got {shown(name)} under the ids {ids}, expected each name once")
    return dict(sorted(listed, key=lambda pair: _rank(pair[0])))


def _rank(written: Id) -> tuple[bool, int, str]:
    """Numbers by size, whether written as text or not; then other text."""
    text = str(written)
    whole = text.removeprefix("-").isdecimal() and len(text) <= 20
    return (not whole, int(text) if whole else 0, text)


def _check_unique(ids: Sequence[Id], what: str, called: Sequence[str]) -> None:
    seen: dict[Id, str] = {}
    alike: dict[str, Id] = {}
    for written, name in zip(ids, called, strict=True):
        if written in seen:
            raise InputError(
                f"{what} {shown(written)}: got this id twice ({shown(seen[written])}, {shown(name)}), "
                "expected each id once"
            )
        seen[written] = name
        other = alike.setdefault(plain(written), written)
        if other != written:
            raise InputError(
                f"{what}: got the ids {described(other)} and {described(written)}, "
                "expected ids that differ by more than how they are written"
            )


# ---- annotations


def _annotations(path: Path, value: Any, images: dict[Id, ListedImage], categories: dict[Id, str]) -> Labels:
    image_of, category_of = _finder(images, "image"), _finder(categories, "category")
    names, image, category, boxes, crowd, area = [], [], [], [], [], []
    seen: set[Id] = set()
    scored = 0
    for entry, where in _entries(value, "annotation"):
        if "id" in entry:
            written = identity(entry, "id", where)
            if written in seen:
                raise InputError(f"{where}: got this id twice, expected each annotation's id once")
            seen.add(written)
        image.append(image_of(identity(entry, "image_id", where), where))
        category.append(category_of(identity(entry, "category_id", where), where))
        boxes.append(_bbox(entry, where))
        crowd.append(_is_crowd(entry, where))
        area.append(_area(entry, where))
        scored += "score" in entry
        names.append(where)
    return Labels(
        path,
        tuple(images.values()),
        tuple(categories.values()),
        tuple(names),
        np.array(image, np.int64),
        np.array(category, np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(crowd, np.bool_),
        np.array(area, np.float64),
        scored,
    )


def _finder(listed: Iterable[Id], what: str) -> Callable[[Id, Where], int]:
    """From an id to its position; an id that is not listed is refused, with the one that it may stand for."""
    positions = {written: i for i, written in enumerate(listed)}
    alike = {plain(written): written for written in positions}

    def find(written: Id, where: Where) -> int:
        if written in positions:
            return positions[written]
        other = alike.get(plain(written))
        if other is not None:
            expected = f"{described(other)}, as the {what} itself has it"
            raise InputError(f"{where}: {what}_id: got {described(written)}, expected {expected}")
        some = ", ".join(shown(w) for w in list(positions)[:3])
        expected = f"the id of one of the {len(positions):,} listed" + (f", such as {some}" if some else "")
        raise InputError(f"{where}: {what}_id: got {shown(written)}, expected {expected}")

    return find


def _bbox(entry: dict[str, Any], where: Where) -> list[float]:
    value = entry.get("bbox")
    if value is None:
        has = " but a segmentation" if entry.get("segmentation") else ""
        raise InputError(f"{where}: got no bbox{has}, expected one: [x, y, width, height] in pixels")
    if isinstance(value, list) and len(value) == 4:
        numbers = [v if type(v) is float else number(v) for v in value]  # most are floats
        if all(abs(v) < _LARGEST_BOX for v in numbers):
            return numbers
    expected = "four finite numbers: [x, y, width, height] in pixels"
    raise InputError(f"{where}: bbox: got {shown(value)}, expected {expected}")


def _is_crowd(entry: dict[str, Any], where: Where) -> bool:
    value = entry.get("iscrowd", 0)
    if number(value, flags=True) not in (0, 1):
        raise InputError(f"{where}: iscrowd: got {shown(value)}, expected 0 or 1")
    return bool(value)


def _area(entry: dict[str, Any], where: Where) -> float:
    if "area" not in entry:
        return math.nan
    area = number(entry["area"])
    if not math.isfinite(area) or area < 0:
        raise InputError(f"{where}: area: got {shown(entry['area'])}, expected square pixels")
    return area
