"""The hyper-synthesis that encodes and decodes: the specification's integers, whichever type carries them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_transforms import EXTREME, LATENTS, ORDINARY, SIDE, Network, network, reference, symbols

import featcodec
from featcodec.codec import hyper_synthesis
from featcodec.codec.entropy_model import EntropyModel
from featcodec.codec.hyper_synthesis import HyperSynthesis, exact_below, largest_input, worst_partial_sums
from featcodec.codec.symbol_codec import SymbolCodec

networks = pytest.mark.parametrize("n", [ORDINARY, EXTREME], ids=["ordinary", "extreme"])


def ints(*args: int) -> NDArray[np.int32]:
    """Symbols (N, h_z, w_z): seed, largest magnitude, shape."""
    return symbols(*args).numpy().astype(np.int32)


def agrees(n: Network, z: NDArray[np.int32], height: int, width: int) -> None:
    """The network gives what whole numbers of 64 bits give."""
    index, mean = HyperSynthesis(*n)(z, height, width)
    expected_index, expected_mean = reference(torch.from_numpy(z), n, height, width)
    assert (index.dtype, mean.dtype) == (np.int32, np.float64)
    assert np.array_equal(index, expected_index)
    assert np.array_equal(mean * 16, expected_mean)


# ---- exactness


@settings(max_examples=40)
@given(st.data())
def test_the_network_gives_what_integer_arithmetic_gives(data: st.DataObject) -> None:
    largest = data.draw(st.sampled_from([1, 30, 500, 32767]), "weights")
    n = network(
        data.draw(st.integers(0, 999), "seed"), largest, data.draw(st.sampled_from([0, 5000, 2**31 - 1]))
    )
    height, width = data.draw(st.integers(1, 17), "height"), data.draw(st.integers(1, 17), "width")
    reach = data.draw(st.sampled_from([1, 9, 1 << 15]), "symbols")
    agrees(n, ints(largest, reach, SIDE, -(-height // 4), -(-width // 4)), height, width)


def test_float32_carries_a_layer_up_to_the_largest_input_with_which_no_sum_can_round_and_no_further() -> None:
    n = network(3, 200, 20_000)
    h_s = HyperSynthesis(*n)
    for layer, weight, bias, (signed, divisor) in zip(
        h_s._layers, *n, ((True, 16), (False, 256), (False, 256)), strict=True
    ):
        w, b = weight.long().flatten(1), bias.long()
        at = layer.single
        for largest, carrier in ((0, np.float32), (at, np.float32), (at + 1, np.float64)):
            assert layer.carrier(largest).dtype == carrier
        positive, negative = w.clamp(min=0).sum(1), -w.clamp(max=0).sum(1)
        ways = (positive + negative,) * 2 if signed else (positive, negative)
        rest = b.clamp(min=0) + divisor // 2, -b.clamp(max=0)
        reached = [max(int((w * m + c).max()) for w, c in zip(ways, rest, strict=True)) for m in (at, at + 1)]
        assert reached[0] < exact_below(np.float32) <= reached[1]


def corner(n: Network, largest: int) -> NDArray[np.int32]:
    """Symbols of that magnitude with the signs of a row of weights: they add up to the largest sum."""
    signs = np.sign(n[0][0][0].sum((1, 2)).numpy()).astype(np.int32)
    return np.broadcast_to(signs[:, None, None] * largest, (SIDE, 3, 4)).copy()


@pytest.mark.parametrize("beyond", [-1, 0, 1, 2, 1000])
def test_symbols_around_the_largest_that_float32_carries_give_the_same_integers(beyond: int) -> None:
    for n in (network(4, 32767, 0), network(5, 250, 2**24 - 40_000)):
        single = HyperSynthesis(*n)._layers[0].single
        assert 0 < single < (1 << 15) - 1000
        agrees(n, corner(n, single + beyond), 12, 15)


def test_biases_that_float32_cannot_hold_are_carried_in_float64() -> None:
    n = network(6, 3, 0)
    n[1][1][0] = (1 << 24) + 1
    h_s = HyperSynthesis(*n)
    assert h_s._layers[1].single < 0 <= h_s._layers[0].single
    agrees(n, ints(6, 9, SIDE, 3, 3), 12, 12)


@networks
def test_the_settings_of_torch_do_not_matter(n: Network) -> None:
    z, before = ints(7, 60, SIDE, 4, 5), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            agrees(n, z, 16, 19)
    finally:
        torch.set_float32_matmul_precision(before)


@networks
def test_what_lies_beyond_the_crop_is_computed_before_it_is_cut_off(n: Network) -> None:
    h_s, z = HyperSynthesis(*n), ints(8, 40, SIDE, 3, 3)
    for whole, part in zip(h_s(z, 12, 12), h_s(z, 9, 10), strict=True):
        assert np.array_equal(whole[:, :9, :10], part)
    assert part.shape == (LATENTS, 9, 10)


@pytest.mark.parametrize(("rows", "depth"), [(64, 1), (128, 300), (64, 5000)])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 9), (37, 40)])
def test_products_in_blocks_are_those_of_the_whole(rows: int, depth: int, height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    for carrier in (np.float32, np.float64):
        matrix = rng.integers(-9, 10, (rows, depth)).astype(carrier)
        columns = rng.integers(-9, 10, (depth, height, width)).astype(carrier)
        found = hyper_synthesis._product(matrix, columns)
        assert found.dtype == carrier
        assert np.array_equal(found, matrix @ columns.reshape(depth, -1))


# ---- the bound


def test_the_worst_partial_sum_is_the_largest_that_any_inputs_and_any_order_give() -> None:
    """By brute force: every corner of the inputs, every set of terms that may have been added so far."""
    rng = np.random.default_rng(0)
    layers = (((-(1 << 15), 1 << 15), 8), ((0, 4095), 128), ((0, 4095), 128))
    added = np.array(list(itertools.product((0, 1), repeat=5)))  # three products, the bias, the constant
    for _ in range(20):
        weights = [rng.integers(-(1 << 15), 1 << 15, (2, 3, 1, 1)) for _ in layers]
        biases = [rng.integers(-(1 << 27), 1 << 27, 2) for _ in layers]
        reached = []
        for weight, bias, (values, half) in zip(weights, biases, layers, strict=True):
            corners = np.array(list(itertools.product(values, repeat=3)))
            rest = [
                np.concatenate([corners * row.reshape(-1), np.full((8, 1), b), np.full((8, 1), half)], 1)
                for row, b in zip(weight, bias, strict=True)
            ]
            reached.append(max(int(np.abs(terms @ added.T).max()) for terms in rest))
        tensors = [[torch.from_numpy(a) for a in arrays] for arrays in (weights, biases)]
        assert worst_partial_sums(*tensors) == reached


def test_the_bound_counts_every_layer_at_its_largest_input() -> None:
    for layer, largest, half in ((0, 32768, 8), (1, 4095, 128), (2, 4095, 128)):
        for sign in (-1, 1):
            weights = [torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3), torch.zeros(2, 1, 1, 1)]
            biases, expected = [torch.zeros(1), torch.zeros(1), torch.zeros(2)], [8, 128, 128]
            weights[layer].view(-1)[-1] = sign * 5
            biases[layer][-1] = sign * 1000
            expected[layer] = 5 * largest + 1000 + (half if sign > 0 else 0)
            assert worst_partial_sums(weights, biases) == expected


def wide(side: int) -> Network:
    """One row of the largest weights that can be stored, over `side` channels."""
    weights = [
        torch.full((1,), -32768.0).expand(1, side, 3, 3),
        torch.ones(1, 1, 3, 3),
        torch.ones(2, 1, 1, 1),
    ]
    return weights, [torch.full((1,), -(2.0**31)), torch.zeros(1), torch.zeros(2)]


def test_a_network_that_breaks_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest layers that a codec file can hold stay below 2^53, so that 2^24 is the limit here."""
    assert (
        worst_partial_sums(*wide(1 << 16))[0]
        < exact_below(np.float64)
        <= worst_partial_sums(*wide(1 << 20))[0]
    )
    monkeypatch.setattr(hyper_synthesis, "exact_below", lambda _: 1 << 24)
    HyperSynthesis(*network(7, 3, 0))
    with pytest.raises(ValueError, match=r"layer 0: sums reach \d+, expected below 2\^24"):
        HyperSynthesis(*EXTREME)


