"""A fit under way: its options, models and optimizers, and the checkpoint that holds all of it."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from featcodec.errors import FitError
from featcodec.fitting.losses import QUALITY_WEIGHTS
from featcodec.fitting.ridge import Ridge
from featcodec.training.hyperprior import CodecModel
from featcodec.training.invnet import InvNet, reconstruction_loss, squared_loss
from featcodec.training.optimizer import Optimizer, follow
from featcodec.training.states import load_state, save_state

__all__ = ["Options", "Run"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a codec is fitted.

    Attributes:
        steps: optimizer steps of the codec.
        lr: peak learning rate of the codec; see `featcodec.training.optimizer.learning_rate`.
        optimizer: ``"muon"`` (for the inner convolutions; it needs torch 2.9) or ``"adamw"`` for all.
        quality_weights: lambda at quality 1 and 8.
        balance: each picture's loss is divided by lambda to this power; 0: qualities of large lambda rule.
        average: share that the average of the weights keeps at each step; the codec is the average.
        feature_weight: share of the features' own error in the distortion.
        output_weight: share of a YOLOv5's raw outputs in the distortion.
        warm_up: share of the steps, at the start, in which the task's metric takes the place of its tail.
        privacy: weight of the adversary's failure; 0 fits without adversary.
        linear_privacy: weight of what the best linear attacker explains; see `featcodec.fitting.ridge`.
        adversary_loss: ``"edges"``, or ``"squared"`` error; see `featcodec.training.invnet`.
        beta: weight of the edges in the adversary's loss.
        adversaries: how many there are; the one that rebuilds a picture best counts.
        adversary_lr: the adversaries' learning rate, constant.
        adversary_head_start: steps that the adversaries train alone before the codec moves.
        adversary_steps: steps of the adversaries for each step of the codec.
        adversary_restart: every so many steps an adversary, each in turn, starts from nothing; 0: never.
        bf16: whether networks run in bfloat16 where autocast says that it does no harm.
        seed: of weights, qualities and noise.
    """

    steps: int = 2000
    lr: float = 3e-4
    optimizer: str = "muon" if hasattr(torch.optim, "Muon") else "adamw"
    quality_weights: tuple[float, float] = QUALITY_WEIGHTS
    balance: float = 0.5
    average: float = 0.998
    feature_weight: float = 0.1
    output_weight: float = 0.0
    warm_up: float = 0.0
    privacy: float = 0.0
    linear_privacy: float = 0.0
    adversary_loss: str = "edges"
    beta: float = 5.0
    adversaries: int = 1
    adversary_lr: float = 1e-3
    adversary_head_start: int = 200
    adversary_steps: int = 1
    adversary_restart: int = 0
    bf16: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        least = {
            "steps": 0, "lr": 0.0, "balance": 0.0, "average": 0.0, "feature_weight": 0.0, "warm_up": 0.0,
            "output_weight": 0.0, "privacy": 0.0, "linear_privacy": 0.0, "beta": 0.0, "adversaries": 1,
            "adversary_lr": 0.0, "adversary_head_start": 0, "adversary_steps": 1, "adversary_restart": 0,
        }  # fmt: skip
        for name, value in least.items():
            if not value <= getattr(self, name) < float("inf"):
                raise FitError(f"{name}: got {getattr(self, name)!r}, expected a number of at least {value}")
        if self.average >= 1:
            raise FitError(f"average: got {self.average!r}, expected a number below 1")
        if self.optimizer not in ("muon", "adamw"):
            raise FitError(f"optimizer: got {self.optimizer!r}, expected muon or adamw")
        if self.adversary_loss not in ("edges", "squared"):
            raise FitError(f"adversary_loss: got {self.adversary_loss!r}, expected edges or squared")
        if len(self.quality_weights) != 2 or not 0 < self.quality_weights[0] <= self.quality_weights[1]:
            raise FitError(
                f"quality_weights: got {self.quality_weights!r}, expected two rising numbers above 0"
            )

    def rebuilt(self, got: Tensor, picture: Tensor) -> Tensor:
        """The adversaries' loss (B,) of pictures (B, 3, H, W) that were rebuilt."""
        if self.adversary_loss == "squared":
            return squared_loss(got, picture)
        return reconstruction_loss(got, picture, self.beta)

    def warming_up(self, step: int) -> bool:
        """Whether a step is one of those in which the features are the whole task."""
        return step < self.warm_up * self.steps

    @property
    def head_start(self) -> int:
        """Steps before the codec moves."""
        return self.adversary_head_start if self.privacy > 0 else 0


