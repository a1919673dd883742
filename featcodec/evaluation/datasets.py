"""The pictures of a run: COCO json files, read without pycocotools, and bare folders of photographs."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.evaluation.coco_json import read_labels
from featcodec.evaluation.label_checks import check_boxes, check_classes
from featcodec.files import is_file, list_pictures, printable
from featcodec.pictures.boxes import Boxes
from featcodec.pictures.loading import upright_size

__all__ = [
    "CocoSet",
    "Picture",
    "class_names",
    "find_picture",
    "label_by",
    "read_coco",
    "read_folder",
    "spread",
    "unlabelled",
]


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture.

    Attributes:
        path: the image file.
        image_id: its number in the json.
        width, height: in pixels, upright, as the json says.
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
    """Pictures with boxes.

    Attributes:
        names: of the classes, by number.
        labelled: which of them the json knows at all.
        pictures: in the order of their file names.
        notes: a line on whatever may be wrong with the labels.
    """

    names: tuple[str, ...]
    labelled: tuple[bool, ...]
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...] = ()

    def where(self, keep: Callable[[int], bool]) -> CocoSet:
        """The pictures whose position in the set, sorted by file name, `keep` accepts."""
        return replace(self, pictures=tuple(p for i, p in enumerate(self.pictures) if keep(i)))


def read_coco(annotations: str | Path, images: str | Path, names: Sequence[str]) -> CocoSet:
    """Reads a COCO json, keeping the classes `names` in the order given.

    The json is checked, and every picture has to be there; `check_pictures` compares their sides.

    Args:
        annotations: the json file.
        images: the folder that its file names are relative to.
        names: class names; one that the json lacks is marked as not labelled.

    Raises:
        InputError: not a COCO json; entries that contradict each other or cannot be right, such as ids that
            stand twice or boxes outside their pictures; or a picture that it names is missing.
    """
    labels = read_labels(annotations)
    with_area, notes = check_boxes(labels)
    notes = (*notes, *check_classes(labels, tuple(names)))
    number = np.array([names.index(n) if n in names else -1 for n in labels.categories], np.int64)
    label = number[labels.category] if len(number) else np.zeros(0, np.int64)
    kept = np.flatnonzero(with_area & (label >= 0))
    kept = kept[np.argsort(labels.image[kept], kind="stable")]
    corners = labels.xywh[kept]
    corners[:, 2:] += corners[:, :2]
    ends = np.searchsorted(labels.image[kept], np.arange(len(labels.images) + 1))
    pictures = []
    for image, first, last in zip(labels.images, ends, ends[1:], strict=False):
        rows, part = kept[first:last], slice(first, last)
        path = find_picture(Path(images), image.file_name)
        boxes = corners[part].astype(np.float32)
        pictures.append(
            Picture(path, image.id, image.width, image.height, boxes, label[rows], labels.crowd[rows])
        )
    labelled = tuple(n in labels.categories for n in names)
    return CocoSet(tuple(names), labelled, tuple(pictures), notes)


def class_names(annotations: str | Path) -> tuple[str, ...]:
    """All class names of a COCO json, in the order of their numbers; errors as `read_coco`."""
    return read_labels(annotations).categories


def find_picture(folder: Path, name: str) -> Path:
    """The file that a json names.

    Raises:
        InputError: it is missing; the message names a file that differs by its folder or spelling only.
    """
    path = folder / name
    if is_file(path):
        return path
    like = _alike(folder, name)
    hint = f"; there is {printable(like)!r}" if like else ""
    raise InputError(f"the annotations name this picture, but it is missing{hint}", path=printable(path))


def _alike(folder: Path, name: str) -> str:
    """A file whose name differs in Unicode's form, case, separators, ending or folder; empty without one."""
    wanted = _plain_name(name)
    try:
        there = [path for path, _ in list_pictures(folder, recursive=True)]
    except InputError:
        return ""
    return next((os.path.relpath(path, folder) for path in there if _plain_name(path) == wanted), "")


def _plain_name(name: str) -> str:
    return unicodedata.normalize("NFC", PurePosixPath(name.replace("\\", "/")).stem).casefold()


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
    pictures = tuple(Picture(p, i, *upright_size(p)[:2], boxes, labels, crowd) for i, p in enumerate(paths))
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
    return replace(data, labelled=(True,) * len(data.names), pictures=tuple(pictures))
