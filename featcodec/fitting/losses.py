"""Rate and distortion of a fit.

    L = bits per pixel + lambda(quality) x D_task + privacy x max(0, L_bound - L_rec)

D_task compares what the network's tail computes from decoded and from uncoded features, so that no labels
are needed.

Source: rate-distortion training after Ballé et al. 2018 (arXiv:1802.01436), eq. 7, with the task in the
place of the distortion as in Azizian and Bajić 2024 (arXiv:2402.18864), eq. 7.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from featcodec.networks.compared import relative_error

__all__ = [
    "detection_divergence",
    "distortion",
]


def distortion(got: Sequence[Tensor], wanted: Sequence[Tensor], feature_weight: float) -> Tensor:
    """D_task (B,) of maps that a network computes from decoded features, against those from uncoded ones.

    The mean relative error of the maps behind the cut, and the features' own: each map's squared error is
    divided by the map's variance over the batch, so that layers and networks of any scale count alike.

    Args:
        got, wanted: maps (B, ...), the features first.
        feature_weight: share of the features' own error.
    """
    features, *maps = [relative_error(a, b) for a, b in zip(got, wanted, strict=True)]
    return torch.stack(maps).mean(0) + feature_weight * features


def detection_divergence(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """How far raw outputs (B, anchors, h, w, 5 + classes) are from those wanted: (B,), nats an object.

    The divergence of the objectness at every place and, weighted by the objectness wanted, that of the
    classes and the squared error of the box's four logits; over the mean number of places with an object,
    and one.

    Source: Mehta and Ozturk 2018 (arXiv:1805.06361), objectness scaled distillation, with divergences for
    squared errors.
    """
    total, objects = [], []
    for a, b in zip(got, wanted, strict=True):
        a, b = a.float().flatten(1, 3), b.float().flatten(1, 3)  # (B, N, 5 + classes)
        there = b[..., 4].sigmoid()
        inside = _bernoulli(a[..., 5:], b[..., 5:]).sum(-1) + (a[..., :4] - b[..., :4]).square().sum(-1)
        total.append((_bernoulli(a[..., 4], b[..., 4]) + there * inside).sum(1))
        objects.append(there.sum(1))
    return torch.stack(total).sum(0) / (torch.stack(objects).sum(0).mean() + 1)


def _bernoulli(got: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler divergence of Bernoulli distributions, from logits."""
    p = wanted.sigmoid()
    return p * (wanted - got) + F.softplus(got) - F.softplus(wanted)