class Run:
    """A fit under way: models, optimizers and where it stands; all that a checkpoint holds.

    Random numbers are no part of it: each step draws its own, from the seed and the number of the step.
    """

    def __init__(self, model: CodecModel, options: Options, *, latent_stride: int = 16, identity: str = ""):
        self.model = model.to(memory_format=torch.channels_last)
        self.options, self.latent_stride, self.identity = options, latent_stride, identity
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = _codec_optimizer(self.model, options)
        count = options.adversaries if options.privacy > 0 else 0
        self.adversaries = [self._adversary(k) for k in range(count)]
        where = model.log_gain.device
        self.ridge = Ridge(model.widths.latents, latent_stride, where) if options.linear_privacy > 0 else None
        self.step = -options.head_start

    @property
    def taken(self) -> int:
        """Batches that were used up."""
        return self.step + self.options.head_start

    def _adversary(self, seed: int) -> tuple[InvNet, Optimizer]:
        where = self.model.log_gain.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed * 7919 + seed)
            network = InvNet(self.model.widths.latents, stride=self.latent_stride)
        network = network.to(where).to(memory_format=torch.channels_last)
        muon = self.options.optimizer == "muon"
        return network, Optimizer.of(network, self.options.adversary_lr, muon=muon)

    def follow(self) -> None:
        """Moves the average towards the weights; faster at the start, so that it does not lag behind."""
        follow(self.average, self.model, min(self.options.average, (1 + self.step) / (10 + self.step)))

    def restart(self) -> None:
        """Replaces an adversary by a fresh one, if it is its turn."""
        every = self.options.adversary_restart
        if self.adversaries and every and self.step > 0 and self.step % every == 0:
            turn = self.step // every
            self.adversaries[turn % len(self.adversaries)] = self._adversary(1000 + turn)

    def save(self, path: Path) -> None:
        """Writes a checkpoint whole or not at all."""
        state = {
            "identity": self.identity,
            "options": json.dumps(asdict(self.options)),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversaries": [(n.state_dict(), o.state_dict()) for n, o in self.adversaries],
            "ridge": self.ridge.state_dict() if self.ridge else None,
        }
        save_state(path, state)

    def resume(self, path: Path) -> None:
        """Continues from a checkpoint, if there is one.

        Raises:
            FitError: it is damaged, or of another fit; says of what it differs in.
        """
        if not path.exists():
            return
        needed = {"identity", "options", "adversaries"}
        kept = load_state(path, needed, of="a fit", error=FitError, where=self.model.log_gain.device)
        theirs, ours = json.loads(kept["options"]), json.loads(json.dumps(asdict(self.options)))
        theirs["network, pictures and sizes"], ours["network, pictures and sizes"] = (
            kept["identity"],
            self.identity,
        )
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise FitError(
                    f"{path}: of a fit with {name} = {theirs.get(name)!r}, got {value!r}; "
                    "go on with the same settings, or use another folder"
                )
        self.model.load_state_dict(kept["model"])
        self.average.load_state_dict(kept["average"])
        self.optimizer.load_state_dict(kept["optimizer"])
        for (network, optimizer), (net_state, optimizer_state) in zip(
            self.adversaries, kept["adversaries"], strict=True
        ):
            network.load_state_dict(net_state)
            optimizer.load_state_dict(optimizer_state)
        if self.ridge:
            self.ridge.load_state_dict(kept["ridge"])
        self.step = kept["step"]


def _codec_optimizer(model: CodecModel, options: Options) -> Optimizer:
    """Muon takes convolutions of the transforms that have others before and behind them."""
    inner: list[nn.Parameter] = []
    if options.optimizer == "muon":
        for part in (model.g_a, model.g_s):
            convolutions = [p for p in part.net.parameters() if p.ndim == 4]
            inner += convolutions[1:-1]
    ready = (model.g_a.linear, model.g_s.linear, model.h_a, model.h_s)  # since the closed form is in them
    slow = [p for part in ready for p in part.parameters()]
    inside = {id(p) for p in (*inner, *slow, model.log_gain)}
    outer = [p for p in model.parameters() if p.requires_grad and id(p) not in inside]
    return Optimizer(inner, outer, options.lr, gains=[model.log_gain], slow=slow)
