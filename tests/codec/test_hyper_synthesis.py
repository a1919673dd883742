"""The integer hyper-synthesis without torch: the same integers as the one in torch, to the last."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_transforms import EXTREME, LATENTS, ORDINARY, SIDE, Network, network, symbols

import featcodec
from featcodec.codec.entropy_model import EntropyModel
from featcodec.codec.hyper_synthesis import EXACT_BELOW, hyper_synthesis, worst_partial_sums
from featcodec.codec.symbol_codec import SymbolCodec
from featcodec.codec.transforms import exact_below, integer_hyper_synthesis


def agree(z: torch.Tensor, n: Network, height: int, width: int) -> None:
    """Both give the same for symbols (1, N, h_z, w_z)."""
    said = integer_hyper_synthesis(z, *n, height, width)
    weights, biases = ([t.double().numpy() for t in tensors] for tensors in n)
    index, mean = hyper_synthesis(z[0].numpy().astype(np.int32), weights, biases, height, width)
    assert index.shape == mean.shape == (LATENTS, height, width)
    assert (index.dtype, mean.dtype) == (np.int32, np.float64)
    assert np.array_equal(index, said.index[0].numpy())
    assert np.array_equal(mean, said.mean[0].numpy())


@settings(max_examples=25)
@given(st.data())
def test_numpy_gives_the_integers_of_torch(data: st.DataObject) -> None:
    largest = data.draw(st.sampled_from([1, 30, 500, 32767]), "weights")
    seed, bias = data.draw(st.integers(0, 999), "seed"), data.draw(st.sampled_from([0, 5000, 2**31 - 1]))
    height, width = data.draw(st.integers(1, 17), "height"), data.draw(st.integers(1, 17), "width")
    reach = data.draw(st.sampled_from([1, 9, 1 << 15]), "symbols")
    z = symbols(seed, reach, 1, SIDE, -(-height // 4), -(-width // 4))
    agree(z, network(seed, largest, bias), height, width)


@pytest.mark.parametrize("n", [ORDINARY, EXTREME], ids=["ordinary", "extreme"])
def test_numpy_gives_the_integers_of_torch_at_the_largest_inputs(n: Network) -> None:
    agree(symbols(3, 1 << 15, 1, SIDE, 13, 13), n, 52, 50)


@pytest.mark.parametrize("name", featcodec.zoo.names())
def test_an_embedded_codec_predicts_and_scales_the_same_by_both(name: str) -> None:
    light, whole = SymbolCodec.load(featcodec.zoo.path(name)), featcodec.zoo.decoder(name)
    assert (light.name, light.fingerprint, light.config) == (name, whole.fingerprint, whole.file.config)
    rng = np.random.default_rng(0)
    for largest in (20, 1 << 15):
        z = rng.integers(-largest, largest + 1, (light.config.widths.side, 4, 5), np.int32)
        for a, b in zip(light._predict(z, 16, 19), whole._predict(z, 16, 19), strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
    for step in (0, 1, 31, 96, 223, 224):
        assert np.array_equal(light.model.inverse_gain(step), whole.file.inverse_gain(step).numpy())


def test_the_bound_of_float64_has_one_value() -> None:
    assert exact_below(torch.float64) == EXACT_BELOW


def test_sums_that_could_round_are_refused() -> None:
    arrays = dict(featcodec.zoo.symbol_codec("yolox-nano-open").model.arrays)
    wide = np.broadcast_to(np.int16(-32768), (1, 1 << 20, 3, 3))
    model = EntropyModel({**arrays, "h_s.weight.0": wide})
    assert worst_partial_sums([wide, *[arrays[f"h_s.weight.{i}"] for i in (1, 2)]],
                              [arrays[f"h_s.bias.{i}"] for i in range(3)])[0] >= EXACT_BELOW  # fmt: skip
    with pytest.raises(ValueError, match=r"layer 0: sums reach \d+, expected below 2\^53"):
        model._network  # noqa: B018
