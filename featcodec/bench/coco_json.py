"""What a COCO json says, field by field: what cannot be right is refused by name."""

from __future__ import annotations

import json
import math
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.files import printable, read_file

__all__ = ["Labels", "ListedImage", "picture_names", "read_labels"]

LARGEST_JSON = 1 << 30  # bytes; all of COCO train2017 has 0.45 GB
_LARGEST_ID = 2**63 - 1  # of pycocotools' arrays
_SHOWN = 60  # characters of a wrong value in a message

Id: TypeAlias = int | str


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
        names: (N,) what messages call an annotation.
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
    names: tuple[str, ...]
    image: NDArray[np.int64]
    category: NDArray[np.int64]
    xywh: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    area: NDArray[np.float64]
    scored: int


def read_labels(annotations: str | Path) -> Labels:
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


def picture_names(annotations: str | Path) -> list[str]:
    """The files that a COCO json lists, by name; it need not have boxes.

    Raises:
        InputError: no COCO json, or a file that it lists twice.
    """
    content = _load(annotations)
    with _about(annotations):
        if not isinstance(content, dict) or "images" not in content:
            _check_kind(content)
        listed = [_file_name(entry, where) for entry, where in _entries(content["images"], "image")]
        _check_files(listed)
    return sorted(listed)


# ---- the file


def _load(annotations: str | Path) -> Any:
    data = read_file(annotations, LARGEST_JSON)
    with _about(annotations):
        try:
            return json.loads(data, object_pairs_hook=_object)
        except InputError:
            raise
        except (ValueError, RecursionError) as error:
            raise InputError(f"expected a COCO json, got {type(error).__name__}: {error}") from error


@contextmanager
def _about(annotations: str | Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{printable(annotations)}: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"got an object with {_shown(twice)} twice, expected each key once")
    return found


def _check_kind(content: Any) -> None:
    """Refuse what is another kind of json, and say which."""
    wanted = "expected a COCO json: an object with images, annotations and categories"
    if isinstance(content, list):
        detections = bool(content) and isinstance(content[0], dict) and "score" in content[0]
        raise InputError(f"got a list{' of detections' if detections else ''}, {wanted}")
    if not isinstance(content, dict):
        raise InputError(f"got {_shown(content)}, {wanted}")
    for key in ("images", "annotations", "categories"):
        if key not in content:
            raise InputError(f"got no {key}, {wanted}")


