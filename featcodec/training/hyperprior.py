"""Training-time model of the codec: transforms, gains and likelihoods (compressai), and their export.

        f ─g_a─▶ y ─·gain(q)─▶ y_g ─h_a─▶ z ─round─▶ ẑ ─h_s─▶ (index, mean)
                                │                                  │
                                └──round(y_g - mean) ─▶ symbols ◀──┘
                      ŷ = (symbols + mean) / gain(q) ─g_s─▶ f̂

Rates are the likelihoods of compressai's factorized prior (z) and conditional Gaussian (y).

Source: Minnen et al. 2018 (arXiv:1809.02736) for the mean-scale hyperprior; Cui et al. 2021
(arXiv:2003.02012), section 3, for gain vectors; Minnen and Singh 2020 (arXiv:2007.08739), section 3.4,
for noise in the rate and straight-through rounding in the distortion.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featcodec.codec.entropy import PRECISION, Tables
from featcodec.codec.transforms import (
    AnalysisTransform,
    HyperAnalysis,
    IntegerHyperSynthesis,
    SynthesisTransform,
    Widths,
)
from featcodec.errors import MissingExtraError
from featcodec.plf.header import QUALITIES

with warnings.catch_warnings():
    # packages that compressai imports compile helpers in a way that newer releases of torch warn of
    for _kind in (FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", r".torch\.jit\.\w+. is deprecated", _kind, r"torch\.jit\.")
    try:
        from compressai.entropy_models import EntropyBottleneck, GaussianConditional
    except ImportError as error:
        raise MissingExtraError.of("compressai", "fit") from error

__all__ = ["CodecModel", "Coded", "interpolate_gain", "scale_of"]

SCALE_MIN, SCALE_MAX = 0.11, 64.0
TAIL_MASS = 2.0**-20  # probability left to the escape


@dataclass(frozen=True, slots=True)
class Coded:
    """What one pass of the training-time model gives.

    Attributes:
        f_hat: (B, C, H, W) decoded features.
        y_hat: (B, M, h, w) decoded latents: what a thief of the bytes has.
        bits_y, bits_z: (B,) estimated bits of each picture.
    """

    f_hat: Tensor
    y_hat: Tensor
    bits_y: Tensor
    bits_z: Tensor


def scale_of(index: Tensor) -> Tensor:
    """Row of the scale table to a standard deviation, 0.11 to 64 in 64 geometric steps."""
    step = math.log(SCALE_MAX / SCALE_MIN) / (IntegerHyperSynthesis.SCALES - 1)
    return SCALE_MIN * torch.exp(index * step)


def interpolate_gain(gains: Tensor, quality: Tensor) -> Tensor:
    """Gains (8, M) at qualities (B,) between 1 and 8: (B, M), linear between neighbours."""
    low = (quality.floor().long() - 1).clamp(0, len(QUALITIES) - 2)
    t = (quality - 1 - low)[:, None]
    return gains[low] * (1 - t) + gains[low + 1] * t


class CodecModel(nn.Module):
    """The codec as it is fitted."""

    def __init__(self, widths: Widths):
        super().__init__()
        self.widths = widths
        self.g_a = AnalysisTransform(widths.features, widths.latents, widths.analysis)
        self.g_s = SynthesisTransform(widths.features, widths.latents, widths.synthesis)
        self.h_a = HyperAnalysis(widths.latents, widths.hyper, widths.side)
        self.h_s = IntegerHyperSynthesis(widths.side, widths.hyper, widths.latents)
        self.prior_z = EntropyBottleneck(widths.side)
        # the medians stay at 0, so that whole numbers are what is coded
        self.prior_z.quantiles.requires_grad_(False)
        self.prior_y = GaussianConditional(None, scale_bound=SCALE_MIN)
        # log2 of the gains; quality 1 starts 16 times coarser than quality 8
        start = torch.linspace(-2.0, 2.0, len(QUALITIES))[:, None].expand(-1, widths.latents)
        self.log_gain = nn.Parameter(start.clone())

    def gains(self) -> Tensor:
        """(8, M) factors from latents to the quantizer's units."""
        return torch.exp2(self.log_gain)

    def inverse_gains(self) -> Tensor:
        """(8, M) factors back; these are stored, and interpolated between qualities."""
        return torch.exp2(-self.log_gain)

    def forward(self, f: Tensor, quality: Tensor) -> Coded:
        """Features (B, C, H, W) and qualities (B,) in [1, 8] to decoded features and estimated bits."""
        y = self.g_a(f)
        return self.code(y, quality)

    def code(self, y: Tensor, quality: Tensor) -> Coded:
        """Latents to decoded features and estimated bits."""
        inverse = interpolate_gain(self.inverse_gains(), quality)[:, :, None, None]
        y_g = (y / inverse).float()
        with torch.autocast(y.device.type, enabled=False):
            z = self.h_a(y_g)
            z_hat = z + (torch.round(z) - z).detach()
            _, p_z = self.prior_z(z, training=True)
            params = self.h_s(z_hat, *y.shape[-2:])
            _, p_y = self.prior_y(y_g, scale_of(params.index), means=params.mean, training=True)
            residual = y_g - params.mean
            rounded = residual + (torch.round(residual) - residual).detach()
        y_hat = (rounded + params.mean) * inverse
        bits_y, bits_z = (-p.log2().flatten(1).sum(1) for p in (p_y, p_z))
        return Coded(self.g_s(y_hat), y_hat, bits_y, bits_z)

    @torch.no_grad()
    def tables_y(self) -> Tables:
        """One table for each of the 64 scales: a discretized normal distribution around 0."""
        rows = []
        for scale in scale_of(torch.arange(IntegerHyperSynthesis.SCALES, dtype=torch.float64)).tolist():
            half = max(1, math.ceil(5 * scale))
            edges = (torch.arange(-half, half + 2, dtype=torch.float64) - 0.5) / scale
            rows.append((-half, torch.special.ndtr(edges).diff().numpy()))
        return _tables(rows)

    @torch.no_grad()
    def tables_z(self, widest: int = 128) -> Tables:
        """One table for each channel of z, from compressai's factorized prior."""
        k = torch.arange(-widest, widest + 1, dtype=torch.float32)
        whole = k.view(1, 1, -1, 1).expand(1, self.widths.side, -1, 1).contiguous()
        _, p = self.prior_z(whole, training=False)
        rows = []
        for channel in p[0, :, :, 0].double().numpy():
            kept = np.flatnonzero(channel > TAIL_MASS)
            first, last = (int(kept[0]), int(kept[-1])) if kept.size else (widest, widest)
            rows.append((first - widest, channel[first : last + 1]))
        return _tables(rows)


def _tables(rows: list[tuple[int, NDArray[np.float64]]]) -> Tables:
    """(low, probabilities) of each row to integer frequencies that add up to 2^24, the escape last."""
    sizes = np.array([len(p) + 1 for _, p in rows], np.int32)
    frequencies = np.zeros((len(rows), int(sizes.max())), np.int32)
    for r, (_, p) in enumerate(rows):
        full = np.append(p, max(1.0 - float(p.sum()), TAIL_MASS))
        whole = np.maximum(np.rint(full / full.sum() * (1 << PRECISION)), 1).astype(np.int64)
        # rounding's remainder goes where it hurts least
        whole[np.argmax(whole)] += (1 << PRECISION) - whole.sum()
        frequencies[r, : len(whole)] = whole
    return Tables(frequencies, sizes, np.array([low for low, _ in rows], np.int32))
