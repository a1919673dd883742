"""The thief that infers by a small network: two layers, trained from scratch on noisy latents.

With some thousand portraits what limits it is not its size but what it learns by heart. Noise as strong as
the latents themselves, on each example anew, is what helps most against that.

Source: Bishop 1995, "Training with noise is equivalent to Tikhonov regularization".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featcodec.attacks.inference import INFERENCE_VERSION, Examples, likeness
from featcodec.console import Progress
from featcodec.evaluation.kept import key
from featcodec.networks.torch_state import inference, training
from featcodec.training.optimizer import learning_rate
from featcodec.training.regression import LEAST_DEVIATION, middle

__all__ = ["NetworkInference", "NetworkInferrer", "vector_net"]


def vector_net(*, seed: int) -> NetworkInferrer:
    """Its own length and settings: those that inferred best on people held out of LFW's other folds."""
    return NetworkInferrer(seed=seed)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInference:
    """A trained network: a `featcodec.attacks.inference.Inference`."""

    share: float
    mean: Tensor
    deviation: Tensor
    network: nn.Module
    settings: str

    def __call__(self, seen: Tensor) -> Tensor:
        with inference():
            vectors: Tensor = self.network((middle(seen, self.share) - self.mean) / self.deviation)
        return vectors


@dataclass(frozen=True, slots=True)
class NetworkInferrer:
    """A network of two layers: a `featcodec.attacks.inference.Inferrer`.

    Attributes:
        seed: of weights, noise and order.
        share: of the canvas's sides that it looks at.
        width: of the layer between.
        passes: over all examples.
        lr: peak learning rate of AdamW.
        noise: deviation of what is added to each latent, in deviations of that latent.
        batch: examples a step.
    """

    seed: int = 1
    share: float = 0.5
    width: int = 512
    passes: int = 15
    lr: float = 1e-3
    noise: float = 1.0
    batch: int = 64
    name: str = "vector-net"

    @property
    def identity(self) -> str:
        return key({"inference": INFERENCE_VERSION}, thief=self)

    def learn(self, examples: Examples) -> NetworkInference:
        """Trained on people who are not held out; likeness on those who are is only reported."""
        learned, held = examples.divided()
        x = middle(learned.seen, self.share)
        mean, deviation = x.mean(0), x.std(0).clamp(min=LEAST_DEVIATION)
        network = self._trained((x - mean) / deviation, learned.vectors)
        found = NetworkInference(self.share, mean, deviation, network, "")
        reached = likeness(found(held.seen), held.vectors)
        settings = f"middle {self.share:.1%} of the sides, {self.passes} passes, held out {reached:.3f}"
        return NetworkInference(self.share, mean, deviation, network, settings)

    @training()
    def _trained(self, x: Tensor, vectors: Tensor) -> nn.Module:
        with torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            network = nn.Sequential(
                nn.Linear(x.shape[1], self.width), nn.GELU(), nn.Dropout(0.5),
                nn.Linear(self.width, vectors.shape[1]),
            )  # fmt: skip
            optimizer = torch.optim.AdamW(network.parameters(), lr=self.lr, weight_decay=0.05)
            each = -(-len(x) // self.batch)
            with Progress(self.passes * each) as progress:
                for step in range(self.passes * each):
                    if step % each == 0:
                        order = torch.randperm(len(x))
                    progress.show(step, f"steps of {self.name}")
                    which = order[step % each * self.batch :][: self.batch]
                    noisy = x[which] + self.noise * torch.randn(len(which), x.shape[1])
                    loss = 1 - F.cosine_similarity(network(noisy), vectors[which]).mean()
                    optimizer.param_groups[0]["lr"] = learning_rate(
                        (step + 1) / (self.passes * each), self.lr
                    )
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        return network.eval()
