"""Labelled pictures: COCO json files, read without pycocotools."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError

__all__ = ["CocoSet", "Picture", "read_coco"]


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
    annotations = Path(annotations)
    try:
        return _read(json.loads(annotations.read_text(encoding="utf-8")), Path(images), names)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{annotations}: expected a COCO json, got {type(error).__name__}: {error}"
        ) from error


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
