"""A run of the bench from its settings to its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import nn

from featcodec.attacks import ONLY_REBUILT
from featcodec.attacks.attack import MEASURES as ATTACK_MEASURES
from featcodec.bench import demo
from featcodec.bench.anchors import Anchor
from featcodec.bench.assemble import ScoredRun, deltas, entries, score
from featcodec.bench.attacking import Attacking, Privacy, attack_deltas, run_attacks
from featcodec.bench.entries import CALIBRATION, ComparisonPlan, build, measure_ranges, needs_ranges, present
from featcodec.bench.runner import CODING_VERSION, UNCODED, Finished, run
from featcodec.bench.subject import Subject, Wanted
from featcodec.codec.effort import DEFAULT_EFFORT
from featcodec.errors import InputError
from featcodec.evaluation.box_metric import boxes_of
from featcodec.evaluation.built_in_metrics import metric_for
from featcodec.evaluation.datasets import CocoSet, class_names, read_coco, read_folder, unlabelled
from featcodec.evaluation.label_doubts import label_doubts
from featcodec.evaluation.metric import Metric
from featcodec.evaluation.metrics import METRICS_VERSION
from featcodec.evaluation.picture_checks import check_pictures
from featcodec.evaluation.provenance import made, origin_notes
from featcodec.evaluation.results import BD, Effort, Origin, Reference, Result
from featcodec.files import check_folder, list_pictures
from featcodec.networks.coco import COCO
from featcodec.plf.header import QUALITIES

__all__ = ["Compared", "Comparison", "compare", "network_classes"]

Say: TypeAlias = Callable[[str], None]


def _silent(text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What to compare, on what, and how.

    Attributes:
        codecs: names or paths; empty with `network` compares anchors alone, on that network.
        network: for codecs without it or no codec: a name as `featcodec.networks.by_name` takes it, or the
            network itself.
        weights: file with the weights of a network by name.
        at, size: cut (the family's own unless given) and longest side in pixels, where no codec says them.
        annotations: COCO json; without it what the uncoded network gives is the reference.
        images: folder of the photographs; without it, the demo.
        anchors: names from `featcodec.bench.anchors.ANCHORS`, and anchors of one's own.
        calibrate: folder of photographs that are not evaluated, to measure value ranges on.
        qualities: of the codecs.
        effort: of their encoders, 0 to 3; attacks have their own.
        against: anchors of the Bjøntegaard deltas, those of them that take part.
        work: folder that keeps what is finished.
        workers: processes.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        attacking: what to attack, if anything.
        metric: of accuracy; the one that fits the network unless given.
        data_name: what the data is called in the result; its file's or folder's name unless given.
    """

    codecs: tuple[str, ...] = ()
    network: str | nn.Module | None = None
    weights: Path | None = None
    at: str | int | None = None
    size: int = 448
    annotations: Path | None = None
    images: Path | None = None
    anchors: tuple[str | Anchor, ...] = ()
    calibrate: Path | None = None
    qualities: tuple[float, ...] = ()
    effort: int = DEFAULT_EFFORT
    against: tuple[str, ...] = ()
    work: Path = Path("featcodec-bench.work")
    workers: int = 1
    resamples: int = 500
    seed: int = 1
    attacking: Attacking | None = None
    metric: Metric | None = None
    data_name: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A result and what it came from, for whoever draws pictures of it.

    Attributes:
        result: what is reported.
        subject: network and codecs.
        plan: the entries.
        data: the pictures, with the boxes that accuracy is measured against.
        finished: what the uncoded network and the entries made of each picture.
        failures: a line for the points of an entry that are left out, as its coder failed alike at them.
        privacy: what attackers rebuilt.
    """

    result: Result
    subject: Subject
    plan: ComparisonPlan
    data: CocoSet
    finished: Finished
    failures: tuple[str, ...]
    privacy: Privacy | None


def compare(
    settings: Comparison, command: Sequence[str] = (), *, say: Say = _silent, warn: Say = _silent
) -> Compared:
    """Runs what the work folder lacks, and puts the result together.

    Args:
        settings: what to compare.
        command: program and arguments, for the result.
        say: takes a line about what is being done.
        warn: takes a line about what may be wrong with the labels, before the work begins.

    Raises:
        FeatcodecError: data, network or codecs that cannot be used, or a full disk.
    """
    anchors, missing = present(settings.anchors)
    classes = network_classes(settings.annotations) if settings.annotations and not settings.codecs else ()
    wanted = Wanted(settings.codecs, settings.network, settings.weights, classes, settings.at, settings.size)
    subject = Subject.load(wanted)
    metric = settings.metric or metric_for(subject.network)
    detector = subject.network.detector
    data = _data(settings, metric, detector.classes if detector else ())
    for note in dict.fromkeys(data.notes):
        warn(note)
    paths = [p.path for p in data.pictures]
    check_folder(settings.work)  # before the first work whose result goes there
    ranges = {}
    if needs_ranges(anchors):
        calibration = _calibration(settings)
        say("measuring value ranges")
        ranges = measure_ranges(subject, calibration, paths)
    plan = ComparisonPlan(wanted, anchors, settings.qualities or QUALITIES, settings.effort, ranges, metric)
    say(f"{len(paths)} pictures: {subject}")
    coders = build(subject, plan)
    finished = run(subject, coders, plan, paths, work=settings.work, workers=settings.workers)
    confidence = detector.confidence if detector else 0.0
    doubts = _doubts(settings, data, finished, confidence)
    for note in dict.fromkeys(doubts):
        warn(note)
    say("accuracy and intervals")
    options = {"resampled": settings.resamples, "seed": settings.seed}
    measured = score(metric, data, finished, confidence=confidence, **options)
    failures = tuple(_failures(finished))
    found = entries(coders, finished, measured)
    privacy = None
    if settings.attacking is not None:
        say("attacks")
        privacy = run_attacks(settings.attacking, subject, coders, paths, settings.work)
    kept = _kept(finished, privacy)
    uncoded, effort = measured.scores[UNCODED].accuracy, _effort(finished)
    result = Result(
        made=made(command, seeds=_seeds(settings), measures=_measures(privacy), kept=kept),
        data=_named(settings),
        pictures=len(paths),
        labelled=settings.annotations is not None,
        demo=settings.images is None,
        network=str(subject),
        uncoded_map=uncoded.value,
        uncoded_ap50=uncoded.detail,
        entries=found,
        bd=(*deltas(found, measured, settings.against), *_attack_deltas(privacy, measured)),
        attacks=privacy.report.rows if privacy else (),
        identified=privacy.report.identified if privacy else (),
        learning=privacy.report.curves if privacy else (),
        notes=_once(
            *_notes(settings, measured.data),
            *doubts,
            str(effort),
            *missing,
            *failures,
            *([ONLY_REBUILT] if _only_rebuilt(privacy) else []),
            *origin_notes(kept),
        ),
        reference=privacy.reference if privacy else Reference(),
        effort=effort,
        metric=metric.name,
        detail=metric.detail,
    )
    return Compared(result, subject, plan, measured.data, finished, failures, privacy)


def _seeds(settings: Comparison) -> dict[str, int]:
    attacks = {"attackers": settings.attacking.seed} if settings.attacking else {}
    return {"bootstrap": settings.seed, **attacks}


def _measures(privacy: Privacy | None) -> dict[str, int]:
    """Versions of the code that measured."""
    bench = {"coding": CODING_VERSION, "metrics": METRICS_VERSION}
    return bench | (ATTACK_MEASURES if privacy else {})


def _kept(finished: Finished, privacy: Privacy | None) -> tuple[Origin, ...]:
    """What each kept piece of the result was made by."""
    return (*finished.origins, *(privacy.report.origins if privacy else ()))


def _only_rebuilt(privacy: Privacy | None) -> bool:
    """Whether faces were looked for, and nobody inferred whose they are."""
    found = privacy.report.identified if privacy else ()
    return bool(found) and all(row.way == "rebuilds" for row in found)


def _attack_deltas(privacy: Privacy | None, measured: ScoredRun) -> tuple[BD, ...]:
    return () if privacy is None else attack_deltas(privacy.report, measured)


def _notes(settings: Comparison, data: CocoSet) -> Iterator[str]:
    if settings.images is None:
        yield demo.NOTE
    yield from data.notes
    if not any(data.labelled):
        return
    there = {int(label) for p in data.pictures for label in p.labels[~p.crowd]}
    absent = [name for i, name in enumerate(data.names) if i not in there]
    if absent:
        yield f"No boxes of {', '.join(absent)}: what is found of them does not count."


def _once(*notes: str) -> tuple[str, ...]:
    """Notes in their order, one that several parts have to say at its first place alone."""
    return tuple(dict.fromkeys(notes))


def _doubts(settings: Comparison, data: CocoSet, finished: Finished, confidence: float) -> tuple[str, ...]:
    if settings.annotations is None:  # then what is found is the reference
        return ()
    found = [boxes_of(record.found, data.names) for record in finished.coded[UNCODED]]
    return label_doubts(data, found, confidence=confidence)


def _effort(finished: Finished) -> Effort:
    """What all records took, whichever run they were made in."""
    records = [r for found in finished.coded.values() for r in found]
    return Effort(sum(r.cpu_s for r in records) / 60, sum(r.encode_s + r.decode_s for r in records) / 60)


def _failures(finished: Finished) -> Iterator[str]:
    """A line for the points of an entry that failed alike."""
    alike: dict[tuple[str, str], list[float]] = {}
    for (name, point), why in finished.failed.items():
        alike.setdefault((name, why), []).append(point)
    for (name, why), points in alike.items():
        yield f"{name} at {', '.join(f'{p:g}' for p in points)} is left out: {why}"


def network_classes(annotations: Path) -> tuple[str, ...]:
    """Class names for a network that comes without codec: those of the data.

    A json may number the 80 classes of COCO by name or otherwise; networks number them as `COCO`.
    """
    names = class_names(annotations)
    return COCO if sorted(names) == sorted(COCO) else names


def _data(settings: Comparison, metric: Metric, names: tuple[str, ...]) -> CocoSet:
    if settings.annotations is not None and not metric.wants_labels:
        raise InputError(
            f"got labels, expected none: of this network {metric.name} is measured, "
            "against what it gives uncoded",
            path=str(settings.annotations),
        )
    if settings.images is None:
        if settings.annotations is not None:
            raise InputError(
                "got no folder for its pictures, expected --images", path=str(settings.annotations)
            )
        return unlabelled(demo.photographs(demo.EVALUATED), names)
    if settings.annotations is None:
        return read_folder(settings.images, names)
    data = read_coco(settings.annotations, settings.images, names)
    if not data.pictures:
        raise InputError("got no pictures, expected at least one", path=str(settings.annotations))
    if all(p.crowd.all() for p in data.pictures):
        crowds = " but crowd regions" if any(len(p.crowd) for p in data.pictures) else ""
        raise InputError(
            f"got no box of any class of the network ({', '.join(names)}){crowds}",
            path=str(settings.annotations),
        )
    return check_pictures(data)


def _calibration(settings: Comparison) -> list[Path]:
    if settings.images is None:
        return demo.photographs(demo.CALIBRATION)
    if settings.calibrate is None:
        raise InputError(
            "anchors of features: their value range is measured on photographs that are not evaluated; "
            "expected a folder of some, --calibrate FOLDER"
        )
    paths = [Path(path) for path, _ in list_pictures(settings.calibrate, recursive=True)]
    return paths[:: max(1, len(paths) // CALIBRATION)][:CALIBRATION]


def _named(settings: Comparison) -> str:
    """The data in words."""
    if settings.data_name:
        return settings.data_name
    if settings.images is None:
        return "photographs inside scikit-image"
    return str(settings.annotations.name if settings.annotations else settings.images.name)
