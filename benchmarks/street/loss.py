"""What the street detector is trained on: boxes and classes, and a teacher's feature maps and answers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from data import Batch
from teacher import ANSWERS, TAP_CHANNELS, TAP_LAYERS, TeacherOutputs
from torch import Tensor, nn

from featcodec.networks.yolov5 import STRIDES, Detect

__all__ = ["Answers", "DetectionLoss", "Mimic", "complete_iou"]


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """CIoU of paired boxes (N, 4), cx, cy, w, h: (N,) at most 1 (Zheng et al. 2020, arXiv:1911.08287)."""
    a_lo, a_hi = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2
    b_lo, b_hi = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    inter = (torch.minimum(a_hi, b_hi) - torch.maximum(a_lo, b_lo)).clamp(min=0).prod(1)
    union = a[:, 2:].prod(1) + b[:, 2:].prod(1) - inter + 1e-7
    iou = inter / union
    hull = (torch.maximum(a_hi, b_hi) - torch.minimum(a_lo, b_lo)).square().sum(1) + 1e-7
    centre = (a[:, :2] - b[:, :2]).square().sum(1)
    angle = torch.atan(b[:, 2] / (b[:, 3] + 1e-7)) - torch.atan(a[:, 2] / (a[:, 3] + 1e-7))
    v = (4 / math.pi**2) * angle.square()
    with torch.no_grad():
        alpha = v / (v - iou + 1 + 1e-7)
    return iou - centre / hull - alpha * v


@dataclass(frozen=True, slots=True)
class _Matches:
    """Anchors that answer for an object: image, anchor, row, column; the object's box in cells; its class."""

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    box: Tensor
    label: Tensor


def _match(batch: Batch, anchors: Tensor, stride: int, h: int, w: int) -> _Matches:
    """Anchors within a factor 4 of the box's shape, in its cell and the two nearest neighbour cells.

    Source: the rule of YOLOv5 (Jocher et al. 2021), build_targets.
    """
    xyxy = batch.boxes / stride
    box = torch.cat(((xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]), 1)  # (N, 4) in cells
    ratio = box[:, None, 2:] / anchors[None]  # (N, 3, 2)
    obj, anchor = (torch.maximum(ratio, 1 / ratio).amax(2) < 4).nonzero(as_tuple=True)
    centre = box[obj, :2]
    limit = torch.tensor([w, h], dtype=centre.dtype)
    shifts = torch.tensor([[0, 0], [-1, 0], [0, -1], [1, 0], [0, 1]])
    frac, frac_far = centre % 1, (limit - centre) % 1
    near = (frac < 0.5) & (centre > 1)
    far = (frac_far < 0.5) & (limit - centre > 1)
    use = torch.stack((torch.ones_like(near[:, 0]), near[:, 0], near[:, 1], far[:, 0], far[:, 1]), 1)
    k, s = use.nonzero(as_tuple=True)
    cell = centre[k].long() + shifts[s]
    column, row = cell[:, 0].clamp(0, w - 1), cell[:, 1].clamp(0, h - 1)
    local = torch.cat((box[obj[k], :2] - torch.stack((column, row), 1), box[obj[k], 2:]), 1)
    return _Matches(batch.picture[obj[k]], anchor[k], row, column, local, batch.labels[obj[k]])


