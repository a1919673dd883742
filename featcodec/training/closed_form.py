"""Transforms in closed form: the Karhunen-Loève transform of 2x2 blocks of features, in the task's metric.

      D(f + e) ≈ Σ_b e_bᵀ M e_b / pixels        M = E[JᵀJ]: J the Jacobian of what the tail computes
      M^½ Σ M^½ = U Λ Uᵀ                        Σ the covariance of blocks x about their mean μ
      y = U_Kᵀ M^½ (x - μ)                      the K directions of largest worth Λ
      x̂ = μ + M^-½ U_K y                        the decoder of least squares, as U diagonalises both

In these latents every error costs the task the same, so that one step width for all is right; it follows
from the weight of the task (`step_width`).

Source: transform coding with the eigenvectors of a weighted covariance, Li et al. 1999, "Optimal linear
transforms for weighted squared error"; task metrics from sketches of Jacobians, arXiv:2504.02216.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.codec.transforms import silent
from featcodec.training.hyperprior import CodecModel
from featcodec.training.quality_weights import QualityWeights

__all__ = ["Basis", "Statistics", "basis", "roots_of", "set_transforms", "statistics"]

WIDEST = 256  # channels; of features with more, their principal ones in the metric
SHRINKAGE = 2.0  # pictures that the prior of the covariance counts for
LEAST = 1e-5  # eigenvalue of the metric, as a share of the largest
LEAST_UNIT = 1e-6  # variance of a latent that has a unit of its own, as a share of the largest
LEAST_WORTH = 1e-9  # of a direction, as a share of the first one's


@dataclass(frozen=True)  # without slots, which would leave no room for what is cached
class Statistics:
    """What a closed form needs to know of features (B, C, h, w) at a cut, over 2x2 blocks of their channels.

    Features of more than `WIDEST` channels are described by C' principal ones, others by their own, C' = C.
    The order of a block's values is that of `torch.nn.functional.pixel_unshuffle`: channel, row, column.

    Attributes:
        mean: (C,) of the channels.
        reduce: (C', C) from channels to principal channels.
        restore: (C, C') back.
        covariance: (4 C', 4 C') of the blocks about their mean, float64.
        metric: (4 C', 4 C'): e^T M e / pixels is what an error e of a block costs; float64.
    """

    mean: Tensor
    reduce: Tensor
    restore: Tensor
    covariance: Tensor
    metric: Tensor

    @cached_property
    def roots(self) -> tuple[Tensor, Tensor]:
        """M^1/2 and M^-1/2, (4 C', 4 C'), float64."""
        return roots_of(self.metric, LEAST)

    def root(self) -> Tensor:
        """(4 C', 4 C) R with |R e|^2 / pixels the cost of an error e of a block of all channels."""
        return _of_blocks(self.roots[0], self.reduce).float()

    def inverse_root(self) -> Tensor:
        """(4 C, 4 C') from what `root` gives back to a block of all channels."""
        return _of_blocks(self.roots[1].T, self.restore.T).T.float()


@dataclass(frozen=True, slots=True)
class Basis:
    """A linear transform, its directions ordered by their worth.

    Attributes:
        analysis: (K, 4 C) from blocks about their mean to latents.
        synthesis: (4 C, K) back.
        variances: (K,) of the latents, falling: what the task loses without them, by pixels.
    """

    analysis: Tensor
    synthesis: Tensor
    variances: Tensor


def roots_of(matrix: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """A^1/2 and A^-1/2 of a positive matrix (n, n), no eigenvalue below `least` times the largest."""
    scale, direction = torch.linalg.eigh(matrix)
    scale = scale.clamp(min=least * float(scale.max())).sqrt()
    return direction * scale @ direction.T, direction / scale @ direction.T


def statistics(features: Tensor, sketches: Tensor, *, pixels: int, feature_weight: float) -> Statistics:
    """Moments of features and of what the task says of them.

    Few pictures give few directions: both matrices are shrunk towards what needs fewer numbers, the
    covariance to its diagonal, the metric to a multiple of the identity; `SHRINKAGE` says how far.

    Args:
        features: (B, C, h, w) of pictures.
        sketches: (B', C, h, w), as `featcodec.networks.compared.jacobian_sketch` gives them; none where the
            features are all that counts.
        pixels: of a picture's canvas.
        feature_weight: share of the features' own error in the task; above 0 where there are no sketches.

    Source: shrinkage of covariances after Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4.
    """
    mean = features.mean((0, 2, 3))
    centred = features - mean.view(-1, 1, 1)
    own = pixels * feature_weight / (features[0].numel() * float(features.var()) + 1e-12)
    even = torch.eye(features.shape[1], dtype=torch.float64, device=features.device)
    reduce = restore = even.float()
    if len(even) > WIDEST:
        channels = Statistics(
            mean, reduce, restore, *_moments(centred, sketches, own * even, pixels, block=1)
        )
        best = _directions(channels, WIDEST)
        reduce, restore = best.analysis, best.synthesis
        centred, sketches = (
            torch.einsum("ij,bjhw->bihw", m, x) for m, x in ((reduce, centred), (restore.T, sketches))
        )
    own_metric = torch.kron(own * (restore.T @ restore).double(), torch.eye(4, dtype=torch.float64).to(even))
    return Statistics(mean, reduce, restore, *_moments(centred, sketches, own_metric, pixels, block=2))


def _moments(
    centred: Tensor, sketches: Tensor, own: Tensor, pixels: int, *, block: int
) -> tuple[Tensor, Tensor]:
    """Covariance and metric of blocks, shrunk; `own` is the features' own part of the metric."""
    covariance = _moment(centred, block)
    kept = len(centred) / (len(centred) + SHRINKAGE)
    covariance = kept * covariance + (1 - kept) * torch.diag(covariance.diagonal())
    if not len(sketches):
        return covariance, own
    seen = pixels * _moment(sketches, block)
    kept = len(sketches) / (len(sketches) + SHRINKAGE)
    even = seen.diagonal().mean() * torch.eye(len(seen), dtype=seen.dtype, device=seen.device)
    return covariance, own + kept * seen + (1 - kept) * even


def _moment(values: Tensor, block: int) -> Tensor:
    """E[x x^T] over the blocks x of (B, C, h, w), in float64; a few pictures at a time."""
    size = block * block * values.shape[1]
    total = torch.zeros(size, size, dtype=torch.float64, device=values.device)
    count = 0
    for part in values.split(8):
        x = F.pixel_unshuffle(part.float(), block).transpose(0, 1).flatten(1)  # (size, N)
        total += (x @ x.T).double()
        count += x.shape[1]
    return total / count


def _of_blocks(matrix: Tensor, channels: Tensor) -> Tensor:
    """(K, 4 C') on blocks of principal channels to (K, 4 C) on blocks of all, by `channels` (C', C)."""
    parts = matrix.unflatten(1, (channels.shape[0], -1))
    return torch.einsum("kcp,cd->kdp", parts, channels.to(matrix)).flatten(1)


def _directions(found: Statistics, count: int) -> Basis:
    """As `basis`, of the covariance's own channels."""
    root, inverse = found.roots
    worth, u = torch.linalg.eigh(root @ found.covariance @ root)
    worth, u = worth.flip(0), u.flip(1)
    used = min(count, len(worth), int((worth > LEAST_WORTH * worth[0]).sum()))
    analysis = torch.zeros(count, len(worth), dtype=torch.float64, device=u.device)
    synthesis, variances = torch.zeros_like(analysis.T), torch.zeros_like(analysis[:, 0])
    analysis[:used] = u[:, :used].T @ root
    synthesis[:, :used] = inverse @ u[:, :used]
    variances[:used] = worth[:used]
    return Basis(analysis.float(), synthesis.float(), variances.float())


def basis(found: Statistics, count: int, keep: Tensor | None = None) -> Basis:
    """The `count` best directions of blocks of all channels; zeros where the features have not so many.

    Args:
        found: statistics of the features.
        count: of directions.
        keep: as of `set_transforms`.

    Example:
        >>> values = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        >>> b = basis(statistics(values, values[:0], pixels=16, feature_weight=1.0), 4)
        >>> bool((b.variances.diff() <= 0).all())
        True
        >>> torch.allclose(b.synthesis @ b.analysis, torch.eye(4), atol=1e-4)
        True
    """
    best = _directions(found, count)
    synthesis = _of_blocks(best.synthesis.T, found.restore.T).T
    analysis = best.analysis if keep is None else best.analysis @ keep.to(best.analysis)
    return Basis(_of_blocks(analysis, found.reduce), synthesis, best.variances)


@torch.no_grad()
def set_transforms(
    model: CodecModel, found: Statistics, weights: QualityWeights, keep: Tensor | None = None
) -> None:
    """Sets g_a, g_s and the gains to the closed form; the convolutional paths add nothing yet.

    Latents are stored over the root of their deviation, which the gains make good: a step of training, which
    moves all channels alike, would else drown the weak ones.

    Args:
        model: fresh, with its channel statistics set.
        found: of the features.
        weights: of the task at the qualities.
        keep: (4 C', 4 C') that blocks are multiplied by first: what `featcodec.training.erasure` leaves of
            them, and `found` is of.
    """
    best = basis(found, model.widths.latents, keep)
    shift = found.mean - model.g_a.mean
    deviation = model.g_a.deviation.repeat_interleave(4)  # as blocks are ordered
    for transform in (model.g_a, model.g_s):
        silent(transform.net[-1])
    unit = best.variances.clamp(min=LEAST_UNIT * float(best.variances.max())) ** 0.25  # (M,)
    analysis = best.analysis / unit[:, None]
    _set(
        model.g_a.linear,
        (analysis * deviation).unflatten(1, (-1, 2, 2)),
        -analysis @ shift.repeat_interleave(4),
    )
    synthesis = (best.synthesis * unit / deviation[:, None])[:, :, None, None]
    _set(model.g_s.linear, synthesis, (shift / model.g_s.deviation).repeat_interleave(4))
    model.log_gain.copy_(weights.gains().to(unit)[:, None] + unit.log2())


def _set(layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    for parameter, values in zip(layer.parameters(), (weight, bias), strict=True):
        parameter.copy_(values)
