"""The pictures of a run: COCO json files, read without pycocotools, and bare folders of photographs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.files import list_pictures, read_file
from featcodec.pictures.boxes import Boxes
from featcodec.pictures.loading import stored_size

__all__ = [
    "CocoSet",
    "Picture",
    "class_names",
    "label_by",
    "read_coco",
    "read_folder",
    "spread",
    "unlabelled",
]


LARGEST_JSON = 1 << 30  # bytes; all of COCO train2017 has 0.45 GB


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture.

    Attributes:
        path: the image file.
        image_id: its number in the json.
        width, height: in pixels, as the json says.
        boxes: (N, 4) corners x1, y1, x2, y2 in pixels, float32.
        labels: (N,) class numbers into the set's `names`, int64.
        crowd: (N,) True where the box is a crowd region, which is neither an object nor background.
    """

    path: Path
    image_id: int
    width: int
    height: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CocoSet:
    """Pictures with boxes of the classes `names`; `labelled` are those that the json knows at all."""

    names: tuple[str, ...]
    labelled: tuple[bool, ...]
    pictures: tuple[Picture, ...]

    def where(self, keep: Callable[[int], bool]) -> CocoSet:
        """The pictures whose position in the set, sorted by file name, `keep` accepts."""
        return CocoSet(self.names, self.labelled, tuple(p for i, p in enumerate(self.pictures) if keep(i)))


def read_coco(annotations: str | Path, images: str | Path, names: Sequence[str]) -> CocoSet:
    """Reads a COCO json, keeping the classes `names` in the order given.

    Args:
        annotations: the json file.
        images: the folder that its file names are relative to.
        names: class names; one that the json lacks is marked as not labelled.

    Raises:
        InputError: not a COCO json, or a picture that it names is missing.
    """
    content = _load(Path(annotations))
    try:
        return _read(content, Path(images), names)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _not_coco(annotations, error) from error


def _load(annotations: Path) -> Any:
    try:
        return json.loads(read_file(annotations, LARGEST_JSON))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise _not_coco(annotations, error) from error


def _not_coco(annotations: str | Path, error: Exception) -> InputError:
    return InputError(f"{annotations}: expected a COCO json, got {type(error).__name__}: {error}")


def class_names(annotations: str | Path) -> tuple[str, ...]:
    """All class names of a COCO json, in the order of their numbers; errors as `read_coco`."""
    content = _load(Path(annotations))
    try:
        return tuple(str(c["name"]) for c in sorted(content["categories"], key=lambda c: int(c["id"])))
    except (ValueError, KeyError, TypeError) as error:
        raise _not_coco(annotations, error) from error


def read_folder(folder: str | Path, names: Sequence[str]) -> CocoSet:
    """The photographs of a folder and its subfolders, without any box.

    Raises:
        InputError: not a folder, or one without pictures.
        ImageError: a file that is no picture.
    """
    return unlabelled([Path(path) for path, _ in list_pictures(folder, recursive=True)], names)


def unlabelled(paths: Sequence[Path], names: Sequence[str]) -> CocoSet:
    """Photographs without boxes."""
    boxes, labels, crowd = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    pictures = tuple(Picture(p, i, *stored_size(p), boxes, labels, crowd) for i, p in enumerate(paths))
    return CocoSet(tuple(names), (False,) * len(names), pictures)


def spread(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many of them, at equal distances.

    >>> [p.name for p in spread([Path(str(i)) for i in range(7)], 3)]
    ['0', '2', '4']
    """
    return [paths[i * len(paths) // most] for i in range(most)] if len(paths) > most else list(paths)


def label_by(data: CocoSet, found: Sequence[Boxes], *, confidence: float) -> CocoSet:
    """The same pictures with what a network found in them as their boxes.

    Args:
        data: photographs without boxes.
        found: what was found, one entry a picture, in the same order.
        confidence: score from which a detection counts as an object.
    """
    pictures = []
    for picture, boxes in zip(data.pictures, found, strict=True):
        kept = boxes.scores >= confidence
        pictures.append(
            replace(
                picture,
                boxes=boxes.xyxy[kept].numpy().astype(np.float32),
                labels=boxes.labels[kept].numpy().astype(np.int64),
                crowd=np.zeros(int(kept.sum()), np.bool_),
            )
        )
    return CocoSet(data.names, (True,) * len(data.names), tuple(pictures))


def _read(content: Any, images: Path, names: Sequence[str]) -> CocoSet:
    categories = {c["id"]: c["name"] for c in content["categories"]}
    number = {c: names.index(n) for c, n in categories.items() if n in names}
    by_image: dict[int, list[tuple[list[float], int, bool]]] = {}
    for a in content["annotations"]:
        if a["category_id"] in number:
            x, y, w, h = a["bbox"]
            row = ([x, y, x + w, y + h], number[a["category_id"]], bool(a.get("iscrowd", 0)))
            by_image.setdefault(a["image_id"], []).append(row)
    listed = sorted(content["images"], key=lambda i: str(i["file_name"]))
    pictures = tuple(_picture(images, i, by_image.get(i["id"], [])) for i in listed)
    return CocoSet(tuple(names), tuple(n in categories.values() for n in names), pictures)


def _picture(folder: Path, image: dict[str, object], rows: list[tuple[list[float], int, bool]]) -> Picture:
    path = folder / str(image["file_name"])
    if not path.is_file():
        raise InputError(f"{path}: the annotations name this picture, but it is missing")
    return Picture(
        path,
        int(str(image["id"])),
        int(str(image["width"])),
        int(str(image["height"])),
        np.array([r[0] for r in rows], np.float32).reshape(-1, 4),
        np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.bool_),
    )
