"""The convolutions of an ONNX file, in order, with what each reads: enough to find a known network in it.

    bytes ─onnx─▶ graph ─▶ Convolution, Convolution, … (weight, bias, stride, …, the convolutions it reads)

Nothing in the file is run, and no other file that it names is opened. What is not a convolution is looked at
only as far as it leads from one to the next.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from featcodec.errors import CodecFileError, InputError, MissingExtraError
from featcodec.files import read_file
from featcodec.networks.pickle_records import Unusable, short
from featcodec.networks.weight_files import refusal

__all__ = ["Convolution", "merged", "read_convolutions"]

_MAX_FILE = 2**29  # bytes; YOLOX-x has 0.4 GB, and a parsed file may take many times its own
# a larger graph is refused before it is walked; YOLOX-x has some 170 convolutions
_MOST_NODES = 10_000
_MOST_INPUTS = 30_000
_MOST_CONVOLUTIONS = 1_000
_MOST_DIMENSIONS = 8
# what may stand between two convolutions; a Relu, say, makes another network of the same weights
_PASSING = {"Add", "Concat", "Identity", "MaxPool", "Mul", "Resize", "Sigmoid", "Slice", "Upsample"}
_FIRST_INPUT = {"MaxPool", "Resize", "Slice", "Upsample"}  # whose other inputs are sizes


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of an ONNX file.

    Attributes:
        name: of its node, for messages.
        weight: (C, C_in / groups, k, k), in the type of the file.
        bias: (C,).
        stride: of rows and columns.
        padding: before rows and columns; it is the same behind them.
        groups: of channels.
        reads: numbers of the convolutions, in the order of the file, whose outputs lead to its input; in the
            order of the inputs on the way.
    """

    name: str
    weight: Tensor
    bias: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int
    reads: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Way:
    """The convolutions that lead to a tensor, and the first operator on the way that does not pass."""

    reads: tuple[int, ...] = ()
    through: str = ""


