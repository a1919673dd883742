"""Average precision of resampled pictures equals pycocotools' on the pictures themselves."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featcodec.bench.assemble import entries, score
from featcodec.bench.runner import UNCODED, Finished
from featcodec.errors import InputError, MissingExtraError
from featcodec.evaluation.bootstrap import centred, interval, resampled_map, resampled_mean, resamples
from featcodec.evaluation.box_metric import MeanAveragePrecision, rows_of
from featcodec.evaluation.coders import Kind
from featcodec.evaluation.datasets import CocoSet, Picture
from featcodec.evaluation.journal import CodedPicture
from featcodec.evaluation.metrics import MOST_COPIES, average_precision, match
from featcodec.evaluation.provenance import origin
from featcodec.pictures.boxes import Boxes

NAMES = ("person", "bicycle", "car")


def random_set(seed, *, pictures=6, levels=1000):
    """Pictures with crowds and a class without labels; scores of few `levels` have ties everywhere."""
    rng = np.random.default_rng(seed)
    made, found = [], []
    for i in rng.permutation(pictures):  # pycocotools works in the order of the numbers, not in ours
        n = int(rng.integers(0, 6))
        low = rng.uniform(0, 80, (n, 2))
        boxes = np.concatenate([low, low + rng.uniform(5, 40, (n, 2))], axis=1).astype(np.float32)
        labels = rng.integers(0, 2, n)
        made.append(Picture(Path("x"), int(i) * 100, 120, 120, boxes, labels, rng.random(n) < 0.2))
        near = np.repeat(boxes, 3, axis=0)
        near = np.concatenate([near + rng.normal(0, 3, near.shape), rng.uniform(0, 60, (3, 4))])
        near[-3:, 2:] += 60
        names = np.concatenate([np.repeat(labels, 3), rng.integers(0, 3, 3)])
        scores = np.sort(rng.integers(1, levels + 1, len(near)) / levels)[::-1].copy()
        shuffled = rng.permutation(len(near))
        found.append(
            Boxes(
                torch.tensor(near[shuffled], dtype=torch.float32),
                torch.tensor(scores, dtype=torch.float32),
                torch.tensor(names[shuffled]),
                NAMES,
            )
        )
    return CocoSet(NAMES, (True, True, True), tuple(made)), found


def repeated(data, found, counts):
    """The data set that holds each picture `counts` times, copies one after another."""
    pairs = [
        (Picture(p.path, p.image_id + c, p.width, p.height, p.boxes, p.labels, p.crowd), f)
        for p, f, n in zip(data.pictures, found, counts, strict=True)
        for c in range(n)
    ]
    return CocoSet(data.names, data.labelled, tuple(p for p, _ in pairs)), [f for _, f in pairs]


@pytest.mark.parametrize("levels", [1000, 4], ids=["few ties", "many ties"])
@given(seed=st.integers(0, 10**6), counts=st.lists(st.integers(0, 4), min_size=6, max_size=6))
@settings(max_examples=40)
def test_a_resample_has_the_precision_of_a_data_set_that_holds_its_pictures_that_often(levels, seed, counts):
    data, found = random_set(seed, levels=levels)
    expected = average_precision(*repeated(data, found, counts))
    got = match(data, found).ap(np.array(counts))
    assert got == pytest.approx((expected.map, expected.ap50), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_every_picture_once_has_the_precision_that_pycocotools_reports(seed):
    data, found = random_set(seed, pictures=40)
    matches = match(data, found)
    assert matches.ap(np.ones(40, np.int64)) == pytest.approx(
        (matches.accuracy.map, matches.accuracy.ap50), abs=1e-9
    )
    assert 5 < matches.accuracy.map < 95


@pytest.mark.parametrize("labelled", [(True, True, True), (False, False, False)])
def test_no_detections_no_classes_and_no_pictures_are_zero(labelled):
    data, found = random_set(3)
    data = CocoSet(NAMES, labelled, data.pictures)
    nothing = [Boxes(f.xyxy[:0], f.scores[:0], f.labels[:0], NAMES) for f in found]
    matches = match(data, nothing)
    assert set(matches.accuracy.ap50_by_class.values()) == ({0.0} if any(labelled) else set())
    assert matches.ap(np.ones(6, np.int64)) == (0.0, 0.0) == (matches.accuracy.map, matches.accuracy.ap50)
    assert match(data, found).ap(np.zeros(6, np.int64)) == (0.0, 0.0)


@pytest.mark.parametrize("counts", [[1] * 5, [-1, *[1] * 5], [MOST_COPIES + 1, *[1] * 5]])
def test_counts_that_do_not_fit_are_refused(counts):
    with pytest.raises(InputError, match=f"6 of 0 to {MOST_COPIES}"):
        match(*random_set(1)).ap(np.array(counts))


def test_without_pycocotools_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'featcodec\[bench\]'"):
        match(*random_set(1))


def test_resamples_are_drawn_with_replacement_and_follow_their_seed():
    draws = resamples(280, seed=4)
    assert draws.shape == (500, 280)
    assert (draws.sum(axis=1) == 280).all()
    assert draws.max() <= MOST_COPIES
    assert abs((draws == 0).mean() - (1 - 1 / 280) ** 280) < 0.005
    assert (draws == resamples(280, seed=4)).all()
    assert (draws != resamples(280, seed=5)).any()
    with pytest.raises(InputError, match="at least 1 picture"):
        resamples(0, seed=4)


def test_the_interval_of_a_mean_is_the_one_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(50, 10, 400)
    low, high = interval(resampled_mean(values, resamples(400, count=4000, seed=2)))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05)


def test_paired_draws_make_the_interval_of_a_difference_narrower_than_those_of_its_parts():
    data, found = random_set(8, pictures=30)
    worse = [Boxes(f.xyxy + 1, f.scores, f.labels, NAMES) for f in found]
    draws = resamples(30, count=200, seed=1)
    uncoded, coded = (resampled_map(match(data, f), draws) for f in (found, worse))
    low, high = interval(uncoded - coded)
    assert low < average_precision(data, found).map - average_precision(data, worse).map < high
    assert high - low < min(np.ptp(interval(uncoded)), np.ptp(interval(coded)))


# ---- detections that are not the pictures'


def test_two_pictures_of_one_number_are_refused():
    data, found = random_set(0, pictures=2)
    twice = CocoSet(data.names, data.labelled, (data.pictures[0], data.pictures[0]))
    with pytest.raises(InputError, match=r"x: got the number \d+, which x has, too, expected one of its own"):
        match(twice, found)


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("scores", lambda v: v * torch.nan, "got detections that are not finite"),
        ("xyxy", lambda v: v * torch.inf, "got detections that are not finite"),
        ("labels", lambda v: v + 3, r"got class numbers from 3 to \d, expected 0 to 2"),
        ("labels", lambda v: v - 1, r"got class numbers from -1 to \d, expected 0 to 2"),
        ("names", lambda v: v[::-1], r"got detections of \('car', .*, expected \('person', "),
    ],
)
def test_detections_that_cannot_be_of_these_classes_and_pictures_are_refused(field, change, message):
    data, found = random_set(0)
    found[1] = replace(found[1], **{field: change(getattr(found[1], field))})
    with pytest.raises(InputError, match=message):
        match(data, found)


def test_detections_of_another_count_of_pictures_are_refused():
    data, found = random_set(0)
    with pytest.raises(InputError, match="got those of 5 pictures, expected 6"):
        match(data, found[1:])


# ---- resamples without objects, and the ends of the scale

PLACES = [[10, 10, 50, 50], [30, 20, 90, 80], [5, 60, 40, 110]]


def boxes_at(places):
    n = len(places)
    return Boxes(
        torch.tensor(places, dtype=torch.float32).reshape(-1, 4),
        torch.linspace(0.9, 0.8, n),
        torch.zeros(n, dtype=torch.long),
        NAMES,
    )


def photograph(i, places, crowd=False):
    n = len(places)
    rows = np.array(places, np.float32).reshape(-1, 4)
    return Picture(Path("x"), i, 120, 120, rows, np.zeros(n, np.int64), np.full(n, crowd))


def pictures_of(*counts, labelled=True):
    """A set whose pictures have so many persons; the second value finds all of them exactly."""
    kept = [PLACES[:n] for n in counts]
    made = tuple(photograph(i, places if labelled else []) for i, places in enumerate(kept))
    return CocoSet(NAMES, (labelled,) * 3, made), [boxes_at(places) for places in kept]


@dataclass(frozen=True)
class Named:
    """As much of a coder as the assembly asks for."""

    name: str = "codec"
    points: tuple[float, ...] = (1.0,)
    kind: Kind = "codec"
    identity: str = "codec; as it is"


def assembled(data, uncoded, coded, *, resampled=400, seed=1):
    def records(found):
        return [
            CodedPicture(str(i), 100, 0.0, 0.0, 0.0, rows_of(boxes), origin())
            for i, boxes in enumerate(found)
        ]

    finished = Finished({UNCODED: records(uncoded), ("codec", 1.0): records(coded)})
    measured = score(MeanAveragePrecision(), data, finished, confidence=0.25, resampled=resampled, seed=seed)
    (entry,) = entries([Named()], finished, measured)
    return measured, entry.points[0]


def test_resamples_have_objects_where_any_picture_has_them():
    some_of = np.array([True, False, False])
    assert (resamples(3, count=400, seed=1) @ some_of == 0).mean() == pytest.approx((2 / 3) ** 3, abs=0.06)
    draws = resamples(3, count=4000, seed=1, some_of=some_of)
    assert (draws.sum(axis=1) == 3).all()
    # the binomial distribution of 3 draws at 1/3, given at least one success
    shares = np.bincount(draws @ some_of, minlength=4)[1:] / 4000
    assert shares == pytest.approx(np.array([12, 6, 1]) / 19, abs=0.03)


def test_resamples_that_have_objects_anyway_are_those_without_the_condition():
    some_of = np.array([True] * 39 + [False])
    assert (resamples(40, seed=4, some_of=some_of) == resamples(40, seed=4)).all()


def test_without_an_object_in_any_picture_nothing_is_drawn_again():
    assert (resamples(3, seed=1, some_of=np.zeros(3, bool)) == resamples(3, seed=1)).all()


@pytest.mark.parametrize("labelled", [True, False])
def test_what_finds_everything_has_100_for_certain_though_most_pictures_are_empty(labelled):
    data, found = pictures_of(2, 0, 0, labelled=labelled)
    measured, point = assembled(data, found, found)
    assert measured.scores[UNCODED].accuracy.resampled == pytest.approx(np.full(400, 100))
    assert (point.map, *point.map_interval) == pytest.approx((100, 100, 100))
    assert (point.lost, *point.lost_interval) == pytest.approx((0, 0, 0))


def test_crowd_regions_are_no_objects_of_a_resample():
    data, found = pictures_of(2, 0)
    crowd = photograph(1, PLACES[:1], crowd=True)
    measured, point = assembled(CocoSet(NAMES, data.labelled, (data.pictures[0], crowd)), found, found)
    assert (measured.draws[:, 0] > 0).all()
    assert point.map_interval == pytest.approx((100, 100))


def test_pictures_without_any_object_have_no_accuracy_and_no_spread():
    data, found = pictures_of(0, 0)
    _, point = assembled(data, found, found)
    assert (point.map, *point.map_interval, point.lost, *point.lost_interval) == (0,) * 6


def test_half_the_pictures_missed_has_the_interval_of_the_binomial_distribution():
    """Of n pictures of one person each, found in half of them: AP is the recall, k / n of a resample."""
    data, found = pictures_of(*[1] * 40)
    missed = [boxes_at([]) if i % 2 else f for i, f in enumerate(found)]
    _, point = assembled(data, found, missed, resampled=4000)
    assert point.map == pytest.approx(100 * 51 / 101)  # 51 of 101 recall points
    # quantiles of the binomial distribution with 40 and 1/2: 14 and 26
    assert point.map_interval == pytest.approx((35, 65), abs=1.0)
    assert point.lost_interval == pytest.approx((35, 65), abs=1.0)


@given(seed=st.integers(0, 10**6), pictures=st.integers(1, 7), keep=st.floats(0, 1), labelled=st.booleans())
@settings(max_examples=60)
def test_every_interval_holds_its_figure_and_stays_on_the_scale(seed, pictures, keep, labelled):
    data, found = random_set(seed, pictures=pictures)
    if not labelled:
        bare = tuple(photograph(p.image_id, []) for p in data.pictures)
        data = CocoSet(NAMES, (False,) * 3, bare)
    rng = np.random.default_rng(seed)
    coded = []
    for f in found:
        kept = torch.from_numpy(rng.random(len(f)) < keep)
        coded.append(Boxes(f.xyxy[kept], f.scores[kept], f.labels[kept], NAMES))
    measured, point = assembled(data, found, coded, resampled=60, seed=seed)
    least = 0 if not labelled else -100
    for figure, (low, high), lowest in (
        (point.map, point.map_interval, 0),
        (point.lost, point.lost_interval, least),
    ):
        assert lowest - 1e-9 <= low <= figure + 1e-9
        assert figure - 1e-9 <= high <= 100 + 1e-9
    assert measured.draws.shape == (60, pictures)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.floats(0, 100))
def test_a_centred_interval_holds_the_measured_value_of_any_resamples(values, on):
    low, high = centred(np.array(values), on, within=(0.0, 100.0))
    assert 0 <= low <= on + 1e-9
    assert on - 1e-9 <= high <= 100
