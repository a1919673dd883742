"""YOLOX-nano (Apache-2.0) as a torch module, for distillation: its ONNX graph, run node by node at any size.

The published file is fixed to 416 x 416. Only its convolutional part is used (feature maps and the raw
maps of the head), which does not depend on the size, so it runs at any multiple of 32, in bf16, batched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

__all__ = ["ANSWERS", "TAP_CHANNELS", "TAP_LAYERS", "Teacher", "TeacherOutputs"]

# tensor names in the published graph: three backbone stages, three neck outputs, three head maps
TAPS = ("781", "841", "886", "956", "990", "1024")
HEADS = ("1066", "1108", "1150")
# the layers of YOLOv5 that play the same part, and the teacher's channels there
TAP_LAYERS = (4, 6, 9, 17, 20, 23)
TAP_CHANNELS = (64, 128, 256, 64, 128, 256)
ANSWERS = 84  # what the teacher says of a cell: a box, and the scores of COCO's 80 classes


@dataclass(frozen=True, slots=True)
class TeacherOutputs:
    """What the student learns from.

    Attributes:
        taps: six feature maps, strides 8, 16, 32, 8, 16, 32.
        heads: three maps (B, 85, h, w): box (4, raw), objectness and 80 class scores in [0, 1].
    """

    taps: list[Tensor]
    heads: list[Tensor]


@dataclass(frozen=True, slots=True)
class _Node:
    """One operation of the graph."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    kernel: int
    stride: int
    padding: int
    groups: int

    @classmethod
    def read(cls, node: onnx.NodeProto) -> _Node:
        have = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        square = [have.get(name, [default])[0] for name, default in _SQUARE]
        return cls(node.op_type, tuple(node.input), node.output[0], *square, have.get("group", 1))


_SQUARE = (("kernel_shape", 1), ("strides", 1), ("pads", 0))  # all of this graph's windows are square


class Teacher(nn.Module):
    """The network of `path`; forward takes RGB (B, 3, H, W) in [0, 1], H and W multiples of 32."""

    def __init__(self, path: str | Path):
        super().__init__()
        graph = onnx.load(str(path)).graph
        arrays = {t.name: torch.from_numpy(np.array(numpy_helper.to_array(t))) for t in graph.initializer}
        self.weights = {k: v for k, v in arrays.items() if v.is_floating_point()}
        self.nodes = [_Node.read(n) for n in graph.node]
        self.last_use: dict[str, int] = {name: i for i, n in enumerate(self.nodes) for name in n.inputs}

    def to(self, *args: object, **kwargs: object) -> Teacher:  # type: ignore[override]
        self.weights = {k: v.to(*args, **kwargs) for k, v in self.weights.items()}  # type: ignore[call-overload]
        return self

    def _focus(self, x: Tensor) -> Tensor:
        # the graph's first nine nodes: space to depth in YOLOX's order (Focus)
        return torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), 1)

    def _apply_node(self, node: _Node, have: dict[str, Tensor]) -> Tensor:
        xs = [have[name] for name in node.inputs if name in have]
        match node.kind:
            case "Conv":
                weight, bias = self.weights[node.inputs[1]], self.weights[node.inputs[2]]
                return F.conv2d(xs[0], weight, bias, node.stride, node.padding, groups=node.groups)
            case "Sigmoid":
                return xs[0].sigmoid()
            case "Mul":
                return xs[0] * xs[1]
            case "Add":
                return xs[0] + xs[1]
            case "Concat":
                return torch.cat(xs, 1)
            case "MaxPool":
                return F.max_pool2d(xs[0], node.kernel, 1, node.kernel // 2)
            case "Resize":
                return F.interpolate(xs[0], scale_factor=2.0, mode="nearest")
        raise ValueError(f"teacher graph: {node.output} is a {node.kind}, expected a YOLOX-nano graph")

    @torch.no_grad()
    def forward(self, x: Tensor) -> TeacherOutputs:
        dtype = next(iter(self.weights.values())).dtype
        bgr = (x.flip(1) * 255).to(dtype).contiguous(memory_format=torch.channels_last)
        have = {self.nodes[8].output: self._focus(bgr)}
        wanted = set(TAPS + HEADS)
        for i, node in enumerate(self.nodes[9:], 9):
            if node.kind == "Reshape":
                break
            have[node.output] = self._apply_node(node, have)
            for name in node.inputs:  # free what nobody reads again
                if self.last_use.get(name) == i and name not in wanted:
                    have.pop(name, None)
        return TeacherOutputs([have[t] for t in TAPS], [have[h] for h in HEADS])
