"""The optimizer of every training here, its learning rate, and the average of the weights that it finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from featcodec.errors import MissingExtraError

__all__ = ["Optimizer", "follow", "learning_rate"]


class Optimizer:
    """Muon for the inner convolutions, as matrices of one row an output channel; AdamW for all else.

    Args:
        inner: convolution weights (O, I, k, k) in channels-last order; none of them for AdamW alone.
        outer: everything else, the first and the last layer among it.
        lr: peak learning rate of both; Muon's steps are scaled to the size of AdamW's.
        gains: parameters on a logarithmic scale, which go `GAIN_RATE` times as fast.
        slow: parameters that start where they should be, which go `SLOW_RATE` times as fast.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the scale from
    Liu et al. 2025 (arXiv:2502.16982), section 2.2.

    Raises:
        MissingExtraError: this torch is older than 2.9 and has no Muon.
    """

    GAIN_RATE = 5.0
    SLOW_RATE = 0.1

    def __init__(
        self,
        inner: list[nn.Parameter],
        outer: list[nn.Parameter],
        lr: float,
        *,
        gains: Sequence[nn.Parameter] = (),
        slow: Sequence[nn.Parameter] = (),
    ):
        if inner and not hasattr(torch.optim, "Muon"):
            raise MissingExtraError(
                f"torch {torch.__version__} has no Muon, expected 2.9: pip install 'featcodec[bench]'"
            )
        self.inner = [(p, nn.Parameter(_matrix(p.detach()))) for p in inner]
        for p, m in self.inner:
            if p.data_ptr() != m.data_ptr():
                raise ValueError(f"weights {tuple(p.shape)} are not in channels-last order")
        matrices = [m for _, m in self.inner]
        self.muon = (
            torch.optim.Muon(matrices, lr=lr, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
            if inner
            else None
        )
        groups = [
            {"params": [p for p in outer if p.ndim > 1], "weight_decay": 0.02},
            {"params": [p for p in outer if p.ndim <= 1], "weight_decay": 0.0},
            {"params": list(gains), "weight_decay": 0.0, "rate": self.GAIN_RATE},
            {"params": list(slow), "weight_decay": 0.0, "rate": self.SLOW_RATE},
        ]
        self.adamw = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=(0.9, 0.99))

    @classmethod
    def of(cls, network: nn.Module, lr: float, *, muon: bool = True) -> Optimizer:
        """Muon, if wanted, for all convolutions, those at both ends included; AdamW for the rest."""
        inner = [p for p in network.parameters() if p.ndim == 4 and muon]
        inside = {id(p) for p in inner}
        return cls(inner, [p for p in network.parameters() if id(p) not in inside], lr)

    def set_rate(self, lr: float) -> None:
        for group in (self.muon.param_groups if self.muon else []) + self.adamw.param_groups:
            group["lr"] = lr * group.get("rate", 1.0)

    def step(self) -> None:
        for p, m in self.inner:
            m.grad = None if p.grad is None else _matrix(p.grad)
        if self.muon:
            self.muon.step()
        self.adamw.step()

    def zero_grad(self) -> None:
        for p, _ in self.inner:
            p.grad = None
        self.adamw.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        muon = {"muon": self.muon.state_dict()} if self.muon else {}
        return {**muon, "adamw": self.adamw.state_dict()}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        if self.muon:
            self.muon.load_state_dict(kept["muon"])
        self.adamw.load_state_dict(kept["adamw"])


def _matrix(weight: Tensor) -> Tensor:
    """(O, I, k, k) to (O, k * k * I): a view, of a weight in channels-last order."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def learning_rate(progress: float, peak: float) -> float:
    """Linear warm-up over 2 %, then a cosine to 2 % of the peak; progress in [0, 1]."""
    if progress < 0.02:
        return peak * (progress / 0.02)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - 0.02) / 0.98)))


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Exponential moving average of weights and batch statistics."""
    now = net.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(now[name], 1 - decay)
        else:
            value.copy_(now[name])
