"""Average precision by pycocotools, and its matches, from which that of resampled pictures follows."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError, MissingExtraError
from featcodec.evaluation.datasets import CocoSet
from featcodec.files import printable
from featcodec.pictures.boxes import Boxes

__all__ = ["METRICS_VERSION", "MOST_COPIES", "Accuracy", "Matches", "average_precision", "match"]

METRICS_VERSION = 1  # raise it when a figure for the same boxes changes

MOST_COPIES = 16  # of a picture in a resample: a bootstrap draws more with a chance below 1e-14 a picture
IOUS = 10  # pycocotools' thresholds: .50 to .95
RECALLS = np.linspace(0.0, 1.0, 101)  # pycocotools' points

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Average precision in percent points, 0 to 100.

    Attributes:
        map: mean over the classes and IoU .50 to .95.
        ap50: mean over the classes at IoU .50.
        ap50_by_class: AP50 of each class that has boxes.
    """

    map: float
    ap50: float
    ap50_by_class: dict[str, float]


@dataclass(frozen=True, slots=True)
class Matches:
    """What pycocotools matched in P pictures of K labelled classes; `match` makes it.

    The N detections stand class after class, best score first; those of equal score in the order of the
    pictures, as pycocotools' stable sort leaves them. The E events are those that are true or ignored at an
    IoU threshold, grouped by threshold and class; all others are false, and are counted, not listed.

    Attributes:
        accuracy: pycocotools' figures for the pictures as they are.
        objects: (P, K) boxes to be found; crowd regions are not.
        picture: (N,) position of the picture that a detection lies in.
        copy: (N,) the copy of the picture that it belongs to; -1 stands for all copies. Detections of one
            picture, class and score are listed copy by copy, because that is their order when a data set
            holds the picture twice.
        row: (E,) which detection an event is.
        class_row: (E,) the first detection of its class.
        group: (E,) IoU threshold * K + class, rising.
        first: (E,) the first event of its group.
        true: (E,) 1 where it is true, 0 where it is ignored.
    """

    accuracy: Accuracy
    objects: Ints
    picture: Ints
    copy: Ints
    row: Ints
    class_row: Ints
    group: Ints
    first: Ints
    true: Ints

    def ap(self, counts: Ints) -> tuple[float, float]:
        """mAP and AP50 of the pictures taken `counts` times each, in percent points.

        Equals pycocotools on a data set in which the copies of a picture follow one another.

        Args:
            counts: (P,) 0 to `MOST_COPIES`.

        Returns:
            Means over the classes that have boxes in these pictures; 0 where none has.

        Raises:
            InputError: `counts` has another shape or a count outside the range.
        """
        if counts.shape != (len(self.objects),) or ((counts < 0) | (counts > MOST_COPIES)).any():
            raise InputError(f"counts: expected {len(self.objects)} of 0 to {MOST_COPIES}, got {counts!r}")
        objects = counts @ self.objects
        known = objects > 0
        if not known.any():
            return 0.0, 0.0
        area = np.bincount(self.group, self._areas(counts, objects), minlength=IOUS * len(objects))
        means = area.reshape(IOUS, -1)[:, known].mean(axis=1) * (100 / len(RECALLS))
        return float(means.mean()), float(means[0])

    def _areas(self, counts: Ints, objects: Ints) -> Floats:
        """(E,) Envelope of the precision at each event, times the recall points that it is first to reach.

        Only where recall rises does the curve have to be known. A true detection that counts w times is one
        event: w true ones in a row raise the precision all through, so that the envelope is that of the last.
        """
        weight = counts[self.picture]
        alone = np.flatnonzero(self.copy >= 0)
        weight[alone] = weight[alone] > self.copy[alone]
        seen = np.cumsum(weight)
        seen = seen[self.row] - (seen - weight)[self.class_row]
        weight = weight[self.row]
        true = _since(weight * self.true, self.first)
        false = seen - _since(weight, self.first)
        precision = true / (true + false + np.spacing(1))
        recall = true / np.maximum(objects, 1)[self.group % len(objects)]
        reached = np.searchsorted(RECALLS, recall, side="right")
        before = np.roll(reached, 1)
        before[self.first] = 0
        # the largest of what follows in the group; whole numbers keep the groups apart
        apart = self.group[-1:] - self.group
        envelope = np.maximum.accumulate((precision + apart)[::-1])[::-1] - apart
        area: Floats = (reached - before) * envelope
        return area


