"""The four transforms of the codec: g_a, g_s (the privacy autoencoder) and h_a, h_s (the hyperprior's).

      f (C, H, W) ─g_a─▶ y (M, H/2, W/2) ─h_a─▶ z (N, H/8, W/8)
      f̂           ◀─g_s─ ŷ                ẑ ─h_s─▶ means and table indexes of y's symbols

h_s works on integers: see `IntegerHyperSynthesis`. The other three are ordinary float networks.

Source: the autoencoder follows Azizian and Bajić 2024 (arXiv:2402.18864), section III: 3x3 convolutions
and residual blocks on either side of the bottleneck; the hyperprior follows Minnen et al. 2018
(arXiv:1809.02736), figure 1, without the context model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.codec.hyper_synthesis import IntegerUnits
from featcodec.codec.widths import SIDE_STRIDE, Widths, side_shape

__all__ = [
    "SIDE_STRIDE",
    "AnalysisTransform",
    "HyperAnalysis",
    "IntegerHyperSynthesis",
    "Prediction",
    "SynthesisTransform",
    "Widths",
    "integer_hyper_synthesis",
    "side_shape",
    "silent",
]

_Layer = TypeVar("_Layer", bound=nn.Module)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a SiLU, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.b(F.silu(self.a(F.silu(x))))
        return y


def silent(layer: _Layer) -> _Layer:
    """The layer with weights of 0: it adds nothing until they are set."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class AnalysisTransform(nn.Module):
    """g_a: features (B, C, H, W) to latents (B, M, H/2, W/2); H and W even.

        f ─normalise─┬─▶ net: 5x5 /2, residual blocks, 3x3 ─┐
                     └─▶ linear: 2x2 /2 ────────────────────┴─ + ─▶ y

    The features are first normalised by the channel means and deviations of the fitting set, which are
    part of the codec file. The linear path takes the 2x2 blocks of the features one by one; a fit starts
    with the whole transform in it (`featcodec.training.closed_form`).

    Args:
        features, latents, width: channels C, M and inside.
        linear: False for codec files of format 1, which have no linear path.

    Source: linear paths beside the networks of learned codecs: Li et al. 2025 (arXiv:2501.13751).
    """

    mean: Tensor
    deviation: Tensor
    linear: nn.Conv2d  # absent in codecs of format 1

    def __init__(self, features: int, latents: int, width: int, *, linear: bool = True):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.net = nn.Sequential(
            nn.Conv2d(features, width, 5, stride=2, padding=2),
            ResidualBlock(width),
            ResidualBlock(width),
            nn.Conv2d(width, latents, 3, padding=1),
        )
        if linear:
            self.linear = silent(nn.Conv2d(features, latents, 2, stride=2))

    def normalised(self, f: Tensor) -> Tensor:
        """Features (B, C, H, W) by the fitting set's means and deviations."""
        return (f - self.mean.view(-1, 1, 1)) / self.deviation.view(-1, 1, 1)

    def forward(self, f: Tensor) -> Tensor:
        x = self.normalised(f)
        y: Tensor = self.net(x)
        return y + self.linear(x) if hasattr(self, "linear") else y


class SynthesisTransform(nn.Module):
    """g_s: decoded latents (B, M, h, w) to decoded features (B, C, 2h, 2w).

        ŷ ─┬─▶ net: 3x3, residual blocks, 3x3 ─┐
           └─▶ linear: 1x1 ────────────────────┴─ + ─shuffle─▶ 2x2 blocks ─denormalise─▶ f̂

    Args:
        features, latents, width, linear: as `AnalysisTransform` takes them.
    """

    mean: Tensor
    deviation: Tensor
    linear: nn.Conv2d  # absent in codecs of format 1

    def __init__(self, features: int, latents: int, width: int, *, linear: bool = True):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.net = nn.Sequential(
            nn.Conv2d(latents, width, 3, padding=1),
            ResidualBlock(width),
            ResidualBlock(width),
            ResidualBlock(width),
            nn.Conv2d(width, 4 * features, 3, padding=1),
        )
        if linear:
            self.linear = silent(nn.Conv2d(latents, 4 * features, 1))

    def forward(self, y_hat: Tensor) -> Tensor:
        x = self.net(y_hat)
        x = F.pixel_shuffle(
            x + self.linear(y_hat) if hasattr(self, "linear") else x, 2
        )  # and no more: a block at full resolution costs as much as the rest
        f_hat: Tensor = x * self.deviation.view(-1, 1, 1) + self.mean.view(-1, 1, 1)
        return f_hat


