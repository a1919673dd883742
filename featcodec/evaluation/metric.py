"""How well a network does on what was decoded: one protocol, whatever the network is for.

A user's own metric is given to `featcodec.bench.compare.compare` in its settings; the built-in ones are
written the same way, and `featcodec.evaluation.built_in_metrics.METRICS` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from featcodec.evaluation.coders import Shot
from featcodec.evaluation.datasets import CocoSet
from featcodec.evaluation.results import Interval
from featcodec.networks.cut_network import CutNetwork
from featcodec.pictures.geometry import Geometry

__all__ = ["Floats", "Found", "Metric", "Scored"]

Floats: TypeAlias = NDArray[np.float64]
Found: TypeAlias = NDArray[np.float64]  # (rows, columns): what is kept of one picture


@dataclass(frozen=True, slots=True)
class Scored:
    """A metric over all pictures.

    Attributes:
        value: what curves are drawn of, percent points.
        detail: a second figure, percent points.
        resampled: (resamples,) the value of each resample of the pictures.
    """

    value: float
    detail: float
    resampled: Floats


class Metric(Protocol):
    """One measure of accuracy. It is sent to worker processes, so it has to survive `pickle`.

    Attributes:
        name, detail: of its two figures, as in tables: ``"mAP"`` and ``"AP50"``.
        within: least and greatest value, percent points.
        identity: text that changes whenever it would keep something else of a picture, or score it otherwise;
            what is kept goes by it.
        columns: of what is kept of a picture, by name, with the digits after the point that are kept.
        wants_labels: whether it can be measured against labels, as well as against the uncoded network.
    """

    @property
    def name(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def within(self) -> Interval: ...
    @property
    def identity(self) -> str: ...
    @property
    def columns(self) -> Mapping[str, int]: ...
    @property
    def wants_labels(self) -> bool: ...

    def fits(self, network: CutNetwork) -> bool:
        """Whether it can be measured of this network."""
        ...

    def prepare(self, network: CutNetwork, shot: Shot) -> Any:
        """What is needed of a picture for all that is decoded of it, such as the uncoded outputs."""
        ...

    def find(self, network: CutNetwork, f: Tensor, geometry: Geometry, prepared: Any) -> Found:
        """What is kept of one picture.

        Args:
            network: cut.
            f: (1, C, h, w) features, decoded or not.
            geometry: where the picture lies on the canvas.
            prepared: what `prepare` gave.
        """
        ...

    def reference(self, data: CocoSet, uncoded: Sequence[Found], confidence: float) -> CocoSet:
        """The pictures with what they are measured against; `data` as it is where it has labels.

        Args:
            data: the pictures.
            uncoded: of each, what was kept of the uncoded network.
            confidence: score from which what the uncoded network finds counts.
        """
        ...

    def counts(self, data: CocoSet) -> NDArray[np.bool_]:
        """(P,) which pictures have something to measure: each resample has at least one of them."""
        ...

    def score(self, data: CocoSet, found: Sequence[Found], draws: NDArray[np.int64]) -> Scored:
        """The figures over all pictures.

        Args:
            data: by `reference`.
            found: of each picture.
            draws: (resamples, P) how often each picture is in each resample.
        """
        ...
