"""The clocks that work is measured by: the wall's and the processor's. Standard library only."""

from __future__ import annotations

import time
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows, where children cannot be asked for
    resource = None  # type: ignore[assignment]

__all__ = ["Seconds", "seconds"]


class Seconds(NamedTuple):
    """Readings of both clocks, or the time between two of them.

    Attributes:
        wall: seconds that passed.
        cpu: seconds that processors worked for this process, all its threads and its ended children.
    """

    wall: float
    cpu: float

    def since(self, earlier: Seconds) -> Seconds:
        """The time from an earlier reading to this one.

        Example:
            >>> Seconds(5.0, 3.0).since(Seconds(4.0, 2.5))
            Seconds(wall=1.0, cpu=0.5)
        """
        return Seconds(self.wall - earlier.wall, self.cpu - earlier.cpu)


def seconds() -> Seconds:
    """Read both clocks; only differences between two readings mean anything.

    Example:
        >>> began = seconds()
        >>> seconds().since(began).cpu >= 0
        True
    """
    children = 0.0
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        children = used.ru_utime + used.ru_stime
    return Seconds(time.perf_counter(), time.process_time() + children)
