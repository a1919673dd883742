"""Fitting a codec: one loop, from pictures to a fitted model."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from featcodec.attacks.invnet import InvNet, halve, mean_colour_loss, reconstruction_loss
from featcodec.backbones.split import Split
from featcodec.errors import FitError
from featcodec.fit.losses import QUALITY_WEIGHTS, Target, distortion, quality_weight, target_of
from featcodec.hyperprior import QUALITIES, CodecModel, Coded

__all__ = ["Options", "Run", "fit_codec"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a codec is fitted.

    Attributes:
        steps: optimizer steps of the codec.
        lr: peak learning rate of the codec; a cosine takes it to 1 % of itself.
        quality_weights: lambda at quality 1 and 8.
        feature_weight: share of the features' own error in the distortion.
        privacy: weight of the adversary's failure; 0 fits without adversary.
        beta: weight of the edges in the adversary's loss.
        adversary_lr: the adversary's learning rate, constant.
        adversary_head_start: steps that the adversary trains alone before the codec moves.
        adversary_steps: steps of the adversary for each step of the codec.
        seed: of qualities and noise.
    """

    steps: int
    lr: float = 1e-3
    quality_weights: tuple[float, float] = QUALITY_WEIGHTS
    feature_weight: float = 0.1
    privacy: float = 0.0
    beta: float = 5.0
    adversary_lr: float = 1e-3
    adversary_head_start: int = 200
    adversary_steps: int = 1
    seed: int = 1


class Run:
    """A fit under way: models, optimizers and where it stands; all that a checkpoint holds."""

    def __init__(self, model: CodecModel, options: Options):
        self.model, self.options = model, options
        latents = model.widths.latents
        self.adversary = InvNet(latents).to(model.log_gain.device) if options.privacy > 0 else None
        self.optimizer = torch.optim.AdamW(_groups(model), lr=options.lr, betas=(0.9, 0.99))
        hostile = self.adversary.parameters() if self.adversary else [nn.Parameter(torch.zeros(1))]
        self.hostile = torch.optim.AdamW(hostile, lr=options.adversary_lr, weight_decay=0.0)
        self.step = -options.adversary_head_start if self.adversary else 0

    def state(self) -> dict[str, object]:
        parts: dict[str, object] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        parts |= {"hostile": self.hostile.state_dict(), "step": self.step, "random": torch.get_rng_state()}
        return parts | ({"adversary": self.adversary.state_dict()} if self.adversary else {})

    def save(self, path: Path) -> None:
        """Writes a checkpoint whole or not at all."""
        torch.save(self.state(), path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def resume(self, path: Path) -> None:
        """Continues from a checkpoint, if there is one."""
        if path.exists():
            kept = torch.load(path, weights_only=True)
            self.model.load_state_dict(kept["model"])
            self.optimizer.load_state_dict(kept["optimizer"])
            self.hostile.load_state_dict(kept["hostile"])
            if self.adversary:
                self.adversary.load_state_dict(kept["adversary"])
            self.step = kept["step"]
            torch.set_rng_state(kept["random"])


def _groups(model: CodecModel) -> list[dict[str, object]]:
    gains = [model.log_gain]
    rest = [p for n, p in model.named_parameters() if p.requires_grad and n != "log_gain"]
    return [{"params": rest, "weight_decay": 1e-4}, {"params": gains, "weight_decay": 0.0}]


def fit_codec(
    network: Split,
    model: CodecModel,
    pictures: Iterable[Tensor],
    options: Options,
    *,
    checkpoint: Path,
    log: Callable[[str], None] = print,
    save_every: float = 180.0,
) -> CodecModel:
    """Fits `model` to a frozen network.

    Args:
        network: frozen, in evaluation mode; one tensor crosses its cut.
        model: the codec, fresh or from an earlier fit, on the network's device.
        pictures: batches (B, 3, H, W) uint8 RGB, H and W multiples of 64; the fit ends with them or with
            ``options.steps``, whichever is first.
        checkpoint: where the state goes, and where an interrupted fit continues from.
        log: takes a JSON line every 50 steps.
        save_every: seconds between checkpoints.

    Raises:
        FitError: the loss stopped being finite; the last checkpoint is kept.
    """
    torch.manual_seed(options.seed)
    run = Run(model, options)
    run.resume(checkpoint)
    recent: list[Tensor] = []
    began = saved = time.monotonic()
    for images in pictures:
        if run.step >= options.steps:
            break
        recent.append(_step(run, network, images))
        if len(recent) == 50:
            if not torch.isfinite(recent[-1]).all():
                raise FitError(
                    f"step {run.step}: the loss is not finite; the last checkpoint is {checkpoint}"
                )
            speed = 50 * len(images) / (time.monotonic() - began)
            log(_report(run.step, speed, torch.stack(recent).mean(0)))
            recent, began = [], time.monotonic()
        if time.monotonic() - saved > save_every:
            run.save(checkpoint)
            saved = time.monotonic()
    run.save(checkpoint)
    return model.eval()


NAMES = ("bpp_y", "bpp_z", "distortion", "rebuilt", "bound")


def _report(step: int, speed: float, values: Tensor) -> str:
    line = {"step": step, "pictures_s": round(speed, 1)}
    return json.dumps(line | {n: round(float(v), 4) for n, v in zip(NAMES, values, strict=True)})


def _step(run: Run, network: Split, images: Tensor) -> Tensor:
    """One step of the adversary(ies) and one of the codec; returns the five figures of the log."""
    o = run.options
    where = run.model.log_gain.device
    x = (images.to(where).float() / 255).contiguous(memory_format=torch.channels_last)
    quality = (1 + (QUALITIES - 1) * torch.rand(len(x))).to(where)
    device = where.type
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        f = network.head(x)[0]
    with torch.autocast(device, torch.bfloat16):
        coded = run.model(f, quality)
    small = halve(x)
    for _ in range(o.adversary_steps if run.adversary else 0):
        _adversary_step(run, coded.y_hat.detach(), small)
    if run.step < 0:
        run.step += 1
        return torch.zeros(len(NAMES))
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        target = target_of(network, f)
    return _codec_step(run, network, coded, target, small, quality)


def _adversary_step(run: Run, y_hat: Tensor, picture: Tensor) -> None:
    assert run.adversary is not None
    with torch.autocast(picture.device.type, torch.bfloat16):
        rebuilt = run.adversary(y_hat)
    loss = reconstruction_loss(rebuilt.float(), picture, run.options.beta).mean()
    run.hostile.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.adversary.parameters(), 1.0)
    run.hostile.step()