def merged(reads: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """What several inputs read together: each number once, where it comes first.

    Example:
        >>> merged([(3, 1), (2, 3)])
        (3, 1, 2)
    """
    return tuple(dict.fromkeys(number for one in reads for number in one))


def read_convolutions(path: str | os.PathLike[str]) -> list[Convolution]:
    """The convolutions of an ONNX file, in the order of its graph.

    Args:
        path: of a network that was exported in evaluation mode, so that no batch normalisation is left in it.

    Raises:
        MissingExtraError: the package onnx is not installed.
        CodecFileError: the file is missing, unreadable, damaged, hostile or too large, or its convolutions
            cannot be told; one line that begins with the path.

    Source of the format: https://onnx.ai/onnx/repo-docs/IR.html; of its operators:
    https://onnx.ai/onnx/operators/onnx__Conv.html.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingExtraError.of("onnx", "onnx") from error
    try:
        data = read_file(path, _MAX_FILE)
    except InputError as error:
        raise CodecFileError(str(error)) from error
    try:
        return _convolutions(onnx.load_model_from_string(data).graph)
    except DecodeError as error:
        raise refusal(path, "damaged, or no ONNX file") from error
    except Unusable as error:
        raise refusal(path, str(error)) from error


def _convolutions(graph: Any) -> list[Convolution]:
    inputs = sum(len(node.input) + len(node.output) for node in graph.node)
    count = sum(node.op_type == "Conv" for node in graph.node)
    if len(graph.node) > _MOST_NODES or inputs > _MOST_INPUTS or count > _MOST_CONVOLUTIONS:
        raise Unusable(
            f"a graph of {len(graph.node):,} nodes, {count:,} of them convolutions, with {inputs:,} inputs "
            f"and outputs, expected at most {_MOST_NODES:,}, {_MOST_CONVOLUTIONS:,} and {_MOST_INPUTS:,}"
        )
    weights = {tensor.name: tensor for tensor in graph.initializer}
    ways = {name: _Way() for name in ("", *weights, *(value.name for value in graph.input))}
    found: list[Convolution] = []
    for node in graph.node:
        missing = next((name for name in node.input if name not in ways), None)
        if missing is not None:
            raise Unusable(f"{_named(node)} reads {short(missing)}, which nothing before it gives")
        weights |= _renamed(node, weights)
        if node.op_type == "Conv":
            found.append(_convolution(node, weights, ways))
            way = _Way((len(found) - 1,))
        else:
            way = _way(node, ways)
        ways |= dict.fromkeys(node.output, way)
    if not found:
        raise Unusable("an ONNX file without convolutions")
    return found


def _renamed(node: Any, weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights that a node only gives another name; exporters store alike ones once."""
    if node.op_type == "Constant":
        return {name: a.t for name in node.output for a in node.attribute if a.name == "value"}
    if node.op_type == "Identity" and node.input[:1] and node.input[0] in weights:
        return dict.fromkeys(node.output, weights[node.input[0]])
    return {}


def _way(node: Any, ways: Mapping[str, _Way]) -> _Way:
    inputs = [ways[name] for name in (node.input[:1] if node.op_type in _FIRST_INPUT else node.input)]
    through = "" if node.op_type in _PASSING or not node.input else short(node.op_type)
    before = next((way.through for way in inputs if way.through), "")
    return _Way(merged(way.reads for way in inputs), before or through)


def _convolution(node: Any, weights: Mapping[str, Any], ways: Mapping[str, _Way]) -> Convolution:
    name = _named(node)
    if len(node.input) != 3 or any(given not in weights for given in node.input[1:]):
        raise Unusable(
            f"{name}: expected a weight and a bias in the file, as an export in evaluation mode has them"
        )
    way = ways[node.input[0]]
    if way.through:
        raise Unusable(
            f"{name} reads what went through {way.through}, expected {', '.join(sorted(_PASSING))}"
        )
    weight, bias = (_tensor(weights[given], name) for given in node.input[1:])
    if weight.ndim != 4 or bias.shape != weight.shape[:1]:
        raise Unusable(f"{name}: got weights {tuple(weight.shape)} and biases {tuple(bias.shape)}")
    given = {a.name: tuple(a.ints[:_MOST_DIMENSIONS]) or (int(a.i),) for a in node.attribute}
    pads = given.get("pads", (0, 0, 0, 0))
    usual = given.get("dilations", (1, 1)) == (1, 1) and pads[:2] == pads[2:]
    if not usual or any(a.name == "auto_pad" and a.s != b"NOTSET" for a in node.attribute):
        raise Unusable(f"{name}: expected no dilation, and the same explicit padding on both sides")
    stride, (groups, *_) = given.get("strides", (1, 1)), given.get("group", (1,))
    return Convolution(name, weight, bias, stride, pads[:2], groups, way.reads)


def _tensor(stored: Any, where: str) -> Tensor:
    """The numbers of a weight, whose shape is compared with how many there are before anything is made."""
    from onnx import TensorProto, numpy_helper

    kinds = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2}
    if stored.data_type not in kinds or stored.data_location == TensorProto.EXTERNAL:
        raise Unusable(f"{where}: expected weights in the file itself, of 16 or 32 bits")
    shape = tuple(stored.dims[: _MOST_DIMENSIONS + 1])
    if len(shape) > _MOST_DIMENSIONS or min(shape, default=1) < 1:
        raise Unusable(f"{where}: got weights of shape {short(str(shape))}")
    listed = len(stored.float_data) or len(stored.int32_data)
    count = len(stored.raw_data) / kinds[stored.data_type] or listed
    if math.prod(shape) != count:
        raise Unusable(f"{where}: got {count:,} numbers, expected {short(str(shape))}")
    try:
        return torch.from_numpy(numpy_helper.to_array(stored).copy())
    except (TypeError, ValueError, OverflowError) as error:
        raise Unusable(f"{where}: got weights that cannot be read") from error


def _named(node: Any) -> str:
    return short(f"{node.op_type} {node.name}".strip())
