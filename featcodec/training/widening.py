"""More latents for a codec that has some: a closed form of what those leave over.

      e = R (x - x̂)               x̂ what the codec makes of the block x, R the root of the task's metric
      ê = W r                     the best linear map from what g_a sees there: the block, and the 3x3 values
                                  around it that enter the last layer of its convolutional path
      E[ê êᵀ] = U Λ Uᵀ            U_K the K directions of largest worth
      y' = U_Kᵀ W r               the new latents
      x̂' = x̂ + R⁻¹ U_K y'

As in `featcodec.training.closed_form`, an error of any of these latents costs the task the same, so that
their steps follow from the weight of the task: at low qualities nearly all of them are 0 and cost next to
nothing.

Source: reduced-rank regression, Izenman 1975, doi:10.1016/0047-259X(75)90042-1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.training.closed_form import LEAST_UNIT, Statistics
from featcodec.training.entropy_start import LOUD, ROWS_A_NEPER
from featcodec.training.hyperprior import SCALE_MIN, CodecModel
from featcodec.training.quality_weights import QualityWeights
from featcodec.training.regression import ridge_weights

__all__ = ["widen"]

RIDGE = 1e-4  # of the mean variance of the regressors
PART = 8  # pictures at a time
SCALED = 48  # pictures from which scales are taken


@torch.no_grad()
def widen(
    model: CodecModel, count: int, found: Statistics, features: Tensor, weights: QualityWeights
) -> None:
    """Sets the latents behind the first `count` to what those leave over, and all that concerns them.

    Args:
        model: a working codec in its first `count` latents; everything of the others is 0.
        count: latents that are set.
        found: statistics of the features.
        features: (B, C, h, w) of training pictures.
        weights: of the task at the qualities.
    """
    solved, worth, direction = _regress(model, count, found, features)
    more = min(model.widths.latents - count, int((worth > LEAST_UNIT * worth[-1]).sum()))
    variance, best = worth.flip(0)[:more], direction.flip(1)[:, :more]
    unit = variance.clamp(min=LEAST_UNIT * float(variance[0])) ** 0.25  # as in `closed_form.set_transforms`
    analysis = ((solved @ best) / unit).T.float()  # (K, n + 1)
    new = slice(count, count + more)
    last = model.g_a.net[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    blocks = model.g_a.linear.weight[0].numel()
    model.g_a.linear.weight[new] = analysis[:, :blocks].unflatten(1, (-1, 2, 2))
    last.weight[new] = analysis[:, blocks:-1].unflatten(1, (-1, 3, 3))
    last.bias[new] = analysis[:, -1]
    back = found.inverse_root().to(best) @ (best * unit)  # (4 C, K)
    deviation = model.g_s.deviation.repeat_interleave(4)
    model.g_s.linear.weight[:, new] = (back.float() / deviation[:, None])[:, :, None, None]
    model.log_gain[:, new] = (weights.gains().to(unit)[:, None] + unit.log2()).float()
    _set_scales(model, new, features[:SCALED])


def _regress(
    model: CodecModel, count: int, found: Statistics, features: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """W^T (n, 4 C'), and the worth (rising) and directions (4 C', 4 C') of what it explains."""
    inner, outer = _moments(model, count, found.root(), features)
    solved = ridge_weights(inner, outer, RIDGE)
    explained = solved.T @ outer
    worth, direction = torch.linalg.eigh((explained + explained.T) / 2)
    return solved, worth, direction


def _moments(model: CodecModel, count: int, root: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Second moments of n regressors, the constant last, and with 4 C' errors in the metric; float64.

    At the highest quality, where what is left over is what the codec cannot say.
    """
    gain = model.gains()[-1][:count, None, None]
    inner = outer = torch.zeros((), dtype=torch.float64, device=features.device)
    places = 0
    for part in features.split(PART):
        r = _regressors(model, part)
        y = model.g_a(part)
        y[:, :count] = torch.round(y[:, :count] * gain) / gain
        error = F.pixel_unshuffle(part - model.g_s(y), 2)
        e = F.conv2d(error, root[:, :, None, None]).transpose(0, 1).flatten(1)
        inner, outer = inner + (r @ r.T).double(), outer + (r @ e.T).double()
        places += e.shape[1]
    return inner / places, outer / places


def _regressors(model: CodecModel, part: Tensor) -> Tensor:
    """Of pictures (B, C, h, w): (n, places), normalised blocks, 3x3 hidden values of g_a, and 1."""
    x = model.g_a.normalised(part)
    hidden = F.unfold(model.g_a.net[:-1](x), 3, padding=1)
    blocks = F.pixel_unshuffle(x, 2).flatten(2)
    every = torch.cat((blocks, hidden, torch.ones_like(blocks[:, :1])), 1)
    return every.transpose(0, 1).flatten(1)


def _set_scales(model: CodecModel, new: slice, features: Tensor) -> None:
    """Rows of the last layer of h_s for new latents: least squares for the logarithm of what they are.

    The regressors are what the layer sees: what the side information of the old latents says of a place.
    """
    h_s = model.h_s
    y = model.g_a(features)
    seen, wanted, coded = [], [], []
    for gain in model.gains()[::2]:
        y_g = y * gain[:, None, None]
        z = model.h_a(y_g).round()
        hidden = h_s.hidden(z, *y.shape[-2:])  # (B, K, h, w)
        seen.append(hidden.transpose(0, 1).flatten(1).double())
        coded.append(y_g[:, new].transpose(0, 1).flatten(1).double())
        wanted.append((coded[-1].square() + SCALE_MIN**2).log() / 2)
    x, target, value = (torch.cat(parts, 1) for parts in (seen, wanted, coded))
    x = torch.cat((x, torch.ones_like(x[:1])))  # (K + 1, places)
    rows = ridge_weights(x @ x.T, x @ target.T, RIDGE)  # (K + 1, new)
    for _ in range(3):  # the logarithm's mean is not the mean's logarithm
        scale = (rows.T @ x).clamp(min=math.log(SCALE_MIN)).exp()
        wrong = (value / scale).square().clamp(max=LOUD).mean(1).clamp(min=1e-4).log() / 2
        rows[-1] += wrong
    per_unit = ROWS_A_NEPER / h_s.UNIT_ACTIVATION
    h_s.weights[2][new] = (rows[:-1].T * per_unit)[:, :, None, None].float()
    h_s.biases[2][new] = ((rows[-1] - math.log(SCALE_MIN)) * per_unit).float()
