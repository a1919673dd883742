"""What the task weighs against the bits at each quality: lambda."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from featcodec.plf.header import QUALITIES

__all__ = ["QualityWeights", "step_width"]


@dataclass(frozen=True, slots=True)
class QualityWeights:
    """lambda over the qualities 1 to 8: low · (high / low)^(x^bend), x from 0 to 1.

    With a bend of 1 it is geometric, and accuracy hardly moves above the third quality. Above 1, the low
    qualities lie closer together and the high ones further apart, so that each step is worth its bytes. Where
    the steps are, the fit trains: it draws qualities uniformly.

    Attributes:
        low: lambda at quality 1, above 0.
        high: lambda at quality 8, at least `low`.
        bend: above 0.

    Example:
        >>> QualityWeights(0.5, 32.0, bend=1.0).at(torch.tensor([1.0, 4.5, 8.0]))
        tensor([ 0.5000,  4.0000, 32.0000])
        >>> QualityWeights(0.5, 32.0, bend=2.0).at(torch.tensor([1.0, 4.5, 8.0])).log2()
        tensor([-1.0000,  0.5000,  5.0000])
    """

    low: float
    high: float
    bend: float = 1.0

    def at(self, quality: Tensor) -> Tensor:
        """lambda at qualities (B,) in [1, 8]."""
        x = (quality - 1) / (len(QUALITIES) - 1)
        return self.low * (self.high / self.low) ** x.clamp(0, 1) ** self.bend

    def balance(self, quality: Tensor, power: float) -> Tensor:
        """What rate and task of qualities (B,) are multiplied by: lambda^-power, 1 at lambda's middle.

        Without it the sum over qualities is ruled by the largest lambda, and the low qualities hardly train.
        """
        return (self.at(quality) / math.sqrt(self.low * self.high)) ** -power

    def gains(self) -> Tensor:
        """(8,) log2 of what latents in the task's metric are multiplied by before they are rounded."""
        weights = self.at(torch.tensor(QUALITIES, dtype=torch.float64)).tolist()
        return torch.tensor([-math.log2(step_width(weight)) for weight in weights])


def step_width(weight: float) -> float:
    """The step of uniform quantization at which bits per pixel + `weight` x D is least, at high rates.

    D is step^2 / 12 a latent, over the pixels, and each halving of the step takes a bit.

    Example:
        >>> step, weight = step_width(10.0), 10.0
        >>> cost = [weight * s * s / 12 - math.log2(s) for s in (0.99 * step, step, 1.01 * step)]
        >>> cost[1] < cost[0] and cost[1] < cost[2]
        True
    """
    return math.sqrt(6 / (math.log(2) * weight))
