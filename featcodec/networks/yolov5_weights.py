"""YOLOv5 from the tensors of somebody's file: scale and classes show in their shapes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from featcodec.networks.pickle_records import Unusable
from featcodec.networks.weight_files import fill, read_state_dict, refusal, unwrapped
from featcodec.networks.yolov5 import SCALES, Scale, YOLOv5, _Widths

__all__ = ["MARKER", "yolov5_by_shapes", "yolov5_from", "yolov5_of"]

MARKER = "model.0.conv.weight"  # a tensor by whose name weights of YOLOv5 v6 are known


def yolov5_from(path: str | os.PathLike[str], *, names: Sequence[str] | None = None) -> YOLOv5:
    """Build the YOLOv5 v6 network whose weights are in a file; scale and classes show in their shapes.

    Every tensor of the network must be in the file and no other, but for batch norm's counts of training
    steps, which may be missing, and ``anchor_grid``, which older releases store and nothing needs. Before all
    names ``module.``, ``_orig_mod.`` or ``model.`` may stand, also several of them.

    Args:
        path: safetensors or PyTorch checkpoint, as `read_state_dict` takes it.
        names: the names of the classes the caller goes by; only their number is compared.

    Returns:
        The network in float32 and evaluation mode, on the CPU.

    Raises:
        CodecFileError: as `read_state_dict`; or the weights are of another network, or of another number of
            classes than there are names; one line that begins with the path.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "net.pt"
        ...     torch.save(YOLOv5("n", classes=6).half().state_dict(), file)
        ...     network = yolov5_from(file)
        >>> network.scale, network.classes
        ('n', 6)
    """
    tensors = read_state_dict(path)
    try:
        network = yolov5_by_shapes(tensors)
        if names is not None and len(names) != network.classes:
            raise Unusable(f"weights for {network.classes} classes, expected {len(names)}, one for each name")
        return network
    except Unusable as error:
        raise refusal(path, str(error)) from error


def yolov5_by_shapes(tensors: Mapping[str, Tensor]) -> YOLOv5:
    """Build the network whose tensors these are, by the names of whoever stored them.

    Raises:
        Unusable: they are of no YOLOv5 v6; says in what they differ.
    """
    own = unwrapped({k: v for k, v in tensors.items() if not k.endswith(".anchor_grid")}, {MARKER})
    return yolov5_of(_scale(own), _classes(own), own)


def yolov5_of(scale: Scale, classes: int, tensors: Mapping[str, Tensor]) -> YOLOv5:
    """Build the network around copies of its tensors, in float32 and evaluation mode.

    Raises:
        Unusable: they are not its own; says in what they differ.
    """
    with torch.device("meta"):  # shapes only: no memory for a hostile number of classes, no random numbers
        network = YOLOv5(scale, classes=classes)
    fill(network, tensors, name=f"YOLOv5{scale}")
    return network


def _scale(tensors: Mapping[str, Tensor]) -> Scale:
    first = tensors.get(MARKER)
    if first is None:
        raise Unusable(f"no {MARKER} in it, expected the names of YOLOv5 v6")
    widths = {_Widths(*multiples).c(64): scale for scale, multiples in SCALES.items()}
    width = first.shape[0] if first.ndim else 0
    if width not in widths:
        expected = ", ".join(f"{w} ({scale})" for w, scale in widths.items())
        raise Unusable(f"model.0.conv.weight: got {width} channels, expected one of {expected}")
    return widths[width]


def _classes(tensors: Mapping[str, Tensor]) -> int:
    bias = tensors.get("model.24.m.0.bias")
    if bias is None:
        raise Unusable("no model.24.m.0.bias in it, expected the names of YOLOv5 v6")
    classes, rest = divmod(bias.numel(), 3)
    if rest or classes < 6:
        raise Unusable(f"model.24.m.0.bias: got {bias.numel()} numbers, expected 3 x (5 + classes)")
    return classes - 5
