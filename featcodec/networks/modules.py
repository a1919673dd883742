"""Networks as their owners bring them: out of their wrappers, and copied in float32, as codecs need them."""

from __future__ import annotations

import copy

import torch
from torch import nn

from featcodec.errors import InputError, one_line

__all__ = ["frozen_copy", "plain_module"]


def plain_module(network: object, *, name: str = "network") -> nn.Module:
    """The module itself, out of `torch.compile`, `nn.DataParallel`, DistributedDataParallel or AveragedModel.

    Args:
        network: what somebody gives as a network.
        name: of the argument, for messages.

    Raises:
        InputError: it is no module, or one whose layers cannot be seen: compiled to TorchScript or exported.

    Example:
        >>> plain_module(nn.DataParallel(nn.ReLU()))
        ReLU()
    """
    if type(network).__name__ == "ExportedProgram":
        raise InputError(f"{name}: got an ExportedProgram, expected the torch.nn.Module that it was made of")
    if not isinstance(network, nn.Module):
        got = f"the class {network.__name__}" if isinstance(network, type) else type(network).__name__
        raise InputError(f"{name}: got {got}, expected a torch.nn.Module")
    for path, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                f"{name}: got {type(module).__name__}{path and f' as layer {path}'}, whose layers torch.jit "
                "has compiled, expected the torch.nn.Module that it was made of"
            )
    inner = network
    # by name: importing torch's compiler takes seconds
    if type(network).__name__ == "OptimizedModule" and isinstance(
        network._modules.get("_orig_mod"), nn.Module
    ):
        inner = network.get_submodule("_orig_mod")
    elif isinstance(network, _WRAPPERS):
        inner = network.get_submodule("module")
    return network if inner is network else plain_module(inner, name=name)


_WRAPPERS = (
    nn.DataParallel,
    nn.parallel.DistributedDataParallel,
    torch.optim.swa_utils.AveragedModel,
)


def frozen_copy(network: object, *, device: torch.device | str = "cpu", name: str = "network") -> nn.Module:
    """A copy in evaluation mode whose weights are float32 and have no gradients; the network stays as it is.

    Args:
        network: as `plain_module` takes it; of any floating-point type. Weights of another one than float32
            are rounded to it (float64), or keep their values exactly (float16, bfloat16).
        device: that the copy is for.
        name: of the argument, for messages.

    Raises:
        InputError: as `plain_module`, or a network that cannot be copied.
    """
    plain = plain_module(network, name=name)
    try:
        return copy.deepcopy(plain).eval().requires_grad_(False).float().to(device)
    except Exception as error:  # whatever somebody else's module raises
        reason = one_line(error)
        raise InputError(f"{name}: {type(plain).__name__} cannot be copied in float32: {reason}") from error
