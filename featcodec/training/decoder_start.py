"""The convolutional path of g_s at the start: what the latents around a block say of it, by least squares.

    g_s(ŷ) = linear(ŷ) + net(ŷ)          net: 3x3 (M to width), residual blocks, 3x3 (width to 4 C)

A block is decoded better from its neighbours' latents, too: quantization leaves of each only its largest
directions, and blocks of a picture are alike. The best linear map from 3x3 latents to what the linear path
leaves over, in the task's metric and of a rank that fits through the path, is a regression; the residual
blocks start as the identity.

Source: reduced-rank regression, Izenman 1975, doi:10.1016/0047-259X(75)90042-1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.codec.transforms import ResidualBlock, silent
from featcodec.plf.header import QUALITIES
from featcodec.training.closed_form import Statistics
from featcodec.training.hyperprior import CodecModel
from featcodec.training.regression import ridge_weights

__all__ = ["start_decoder"]

STRONGEST = 64  # channels of the latents that are looked at around a block
PLACES = 20  # for each regressor; with fewer the regression fits noise
RIDGE = 1e-4  # of the mean variance of the regressors
PART = 8  # pictures at a time


@torch.no_grad()
def start_decoder(model: CodecModel, found: Statistics, features: Tensor, weights: Tensor) -> None:
    """Sets the convolutional path of g_s to the regression, over all qualities in turn.

    Args:
        model: with linear paths and gains set, and a convolutional path of g_s that gives 0.
        found: statistics of the features.
        features: (B, C, h, w) of training pictures.
        weights: (8,) of the errors at each quality.
    """
    net = model.g_s.net
    first, last = net[0], net[-1]
    assert isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d)  # noqa: PT018
    assert first.bias is not None
    places = features[:, 0].numel() // 4
    count = min(STRONGEST, model.widths.latents, places // (9 * PLACES))
    if not count:
        return
    inner, outer = _moments(model, found.root(), features, weights, count)
    solved = ridge_weights(inner, outer, RIDGE)  # (9 k + 1, 4 C')
    explained, direction = torch.linalg.eigh(solved.T @ outer)
    rank = min(first.out_channels, int((explained > 0).sum()))
    direction = direction[:, -rank:]
    before, after = (solved @ direction).float(), (found.inverse_root().to(direction) @ direction).float()
    # halfway between both layers in size, so that neither learns much faster than the other
    size = (before.square().sum(0) / after.square().sum(0).clamp(min=1e-12)).clamp(min=1e-12) ** 0.25
    before, after = before / size, after * size
    first.weight[:rank] = 0
    first.weight[:rank, :count] = before[:-1].T.unflatten(1, (count, 3, 3))
    first.bias[:rank] = before[-1]
    for block in net:
        if isinstance(block, ResidualBlock):
            silent(block.b)
    last.weight[:, :rank, 1, 1] = after / model.g_s.deviation.repeat_interleave(4)[:, None]


def _moments(
    model: CodecModel, root: Tensor, features: Tensor, weights: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Of 9 k + 1 regressors, and with the 4 C' values that the linear path leaves over, in float64."""
    gains = model.gains()
    inner = torch.zeros(9 * count + 1, 9 * count + 1, dtype=torch.float64, device=features.device)
    outer = torch.zeros(9 * count + 1, len(root), dtype=torch.float64, device=features.device)
    for n, part in enumerate(features.split(PART)):
        quality = (torch.arange(len(part)) + n * PART) % len(QUALITIES)
        gain = gains[quality][:, :, None, None]
        y_hat = torch.round(model.g_a(part) * gain) / gain
        left = F.conv2d(F.pixel_unshuffle(part - model.g_s(y_hat), 2), root[:, :, None, None])
        x = F.unfold(y_hat[:, :count], 3, padding=1)
        x = torch.cat((x, torch.ones_like(x[:, :1])), 1)  # (B, 9 k + 1, places)
        weight = weights.to(x)[quality].sqrt()[:, None, None]
        x, t = ((v * weight).transpose(0, 1).flatten(1) for v in (x, left.flatten(2)))
        inner += (x @ x.T).double()
        outer += (x @ t.T).double()
    return inner, outer
