"""The YOLOv5 v6 family (n, s, m, l, x): a CSP backbone, a PAN neck and an anchor-based detection head.

The layers are numbered 0 to 24 and named ``model.N`` as in the published checkpoints, so that official
weights load strictly. The data flow of the layers, with the sources of those that look back:

    0 Conv /2 - 1 Conv /4 - 2 C3 - 3 Conv /8 - 4 C3 - 5 Conv /16 - 6 C3 - 7 Conv /32 - 8 C3 - 9 SPPF
    10 Conv - 11 Upsample - 12 Concat(6) - 13 C3 - 14 Conv - 15 Upsample - 16 Concat(4) - 17 C3
    18 Conv - 19 Concat(14) - 20 C3 - 21 Conv - 22 Concat(10) - 23 C3 - 24 Detect(17, 20, 23)

Source of the architecture: Jocher et al., YOLOv5 v6.0 (2021), doi:10.5281/zenodo.5563715; CSP blocks from
Wang et al. 2020 (arXiv:1911.11929), PAN from Liu et al. 2018 (arXiv:1803.01534), SPP from He et al. 2015
(arXiv:1406.4729). The code here is written from the published layer tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from featcodec.networks.detectors import check_member

__all__ = ["ANCHORS", "SCALES", "STRIDES", "Scale", "YOLOv5"]

Scale = Literal["n", "s", "m", "l", "x"]

# depth and width multiples of each member of the family
SCALES: dict[Scale, tuple[float, float]] = {
    "n": (0.33, 0.25),
    "s": (0.33, 0.50),
    "m": (0.67, 0.75),
    "l": (1.00, 1.00),
    "x": (1.33, 1.25),
}
STRIDES = (8, 16, 32)
# width and height in pixels of the three anchors of each stride (COCO)
ANCHORS = (
    ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)


class Conv(nn.Module):
    """Convolution, batch normalisation, SiLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, padding: int | None = None):
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(c_out, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.bn(self.conv(x)))
        return y


