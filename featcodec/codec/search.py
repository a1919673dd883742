"""The encoder's search for symbols: none of it is normative, any symbols decode.

    effort 1       argmin  bits(symbols) + PRICE · |error|²          exact: the bits of a symbol are a look-up
    effort 2, 3    argmin  bits(symbols) + λ · D(tail(g_s(ŷ)), tail(f))      λ = SLOPE · latents / tr(JᵀWJ)

The gains that a codec was fitted with say what an error costs: at high rates bits + λ D is least where the
square of a step costs 6 / ln 2 bits (`featcodec.training.closed_form.step_width`). The search through the
network measures on the picture how much of D that is, and so needs no constant of the fit.

Source: rate-distortion optimised quantization, Stankowski et al. 2015, doi:10.1109/IWSSIP.2015.7314240;
refinement of latents, Campos et al. 2019 (arXiv:1906.04721), Perugachi-Diaz et al. 2024 (arXiv:2401.17789).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featcodec.codec.entropy import Tables, ideal_bits
from featcodec.errors import InputError
from featcodec.networks.compared import jacobian_sketch, relative_error
from featcodec.networks.torch_state import training

__all__ = ["PRICE", "Task", "refine", "symbol_bits"]

HIGH_RATE = 6 / math.log(2)  # bits that a squared error of one step costs, where the steps are right
PRICE = 8 * HIGH_RATE  # of effort 1: errors towards 0 add up behind the cut, more than their squares say
REFINED_PRICE = 2 * HIGH_RATE  # beside a refinement, which makes up for what this pulls towards 0
SLOPE = HIGH_RATE / 2  # of the refinement
RATE = 0.05  # of Adam, in steps of the quantizer
REACH = 512  # symbols beyond cost as many bits as this one: they are rare, and their errors rule
Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


def symbol_bits(tables: Tables) -> Floats:
    """(rows, 2 REACH + 1) bits of the symbols -REACH .. REACH in each table."""
    symbols = np.arange(-REACH, REACH + 1, dtype=np.int32)
    rows = np.arange(len(tables.sizes), dtype=np.int32)
    return np.stack([ideal_bits(symbols, np.full_like(symbols, row), tables) for row in rows])


def _bits(symbols: Floats | Ints, index: Ints, bits: Floats) -> Floats:
    found: Floats = bits[index, np.clip(symbols, -REACH, REACH).astype(np.intp) + REACH]
    return found


def quantize(residual: Floats, index: Ints, bits: Floats, price: float) -> Ints:
    """The best of three symbols each: the nearest, the next one towards 0, and 0.

    Args:
        residual: (M, h, w) latents minus means, in steps.
        index: (M, h, w) table rows.
        bits: as `symbol_bits` gives them.
        price: bits that a squared error of one step is worth.

    Example:
        >>> import numpy as np
        >>> bits = np.abs(np.arange(-REACH, REACH + 1))[None] * 3.0  # 3 bits a step away from 0
        >>> quantize(np.array([0.4, 0.6, 1.9, -2.6]), np.zeros(4, np.int32), bits, price=5.0).tolist()
        [0, 0, 2, -2]
    """
    best = np.rint(residual)
    least = _bits(best, index, bits) + price * np.square(residual - best)
    for other in (best - np.sign(best), np.zeros_like(best)):
        cost = _bits(other, index, bits) + price * np.square(residual - other)
        best, least = np.where(cost < least, other, best), np.minimum(cost, least)
    return best.astype(np.int32)


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
        cost = float(_bits(symbols, index, bits).sum()) + weight * float(error)
        if cost < least or not number:
            least, best = cost, symbols
        if number == passes:
            break
        (slope,) = torch.autograd.grad(error, coded)
        down = np.floor(at)
        uphill = _bits(down + 1, index, bits) - _bits(down, index, bits)
        latents.grad = weight * slope[0] + torch.from_numpy(uphill.astype(np.float32))
        optimizer.step()
    return best


def _weight(task: Task, coded: Tensor) -> float:
    """Bits that the task's whole error is worth: one sketch tells what an error of one step adds to it."""
    with training():
        g = jacobian_sketch(task.maps, coded, torch.Generator().manual_seed(0))
    return SLOPE * g.numel() / max(float(g.double().square().sum()), 1e-30)
