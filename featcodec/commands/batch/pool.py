"""The jobs of a run, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from featcodec.commands.batch.ledger import Ledger
from featcodec.commands.batch.plan import Job
from featcodec.commands.batch.work import (
    Busy,
    Done,
    Encoder,
    Failed,
    Outcome,
    PictureCodec,
    Request,
    codec_for_request,
)

__all__ = ["Alone", "SideBySide"]

_AGAIN = 0.5  # seconds between two looks at what another run is at work on
_ENDED = "the process at work on it ended unexpectedly (out of memory?)"


class Alone:
    """Does one job after the other in this process.

    Args:
        codec: with its network.
        request: what is asked for.
    """

    def __init__(self, codec: PictureCodec, request: Request):
        self._ledger = None if request.folder is None else Ledger(request.folder)
        self._encoder = Encoder(codec, request, self._ledger)

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ledger is not None:
            self._ledger.close()

    def once(self, job: Job) -> Outcome:
        """The outcome of one job, which may be that another run is at work on it."""
        return self._encoder.do(job)

    def run(self, jobs: Sequence[Job]) -> Iterator[Done | Failed]:
        """Outcomes as they come; what another run is at work on is looked at again after all others."""
        waiting, busy = deque(jobs), 0
        while waiting:
            outcome = self.once(job := waiting.popleft())
            if not isinstance(outcome, Busy):
                busy = 0
                yield outcome
                continue
            waiting.append(job)
            busy += 1
            if busy >= len(waiting):  # nothing else is left to do
                time.sleep(_AGAIN)


class SideBySide:
    """Does several jobs at once, in processes that share the processor's cores evenly.

    The processes outlive an interrupt until the picture that they are at work on is done, and this process
    by no more than that, however it ends.

    Args:
        request: what is asked for; each process loads the codec itself.
        count: processes.
    """

    def __init__(self, request: Request, count: int):
        self._request, self._threads = request, max(1, _cores() // count)
        with _interrupts_ignored():
            self._workers = [self._start() for _ in range(count)]

    def _start(self) -> tuple[BaseProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._request, self._threads), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def __enter__(self) -> SideBySide:
        return self

    def __exit__(self, *_: object) -> None:
        """Let each process end what it is at work on; at once, if this is interrupted too."""
        for _process, pipe in self._workers:
            with suppress(OSError):
                pipe.close()
        try:
            for process, _pipe in self._workers:
                process.join()
        finally:
            for process, _pipe in self._workers:
                process.terminate()

    def run(self, jobs: Sequence[Job]) -> Iterator[Done | Failed]:
        """Outcomes as they come, in any order."""
        waiting, later = deque(jobs), 0.0
        at_work: dict[int, Job] = {}  # by number of the worker
        while waiting or at_work:
            if time.monotonic() >= later:
                for number in [n for n in range(len(self._workers)) if n not in at_work][: len(waiting)]:
                    at_work[number] = waiting.popleft()
                    self._send(number, at_work[number])
            for number in self._answered(at_work):
                job = at_work.pop(number)
                outcome = self._receive(number, job)
                if isinstance(outcome, Busy):
                    waiting.append(job)
                    later = 0.0 if len(waiting) > 1 else time.monotonic() + _AGAIN
                else:
                    yield outcome

    def _send(self, number: int, job: Job) -> None:
        with suppress(OSError):  # it has ended, which shows when it is waited for
            self._workers[number][1].send(job)

    def _answered(self, at_work: dict[int, Job]) -> list[int]:
        if not at_work:
            time.sleep(_AGAIN / 5)
            return []
        ready = wait([self._workers[number][1] for number in at_work], timeout=_AGAIN)
        return [number for number in at_work if self._workers[number][1] in ready]

    def _receive(self, number: int, job: Job) -> Outcome:
        try:
            outcome: Outcome = self._workers[number][1].recv()
        except (EOFError, OSError):
            self._workers[number][1].close()
            with _interrupts_ignored():
                self._workers[number] = self._start()
            return Failed(job, f"{job.picture}: {_ENDED}")
        return outcome


def _work(pipe: Connection, request: Request, threads: int) -> None:
    """What a process does: take a job, send its outcome, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the first process decides
    if request.edge is None:
        import torch

        torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", module="PIL")
    codec = codec_for_request(request)
    with Alone(codec, request) as alone, suppress(EOFError, OSError):
        while True:
            pipe.send(alone.once(pipe.recv()))


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """What is started inside ignores interrupts from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
