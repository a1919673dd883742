"""The thieves that infer in closed form, by ridge and kernel ridge regression: a minute of one core.

How much of the middle they look at, how wide the kernel is and how strong the penalty is what infers the
vectors of people best who are held out.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from featcodec.attacks.inference import INFERENCE_VERSION, Examples, likeness
from featcodec.evaluation.kept import key
from featcodec.training.regression import LEAST_DEVIATION, KernelRidge, kernel, kernel_weights, middle

__all__ = ["RegressionInference", "RegressionInferrer", "kernel_ridge", "ridge"]

SHARES = (0.375, 0.5, 0.625, 1.0)  # of the canvas's sides
LINEAR_LEVELS = (0.3, 1.0, 3.0, 10.0)
GAMMAS = (0.5, 1.0, 2.0)
GAUSSIAN_LEVELS = (0.03, 0.1, 0.3, 1.0)


def ridge(*, seed: int) -> RegressionInferrer:  # noqa: ARG001
    """Linear; in its dual form, as there are fewer portraits than latents."""
    return RegressionInferrer("ridge", (None,), LINEAR_LEVELS)


def kernel_ridge(*, seed: int) -> RegressionInferrer:  # noqa: ARG001
    """With a Gaussian kernel (RBF)."""
    return RegressionInferrer("kernel-ridge", GAMMAS, GAUSSIAN_LEVELS)


@dataclass(frozen=True, slots=True)
class RegressionInference:
    """A regression from the middle of what crossed: a `featcodec.attacks.inference.Inference`."""

    share: float
    regression: KernelRidge
    settings: str

    def __call__(self, seen: Tensor) -> Tensor:
        return self.regression(middle(seen, self.share))


@dataclass(frozen=True, slots=True)
class RegressionInferrer:
    """A regression that chooses for itself: a `featcodec.attacks.inference.Inferrer`.

    Attributes:
        name: as in tables.
        gammas: kernels to choose from, as `featcodec.training.regression.kernel`.
        levels: penalties to choose from.
        shares: of the canvas's sides, to choose from.
    """

    name: str
    gammas: tuple[float | None, ...]
    levels: tuple[float, ...]
    shares: tuple[float, ...] = SHARES

    @property
    def identity(self) -> str:
        return key({"inference": INFERENCE_VERSION}, thief=self)

    def learn(self, examples: Examples) -> RegressionInference:
        learned, held = examples.divided()
        found = [one for share in self.shares for one in self._tried(learned, held, share)]
        reached, share, gamma, level = max(found, key=lambda one: one[0])
        regression = KernelRidge.fit(middle(examples.seen, share), examples.vectors, gamma=gamma, level=level)
        width = "" if gamma is None else f"gamma {gamma:g}, "
        settings = f"middle {share:.1%} of the sides, {width}lambda {level:g}, held out {reached:.3f}"
        return RegressionInference(share, regression, settings)

    def _tried(
        self, learned: Examples, held: Examples, share: float
    ) -> list[tuple[float, float, float | None, float]]:
        """Likeness on those held out, share, kernel and penalty, of all kernels and penalties."""
        x = middle(learned.seen, share)
        mean, deviation = x.mean(0), x.std(0).clamp(min=LEAST_DEVIATION)
        x, z = (x - mean) / deviation, (middle(held.seen, share) - mean) / deviation
        found = []
        for gamma in self.gammas:
            alike, across = kernel(x, x, gamma), kernel(z, x, gamma)
            for level in self.levels:
                inferred = across @ kernel_weights(alike, learned.vectors, level)
                found.append((likeness(inferred, held.vectors), share, gamma, level))
        return found