def _since(values: Ints, first: Ints) -> Ints:
    """Running sum that starts anew at every `first`."""
    total = np.cumsum(values)
    return total - (total - values)[first]


def match(data: CocoSet, detections: Sequence[Boxes]) -> Matches:
    """Matches `detections` (one entry a picture, same order) with the boxes of the labelled classes.

    Args:
        data: the pictures and their boxes.
        detections: boxes in pixels of the original pictures, class numbers into ``data.names``.

    Raises:
        InputError: two pictures of one number, or detections that are not theirs: of another count, of other
            classes, or not finite.
        MissingExtraError: pycocotools is not installed.

    Source: Lin et al. 2014 (arXiv:1405.0312); 101 recall points, at most 100 boxes a picture and class.
    """
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingExtraError.of("pycocotools", "bench") from error
    _check(data, detections)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        run = COCOeval(_coco(data, _truth(data)), _coco(data, _found(data, detections)), "bbox")
        run.params.catIds = [i for i, known in enumerate(data.labelled) if known]
        run.params.areaRng, run.params.areaRngLbl = run.params.areaRng[:1], ["all"]
        run.params.maxDets = [100]
        run.evaluate()
        run.accumulate()
    classes = [int(c) for c in run.params.catIds]
    names = [data.names[c] for c in classes]
    number = {c: k for k, c in enumerate(classes)}
    position = {p.image_id: i for i, p in enumerate(data.pictures)}
    found = [(position[e["image_id"]], number[e["category_id"]], e) for e in run.evalImgs if e is not None]
    objects = np.zeros((len(data.pictures), len(classes)), np.int64)
    for i, k, e in found:
        objects[i, k] = np.count_nonzero(e["gtIgnore"] == 0)
    return _matches(_accuracy(run.eval["precision"][:, :, :, 0, 0], names), objects, found)


def _check(data: CocoSet, detections: Sequence[Boxes]) -> None:
    if len(detections) != len(data.pictures):
        raise InputError(
            f"detections: got those of {len(detections)} pictures, expected {len(data.pictures)}"
        )
    numbers: dict[int, str] = {}
    for picture, found in zip(data.pictures, detections, strict=True):
        name = printable(picture.path.name)
        if picture.image_id in numbers:
            got = f"got the number {picture.image_id}, which {numbers[picture.image_id]} has, too"
            raise InputError(f"{name}: {got}, expected one of its own")
        numbers[picture.image_id] = name
        if found.names not in ((), data.names):
            raise InputError(f"{name}: got detections of {found.names}, expected {data.names}")
        if not (found.xyxy.isfinite().all() and found.scores.isfinite().all()):
            raise InputError(f"{name}: got detections that are not finite, expected boxes and scores")
        if len(found) and not 0 <= int(found.labels.min()) <= int(found.labels.max()) < len(data.names):
            got = f"got class numbers from {int(found.labels.min())} to {int(found.labels.max())}"
            raise InputError(f"{name}: {got}, expected 0 to {len(data.names) - 1}")


def average_precision(data: CocoSet, detections: Sequence[Boxes]) -> Accuracy:
    """COCO average precision of `detections`; see `match`, whose `Matches.accuracy` it is."""
    return match(data, detections).accuracy


