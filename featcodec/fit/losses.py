"""Rate and distortion of a fit.

    L = bits per pixel + lambda(quality) x D_task + privacy x max(0, L_bound - L_rec)

D_task compares what the network's tail computes from decoded and from uncoded features, so that no labels
are needed.

Source: rate-distortion training after Ballé et al. 2018 (arXiv:1802.01436), eq. 7, with the task in the
place of the distortion as in Azizian and Bajić 2024 (arXiv:2402.18864), eq. 7.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from featcodec.backbones.split import Split

__all__ = ["QUALITY_WEIGHTS", "Target", "distortion", "quality_weight", "relative_error", "target_of"]

# lambda at quality 1 and at quality 8; geometric in between
QUALITY_WEIGHTS = (1.2, 36.0)


class Target:
    """What the tail computes from the uncoded features, against which decoded features are judged."""

    def __init__(self, features: Tensor, neck: list[Tensor], outputs: list[Tensor]):
        self.features, self.neck, self.outputs = features, neck, outputs


def quality_weight(quality: Tensor, weights: tuple[float, float] = QUALITY_WEIGHTS) -> Tensor:
    """lambda at qualities (B,) in [1, 8]."""
    low, high = weights
    return low * (high / low) ** ((quality - 1) / 7)


def target_of(network: Split, features: Tensor) -> Target:
    """Runs the tail on uncoded features (B, C, H, W)."""
    neck = network.neck((features,))
    return Target(features, list(neck.values()), network.network.head_outputs(neck))


def distortion(network: Split, f_hat: Tensor, target: Target, feature_weight: float) -> Tensor:
    """D_task (B,): relative error of the neck's three maps, of the raw outputs, and a little of the features.

    Each map's squared error is divided by the map's variance over the batch, so that layers and networks
    of any scale count alike. Objectness and classes are compared as probabilities (Kullback-Leibler),
    boxes and classes weighted by the uncoded objectness: what the network does not see cannot be lost.
    """
    neck = network.neck((f_hat,))
    maps = [relative_error(a, b) for a, b in zip(neck.values(), target.neck, strict=True)]
    outputs = network.network.head_outputs(neck)
    found = [_output_error(a, b) for a, b in zip(outputs, target.outputs, strict=True)]
    features = relative_error(f_hat, target.features)
    return sum(maps, features * feature_weight) / len(maps) + sum(found, torch.zeros(())) * 0.02


def relative_error(got: Tensor, wanted: Tensor) -> Tensor:
    """Squared error (B,) of tensors (B, ...), over the variance that they have in the batch."""
    wanted = wanted.float()
    error = (got.float() - wanted).square().reshape(len(wanted), -1).mean(1)
    return error / (wanted.var() + 1e-6)


def _output_error(got: Tensor, wanted: Tensor) -> Tensor:
    """Raw outputs (B, 3, h, w, 5 + classes) of one stride to (B,), in nats, summed over the anchors."""
    got, wanted = got.float(), wanted.float()
    seen = wanted[..., 4].sigmoid()
    objectness = _divergence(got[..., 4], wanted[..., 4])
    classes = _divergence(got[..., 5:], wanted[..., 5:]).sum(-1)
    boxes = F.smooth_l1_loss(got[..., :4], wanted[..., :4], reduction="none").sum(-1)
    return (objectness + seen * (classes + boxes)).flatten(1).sum(1)


def _divergence(got: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler divergence of two Bernoulli distributions given as logits."""
    p = wanted.sigmoid()
    cross = F.binary_cross_entropy_with_logits(got, p, reduction="none")
    return cross - F.binary_cross_entropy_with_logits(wanted, p, reduction="none")
