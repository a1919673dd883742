"""What a run of the bench found, as data: written to and read from the committed json files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Literal

from featcodec.errors import InputError
from featcodec.evaluation.coders import Kind
from featcodec.evaluation.plain_json import ADDED, from_plain, to_plain
from featcodec.files import printable

__all__ = [
    "BD",
    "Attacked",
    "Effort",
    "Entry",
    "Identified",
    "Interval",
    "Learned",
    "Made",
    "Origin",
    "Point",
    "Reference",
    "Result",
    "from_json",
    "to_json",
]

FORMAT = 1  # of the json files
IDLE = 0.9  # of the time, at least, what is timed has a processor where nobody else wants it

Interval = tuple[float, float]  # 95 %, by bootstrap over the pictures


@dataclass(frozen=True, slots=True)
class Origin:
    """The code and the machine that a figure was measured by.

    Attributes:
        commit: of the repository, ``"unknown"`` outside one; ``"+"`` behind it if the tree was changed.
        packages: versions of featcodec and of the packages that its figures depend on.
        machine: processor architecture, cores and name.
    """

    commit: str
    packages: str
    machine: str


@dataclass(frozen=True, slots=True)
class Made:
    """How a result was made.

    Attributes:
        command: as typed, paths reduced to what a reader needs.
        commit: of the repository, ``"unknown"`` outside one; ``"+"`` behind it if the tree was changed.
        date: ISO 8601, UTC.
        versions: of Python, of packages and of encoders.
        machine: processor architecture, cores and name.
        seeds: of everything random.
        measures: versions of the code that measured, by what it measures.
        origins: what the figures were made by, where that is not all this commit on this machine: a run goes
            on with what its work folder keeps.
    """

    command: str
    commit: str
    date: str
    versions: dict[str, str]
    machine: str
    seeds: dict[str, int]
    measures: dict[str, int] = field(default_factory=dict, metadata=ADDED)
    origins: tuple[Origin, ...] = field(default=(), metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Point:
    """One entry at one operating point, over all pictures.

    Attributes:
        point: quality or quantization parameter.
        bytes: mean size of the whole files.
        bpp: mean of 8 bytes / pixels of the original photographs.
        map, ap50: percent points.
        map_interval: of `map`.
        lost: uncoded mAP minus `map`.
        lost_interval: of `lost`, pictures drawn alike for both.
        encode_ms, decode_ms: median time of a picture: photograph's canvas to bytes, bytes to boxes; the
            halves of the network included.
        timed_on: the machine of the times, where that is not the result's: earlier runs have kept them.
        dominated: whether another point of the entry has at least the mAP of this one for no more bytes;
            None in results of releases that did not say it.
    """

    point: float
    bytes: float
    bpp: float
    map: float
    ap50: float
    map_interval: Interval
    lost: float
    lost_interval: Interval
    encode_ms: float
    decode_ms: float
    timed_on: str | None = field(default=None, metadata=ADDED)
    dominated: bool | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Entry:
    """One coder at all of its points, from few bytes to many."""

    name: str
    kind: Kind
    note: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class BD:
    """A Bjøntegaard delta between two entries.

    Attributes:
        measure: ``"rate"`` (percent of bytes at equal mAP), ``"map"`` (percent points at equal bytes), or
            ``"attack-psnr"`` (dB at equal mAP).
        method: ``"constrained-cubic"``, of all points; ``"pchip"`` or ``"akima"``.
        value: None where it was refused.
        interval: of the value; None where it was refused, or too often in the bootstrap.
        overlap: of the two curves, in mAP, or in bytes for ``"map"``; of the fitted ones where the method
            fits; None where there is none.
        fraction: of the narrower curve's range that the overlap covers (of its logarithm, for bytes).
        refused: why there is no value.
        dropped: points left out (``"raw-vvc@22"``) because another of the same entry has at least their mAP
            for no more bytes (attack PSNR), as the interpolations take no curve that falls; empty where the
            curve was taken as it is.
        refused_resamples: 0 to 1, share of the bootstrap in which the value was refused; where it is above
            0.05, `interval` is None for that reason.
        misfit: percent points between the curves and the point that is farthest from its own; None where the
            method goes through all points that it takes.
    """

    test: str
    anchor: str
    measure: str
    method: str
    value: float | None
    interval: Interval | None
    overlap: Interval | None
    fraction: float
    refused: str | None
    dropped: tuple[str, ...]
    refused_resamples: float = 0.0
    misfit: float | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class Attacked:
    """What one attacker rebuilt of the pictures that crossed one entry at one point.

    Attributes:
        target: name of the entry; ``"raw"`` for uncoded features.
        point: quality or quantization parameter; 0 for ``"raw"``.
        bytes: mean size of the files attacked; 0 for ``"raw"``.
        attacker: ``"invnet"``, ``"unet"``, ``"white-box"``, or ``"as decoded"`` for a picture.
        budget: training steps of the attacker (of the optimisation, for white-box).
        pictures: how many it was measured on.
        psnr: dB, mean over the pictures; `psnr_interval` by bootstrap.
        ms_ssim: 0 to 1.
        psnr_edges, psnr_flat: dB within 3 px of the picture's edges, and elsewhere.
        face_accuracy, face_tar: verification of what was rebuilt: accuracy and TAR at FAR 1 %, percent;
            None where no faces were given.
        strongest: whether it counts: no other attacker of this target and point reached more on the
            pictures that all of them attacked.
    """

    target: str
    point: float
    bytes: float
    attacker: str
    budget: int
    pictures: int
    psnr: float
    psnr_interval: Interval
    ms_ssim: float
    psnr_edges: float
    psnr_flat: float
    face_accuracy: float | None
    face_tar: float | None
    strongest: bool


@dataclass(frozen=True, slots=True)
class Identified:
    """Whom one thief tells apart by the files of one entry at one point: pairs of photographs of people.

    Attributes:
        target, point, bytes: as in `Attacked`; of the photographs of the pairs.
        attacker: that rebuilt the faces, or the thief that inferred who they are.
        way: ``"rebuilds"``: a picture, that the recogniser is used on; ``"infers"``: the recogniser's vector.
        portraits: that an inferring thief learned from; 0 for one that rebuilds.
        settings: what an inferring thief has chosen on people who were held out of those, in words.
        photograph_accuracy, photograph_interval, photograph_tar: of a file against a known photograph:
            accuracy with its interval, and TAR at FAR 1 %, percent.
        file_accuracy, file_interval, file_tar: of a file against another file.
        strongest: whether it counts: no other thief of this target and point tells more pairs apart, in the
            way that it is better at.
    """

    target: str
    point: float
    bytes: float
    attacker: str
    way: Literal["rebuilds", "infers"]
    portraits: int
    settings: str
    photograph_accuracy: float
    photograph_interval: Interval
    photograph_tar: float
    file_accuracy: float
    file_interval: Interval
    file_tar: float
    strongest: bool

    @property
    def accuracy(self) -> float:
        """Percent, of the way that reaches more: what counts."""
        return max(self.photograph_accuracy, self.file_accuracy)


@dataclass(frozen=True, slots=True)
class Learned:
    """How an attacker learned: where the curve still rises, a longer attack would rebuild more.

    Attributes:
        target, attacker: as in `Attacked`; one training serves all points.
        budget: training steps, with a schedule of learning rates for just so many.
        readings: (step, dB) on training photographs that are held out.
    """

    target: str
    attacker: str
    budget: int
    readings: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """What the figures of the attacks are read against; None where it was not measured.

    Attributes:
        blind_psnr: dB of painting every picture in its own mean colour.
        face_accuracy, face_tar: verification of the undisturbed photographs, percent.
    """

    blind_psnr: float | None = None
    face_accuracy: float | None = None
    face_tar: float | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """What encoding and decoding took, the halves of the network included, all entries and points together.

    Attributes:
        cpu_minutes: that processors worked for it.
        wall_minutes: that passed meanwhile, those of each picture, entry and point added up. As all of it is
            done by one thread at a time, more than `cpu_minutes` means that it had to wait.
    """

    cpu_minutes: float
    wall_minutes: float

    @property
    def waited(self) -> float:
        """0 to 1, share of the time in which what was timed had no processor, as others had it.

        >>> Effort(3.0, 4.0).waited
        0.25
        """
        return max(0.0, 1 - self.cpu_minutes / self.wall_minutes) if self.wall_minutes > 0 else 0.0

    @property
    def busy(self) -> bool:
        """Whether the machine was too busy for times to be taken."""
        return 1 - self.waited < IDLE

    def __str__(self) -> str:
        took = f"Encoding and decoding all of it took {self.cpu_minutes:.1f} minutes of one core"
        return f"{took}, the network included."


@dataclass(frozen=True, slots=True)
class Result:
    """A run of the bench.

    Attributes:
        made: how.
        data: name of the data, pictures, and what the accuracy is measured against, in words.
        pictures: how many.
        labelled: False where the uncoded detections are the reference.
        demo: True for the quick run on scikit-image's photographs.
        network: in words.
        uncoded_map, uncoded_ap50: accuracy of the network without coding.
        entries: what was compared.
        bd: deltas.
        attacks: empty unless asked for.
        learning: of the attackers that were trained.
        notes: what a reader has to know, such as an encoder that is missing here.
        reference: for the attacks.
        metric, detail: what ``map`` and ``ap50`` are, if the network is measured by something else.
        effort: None in results of releases that did not measure it.
    """

    made: Made
    data: str
    pictures: int
    labelled: bool
    demo: bool
    network: str
    uncoded_map: float
    uncoded_ap50: float
    entries: tuple[Entry, ...]
    bd: tuple[BD, ...]
    attacks: tuple[Attacked, ...]
    learning: tuple[Learned, ...]
    notes: tuple[str, ...]
    reference: Reference = Reference()
    effort: Effort | None = field(default=None, metadata=ADDED)
    metric: str = field(default="mAP", metadata=ADDED)
    detail: str = field(default="AP50", metadata=ADDED)
    identified: tuple[Identified, ...] = field(default=(), metadata=ADDED)


# ---- json

_DECIMALS = {
    "bytes": 1, "bpp": 4, "encode_ms": 2, "decode_ms": 2,
    "map": 3, "ap50": 3, "map_interval": 3, "lost": 3, "lost_interval": 3,
    "uncoded_map": 3, "uncoded_ap50": 3,
    "value": 3, "interval": 3, "overlap": 3, "fraction": 4, "refused_resamples": 4, "misfit": 3,
    "psnr": 3, "psnr_interval": 3, "ms_ssim": 4, "psnr_edges": 3, "psnr_flat": 3, "readings": 3,
    "cpu_minutes": 2, "wall_minutes": 2, "blind_psnr": 3, "face_accuracy": 2, "face_tar": 2,
    "photograph_accuracy": 2, "photograph_interval": 2, "photograph_tar": 2,
    "file_accuracy": 2, "file_interval": 2, "file_tar": 2,
}  # fmt: skip
_SHORT_LIST = re.compile(r"\[\s*\n\s*([^\[\]{}\"\n]+),\n\s*([^\[\]{}\"\n]+)\n\s*\]")  # two numbers


def to_json(result: Result) -> str:
    """A result as it is committed: fields in their order, figures rounded, an interval on one line.

    Raises:
        InputError: a figure is NaN, infinite or of another type than its field; the message names it.
    """
    readable = from_plain(Result, to_plain(result, _DECIMALS))
    text = json.dumps({"format": FORMAT, **to_plain(readable, {})}, indent=1)
    return _SHORT_LIST.sub(r"[\1, \2]", text) + "\n"


def from_json(text: str, path: str) -> Result:
    """Reads what `to_json` wrote.

    Args:
        text: content of a json file.
        path: of the file, for messages.

    Raises:
        InputError: not JSON, of another format, or a field is missing, unknown, of another type or not
            finite; the message names the file and the field.
    """
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or "format" not in content:
            raise InputError("format: got no such field, expected a result of featcodec-bench")
        number = content.pop("format")
        if type(number) is not int or number != FORMAT:
            raise InputError(f"format: got {number!r}, expected {FORMAT}")
        return from_plain(Result, content)
    except InputError as error:
        raise InputError(str(error), path=printable(path)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected JSON, got {printable(str(error))}", path=printable(path)) from error