class DetectionLoss:
    """CIoU of the matched boxes, objectness and classes by binary cross-entropy.

    Classes that a picture's data set does not label are masked: no class loss for them, and no objectness
    loss where `suspect` (the teacher's score of those classes) says that one may stand.

    Source: the loss of YOLOv5 v6 (Jocher et al. 2021): gains 0.05 / 1.0 / 0.5 x classes / 80, objectness
    weighted 4.0, 1.0, 0.4 by stride; the class gain is raised, since six classes would leave it at 0.04.
    """

    BALANCE = (4.0, 1.0, 0.4)

    def __init__(self, head: Detect, *, box: float = 0.05, objectness: float = 1.0, classes: float = 0.2):
        self.head = head
        self.gains = (box, objectness, classes)

    def __call__(self, outputs: list[Tensor], batch: Batch, suspect: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Raw outputs and targets to the loss of a picture and its three parts (detached)."""
        parts = torch.zeros(3)
        for level, raw in enumerate(outputs):
            parts = parts + torch.stack(self._level(level, raw.float(), batch, suspect[level]))
        total = (parts * torch.tensor(self.gains)).sum()
        return total, parts.detach()

    def _level(self, level: int, raw: Tensor, batch: Batch, suspect: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, _, h, w, _ = raw.shape
        anchors = self.head.anchors[level].float()
        m = _match(batch, anchors, STRIDES[level], h, w)
        target = torch.zeros_like(raw[..., 4])
        box_loss = class_loss = raw.sum() * 0.0
        if len(m.label):
            at = raw[m.image, m.anchor, m.row, m.column]
            s = at[:, :4].sigmoid()
            predicted = torch.cat((s[:, :2] * 2 - 0.5, (s[:, 2:] * 2) ** 2 * anchors[m.anchor]), 1)
            iou = complete_iou(predicted, m.box)
            box_loss = (1 - iou).mean()
            target[m.image, m.anchor, m.row, m.column] = iou.detach().clamp(0)
            one_hot = F.one_hot(m.label, at.shape[1] - 5).float()
            known = batch.labelled[m.image].float()
            bce = F.binary_cross_entropy_with_logits(at[:, 5:], one_hot, reduction="none")
            class_loss = (bce * known).sum() / known.sum()
        weight = _objectness_weight(target, batch, suspect, STRIDES[level])
        bce = F.binary_cross_entropy_with_logits(raw[..., 4], target, reduction="none")
        return box_loss, (bce * weight).mean() * self.BALANCE[level], class_loss


def _objectness_weight(target: Tensor, batch: Batch, suspect: Tensor, stride: int) -> Tensor:
    """1, but 0 at unmatched anchors inside crowd regions or where an unlabelled class may stand."""
    _, _, h, w = target.shape
    unknown = (suspect * (~batch.labelled[:, :, None, None]).float()).amax(1) > 0.05  # (B, h, w)
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    for image, x1, y1, x2, y2 in (batch.ignore / torch.tensor([1, *[stride] * 4])).tolist():
        unknown[int(image)] |= (x > x1) & (x < x2) & (y > y1) & (y < y2)
    return torch.where(unknown[:, None] & (target == 0), 0.0, 1.0)


class Mimic(nn.Module):
    """Distance between the student's feature maps and the teacher's, after a 1x1 adapter each.

    Both sides are normalised by the teacher's running statistics of each channel, so that every channel
    and every layer counts alike.

    Source: FitNets (Romero et al. 2015, arXiv:1412.6550), eq. 3.
    """

    def __init__(self, channels: dict[int, int]):
        super().__init__()
        pairs = zip(TAP_LAYERS, TAP_CHANNELS, strict=True)
        self.adapters = nn.ModuleList(nn.Conv2d(channels[layer], c, 1) for layer, c in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c, affine=False, momentum=0.01) for c in TAP_CHANNELS)

    def forward(self, kept: dict[int, Tensor], teacher: TeacherOutputs) -> Tensor:
        loss = torch.zeros(())
        for layer, adapter, norm, t in zip(TAP_LAYERS, self.adapters, self.norms, teacher.taps, strict=True):
            with torch.no_grad():
                target = norm(t.float()).clamp(-6, 6)
            loss = loss + F.mse_loss(adapter(kept[layer]).float(), target)
        return loss / len(TAP_LAYERS)


class Answers(nn.Module):
    """Distance between the teacher's answers and what one linear layer reads off the student's last maps.

    The student's own head reads the same maps. The teacher scores 80 classes where the street detector
    needs six: the others teach it what is none of the six.

    Source: quality focal loss (Li et al. 2020, arXiv:2006.04388, eq. 6, beta 2) on the scores, and CIoU on
    the boxes, weighted by the score.
    """

    def __init__(self, channels: dict[int, int]):
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(channels[layer], ANSWERS, 1) for layer in TAP_LAYERS[-3:])
        for head in self.heads:
            nn.init.constant_(head.bias[4:], -4.6)  # type: ignore[index, arg-type]

    def forward(self, kept: dict[int, Tensor], teacher: TeacherOutputs) -> Tensor:
        focal = boxes = confident = torch.zeros(())
        for layer, head, t in zip(TAP_LAYERS[-3:], self.heads, teacher.heads, strict=True):
            own, told = (v.float().permute(0, 2, 3, 1).flatten(0, 2) for v in (head(kept[layer]), t))
            score = told[:, 4:5] * told[:, 5:]
            distance = (score - own[:, 4:].detach().sigmoid()).square()
            bce = F.binary_cross_entropy_with_logits(own[:, 4:], score, reduction="none")
            focal = focal + (bce * distance).sum()
            best = score.amax(1)
            a, b = (torch.cat((v[:, :2], v[:, 2:4].clamp(-4, 5).exp()), 1) for v in (own, told))
            boxes = boxes + ((1 - complete_iou(a, b)) * best).sum()
            confident = confident + best.sum()
        return (2 * focal + boxes) / confident.clamp(min=1)
