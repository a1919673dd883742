"""The YOLOX family (nano, tiny, s, m, l, x): a CSP backbone, a PAN neck and a decoupled, anchor-free head.

Layers have the names of the official checkpoints, so that official weights load by name. Batch normalisation
is folded into the convolutions: a checkpoint's is folded when it is read, that of an ONNX file was when it
was exported, and so both end in the same form. The data flow, with strides and, in brackets, what is read:

    stem 2 - dark2 4 - dark3 8 - dark4 16 - dark5 32
    lateral_conv0(dark5) 32 - C3_p4(lateral_conv0, dark4) 16 - reduce_conv1 16 - C3_p3(reduce_conv1, dark3) 8
    bu_conv2(C3_p3) 16 - C3_n3(bu_conv2, reduce_conv1) 16 - bu_conv1 32 - C3_n4(bu_conv1, lateral_conv0) 32
    head(C3_p3, C3_n3, C3_n4)

Source of the architecture: Ge et al. 2021, YOLOX (arXiv:2107.08430), and its published code (Megvii,
Apache-2.0), whose names and layer tables are kept; the code here is the project's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from featcodec.networks.detectors import check_member
from featcodec.networks.folding import folded

__all__ = ["EPSILON", "SCALES", "STAGES", "STRIDES", "YOLOX", "Conv", "Scale"]

Scale = Literal["nano", "tiny", "s", "m", "l", "x"]

# depth and width multiples of each member of the family, and whether its 3x3 convolutions are depthwise
SCALES: dict[Scale, tuple[float, float, bool]] = {
    "nano": (0.33, 0.25, True),
    "tiny": (0.33, 0.375, False),
    "s": (0.33, 0.50, False),
    "m": (0.67, 0.75, False),
    "l": (1.00, 1.00, False),
    "x": (1.33, 1.25, False),
}
STRIDES = (8, 16, 32)
EPSILON = 1e-3  # of the batch normalisation of all official models
STAGES = ("stem", "dark2", "dark3", "dark4", "dark5")  # of the backbone; the neck reads the last three
LARGEST_LOG = 16.0  # of a side over its stride: e^16 strides are beyond any canvas, and finite


class Conv(nn.Module):
    """Convolution with bias, SiLU; batch normalisation is folded in."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, *, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups)
        self.act = nn.SiLU(inplace=True)
        # nothing else keeps the scale of random networks: He et al. 2015 (arXiv:1502.01852), eq. 10
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.conv(x))
        return y


