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

__all__ = ["TAP_CHANNELS", "TAP_LAYERS", "Teacher", "TeacherOutputs"]

# tensor names in the published graph: three backbone stages, three neck outputs, three head maps
TAPS = ("781", "841", "886", "956", "990", "1024")
HEADS = ("1066", "1108", "1150")
# the layers of YOLOv5 that play the same part, and the teacher's channels there
TAP_LAYERS = (4, 6, 9, 17, 20, 23)
TAP_CHANNELS = (64, 128, 256, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class TeacherOutputs:
    """What the student learns from.

    Attributes:
        taps: six feature maps, strides 8, 16, 32, 8, 16, 32.
        heads: three maps (B, 85, h, w): box (4, raw), objectness and 80 class scores in [0, 1].
    """

    taps: list[Tensor]
    heads: list[Tensor]


class Teacher(nn.Module):
    """The network of `path`; forward takes RGB (B, 3, H, W) in [0, 1], H and W multiples of 32."""

    def __init__(self, path: str | Path):
        super().__init__()
        graph = onnx.load(str(path)).graph
        arrays = {t.name: torch.from_numpy(np.array(numpy_helper.to_array(t))) for t in graph.initializer}
        self.weights = {k: v for k, v in arrays.items() if v.is_floating_point()}
        self.input = graph.input[0].name
        self.nodes = list(graph.node)
        self.attributes = {
            n.output[0]: {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute} for n in self.nodes
        }
        self.last_use: dict[str, int] = {name: i for i, n in enumerate(self.nodes) for name in n.input}

    def to(self, *args: object, **kwargs: object) -> Teacher:  # type: ignore[override]
        self.weights = {k: v.to(*args, **kwargs) for k, v in self.weights.items()}  # type: ignore[call-overload]
        return self

    def _focus(self, x: Tensor) -> Tensor:
        # the graph's first nine nodes: space to depth in YOLOX's order (Focus)
        return torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), 1)

    def _apply_node(self, i: int, have: dict[str, Tensor]) -> Tensor:
        node, attr = self.nodes[i], self.attributes[self.nodes[i].output[0]]
        if node.op_type == "Conv":
            weight, bias = self.weights[node.input[1]], self.weights[node.input[2]]
            stride, pad = attr["strides"][0], attr["pads"][0]
            return F.conv2d(have[node.input[0]], weight, bias, stride, pad, groups=attr.get("group", 1))
        xs = [have[name] for name in node.input if name in have]
        match node.op_type:
            case "Sigmoid":
                return xs[0].sigmoid()
            case "Mul":
                return xs[0] * xs[1]
            case "Add":
                return xs[0] + xs[1]
            case "Concat":
                return torch.cat(xs, 1)
            case "MaxPool":
                k = attr["kernel_shape"][0]
                return F.max_pool2d(xs[0], k, 1, k // 2)
            case "Resize":
                return F.interpolate(xs[0], scale_factor=2.0, mode="nearest")
        raise ValueError(f"teacher graph: node {i} is a {node.op_type}, expected a YOLOX-nano graph")

    @torch.no_grad()
    def forward(self, x: Tensor) -> TeacherOutputs:
        dtype = next(iter(self.weights.values())).dtype
        bgr = (x.flip(1) * 255).to(dtype).contiguous(memory_format=torch.channels_last)
        have = {self.nodes[8].output[0]: self._focus(bgr)}
        wanted = set(TAPS + HEADS)
        for i in range(9, len(self.nodes)):
            node = self.nodes[i]
            if node.op_type == "Reshape":
                break
            have[node.output[0]] = self._apply_node(i, have)
            for name in node.input:  # free what nobody reads again
                if self.last_use.get(name) == i and name not in wanted:
                    have.pop(name, None)
        return TeacherOutputs([have[t] for t in TAPS], [have[h] for h in HEADS])
