"""Every picture through every entry at every point, on all cores; what is finished is never done again.

A worker takes one picture at a time through all entries that still lack it, so that the network's head runs
once for all of them and the times of entries are taken side by side.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from featcodec.bench.entries import ComparisonPlan, build
from featcodec.bench.subject import Subject
from featcodec.clocks import Seconds, seconds
from featcodec.console import Progress
from featcodec.errors import CoderError, FeatcodecError
from featcodec.evaluation.coders import Coder, Shot
from featcodec.evaluation.journal import CodedPicture, Journal
from featcodec.evaluation.kept import key, picture_key
from featcodec.evaluation.metric import Metric
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Origin
from featcodec.networks.cut_network import features_of

__all__ = ["CODING_VERSION", "UNCODED", "Finished", "run"]

# raise it when the same photograph and coder give other boxes or bytes: by its way onto the canvas, through
# the network and back to boxes in its own pixels; coders have their own versions in their identities
CODING_VERSION = 1

UNCODED = ("uncoded", 0.0)

Step = tuple[str, float]  # entry and point


@dataclass(slots=True)
class Finished:
    """What a run gave.

    Attributes:
        coded: for each entry and point, what came of each picture, in their order.
        failed: entries and points that are left out, with the reason.
    """

    coded: dict[Step, list[CodedPicture]] = field(default_factory=dict)
    failed: dict[Step, str] = field(default_factory=dict)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """What each picture of each step was coded by."""
        return tuple(one.origin for pictures in self.coded.values() for one in pictures)


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    picture: str
    steps: tuple[Step, ...]


_Outcome = tuple[Step, CodedPicture | str]  # or why there is none


def run(
    subject: Subject,
    coders: Sequence[Coder],
    plan: ComparisonPlan,
    paths: Sequence[Path],
    *,
    work: Path,
    workers: int,
) -> Finished:
    """Runs what the work folder does not have yet.

    Args:
        subject, coders: what `plan` describes; each worker makes them for itself.
        plan: what is compared.
        paths: the photographs.
        work: the folder that keeps what is finished.
        workers: processes, of one thread each; 1 works in this process.

    Raises:
        FeatcodecError: a photograph that cannot be read, a full disk; what was finished is kept.
    """
    identities = {UNCODED: "uncoded"} | {(c.name, p): c.identity for c in coders for p in c.points}
    metric = plan.metric
    kept = {
        step: Journal(work, _name(subject, metric, coder, step[1]), metric.columns)
        for step, coder in identities.items()
    }
    keys = [picture_key(path) for path in paths]
    tasks = []
    for path, picture in dict(zip(paths, keys, strict=True)).items():
        missing = tuple(step for step, journal in kept.items() if picture not in journal)
        tasks += [_Task(path, picture, missing)] if missing else []
    finished = Finished()
    for outcome in _outcomes(plan, tasks, workers):
        for step, got in outcome:
            if isinstance(got, CodedPicture):
                kept[step].add(got)
            else:
                finished.failed.setdefault(step, got)
    for step, journal in kept.items():
        if step not in finished.failed:
            finished.coded[step] = [journal[picture] for picture in keys]
    return finished


def _name(subject: Subject, metric: Metric, coder: str, point: float) -> str:
    versions = {"coding": CODING_VERSION}
    return key(versions, network=subject.identity, metric=metric.identity, coder=coder, point=point)


def _outcomes(plan: ComparisonPlan, tasks: Sequence[_Task], workers: int) -> Iterator[list[_Outcome]]:
    """Outcomes of the tasks as they come."""
    if not tasks:
        return
    results = _alone(plan, tasks) if workers == 1 else _side_by_side(plan, tasks, min(workers, len(tasks)))
    with Progress(len(tasks)) as progress:
        for done, outcome in enumerate(results, 1):
            yield outcome
            progress.show(done, "pictures")


def _alone(plan: ComparisonPlan, tasks: Sequence[_Task]) -> Iterator[list[_Outcome]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in every worker process, so that times are those of one thread
    try:
        worker = _Worker(plan)
        for task in tasks:
            yield worker.work(task)
    finally:
        torch.set_num_threads(threads)


def _side_by_side(plan: ComparisonPlan, tasks: Sequence[_Task], workers: int) -> Iterator[list[_Outcome]]:
    """In processes of one thread each, which end at once when the caller is interrupted."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(plan,))
    try:
        for future in as_completed([pool.submit(_work, task) for task in tasks]):
            yield future.result()
        pool.shutdown()
    except BrokenProcessPool as error:
        raise CoderError("a worker ended unexpectedly (out of memory?); what was finished is kept") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


# ---- in a worker process


class _Worker:
    """A worker's own copy of network and entries."""

    def __init__(self, plan: ComparisonPlan):
        self.subject = Subject.load(plan.wanted)
        self.network = self.subject.network
        self.metric = plan.metric
        self.coders: dict[str, Coder] = {c.name: c for c in build(self.subject, plan)}

    def work(self, task: _Task) -> list[_Outcome]:
        x, geometry = self.network.canvas.load(task.path)
        began = seconds()
        f = features_of(self.network, x)
        head = seconds().since(began)
        shot = Shot(task.path, x, f, geometry)
        prepared = self.metric.prepare(self.network, shot)
        return [(step, self._step(task.picture, shot, step, head, prepared)) for step in task.steps]

    def _step(self, picture: str, shot: Shot, step: Step, head: Seconds, prepared: Any) -> CodedPicture | str:
        name, point = step
        if step == UNCODED:
            began = seconds()
            found = self.metric.find(self.network, shot.f, shot.geometry, prepared)
            tail = seconds().since(began)
            times = head.wall, tail.wall, head.cpu + tail.cpu
            return CodedPicture(picture, 0, *times, found, origin())
        coder = self.coders[name]
        try:
            began = seconds()
            data = coder.encode(shot, point)
            encoded = seconds()
            f, geometry = coder.decode(data)
        except CoderError as error:
            return f"{shot.path.name}: {error}"
        if coder.gives == "canvas":
            f = features_of(self.network, f)
        found = self.metric.find(self.subject.behind(name), f, geometry, prepared)
        done = seconds()
        before = head if coder.gives == "features" else Seconds(0.0, 0.0)
        encode_s, decode_s = encoded.since(began).wall + before.wall, done.since(encoded).wall
        times = encode_s, decode_s, done.since(began).cpu + before.cpu
        return CodedPicture(picture, len(data), *times, found, origin())


_GRACE = 0.5  # seconds to hand over an outcome

_worker: _Worker | None = None  # one a process: loading network and codecs takes seconds
_busy = False


def _begin(plan: ComparisonPlan) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGALRM, _end)
    torch.set_num_threads(1)
    with _interruptible():
        _worker = _Worker(plan)


def _work(task: _Task) -> list[_Outcome]:
    if _worker is None:
        raise FeatcodecError("worker: got a picture before its network")
    with _interruptible():
        return _worker.work(task)


@contextmanager
def _interruptible() -> Iterator[None]:
    global _busy
    _busy = True
    try:
        yield
    finally:
        _busy = False


def _end(number: int, _: object) -> None:
    """Ends the worker: at once while it works, else soon. It may be handing over an outcome, and the parent
    would wait forever for the rest of it.
    """
    if _busy or number == signal.SIGALRM:
        os._exit(128 + signal.SIGTERM)
    signal.setitimer(signal.ITIMER_REAL, _GRACE)
