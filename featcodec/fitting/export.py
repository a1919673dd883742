"""A fitted model to a codec file: weights to float16, hyper-synthesis to integers, priors to tables."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from featcodec.codec.codec_file import CodecConfig, CodecFile
from featcodec.codec.entropy import Tables
from featcodec.errors import CodecFileError
from featcodec.networks.cut_network import CutNetwork
from featcodec.training.hyperprior import CodecModel

__all__ = ["export", "hyperprior_tensors"]


def export(
    model: CodecModel,
    cut: CutNetwork,
    *,
    name: str,
    description: str,
    latent_stride: int = 16,
    embed: nn.Module | None = None,
    tail: Mapping[str, Tensor] = MappingProxyType({}),
) -> CodecFile:
    """Everything that encoding and decoding need, as it will be stored.

    Args:
        model: the fitted model.
        cut: what it was fitted to.
        name: goes into every ``.plf``: 1 to 63 characters of a-z, 0-9, ``.``, ``_``, ``-``.
        description: one line for people.
        latent_stride: pixels that a latent stands for.
        embed: the network as its owner brought it, to be stored with the codec; None leaves it to them.
        tail: parameters behind the cut that were tuned, by their names in ``cut.network``.

    Raises:
        CodecFileError: the model cannot be stored exactly (an integer bound is broken).
    """
    tensors = _tensors(model)
    if embed is not None:
        state = embed.state_dict().items()
        tensors |= {f"network.{k}": v.float().half() if v.is_floating_point() else v for k, v in state}
    size, stride = cut.canvas.size, cut.canvas.stride
    tensors |= {f"tail.{name}": value.half() for name, value in tail.items()}
    config = CodecConfig(name, description, cut.config, model.widths, size, stride, latent_stride)
    contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    return CodecFile(config, contiguous).check()


@torch.no_grad()
def _tensors(model: CodecModel) -> dict[str, Tensor]:
    tensors = _halves(model, "g_a") | _halves(model, "g_s")
    tensors["inverse_gains"] = model.inverse_gains().float()
    return tensors | hyperprior_tensors(model) | _table_tensors("tables_y", model.tables_y())


@torch.no_grad()
def hyperprior_tensors(model: CodecModel) -> dict[str, Tensor]:
    """What a codec file holds of h_a, h_s and the prior of z.

    Raises:
        CodecFileError: weights of h_s that are no integers of 32 bits.
    """
    tensors = _halves(model, "h_a")
    weights, biases = model.h_s.integers()
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if not bool(weight.isfinite().all()) or not float(bias.abs().max()) < 1 << 31:  # NaN, too
            raise CodecFileError(f"hyper-synthesis, layer {i}: got weights that do not fit into integers")
        tensors[f"h_s.weight.{i}"] = weight.to(torch.int16)
        tensors[f"h_s.bias.{i}"] = bias.to(torch.int32)
    return tensors | _table_tensors("tables_z", model.tables_z())


def _halves(model: CodecModel, part: str) -> dict[str, Tensor]:
    return {f"{part}.{k}": v.half() for k, v in getattr(model, part).state_dict().items()}


def _table_tensors(name: str, tables: Tables) -> dict[str, Tensor]:
    return {
        f"{name}.frequencies": torch.from_numpy(tables.frequencies),
        f"{name}.sizes": torch.from_numpy(tables.sizes),
        f"{name}.lows": torch.from_numpy(tables.lows),
    }
