"""Bjøntegaard deltas: what they are by hand, what they refuse, and how far they can be trusted."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator
from scipy.optimize import minimize

from featcodec.bench.bd import LEAST_OVERLAP, MOST_REFUSED, delta
from featcodec.bench.concave import ConcaveCubic, fit_concave
from featcodec.bench.curves import Curve, on_front
from featcodec.errors import InputError, MissingExtraError

METHODS = ("pchip", "akima")
CONSTRAINED = "constrained-cubic"
MEASURES = ("rate", "map", "attack-psnr")


def curve(name, cost, map_, **draws):
    labels = tuple(str(i) for i in range(len(cost)))
    return Curve(name, labels, np.array(cost, float), np.array(map_, float), **draws)


IMAGE = curve("image", [2400, 4000, 6700, 13400, 24000], [29.1, 32.1, 35.4, 39.5, 40.3])


@st.composite
def rising(draw, name):
    """Curves as codecs have them: mAP rises with bytes, by uneven steps."""
    steps = st.lists(st.floats(0.3, 4), min_size=4, max_size=7)
    map_ = 25 + draw(st.floats(0, 1)) + np.cumsum(draw(steps))
    cost = 1000 * draw(st.floats(0.2, 5)) * 1.5 ** np.cumsum(draw(st.lists(st.floats(0.1, 2), min_size=7)))
    return curve(name, cost[: len(map_)], map_[: len(cost)])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [0.1, 0.7, 3.0])
def test_a_constant_factor_in_bytes_is_that_percentage(method, factor):
    test = curve("test", IMAGE.cost * factor, IMAGE.map)
    got = delta(test, IMAGE, measure="rate", method=method)
    assert got.value == pytest.approx(100 * (factor - 1), abs=1e-6)
    assert (got.overlap, got.fraction, got.refused, got.dropped) == ((29.1, 40.3), 1.0, None, ())
    assert (got.test, got.anchor, got.measure, got.method) == ("test", "image", "rate", method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("measure", ["map", "attack-psnr"])
def test_a_constant_distance_is_that_distance(method, measure):
    test = curve("test", IMAGE.cost, IMAGE.map + 0.5)
    attack = curve("private", [11, 12, 13.5, 14, 16], IMAGE.map)
    open_ = curve("open", attack.cost + 2.5, IMAGE.map)
    pair, expected = ((test, IMAGE), 0.5) if measure == "map" else ((attack, open_), -2.5)
    assert delta(*pair, measure=measure, method=method).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_straight_lines_over_log_rate_have_the_delta_of_their_middle(method):
    """log10 R = 3 + (mAP - 30) / 20 against 2.9 + (mAP - 32) / 40: at 34, the middle, 0.25 apart."""
    maps = np.array([30.0, 31, 33, 34, 36])
    anchor = curve("anchor", 10 ** (3 + (maps - 30) / 20), maps)
    test = curve("test", 10 ** (2.9 + (maps + 2 - 32) / 40), maps + 2)
    rate = delta(test, anchor, measure="rate", method=method)
    assert rate.overlap == (32, 36)
    assert rate.fraction == pytest.approx(4 / 6)
    assert rate.value == pytest.approx(100 * (10 ** (2.95 - 3.2) - 1), abs=1e-6)
    # over log10 R from 2.9 to 3.05 the lines 30 + 20 (l - 3) and 32 + 40 (l - 2.9) overlap from 3 on
    points = delta(test, anchor, measure="map", method=method)
    assert points.overlap == pytest.approx((1000, 10**3.05))
    assert points.value == pytest.approx((32 + 40 * 0.125) - (30 + 20 * 0.025), abs=1e-6)


def test_pchip_by_hand():
    """Slopes by Fritsch and Butland (1984), the integral of a cubic from its ends' values and slopes."""
    h, first, second = 10.0, (3.2 - 3.0) / 10, (3.6 - 3.2) / 10
    inner = 2 / (1 / first + 1 / second)  # harmonic mean
    left, right = (3 * first - second) / 2, (3 * second - first) / 2  # parabola through the three points
    area = h * (3.0 + 3.2) / 2 + h**2 * (left - inner) / 12
    area += h * (3.2 + 3.6) / 2 + h**2 * (inner - right) / 12
    assert area == pytest.approx(64 + 2 / 3)
    anchor = curve("anchor", [10**3.0, 10**3.2, 10**3.6], [10, 20, 30])
    test = curve("test", [10**2.9, 10**3.1, 10**3.3], [10, 20, 30])  # a straight line of mean 3.1
    got = delta(test, anchor, measure="rate", method="pchip").value
    assert got == pytest.approx(100 * (10 ** (3.1 - area / 20) - 1), abs=1e-6)
    assert got == pytest.approx(-26.435775, abs=1e-6)


