"""Network weights from files of others: safetensors, and PyTorch checkpoints of which nothing is executed.

    bytes ─┬─ safetensors ─────────────┬─▶ name: tensor ─▶ YOLOv5
           └─ zip ─▶ read_checkpoint ──┘

The first bytes tell the formats apart; what a network lacks, or has no place for, is refused by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from featcodec.errors import CodecFileError, InputError
from featcodec.files import printable, read_file
from featcodec.networks.pickle_records import Unusable, short
from featcodec.networks.torch_files import read_checkpoint
from featcodec.networks.yolov5 import SCALES, Scale, YOLOv5, _Widths

__all__ = ["read_state_dict", "yolov5_from"]

_MAX_FILE = 2**30  # bytes; YOLOv5x with its optimizer is 0.7 GB


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights in a safetensors file or a PyTorch checkpoint, executing nothing from it.

    A checkpoint may be a state dict, a whole pickled module, or a dictionary that holds either: a module
    under ``ema``, else what is under ``model`` or ``state_dict``. The classes of the module need not exist.

    Args:
        path: the file; what it is shows in its first bytes, not in its name.

    Returns:
        The tensors by name, on the CPU and with the dtypes of the file. Tensors that share memory in a
        checkpoint share it here.

    Raises:
        CodecFileError: the file is missing, unreadable, damaged, hostile, too large, in PyTorch's format
            from before 1.6, or holds no weights; one line that begins with the path.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "net.pt"
        ...     torch.save({"model": torch.nn.Linear(3, 2), "epoch": 7}, file)
        ...     {name: tuple(tensor.shape) for name, tensor in read_state_dict(file).items()}
        {'weight': (2, 3), 'bias': (2,)}
    """
    try:
        data = read_file(path, _MAX_FILE)
    except InputError as error:
        raise CodecFileError(str(error)) from error
    try:
        return _tensors(data)
    except Unusable as error:
        raise _refusal(path, str(error)) from error


def yolov5_from(path: str | os.PathLike[str], *, names: Sequence[str] | None = None) -> YOLOv5:
    """Build the YOLOv5 v6 network whose weights are in a file; scale and classes show in their shapes.

    Every tensor of the network must be in the file and no other, but for batch norm's counts of training
    steps, which may be missing, and ``anchor_grid``, which older releases store and nothing needs.

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
    tensors = {k: v for k, v in read_state_dict(path).items() if not k.endswith(".anchor_grid")}
    try:
        scale, classes = _scale(tensors), _classes(tensors)
        if names is not None and len(names) != classes:
            raise Unusable(f"weights for {classes} classes, expected {len(names)}, one for each name")
        return _filled(scale, classes, tensors)
    except Unusable as error:
        raise _refusal(path, str(error)) from error


def _refusal(path: str | os.PathLike[str], reason: str) -> CodecFileError:
    return CodecFileError(f"{printable(path) or repr('')}: {printable(reason)}")


def _tensors(data: bytes) -> dict[str, Tensor]:
    """Tell the formats apart by their first bytes and read the one at hand."""
    if not data:
        raise Unusable("empty file, expected network weights")
    if data[8:9] == b"{":  # after the length of the header
        return _from_safetensors(data)
    if data.startswith(b"PK\3\4"):
        return read_checkpoint(data)
    if data[0] == 0x80 and data[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        raise Unusable(
            "PyTorch's legacy format from before 1.6, expected its zip format; if you trust where the file "
            "comes from, convert it with torch.save(torch.load(old, map_location='cpu'), new)"
        )
    raise Unusable(f"begins with {data[:4].hex(' ')}, expected safetensors or a PyTorch checkpoint")


def _from_safetensors(data: bytes) -> dict[str, Tensor]:
    try:
        tensors = load_safetensors(data)
    except (SafetensorError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        # the last five come from dtypes and shapes that this PyTorch cannot represent
        raise Unusable(f"damaged safetensors file: {short(str(error))}") from error
    if not tensors:
        raise Unusable("a safetensors file without tensors")
    return tensors


# ---- the network that the weights are of


def _scale(tensors: Mapping[str, Tensor]) -> Scale:
    first = tensors.get("model.0.conv.weight")
    if first is None:
        raise Unusable("no model.0.conv.weight in it, expected the names of YOLOv5 v6")
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


def _filled(scale: Scale, classes: int, tensors: dict[str, Tensor]) -> YOLOv5:
    """Build the network around the tensors once they are found to be its own."""
    with torch.device("meta"):  # shapes only: no memory for a hostile number of classes, no random numbers
        network = YOLOv5(scale, classes=classes)
    expected = network.state_dict()
    counts = {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in expected.items() if v.dtype == torch.int64}
    tensors = counts | tensors
    problems = list(_problems(expected, tensors))
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise Unusable(f"not the weights of YOLOv5{scale}: {'; '.join(problems[:3])}{more}")
    # copies, because the tensors may share memory, and in the layout of a new network
    layout = torch.contiguous_format
    own = {k: tensors[k].to(v.dtype, copy=True, memory_format=layout) for k, v in expected.items()}
    network.load_state_dict(own, assign=True)
    return network.eval()


def _problems(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield what is missing, what has another shape or kind, and what does not belong."""
    for name, want in expected.items():
        have = got.get(name)
        if have is None:
            yield f"{name} is missing"
        elif have.shape != want.shape:
            yield f"{name} is {tuple(have.shape)}, expected {tuple(want.shape)}"
        elif have.is_floating_point() != want.is_floating_point():
            yield f"{name} is {have.dtype}, expected {want.dtype}"
    yield from (f"{short(name)} is unexpected" for name in got if name not in expected)
