"""A fitted model to a codec file: weights to float16, hyper-synthesis to integers, priors to tables."""

from __future__ import annotations

import torch
from torch import Tensor

from featcodec.codec.codec_file import CodecConfig, CodecFile, ModuleConfig, NetworkConfig, network_digest
from featcodec.codec.entropy import Tables
from featcodec.errors import CodecFileError
from featcodec.networks.yolov5_split import Split
from featcodec.training.hyperprior import CodecModel

__all__ = ["export", "export_module"]


def export(
    model: CodecModel,
    network: Split,
    *,
    name: str,
    description: str,
    classes: tuple[str, ...],
    confidence: float = 0.25,
    size: int = 416,
    stride: int = 32,
    latent_stride: int = 16,
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
        stride: pixels that the canvas is a multiple of.
        latent_stride: pixels that a latent stands for.
        embed_network: False leaves the network's weights to their owner.

    Raises:
        CodecFileError: the model cannot be stored exactly (an integer bound is broken).
    """
    net = network.network
    about = NetworkConfig("yolov5", net.scale, classes, network.only, network_digest(net), confidence)
    tensors = _tensors(model)
    if embed_network:
        state = net.state_dict().items()
        tensors |= {f"network.{k}": v.float().half() if v.is_floating_point() else v for k, v in state}
    return _file(CodecConfig(name, description, about, model.widths, size, stride, latent_stride), tensors)


def export_module(
    model: CodecModel,
    network: ModuleConfig,
    *,
    name: str,
    description: str,
    size: int,
    stride: int,
    latent_stride: int,
) -> CodecFile:
    """As `export`, for a network that its owner brings.

    Args:
        model: the fitted model.
        network: which one it was fitted to.
        name, description, size, stride, latent_stride: as `export`.

    Raises:
        CodecFileError: as `export`.
    """
    config = CodecConfig(name, description, network, model.widths, size, stride, latent_stride)
    return _file(config, _tensors(model))


@torch.no_grad()
def _tensors(model: CodecModel) -> dict[str, Tensor]:
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
    return (
        tensors | _table_tensors("tables_z", model.tables_z()) | _table_tensors("tables_y", model.tables_y())
    )


def _file(config: CodecConfig, tensors: dict[str, Tensor]) -> CodecFile:
    contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    return CodecFile(config, contiguous).check()


def _table_tensors(name: str, tables: Tables) -> dict[str, Tensor]:
    return {
        f"{name}.frequencies": torch.from_numpy(tables.frequencies),
        f"{name}.sizes": torch.from_numpy(tables.sizes),
        f"{name}.lows": torch.from_numpy(tables.lows),
    }
