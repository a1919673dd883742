"""The YOLOv5 family, its cuts, and what makes boxes of its scores."""

from __future__ import annotations

import copy
import itertools
import math
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from featcodec.errors import InputError, SplitError
from featcodec.networks.cut_network import CrossingTensor
from featcodec.networks.families import NetworkWish, cut_network, describe
from featcodec.networks.yolov5 import ANCHORS, STRIDES, Scale, YOLOv5
from featcodec.networks.yolov5_family import YOLOv5Cut, crossing_layers
from featcodec.pictures.boxes import BLOCK, Boxes, box_iou, nms, suppress

# ---- the family

# Source: the model summaries of Jocher et al., YOLOv5 v6, printed by the official code at 80 classes
PARAMETERS: dict[Scale, int] = {
    "n": 1_872_157,
    "s": 7_235_389,
    "m": 21_190_557,
    "l": 46_563_709,
    "x": 86_749_405,
}
FUSED: dict[Scale, int] = {"n": 1_867_405, "s": 7_225_885, "m": 21_172_173, "l": 46_533_693, "x": 86_705_005}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("scale", PARAMETERS)
def test_members_of_the_family_have_the_published_number_of_parameters(scale: Scale) -> None:
    with torch.device("meta"):
        network = YOLOv5(scale).eval()
    assert count(network) == PARAMETERS[scale]


@pytest.mark.parametrize("scale", ["n", "s"])
def test_folded_networks_have_the_published_number_of_parameters(scale: Scale) -> None:
    assert count(YOLOv5(scale).eval().fuse()) == FUSED[scale]


def test_each_class_more_takes_three_rows_of_each_head() -> None:
    with torch.device("meta"):
        few, many = YOLOv5("n", classes=2), YOLOv5("n", classes=3)
    assert count(many) - count(few) == 3 * (64 + 1) + 3 * (128 + 1) + 3 * (256 + 1)


def test_unknown_members_and_no_classes_are_refused() -> None:
    with pytest.raises(InputError, match="got 'z', expected one of n, s, m, l, x"):
        YOLOv5("z")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got 0, expected at least 1"):
        YOLOv5("n", classes=0)


@cache
def network() -> YOLOv5:
    """Random weights; batch normalisation that does something."""
    torch.manual_seed(0)
    net = YOLOv5("n", classes=3).eval().requires_grad_(False)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d) and m.running_mean is not None and m.running_var is not None:
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.1, 0.4)
    return net


