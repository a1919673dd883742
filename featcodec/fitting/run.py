"""A fit under way: its models and optimizers, and the checkpoint that holds all of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featcodec.errors import FitError
from featcodec.evaluation.kept import unlike_ours
from featcodec.fitting.hidden_vectors import HiddenVectors, VectorAdversary
from featcodec.fitting.ridge import Ridge
from featcodec.fitting.settings import Options
from featcodec.training.hyperprior import CodecModel
from featcodec.training.invnet import InvNet
from featcodec.training.optimizer import Optimizer, follow
from featcodec.training.states import load_state, save_state

__all__ = ["FITTING_VERSION", "Run"]

FITTING_VERSION = 3  # raise it when a fit that goes on would not end where it would have without a break


class Run:
    """A fit under way: models, optimizers and where it stands; all that a checkpoint holds.

    Random numbers are no part of it: each step draws its own, from the seed and the number of the step.
    """

    def __init__(
        self,
        model: CodecModel,
        options: Options,
        *,
        latent_stride: int = 16,
        identity: str = "",
        hidden: HiddenVectors | None = None,
        tail: nn.Module | None = None,
    ):
        self.model = model.to(memory_format=torch.channels_last)
        self.options, self.latent_stride, self.identity = options, latent_stride, identity
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.tail = tail  # the network whose parameters with gradients are tuned, if any
        self.average_tail = copy.deepcopy(tail).requires_grad_(False) if tail else None
        self.optimizer = _codec_optimizer(self.model, options, self.tuned)
        count = options.adversaries if options.privacy > 0 else 0
        self.adversaries = [self._adversary(k) for k in range(count)]
        where = model.log_gain.device
        self.ridge = Ridge(model.widths.latents, latent_stride, where) if options.linear_privacy > 0 else None
        self.thief = VectorAdversary(hidden, where) if hidden else None
        self.step = -options.head_start

    @property
    def taken(self) -> int:
        """Batches that were used up."""
        return self.step + self.options.head_start

    @property
    def tuned(self) -> dict[str, nn.Parameter]:
        """The parameters of the tail that are tuned, by their names in the network."""
        every = self.tail.named_parameters() if self.tail else ()
        return {name: p for name, p in every if p.requires_grad}

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that the codec's steps move."""
        return [*(p for p in self.model.parameters() if p.requires_grad), *self.tuned.values()]

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
        decay = min(self.options.average, (1 + self.step) / (10 + self.step))
        follow(self.average, self.model, decay)
        if self.tail and self.average_tail:
            follow(self.average_tail, self.tail, decay)

    def averaged_tail(self) -> dict[str, Tensor]:
        """The average of the parameters that are tuned, by their names in the network."""
        every = self.average_tail.state_dict() if self.average_tail else {}
        return {name: every[name] for name in self.tuned}

    def restart(self) -> None:
        """Replaces an adversary by a fresh one, if it is its turn."""
        every = self.options.adversary_restart
        if self.adversaries and every and self.step > 0 and self.step % every == 0:
            turn = self.step // every
            self.adversaries[turn % len(self.adversaries)] = self._adversary(1000 + turn)

    def save(self, path: Path) -> None:
        """Writes a checkpoint whole or not at all."""
        state = {
            "version": FITTING_VERSION,
            "identity": self.identity,
            "options": json.dumps(asdict(self.options)),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversaries": [(n.state_dict(), o.state_dict()) for n, o in self.adversaries],
            "ridge": self.ridge.state_dict() if self.ridge else None,
            "thief": self.thief.state_dict() if self.thief else None,
            "tail": {name: p.detach() for name, p in self.tuned.items()},
            "average_tail": self.averaged_tail(),
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
        try:
            self._check(kept, path)
            self._take(kept)
        except (LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise unlike_ours(path, error, error=FitError) from error

    def _check(self, kept: dict[str, Any], path: Path) -> None:
        """Refuses the checkpoint of another fit."""
        theirs, ours = json.loads(kept["options"]), json.loads(json.dumps(asdict(self.options)))
        for name in ("hide_weight", "tune_tail"):  # which earlier releases did not know
            theirs.setdefault(name, getattr(Options, name))
        theirs |= {"network, pictures and sizes": kept["identity"], "version": kept.get("version", 1)}
        ours |= {"network, pictures and sizes": self.identity, "version": FITTING_VERSION}
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise FitError(
                    f"of a fit with {name} = {theirs.get(name)!r}, got {value!r}; "
                    "go on with the same settings, or use another folder",
                    path=str(path),
                )

    def _take(self, kept: dict[str, Any]) -> None:
        """Takes over the state of a checkpoint."""
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
        if self.thief:
            self.thief.load_state_dict(kept["thief"])
        if self.tail and self.average_tail:
            for net, state in ((self.tail, kept["tail"]), (self.average_tail, kept["average_tail"])):
                net.load_state_dict({**net.state_dict(), **state})
        self.step = int(kept["step"])


def _codec_optimizer(model: CodecModel, options: Options, tail: Mapping[str, nn.Parameter]) -> Optimizer:
    """Muon takes convolutions of the transforms that have others before and behind them."""
    inner: list[nn.Parameter] = []
    if options.optimizer == "muon":
        for part in (model.g_a, model.g_s):
            convolutions = [p for p in part.net.parameters() if p.ndim == 4]
            inner += convolutions[1:-1]
    ready = (model.g_a.linear, model.g_s.linear, model.h_a, model.h_s)  # since the closed form is in them
    slow = [*(p for part in ready for p in part.parameters()), *tail.values()]
    inside = {id(p) for p in (*inner, *slow, model.log_gain)}
    outer = [p for p in model.parameters() if p.requires_grad and id(p) not in inside]
    return Optimizer(inner, outer, options.lr, gains=[model.log_gain], slow=slow)
