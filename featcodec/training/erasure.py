"""What says most of the picture, taken out of the features in closed form, before a fit begins.

    x_b blocks of features about their mean, Σ their covariance, t_b the picture there, C = E[x_b t_bᵀ]
    u_1 ... u_r = the directions of Σ^½ that explain most of t for what they are worth to the task:
                  the largest of  Σ^-½ C Cᵀ Σ^-½ u = ρ (W + α |W| I) u        W = Σ^½ M Σ^½
    x'_b = (I - Σ^½ U Uᵀ Σ^-½) x_b                U an orthonormal basis of them

What is erased is uncorrelated with what stays, so that the best linear estimate of x from x' is x' itself,
and no linear attacker sees anything of t through these directions.

Source: Belrose et al. 2023, "LEACE: perfect linear concept erasure in closed form" (arXiv:2306.03819),
theorem 4.2, here for the r directions alone that are worth least to the task for what they tell.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from featcodec.training.closed_form import Statistics, roots_of

__all__ = ["DETAIL", "erase"]

DETAIL = 4  # values across and down that the picture is averaged to in a block
LEAST = 1e-6  # variance of a direction, as a share of the largest
# α. With 0 directions worth nothing would go first, which tell little each; with very much, those that tell
# most, whatever they are worth
LEAST_WORTH = 0.1
PART = 8  # pictures at a time


def erase(found: Statistics, features: Tensor, pictures: Tensor, count: int) -> tuple[Statistics, Tensor]:
    """Takes the `count` directions out that tell most of the picture for what they are worth.

    Args:
        found: statistics of the features.
        features: (B, C, h, w), h and w even.
        pictures: (B, 3, H, W) in [0, 1], of which they are.
        count: of directions; 0 takes nothing out.

    Returns:
        Statistics of what stays, and the (4 C', 4 C') matrix that blocks about their mean are multiplied by.
    """
    root, inverse = roots_of(found.covariance, LEAST)
    cross = inverse @ _cross(found, features, pictures)
    worth, axes = torch.linalg.eigh(root @ found.metric @ root)
    worth = (worth.clamp(min=0) + LEAST_WORTH * worth.max()).sqrt()
    told = (axes / worth).T @ cross
    _, best = torch.linalg.eigh(told @ told.T)
    chosen = (axes / worth) @ best[:, best.shape[1] - count :]
    basis, _ = torch.linalg.qr(chosen)
    keep = torch.eye(len(root), dtype=root.dtype, device=root.device) - root @ basis @ basis.T @ inverse
    return replace(found, covariance=keep @ found.covariance @ keep.T), keep


def _cross(found: Statistics, features: Tensor, pictures: Tensor) -> Tensor:
    """E[x t^T] (4 C', 3 DETAIL^2) of blocks and pictures about their means, in float64."""
    side = 2 * pictures.shape[-1] // features.shape[-1]  # pixels of a block
    detail = min(DETAIL, side)
    total = torch.zeros(len(found.covariance), 3 * detail**2, dtype=torch.float64, device=features.device)
    count = 0
    small = [F.avg_pool2d(p, side // detail) for p in pictures.split(PART)]
    mean = torch.cat([p.mean((0, 2, 3), keepdim=True) for p in small]).mean(0, keepdim=True)
    for f, p in zip(features.split(PART), small, strict=True):
        centred = torch.einsum("ij,bjhw->bihw", found.reduce, f - found.mean.view(-1, 1, 1))
        x = F.pixel_unshuffle(centred.float(), 2).transpose(0, 1).flatten(1)
        t = F.pixel_unshuffle(p - mean, detail).transpose(0, 1).flatten(1)
        total += (x @ t.T).double()
        count += x.shape[1]
    return total / count