def image(height: int = 64, width: int = 96, count: int = 1) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def test_folding_batch_normalisation_changes_outputs_by_rounding_only() -> None:
    plain, folded = network()(image()), copy.deepcopy(network()).fuse()(image())
    for a, b in zip(plain, folded, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    assert float(plain[0].std()) > 0.1


def test_an_output_of_zero_is_the_anchor_in_the_middle_of_its_cell() -> None:
    raw = [torch.zeros(1, 3, 64 // s, 96 // s, 8) for s in STRIDES]
    rows = network().detect.decode(raw)[0]
    expected = [
        (s * (x + 0.5), s * (y + 0.5), w, h)
        for s, anchors in zip(STRIDES, ANCHORS, strict=True)
        for w, h in anchors
        for y in range(64 // s)
        for x in range(96 // s)
    ]
    torch.testing.assert_close(rows[:, :4], torch.tensor(expected))
    assert torch.equal(rows[:, 4:], torch.full_like(rows[:, 4:], 0.5))


def test_outputs_reach_from_half_a_cell_outside_to_four_anchors() -> None:
    for value, offset, factor in ((-40.0, -0.5, 0.0), (40.0, 1.5, 4.0)):
        raw = [torch.full((1, 3, 32 // s, 32 // s, 8), value) for s in STRIDES]
        rows = network().detect.decode(raw)[0]
        assert rows[-1, :4].tolist() == pytest.approx([32 * offset] * 2 + [factor * a for a in ANCHORS[2][2]])


def test_a_new_head_expects_few_objects() -> None:
    with torch.no_grad():
        outputs = YOLOv5("n", classes=3).eval()(image(320, 320))
    assert float(torch.cat([o[..., 4].sigmoid().flatten() for o in outputs]).mean()) < 0.05


# ---- cuts

CROSSING = {
    0: (0,),
    3: (3,),
    4: (4,),
    5: (4, 5),
    6: (4, 6),
    9: (4, 6, 9),
    10: (4, 6, 10),
    12: (4, 10, 12),
} | {
    14: (4, 10, 14),
    16: (10, 14, 16),
    17: (10, 14, 17),
    19: (10, 17, 19),
    20: (10, 17, 20),
    22: (17, 20, 22),
    23: (17, 20, 23),
}  # read off the diagram in featcodec/networks/yolov5.py


@pytest.mark.parametrize("at", CROSSING)
def test_the_layers_that_cross_are_those_of_the_diagram(at: int) -> None:
    assert crossing_layers(at) == CROSSING[at]


@pytest.mark.parametrize("at", range(24))
def test_the_tail_of_what_crosses_gives_what_the_whole_network_gives(at: int) -> None:
    cut, x = YOLOv5Cut.of(network(), at=at), image(64, 96, 2)
    crossing = cut.head(x)
    assert len(crossing) == len(cut.crossing) == len(crossing_layers(at))
    for whole, halves in zip(network()(x), cut.tail(crossing), strict=True):
        assert torch.equal(whole, halves)


@pytest.mark.parametrize("at", range(24))
def test_nothing_crosses_that_the_tail_does_not_read(at: int) -> None:
    cut = YOLOv5Cut.of(network(), at=at)
    crossing = cut.head(image())
    before = cut.tail(crossing)
    for i in range(len(crossing)):
        other = tuple(f + 1 if i == k else f for k, f in enumerate(crossing))
        after = cut.tail(other)
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("at", range(24))
def test_a_codec_can_cut_where_one_tensor_crosses_and_elsewhere_learns_why_not(at: int) -> None:
    config = describe(network(), NetworkWish(at=at, model="any"))
    if at <= 4:
        assert len(cut_network(network(), config, size=64).crossing) == 1
        return
    with pytest.raises(SplitError) as caught:
        cut_network(network(), config, size=64)
    others = ", ".join(map(str, crossing_layers(at)[:-1]))
    assert f"look back across it to layer {others}, so {len(crossing_layers(at))} tensors cross" in str(
        caught.value
    )
    assert "the latest layer with one is 4" in str(caught.value)


def test_channels_and_stride_of_a_cut_are_those_of_its_features() -> None:
    assert [YOLOv5Cut.of(network(), at=at).crossing for at in range(5)] == [
        (CrossingTensor("model.0", 16, 2),),
        (CrossingTensor("model.1", 32, 4),),
        (CrossingTensor("model.2", 32, 4),),
        (CrossingTensor("model.3", 64, 8),),
        (CrossingTensor("model.4", 64, 8),),
    ]
    assert [crossing.stride for crossing in YOLOv5Cut.of(network(), at=9).crossing] == [8, 16, 32]


@pytest.mark.parametrize("at", [-1, 24, 100])
def test_layers_that_do_not_exist_are_refused(at: int) -> None:
    with pytest.raises(SplitError, match=f"got {at}, expected 0 to 23"):
        YOLOv5Cut.of(network(), at=at)


def test_the_tail_wants_every_tensor_that_crosses() -> None:
    cut = YOLOv5Cut.of(network(), at=9)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        cut.tail(cut.head(image())[:2])


# ---- boxes


def overlap(a: list[float], b: list[float]) -> float:
    """Intersection over union of two corner boxes, by the book."""
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - width * height
    return width * height / max(areas, 1e-9)


def greedy(boxes: list[list[float]], scores: list[float], labels: list[int], iou: float) -> list[int]:
    """Suppression by the book: best first, each box unless a kept one of its class overlaps it too much."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(labels[i] != labels[k] or overlap(boxes[i], boxes[k]) <= iou for k in kept):
            kept.append(i)
    return kept


# Quarter pixels and scores in 1/1024: sums and products are exact, so that nothing hangs on rounding
coordinate = st.integers(0, 400).map(lambda v: v / 4)
side = st.integers(0, 160).map(lambda v: v / 4)
score = st.integers(0, 1024).map(lambda v: v / 1024)
box = st.tuples(coordinate, coordinate, side, side).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])
detections = st.lists(st.tuples(box, score, st.integers(0, 2)), max_size=25)
threshold = st.sampled_from([0.0, 0.3, 0.45, 0.7, 1.0])


@given(detections, threshold)
def test_suppression_keeps_what_the_book_keeps(
    found: list[tuple[list[float], float, int]], iou: float
) -> None:
    boxes, scores = [b for b, _, _ in found], [s for _, s, _ in found]
    kept = nms(torch.tensor(boxes).view(-1, 4), torch.tensor(scores), iou).tolist()
    assert kept == greedy(boxes, scores, [0] * len(found), iou)


@pytest.mark.parametrize("most", [None, 300, 7])
@pytest.mark.parametrize("iou", [0.1, 0.45])
def test_more_boxes_than_are_compared_at_once_are_suppressed_by_the_book(
    iou: float, most: int | None
) -> None:
    g = torch.Generator().manual_seed(0)
    corner, side = (torch.randint(0, n, (2 * BLOCK + 100, 2), generator=g) / 4 for n in (800, 160))
    boxes = torch.cat((corner, corner + side), 1)
    scores = torch.randperm(len(boxes), generator=g) / 1024
    kept = greedy(boxes.tolist(), scores.tolist(), [0] * len(boxes), iou)
    assert nms(boxes, scores, iou, most=most).tolist() == kept[:most]


def rows_of(found: list[tuple[list[float], float, int]], classes: int = 3) -> Tensor:
    """Rows as the network's head gives them, one class each, objectness 1."""
    rows = torch.zeros(len(found), 5 + classes)
    for row, ((x0, y0, x1, y1), value, label) in zip(rows, found, strict=True):
        row[:5] = torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, 1.0])
        row[5 + label] = value
    return rows


@given(detections, threshold, st.sampled_from([0.125, 0.25, 0.5]), st.integers(1, 30))
def test_boxes_of_a_picture_are_those_of_the_book_class_by_class(
    found: list[tuple[list[float], float, int]], iou: float, confidence: float, most: int
) -> None:
    enough = [f for f in found if f[1] >= confidence]
    kept = greedy([b for b, _, _ in enough], [s for _, s, _ in enough], [n for _, _, n in enough], iou)[:most]
    boxes, scores, labels = suppress(rows_of(found), confidence=confidence, iou=iou, most=most)
    # equal scores may come in any order
    got = sorted(zip(scores.tolist(), labels.tolist(), boxes.tolist(), strict=True))
    if len({s for _, s, _ in enough}) == len(enough):
        assert got == sorted((enough[i][1], enough[i][2], enough[i][0]) for i in kept)
    assert len(got) <= most
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    for (_, l1, b1), (_, l2, b2) in itertools.combinations(got, 2):
        assert l1 != l2 or overlap(b1, b2) <= iou


def test_scores_are_objectness_times_class_and_one_place_can_hold_two_classes() -> None:
    rows = torch.tensor([[50.0, 50.0, 20.0, 20.0, 0.5, 0.75, 1.0], [90.0, 50.0, 20.0, 20.0, 0.125, 1.0, 1.0]])
    boxes, scores, labels = suppress(rows, confidence=0.25, iou=0.5, most=10)
    assert scores.tolist() == [0.5, 0.375]
    assert labels.tolist() == [1, 0]
    assert boxes.tolist() == [[40.0, 40.0, 60.0, 60.0]] * 2


def test_only_the_best_candidates_enter_suppression() -> None:
    found = [([float(30 * i), 0.0, 30.0 * i + 10, 10.0], (i + 1) / 64, 0) for i in range(60)]
    boxes, scores, _ = suppress(rows_of(found), confidence=0.0, iou=0.5, most=300, candidates=5)
    assert scores.tolist() == [60 / 64, 59 / 64, 58 / 64, 57 / 64, 56 / 64]
    assert boxes[0].tolist() == found[-1][0]


def test_nothing_above_the_confidence_gives_no_boxes() -> None:
    boxes, scores, labels = suppress(rows_of([([0, 0, 5, 5], 0.2, 1)]), confidence=0.25, iou=0.5, most=10)
    assert (boxes.shape, scores.shape, labels.shape) == ((0, 4), (0,), (0,))
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


@given(st.lists(box, min_size=1, max_size=6), st.lists(box, min_size=1, max_size=6))
def test_overlaps_are_symmetric_between_0_and_1_and_1_with_oneself(
    a: list[list[float]], b: list[list[float]]
) -> None:
    overlaps = box_iou(torch.tensor(a), torch.tensor(b))
    assert torch.equal(overlaps, box_iou(torch.tensor(b), torch.tensor(a)).T)
    for (i, first), (j, second) in itertools.product(enumerate(a), enumerate(b)):
        assert float(overlaps[i, j]) == pytest.approx(overlap(first, second), abs=1e-6)
    itself = box_iou(torch.tensor(a), torch.tensor(a)).diagonal()
    for one, value in zip(a, itself.tolist(), strict=True):
        assert value == (0.0 if math.prod((one[2] - one[0], one[3] - one[1])) == 0 else 1.0)


def test_boxes_are_a_sequence_of_named_detections() -> None:
    found = Boxes(
        torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]),
        torch.tensor([0.75, 0.5]),
        torch.tensor([1, 0]),
        ("cat", "dog"),
    )
    assert len(found) == 2
    assert [b.label for b in found] == ["dog", "cat"]
    assert (found[1].score, found[1].x1, found[-1].y2) == (0.5, 5.0, 8.0)