@pytest.mark.parametrize(("method", "spline"), [("pchip", PchipInterpolator), ("akima", Akima1DInterpolator)])
def test_an_uneven_pair_agrees_with_a_fine_sum_over_the_splines(method, spline):
    test = curve("test", [800, 1500, 2600, 3500], [30.5, 33.1, 34.6, 36.1])
    axis = np.linspace(30.5, 36.1, 400_001)[:-1] + 0.7e-5  # middles of equal steps
    apart = spline(test.map, np.log10(test.cost))(axis) - spline(IMAGE.map, np.log10(IMAGE.cost))(axis)
    expected = 100 * (10 ** apart.mean() - 1)
    got = delta(test, IMAGE, measure="rate", method=method)
    assert got.value == pytest.approx(expected, abs=1e-6)
    assert -75 < got.value < -50


def test_attack_psnr_is_averaged_over_linear_map():
    """mAP / 2 dB against mAP / 4 + 20 dB: apart as at 25, the middle, which a logarithmic axis would move."""
    maps = np.array([10.0, 20, 30, 40])
    test = curve("test", maps / 2, maps)
    anchor = curve("anchor", maps / 4 + 20, maps)
    got = delta(test, anchor, measure="attack-psnr", method="pchip")
    assert got.value == pytest.approx(25 / 2 - (25 / 4 + 20), abs=1e-9)


@given(
    a=rising("a"),
    b=rising("b"),
    measure=st.sampled_from(MEASURES),
    method=st.sampled_from((*METHODS, CONSTRAINED)),
)
@settings(max_examples=60)
def test_swapping_test_and_anchor_turns_the_delta_round(a, b, measure, method):
    there = delta(a, b, measure=measure, method=method)
    back = delta(b, a, measure=measure, method=method)
    assert (there.overlap, there.fraction) == (back.overlap, back.fraction)
    assert (there.value is None) == (there.refused is not None) == (back.value is None)
    if there.value is not None and measure == "rate":
        assert back.value / 100 == pytest.approx(1 / (1 + there.value / 100) - 1, rel=1e-9, abs=1e-9)
    elif there.value is not None:
        assert back.value == pytest.approx(-there.value, abs=1e-9)


@given(a=rising("a"), measure=st.sampled_from(MEASURES), method=st.sampled_from(METHODS), data=st.data())
@settings(max_examples=40)
def test_a_curve_against_itself_in_any_order_is_zero_and_is_its_own_front(a, measure, method, data):
    order = data.draw(st.permutations(range(len(a.labels))))
    b = Curve("b", tuple(a.labels[i] for i in order), a.cost[order], a.map[order])
    strict = delta(b, a, measure=measure, method=method)
    front = delta(b, a, measure=measure, method=method, pareto=True)
    assert (strict.value or 0) == pytest.approx(0, abs=1e-9)
    assert (strict.value is None) == (len(a.labels) < 4 and method == "akima")
    assert front == strict


@given(
    test=st.lists(st.tuples(st.floats(), st.floats()), max_size=6),
    anchor=st.lists(st.tuples(st.floats(), st.floats()), max_size=6),
    measure=st.sampled_from(MEASURES),
    method=st.sampled_from((*METHODS, CONSTRAINED)),
    pareto=st.booleans(),
)
@settings(max_examples=200)
def test_whatever_the_numbers_there_is_a_finite_value_or_a_reason(test, anchor, measure, method, pareto):
    pair = (curve("a", *np.reshape(test, (-1, 2)).T), curve("b", *np.reshape(anchor, (-1, 2)).T))
    got = delta(*pair, measure=measure, method=method, pareto=pareto and method != CONSTRAINED)
    assert (got.value is None) != (got.refused is None)
    assert got.value is None or math.isfinite(got.value)
    assert 0 <= got.fraction <= 1 + 1e-12


