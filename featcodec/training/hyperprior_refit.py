"""The hyperprior alone, trained for rate on latents that stay as they are: fewer bytes for the same ŷ.

      y ─·gain(q)─▶ y_g ─h_a─▶ z ─round─▶ ẑ ─h_s─▶ (index, mean)        loss: log(bits of y + bits of z)

In a fit h_a and h_s move slowly, with gradients that mostly serve the task. Here nothing else moves, and a
step costs a fraction of one of the fit, since neither the network nor g_a and g_s are run. The logarithm
lets every quality count by the share of its bytes that is saved.

Scales learn from the symbols as they are coded: noise in the place of rounding (`CodecModel.code`) overstates
what narrow scales cost, and low qualities have hardly any others. Rounded symbols have no gradient for
the means; those learn from noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from featcodec.console import Progress
from featcodec.plf.header import QUALITIES
from featcodec.training.hyperprior import TAIL_MASS, CodecModel, interpolate_gain, scale_of
from featcodec.training.optimizer import learning_rate

__all__ = ["refit_hyperprior"]

LR = 1e-3
BATCH = 8


def refit_hyperprior(model: CodecModel, latents: Sequence[Tensor], *, steps: int, seed: int = 0) -> None:
    """Trains h_a, h_s and the prior of z of a fitted model; transforms and gains stay as they are.

    Args:
        model: whose h_a and h_s work already, on the CPU or on another device.
        latents: (M, h, w) of training pictures, of any type and shapes: what the model's g_a gives.
        steps: of the optimizer, with 8 pictures each.
        seed: of the choice of pictures and qualities.
    """
    trained = [*model.h_a.parameters(), *model.h_s.parameters(), *model.prior_z.parameters()]
    trained = [p for p in trained if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR, betas=(0.9, 0.99), weight_decay=0.0)
    where = model.log_gain.device
    with torch.random.fork_rng([where] if where.type == "cuda" else []), Progress(steps) as progress:
        torch.manual_seed(seed)
        for step, y in zip(range(steps), _batches(latents), strict=False):
            quality = 1 + (len(QUALITIES) - 1) * torch.rand(len(y))
            bits = _bits(model, y.to(where).float(), quality.to(where))
            loss = bits.log().mean()
            optimizer.param_groups[0]["lr"] = learning_rate((step + 1) / steps, LR)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            progress.show(step, "steps of the hyperprior")


def _batches(latents: Sequence[Tensor]) -> Iterator[Tensor]:
    """(B, M, h, w) without end, B up to 8: a picture drawn by chance, and others of its shape."""
    alike: dict[torch.Size, list[int]] = {}
    for i, y in enumerate(latents):
        alike.setdefault(y.shape, []).append(i)
    while True:
        group = alike[latents[int(torch.randint(len(latents), ()))].shape]
        yield torch.stack([latents[group[i]] for i in torch.randperm(len(group))[:BATCH].tolist()])


def _bits(model: CodecModel, y: Tensor, quality: Tensor) -> Tensor:
    """(B,) bits of latents (B, M, h, w), whose gradients reach scales, means and side information."""
    y_g = y / interpolate_gain(model.inverse_gains().detach(), quality)[:, :, None, None]
    z = model.h_a(y_g)
    z_hat = z + (torch.round(z) - z).detach()
    _, p_z = model.prior_z(z, training=True)
    params = model.h_s(z_hat, *y.shape[-2:])
    scale = scale_of(params.index)
    _, noisy = model.prior_y(y_g, scale.detach(), means=params.mean, training=True)
    away = torch.round(y_g - params.mean).detach().abs()
    coded = torch.special.ndtr((0.5 - away) / scale) - torch.special.ndtr((-0.5 - away) / scale)
    for_means, bits_y, bits_z = (
        -p.clamp(min=TAIL_MASS).log2().flatten(1).sum(1) for p in (noisy, coded, p_z)
    )
    bits: Tensor = bits_y + bits_z + for_means - for_means.detach()
    return bits
