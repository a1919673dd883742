"""Pictures that come while a run waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from featcodec.commands.batch.plan import Job

__all__ = ["arrivals"]

_EVERY = 1.0  # seconds between two looks
SETTLED = 2.0  # seconds without a change, after which a file is taken to be completely written
_Look = tuple[int, int, int, int]


def arrivals(
    find: Callable[[], Sequence[Job]], *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[list[Job]]:
    """New and changed pictures, as soon as they are completely written; never ends.

    Args:
        find: the pictures that there are now.
        sleep: waits for so many seconds.

    Yields:
        Those that have come since, perhaps none, once a second. A picture that was there before is given
        again when it has changed; one that grows is waited for.
    """
    seen: dict[Job, _Look] = {}
    given: dict[Job, _Look] = {}
    since: dict[Job, float] = {}
    while True:
        ready = []
        for job in find():
            look, now = _look(job.picture), time.monotonic()
            if look is None or given.get(job) == look:
                continue
            if seen.get(job) != look:
                seen[job], since[job] = look, now
            if now - since[job] >= SETTLED:
                given[job] = look
                ready.append(job)
        yield ready
        sleep(_EVERY)


def _look(picture: str) -> _Look | None:
    try:
        status = Path(picture).stat()
    except (OSError, ValueError):  # it has just gone
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
