"""Several processes that fit one codec: each takes its own pictures, and gradients are averaged.

Lightning Fabric starts the processes, or joins those that ``torchrun`` has started.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from featcodec.errors import InputError, MissingExtraError

__all__ = ["ALONE", "Processes", "first_process", "start_processes"]


@dataclass(frozen=True, slots=True)
class Processes:
    """This process, and those beside it.

    Attributes:
        fabric: a `lightning_fabric.Fabric` that was launched; None for a process alone.
        rank: number of this process; 0 writes the files.
        world: how many there are.
    """

    fabric: Any = None
    rank: int = 0
    world: int = 1

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces gradients by their means over all processes."""
        if self.fabric is None:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        joined = self.mean(torch.cat([g.reshape(-1) for g in gradients]))
        for gradient, mean in zip(gradients, joined.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        if self.fabric is None:
            return values
        averaged: Tensor = self.fabric.all_reduce(values.to(self.fabric.device), reduce_op="mean")
        return averaged

    @property
    def agree(self) -> Callable[[bool], bool] | None:
        """Whether something is so in any process; None for a process alone."""
        return None if self.fabric is None else lambda here: float(self.mean(torch.tensor(float(here)))) > 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.fabric is not None:
            self.fabric.barrier()


ALONE = Processes()


def first_process() -> bool:
    """Whether this process is alone, or the one of several that writes the files."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def start_processes(devices: int, device: str) -> tuple[Processes, torch.device]:
    """Starts processes, or joins those of ``torchrun``; and the device of this one.

    Args:
        devices: how many processes on this machine, each with a device of its own.
        device: ``"cpu"`` or ``"cuda"``, or one such as ``"cuda:1"``.

    Raises:
        MissingExtraError: Lightning Fabric is not installed.
        InputError: no such device.
    """
    try:
        where = torch.device(device)
        torch.zeros(1, device=where)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device: got {device!r}: {' '.join(str(error).split())[:200]}") from error
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if max(devices, world) == 1:
        return ALONE, where
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingExtraError.of("lightning-fabric", "fit") from error
    here = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    nodes = max(1, world // here)
    fabric = Fabric(accelerator=where.type, devices=here, num_nodes=nodes, strategy="ddp")
    fabric.launch()
    return Processes(fabric, fabric.global_rank, fabric.world_size), fabric.device
