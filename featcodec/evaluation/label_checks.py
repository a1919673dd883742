"""Boxes compared with the pictures that they are drawn on, and with each other.

A box that cannot be right is refused by name, with the reading of its four numbers under which the whole set
would fit, if there is one. What may be right after all becomes a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.evaluation.coco_json import Labels
from featcodec.files import printable

__all__ = ["check_boxes", "check_classes", "named"]

ROUNDING = 0.5  # px that a box may reach beyond its picture without a word
INSIDE = 0.5  # share of a box that has to lie inside its picture
FITS = 0.98  # share of the boxes that fit into their pictures where a reading is the right one
ENOUGH = 10  # boxes from which on all of them fit another reading by no accident
MANY = 50  # boxes of which some touch the right or the lower edge in any set of photographs
REACH = 0.8  # of a side: where fewer boxes than none reach further, they are of smaller pictures

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# how else four numbers are written, and what turns them into left, top, width, height
_READINGS: dict[str, Callable[[Floats], Floats]] = {
    "x1, y1, x2, y2": lambda b: np.stack([b[:, 0], b[:, 1], b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]], 1),
    "the centre, width, height": lambda b: np.concatenate([b[:, :2] - b[:, 2:] / 2, b[:, 2:]], 1),
    "y, x, height, width": lambda b: b[:, [1, 0, 3, 2]],
    "y1, x1, y2, x2": lambda b: np.stack([b[:, 1], b[:, 0], b[:, 3] - b[:, 1], b[:, 2] - b[:, 0]], 1),
}


def check_boxes(labels: Labels) -> tuple[Bools, tuple[str, ...]]:
    """Compares the boxes with the sides of their pictures as the json has them.

    Returns:
        (N,) which annotations count: those with an area, each once; and a note on whatever does not, and for
        each suspicion.

    Raises:
        InputError: boxes in [0, 1], of negative sides, or outside their pictures.
    """
    low = labels.xywh[:, :2]
    high = low + labels.xywh[:, 2:]
    with_area = (high.astype(np.float32) > low.astype(np.float32)).all(1)  # as `Picture` has them
    sides = np.array([(i.width, i.height) for i in labels.images], np.float64).reshape(-1, 2)[labels.image]
    _check_pixels(labels, with_area)
    _check_sides(labels, sides)
    inside = _inside(labels.xywh, sides)
    wrong = np.flatnonzero(with_area & (inside < INSIDE))
    if len(wrong):
        first = int(wrong[0])
        got = f"got {_box(labels, first)}, of which {100 * inside[first]:.0f} % lies inside the picture"
        expected = f"expected most of it inside {_picture(labels, first)}"
        raise InputError(
            f"{_where(labels, first)}: {got}, {expected}{_more(wrong)}{_reading(labels.xywh, sides)}"
        )
    once = _once(labels)
    notes = (
        *_without_area(labels, with_area),
        *_overhanging(labels, sides),
        *_corners(labels, sides),
        *_small(labels, sides),
        *_areas(labels),
        *_repeated(labels, once),
        *_scored(labels),
    )
    return with_area & once, notes


def check_classes(labels: Labels, names: tuple[str, ...]) -> tuple[str, ...]:
    """Compares the class names with those that are asked for.

    Returns:
        A note on boxes of other classes.

    Raises:
        InputError: a class that differs from one of `names` by case, spaces or hyphens only.
    """
    plain = {_plain(name): name for name in names}
    for name in labels.categories:
        wanted = plain.get(_plain(name))
        if wanted is not None and name not in names and wanted not in labels.categories:
            where = f"{printable(labels.path)}: category {printable(name)!r}"
            raise InputError(f"{where}: got this name, expected {wanted!r}, as the network calls it")
    other = np.array([name not in names for name in labels.categories], np.bool_)
    left_out = other[labels.category] if len(other) else np.zeros(0, np.bool_)
    if not left_out.any():
        return ()
    classes = [labels.categories[c] for c in np.unique(labels.category[left_out])]
    return (
        f"Boxes of classes that are not the network's are left out, {named(left_out)}: {_list(classes)}.",
    )


def named(which: Bools) -> str:
    """How many of how many, in words."""
    return f"{int(which.sum()):,} of {len(which):,}"


# ---- what is refused


def _check_pixels(labels: Labels, with_area: Bools) -> None:
    """Refuse pictures all of whose boxes lie in their first pixel."""
    count = len(labels.images)
    largest = np.zeros(count)
    np.maximum.at(largest, labels.image, np.abs(labels.xywh).max(1, initial=0))
    there = np.bincount(labels.image[with_area], minlength=count) > 0
    small = np.flatnonzero(there & (largest <= 1))
    wrong = [i for i in small if min(labels.images[i].width, labels.images[i].height) > 1]
    if wrong:
        first = int(np.flatnonzero(labels.image == wrong[0])[0])
        got = f"got {_box(labels, first)}, expected pixels of {_picture(labels, first)}"
        raise InputError(
            f"{_where(labels, first)}: {got}; boxes of {len(wrong):,} of {int(there.sum()):,} pictures "
            "lie between 0 and 1: they look normalised to the sides of the picture"
        )


def _check_sides(labels: Labels, sides: Floats) -> None:
    wrong = np.flatnonzero((labels.xywh[:, 2:] < 0).any(1))
    if len(wrong):
        first = int(wrong[0])
        got = f"got {_box(labels, first)}, expected a positive width and height"
        raise InputError(f"{_where(labels, first)}: {got}{_more(wrong)}{_reading(labels.xywh, sides)}")


def _inside(xywh: Floats, sides: Floats) -> Floats:
    """(N,) The share of each box that lies inside its picture; 0 where it has no area."""
    low = np.maximum(xywh[:, :2], 0)
    high = np.minimum(xywh[:, :2] + xywh[:, 2:], sides)
    area = xywh[:, 2:].clip(0).prod(1)
    visible = (high - low).clip(0).prod(1)
    share: Floats = np.divide(visible, area, out=np.zeros(len(area)), where=area > 0)
    return share


def _beyond(xywh: Floats, sides: Floats) -> Floats:
    """(N,) Pixels that each box reaches beyond its picture; 0 where it does not."""
    beyond: Floats = np.concatenate([-xywh[:, :2], xywh[:, :2] + xywh[:, 2:] - sides], 1).max(1).clip(0)
    return beyond


def _fitting(xywh: Floats, sides: Floats) -> Bools:
    fits: Bools = (xywh[:, 2:] > 0).all(1) & (_beyond(xywh, sides) <= 1)
    return fits


def _reading(xywh: Floats, sides: Floats) -> str:
    """The first other reading under which the boxes of the set fit, if any, as the end of a message."""
    stated = _fitting(xywh, sides).mean()
    for name, read in _READINGS.items():
        share = _fitting(read(xywh), sides).mean()
        if share >= FITS and share > stated:
            fit = f"{100 * share:.0f} % of all boxes would fit, as they stand {100 * stated:.0f} %"
            return f"; read as {name}, {fit}"
    return ""


# ---- what is suspicious


def _without_area(labels: Labels, with_area: Bools) -> Iterator[str]:
    if not with_area.all():
        first = int(np.flatnonzero(~with_area)[0])
        which = f"{named(~with_area)}, such as {labels.names[first]}"
        yield f"Boxes without width or height are left out, {which}: nothing can be found there."


def _overhanging(labels: Labels, sides: Floats) -> Iterator[str]:
    beyond = _beyond(labels.xywh, sides)
    over = beyond > ROUNDING
    if over.any():
        worst = int(beyond.argmax())
        furthest = f"{labels.names[worst]} reaches furthest, {beyond[worst]:.1f} px"
        yield (
            f"Boxes that reach beyond their pictures are kept as they are, {named(over)}; "
            f"{furthest}{_reading(labels.xywh, sides)}."
        )


def _corners(labels: Labels, sides: Floats) -> Iterator[str]:
    """Boxes that fit as corners, too: all of them by no accident, or just as their areas say."""
    as_corners = _READINGS["x1, y1, x2, y2"](labels.xywh)
    if not len(as_corners) or not _fitting(as_corners, sides).all():
        return
    product, other = labels.xywh[:, 2:].prod(1), as_corners[:, 2:].prod(1)
    close, apart = np.abs(labels.area - other) <= 0.01 * other + 1, np.abs(product - other) > 0.02 * other + 2
    if len(as_corners) >= ENOUGH or (close.all() and apart.any()):
        yield "All boxes fit as x1, y1, x2, y2, too; they are read as x, y, width, height."


def _small(labels: Labels, sides: Floats) -> Iterator[str]:
    if len(labels.xywh) >= MANY:
        reach = ((labels.xywh[:, :2] + labels.xywh[:, 2:]) / sides).max(0)
        if (reach < REACH).all():
            x, y = (100 * reach).round()
            yield (
                f"No box reaches beyond {x:.0f} % of the width and {y:.0f} % of the height of its picture: "
                "they may have been made on smaller pictures."
            )


def _areas(labels: Labels) -> Iterator[str]:
    """An object's area is at most that of its box."""
    larger = labels.area > 1.1 * labels.xywh[:, 2:].prod(1) + 4
    if larger.sum() > 0.1 * len(larger):
        what = "the boxes may be of pictures of another size"
        yield f"Areas are larger than their boxes, {named(larger)}: {what}."


