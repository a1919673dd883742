"""A run of the bench from its settings to its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from featcodec.attacks.attack import MEASURES as ATTACK_MEASURES
from featcodec.bench import demo
from featcodec.bench.assemble import Measured, deltas, entries, score
from featcodec.bench.attacking import Attacking, Privacy, attack_deltas, run_attacks
from featcodec.bench.entries import CALIBRATION, Plan, build, measure_ranges, needs_ranges, present
from featcodec.bench.runner import CODING_VERSION, UNCODED, Finished, run
from featcodec.bench.subject import QUALITIES, Subject, Wanted
from featcodec.errors import InputError
from featcodec.evaluation.datasets import CocoSet, class_names, read_coco, read_folder, unlabelled
from featcodec.evaluation.metrics import METRICS_VERSION
from featcodec.evaluation.provenance import made, origin_notes
from featcodec.evaluation.results import BD, Origin, Reference, Result
from featcodec.files import list_pictures

__all__ = ["Compared", "Settings", "compare"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What to compare, on what, and how.

    Attributes:
        codecs: names or paths; empty with `weights` compares anchors alone, on that network.
        weights: of the network, for codecs without it or no codec.
        at, size: cut and longest side in pixels, where no codec says them.
        annotations: COCO json; without it the uncoded detections are the reference.
        images: folder of the photographs; without it, the demo.
        anchors: names from `featcodec.bench.anchors.ANCHORS`.
        calibrate: folder of photographs that are not evaluated, to measure value ranges on.
        qualities: of the codecs.
        against: anchors of the Bjøntegaard deltas, those of them that take part.
        work: folder that keeps what is finished.
        workers: processes.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        attacking: what to attack, if anything.
        data_name: what the data is called in the result; its file's or folder's name unless given.
    """

    codecs: tuple[str, ...]
    weights: Path | None
    at: int
    size: int
    annotations: Path | None
    images: Path | None
    anchors: tuple[str, ...]
    calibrate: Path | None
    qualities: tuple[float, ...]
    against: tuple[str, ...]
    work: Path
    workers: int
    resamples: int
    seed: int
    attacking: Attacking | None = None
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
        failures: a line for each point of an entry that is left out, because its coder failed.
        privacy: what attackers rebuilt.
    """

    result: Result
    subject: Subject
    plan: Plan
    data: CocoSet
    finished: Finished
    failures: tuple[str, ...]
    privacy: Privacy | None


def compare(settings: Settings, command: Sequence[str], *, say: Callable[[str], None]) -> Compared:
    """Runs what the work folder lacks, and puts the result together.

    Args:
        settings: what to compare.
        command: program and arguments, for the result.
        say: takes a line about what is being done.

    Raises:
        FeatcodecError: data, network or codecs that cannot be used, or a full disk.
    """
    anchors, missing = present(settings.anchors)
    wanted = Wanted(settings.codecs, settings.weights, _classes(settings), settings.at, settings.size)
    subject = Subject.load(wanted)
    data = _data(settings, subject.detector.classes)
    paths = [p.path for p in data.pictures]
    ranges = {}
    if needs_ranges(anchors):
        say("measuring value ranges")
        ranges = measure_ranges(subject, _calibration(settings), paths)
    plan = Plan(wanted, anchors, settings.qualities or QUALITIES, ranges)
    say(f"{len(paths)} pictures: {subject}")
    finished = run(plan, paths, work=settings.work, workers=settings.workers)
    say("accuracy and intervals")
    measured = score(
        data,
        finished,
        confidence=subject.detector.confidence,
        resampled=settings.resamples,
        seed=settings.seed,
    )
    failures = tuple(_failures(finished))
    coders = build(subject, plan)
    found = entries(coders, finished, measured)
    privacy = None
    if settings.attacking is not None:
        say("attacks")
        privacy = run_attacks(settings.attacking, subject, coders, paths, settings.work)
    kept = _kept(finished, privacy)
    uncoded = measured.scores[UNCODED].accuracy
    result = Result(
        made=made(command, seeds=_seeds(settings), measures=_measures(privacy), kept=kept),
        data=_named(settings),
        pictures=len(paths),
        labelled=settings.annotations is not None,
        demo=settings.images is None,
        network=str(subject),
        uncoded_map=uncoded.map,
        uncoded_ap50=uncoded.ap50,
        entries=found,
        bd=(*deltas(found, measured, settings.against), *_attack_deltas(privacy, measured, settings)),
        attacks=privacy.report.rows if privacy else (),
        learning=privacy.report.curves if privacy else (),
        notes=(*_notes(settings, measured.data), _effort(finished), *missing, *failures, *origin_notes(kept)),
        reference=privacy.reference if privacy else Reference(),
    )
    return Compared(result, subject, plan, measured.data, finished, failures, privacy)


def _seeds(settings: Settings) -> dict[str, int]:
    attacks = {"attackers": settings.attacking.seed} if settings.attacking else {}
    return {"bootstrap": settings.seed, **attacks}


def _measures(privacy: Privacy | None) -> dict[str, int]:
    """Versions of the code that measured."""
    bench = {"coding": CODING_VERSION, "metrics": METRICS_VERSION}
    return bench | (ATTACK_MEASURES if privacy else {})


def _kept(finished: Finished, privacy: Privacy | None) -> tuple[Origin, ...]:
    """What each kept piece of the result was made by."""
    return (*finished.origins, *(privacy.report.origins if privacy else ()))


def _attack_deltas(privacy: Privacy | None, measured: Measured, settings: Settings) -> tuple[BD, ...]:
    if privacy is None:
        return ()
    return attack_deltas(privacy.report, measured, resampled=settings.resamples, seed=settings.seed)


def _notes(settings: Settings, data: CocoSet) -> Iterator[str]:
    if settings.images is None:
        yield demo.NOTE
    there = {int(label) for p in data.pictures for label in p.labels[~p.crowd]}
    absent = [name for i, name in enumerate(data.names) if i not in there]
    if absent:
        yield f"No boxes of {', '.join(absent)}: what is found of them does not count."


def _effort(finished: Finished) -> str:
    seconds = sum(r.encode_s + r.decode_s for coded in finished.coded.values() for r in coded)
    return (
        f"Encoding and decoding all of it took {seconds / 60:.1f} minutes of one core, the network included."
    )


def _failures(finished: Finished) -> Iterator[str]:
    for (name, point), why in finished.failed.items():
        yield f"{name} at {point:g} is left out: {why}"


def _classes(settings: Settings) -> tuple[str, ...]:
    """Class names for a network without codec: those of the data."""
    return class_names(settings.annotations) if settings.annotations else ()


def _data(settings: Settings, names: tuple[str, ...]) -> CocoSet:
    if settings.images is None:
        if settings.annotations is not None:
            raise InputError(f"{settings.annotations}: got no folder for its pictures, expected --images")
        return unlabelled(demo.photographs(demo.EVALUATED), names)
    if settings.annotations is None:
        return read_folder(settings.images, names)
    data = read_coco(settings.annotations, settings.images, names)
    if not data.pictures:
        raise InputError(f"{settings.annotations}: got no pictures, expected at least one")
    if not any(len(p.labels) for p in data.pictures):
        raise InputError(
            f"{settings.annotations}: got no box of any class of the network ({', '.join(names)})"
        )
    return data


def _calibration(settings: Settings) -> list[Path]:
    if settings.images is None:
        return demo.photographs(demo.CALIBRATION)
    if settings.calibrate is None:
        raise InputError(
            "anchors of features: their value range is measured on photographs that are not evaluated; "
            "expected a folder of some, --calibrate FOLDER"
        )
    paths = [Path(path) for path, _ in list_pictures(settings.calibrate, recursive=True)]
    return paths[:: max(1, len(paths) // CALIBRATION)][:CALIBRATION]


def _named(settings: Settings) -> str:
    """The data in words."""
    if settings.data_name:
        return settings.data_name
    if settings.images is None:
        return "photographs inside scikit-image"
    return str(settings.annotations.name if settings.annotations else settings.images.name)
