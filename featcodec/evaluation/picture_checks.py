"""Labels compared with the picture files that they name; no pixel is decoded."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from featcodec.console import Progress
from featcodec.errors import InputError
from featcodec.evaluation.datasets import CocoSet, Picture
from featcodec.evaluation.kept import picture_key
from featcodec.files import list_pictures, printable
from featcodec.pictures.loading import upright_size

__all__ = ["check_pictures"]

_BEGINNING = 4096  # bytes by which files of one length are told apart before they are read whole


@dataclass(frozen=True, slots=True)
class _Seen:
    """A picture file: upright sides in pixels, EXIF orientation, what is on the disk, and how it begins."""

    width: int
    height: int
    orientation: int
    file: tuple[int, int]
    beginning: tuple[int, bytes]


def check_pictures(data: CocoSet) -> CocoSet:
    """Compares labelled pictures with their files, before anything is measured on them.

    About 0.1 ms a picture: only the beginnings of the files are read.

    Args:
        data: what `read_coco` gave, or a part of it.

    Returns:
        The same, with a note for each suspicion: pictures that EXIF turns in a way that their sides do not
        show, files of the same content, and pictures beside them that have no labels.

    Raises:
        InputError: a picture whose sides are not those that its labels are for, or a file under two names.
        ImageError: a file that is no picture.
    """
    seen = []
    with Progress(len(data.pictures)) as progress:
        for number, picture in enumerate(data.pictures):
            if number % 1000 == 0:
                progress.show(number, "pictures compared with their labels")
            seen.append(_look(picture.path))
    _check_sizes(data.pictures, seen)
    _check_files(data.pictures, seen)
    notes = *_turned(data.pictures, seen), *_copies(data.pictures, seen), *_unlisted(data)
    return replace(data, notes=(*data.notes, *notes))


def _look(path: Path) -> _Seen:
    sides = upright_size(path)
    try:
        with path.open("rb") as file:
            status, beginning = os.fstat(file.fileno()), file.read(_BEGINNING)
    except OSError as error:
        raise InputError(error.strerror, path=printable(path)) from error
    digest = hashlib.sha256(beginning).digest()  # short, where 100,000 of them are kept
    return _Seen(*sides, (status.st_dev, status.st_ino), (status.st_size, digest))


# ---- what is refused


def _check_sizes(pictures: Sequence[Picture], seen: Sequence[_Seen]) -> None:
    wrong = [
        (p, s) for p, s in zip(pictures, seen, strict=True) if (s.width, s.height) != (p.width, p.height)
    ]
    if not wrong:
        return
    picture, found = wrong[0]
    unturned = [s.orientation >= 5 and (s.height, s.width) == (p.width, p.height) for p, s in wrong]
    got = f"got {found.width} x {found.height} pixels"
    if unturned[0]:
        got += f" after it is turned upright as EXIF says (orientation {found.orientation})"
    reason = f"{got}, expected {picture.width} x {picture.height} as its labels say"
    if len(wrong) > 1:
        reason += f"; {len(wrong):,} of {len(pictures):,} pictures differ"
    scales = np.array([(s.width / p.width, s.height / p.height) for p, s in wrong])
    if all(unturned):
        reason += "; the labels are for the pictures as stored: they ignore EXIF"
    elif len(wrong) > 1 and np.ptp(scales) < 0.02:
        reason += f", all by the factor {scales.mean():.2f}"
    raise InputError(reason, path=printable(picture.path))


def _check_files(pictures: Sequence[Picture], seen: Sequence[_Seen]) -> None:
    names: dict[tuple[int, int], Path] = {}
    for picture, found in zip(pictures, seen, strict=True):
        if found.file in names:
            got = f"got the same file as {printable(names[found.file])}"
            raise InputError(f"{got}, expected each picture once", path=printable(picture.path))
        names[found.file] = picture.path


# ---- what is suspicious


def _turned(pictures: Sequence[Picture], seen: Sequence[_Seen]) -> Iterator[str]:
    hidden = [
        p
        for p, s in zip(pictures, seen, strict=True)
        if s.orientation > 1 and (s.orientation < 5 or s.width == s.height)
    ]
    if hidden:
        how = "turns or mirrors them in a way that their sides do not show"
        yield (
            f"Pictures whose labels are taken to be for the upright picture: EXIF {how}, "
            f"{len(hidden):,} of {len(pictures):,}, such as {printable(hidden[0].path.name)}."
        )


def _copies(pictures: Sequence[Picture], seen: Sequence[_Seen]) -> Iterator[str]:
    """Files of the same content count as often as they are listed."""
    alike = defaultdict(list)
    for picture, found in zip(pictures, seen, strict=True):
        alike[found.beginning].append(picture)
    groups: dict[str, list[Picture]] = defaultdict(list)
    for group in alike.values():
        for picture in group if len(group) > 1 else ():
            groups[picture_key(picture.path)].append(picture)
    copies = [group for group in groups.values() if len(group) > 1]
    if copies:
        one, other = copies[0][:2]
        labels = "" if all(_labelled_alike(group) for group in copies) else ", some with other labels"
        yield (
            f"Pictures of the same content count again, {sum(map(len, copies)) - len(copies):,} of "
            f"{len(pictures):,}{labels}, such as {printable(one.path.name)} and {printable(other.path.name)}."
        )


def _labelled_alike(group: Iterable[Picture]) -> bool:
    labels = {
        tuple(sorted(map(tuple, np.column_stack([p.boxes, p.labels, p.crowd]).tolist()))) for p in group
    }
    return len(labels) == 1


def _unlisted(data: CocoSet) -> Iterator[str]:
    """Pictures beside those with labels: the json may be of a part of them, or of other ones."""
    listed = {unicodedata.normalize("NFC", str(p.path)) for p in data.pictures}
    others = [
        Path(path)
        for folder in {p.path.parent for p in data.pictures}
        for path, _ in list_pictures(folder, may_be_empty=True)
        if unicodedata.normalize("NFC", path) not in listed
    ]
    if others:
        which = f"{len(others):,} beside {len(data.pictures):,} that have one"
        which += f", such as {printable(min(others).name)}"
        yield f"Pictures without an entry in the json are left out, {which}."
