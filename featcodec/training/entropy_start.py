"""The hyperprior's start, without training: side information that says how much happens around a place.

      y ─h_a─▶ z_0 = STEPS · log2 (how strongly the latents around differ from 0, against the usual)
      z_0 ─h_s─▶ index of y_k = index of channel k's own scale + what z_0 says

Gains scale the latents, so the quality is in z_0, too. The first layer of h_a takes the strongest latents
with both signs (SiLU(v) + SiLU(-v) is about |v|), the second averages them and bends the average at several
knots, the third averages again, and its weights are those of least squares for the logarithm. What is left of
the networks keeps its random weights, behind weights of 0: training finds uses for it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.codec.transforms import IntegerHyperSynthesis
from featcodec.training.hyperprior import SCALE_MAX, SCALE_MIN, CodecModel, scale_of

__all__ = ["fit_prior", "start_entropy_model"]

STRONGEST, KNOTS = 32, 16  # channels that activity is measured in; places where h_a bends it
STEPS = 2.0  # symbols of z an octave
CEILING = 15.0  # activity that h_s can be told of lies within 2^±(CEILING / STEPS) of the usual
LOUD = 50.0  # squared, in deviations: rarer latents do not widen a scale
ROWS_A_NEPER = (IntegerHyperSynthesis.SCALES - 1) / math.log(SCALE_MAX / SCALE_MIN)
PRIOR_STEPS, PRIOR_LR = 400, 2e-2  # of the factorized prior alone
ENOUGH = 8  # pictures for the prior
AVERAGE = torch.outer(*2 * (torch.tensor([0.0, 0.5, 1.0, 1.0, 0.5]) / 3,))  # of a 5x5 layer of stride 2


def start_entropy_model(model: CodecModel, y: Tensor) -> None:
    """Sets h_a, h_s and the prior of z so that every latent is coded with about its own scale.

    Args:
        model: with transforms and gains set.
        y: latents (B, M, h, w) of some pictures.
    """
    with torch.no_grad():
        gained = [y * gain[:, None, None] for gain in model.gains()[::2]]
        _start_analysis(model, gained)
        _start_synthesis(model, gained)
    fit_prior(model, y[:ENOUGH])


def _start_analysis(model: CodecModel, gained: list[Tensor]) -> None:
    """Activity to z_0; the other channels of z are 0."""
    first, second, third = (m for m in model.h_a.net if isinstance(m, nn.Conv2d))
    usual = torch.stack([g.square().mean((0, 2, 3)) for g in gained]).log().mean(0).div(2).exp()  # (M,)
    count = min(STRONGEST, first.out_channels // 2, int((usual > 0.1 * usual.max()).sum()))
    knots = min(KNOTS, second.out_channels)
    for parameter in (*first.parameters(), *third.parameters()):
        parameter.zero_()
    for k in range(count):
        first.weight[2 * k, k, 1, 1] = 2.0 / usual[k]
        first.weight[2 * k + 1, k, 1, 1] = -2.0 / usual[k]
    active = torch.cat([F.silu(first(g)) for g in gained])
    level = _averaged(active[:, : 2 * count].mean(1, keepdim=True) * 2)
    bends = torch.quantile(_sample(level), torch.linspace(0.01, 0.99, knots).to(level)).clamp(min=1e-3)
    second.weight[:knots] = 0
    second.weight[:knots, : 2 * count] = AVERAGE.to(level) * (2 / bends / count)[:, None, None, None]
    _bias(second)[:knots] = -2.0
    averaged = _averaged(F.silu(second(active)[:, :knots]))
    relative = [(g[:, :count] / usual[:count, None, None]).square().mean(1, keepdim=True) for g in gained]
    found = _logarithm(averaged, F.avg_pool2d(torch.cat(relative), 4, ceil_mode=True))
    third.weight[0, :knots] = found[:-1, None, None] * AVERAGE.to(level)
    _bias(third)[0] = found[-1]


def _averaged(x: Tensor) -> Tensor:
    """(B, K, h, w) to (B, K, ceil(h / 2), ceil(w / 2)), as a layer of h_a averages."""
    one = F.conv2d(x.flatten(0, 1)[:, None], AVERAGE.to(x)[None, None], stride=2, padding=2)
    averaged: Tensor = one.unflatten(0, x.shape[:2])
    return averaged


def _logarithm(levels: Tensor, power: Tensor) -> Tensor:
    """Weights (K + 1), the constant last, of levels (B, K, h, w) for `STEPS` log2 of the root of power."""
    x = levels.transpose(0, 1).flatten(1).T.double()
    x = torch.cat((x, torch.ones_like(x[:, :1])), 1)
    wanted = power.flatten().double().clamp(min=1e-6).log2() / 2 * STEPS
    inner = x.T @ x
    inner += 1e-6 * inner.diagonal().mean() * torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    found: Tensor = torch.linalg.solve(inner, x.T @ wanted.clamp(-CEILING, CEILING))
    return found.float()


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _start_synthesis(model: CodecModel, gained: list[Tensor]) -> None:
    """z_0 to the indexes, as it is, and each channel's own scale, which its latents fill."""
    h_s, latents = model.h_s, model.widths.latents
    for layer, offset in ((0, CEILING + 1), (1, 0.0)):
        h_s.weights[layer][0] = 0
        h_s.weights[layer][0, 0, 1, 1] = 1
        h_s.biases[layer][0] = offset
    per_step = ROWS_A_NEPER * math.log(2) / STEPS / h_s.UNIT_ACTIVATION
    h_s.weights[2].zero_()
    h_s.weights[2][:latents, 0] = per_step
    h_s.biases[2].zero_()
    own = torch.stack([g.square().mean((0, 2, 3)) for g in gained]).clamp(min=1e-8).log().mean(0) / 2
    index = ROWS_A_NEPER * (own - math.log(SCALE_MIN)) / h_s.UNIT_ACTIVATION
    h_s.biases[2][:latents] = index - per_step * (CEILING + 1)
    said = [model.h_a(g).round() for g in gained]
    for _ in range(3):  # rows end at both ends of the table, so once is not enough
        wrong = []
        for g, z in zip(gained, said, strict=True):
            scale = scale_of(h_s(z, *g.shape[-2:]).index)
            wrong.append((g / scale).square().clamp(max=LOUD).mean((0, 2, 3)).clamp(min=1e-4).log() / 2)
        h_s.biases[2][:latents] += torch.stack(wrong).mean(0) * ROWS_A_NEPER / h_s.UNIT_ACTIVATION


def fit_prior(model: CodecModel, y: Tensor) -> None:
    """Fits the factorized prior alone to the side information of latents (B, M, h, w) at every quality."""
    with torch.no_grad():
        z = torch.cat([model.h_a(y * gain[:, None, None]) for gain in model.gains()])
    prior = model.prior_z
    optimizer = torch.optim.Adam([p for p in prior.parameters() if p.requires_grad], lr=PRIOR_LR)
    for _ in range(PRIOR_STEPS):
        optimizer.zero_grad()
        (-prior(z, training=True)[1].log2().mean()).backward()
        optimizer.step()


def _sample(values: Tensor, most: int = 100_000) -> Tensor:
    values = values.flatten()
    return values[:: max(1, len(values) // most)].float()
