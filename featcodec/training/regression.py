"""Regression in closed form: ridge from moments, and kernel ridge from examples.

A thief that regresses needs no training: the best linear answer, or the best one of a Gaussian kernel, is the
solution of a system of linear equations. Fits use it as an adversary that the codec cannot outrun, attacks as
a thief that costs a minute. All of it is differentiable.

Sources: Hoerl and Kennard 1970, "Ridge regression"; Saunders, Gammerman and Vovk 1998, "Ridge regression
learning algorithm in dual variables" (the kernel form).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["KernelRidge", "kernel", "kernel_weights", "middle", "ridge_weights"]

LEAST = 1e-12  # added to the diagonal, so that regressors that are all zero can be solved, too
LEAST_DEVIATION = 1e-6  # of a regressor


def middle(latents: Tensor, share: float) -> Tensor:
    """The middle square of latents (B, M, h, w), as rows (B, R); its side is a share of the shorter side.

    Example:
        >>> middle(torch.arange(24.0).view(1, 1, 4, 6), 0.5)
        tensor([[ 8.,  9., 14., 15.]])
    """
    h, w = latents.shape[2:]
    side = max(1, round(min(h, w) * share))
    top, left = (h - side) // 2, (w - side) // 2
    return latents[..., top : top + side, left : left + side].float().flatten(1)


def ridge_weights(inner: Tensor, outer: Tensor, level: float) -> Tensor:
    """The weights W (R, T) that minimise the mean of \\|x W − t\\|² + level · mean(x²) · \\|W\\|².

    Args:
        inner: (R, R) mean of xᵀx over examples x (1, R).
        outer: (R, T) mean of xᵀt over examples.
        level: of the penalty, in units of the mean square of the regressors; 0 or more.

    Example:
        >>> x, t = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[4.0], [8.0]])
        >>> ridge_weights(x.T @ x / 2, x.T @ t / 2, 1.0)
        tensor([[2.],
                [4.]])
    """
    penalty = level * inner.diagonal().mean() + LEAST
    weights: Tensor = torch.linalg.solve(inner + penalty * _identity(inner), outer)
    return weights


def kernel(a: Tensor, b: Tensor, gamma: float | None) -> Tensor:
    """How alike examples are, (N, M): exp(−γ \\|a − b\\|² / 2R), or a · b / R for a linear kernel.

    Of standardised regressors, \\|a − b\\|² is 2R in the mean, so that γ = 1 suits any number of them.

    Args:
        a: (N, R) standardised.
        b: (M, R) standardised.
        gamma: of the Gaussian kernel (RBF); None for the linear one.

    Example:
        >>> kernel(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), 0.5).log()
        tensor([[ 0., -1.]])
        >>> kernel(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), None)
        tensor([[ 1., -1.]])
    """
    inner = a @ b.T
    if gamma is None:
        return inner / a.shape[1]
    distances = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * inner
    return (distances.clamp(min=0) * (-gamma / (2 * a.shape[1]))).exp()


def kernel_weights(alike: Tensor, targets: Tensor, level: float) -> Tensor:
    """The weights A (N, T) of kernel ridge regression: (K + level · I)⁻¹ t.

    Args:
        alike: (N, N) K, the `kernel` of the examples with themselves.
        targets: (N, T) t, about their mean.
        level: of the penalty, above 0.

    Example:
        >>> kernel_weights(torch.eye(2), torch.tensor([[4.0], [8.0]]), 1.0)
        tensor([[2.],
                [4.]])
    """
    return torch.cholesky_solve(targets, torch.linalg.cholesky(alike + level * _identity(alike)))


@dataclass(frozen=True, slots=True, eq=False)
class KernelRidge:
    """A fitted kernel ridge regression; made by `fit`.

    Attributes:
        mean, deviation: (R,) of the regressors, which standardise them.
        examples: (N, R) standardised.
        weights: (N, T) of the examples.
        offset: (T,) mean of the targets.
        gamma: as `kernel`.

    Example:
        >>> x = torch.linspace(-3, 3, 30)[:, None]
        >>> sine = KernelRidge.fit(x, x.sin(), gamma=4.0, level=0.001)
        >>> (sine(x) - x.sin()).abs().max() < 0.02
        tensor(True)
        >>> line = KernelRidge.fit(x, x.sin(), gamma=None, level=0.001)
        >>> (line(x) - x.sin()).abs().max() < 0.5
        tensor(False)
    """

    mean: Tensor
    deviation: Tensor
    examples: Tensor
    weights: Tensor
    offset: Tensor
    gamma: float | None

    @staticmethod
    def fit(x: Tensor, targets: Tensor, *, gamma: float | None, level: float) -> KernelRidge:
        """Regresses targets (N, T) on x (N, R); `gamma` as `kernel` and `level` as `kernel_weights`."""
        mean, deviation, offset = x.mean(0), x.std(0).clamp(min=LEAST_DEVIATION), targets.mean(0)
        examples = (x - mean) / deviation
        weights = kernel_weights(kernel(examples, examples, gamma), targets - offset, level)
        return KernelRidge(mean, deviation, examples, weights, offset, gamma)

    def __call__(self, x: Tensor) -> Tensor:
        """(M, R) to (M, T)."""
        alike = kernel((x - self.mean) / self.deviation, self.examples, self.gamma)
        return alike @ self.weights + self.offset


def _identity(like: Tensor) -> Tensor:
    return torch.eye(len(like), device=like.device, dtype=like.dtype)
