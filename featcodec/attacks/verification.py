"""How well similarities tell pairs of one person from pairs of two: accuracy, TAR at FAR 1 %, AUC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import InputError
from featcodec.evaluation.means import mean_interval

__all__ = ["VERIFICATION_VERSION", "Score", "check_kinds", "score"]

# raise it when a figure for the same faces changes, or what is kept of it, here or in featcodec.attacks.faces
VERIFICATION_VERSION = 2

SPLITS = 10
FAR = 0.01


@dataclass(frozen=True, slots=True)
class Score:
    """How well similarities tell pairs of one person from pairs of two.

    Attributes:
        accuracy: percent of the comparisons that are told right; chance is 50 where there are as many pairs
            of one kind as of the other.
        accuracy_interval: 95 %, percentiles of a bootstrap over the pairs, thresholds kept. Pairs that share
            a photograph are not independent, so it is a little too narrow.
        tar: true acceptance rate at a false acceptance rate of 1 %, percent; chance is 1.
        auc: area under the ROC curve, 0 to 1; chance is 0.5.
        pairs: how many.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    tar: float
    auc: float
    pairs: int


def check_kinds(same: NDArray[np.bool_], where: str) -> None:
    """Refuse a list of pairs that cannot be scored.

    Args:
        same: (N,) True for pairs of one person.
        where: what the message begins with.

    Raises:
        InputError: there are fewer than ten pairs of either kind.
    """
    for kind, number in (("the same person", int(same.sum())), ("different people", int((~same).sum()))):
        if number < SPLITS:
            raise InputError(f"{where}: got {number} pairs of {kind}, expected at least {SPLITS}")


def score(similarities: NDArray[np.floating[Any]], same: NDArray[np.bool_], *, seed: int = 1) -> Score:
    """Scores the similarities of pairs.

    - Accuracy is the protocol's: the pairs are cut into ten parts, and those of a part are told apart by the
      threshold that is best on the other nine; never by one chosen on themselves. The protocol's parts are
      its ten folds of 600 pairs; where one fold is all there is, they are ten runs of neighbours in the list
      (a person's pairs mostly stay together), each with its share of either kind. Of equally good
      thresholds the middle one is taken.
    - TAR at FAR 1 %: the threshold is the 99th percentile of the different people's similarities, linearly
      interpolated between neighbouring ones; what lies above it is accepted.
    - AUC: the probability that a pair of one person is more similar than one of two, ties counted half.

    Args:
        similarities: (N,) or, where each pair was compared in D ways, (N, D).
        same: (N,) True for pairs of one person; at least ten of either kind.
        seed: of the bootstrap.

    Raises:
        InputError: there are fewer than ten pairs of either kind.

    Source: Huang and Learned-Miller 2014, Labeled Faces in the Wild: updates and new reporting procedures.

    Example:
        >>> same = np.arange(20) < 10
        >>> score(np.where(same, 0.6, 0.1), same)
        Score(accuracy=100.0, accuracy_interval=(100.0, 100.0), tar=100.0, auc=1.0, pairs=20)
    """
    check_kinds(same, "scoring faces")
    s = similarities.reshape(len(same), -1).astype(np.float64)  # (N, D)
    part = np.empty(len(same), np.int64)
    for kind in (same, ~same):
        part[kind] = np.arange(kind.sum()) * SPLITS // kind.sum()
    right = np.empty(s.shape, np.bool_)
    for i in range(SPLITS):
        threshold = _best_threshold(s[part != i], same[part != i])
        right[part == i] = (s[part == i] > threshold) == same[part == i, None]
    of_pairs = right.mean(1)
    low, high = mean_interval(of_pairs, seed=seed)
    genuine, impostor = s[same].ravel(), np.sort(s[~same].ravel())
    below = [np.searchsorted(impostor, genuine, side).mean() / len(impostor) for side in ("left", "right")]
    return Score(
        accuracy=float(100 * of_pairs.mean()),
        accuracy_interval=(float(100 * low), float(100 * high)),
        tar=float(100 * (genuine > np.quantile(impostor, 1 - FAR)).mean()),
        auc=float(np.mean(below)),
        pairs=len(same),
    )


def _best_threshold(similarities: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Half-way between two neighbouring similarities (N, D), such that most comparisons are right."""
    order = np.argsort(similarities, axis=None)
    s = similarities.ravel()[order]
    is_same = np.broadcast_to(same[:, None], similarities.shape).ravel()[order]
    right = np.concatenate(([0], np.cumsum(np.where(is_same, -1, 1))))  # if the first 0, 1, ... are refused
    edges = np.concatenate(([s[0] - 1], s, [s[-1] + 1]))
    distinct = np.flatnonzero(np.diff(edges) > 0)
    best = distinct[right[distinct] == right[distinct].max()]
    chosen = best[len(best) // 2]
    return float(edges[chosen : chosen + 2].mean())