@pytest.mark.parametrize(
    ("cost", "map_", "reason"),
    [
        ([1000, 2000], [30, 35], "test: 2 points, pchip takes at least 3"),
        ([], [], "test: 0 points, pchip takes at least 3"),
        ([1000, 2000, 3000], [30, 36, 35], "mAP does not rise with the bytes: 36.00 at 1, 35.00 at 2"),
        ([1000, 2000, 3000], [30, 36, 36], "mAP does not rise with the bytes: 36.00 at 1, 36.00 at 2"),
        ([1000, 2000, 2000], [30, 34, 36], "2000 bytes at both 1 and 2"),
        ([1000, 2000, 2000], [30, 34, 34], "2000 bytes at both 1 and 2"),
        ([1000, 2000, 3000], [30, math.nan, 36], "mAP nan at 1, expected 0 to 100"),
        ([1000, 2000, 3000], [30, 34, 101], "mAP 101 at 2, expected 0 to 100"),
        ([1000, math.inf, 3000], [30, 34, 36], "inf bytes at 1, expected a finite number above 0"),
        ([0, 2000, 3000], [30, 34, 36], "0 bytes at 0, expected a finite number above 0"),
        ([1000, 2000, 3000], [41, 42, 43], "no overlap: test spans 41 to 43, image spans 29.1 to 40.3 mAP"),
        ([1000, 2000, 3000], [40, 42, 43], "the overlap 40 to 40.3 mAP is 10.0% of the narrower curve"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(cost, map_, reason):
    test = curve("test", cost, map_)
    got = delta(test, IMAGE, measure="rate", method="pchip")
    assert (got.value, got.interval) == (None, None)
    assert reason in got.refused
    assert delta(IMAGE, test, measure="rate", method="pchip").value is None


def test_bytes_whose_logarithms_are_equal_are_refused():
    test = curve("test", [3000, np.nextafter(3000, 4000), 9000], [30, 34, 36])
    assert "pchip gave nan" in delta(test, IMAGE, measure="map", method="pchip").refused


@pytest.mark.parametrize("measure", MEASURES)
def test_the_overlap_is_told_of_a_curve_that_is_refused_for_its_order(measure):
    test = curve("test", [3000, 2000, 30000], [30, 36, 35])
    got = delta(test, IMAGE, measure=measure, method="pchip")
    assert "does not rise" in got.refused
    assert got.overlap == ((2400, 24000) if measure == "map" else (30, 36))
    assert got.fraction == pytest.approx(1.0)


def test_an_overlap_is_enough_from_the_stated_fraction_on():
    width = 4.0
    for share, enough in ((LEAST_OVERLAP * 1.01, True), (LEAST_OVERLAP * 0.99, False)):
        maps = 40.3 - width * share + np.array([0, 1, width])
        got = delta(curve("test", [1, 2, 3], maps), IMAGE, measure="rate", method="pchip")
        assert got.fraction == pytest.approx(share)
        assert (got.value is not None) is enough


def test_a_saturated_curve_is_compared_on_its_front_and_the_points_left_out_are_named():
    raw = Curve(
        "raw-vvc",
        ("22", "30", "36", "40", "44", "48"),
        np.array([135.9, 85.6, 50.8, 30.4, 14.1, 7.0]),
        np.array([42.0, 42.1, 41.7, 41.4, 38.2, 36.0]),
    )
    twice = curve("twice", [14.0, 28.2, 60.8, 101.6, 171.2], [36.0, 38.2, 41.4, 41.7, 42.1])
    assert "42.10 at 30, 42.00 at 22" in delta(twice, raw, measure="rate", method="akima").refused
    again = curve("twice", [*twice.cost, twice.cost[4]], [*twice.map, twice.map[4]])
    got = delta(again, raw, measure="rate", method="akima", pareto=True)
    assert got.dropped == ("twice@5", "raw-vvc@22")
    assert got.value == pytest.approx(100, abs=1e-6)


def test_on_the_front_of_an_attack_a_point_that_gives_away_more_for_less_map_is_left_out():
    private = curve("private", [13.0, 14.0, 15.0, 14.5], [34.0, 36.0, 35.9, 36.2])
    got = delta(private, private, measure="attack-psnr", method="pchip", pareto=True)
    assert (got.value, got.dropped) == (0.0, ("private@2", "private@2"))


def with_draws(name, cost, map_, noise, rng):
    maps = np.asarray(map_) + noise
    return curve(name, cost, map_, maps=maps, costs=cost * rng.lognormal(0, 0.03, (len(noise), 1)))


def test_the_interval_holds_the_value_and_is_narrow_where_both_curves_move_together():
    rng = np.random.default_rng(3)
    common, own = rng.normal(0, 1.0, (2, 300, 1))
    anchor = with_draws("anchor", IMAGE.cost, IMAGE.map, common, rng)
    widths = {}
    for how, noise in (("together", common), ("apart", own)):
        test = with_draws("test", IMAGE.cost / 2, IMAGE.map, noise, rng)
        got = delta(test, anchor, measure="rate", method="pchip")
        assert got.value == pytest.approx(-50)
        assert got.interval[0] < -50 < got.interval[1]
        assert got.refused_resamples == 0
        widths[how] = got.interval[1] - got.interval[0]
    assert widths["together"] < widths["apart"] / 2


def test_an_interval_is_not_given_where_too_many_resamples_are_refused():
    rng = np.random.default_rng(5)
    still = np.zeros((100, 5))
    anchor = with_draws("anchor", IMAGE.cost, IMAGE.map, still, rng)
    for count in (5, 6):
        noise = still.copy()
        noise[:count, 4] = -3  # mAP falls
        got = delta(
            with_draws("test", IMAGE.cost, IMAGE.map, noise, rng), anchor, measure="rate", method="pchip"
        )
        assert got.refused_resamples == pytest.approx(count / 100)
        assert (got.interval is None) is (got.refused_resamples > MOST_REFUSED + 1e-12)


def test_resamples_that_belong_to_other_draws_are_refused():
    rng = np.random.default_rng(1)
    few, many = (with_draws("c", IMAGE.cost, IMAGE.map, np.zeros((n, 5)), rng) for n in (3, 4))
    with pytest.raises(InputError, match="3 and 4 resamples"):
        delta(few, many, measure="rate", method="pchip")
    with pytest.raises(InputError, match="expected 2 points"):
        curve("c", [1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="expected 2 points"):
        curve("c", [1, 2], [1, 2], costs=np.ones((3, 2)))


def test_without_bjontegaard_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'featcodec\[bench\]'"):
        delta(IMAGE, IMAGE, measure="rate", method="pchip")


# ---- the constrained cubic


def cubic(x, *coefficients):
    """Values at x of c0 + c1 x + ..., in floats."""
    return np.polynomial.polynomial.polyval(np.asarray(x, float), coefficients)


def by_slsqp(x, y):
    """The same problem by scipy's SLSQP, constrained at all points, as the group's script has it."""
    powers = np.arange(4)
    low, high = x.min(), x.max()
    u = (x - low) / (high - low)
    value = u[:, None] ** powers
    slope = powers * u[:, None] ** np.maximum(powers - 1, 0)
    bend = powers * (powers - 1) * u[:, None] ** np.maximum(powers - 2, 0)
    rows = np.concatenate([slope, -bend, value[[u.argmin()]], -value[[u.argmax()]]])
    least = np.concatenate([np.zeros(2 * len(u)), [0.0, -100.0]])
    found = minimize(
        lambda c: np.square(value @ c - y).sum(),
        np.array([y.mean(), 0.0, 0.0, 0.0]),
        jac=lambda c: 2 * value.T @ (value @ c - y),
        method="SLSQP",
        constraints=[{"type": "ineq", "fun": lambda c: rows @ c - least, "jac": lambda _: rows}],
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert found.status in (0, 8)  # 8: nothing near is better in these digits
    return value @ found.x


def test_a_cubic_that_keeps_the_constraints_is_found_again():
    """30 + 12 u - 3 u² - u³ on u = log10(bytes) - 3: its slope is 12 to 3, its bend -6 to -12."""
    x = np.array([3.0, 3.2, 3.35, 3.7, 4.0])
    got = fit_concave(x, cubic(x - 3, 30, 12, -3, -1))
    assert got.span == (3.0, 4.0)
    assert got.coefficients == pytest.approx((30, 12, -3, -1), abs=1e-10)
    assert got.reach == pytest.approx((30, 38), abs=1e-12)


def test_the_integrals_are_those_of_a_hand_calculation():
    """40 - 10 (1 - u)² rises from 30 to 40; its inverse is 1 - sqrt((40 - y) / 10)."""
    curve = ConcaveCubic((3.0, 4.0), (30.0, 20.0, -10.0, 0.0))
    assert curve.mean_value(3.0, 4.0) == pytest.approx(40 - 10 / 3)
    assert curve.mean_place(30.0, 40.0) == pytest.approx(3 + 1 - 2 / 3, abs=1e-9)
    # from 37.5 (u = 1/2) to 40: the mean of sqrt((40 - y) / 10) over s = (40 - y) / 10 from 0 to 1/4 is 1/3
    assert curve.mean_place(37.5, 40.0) == pytest.approx(3 + 1 - 1 / 3, abs=1e-9)
    assert curve(3.5) == 37.5


def test_a_delta_by_the_constrained_cubic_agrees_with_a_hand_calculation():
    """The parabola above against the line 30 + 10 (log10 bytes - 3), over 30 to 40: decades 1/3 less 1/2."""
    x = np.array([3.0, 3.25, 3.5, 3.75, 4.0])
    bent = curve("bent", 10**x, 40 - 10 * (1 - (x - 3)) ** 2)
    line = curve("line", 10**x, 30 + 10 * (x - 3))
    rate = delta(bent, line, measure="rate", method=CONSTRAINED)
    assert rate.value == pytest.approx(100 * (10 ** ((1 - 2 / 3) - 1 / 2) - 1), abs=1e-6)  # -31.9 %
    assert rate.overlap == pytest.approx((30, 40))
    assert (rate.fraction, rate.refused, rate.dropped) == (pytest.approx(1), None, ())
    assert rate.misfit == pytest.approx(0, abs=1e-9)
    points = delta(bent, line, measure="map", method=CONSTRAINED)
    assert points.value == pytest.approx((40 - 10 / 3) - 35, abs=1e-9)
    # of an attack: dB on a linear axis, at equal mAP
    attacks = [Curve(c.name, c.labels, np.log10(c.cost), c.map) for c in (bent, line)]
    assert delta(*attacks, measure="attack-psnr", method=CONSTRAINED).value == pytest.approx(-1 / 6, abs=1e-9)


def test_a_dip_is_smoothed_as_a_hand_calculation_says():
    """Of 30, 36, 34 at equal steps no rising parabola is nearer than one that ends level: 36 - a (1 - u)² by
    least squares of a and its top, not an interpolation, and every point counts."""
    got = fit_concave(np.array([3.0, 3.5, 4.0]), np.array([30.0, 36.0, 34.0]))
    # y = t - a v, v = 1, 1/4, 0: a = -cov(v, y) / var(v), t = mean y + a mean v
    v, y = np.array([1, 0.25, 0]), np.array([30.0, 36.0, 34.0])
    a = -((v - v.mean()) * (y - y.mean())).sum() / np.square(v - v.mean()).sum()
    top = y.mean() + a * v.mean()
    assert got.reach == pytest.approx((top - a, top))
    assert [got(x) for x in (3.0, 3.5, 4.0)] == pytest.approx(top - a * v)
    assert got.coefficients == pytest.approx((top - a, 2 * a, -a))


@given(
    steps=st.lists(st.floats(0.05, 1), min_size=3, max_size=8),
    accuracies=st.lists(st.floats(0, 100), min_size=9, max_size=9),
)
@settings(max_examples=60)
def test_whatever_the_points_the_fit_is_that_of_an_independent_solver(steps, accuracies):
    x = np.cumsum([3.0, *steps])
    y = np.array(accuracies[: len(x)])
    got, expected = fit_concave(x, y), by_slsqp(x, y)
    ours = np.array([got(at) for at in x])
    best, least = np.square(ours - y).sum(), np.square(expected - y).sum()
    assert best <= least + 1e-6 * (
        1 + least
    )  # no worse; SLSQP stops a little before or beyond the constraints
    np.testing.assert_allclose(ours, expected, atol=0.02)
    fine = np.array([got(at) for at in np.linspace(x[0], x[-1], 201)])
    assert np.diff(fine).min() >= -1e-7
    assert np.diff(fine, 2).max() <= 1e-7
    assert -1e-7 <= fine.min() <= fine.max() <= 100 + 1e-7


@pytest.mark.parametrize("factor", [0.1, 0.7, 3.0])
@pytest.mark.parametrize("map_", [IMAGE.map, [30.0, 36.0, 35.0, 37.0, 36.9], [40.0, 12.0, 41.0, 40.0, 42.0]])
def test_a_curve_shifted_in_rate_has_exactly_that_delta_dips_or_not(factor, map_):
    anchor = curve("anchor", IMAGE.cost, map_)
    got = delta(curve("test", IMAGE.cost * factor, map_), anchor, measure="rate", method=CONSTRAINED)
    assert got.value == pytest.approx(100 * (factor - 1), rel=1e-8)
    assert (got.refused, got.dropped) == (None, ())
    back = delta(anchor, curve("test", IMAGE.cost * factor, map_), measure="rate", method=CONSTRAINED)
    assert back.value == pytest.approx(100 * (1 / factor - 1), rel=1e-8)


def test_one_dip_of_a_fifth_of_a_point_neither_refuses_the_curve_nor_loses_the_point():
    dips = curve("dips", IMAGE.cost / 2, [29.1, 32.1, 35.4, 39.5, 39.3])
    assert delta(dips, IMAGE, measure="rate", method="pchip").refused is not None
    got = delta(dips, IMAGE, measure="rate", method=CONSTRAINED)
    front = delta(dips, IMAGE, measure="rate", method="pchip", pareto=True)
    assert front.dropped == ("dips@4",)
    undipped = curve("undipped", IMAGE.cost / 2, IMAGE.map)  # which has -50
    at_equal_bytes = [delta(c, IMAGE, measure="map", method=CONSTRAINED).value for c in (dips, undipped)]
    assert -50 < got.value < -40  # the dip costs something
    assert at_equal_bytes[0] < at_equal_bytes[1]


def test_points_in_any_order_and_points_that_come_twice_say_the_same():
    order = [3, 0, 4, 1, 2]
    test = curve("test", IMAGE.cost[order] * 0.8, IMAGE.map[order])
    plain = delta(curve("test", IMAGE.cost * 0.8, IMAGE.map), IMAGE, measure="rate", method=CONSTRAINED)
    assert delta(test, IMAGE, measure="rate", method=CONSTRAINED).value == pytest.approx(
        plain.value, abs=1e-9
    )
    all_twice = curve("test", np.repeat(test.cost, 2), np.repeat(test.map, 2))
    assert delta(all_twice, IMAGE, measure="rate", method=CONSTRAINED).value == pytest.approx(
        plain.value, abs=1e-7
    )
    # two measured accuracies at one size count as their mean, which counts twice
    x = np.array([3.0, 3.0, 4.0])
    assert fit_concave(x, np.array([30.0, 32.0, 35.0])).reach == pytest.approx((31.0, 35.0))


def test_two_points_are_a_line_and_three_a_parabola_if_they_rise_and_bend_down():
    two = curve("two", [1000, 10_000], [30, 40])
    shifted = curve("shifted", [500, 5000], [30, 40])
    got = delta(shifted, two, measure="rate", method=CONSTRAINED)
    assert got.value == pytest.approx(-50)
    assert fit_concave(np.array([3.0, 4.0]), np.array([30.0, 40.0])).coefficients == pytest.approx((30, 10))
    three = fit_concave(np.array([3.0, 3.5, 4.0]), np.array([30.0, 37.5, 40.0]))
    assert three.coefficients == pytest.approx((30, 20, -10))
    # bent upwards: the least squares line, 30.5 + 9 u less 1/3 at the ends and 2/3 more in the middle
    upwards = fit_concave(np.array([3.0, 3.5, 4.0]), np.array([30.0, 33.0, 40.0]))
    assert upwards.coefficients == pytest.approx((103 / 3 - 5, 10, 0))
    with_one = delta(curve("one", [1000], [30]), two, measure="rate", method=CONSTRAINED)
    assert with_one.refused == "one: 1 point, constrained cubic takes at least 2"


def test_only_a_flat_curve_one_size_or_no_overlap_has_no_delta_and_says_why():
    falls = curve("falls", [1000, 2000, 4000], [36, 35, 34])
    plateau = curve("plateau", IMAGE.cost, [35.0] * 5)
    same = curve("same", [1000, 1000, 1000], [30, 31, 32])
    above = curve("above", [1000, 2000, 3000], [41, 42, 43])
    for test, why in (
        (falls, "falls: the fitted curve is flat at 35.00 mAP"),
        (plateau, "plateau: the fitted curve is flat at 35.00 mAP"),
        (same, "same: all points at 1000 bytes"),
        (above, "no overlap: "),
    ):
        for pair in ((test, IMAGE), (IMAGE, test)):
            got = delta(*pair, measure="rate", method=CONSTRAINED)
            assert (got.value, got.interval) == (None, None)
            assert got.refused.startswith(why)
    # at equal bytes a plateau is as good a curve as any
    flat = delta(falls, IMAGE, measure="map", method=CONSTRAINED)
    assert flat.overlap == (2400, 4000)
    assert 35 - 32.1 < flat.value < 35 - 29.1
    # a sliver of overlap is told, not refused
    sliver = delta(curve("test", [1000, 2000, 3000], [40, 42, 43]), IMAGE, measure="rate", method=CONSTRAINED)
    assert sliver.value is not None
    assert sliver.fraction < LEAST_OVERLAP


@pytest.mark.parametrize(
    ("cost", "map_", "reason"),
    [
        ([1000, 2000, 3000], [30, math.nan, 36], "mAP nan at 1, expected 0 to 100"),
        ([1000, math.nan, 3000], [30, 31, 36], "nan bytes at 1, expected a finite number above 0"),
        ([1000, 2000, -1], [30, 31, 36], "-1 bytes at 2, expected a finite number above 0"),
    ],
)
def test_what_is_no_number_is_refused_by_name_by_the_constrained_cubic_too(cost, map_, reason):
    got = delta(curve("test", cost, map_), IMAGE, measure="rate", method=CONSTRAINED)
    assert got.value is None
    assert reason in got.refused


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([3.0, 4.0], [30.0, math.nan], r"curve: got y \[30.0, nan\], expected 0 to 100"),
        ([3.0, math.inf], [30.0, 31.0], r"curve: got x \[3.0, inf\], expected finite numbers"),
        ([3.0, 4.0], [30.0, 101.0], r"expected 0 to 100"),
        ([3.0, 3.0], [30.0, 31.0], r"curve: got 2 points at one rate, expected at least 2 rates"),
        ([3.0, 4.0], [30.0], r"curve: got x \(2,\) and y \(1,\)"),
        ([], [], r"curve: got x \(0,\) and y \(0,\)"),
    ],
)
def test_points_that_are_none_raise_an_error_that_names_them(x, y, message):
    with pytest.raises(InputError, match=message):
        fit_concave(np.array(x), np.array(y))


def test_a_flat_curve_has_no_place_and_the_front_of_the_constrained_cubic_is_refused():
    with pytest.raises(InputError, match=r"got a flat one at 35, expected one that rises"):
        ConcaveCubic((3.0, 4.0), (35.0, 0.0)).mean_place(35.0, 35.0)
    with pytest.raises(InputError, match="got the Pareto front, expected all points"):
        delta(IMAGE, IMAGE, measure="rate", method=CONSTRAINED, pareto=True)


def test_rates_so_near_that_they_say_nothing_of_a_bend_lower_the_degree():
    x = np.array([3.0, 3.0 + 1e-9, 4.0])
    assert len(fit_concave(x, np.array([30.0, 36.0, 40.0])).coefficients) == 2


def test_the_interval_of_the_constrained_cubic_holds_the_value_where_resamples_dip():
    """Noise that refuses an interpolation in nearly all resamples leaves this one its interval."""
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 1.0, (200, 5))
    anchor = with_draws("anchor", IMAGE.cost, IMAGE.map, 0 * noise, rng)
    test = with_draws("test", IMAGE.cost / 2, IMAGE.map, noise, rng)
    got = delta(test, anchor, measure="rate", method=CONSTRAINED)
    assert got.value == pytest.approx(-50)
    assert got.refused_resamples == 0
    assert -70 < got.interval[0] < -50 < got.interval[1] < -30
    assert delta(test, anchor, measure="rate", method="pchip").interval is None


def test_a_point_is_dominated_where_another_has_its_accuracy_for_no_more():
    cost, accuracy = np.array([1.0, 2.0, 3.0, 3.0, 4.0]), np.array([30.0, 32.0, 32.0, 33.0, 33.0])
    assert on_front(cost, accuracy).tolist() == [True, True, False, True, False]
