"""What a Bjøntegaard delta is taken between: the operating points of one entry, with their resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError

__all__ = ["Curve", "on_front"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one entry, in any order.

    Attributes:
        name: of the entry.
        labels: of the N points, such as ``("22", "30")``.
        cost: (N,) what should be small: mean bytes of the files, or PSNR of the attack in dB.
        map: (N,) mAP in percent points.
        metric: what `map` is called, if it is another measure of accuracy.
        costs, maps: (R, N) the same of R resamples of the pictures, drawn alike for all curves.

    Raises:
        InputError: the shapes do not fit each other.
    """

    name: str
    labels: tuple[str, ...]
    cost: Floats
    map: Floats
    costs: Floats | None = None
    maps: Floats | None = None
    metric: str = "mAP"

    def __post_init__(self) -> None:
        shapes = [None if a is None else a.shape for a in (self.cost, self.map, self.costs, self.maps)]
        n = (len(self.labels),)
        if shapes[:2] != [n, n] or shapes[2] != shapes[3] or (shapes[2] or n)[-1:] != n:
            raise InputError(
                f"{self.name}: expected {n[0]} points in cost, map, costs and maps, got {shapes}"
            )

    def resamples(self) -> list[Curve]:
        """The curve of each resample."""
        if self.costs is None or self.maps is None:
            return []
        return [
            Curve(self.name, self.labels, cost, map_, metric=self.metric)
            for cost, map_ in zip(self.costs, self.maps, strict=True)
        ]

    def by_cost(self) -> Curve:
        """Sorted from low cost to high, at equal cost from low mAP to high."""
        return self._only(np.lexsort((self.map, self.cost)))

    def front(self) -> tuple[Curve, tuple[str, ...]]:
        """The Pareto front, and the points ``"name@label"`` left out.

        Those are left out that another has at least the mAP of at no more cost (of equal points, one stays).
        """
        on = np.flatnonzero(on_front(self.cost, self.map))
        out = tuple(f"{self.name}@{label}" for i, label in enumerate(self.labels) if i not in on)
        return self._only(on), out

    def _only(self, keep: NDArray[np.intp]) -> Curve:
        labels = tuple(self.labels[i] for i in keep)
        return Curve(self.name, labels, self.cost[keep], self.map[keep], metric=self.metric)


def on_front(cost: Floats, accuracy: Floats) -> NDArray[np.bool_]:
    """Which points (N,) no other one outdoes: has at least their accuracy at no more cost.

    Of points that are equal in both, the first is on the front.

    >>> on_front(np.array([1.0, 2.0, 3.0, 3.0]), np.array([30.0, 32.0, 31.0, 33.0])).tolist()
    [True, True, False, True]
    """
    order = np.lexsort((-accuracy, cost))
    best = np.maximum.accumulate(np.append(-np.inf, accuracy[order]))[:-1]
    on = np.zeros(len(cost), bool)
    on[order] = accuracy[order] > best
    return on
