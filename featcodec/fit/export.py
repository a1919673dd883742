"""A fitted model to a codec file: weights to float16, hyper-synthesis to integers, priors to tables."""

from __future__ import annotations

import torch
from torch import Tensor

from featcodec.backbones.split import Split
from featcodec.checkpoint import CodecConfig, CodecFile, NetworkConfig, network_digest
from featcodec.entropy import Tables
from featcodec.errors import CodecFileError
from featcodec.hyperprior import CodecModel

__all__ = ["export"]


@torch.no_grad()
def export(
    model: CodecModel,
    network: Split,
    *,
    name: str,
    description: str,
    classes: tuple[str, ...],
    confidence: float = 0.25,
    size: int = 416,
    embed_network: bool = True,
) -> CodecFile:
    """Everything that encoding and decoding need, as it will be stored.

    Args:
        model: the fitted model.
        network: what it was fitted to.
        name: goes into every ``.plf``: 1 to 63 characters of a-z, 0-9, ``.``, ``_``, ``-``.
        description: one line for people.
        classes: class names by number.
        confidence: score in (0, 1) from which a box is worth showing.
        size: longest side in pixels that pictures are scaled down to.
        embed_network: False leaves the network's weights to their owner.

    Raises:
        CodecFileError: the model cannot be stored exactly (an integer bound is broken).
    """
    net = network.network
    tensors: dict[str, Tensor] = {}
    for part in ("g_a", "g_s", "h_a"):
        tensors |= {f"{part}.{k}": v.half() for k, v in getattr(model, part).state_dict().items()}
    weights, biases = model.h_s.integers()
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if not bool(weight.isfinite().all()) or not float(bias.abs().max()) < 1 << 31:  # NaN, too
            raise CodecFileError(f"hyper-synthesis, layer {i}: got weights that do not fit into integers")
        tensors[f"h_s.weight.{i}"] = weight.to(torch.int16)
        tensors[f"h_s.bias.{i}"] = bias.to(torch.int32)
    tensors["inverse_gains"] = model.inverse_gains().float()
    tensors |= _table_tensors("tables_z", model.tables_z()) | _table_tensors("tables_y", model.tables_y())
    if embed_network:
        state = net.state_dict().items()
        tensors |= {f"network.{k}": v.half() if v.is_floating_point() else v for k, v in state}
    about = NetworkConfig("yolov5", net.scale, classes, network.only, network_digest(net), confidence)
    config = CodecConfig(name, description, about, model.widths, size)
    contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    return CodecFile(config, contiguous).check()


def _table_tensors(name: str, tables: Tables) -> dict[str, Tensor]:
    return {
        f"{name}.frequencies": torch.from_numpy(tables.frequencies),
        f"{name}.sizes": torch.from_numpy(tables.sizes),
        f"{name}.lows": torch.from_numpy(tables.lows),
    }
