"""How near what a network returns comes to what it returns uncoded: for networks of which no boxes are known.

Two figures of each picture, of the tensors that the network returns:

    fidelity   100 (1 - sum (o_hat - o)² / sum (o - mean o)²), not below 0: the share kept of what varies
    agreement  percent of places where the greatest of a tensor's channels (dimension 1) is the same one: of a
               classifier (1, K) the top class, of a segmenter (1, K, h, w) each pixel's
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from featcodec.evaluation.bootstrap import PERCENT, resampled_mean
from featcodec.evaluation.coders import Shot
from featcodec.evaluation.datasets import CocoSet
from featcodec.evaluation.metric import Found, Scored
from featcodec.evaluation.results import Interval
from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.outputs import tensors_of
from featcodec.networks.torch_state import inference

__all__ = ["FIDELITY_VERSION", "Fidelity", "fidelity"]

FIDELITY_VERSION = 1  # raise it when a figure for the same outputs changes


def fidelity(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> tuple[float, float]:
    """Fidelity and agreement of what a network returns for one picture, percent.

    Args:
        got: the tensors that it returns, each of one picture.
        wanted: the same of the uncoded network. Where shapes differ, as after a suppression, nothing is kept.

    Example:
        >>> import torch
        >>> fidelity([torch.tensor([[0.0, 3.0, 1.0]])], [torch.tensor([[0.0, 2.0, 1.0]])])
        (50.0, 100.0)
    """
    if [t.shape for t in got] != [t.shape for t in wanted] or not wanted:
        return 0.0, 0.0
    error = sum(float((a.double() - b.double()).square().sum()) for a, b in zip(got, wanted, strict=True))
    varies = sum(float((b.double() - b.double().mean()).square().sum()) for b in wanted)
    kept = 100.0 if error == 0 else max(0.0, 100 * (1 - error / max(varies, 1e-12)))
    same = [
        a.argmax(1) == b.argmax(1) for a, b in zip(got, wanted, strict=True) if b.ndim >= 2 and b.shape[1] > 1
    ]
    places = sum(s.numel() for s in same)
    return kept, 100 * sum(int(s.sum()) for s in same) / places if places else kept


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Fidelity, and agreement of the greatest channel, against the uncoded network: a `Metric`."""

    name: str = "fidelity"
    detail: str = "agreement"
    within: Interval = PERCENT
    identity: str = f"fidelity version {FIDELITY_VERSION}"
    wants_labels: bool = False
    columns: Mapping[str, int] = field(default_factory=lambda: {"fidelity": 4, "agreement": 4})

    def fits(self, network: CutNetwork) -> bool:  # noqa: ARG002
        return True

    def prepare(self, network: CutNetwork, shot: Shot) -> list[Tensor]:
        return _outputs(network, shot.f)

    def find(self, network: CutNetwork, f: Tensor, geometry: object, prepared: Any) -> Found:  # noqa: ARG002
        return np.array([fidelity(_outputs(network, f), prepared)], np.float64)

    def reference(self, data: CocoSet, uncoded: Sequence[Found], confidence: float) -> CocoSet:  # noqa: ARG002
        return data

    def counts(self, data: CocoSet) -> NDArray[np.bool_]:
        return np.ones(len(data.pictures), np.bool_)

    def score(self, data: CocoSet, found: Sequence[Found], draws: NDArray[np.int64]) -> Scored:  # noqa: ARG002
        kept, same = np.concatenate(found).T
        return Scored(float(kept.mean()), float(same.mean()), resampled_mean(kept, draws))


def _outputs(network: CutNetwork, f: Tensor) -> list[Tensor]:
    """The numbers that the network returns."""
    with inference():
        return [t for _, t in tensors_of(network.tail((f,))) if t.is_floating_point()]