def _truth(data: CocoSet) -> list[dict[str, Any]]:
    return [
        _row(p.image_id, *row) | {"iscrowd": int(crowd)}
        for p in data.pictures
        for *row, crowd in zip(p.boxes.tolist(), p.labels.tolist(), p.crowd.tolist(), strict=True)
    ]


def _found(data: CocoSet, detections: Sequence[Boxes]) -> list[dict[str, Any]]:
    return [
        _row(p.image_id, *row) | {"score": score}
        for p, found in zip(data.pictures, detections, strict=True)
        for *row, score in zip(found.xyxy.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
    ]


def _row(image_id: int, corners: Sequence[float], label: int) -> dict[str, Any]:
    x1, y1, x2, y2 = corners
    w, h = x2 - x1, y2 - y1
    return {"image_id": image_id, "category_id": label, "bbox": [x1, y1, w, h], "area": w * h}


def _coco(data: CocoSet, rows: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": p.image_id, "width": p.width, "height": p.height} for p in data.pictures],
        "annotations": [row | {"id": i} for i, row in enumerate(rows, 1)],  # 0 means unmatched
        "categories": [{"id": i, "name": n} for i, n in enumerate(data.names)],
    }
    coco.createIndex()
    return coco


def _accuracy(precision: Floats, names: Sequence[str]) -> Accuracy:
    """From (IoU, recall, class); -1 marks classes without boxes."""

    def mean(part: Floats) -> float:
        known = part[part > -1]
        return float(known.mean() * 100) if known.size else 0.0

    at_50 = precision[0]
    by_class = {name: mean(at_50[:, k]) for k, name in enumerate(names) if (at_50[:, k] > -1).any()}
    return Accuracy(mean(precision), mean(at_50), by_class)


def _matches(accuracy: Accuracy, objects: Ints, found: list[tuple[int, int, dict[str, Any]]]) -> Matches:
    """From pycocotools' results by class and picture, both in its order."""
    sizes = [len(e["dtScores"]) for _, _, e in found]
    picture = np.repeat(np.array([i for i, _, _ in found], np.int64), sizes)
    label = np.repeat(np.array([k for _, k, _ in found], np.int64), sizes)
    score = np.concatenate([np.zeros(0), *(e["dtScores"] for _, _, e in found)])
    ignored = np.concatenate([np.zeros((IOUS, 0), bool), *(e["dtIgnore"] for _, _, e in found)], axis=1)
    true = np.concatenate([np.zeros((IOUS, 0), bool), *(e["dtMatches"] > 0 for _, _, e in found)], axis=1)
    order, copy = _in_order(picture, label, score)
    picture, label, ignored, true = picture[order], label[order], ignored[:, order], true[:, order]
    threshold, row = np.nonzero(true | ignored)
    group = threshold * objects.shape[1] + label[row]
    return Matches(
        accuracy=accuracy,
        objects=objects,
        picture=picture,
        copy=copy,
        row=row,
        class_row=np.searchsorted(label, label[row]),
        group=group,
        first=np.searchsorted(group, group),
        true=(true & ~ignored)[threshold, row].astype(np.int64),
    )


def _in_order(picture: Ints, label: Ints, score: Floats) -> tuple[Ints, Ints]:
    """Which detection stands where in `Matches`, and of which copy of its picture."""
    order = np.lexsort((-score, label))  # stable, as pycocotools' mergesort
    keys = np.stack([picture[order], label[order], score[order]])
    new = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0))[: len(order)]
    tie = np.cumsum(new)
    several = np.bincount(tie)[tie] > 1
    alone, tied = np.flatnonzero(~several), np.flatnonzero(several)
    place = np.concatenate([alone, np.tile(tied, MOST_COPIES)])
    copy = np.concatenate([np.full(len(alone), -1), np.repeat(np.arange(MOST_COPIES), len(tied))])
    by_copy = np.lexsort((place, copy, tie[place]))
    return order[place[by_copy]], copy[by_copy]
