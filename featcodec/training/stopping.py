"""Ctrl-C and SIGTERM between two steps: a training that is told to stop keeps what it has done.

A step that has begun is finished, the state is saved, one line says how to go on, and then the signal does
what it would have done at once. A second signal does not wait.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

from featcodec.console import Terminated, complain

__all__ = ["StopSignals"]

T = TypeVar("T")


class _Received(BaseException):
    """A signal came while nothing but the next batch was waited for."""


class StopSignals:
    """Holds SIGINT and SIGTERM back until the state is saved; in the main thread only, which gets them.

    Attributes:
        received: the first signal that came.
        message: what is said at the end, if one came.

    Raises:
        KeyboardInterrupt: at the end, after SIGINT.
        SystemExit: at the end, after SIGTERM, with 143.

    Example:
        >>> done = []
        >>> with StopSignals() as stop:
        ...     for step in stop.until_signal(range(3)):
        ...         done.append(step)
        >>> done, stop.received
        ([0, 1, 2], None)
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.message = ""
        self._waiting = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):  # who has it ignored wants that
                    self._before[number] = handler
                    signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if error is not None or self.received is None:
            return
        if self.message:
            complain("featcodec", self.message)
        if callable(self._before.get(self.received)):
            signal.raise_signal(self.received)
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(128 + self.received)

    def until_signal(self, items: Iterable[T], *, agree: Callable[[bool], bool] | None = None) -> Iterator[T]:
        """The items, as long as no signal has come.

        Args:
            items: of one step each.
            agree: for several processes, which have to stop at the same step: from whether this one was told
                to stop to whether any was.
        """
        source = iter(items)
        while not self._stops(agree):
            try:
                self._waiting = agree is None
                if self._waiting and self.received is not None:
                    return
                item = next(source)
            except (StopIteration, _Received):
                return
            finally:
                self._waiting = False
            yield item

    def _stops(self, agree: Callable[[bool], bool] | None) -> bool:
        stops = self.received is not None
        if agree is not None and agree(stops) and not stops:
            self.received, stops = signal.SIGTERM, True
        return stops

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.received = number
        self._restore()
        if self._waiting:
            raise _Received

    def _restore(self) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._receive:
                signal.signal(number, handler)
