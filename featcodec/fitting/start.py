"""Where a fit starts: channel statistics and gains at which the first rates are about right, or the weights
of an earlier codec or of several; and a check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from featcodec.codec.codec_file import CodecFile
from featcodec.codec.transforms import IntegerHyperSynthesis
from featcodec.errors import FitError
from featcodec.fitting.tasks import Task
from featcodec.training.hyperprior import SCALE_MAX, SCALE_MIN, CodecModel

__all__ = ["START_SCALE", "check_start", "set_gains", "set_statistics", "set_weights"]

START_SCALE = 0.42  # deviation of latents, in quantizer steps, of which a latent takes about one bit
START_QUALITY = 4
PRIOR_STEPS, PRIOR_LR = 400, 2e-2  # of the factorized prior alone


@torch.no_grad()
def set_statistics(model: CodecModel, features: Tensor) -> None:
    """Sets the channel statistics of g_a and g_s from features (B, C, h, w) of training pictures."""
    deviation = features.std((0, 2, 3))
    least = max(0.02 * float(deviation.median()), 1e-4)  # channels that hardly move must not be blown up
    for transform in (model.g_a, model.g_s):
        transform.mean.copy_(features.mean((0, 2, 3)))
        transform.deviation.copy_(deviation.clamp(min=least))


@torch.no_grad()
def set_gains(model: CodecModel, features: Tensor) -> None:
    """Sets the gains, and the scale that h_s starts from, so that a latent takes a bit at quality 4.

    Where the first rates are far off, a fit spends its first thousand steps on moving the gains there.

    Args:
        model: fresh, with its channel statistics set.
        features: (B, C, h, w) of training pictures.
    """
    spread = float(model.g_a(features).std())
    wanted = math.log2(START_SCALE / spread)
    model.log_gain.add_(wanted - model.log_gain[START_QUALITY - 1].mean())
    rows = IntegerHyperSynthesis.SCALES - 1
    index = rows * math.log(START_SCALE / SCALE_MIN) / math.log(SCALE_MAX / SCALE_MIN)
    latents = model.widths.latents
    model.h_s.biases[2][:latents] = index / IntegerHyperSynthesis.UNIT_ACTIVATION


def set_weights(model: CodecModel, files: Sequence[CodecFile], features: Tensor) -> None:
    """Sets the weights to those of a finished codec, or to the mean of several.

    Codecs that were fitted on from one another lie in one basin, and their mean lies lower in it than each of
    them (`Wortsman et al. 2022 <https://arxiv.org/abs/2203.05482>`_).

    A codec file keeps of the factorized prior what it says of whole numbers only: the prior is fitted
    afresh, to the side information of some pictures.

    Args:
        model: of the files' widths.
        files: the codecs; one at least.
        features: (B, C, h, w) of training pictures.
    """
    with torch.no_grad():
        weights = [_mean(layers) for layers in zip(*(file.h_s_weights for file in files), strict=True)]
        biases = [_mean(layers) for layers in zip(*(file.h_s_biases for file in files), strict=True)]
        model.h_s.set_integers(weights, biases)
        for name in ("g_a", "g_s", "h_a"):
            states = [getattr(file, name).state_dict() for file in files]
            getattr(model, name).load_state_dict({key: _mean([s[key] for s in states]) for key in states[0]})
        model.log_gain.copy_(_mean([-file.tensors["inverse_gains"].log2() for file in files]))
        y = model.g_a(features)
        z = torch.cat([model.h_a(y * gain[:, None, None]) for gain in model.gains()])
    prior = model.prior_z
    optimizer = torch.optim.Adam([p for p in prior.parameters() if p.requires_grad], lr=PRIOR_LR)
    for _ in range(PRIOR_STEPS):
        optimizer.zero_grad()
        (-prior(z, training=True)[1].log2().mean()).backward()
        optimizer.step()


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).double().mean(0)


@torch.no_grad()
def check_start(model: CodecModel, task: Task, features: Tensor, labels: Any) -> None:
    """Tries the objective on features (B, C, h, w), before anything is trained.

    Raises:
        FitError: rate or distortion is not finite.
    """
    coded = model(features, torch.full((len(features),), float(START_QUALITY), device=features.device))
    d = task.distortion(coded.f_hat, task.target(features, labels))
    for name, values in (("rate", coded.bits_y + coded.bits_z), ("distortion", d)):
        if not bool(torch.isfinite(values).all()):
            raise FitError(f"the {name} is not finite before the first step: got {values.tolist()}")