class DepthwiseConv(nn.Module):
    """A convolution of each channel by itself, then a 1x1 convolution."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1):
        super().__init__()
        self.dconv = Conv(c_in, c_in, kernel, stride, groups=c_in)
        self.pconv = Conv(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pconv(self.dconv(x))
        return y


class Focus(nn.Module):
    """Every second pixel of every second row becomes channels, then a convolution."""

    def __init__(self, c_out: int):
        super().__init__()
        self.conv = Conv(12, c_out, 3)
        with torch.no_grad():
            self.conv.conv.weight /= 255  # which pixels reach; what follows is made for numbers around 1

    def forward(self, x: Tensor) -> Tensor:
        rows = x[..., ::2, :], x[..., 1::2, :]
        parts = [row[..., column::2] for column in (0, 1) for row in rows]
        y: Tensor = self.conv(torch.cat(parts, 1))
        return y


class Bottleneck(nn.Module):
    """1x1 then 3x3 convolution, with a skip where asked."""

    def __init__(self, c: int, shortcut: bool, depthwise: bool):
        super().__init__()
        self.conv1 = Conv(c, c, 1)
        self.conv2 = _conv3(depthwise)(c, c, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x))
        return y + x if self.shortcut else y


class CSPLayer(nn.Module):
    """Cross-stage partial block with three 1x1 convolutions around n bottlenecks."""

    def __init__(self, c_in: int, c_out: int, n: int, depthwise: bool, shortcut: bool = True):
        super().__init__()
        c = c_out // 2
        self.conv1 = Conv(c_in, c, 1)
        self.conv2 = Conv(c_in, c, 1)
        self.conv3 = Conv(2 * c, c_out, 1)
        self.m = nn.Sequential(*(Bottleneck(c, shortcut, depthwise) for _ in range(n)))

    def forward(self, x: Tensor) -> Tensor:
        # conv1 before conv2, as the published code: convolutions of an ONNX file are told by their order
        a, b = self.conv1(x), self.conv2(x)
        y: Tensor = self.conv3(torch.cat((self.m(a), b), 1))
        return y


class SPPBottleneck(nn.Module):
    """Spatial pyramid pooling between two 1x1 convolutions."""

    def __init__(self, c: int, kernels: tuple[int, ...] = (5, 9, 13)):
        super().__init__()
        self.conv1 = Conv(c, c // 2, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(kernel, 1, kernel // 2) for kernel in kernels)
        self.conv2 = Conv(c // 2 * (len(kernels) + 1), c, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        y: Tensor = self.conv2(torch.cat((x, *(pool(x) for pool in self.m)), 1))
        return y


class CSPDarknet(nn.Module):
    """The backbone, stage by stage."""

    def __init__(self, depth: float, width: float, depthwise: bool):
        super().__init__()
        c = int(64 * width)
        n = max(round(3 * depth), 1)
        conv3 = _conv3(depthwise)
        self.stem = Focus(c)
        self.dark2 = nn.Sequential(conv3(c, 2 * c, 3, 2), CSPLayer(2 * c, 2 * c, n, depthwise))
        self.dark3 = nn.Sequential(conv3(2 * c, 4 * c, 3, 2), CSPLayer(4 * c, 4 * c, 3 * n, depthwise))
        self.dark4 = nn.Sequential(conv3(4 * c, 8 * c, 3, 2), CSPLayer(8 * c, 8 * c, 3 * n, depthwise))
        last = CSPLayer(16 * c, 16 * c, n, depthwise, shortcut=False)
        self.dark5 = nn.Sequential(conv3(8 * c, 16 * c, 3, 2), SPPBottleneck(16 * c), last)

    def run(self, x: Tensor, first: int, stop: int) -> list[Tensor]:
        """The outputs of stages first .. stop - 1 of `STAGES`, from what the first reads."""
        out = []
        for stage in STAGES[first:stop]:
            x = getattr(self, stage)(x)
            out.append(x)
        return out


class PAFPN(nn.Module):
    """The backbone, and the neck: down from stride 32 to 8, and up again."""

    def __init__(self, depth: float, width: float, depthwise: bool):
        super().__init__()
        c3, c4, c5 = _neck_widths(width)
        n = round(3 * depth)
        conv3 = _conv3(depthwise)
        self.backbone = CSPDarknet(depth, width, depthwise)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral_conv0 = Conv(c5, c4, 1)
        self.C3_p4 = CSPLayer(2 * c4, c4, n, depthwise, shortcut=False)
        self.reduce_conv1 = Conv(c4, c3, 1)
        self.C3_p3 = CSPLayer(2 * c3, c3, n, depthwise, shortcut=False)
        self.bu_conv2 = conv3(c3, c3, 3, 2)
        self.C3_n3 = CSPLayer(2 * c3, c4, n, depthwise, shortcut=False)
        self.bu_conv1 = conv3(c4, c4, 3, 2)
        self.C3_n4 = CSPLayer(2 * c4, c5, n, depthwise, shortcut=False)

    def neck(self, dark3: Tensor, dark4: Tensor, dark5: Tensor) -> tuple[Tensor, ...]:
        """The maps of lateral_conv0 and reduce_conv1, which are read twice, and the three of the head."""
        lateral = self.lateral_conv0(dark5)
        reduced = self.reduce_conv1(self.C3_p4(torch.cat((self.upsample(lateral), dark4), 1)))
        p3 = self.C3_p3(torch.cat((self.upsample(reduced), dark3), 1))
        n3 = self.C3_n3(torch.cat((self.bu_conv2(p3), reduced), 1))
        n4 = self.C3_n4(torch.cat((self.bu_conv1(n3), lateral), 1))
        return lateral, reduced, p3, n3, n4


class Head(nn.Module):
    """Decoupled detection head: classes on one branch, box and objectness on the other."""

    def __init__(self, classes: int, width: float, depthwise: bool):
        super().__init__()
        widths, c = _neck_widths(width), int(256 * width)
        conv3 = _conv3(depthwise)
        self.stems = nn.ModuleList(Conv(w, c, 1) for w in widths)
        self.cls_convs = nn.ModuleList(nn.Sequential(conv3(c, c, 3), conv3(c, c, 3)) for _ in widths)
        self.reg_convs = nn.ModuleList(nn.Sequential(conv3(c, c, 3), conv3(c, c, 3)) for _ in widths)
        self.cls_preds = nn.ModuleList(nn.Conv2d(c, classes, 1) for _ in widths)
        self.reg_preds = nn.ModuleList(nn.Conv2d(c, 4, 1) for _ in widths)
        self.obj_preds = nn.ModuleList(nn.Conv2d(c, 1, 1) for _ in widths)
        for conv in (*self.cls_preds, *self.obj_preds):
            # one place of a hundred holds an object: Lin et al. 2017 (arXiv:1708.02002), section 3.3
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            nn.init.constant_(conv.bias, -math.log(99))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        out = []
        for i, x in enumerate(features):
            x = self.stems[i](x)
            classes = self.cls_preds[i](self.cls_convs[i](x))
            boxes = self.reg_convs[i](x)
            raw = torch.cat((self.reg_preds[i](boxes), self.obj_preds[i](boxes), classes), 1)
            out.append(raw.unsqueeze(1).permute(0, 1, 3, 4, 2).contiguous())  # (B, 1, h, w, 5 + classes)
        return out

    def decode(self, outputs: list[Tensor]) -> Tensor:
        """Raw outputs to (B, N, 5 + classes): cx, cy, w, h in pixels, objectness, class scores in [0, 1].

        Source: Ge et al. 2021 (arXiv:2107.08430), section 2.1, "Anchor-free".
        """
        rows = []
        for raw, stride in zip(outputs, STRIDES, strict=True):
            raw = raw.float()
            _, _, h, w, _ = raw.shape
            ys, xs = torch.meshgrid(
                torch.arange(h, device=raw.device), torch.arange(w, device=raw.device), indexing="ij"
            )
            xy = (raw[..., :2] + torch.stack((xs, ys), -1)) * stride
            wh = raw[..., 2:4].clamp(max=LARGEST_LOG).exp() * stride
            rows.append(torch.cat((xy, wh, raw[..., 4:].sigmoid()), -1).flatten(1, 3))
        return torch.cat(rows, 1)


class YOLOX(nn.Module):
    """A YOLOX detector for inference, its batch normalisation folded into its convolutions.

    Args:
        scale: member of the family, ``"nano"`` (0.9 M parameters at 80 classes) to ``"x"`` (99 M).
        classes: number of classes, at least 1.

    Raises:
        InputError: an unknown scale or no class.

    Example:
        >>> import torch
        >>> from featcodec.networks.yolox import YOLOX
        >>> net = YOLOX("nano", classes=6).eval()
        >>> with torch.no_grad():
        ...     [tuple(out.shape) for out in net(torch.zeros(1, 3, 64, 96))]
        [(1, 1, 8, 12, 11), (1, 1, 4, 6, 11), (1, 1, 2, 3, 11)]
    """

    def __init__(self, scale: Scale, *, classes: int = 80):
        super().__init__()
        check_member("YOLOX", scale, get_args(Scale), classes)
        self.scale = scale
        self.classes = classes
        depth, width, depthwise = SCALES[scale]
        self.backbone = PAFPN(depth, width, depthwise)
        self.head = Head(classes, width, depthwise)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As of any module; batch normalisation, as official checkpoints have it, is folded first."""
        return super().load_state_dict(folded(state_dict, epsilon=EPSILON), strict=strict, assign=assign)

    def prepare(self, x: Tensor) -> Tensor:
        """RGB in [0, 1], as all networks here take it, to BGR in 0 to 255, as this family was trained."""
        return x.flip(1).mul_(255)  # of its own copy

    def stages(self, x: Tensor, first: int, stop: int) -> list[Tensor]:
        """The outputs of backbone stages first .. stop - 1, from what the first reads (0: `prepare`'s)."""
        return self.backbone.backbone.run(x, first, stop)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Image (B, 3, H, W) in [0, 1], H and W multiples of 32, to raw outputs (B, 1, h, w, 5 + classes).

        The raw numbers of a place are the box's centre from the place's corner, in strides, and the
        logarithms of its sides in strides; then the logits of objectness and of the classes.
        """
        maps = self.stages(self.prepare(x), 0, len(STAGES))
        out: list[Tensor] = self.head(list(self.backbone.neck(*maps[-3:])[-3:]))
        return out


def _conv3(depthwise: bool) -> type[Conv] | type[DepthwiseConv]:
    return DepthwiseConv if depthwise else Conv


def _neck_widths(width: float) -> tuple[int, int, int]:
    """Channels at strides 8, 16 and 32."""
    return int(256 * width), int(512 * width), int(1024 * width)