def _codec_step(
    run: Run, network: Split, coded: Coded, target: Target, picture: Tensor, quality: Tensor
) -> Tensor:
    o = run.options
    pixels = picture[0, 0].numel() * 4
    with torch.autocast(picture.device.type, torch.bfloat16):
        d = distortion(network, coded.f_hat, target, o.feature_weight)
        rebuilt = run.adversary(coded.y_hat) if run.adversary else None
    rate = (coded.bits_y + coded.bits_z) / pixels
    loss = rate + quality_weight(quality, o.quality_weights) * d
    hidden = bound = torch.zeros_like(rate)
    if rebuilt is not None:
        hidden, bound = (
            reconstruction_loss(rebuilt.float(), picture, o.beta),
            mean_colour_loss(picture, o.beta),
        )
        loss = loss + o.privacy * (bound - hidden).clamp(min=0)
    lr = (
        o.lr
        * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * run.step / o.steps)))
        * min(1, (run.step + 1) / 100)
    )
    for group in run.optimizer.param_groups:
        group["lr"] = lr
    run.optimizer.zero_grad(set_to_none=True)
    loss.mean().backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    if torch.isfinite(norm):  # one bad batch must not end a long run; a run of them does, in fit_codec
        run.optimizer.step()
    run.step += 1
    figures = (
        coded.bits_y.mean() / pixels,
        coded.bits_z.mean() / pixels,
        d.mean(),
        hidden.mean(),
        bound.mean(),
    )
    return torch.stack([v.detach().float() for v in figures])