def _entries(value: Any, what: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a list, and what messages call them."""
    if not isinstance(value, list):
        raise InputError(f"{what}s: got {_shown(value)}, expected a COCO json with a list of them")
    for position, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise InputError(f"{what}s[{position}]: got {_shown(entry)}, expected an object")
        yield entry, f"{what} {_shown(entry['id'])}" if "id" in entry else f"{what}s[{position}]"


# ---- pictures and classes


def _images(value: Any) -> dict[Id, ListedImage]:
    """By their ids as the json writes them, in the order of file names."""
    listed: list[tuple[Id, ListedImage]] = []
    for entry, where in _entries(value, "image"):
        written = _id(entry, "id", where)
        number = int(written) if str(written).isdecimal() or isinstance(written, int) else None
        if number is None or str(number) != str(written) or number > _LARGEST_ID:
            raise InputError(f"{where}: id: got {_shown(written)}, expected a whole number")
        width, height = (_side(entry, key, where) for key in ("width", "height"))
        listed.append((written, ListedImage(number, _file_name(entry, where), width, height)))
    _check_unique([written for written, _ in listed], "image", [i.file_name for _, i in listed])
    _check_files([image.file_name for _, image in listed])
    return dict(sorted(listed, key=lambda pair: pair[1].file_name))


def _check_files(names: Sequence[str]) -> None:
    """No file twice: neither by one spelling nor by two, such as ``a.jpg`` and ``./a.jpg``."""
    seen: dict[str, str] = {}
    for name in names:
        plain = posixpath.normpath(unicodedata.normalize("NFC", name))
        if plain in seen:
            other = "" if seen[plain] == name else f", once as {_shown(seen[plain])}"
            raise InputError(f"images: got {_shown(name)} twice{other}, expected each file once")
        seen[plain] = name


def _categories(value: Any) -> dict[Id, str]:
    """Names by their ids, in the order of the ids."""
    listed: list[tuple[Id, str]] = []
    for entry, where in _entries(value, "category"):
        name = entry.get("name")
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{where}: name: got {_shown(name)}, expected a class name")
        listed.append((_id(entry, "id", where), name))
    names = [name for _, name in listed]
    _check_unique([written for written, _ in listed], "category", names)
    if len(set(names)) < len(names):
        name, _ = Counter(names).most_common(1)[0]
        ids = ", ".join(_shown(written) for written, other in listed if other == name)
        raise InputError(f"categories: got {_shown(name)} under the ids {ids}, expected each name once")
    return dict(sorted(listed, key=lambda pair: _rank(pair[0])))


def _rank(written: Id) -> tuple[bool, int, str]:
    """Numbers by size, whether written as text or not; then other text."""
    text = str(written)
    number = text.removeprefix("-").isdecimal() and len(text) <= 20
    return (not number, int(text) if number else 0, text)


def _check_unique(ids: Sequence[Id], what: str, called: Sequence[str]) -> None:
    seen: dict[Id, str] = {}
    plain: dict[str, Id] = {}
    for written, name in zip(ids, called, strict=True):
        if written in seen:
            raise InputError(
                f"{what} {_shown(written)}: got this id twice ({_shown(seen[written])}, {_shown(name)}), "
                "expected each id once"
            )
        seen[written] = name
        alike = plain.setdefault(_plain(written), written)
        if alike != written:
            raise InputError(
                f"{what}: got the ids {_described(alike)} and {_described(written)}, "
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
            written = _id(entry, "id", where)
            if written in seen:
                raise InputError(f"{where}: got this id twice, expected each annotation's id once")
            seen.add(written)
        image.append(image_of(_id(entry, "image_id", where), where))
        category.append(category_of(_id(entry, "category_id", where), where))
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


def _finder(listed: Iterable[Id], what: str) -> Callable[[Id, str], int]:
    """From an id to its position; an id that is not listed is refused, with the one that it may stand for."""
    positions = {written: i for i, written in enumerate(listed)}
    plain = {_plain(written): written for written in positions}

    def find(written: Id, where: str) -> int:
        if written in positions:
            return positions[written]
        alike = plain.get(_plain(written))
        if alike is not None:
            expected = f"{_described(alike)}, as the {what} itself has it"
            raise InputError(f"{where}: {what}_id: got {_described(written)}, expected {expected}")
        some = ", ".join(_shown(w) for w in list(positions)[:3])
        expected = f"the id of one of the {len(positions):,} listed" + (f", such as {some}" if some else "")
        raise InputError(f"{where}: {what}_id: got {_shown(written)}, expected {expected}")

    return find


def _bbox(entry: dict[str, Any], where: str) -> list[float]:
    value = entry.get("bbox")
    if value is None:
        has = " but a segmentation" if entry.get("segmentation") else ""
        raise InputError(f"{where}: got no bbox{has}, expected one: [x, y, width, height] in pixels")
    numbers = [_number(v) for v in value] if isinstance(value, list) else []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        expected = "four finite numbers: [x, y, width, height] in pixels"
        raise InputError(f"{where}: bbox: got {_shown(value)}, expected {expected}")
    return numbers


def _is_crowd(entry: dict[str, Any], where: str) -> bool:
    value = entry.get("iscrowd", 0)
    if _number(value, flags=True) not in (0, 1):
        raise InputError(f"{where}: iscrowd: got {_shown(value)}, expected 0 or 1")
    return bool(value)


def _area(entry: dict[str, Any], where: str) -> float:
    if "area" not in entry:
        return math.nan
    area = _number(entry["area"])
    if not math.isfinite(area) or area < 0:
        raise InputError(f"{where}: area: got {_shown(entry['area'])}, expected square pixels")
    return area


# ---- values


def _number(value: Any, *, flags: bool = False) -> float:
    """A number as a float; NaN for what is none, such as a number in quotation marks."""
    if not isinstance(value, int | float) or (isinstance(value, bool) and not flags):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def _id(entry: dict[str, Any], key: str, where: str) -> Id:
    value = entry.get(key)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)  # tables with a gap in a column turn its integers into floats
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_ID
    if whole or (isinstance(value, str) and value.strip()):
        found: Id = value  # type: ignore[assignment]
        return found
    got = "none" if key not in entry else _shown(value)
    raise InputError(f"{where}: {key}: got {got}, expected a whole number of at most 63 bits, or text")


def _side(entry: dict[str, Any], key: str, where: str) -> int:
    value = entry.get(key)
    number = _number(value)
    if not number.is_integer() or number < 1:
        got = "none" if key not in entry else _shown(value)
        raise InputError(f"{where}: {key}: got {got}, expected a positive whole number of pixels")
    return int(number)


def _file_name(entry: dict[str, Any], where: str) -> str:
    value = entry.get("file_name")
    if not isinstance(value, str) or not value or "\0" in value:
        got = "none" if "file_name" not in entry else _shown(value)
        raise InputError(f"{where}: file_name: got {got}, expected a file")
    return value


def _plain(written: Id) -> str:
    """The same for 7, "7" and "007"."""
    return str(written).strip().lstrip("0") or "0"


def _described(written: Id) -> str:
    return f"{_shown(written)} ({'text' if isinstance(written, str) else 'a number'})"


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError:  # an integer that Python refuses to write
        text = f"a {type(value).__name__}"
    text = printable(text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