class Bottleneck(nn.Module):
    """1x1 then 3x3 convolution, with a skip where asked."""

    def __init__(self, c: int, shortcut: bool):
        super().__init__()
        self.cv1 = Conv(c, c, 1)
        self.cv2 = Conv(c, c, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Cross-stage partial block with three 1x1 convolutions around n bottlenecks."""

    def __init__(self, c_in: int, c_out: int, n: int, shortcut: bool = True):
        super().__init__()
        c = c_out // 2
        self.cv1 = Conv(c_in, c)
        self.cv2 = Conv(c_in, c)
        self.cv3 = Conv(2 * c, c_out)
        self.m = nn.Sequential(*(Bottleneck(c, shortcut) for _ in range(n)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))
        return y


class SPPF(nn.Module):
    """Spatial pyramid pooling by one max-pool applied three times."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 5):
        super().__init__()
        self.cv1 = Conv(c_in, c_in // 2)
        self.cv2 = Conv(c_in * 2, c_out)
        self.m = nn.MaxPool2d(kernel, 1, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.cv1(x)
        b = self.m(a)
        c = self.m(b)
        y: Tensor = self.cv2(torch.cat((a, b, c, self.m(c)), 1))
        return y


class Detect(nn.Module):
    """Detection head: one 1x1 convolution a stride; `decode` turns its outputs into boxes."""

    anchors: Tensor

    def __init__(self, classes: int, channels: tuple[int, ...]):
        super().__init__()
        self.classes = classes
        # in Python: dividing tensors on the meta device takes torch seconds (it imports its compiler)
        cells = [[(w / s, h / s) for w, h in three] for three, s in zip(ANCHORS, STRIDES, strict=True)]
        self.register_buffer("anchors", torch.tensor(cells))  # (3, 3, 2), in cells of the stride
        self.m = nn.ModuleList(nn.Conv2d(c, 3 * (5 + classes), 1) for c in channels)
        self._set_prior_biases()

    def _set_prior_biases(self) -> None:
        # About eight objects in a picture of 640 px and classes equally likely: training starts from
        # plausible scores (Lin et al. 2017, arXiv:1708.02002, section 3.3).
        for conv, stride in zip(self.m, STRIDES, strict=True):
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            bias = conv.bias.detach().view(3, -1)
            bias[:, 4] = math.log(8 / (640 / stride) ** 2)
            bias[:, 5:] = math.log(0.6 / (self.classes - 0.99)) if self.classes > 1 else 0.0

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        out = []
        for conv, x in zip(self.m, features, strict=True):
            b, _, h, w = x.shape
            raw = conv(x).view(b, 3, 5 + self.classes, h, w)
            out.append(raw.permute(0, 1, 3, 4, 2).contiguous())  # (B, 3, h, w, 5 + classes)
        return out

    def decode(self, outputs: list[Tensor]) -> Tensor:
        """Raw outputs to (B, N, 5 + classes): cx, cy, w, h in pixels, objectness, class scores in [0, 1]."""
        rows = []
        for raw, stride, anchor in zip(outputs, STRIDES, self.anchors, strict=True):
            _, _, h, w, _ = raw.shape
            s = raw.float().sigmoid()
            ys, xs = torch.meshgrid(
                torch.arange(h, device=s.device), torch.arange(w, device=s.device), indexing="ij"
            )
            grid = torch.stack((xs, ys), -1)  # (h, w, 2)
            xy = (s[..., :2] * 2 - 0.5 + grid) * stride
            wh = (s[..., 2:4] * 2) ** 2 * anchor.float().view(1, 3, 1, 1, 2) * stride
            rows.append(torch.cat((xy, wh, s[..., 4:]), -1).flatten(1, 3))
        return torch.cat(rows, 1)


class Concat(nn.Module):
    """Joins the previous layer's output with an earlier layer's, along the channels."""

    def forward(self, xs: list[Tensor]) -> Tensor:
        return torch.cat(xs, 1)


@dataclass(frozen=True, slots=True)
class _Widths:
    """Channel counts and block repeats of one member of the family."""

    depth: float
    width: float

    def c(self, channels: int) -> int:
        return math.ceil(channels * self.width / 8) * 8

    def n(self, repeats: int) -> int:
        return max(round(repeats * self.depth), 1)


def _layers(scale: Scale, classes: int) -> list[nn.Module]:
    k = _Widths(*SCALES[scale])
    c1, c2, c3, c4, c5 = (k.c(c) for c in (64, 128, 256, 512, 1024))
    up = nn.Upsample(scale_factor=2, mode="nearest")
    backbone = [
        Conv(3, c1, 6, 2, 2),
        Conv(c1, c2, 3, 2),
        C3(c2, c2, k.n(3)),
        Conv(c2, c3, 3, 2),
        C3(c3, c3, k.n(6)),
        Conv(c3, c4, 3, 2),
        C3(c4, c4, k.n(9)),
        Conv(c4, c5, 3, 2),
        C3(c5, c5, k.n(3)),
        SPPF(c5, c5),
    ]
    neck_down = [Conv(c5, c4), up, Concat(), C3(2 * c4, c4, k.n(3), False)]
    neck_down += [Conv(c4, c3), up, Concat(), C3(2 * c3, c3, k.n(3), False)]
    neck_up = [Conv(c3, c3, 3, 2), Concat(), C3(2 * c3, c4, k.n(3), False)]
    neck_up += [Conv(c4, c4, 3, 2), Concat(), C3(2 * c4, c5, k.n(3), False)]
    return [*backbone, *neck_down, *neck_up, Detect(classes, (c3, c4, c5))]


class YOLOv5(nn.Module):
    """A YOLOv5 v6 detector.

    Args:
        scale: member of the family, ``"n"`` (1.9 M parameters at 80 classes) to ``"x"`` (86.7 M).
        classes: number of classes, at least 1.

    Raises:
        InputError: an unknown scale or no class.

    Example:
        >>> import torch
        >>> from featcodec.networks.yolov5 import YOLOv5
        >>> net = YOLOv5("n", classes=6).eval()
        >>> with torch.no_grad():
        ...     [tuple(out.shape) for out in net(torch.zeros(1, 3, 64, 96))]
        [(1, 3, 8, 12, 11), (1, 3, 4, 6, 11), (1, 3, 2, 3, 11)]
    """

    # which earlier layers a layer reads beside the one before it; Detect reads these only
    LOOKS_BACK: dict[int, tuple[int, ...]] = {12: (6,), 16: (4,), 19: (14,), 22: (10,), 24: (17, 20, 23)}  # noqa: RUF012

    def __init__(self, scale: Scale, *, classes: int = 80):
        super().__init__()
        check_member("YOLOv5", scale, get_args(Scale), classes)
        self.scale = scale
        self.classes = classes
        self.model = nn.ModuleList(_layers(scale, classes))

    def fuse(self) -> YOLOv5:
        """Folds batch normalisation into the convolutions, in place: the same outputs but for rounding.

        For inference only; the state dict no longer has the published names.
        """
        for m in self.modules():
            if isinstance(m, Conv) and isinstance(m.bn, nn.BatchNorm2d):
                # torch folds modules in evaluation mode only, and the numbers are the same in any
                m.conv = fuse_conv_bn_eval(m.conv.eval(), m.bn.eval()).train(m.training)
                m.bn = nn.Identity().train(m.training)
        return self

    @property
    def detect(self) -> Detect:
        """The detection head, layer 24."""
        last = self.model[24]
        assert isinstance(last, Detect)
        return last

    def run(self, start: int, stop: int, kept: dict[int, Tensor]) -> dict[int, Tensor]:
        """Runs layers start .. stop - 1.

        Args:
            start: first layer to run; reads ``kept[start - 1]`` (the image where start is 0).
            stop: one past the last layer; at most 24 (the detection head is called by `forward` and `tail`).
            kept: outputs by layer number (-1: the image); holds what the layers look back to.

        Returns:
            kept, with every output that a later layer still needs and the last one.
        """
        x = kept[start - 1]
        wanted = {source for sources in self.LOOKS_BACK.values() for source in sources}
        kept = dict(kept)
        for i in range(start, stop):
            sources = self.LOOKS_BACK.get(i)
            x = self.model[i]([x, *(kept[s] for s in sources)]) if sources else self.model[i](x)
            if i in wanted:
                kept[i] = x
        kept[stop - 1] = x
        return kept

    def head_outputs(self, kept: dict[int, Tensor]) -> list[Tensor]:
        """Layer 24 on the three neck outputs in `kept`."""
        out: list[Tensor] = self.detect([kept[i] for i in self.LOOKS_BACK[24]])
        return out

    def forward(self, x: Tensor) -> list[Tensor]:
        """Image (B, 3, H, W) in [0, 1], H and W multiples of 32, to raw outputs (B, 3, h, w, 5 + classes)."""
        return self.head_outputs(self.run(0, 24, {-1: x}))
