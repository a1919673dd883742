"""Photographs of a run for the page: what was found in them, and what attackers rebuilt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from featcodec.bench.compare import Compared
from featcodec.bench.gallery import RGB, GalleryRow, GalleryTarget
from featcodec.bench.runner import UNCODED
from featcodec.evaluation.box_metric import boxes_of
from featcodec.evaluation.journal import CodedPicture
from featcodec.evaluation.results import Entry
from featcodec.pictures.boxes import Boxes
from featcodec.pictures.drawing import draw_boxes
from featcodec.pictures.loading import open_picture

__all__ = ["showcase"]

Rebuilt = dict[tuple[str, float], list[tuple[str, Sequence[RGB]]]]  # target and point: attacker, pictures


def showcase(run: Compared, *, most: int = 4) -> list[GalleryRow]:
    """The first photographs, with boxes at one point of each entry, or at those that were attacked.

    Args:
        run: what was compared.
        most: photographs.
    """
    rebuilt: Rebuilt = {}
    for o in run.privacy.report.outcomes if run.privacy else ():
        rebuilt.setdefault((o.row.target, o.row.point), []).append((o.row.attacker, o.rebuilt))
    rows = []
    for i, picture in enumerate(run.data.pictures[:most]):
        photograph = open_picture(picture.path)
        targets = []
        for entry in run.result.entries:
            for step in _shown(entry, rebuilt):
                coded = run.finished.coded[step][i]
                made = tuple((name, seen[i]) for name, seen in rebuilt.get(step, []) if i < len(seen))
                title = f"{step[0]} at {step[1]:g}, {coded.bytes:,} bytes"
                targets.append(GalleryTarget(title, _drawn(photograph, coded, run), made))
        uncoded = _drawn(photograph, run.finished.coded[UNCODED][i], run)
        rows.append(GalleryRow(picture.path.name, np.asarray(photograph), uncoded, tuple(targets)))
    return rows


def _shown(entry: Entry, rebuilt: Rebuilt) -> list[tuple[str, float]]:
    attacked = [(entry.name, p.point) for p in entry.points if (entry.name, p.point) in rebuilt]
    return attacked or [(entry.name, entry.points[len(entry.points) // 2].point)]


def _drawn(photograph: Image.Image, coded: CodedPicture, run: Compared) -> RGB:
    detector = run.subject.network.detector
    if detector is None:
        return np.asarray(photograph)
    found = boxes_of(coded.found, run.data.names)
    kept = found.scores >= detector.confidence
    shown = Boxes(found.xyxy[kept], found.scores[kept], found.labels[kept], found.names)
    return np.asarray(draw_boxes(photograph, shown))
