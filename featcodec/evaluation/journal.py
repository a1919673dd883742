"""What a run has finished, on disk: one line a picture, so that a run goes on where it was stopped.

    WORK/journal/<key>.jsonl

Each file belongs to one coder at one point on one network, by a key over all that its results depend on
(`featcodec.evaluation.kept.key`); so a later run with other codecs or other pictures takes from it what it
can. Pictures go by a hash of their bytes, columns by their names. A line that was torn by a kill or a full
disk is left out, and its picture is done again; a whole line with other columns than ours is refused.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.evaluation.kept import unlike_ours
from featcodec.evaluation.plain_json import from_plain, to_plain
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Origin
from featcodec.files import make_folder, printable
from featcodec.pictures.boxes import Boxes

__all__ = ["CodedPicture", "Journal"]

KEPT_BOXES = 100  # COCO's measures look at no more
COLUMNS = {"x1": 2, "y1": 2, "x2": 2, "y2": 2, "score": 6, "label": 0}  # of boxes, and their decimals
_DECIMALS = {"encode_s": 5, "decode_s": 5, "cpu_s": 5}


@dataclass(frozen=True, slots=True)
class _Facts:
    """What stands in a line beside the boxes."""

    picture: str
    bytes: int
    encode_s: float
    decode_s: float
    cpu_s: float
    origin: Origin


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """One picture through one coder at one point.

    Attributes:
        picture: key of the photograph.
        bytes: of the whole file.
        encode_s, decode_s: seconds on the wall, the halves of the network included.
        cpu_s: seconds that processors worked for both, as `featcodec.clocks` counts them.
        boxes: (N, 6) float64: corners in pixels of the photograph, score, class number; the best 100.
        origin: the code and the machine.
    """

    picture: str
    bytes: int
    encode_s: float
    decode_s: float
    cpu_s: float
    boxes: NDArray[np.float64]
    origin: Origin

    @staticmethod
    def of(
        picture: str, size: int, encode_s: float, decode_s: float, cpu_s: float, found: Boxes
    ) -> CodedPicture:
        """What this process has measured."""
        rows = torch.cat((found.xyxy, found.scores[:, None], found.labels[:, None].float()), 1)
        boxes = rows[:KEPT_BOXES].double().numpy()
        return CodedPicture(picture, size, encode_s, decode_s, cpu_s, boxes, origin())

    def found(self, names: tuple[str, ...]) -> Boxes:
        """The boxes as a detector gives them."""
        rows = torch.from_numpy(self.boxes)
        return Boxes(rows[:, :4].float(), rows[:, 4].float(), rows[:, 5].long(), names)

    def to_line(self) -> str:
        """The line of a journal."""
        facts = _Facts(self.picture, self.bytes, self.encode_s, self.decode_s, self.cpu_s, self.origin)
        rounded = {
            name: [round(v, decimals) if decimals else int(v) for v in column.tolist()]
            for (name, decimals), column in zip(COLUMNS.items(), self.boxes.T, strict=True)
        }
        return json.dumps(to_plain(facts, _DECIMALS) | {"boxes": rounded}, separators=(",", ":"))

    @staticmethod
    def from_row(row: object) -> CodedPicture:
        """What `to_line` wrote, as `json.loads` gives it.

        Raises:
            InputError: a column is missing, unknown or of another type; the message names it.
        """
        about, columns = row, None
        if isinstance(row, dict):
            about = {name: value for name, value in row.items() if name != "boxes"}
            columns = row.get("boxes")
        facts = from_plain(_Facts, about)
        times = facts.encode_s, facts.decode_s, facts.cpu_s
        return CodedPicture(facts.picture, facts.bytes, *times, _boxes(columns), facts.origin)


def _boxes(columns: Any) -> NDArray[np.float64]:
    """(N, 6) of the columns by name."""
    if not isinstance(columns, dict) or set(columns) != set(COLUMNS):
        got = ", ".join(map(str, columns)) if isinstance(columns, dict) else type(columns).__name__
        raise InputError(f"boxes: got {got}, expected {', '.join(COLUMNS)}")
    try:
        rows = np.array([columns[name] for name in COLUMNS], np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"boxes: got {error}, expected columns of numbers, one as long as another"
        ) from error
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise InputError("boxes: got what is no finite number, expected columns of numbers")
    return np.ascontiguousarray(rows.T)


class Journal:
    """The finished lines of one coder at one point.

    Args:
        work: the run's folder; made where it is missing.
        name: the key over all that the results depend on.

    Raises:
        InputError: it cannot be read or made, or a line has other columns than ours.
    """

    def __init__(self, work: Path, name: str):
        folder = work / "journal"
        make_folder(str(folder), parents=True)
        self.path = folder / f"{name}.jsonl"
        self._done = self._load()

    def _load(self) -> dict[str, CodedPicture]:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(f"{printable(self.path)}: {error.strerror}") from error
        done = {}
        for line in lines:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue  # torn
            try:
                coded = CodedPicture.from_row(row)
            except InputError as error:  # whole, since the beginning of an object is no JSON
                raise unlike_ours(self.path, error) from error
            done[coded.picture] = coded
        return done

    def __contains__(self, picture: str) -> bool:
        return picture in self._done

    def __getitem__(self, picture: str) -> CodedPicture:
        return self._done[picture]

    def add(self, coded: CodedPicture) -> None:
        """Keeps what was measured, on disk first.

        Raises:
            InputError: it cannot be written; what was there stays.
        """
        # a newline before as well as behind: a line torn earlier must not swallow this one
        line = coded.to_line()
        data = f"\n{line}\n".encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                written = os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}; what was finished is kept") from error
        if written != len(data):
            raise InputError(f"{self.path}: the disk is full; what was finished is kept")
        self._done[coded.picture] = CodedPicture.from_row(json.loads(line))  # rounded, as it will be read