def test_a_carrier_holds_every_whole_number_below_its_limit_and_not_the_one_behind_it() -> None:
    for carrier in (np.float32, np.float64):
        limit = exact_below(carrier)
        below = np.array([limit - 1, 1 - limit, limit - 2])
        assert np.array_equal(below.astype(carrier).astype(np.int64), below)
        assert int(carrier(limit + 1)) == limit


@pytest.mark.parametrize("limit", [1, 100, 1 << 24])
@example(weights=[1], bias=-9, signed=False)
@example(weights=[0, 0], bias=9, signed=True)
@given(
    weights=st.lists(st.integers(-300, 300), min_size=1, max_size=4),
    bias=st.integers(-3000, 3000),
    signed=st.booleans(),
)
def test_the_largest_input_is_the_last_with_which_the_worst_sums_stay_below_the_limit(
    limit: int, weights: list[int], bias: int, signed: bool
) -> None:
    weight, rows = np.array(weights).reshape(1, -1, 1, 1), np.array([bias])
    found = largest_input(weight, rows, signed, 16, limit)
    for largest, below in ((found, True), (found + 1, False)):
        if largest < 0 or largest > limit:
            continue
        inputs = (-largest if signed else 0, largest)
        terms = [max(w * x for x in inputs) for w in weights] + [max(bias, 0), 8]
        down = [min(w * x for x in inputs) for w in weights] + [min(bias, 0)]
        assert (max(sum(terms), -sum(down)) < limit) == below


@pytest.mark.parametrize("name", featcodec.zoo.names())
def test_what_of_an_embedded_codec_needs_no_torch_is_the_same(name: str) -> None:
    light, whole = SymbolCodec.load(featcodec.zoo.path(name)), featcodec.zoo.decoder(name)
    assert (light.name, light.fingerprint, light.config) == (name, whole.fingerprint, whole.file.config)
    for step in (0, 1, 31, 96, 223, 224):
        assert np.array_equal(light.model.inverse_gain(step), whole.file.inverse_gain(step).numpy())


def test_sums_that_could_round_are_refused_when_a_codec_is_read() -> None:
    arrays = dict(featcodec.zoo.symbol_codec("yolox-nano-open").model.arrays)
    wide = np.broadcast_to(np.int16(-32768), (1, 1 << 20, 3, 3))
    with pytest.raises(ValueError, match=r"layer 0: sums reach \d+, expected below 2\^53"):
        EntropyModel({**arrays, "h_s.weight.0": wide}).h_s  # noqa: B018
