"""What a thief file says in words and figures: canonical JSON, one text for one record."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from featcodec.attacks.attacker_networks import Kind
from featcodec.attacks.training import Recipe
from featcodec.codec.effort import EFFORTS
from featcodec.evaluation.plain_json import from_plain, to_plain
from featcodec.evaluation.results import Identified, Interval, Made, Reference
from featcodec.plf.header import QUALITIES
from featcodec.plf.strict_json import JsonProblem, decode_json

__all__ = ["RebuiltRow", "ThiefRecord"]

FORMAT = 1
RANGES = {"channels": (1, 1 << 12), "width": (8, 1 << 10)}
STRIDES = (2, 4, 8, 16, 32, 64)
_PATTERNS = {"codec": r"[a-z0-9._-]{1,63}", "fingerprint": "[0-9a-f]{32}", "encoder": "[0-9a-f]{16}"}


@dataclass(frozen=True, slots=True)
class RebuiltRow:
    """What one attacker reached on the files of one quality.

    Attributes:
        point: the quality.
        attacker, budget: its name and its training steps.
        pictures, bytes: how many photographs, and the mean size of their files.
        psnr, psnr_interval: dB, mean over the photographs, with 95 % by bootstrap.
        strongest: whether no other attacker reached more.
    """

    point: float
    attacker: str
    budget: int
    pictures: int
    bytes: float
    psnr: float
    psnr_interval: Interval
    strongest: bool


@dataclass(frozen=True, slots=True)
class ThiefRecord:
    """All that is known of a thief.

    Attributes:
        codec, fingerprint: name of the codec whose files it learned from, and 32 hexadecimal digits.
        encoder: 16 hexadecimal digits over the encoder that made those files; its figures are of that one.
        effort: of that encoder, 0 to 3.
        kind, channels, stride, width: of the network.
        points: qualities that it learned from.
        attacker: what the network is called in `rebuilt`.
        recipe: how it was trained.
        photographs: to learn from.
        curve: (step, PSNR in dB on photographs that were held out).
        rebuilt: its figures, and those of the attackers that were tried beside it.
        identified: whom thieves tell apart by these files, most of them without rebuilding anything; empty
            where it was not measured.
        reference: what the figures are read against: the mean colour's PSNR, and the photographs' faces.
        made: by which command, when and where.
        format: of the file, 1.
    """

    codec: str
    fingerprint: str
    encoder: str
    effort: int
    kind: Kind
    channels: int
    stride: int
    width: int
    points: tuple[float, ...]
    attacker: str
    recipe: Recipe
    photographs: int
    curve: tuple[tuple[int, float], ...]
    rebuilt: tuple[RebuiltRow, ...]
    identified: tuple[Identified, ...]
    reference: Reference
    made: Made
    format: int = FORMAT

    def to_json(self) -> str:
        """Canonical: the same record gives the same text."""
        return json.dumps(to_plain(self, {}), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> ThiefRecord:
        """Reads the metadata of a thief file.

        Raises:
            ValueError: a field is missing, unknown, of another type or out of range, or the text is not
                canonical.
        """
        try:
            raw = decode_json(text.encode())
        except JsonProblem as problem:
            raise ValueError(str(problem)) from problem
        record = from_plain(ThiefRecord, raw)
        record.check()
        if record.to_json() != text:
            raise ValueError("expected canonical JSON")
        return record

    def check(self) -> None:
        """Ranges, which JSON does not know; raises ValueError."""
        if self.format != FORMAT:
            raise ValueError(f"format: got {self.format}, expected {FORMAT}")
        for name, pattern in _PATTERNS.items():
            if not re.fullmatch(pattern, got := getattr(self, name)):
                raise ValueError(f"{name}: got {got!r:.80}, expected {pattern}")
        for name, (least, most) in RANGES.items():
            if not least <= (number := getattr(self, name)) <= most:
                raise ValueError(f"{name}: got {number}, expected {least} to {most}")
        for name, allowed in {"stride": STRIDES, "effort": EFFORTS}.items():
            if (number := getattr(self, name)) not in allowed:
                raise ValueError(f"{name}: got {number}, expected one of {', '.join(map(str, allowed))}")
        points = self.points
        if not points or list(points) != sorted(set(points)):
            raise ValueError(f"points: got {points!r:.80}, expected qualities that rise")
        if not QUALITIES[0] <= points[0] <= points[-1] <= QUALITIES[-1]:
            raise ValueError(f"points: got {points!r:.80}, expected qualities from 1 to 8")

    # ---- figures

    def own(self, quality: float) -> RebuiltRow | None:
        """The thief's own figures, of the quality measured that is nearest."""
        rows = [row for row in self.rebuilt if row.attacker == self.attacker]
        return min(rows, key=lambda row: abs(row.point - quality), default=None)

    def strongest(self, quality: float) -> RebuiltRow | None:
        """Those of the attacker that reached most there."""
        rows = [row for row in self.rebuilt if row.strongest]
        return min(rows, key=lambda row: abs(row.point - quality), default=None)

    def identity(self, quality: float) -> Identified | None:
        """The thief that tells most people apart without rebuilding anything, at the nearest quality."""
        rows = [row for row in self.identified if row.way == "infers"]
        return min(rows, key=lambda row: (abs(row.point - quality), -row.accuracy), default=None)
