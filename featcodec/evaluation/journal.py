"""What a run has finished, on disk: one line a picture, so that a run goes on where it was stopped.

    WORK/journal/<entry and point>.jsonl

Each file belongs to one coder at one point on one network, by a hash over all that its results depend on; so
a later run with other codecs or other pictures takes from it what it can. Pictures go by a hash of their
bytes. A line that was torn by a kill or a full disk is left out, and its picture is done again.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featcodec.errors import InputError
from featcodec.files import make_folder
from featcodec.pictures.boxes import Boxes

__all__ = ["Journal", "Record", "picture_key"]

KEPT_BOXES = 100  # COCO's measures look at no more


@dataclass(frozen=True, slots=True)
class Record:
    """One picture through one coder at one point.

    Attributes:
        picture: key of the photograph.
        bytes: of the whole file.
        encode_s, decode_s: seconds on the wall, the halves of the network included.
        cpu_s: seconds that processors worked for both, as `featcodec.clocks` counts them.
        boxes: (N, 6) float64: corners in pixels of the photograph, score, class number; the best 100.
    """

    picture: str
    bytes: int
    encode_s: float
    decode_s: float
    cpu_s: float
    boxes: np.ndarray[Any, np.dtype[np.float64]]

    @staticmethod
    def of(picture: str, size: int, encode_s: float, decode_s: float, cpu_s: float, found: Boxes) -> Record:
        rows = torch.cat((found.xyxy, found.scores[:, None], found.labels[:, None].float()), 1)
        return Record(picture, size, encode_s, decode_s, cpu_s, rows[:KEPT_BOXES].double().numpy())

    def found(self, names: tuple[str, ...]) -> Boxes:
        """The boxes as a detector gives them."""
        rows = torch.from_numpy(self.boxes)
        return Boxes(rows[:, :4].float(), rows[:, 4].float(), rows[:, 5].long(), names)

    def to_line(self) -> str:
        boxes = [
            [*(round(v, 2) for v in row[:4]), round(row[4], 6), int(row[5])] for row in self.boxes.tolist()
        ]
        times = [round(s, 5) for s in (self.encode_s, self.decode_s, self.cpu_s)]
        row = [self.picture, self.bytes, *times, boxes]
        return json.dumps(row, separators=(",", ":"))

    @staticmethod
    def from_line(line: str) -> Record:
        """Raises ValueError or TypeError where the line is torn."""
        picture, size, encode_s, decode_s, cpu_s, boxes = json.loads(line)
        rows = np.array(boxes, np.float64).reshape(-1, 6)
        return Record(str(picture), int(size), float(encode_s), float(decode_s), float(cpu_s), rows)


def picture_key(path: Path) -> str:
    """20 hexadecimal digits over a photograph's bytes."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:20]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


class Journal:
    """The finished lines of one coder at one point.

    Args:
        work: the run's folder; made where it is missing.
        about: all that the results depend on; the same text finds the same file.
    """

    def __init__(self, work: Path, about: str):
        folder = work / "journal"
        make_folder(str(folder), parents=True)
        key = hashlib.sha256(about.encode(errors="surrogateescape")).hexdigest()[:24]
        self.path = folder / f"{key}.jsonl"
        self._done = self._load()

    def _load(self) -> dict[str, Record]:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}") from error
        done = {}
        for line in lines:
            try:
                record = Record.from_line(line)
            except (ValueError, TypeError, RecursionError):
                continue  # torn
            done[record.picture] = record
        return done

    def __contains__(self, picture: str) -> bool:
        return picture in self._done

    def __getitem__(self, picture: str) -> Record:
        return self._done[picture]

    def add(self, record: Record) -> None:
        """Keeps a record, on disk first.

        Raises:
            InputError: it cannot be written; what was there stays.
        """
        # a newline before as well as behind: a line torn earlier must not swallow this one
        line = record.to_line()
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
        self._done[record.picture] = Record.from_line(line)  # rounded, as a later run will read it
