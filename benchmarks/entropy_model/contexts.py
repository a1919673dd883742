"""Small context networks that refine what the hyper-synthesis says, step by step of what is decoded already.

A picture's latents are decoded in steps: a group of channels, or of a group one colour of a checkerboard.
Each step has a network of its own:

    symbols decoded so far ─3x3─┐
    index, mean of the step ─1x1┴─ + ─ReLU─1x1─ReLU─1x1─▶ what is added to index and mean

Source: groups of channels: Minnen and Singh 2020 (arXiv:2007.08739); the checkerboard: He et al. 2021
(arXiv:2103.15306); both, in groups of unequal sizes: He et al. 2022 (arXiv:2203.10886).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from symbols import CodedPicture
from torch import Tensor, nn

from featcodec.training.hyperprior import TAIL_MASS, scale_of
from featcodec.training.optimizer import learning_rate

__all__ = ["Contexts", "bits_of_pictures", "fit", "stacked"]

BATCH = 8
LOUDEST = 8.0  # context symbols are cut off here


@dataclass(frozen=True, slots=True)
class Step:
    """Channels first .. last - 1; all positions (parity None) or one colour of the checkerboard (0, 1)."""

    first: int
    last: int
    parity: int | None


def steps_of(groups: Sequence[int], checkerboard: bool) -> list[Step]:
    ends = [sum(groups[: i + 1]) for i in range(len(groups))]
    return [
        Step(end - size, end, parity)
        for size, end in zip(groups, ends, strict=True)
        for parity in ((0, 1) if checkerboard else (None,))
    ]


def _colour(like: Tensor, parity: int | None) -> Tensor:
    """(h, w) of 1 where a step decodes, else 0."""
    h, w = like.shape[-2:]
    if parity is None:
        return like.new_ones(h, w)
    return ((torch.arange(h)[:, None] + torch.arange(w)) % 2 == parity).to(like.dtype)


class StepNetwork(nn.Module):
    """Refines one step.

    Args:
        visible: channels that the context has, of which the last `own` are the step's own other colour.
        own: channels that are decoded.
        width: hidden channels.
    """

    def __init__(self, visible: int, own: int, width: int):
        super().__init__()
        # symbols and their magnitudes
        self.context = nn.Conv2d(2 * visible, width, 3, padding=1, bias=False) if visible else None
        self.side = nn.Conv2d(2 * own, width, 1)
        self.middle = nn.Conv2d(width, width, 1)
        self.out = nn.Conv2d(width, 2 * own, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, context: Tensor, side: Tensor) -> Tensor:
        x = self.side(side)
        if self.context is not None:
            x = x + self.context(context)
        out: Tensor = self.out(F.relu(self.middle(F.relu(x))))
        return out

    def macs(self) -> int:
        """Multiplications a position; of a colour, a position in two needs them."""
        return sum(m.weight.numel() for m in self.modules() if isinstance(m, nn.Conv2d))


class Contexts(nn.Module):
    """All steps. `groups` are numbers of channels; one group without checkerboard has no context at all."""

    def __init__(self, groups: Sequence[int], *, checkerboard: bool, width: int):
        super().__init__()
        self.steps = steps_of(groups, checkerboard)
        self.networks = nn.ModuleList(
            StepNetwork(s.last if s.parity == 1 else s.first, s.last - s.first, width) for s in self.steps
        )

    def forward(self, y: Tensor, index: Tensor, mean: Tensor) -> Tensor:
        """Bits (B, M, h, w) of symbols y, with their table rows and means, all (B, M, h, w) floats."""
        whole = torch.zeros_like(y)
        for step, rows, shift in self.refined(y, index, mean):
            own = slice(step.first, step.last)
            scale = scale_of((index[:, own] + rows).clamp(0, 63))
            bits = symbol_bits(y[:, own], shift * scale, scale) * _colour(y, step.parity)
            whole[:, own] = whole[:, own] + bits
        return whole

    def refined(self, y: Tensor, index: Tensor, mean: Tensor) -> Iterator[tuple[Step, Tensor, Tensor]]:
        """Of each step what is added to table rows, and to means in deviations; everywhere, also between."""
        seen = y.clamp(-LOUDEST, LOUDEST)
        for step, network in zip(self.steps, self.networks, strict=True):
            own = slice(step.first, step.last)
            context = seen[:, : step.first]
            if step.parity == 1:
                context = torch.cat((context, seen[:, own] * _colour(y, 0)), 1)
            side = torch.cat((index[:, own] / 16, mean[:, own].clamp(-LOUDEST, LOUDEST)), 1)
            rows, shift = network(torch.cat((context, context.abs()), 1), side).chunk(2, 1)
            yield step, 16 * rows, shift

    def macs(self) -> float:
        """Multiplications a position of the latents."""
        return sum(
            n.macs() * (1 if s.parity is None else 0.5)
            for s, n in zip(self.steps, self.networks, strict=True)
        )


def symbol_bits(y: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Of whole numbers y under discretized normal distributions with the escape's floor."""
    away = (y - mean).abs()
    p = torch.special.ndtr((0.5 - away) / scale) - torch.special.ndtr((-0.5 - away) / scale)
    return -torch.log2(p.clamp(min=TAIL_MASS))


Batch = tuple[Tensor, Tensor, Tensor]


def stacked(pictures: Sequence[CodedPicture]) -> Batch:
    y, index, mean = (
        torch.stack([torch.from_numpy(getattr(p, name)) for p in pictures]).float()
        for name in ("y", "index", "mean")
    )
    return y, index, mean / 16


def _batches(pictures: Sequence[CodedPicture], seed: int) -> Iterator[list[int]]:
    """Positions of pictures of one shape, for ever."""
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, p in enumerate(pictures):
        shapes.setdefault(p.y.shape, []).append(i)
    groups = list(shapes.values())
    often = torch.tensor([len(g) for g in groups], dtype=torch.float)
    while True:
        group = groups[int(torch.multinomial(often, 1, generator=generator))]
        chosen = torch.randperm(len(group), generator=generator)[:BATCH]
        yield [group[int(k)] for k in chosen]


def fit(
    contexts: Contexts, pictures: Sequence[CodedPicture], seconds: float, *, lr: float = 2e-3, seed: int = 0
) -> int:
    """Fits to pictures of all qualities, which count by the share of bits saved; gives the steps taken."""
    optimizer = torch.optim.AdamW(contexts.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=1e-2)
    began, taken = time.process_time(), 0
    for chosen in _batches(pictures, seed):
        progress = (time.process_time() - began) / seconds
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, lr)
        batch = stacked([pictures[i] for i in chosen])
        bits = contexts(*batch).flatten(1).sum(1)
        optimizer.zero_grad()
        bits.log().mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(contexts.parameters(), 1.0)
        optimizer.step()
        taken += 1
    return taken


@torch.no_grad()
def bits_of_pictures(contexts: Contexts | None, pictures: Sequence[CodedPicture]) -> float:
    """Mean bits of the latents' symbols; without networks, of the hyper-synthesis alone."""
    total = 0.0
    for picture in pictures:
        y, index, mean = stacked([picture])
        if contexts is None:
            bits = symbol_bits(y, torch.zeros_like(y), scale_of(index))
        else:
            bits = contexts(y, index, mean)
        total += math.fsum(bits.double().flatten().tolist())
    return total / len(pictures)