def _once(labels: Labels) -> Bools:
    """(N,) False for a box that repeats an earlier one of the same picture and class in all four numbers."""
    rows = np.column_stack([labels.image, labels.category, labels.crowd, labels.xywh])
    once = np.zeros(len(rows), np.bool_)
    if len(rows):  # np.unique of no rows fails
        once[np.unique(rows, axis=0, return_index=True)[1]] = True
    return once


def _repeated(labels: Labels, once: Bools) -> Iterator[str]:
    if not once.all():
        which = f"{named(~once)}, such as {labels.names[int(np.flatnonzero(~once)[0])]}"
        yield f"Boxes that repeat another one of the same picture and class are left out, {which}."


def _scored(labels: Labels) -> Iterator[str]:
    if labels.scored:
        yield (
            f"Annotations have scores, {labels.scored:,} of {len(labels.names):,}: "
            "they may be detections, not labels."
        )


# ---- words


def _where(labels: Labels, i: int) -> str:
    image = labels.images[labels.image[i]]
    return f"{printable(labels.path)}: {labels.names[i]} of {printable(image.file_name)!r}: bbox"


def _box(labels: Labels, i: int) -> str:
    return f"[{', '.join(f'{v:g}' for v in labels.xywh[i])}]"


def _picture(labels: Labels, i: int) -> str:
    image = labels.images[labels.image[i]]
    return f"{image.width} x {image.height}"


def _more(wrong: NDArray[np.int64]) -> str:
    return f" (and {len(wrong) - 1:,} more such)" if len(wrong) > 1 else ""


def _list(names: list[str], most: int = 8) -> str:
    shown = ", ".join(printable(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
