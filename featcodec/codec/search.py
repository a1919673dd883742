"""The encoder's search for symbols through the network: none of it is normative, any symbols decode.

    effort 2, 3    argmin  bits(symbols) + λ · D(tail(g_s(ŷ)), tail(f))      λ = SLOPE · latents / tr(JᵀWJ)

The gains that a codec was fitted with say what an error costs: at high rates bits + λ D is least where the
square of a step costs 6 / ln 2 bits (`featcodec.training.closed_form.step_width`). The search through the
network measures on the picture how much of D that is, and so needs no constant of the fit.

Source: refinement of latents, Campos et al. 2019 (arXiv:1906.04721), Perugachi-Diaz et al. 2024
(arXiv:2401.17789).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featcodec.codec.quantize import HIGH_RATE, quantize, table_bits
from featcodec.errors import InputError
from featcodec.networks.compared import jacobian_sketch, relative_error
from featcodec.networks.torch_state import training

__all__ = ["Task", "refine"]

REFINED_PRICE = 2 * HIGH_RATE  # beside a refinement, which makes up for what this pulls towards 0
SLOPE = HIGH_RATE / 2  # of the refinement
RATE = 0.05  # of Adam, in steps of the quantizer
Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Task:
    """What a picture's latents are judged by.

    Attributes:
        maps: coded latents (1, M, h, w), symbols plus means, to what the network computes behind its cut,
            with gradients.
        wanted: the same from uncoded features.
    """

    maps: Callable[[Tensor], Sequence[Tensor]]
    wanted: Sequence[Tensor]

    def error(self, coded: Tensor) -> Tensor:
        """Mean relative squared error of the maps.

        Raises:
            InputError: there is nothing to compare, or it has another shape for each picture.
        """
        maps = self.maps(coded)
        got, expected = ([tuple(m.shape) for m in each] for each in (maps, self.wanted))
        if not got or got != expected:
            raise InputError(
                f"effort: got a network that returns {got or 'nothing with gradients'}, expected "
                f"{expected or 'something'} to compare; efforts 0 and 1 need none of it"
            )
        return torch.cat([relative_error(a, b) for a, b in zip(maps, self.wanted, strict=True)]).mean()


@torch.no_grad()
def refine(residual: Floats, index: Ints, mean: Floats, bits: Floats, task: Task, passes: int) -> Ints:
    """Symbols (M, h, w) of least bits and error of the task, by descent through decoder and network.

    Latents are moved against the slope of both; the error's is taken where the decoder will be, at the
    symbols (straight-through). The best symbols on the way are taken.

    Args:
        residual: (M, h, w) latents minus means, in steps: where it starts.
        index, mean: (M, h, w) table rows and means.
        bits: as `symbol_bits` gives them.
        task: of the picture.
        passes: there and back.

    Raises:
        InputError: as `Task.error` does.
    """
    latents = torch.from_numpy(residual.astype(np.float32)).requires_grad_()
    optimizer = torch.optim.Adam([latents], lr=RATE)
    weight, least, best = 0.0, math.inf, np.zeros_like(index)
    for number in range(passes + 1):
        at = latents.detach().numpy().astype(np.float64)
        symbols = quantize(at, index, bits, REFINED_PRICE)
        coded = torch.from_numpy((symbols + mean).astype(np.float32))[None].requires_grad_()
        with training():
            error = task.error(coded)
        weight = weight or _weight(task, coded)
        cost = float(table_bits(symbols, index, bits).sum()) + weight * float(error)
        if cost < least or not number:
            least, best = cost, symbols
        if number == passes:
            break
        (slope,) = torch.autograd.grad(error, coded)
        down = np.floor(at)
        uphill = table_bits(down + 1, index, bits) - table_bits(down, index, bits)
        latents.grad = weight * slope[0] + torch.from_numpy(uphill.astype(np.float32))
        optimizer.step()
    return best


def _weight(task: Task, coded: Tensor) -> float:
    """Bits that the task's whole error is worth: one sketch tells what an error of one step adds to it."""
    with training():
        g = jacobian_sketch(task.maps, coded, torch.Generator().manual_seed(0))
    return SLOPE * g.numel() / max(float(g.double().square().sum()), 1e-30)
