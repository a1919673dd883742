"""What a network computes behind its cut, as something to compare: maps, their error, and its slope.

D(f̂, f) = mean over maps of |m(f̂) - m(f)|² / (values · variance of m(f))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.outputs import tensors_of

__all__ = ["compared_maps", "differentiable", "jacobian_sketch", "relative_error"]

LEAST_VARIANCE = 1e-6  # of a map, for one that is constant to have an error


def compared_maps(cut: CutNetwork, f: Tensor) -> list[Tensor]:
    """What decoded features (B, C, h, w) are judged by: a detector's maps behind the cut, else what the
    network returns, as far as it has gradients."""
    return cut.detector.maps(f)[1:] if cut.detector else differentiable(cut.tail((f,)), len(f))


def differentiable(output: Any, batch: int) -> list[Tensor]:
    """The tensors (B, ...) in what a network returns that gradients go through."""
    found = [t for _, t in tensors_of(output)]
    return [t for t in found if t.is_floating_point() and t.requires_grad and t.shape[:1] == (batch,)]


def relative_error(got: Tensor, wanted: Tensor) -> Tensor:
    """Squared error (B,) of tensors (B, ...), over the variance that they have in the batch."""
    wanted = wanted.float()
    error = (got.float() - wanted).square().reshape(len(wanted), -1).mean(1)
    return error / (wanted.var() + LEAST_VARIANCE)


def jacobian_sketch(
    compared: Callable[[Tensor], Sequence[Tensor]], f: Tensor, generator: torch.Generator
) -> Tensor:
    """One random backward pass: g (B, C, h, w) with E[g g^T] = J^T W J, for each picture.

    W weights the values of each map by 1 / (maps x values x variance over the batch), so that g^T e squared
    has the mean relative error of the maps, which an error e of the features makes, as its expectation.

    Args:
        compared: features (B, C, h, w) to maps (B, ...), with gradients.
        f: uncoded features.
        generator: of the directions.
    """
    given = f.detach().float().requires_grad_()
    with torch.enable_grad():
        maps = [m.float() for m in compared(given)]
        total = given.new_zeros(())
        for values in maps:
            weight = 1 / (len(maps) * values[0].numel() * (values.detach().var() + LEAST_VARIANCE))
            direction = torch.randn(values.shape, generator=generator).to(values.device)
            total = total + (weight.sqrt() * direction * values).sum()
        (g,) = torch.autograd.grad(total, given)
    return g
