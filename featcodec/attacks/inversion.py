"""The inversion attack: a network trained from scratch to rebuild pictures from a codec's decoded latents.

The thief is assumed to have the file, the codec and as many photographs of the same kind as were used to
fit it: he encodes them, so that he has pairs of latents and pictures, and trains on those. What is
reported comes from pictures that neither the codec nor the attacker has seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.attacks.invnet import InvNet, halve
from featcodec.codec import FeatureCodec
from featcodec.errors import InputError
from featcodec.geometry import Geometry
from featcodec.images import load_image

__all__ = ["Attack", "Pair", "collect", "measure", "rebuild", "train"]

CROP = 12  # latents along the side of a training crop: 192 px


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture and what the file of it gives away.

    Attributes:
        latents: (M, h, w) float16, decoded.
        picture: (3, 8h, 8w) uint8, the canvas at half resolution.
        geometry: where the picture lies on the canvas.
        path: the photograph.
    """

    latents: Tensor
    picture: Tensor
    geometry: Geometry
    path: Path


@dataclass(frozen=True, slots=True)
class Attack:
    """What an attack reached.

    Attributes:
        psnr: mean over the pictures, dB, of pixels in [0, 1] at the canvas's full resolution.
        blind: the same for an attacker that paints every picture in its true mean colour.
    """

    psnr: float
    blind: float


def collect(codec: FeatureCodec, paths: Sequence[Path], *, quality: float) -> list[Pair]:
    """Encodes and decodes photographs as a thief with the codec would."""
    pairs = []
    for path in paths:
        latents, geometry = codec.decode_latents(codec.encode(path, quality=quality))
        x, _ = load_image(path, size=codec.file.config.size, stride=codec.file.config.stride)
        small = (halve(x)[0] * 255).round().to(torch.uint8)
        pairs.append(Pair(latents[0].half(), small, geometry, path))
    return pairs


def train(
    pairs: Sequence[Pair],
    *,
    steps: int,
    batch: int = 16,
    lr: float = 2e-3,
    seed: int = 1,
    log: Callable[[str], None] = print,
) -> InvNet:
    """Trains an InvNet from scratch to the least squared error, which is the greatest PSNR.

    Raises:
        InputError: no picture is as large as a training crop.
    """
    large = [p for p in pairs if min(p.latents.shape[1:]) >= CROP]
    if not large:
        raise InputError(
            f"attack: got {len(pairs)} pictures, expected some of at least {CROP * 16} x {CROP * 16} px"
        )
    torch.manual_seed(seed)
    net = InvNet(large[0].latents.shape[0]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1, pct_start=0.1)
    total, began = 0.0, time.monotonic()
    for step in range(1, steps + 1):
        latents, pictures = _crops(large, batch)
        with torch.autocast("cpu", torch.bfloat16):
            rebuilt = net(latents)
        loss = F.mse_loss(rebuilt.float(), pictures)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % 100 == 0:
            mse, total = total / 100, 0.0
            log(json.dumps({"step": step, "mse": round(mse, 5), "seconds": round(time.monotonic() - began)}))
    return net.eval()


def _crops(pairs: Sequence[Pair], batch: int) -> tuple[Tensor, Tensor]:
    """A batch of random crops,: latents (B, M, 12, 12) and pictures (B, 3, 96, 96)."""
    latents, pictures = [], []
    for i in torch.randint(len(pairs), (batch,)).tolist():
        _, h, w = pairs[i].latents.shape
        r, c = (int(torch.randint(n - CROP + 1, (1,))) for n in (h, w))
        latents.append(pairs[i].latents[:, r : r + CROP, c : c + CROP].float())
        picture = pairs[i].picture[:, 8 * r : 8 * (r + CROP), 8 * c : 8 * (c + CROP)]
        pictures.append(picture.float() / 255)
    return torch.stack(latents), torch.stack(pictures)


@torch.no_grad()
def rebuild(net: InvNet, pair: Pair) -> Tensor:
    """The attacker's picture at the canvas's full resolution: (3, H, W) in [0, 1]."""
    half = net(pair.latents[None].float())
    whole = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
    return whole[0].clamp(0, 1)


def measure(net: InvNet, codec: FeatureCodec, pairs: Sequence[Pair]) -> Attack:
    """Mean PSNR over `pairs`, inside the photographs (the grey borders of the canvas do not count)."""
    reached, blind = [], []
    for pair in pairs:
        x, g = load_image(pair.path, size=codec.file.config.size, stride=codec.file.config.stride)
        window = (slice(None), slice(g.top, g.top + g.scaled_height), slice(g.left, g.left + g.scaled_width))
        truth = x[0][window]
        reached.append(_psnr(rebuild(net, pair)[window], truth))
        blind.append(_psnr(truth.mean((1, 2), keepdim=True).expand_as(truth), truth))
    return Attack(sum(reached) / len(reached), sum(blind) / len(blind))


def _psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean().clamp(min=1e-10)))
