"""The best linear attacker, computed instead of trained: an adversary that the codec cannot outrun.

An adversary that is stepped in alternation lags behind the codec, which can win by moving on rather than by
hiding anything. A linear attacker has a closed form: ridge regression from the 3x3 latents around a place
to the picture there, from moments of the last few dozen steps. What it explains of the picture is mostly
brightness and colour of whole regions, of which the squared error of any attacker is made.

Source: closed-form adversaries after Sadeghi et al. 2019, "On the global optima of kernelized adversarial
representation learning" (arXiv:1910.07423), section 3; there a global solution, here a term of the loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from featcodec.training.invnet import mean_colours
from featcodec.training.regression import ridge_weights

__all__ = ["Ridge"]

DETAIL = 4  # values across and down that a latent's place in the picture is averaged to
MEMORY = 0.95  # share of the moments that stays at each step: about 20 steps
RIDGE = 1e-3  # of the mean variance of the regressors


class Ridge:
    """Ridge regression from decoded latents to pictures, kept up to date.

    Args:
        latents: channels M.
        stride: pixels that a latent stands for, 2 at least.
        where: the device.
    """

    def __init__(self, latents: int, stride: int, where: torch.device | str = "cpu"):
        self.detail = min(DETAIL, stride // 2)  # pictures come at half their resolution
        self.pool = stride // 2 // self.detail
        regressors, targets = 9 * latents + 1, 3 * self.detail**2
        self.inner = torch.zeros(regressors, regressors, device=where)
        self.outer = torch.zeros(regressors, targets, device=where)
        self.square = torch.zeros((), device=where)
        self.weight = torch.zeros((), device=where)  # of all steps together, which bias is divided by

    def explained(self, y_hat: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Takes in a step, and says what share of each picture's variance is explained.

        Nothing is left to hide where it is no more than what the picture's mean colour explains.

        Args:
            y_hat: (B, M, h, w) decoded latents, through which the gradient goes.
            picture: (B, 3, H, W) at half its resolution.

        Returns:
            (B,) from 0 to 1, and (B,) of the picture's mean colour.
        """
        x, t = self._regressors(y_hat.float()), self._targets(picture)  # (B, P, R), (B, P, T)
        with torch.no_grad():
            self._take_in(x.flatten(0, 1), t.flatten(0, 1))
            mean = self.outer[-1] / self.weight  # the last regressor is 1
            variance = (self.square - self.weight * mean.square().sum()) / self.weight
            attacker = ridge_weights(self.inner, self.outer, RIDGE)
        flat = mean_colours(picture) - picture
        errors = (x @ attacker - t).square().sum(2).mean(1), self._targets(flat).square().sum(2).mean(1)
        own, colour = ((1 - error / variance.clamp(min=1e-8)).clamp(min=0) for error in errors)
        return own, colour

    def _regressors(self, y_hat: Tensor) -> Tensor:
        around = F.unfold(y_hat, 3, padding=1).transpose(1, 2)
        return torch.cat((around, around.new_ones(*around.shape[:2], 1)), 2)

    def _targets(self, picture: Tensor) -> Tensor:
        small = F.avg_pool2d(picture, self.pool) if self.pool > 1 else picture
        return F.pixel_unshuffle(small, self.detail).flatten(2).transpose(1, 2)

    def _take_in(self, x: Tensor, t: Tensor) -> None:
        count = len(x)
        new = x.T @ x / count, x.T @ t / count, t.square().sum() / count, torch.ones_like(self.weight)
        for kept, step in zip((self.inner, self.outer, self.square, self.weight), new, strict=True):
            kept.lerp_(step, 1 - MEMORY)

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"inner": self.inner, "outer": self.outer, "square": self.square, "weight": self.weight}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        """As `state_dict` gave it."""
        for name, value in self.state_dict().items():
            value.copy_(kept[name])
