"""The white-box attack: no training, but the public weights and the gradient through them.

The picture itself is optimised until head and g_a make of it what was observed:

    min over x   mean ((g_a(head(x)) - ŷ) / gain)²  +  tv · TV(x)  +  near · mean (x - x₀)²

x₀ is where the search starts, the picture of the best network attacker. Differences of latents count in units
of their quantization step, in which a perfect picture leaves an error of about 1/12. TV is the mean absolute
difference of neighbouring pixels.

Source: Mahendran and Vedaldi 2015 (arXiv:1412.0035), eq. 1 and section 3: inversion of a representation by
optimisation with a total-variation prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from featcodec.attacks.attacker import LearningCurve
from featcodec.attacks.observations import Observations, Seen
from featcodec.attacks.targets import CodecTarget, RawTarget, Target, window
from featcodec.errors import InputError
from featcodec.evaluation.kept import key
from featcodec.evaluation.results import Origin
from featcodec.pictures.loading import GREY
from featcodec.plf.header import quality_to_step

__all__ = ["SEARCH_VERSION", "Search", "WhiteBox", "search", "white_box"]

SEARCH_VERSION = 1  # raise it when the same observation, start and options give another picture


@dataclass(frozen=True, slots=True)
class Search:
    """How the picture is searched for.

    Attributes:
        steps: of Adam, the budget.
        lr: of pixels in [0, 1]; a cosine takes it to a hundredth.
        tv: weight of the total variation.
        near: weight of the distance to the start.
        pictures: how many photographs are attacked at each point: the first of those evaluated.
    """

    steps: int = 200
    lr: float = 0.03
    tv: float = 3.0
    near: float = 10.0
    pictures: int = 16


def white_box(*, steps: int | None, seed: int) -> WhiteBox:  # noqa: ARG001
    """The search of its own length: it draws nothing at random, and `steps` are of trainings."""
    return WhiteBox()


@dataclass(frozen=True, slots=True)
class WhiteBox:
    """The search as a `featcodec.attacks.attacker.Attacker`, and as its `Rebuilder`: it learns nothing.

    Attributes:
        options: budget and weights.
        target: what is attacked, once that is known.
    """

    options: Search = Search()
    target: Target | None = None
    name: str = "white-box"
    follows: bool = True
    curves: tuple[LearningCurve, ...] = ()
    origins: tuple[Origin, ...] = ()

    @property
    def pictures(self) -> int:
        return self.options.pictures

    @property
    def budget(self) -> int:
        return self.options.steps

    @property
    def identity(self) -> str:
        return key({"search": SEARCH_VERSION}, options=self.options)

    def fits(self, target: Target, seen: Observations) -> bool:  # noqa: ARG002
        """Whether there is a gradient from what is observed to the picture."""
        return isinstance(target, CodecTarget | RawTarget)

    def prepare(self, target: Target, seen: Observations, *, work: Path) -> WhiteBox:  # noqa: ARG002
        return replace(self, target=target)

    def within(self, minutes: float, seen: Observations, *, kept: Path) -> tuple[WhiteBox, str]:  # noqa: ARG002
        return self, ""

    def rebuild(self, seen: Seen, start: Tensor | None) -> Tensor:
        if self.target is None:
            raise InputError("white-box: got no target, expected one by prepare()")
        grey = torch.full(seen.picture.shape, GREY / 255)
        return search(self.target, seen, grey if start is None else start, self.options)


def search(target: Target, seen: Seen, start: Tensor, options: Search) -> Tensor:
    """The picture (3, H, W) in [0, 1] that explains an observation best.

    Args:
        target: what the photograph crossed: a codec, or the cut alone.
        seen: the observation.
        start: (3, H, W) in [0, 1].
        options: budget and weights.

    Raises:
        InputError: a target without a gradient.
    """
    observe = _differentiable(target, seen)
    observed = observe(None)
    here = (..., *window(seen.geometry)[1:])
    canvas = torch.full_like(start, GREY / 255)[None]  # the borders are known
    first = start[here].clamp(0, 1)[None].contiguous()
    x = first.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=options.lr, betas=(0.9, 0.99))
    for step in range(options.steps):
        whole = canvas.clone()
        whole[here] = x
        loss = (observe(whole) - observed).square().mean()
        loss = loss + options.tv * _total_variation(x) + options.near * (x - first).square().mean()
        (x.grad,) = torch.autograd.grad(loss, [x])
        for group in optimizer.param_groups:
            group["lr"] = options.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / options.steps)))
        optimizer.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    canvas[here] = x.detach()
    return canvas[0]


def _differentiable(target: Target, seen: Seen) -> Callable[[Tensor | None], Tensor]:
    """Canvas (1, 3, H, W) to what is compared; without a canvas, what was observed in the same units."""
    observed = seen.tensor.float()
    if isinstance(target, CodecTarget):
        file = target.codec.file
        unit = file.inverse_gain(quality_to_step(seen.point))[:, None, None]
        head = target.network.head
        return lambda x: (observed if x is None else file.g_a(head(x)[0])[0]) / unit
    if isinstance(target, RawTarget):
        unit = observed.std((1, 2), keepdim=True).clamp(min=1e-3)
        head = target.network.head
        return lambda x: (observed if x is None else head(x)[0][0]) / unit
    raise InputError(f"white-box: got target {target.name!r}, expected a codec or the features themselves")


def _total_variation(x: Tensor) -> Tensor:
    return x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean()