class HyperAnalysis(nn.Module):
    """h_a: latents (B, M, h, w) to side information (B, N, ceil(h/4), ceil(w/4))."""

    def __init__(self, latents: int, width: int, side: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(latents, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(width, side, 5, stride=2, padding=2),
        )

    def forward(self, y: Tensor) -> Tensor:
        z: Tensor = self.net(y)
        return z


@dataclass(frozen=True, slots=True)
class Prediction:
    """What h_s says of the latents' symbols.

    Attributes:
        index: (B, M, h, w) row of the scale table, 0 to SCALES - 1, whole numbers.
        mean: (B, M, h, w) expected latent, a multiple of 1/16.
    """

    index: Tensor
    mean: Tensor


def _round(x: Tensor) -> Tensor:
    """Rounds half up; the gradient passes as if nothing had been rounded (straight-through)."""
    return x + ((x + 0.5).floor() - x).detach()


class IntegerHyperSynthesis(IntegerUnits, nn.Module):
    """h_s in integer arithmetic: side information symbols to table indexes and means, the same everywhere.

    Three layers (3x3, 3x3, 1x1), with nearest-neighbour upsampling by two before the first and the second.
    All numbers are integers in units of a power of two: weights in 1/256, activations in 1/16, clamped to
    0 .. 4095 units. A layer multiplies, adds, and shifts right by 8 bits with rounding half up:

        a = clamp(floor((W x + b + 128) / 256), 0, 4095)

    This is the network with gradients, for fitting, on the same rounded weights (straight-through): what is
    trained is what is stored. Encoder and decoder run `featcodec.codec.hyper_synthesis`.

    Args:
        side: channels N of z.
        width: channels of the two hidden layers.
        latents: channels M of y.
    """

    def __init__(self, side: int, width: int, latents: int):
        super().__init__()
        shapes = ((width, side, 3), (width, width, 3), (2 * latents, width, 1))
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(o, i, k, k)) for o, i, k in shapes)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(o)) for o, _, _ in shapes)
        for weight in self.weights:
            nn.init.kaiming_uniform_(weight, a=5**0.5)
        # start in the middle of the scale table, where gradients reach both ways
        nn.init.constant_(self.biases[2][:latents], self.SCALES / self.UNIT_ACTIVATION * 0.4)

    def integers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Weights and biases as whole numbers in units of 1/256 and 1/4096 (z, layer 1: 1/256)."""
        largest = self.LIMIT_WEIGHT
        weights = [_round(w * self.UNIT_WEIGHT).clamp(-largest, largest) for w in self.weights]
        biases = [
            _round(b * self.UNIT_WEIGHT * u) for b, u in zip(self.biases, self.UNITS_INPUT, strict=True)
        ]
        return weights, biases

    @torch.no_grad()
    def set_integers(self, weights: list[Tensor], biases: list[Tensor]) -> None:
        """Sets what `integers` gives."""
        for i, unit in enumerate(self.UNITS_INPUT):
            self.weights[i].copy_(weights[i] / self.UNIT_WEIGHT)
            self.biases[i].copy_(biases[i] / (self.UNIT_WEIGHT * unit))

    def forward(self, z_hat: Tensor, height: int, width: int) -> Prediction:
        """Symbols (B, N, h_z, w_z) to the prediction for (height, width) latents."""
        weights, biases = self.integers()
        return integer_hyper_synthesis(z_hat, weights, biases, height, width)

    def hidden(self, z_hat: Tensor, height: int, width: int) -> Tensor:
        """What enters the last layer, (B, width, h, w): multiples of 1/16."""
        return _hidden(z_hat, *self.integers(), height, width) / self.UNIT_ACTIVATION


def integer_hyper_synthesis(
    z_hat: Tensor, weights: list[Tensor], biases: list[Tensor], height: int, width: int
) -> Prediction:
    """The integer network on whole-number tensors, with gradients; exact where no sum rounds.

    Args:
        z_hat: (B, N, h_z, w_z) symbols of magnitude `LIMIT_SYMBOL` at most.
        weights, biases: three of each, whole numbers as `IntegerHyperSynthesis.integers` gives them; their
            type carries the layer. Products are in float64 exact (`hyper_synthesis.worst_partial_sums`).
        height, width: of the latents; at most 4 h_z and 4 w_z.

    Returns:
        indexes 0 .. 63 and means in units of the latents (multiples of 1/16).
    """
    k = IntegerUnits
    x = _hidden(z_hat, weights, biases, height, width).flatten(2).to(weights[2].dtype)
    sums = weights[2].flatten(1) @ x + biases[2][:, None]
    out = _round(sums / k.DIVISORS[2]).unflatten(2, (height, width))  # (B, 2M, h, w) in 1/16
    index, mean = out.chunk(2, 1)
    # the index moves a whole row for 1/16: finer steps would be lost in the table anyway
    return Prediction(index.clamp(0, k.SCALES - 1), mean / k.UNIT_ACTIVATION)


def _hidden(z_hat: Tensor, weights: list[Tensor], biases: list[Tensor], height: int, width: int) -> Tensor:
    """The first two layers: symbols to activations (B, K, h, w), whole numbers."""
    k = IntegerUnits
    x = _round(_doubled(z_hat, weights[0], biases[0]) / k.DIVISORS[0]).clamp(0, k.LIMIT_ACTIVATION)
    x = _round(_doubled(x, weights[1], biases[1]) / k.DIVISORS[1]).clamp(0, k.LIMIT_ACTIVATION)
    return x[..., :height, :width]


def _doubled(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3x3 convolution of x after nearest-neighbour upsampling by two: (B, I, h, w) to (B, O, 2h, 2w).

    Of the three rows (columns) under the kernel two are always the same row of x, so each of the four
    phases of the output is a 2x2 convolution of x with sums of weights: the same integers for half the work.
    """
    o, i, _, _ = weight.shape
    b, _, h, w = x.shape
    x = x.to(weight.dtype)
    fold = x.new_tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])  # (phase, row of x, row of weight)
    phases = torch.einsum("prk,qcl,oikl->pqoirc", fold, fold, weight).reshape(4 * o, 4 * i)
    columns = F.unfold(x, 2, padding=1)  # (B, 4 I, (h + 1) (w + 1))
    sums = (phases @ columns).view(b, 2, 2, o, h + 1, w + 1)
    parts = [sums[:, p, q, :, p : p + h, q : q + w] for p in (0, 1) for q in (0, 1)]
    doubled = F.pixel_shuffle(torch.stack(parts, 2).flatten(1, 2), 2)
    return doubled + bias[:, None, None]
