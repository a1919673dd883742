"""How ``featcodec detect`` shows boxes: as text, JSON, COCO results, YOLO labels and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from featcodec.console import aligned
from featcodec.errors import InputError
from featcodec.files import printable

if TYPE_CHECKING:
    from featcodec.pictures.boxes import Boxes
    from featcodec.plf.header import Header

__all__ = ["CocoIds", "Detected", "as_coco", "as_csv", "as_lines", "as_yolo", "image_ids", "label_files"]


@dataclass(frozen=True, slots=True)
class Detected:
    """What was found in one file.

    Attributes:
        file: as it was given.
        size: of the ``.plf``, in bytes.
        header: of the ``.plf``.
        confidence: the least score that counted.
        boxes: in pixels of the original photograph, best first.
        drawing: where they were drawn, if that was asked for.
    """

    file: str
    size: int
    header: Header
    confidence: float
    boxes: Boxes
    drawing: str | None

    def as_json(self) -> dict[str, object]:
        """What ``detect --json`` shows; names and units here are an interface."""
        header = self.header
        return {
            "file": self.file,
            "bytes": self.size,
            "codec": header.codec,
            "fingerprint": header.fingerprint.hex(),
            "quality": header.quality,
            "width": header.width,
            "height": header.height,
            "confidence": self.confidence,
            "boxes": [asdict(box) for box in self.boxes],
            "drawing": self.drawing,
        }


def as_lines(found: Detected) -> list[str]:
    """Label, score and corners, a line a box."""
    rows = []
    for box in found.boxes:
        corners = " ".join(f"{corner:8.1f}" for corner in (box.x1, box.y1, box.x2, box.y2))
        rows.append((printable(box.label), f"{box.score:.2f}", corners))
    return aligned(rows, "<>>")


# ---- COCO


def image_ids(files: Sequence[str]) -> list[int]:
    """The ``image_id`` of each file.

    That is its name, without folder and suffix, if all of them are different numbers, as the names of COCO's
    pictures are; else its place in the list, from 1.

    Example:
        >>> image_ids(["val/000000000139.plf", "val/000000000285.plf"]), image_ids(["b.jpg", "7.jpg"])
        ([139, 285], [1, 2])
    """
    stems = [Path(file).stem for file in files]
    if all(stem.isascii() and stem.isdigit() and len(stem) < 19 for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(files) + 1))


@dataclass(frozen=True, slots=True)
class CocoIds:
    """The numbers that COCO results call pictures and classes by.

    Attributes:
        images: the ``image_id`` of each file.
        categories: the ``category_id`` of each class name; None for COCO's own, 1 to 90, where all classes
            of a detector are COCO's, and else for the number of the class in the detector, from 1.
    """

    images: Mapping[str, int]
    categories: Mapping[str, int | str] | None

    @staticmethod
    def of(files: Sequence[str], annotations: str | None) -> CocoIds:
        """Those of a COCO json, by the names of files without folder and suffix and by the names of classes.

        Args:
            files: as they were given.
            annotations: the json; None for `image_ids`, and for a detector's own classes.

        Raises:
            InputError: no COCO json, or not exactly one picture in it for each file.
        """
        if annotations is None:
            return CocoIds(dict(zip(files, image_ids(files), strict=True)), None)
        from featcodec.evaluation.coco_json import read_ids  # numpy takes a while

        images, categories = read_ids(annotations)
        listed: dict[str, list[int]] = {}
        for name, number in images.items():
            listed.setdefault(PurePosixPath(name).stem, []).append(number)
        found: dict[str, int] = {}
        taken: dict[int, str] = {}
        for file in files:
            numbers = listed.get(Path(file).stem, [])
            if len(numbers) != 1:
                got = f"got {len(numbers)} pictures named {Path(file).stem!r:.80}, expected one, for {file}"
                raise InputError(got, path=printable(annotations))
            other = taken.setdefault(numbers[0], file)
            if other != file:
                raise InputError(f"got {other} and {file}, expected one file for image {numbers[0]}")
            found[file] = numbers[0]
        return CocoIds(found, categories or None)

    def of_classes(self, names: Sequence[str]) -> list[int | str | None]:
        """The ``category_id`` of each of a detector's classes; None for one without.

        Raises:
            InputError: all of them are without.
        """
        from featcodec.networks.coco import CATEGORY_IDS

        if self.categories is not None:
            found = [self.categories.get(name) for name in names]
            if not any(number is not None for number in found):
                got, expected = (printable(", ".join([*some][:3])) for some in (self.categories, names))
                raise InputError(
                    f"categories: got {got}, expected some of the detector's, such as {expected}"
                )
            return found
        if all(name in CATEGORY_IDS for name in names):
            return [CATEGORY_IDS[name] for name in names]
        return list(range(1, len(names) + 1))


def as_coco(found: Sequence[Detected], ids: CocoIds) -> str:
    """Results as pycocotools' ``loadRes`` takes them: JSON, ``bbox`` is x, y, width, height in pixels.

    Boxes of classes that have no ``category_id`` are left out.
    """
    results = []
    for one in found:
        categories = ids.of_classes(one.boxes.names)
        for box, label in zip(one.boxes, one.boxes.labels.tolist(), strict=True):
            if categories[label] is None:
                continue
            sides = (box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1)
            results.append(
                {
                    "image_id": ids.images[one.file],
                    "category_id": categories[label],
                    "bbox": [round(side, 2) for side in sides],
                    "score": round(box.score, 6),
                }
            )
    return json.dumps(results)


# ---- YOLO


def label_files(files: Sequence[str], folder: str) -> list[str]:
    """Where the labels of each file go: ``FOLDER/NAME.txt``.

    Raises:
        InputError: two would go to the same place.
    """
    targets = [str(Path(folder, f"{Path(file).stem}.txt")) for file in files]
    taken: dict[str, str] = {}
    for file, target in zip(files, targets, strict=True):
        if target in taken:
            raise InputError(f"got {taken[target]} and {file}, expected one file for each name", path=target)
        taken[target] = file
    return targets


def as_yolo(found: Detected, *, scores: bool) -> str:
    """A line a box: class number, then centre x, y, width and height as shares of the picture's sides.

    Args:
        found: a picture without boxes has an empty file, which says that it was looked at.
        scores: as a sixth column.
    """
    width, height = found.header.width, found.header.height
    lines = []
    for box, label in zip(found.boxes, found.boxes.labels.tolist(), strict=True):
        centre = (box.x1 + box.x2) / 2 / width, (box.y1 + box.y2) / 2 / height
        shares = (*centre, (box.x2 - box.x1) / width, (box.y2 - box.y1) / height)
        row = [str(label), *(f"{min(max(share, 0.0), 1.0):.6f}" for share in shares)]
        lines.append(" ".join([*row, f"{box.score:.6f}"] if scores else row) + "\n")
    return "".join(lines)


# ---- CSV


def as_csv(found: Sequence[Detected], *, name: Callable[[str], str] = str) -> str:
    """A header, then a row a box: file, label, score, and corners in pixels.

    Args:
        found: what was found in each file.
        name: makes what is shown of a file's name and of a label; as they are unless given.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("file", "label", "score", "x1", "y1", "x2", "y2"))
    for one in found:
        for box in one.boxes:
            corners = (round(corner, 2) for corner in (box.x1, box.y1, box.x2, box.y2))
            writer.writerow((name(one.file), name(box.label), round(box.score, 6), *corners))
    return buffer.getvalue()
