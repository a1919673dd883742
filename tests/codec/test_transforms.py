"""The transforms: shapes, and a hyper-synthesis that gives the same integers everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference_decoder import hyper_synthesis
from torch import Tensor

from featcodec.codec.transforms import (
    AnalysisTransform,
    HyperAnalysis,
    IntegerHyperSynthesis,
    SynthesisTransform,
    integer_hyper_synthesis,
)

Network = tuple[list[Tensor], list[Tensor]]
SIDE, WIDTH, LATENTS = 5, 7, 6


def reference(z: Tensor, network: Network, height: int, width: int) -> tuple[NDArray[np.int64], ...]:
    """Symbols (N, h_z, w_z) to table rows and means in 1/16 (M, height, width), in whole numbers only."""
    weights, biases = ([t.numpy().astype(np.int64) for t in ts] for ts in network)
    return hyper_synthesis(weights, biases, z.numpy().astype(np.int64), height, width)


# ---- networks and inputs


def network(
    seed: int, largest: int, bias: int, shape: tuple[int, int, int] = (SIDE, WIDTH, LATENTS)
) -> Network:
    """Random whole numbers carried in float64."""
    g = torch.Generator().manual_seed(seed)
    side, width, latents = shape
    shapes = ((width, side, 3, 3), (width, width, 3, 3), (2 * latents, width, 1, 1))
    weights = [torch.randint(-largest, largest + 1, s, generator=g).double() for s in shapes]
    return weights, [torch.randint(-bias, bias + 1, s[:1], generator=g).double() for s in shapes]


def symbols(seed: int, largest: int, *shape: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(-largest, largest + 1, shape, generator=g).double()


def permuted(n: Network, seed: int) -> tuple[Network, Tensor]:
    """The same network with the channels of its input and its hidden layers in another order."""
    g = torch.Generator().manual_seed(seed)
    (w0, w1, w2), (b0, b1, b2) = n
    p0, p1, p2 = (torch.randperm(w.shape[1], generator=g) for w in n[0])
    return ([w0[p1][:, p0], w1[p2][:, p1], w2[:, p2]], [b0[p1], b1[p2], b2]), p0


EXTREME = network(1, 32767, 2**31 - 1)
ORDINARY = network(2, 200, 20_000)
networks = pytest.mark.parametrize("n", [ORDINARY, EXTREME], ids=["ordinary", "extreme"])


# ---- exactness


@settings(max_examples=25)
@given(st.data())
def test_the_network_gives_what_integer_arithmetic_gives(data: st.DataObject) -> None:
    largest = data.draw(st.sampled_from([1, 30, 500, 32767]), "weights")
    n = network(
        data.draw(st.integers(0, 999), "seed"), largest, data.draw(st.sampled_from([0, 5000, 2**31 - 1]))
    )
    height, width = data.draw(st.integers(1, 17), "height"), data.draw(st.integers(1, 17), "width")
    reach = data.draw(st.sampled_from([1, 9, 1 << 15]), "symbols")
    z = symbols(largest, reach, 1, SIDE, -(-height // 4), -(-width // 4))
    said = integer_hyper_synthesis(z, *n, height, width)
    index, mean = reference(z[0], n, height, width)
    assert said.index.shape == said.mean.shape == (1, LATENTS, height, width)
    assert np.array_equal(said.index[0].numpy(), index)
    assert np.array_equal(said.mean[0].numpy() * 16, mean)


@networks
def test_outputs_are_whole_and_rows_of_the_scale_table(n: Network) -> None:
    said = integer_hyper_synthesis(symbols(3, 40, 2, SIDE, 6, 5), *n, 24, 20)
    assert torch.equal(said.index, said.index.round())
    assert torch.equal(said.mean * 16, (said.mean * 16).round())
    assert 0 <= float(said.index.min()) < float(said.index.max()) <= IntegerHyperSynthesis.SCALES - 1


@networks
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_summation_does_not_matter(n: Network, seed: int) -> None:
    z = symbols(seed, 1 << 15, 2, SIDE, 4, 5)
    other, order = permuted(n, seed)
    a, b = integer_hyper_synthesis(z, *n, 16, 19), integer_hyper_synthesis(z[:, order], *other, 16, 19)
    assert torch.equal(a.index, b.index)
    assert torch.equal(a.mean, b.mean)


@networks
def test_a_picture_is_coded_alike_alone_and_in_a_batch(n: Network) -> None:
    z = symbols(4, 60, 5, SIDE, 3, 4)
    together = integer_hyper_synthesis(z, *n, 11, 16)
    for i in range(5):
        alone = integer_hyper_synthesis(z[i : i + 1], *n, 11, 16)
        assert torch.equal(alone.index[0], together.index[i])
        assert torch.equal(alone.mean[0], together.mean[i])


@networks
def test_the_number_of_threads_does_not_matter(n: Network) -> None:
    z, before = symbols(5, 60, 1, SIDE, 13, 13), torch.get_num_threads()
    try:
        said = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            said.append(integer_hyper_synthesis(z, *n, 52, 52))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(s.index, said[0].index) and torch.equal(s.mean, said[0].mean) for s in said)


def test_what_lies_beyond_the_crop_is_computed_before_it_is_cut_off() -> None:
    z = symbols(6, 40, 1, SIDE, 3, 3)
    whole, part = integer_hyper_synthesis(z, *ORDINARY, 12, 12), integer_hyper_synthesis(z, *ORDINARY, 9, 10)
    assert torch.equal(whole.mean[..., :9, :10], part.mean)
    assert torch.equal(whole.index[..., :9, :10], part.index)


# ---- what is trained is what is stored


def stored(h_s: IntegerHyperSynthesis) -> Network:
    """Through the types of a codec file, as `featcodec.fitting.export` does it."""
    weights, biases = h_s.integers()
    small = [w.detach().to(torch.int16) for w in weights], [b.detach().to(torch.int32) for b in biases]
    return [w.double() for w in small[0]], [b.double() for b in small[1]]


@pytest.mark.parametrize("seed", range(4))
def test_the_network_that_is_trained_in_float32_is_the_network_that_is_stored(seed: int) -> None:
    torch.manual_seed(seed)
    h_s = IntegerHyperSynthesis(8, 24, 10)
    with torch.no_grad():
        for bias in h_s.biases:
            bias += torch.randn(bias.shape)
    z = symbols(seed, 20, 2, 8, 5, 6)
    trained, said = h_s(z.float(), 18, 24), integer_hyper_synthesis(z, *stored(h_s), 18, 24)
    assert trained.mean.dtype == torch.float32
    assert torch.equal(trained.index.double(), said.index)
    assert torch.equal(trained.mean.double(), said.mean)
    assert len(set(said.index.flatten().tolist())) > 3


def test_whole_numbers_are_what_the_parameters_round_to() -> None:
    h_s = IntegerHyperSynthesis(1, 1, 1)
    with torch.no_grad():
        for weight, value in zip(h_s.weights, (0.3, -0.5, 1000.0), strict=True):
            weight.fill_(value)
        for bias in h_s.biases:
            bias.fill_(-0.7)
    weights, biases = h_s.integers()
    assert [float(w.flatten()[0].detach()) for w in weights] == [77, -128, 32767]  # 0.3 * 256 = 76.8
    assert [float(b[0].detach()) for b in biases] == [-179, -2867, -2867]  # 0.7 * 256 = 179.2


def test_rounding_lets_gradients_through_to_every_parameter() -> None:
    torch.manual_seed(0)
    h_s = IntegerHyperSynthesis(4, 16, 5)
    z = symbols(1, 20, 2, 4, 4, 4).float().requires_grad_()
    said = h_s(z, 16, 16)
    (said.index.sum() + said.mean.square().sum()).backward()
    assert z.grad is not None
    assert bool(z.grad.any())
    assert all(p.grad is not None and bool(p.grad.any()) for p in h_s.parameters())


# ---- shapes


@pytest.mark.parametrize(("h", "w"), [(4, 4), (8, 12), (52, 52), (4, 52)])
def test_shapes_are_those_of_the_diagram(h: int, w: int) -> None:
    f = torch.zeros(2, 6, h, w)
    with torch.no_grad():
        y = AnalysisTransform(6, LATENTS, 8)(f)
        z = HyperAnalysis(LATENTS, 8, SIDE)(y)
        f_hat = SynthesisTransform(6, LATENTS, 8)(y)
        said = IntegerHyperSynthesis(SIDE, WIDTH, LATENTS)(z.round(), *y.shape[-2:])
    assert y.shape == said.index.shape == said.mean.shape == (2, LATENTS, h // 2, w // 2)
    assert z.shape == (2, SIDE, -(-h // 8), -(-w // 8))
    assert f_hat.shape == f.shape


def test_features_are_normalised_on_the_way_in_and_restored_on_the_way_out() -> None:
    torch.manual_seed(0)
    g_a, g_s = AnalysisTransform(3, LATENTS, 8), SynthesisTransform(3, LATENTS, 8)
    f, y = torch.randn(1, 3, 8, 8), torch.randn(1, LATENTS, 4, 4)
    with torch.no_grad():
        plain, restored = g_a(f), g_s(y)
        for module in (g_a, g_s):
            module.mean.copy_(torch.tensor([1.0, -2.0, 3.0]))
            module.deviation.copy_(torch.tensor([2.0, 0.5, 4.0]))
        mean, deviation = g_a.mean.view(-1, 1, 1), g_a.deviation.view(-1, 1, 1)
        assert torch.allclose(g_a(f * deviation + mean), plain, atol=1e-5)
        assert torch.allclose(g_s(y), restored * deviation + mean, atol=1e-5)
