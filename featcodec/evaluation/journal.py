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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.evaluation.kept import unlike_ours
from featcodec.evaluation.plain_json import from_plain, to_plain
from featcodec.evaluation.results import Origin
from featcodec.files import make_folder, printable

__all__ = ["CodedPicture", "Journal"]

_DECIMALS = {"encode_s": 5, "decode_s": 5, "cpu_s": 5}


@dataclass(frozen=True, slots=True)
class _RowFacts:
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
        found: (N, K) float64: the columns that a metric keeps of it.
        origin: the code and the machine.
    """

    picture: str
    bytes: int
    encode_s: float
    decode_s: float
    cpu_s: float
    found: NDArray[np.float64]
    origin: Origin

    def to_line(self, columns: Mapping[str, int]) -> str:
        """The line of a journal.

        Args:
            columns: names of those of `found`, with the digits after the point that are kept.
        """
        facts = _RowFacts(self.picture, self.bytes, self.encode_s, self.decode_s, self.cpu_s, self.origin)
        rounded = {
            name: [round(v, decimals) if decimals else int(v) for v in column.tolist()]
            for (name, decimals), column in zip(columns.items(), self.found.T, strict=True)
        }
        return json.dumps(to_plain(facts, _DECIMALS) | {"found": rounded}, separators=(",", ":"))

    @staticmethod
    def from_row(row: object, columns: Mapping[str, int]) -> CodedPicture:
        """What `to_line` wrote, as `json.loads` gives it.

        Raises:
            InputError: a column is missing, unknown or of another type; the message names it.
        """
        about, found = row, None
        if isinstance(row, dict):
            about = {name: value for name, value in row.items() if name != "found"}
            found = row.get("found")
        facts = from_plain(_RowFacts, about)
        times = facts.encode_s, facts.decode_s, facts.cpu_s
        return CodedPicture(facts.picture, facts.bytes, *times, _columns(found, columns), facts.origin)


def _columns(found: Any, names: Mapping[str, int]) -> NDArray[np.float64]:
    """(N, K) of the columns by name."""
    if not isinstance(found, dict) or set(found) != set(names):
        got = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
        raise InputError(f"found: got {got}, expected {', '.join(names)}")
    try:
        rows = np.array([found[name] for name in names], np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"found: got {error}, expected columns of numbers, one as long as another"
        ) from error
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise InputError("found: got what is no finite number, expected columns of numbers")
    return np.ascontiguousarray(rows.T)


class Journal:
    """The finished lines of one coder at one point.

    Args:
        work: the run's folder; made where it is missing.
        name: the key over all that the results depend on.
        columns: what a metric keeps of a picture, by name, with the digits after the point.

    Raises:
        InputError: it cannot be read or made, or a line has other columns than ours.
    """

    def __init__(self, work: Path, name: str, columns: Mapping[str, int]):
        folder = work / "journal"
        make_folder(str(folder), parents=True)
        self.path = folder / f"{name}.jsonl"
        self.columns = columns
        self._done = self._load()

    def _load(self) -> dict[str, CodedPicture]:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(error.strerror, path=printable(self.path)) from error
        done = {}
        for line in lines:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue  # torn
            try:
                coded = CodedPicture.from_row(row, self.columns)
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
        line = coded.to_line(self.columns)
        data = f"\n{line}\n".encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                written = os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise InputError(f"{error.strerror}; what was finished is kept", path=str(self.path)) from error
        if written != len(data):
            raise InputError("the disk is full; what was finished is kept", path=str(self.path))
        self._done[coded.picture] = CodedPicture.from_row(
            json.loads(line), self.columns
        )  # rounded, as it will be read
