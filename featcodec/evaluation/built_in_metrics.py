"""The metrics of this package, in one list."""

from __future__ import annotations

from featcodec.evaluation.box_metric import MeanAveragePrecision
from featcodec.evaluation.fidelity import Fidelity
from featcodec.evaluation.metric import Metric
from featcodec.networks.cut_network import CutNetwork

__all__ = ["METRICS", "metric_for"]

METRICS: tuple[Metric, ...] = (MeanAveragePrecision(), Fidelity())  # the first that fits a network is taken


def metric_for(network: CutNetwork) -> Metric:
    """The metric that a network is measured by, unless one is asked for."""
    return next(metric for metric in METRICS if metric.fits(network))
