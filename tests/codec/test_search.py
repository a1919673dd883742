"""The encoder's search: exact where it says so, better at what it minimises, and always decodable."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.data import astronaut
from torch import Tensor

import featcodec
from featcodec.codec.effort import EFFORTS, check_effort
from featcodec.codec.entropy import Tables, ideal_bits
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.quantize import PRICE, REACH, quantize, symbol_bits
from featcodec.codec.search import Task, refine
from featcodec.errors import InputError
from featcodec.networks.compared import compared_maps, relative_error
from featcodec.pictures.geometry import Geometry
from featcodec.plf.bitstream import parse


@pytest.fixture(scope="module")
def default() -> FeatureCodec:
    return featcodec.load("yolox-nano-private")


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return np.asarray(astronaut()[:200, 100:360])


@pytest.fixture(scope="module")
def tables(default: FeatureCodec) -> Tables:
    return default.file.tables_y


def drawn(rows: int, count: int = 4000) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Residuals of each table's own spread, and the tables."""
    rng = np.random.default_rng(0)
    index = rng.integers(0, rows, count).astype(np.int32)
    return rng.laplace(0, 0.2 * 1.1**index), index


# ---- quantization


def test_the_bits_of_a_symbol_are_those_that_the_coder_spends(tables: Tables) -> None:
    bits = symbol_bits(tables)
    symbols = np.array([-REACH, -3, 0, 1, 40, REACH], np.int32)
    for row in (0, 20, 63):
        expected = ideal_bits(symbols, np.full_like(symbols, row), tables)
        assert np.array_equal(bits[row, symbols + REACH], expected)


def test_no_other_symbol_is_cheaper(tables: Tables) -> None:
    bits = symbol_bits(tables)
    residual, index = drawn(len(tables.sizes))
    residual = residual.clip(-REACH, REACH)
    found = quantize(residual, index, bits, PRICE)
    cost = bits[index, found + REACH] + PRICE * (residual - found) ** 2
    every = np.arange(-REACH, REACH + 1)
    for start in range(0, len(residual), 500):
        part = slice(start, start + 500)
        all_costs = bits[index[part]] + PRICE * (residual[part, None] - every) ** 2
        np.testing.assert_allclose(cost[part], all_costs.min(1), rtol=1e-12)
    assert 0 < np.mean(found != np.rint(residual)) < 0.5


def test_a_high_price_of_errors_rounds_and_a_price_of_none_gives_zeros(tables: Tables) -> None:
    bits = symbol_bits(tables)
    residual, index = drawn(len(tables.sizes))
    assert np.array_equal(quantize(residual, index, bits, 1e9), np.rint(residual))
    assert not quantize(residual[np.abs(residual) < 30], index[np.abs(residual) < 30], bits, 0.0).any()


def test_symbols_out_of_reach_are_rounded(tables: Tables) -> None:
    residual = np.array([REACH + 7.3, -2.0 * REACH, 30_000.4])
    found = quantize(residual, np.full(3, 63, np.int32), symbol_bits(tables), PRICE)
    assert found.tolist() == [REACH + 7, -2 * REACH, 30_000]


# ---- refinement


def test_refinement_makes_up_for_latents_that_the_encoder_got_wrong(tables: Tables) -> None:
    drawn = torch.Generator().manual_seed(1)
    matrix, bits = 2 * torch.eye(16) + 0.2 * torch.randn(16, 16, generator=drawn), symbol_bits(tables)

    def maps(coded: Tensor) -> list[Tensor]:
        return [torch.einsum("ij,bjhw->bihw", matrix, coded)]

    best = 4 * torch.randn(1, 16, 8, 8, generator=drawn)
    residual = (best + torch.randn(best.shape, generator=drawn))[0].double().numpy()
    task, index = Task(maps, maps(best)), np.full(residual.shape, 36, np.int32)

    def measure(symbols: NDArray[np.int32]) -> tuple[float, float]:
        error = task.error(torch.from_numpy(symbols.astype(np.float32))[None])
        return float(bits[index, symbols + REACH].sum()), float(error)

    weighed = measure(quantize(residual, index, bits, PRICE))
    refined = measure(refine(residual, index, np.zeros_like(residual), bits, task, 40))
    assert refined[1] < 0.3 * weighed[1]
    assert refined[0] < 1.01 * weighed[0]


def test_without_anything_to_compare_the_refinement_says_so(tables: Tables) -> None:
    residual, index = np.zeros((2, 3, 3)), np.zeros((2, 3, 3), np.int32)
    for task in (Task(lambda _: [], []), Task(lambda y: [y], [torch.zeros(1, 2, 9, 9)])):
        with pytest.raises(InputError, match=r"effort: got .* expected .* to compare"):
            refine(residual, index, residual, symbol_bits(tables), task, 1)


# ---- the codec


def test_latents_alone_can_not_be_refined(default: FeatureCodec) -> None:
    with pytest.raises(InputError, match="got effort 2 and no features"):
        default.symbols(torch.zeros(128, 4, 4), 0, effort=2)


def error_of(codec: FeatureCodec, data: bytes, f: Tensor) -> float:
    got = compared_maps(codec.behind, codec.decode(data).as_subclass(torch.Tensor))
    wanted = compared_maps(codec.network, f)
    return float(torch.cat([relative_error(a, b) for a, b in zip(got, wanted, strict=True)]).mean())


def test_effort_1_saves_bytes_and_higher_efforts_most_of_the_error(
    default: FeatureCodec, picture: NDArray[np.uint8]
) -> None:
    f = default.features(picture)
    files = [default.encode_features(f, f.geometry, quality=4, effort=effort) for effort in EFFORTS]
    errors = [error_of(default, data, f.as_subclass(torch.Tensor)) for data in files]
    sizes = [len(data) for data in files]
    assert sizes[1] < 0.99 * sizes[0]
    assert max(sizes[2:]) < 1.05 * sizes[0]
    assert errors[1] < 1.2 * errors[0]
    assert errors[2] < 0.75 * errors[0]
    assert errors[3] < 0.5 * errors[0]


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_picture_has_the_same_bytes_each_time_and_in_each_call(
    default: FeatureCodec, picture: NDArray[np.uint8], effort: int
) -> None:
    data = default.encode(picture, quality=2, effort=effort)
    assert data == default.encode(picture, quality=2, effort=effort)
    other = picture[:90]  # on a canvas of its own, so that both are alone in a pass
    assert default.encode_batch([other, picture], quality=2, effort=effort)[1] == data
    f = default.features(picture)
    assert default.encode_features(f, f.geometry, quality=2, effort=effort) == data
    assert featcodec.encode(picture, quality=2, effort=effort) == data


def test_latents_are_rounded_unless_an_effort_is_given(
    default: FeatureCodec, picture: NDArray[np.uint8]
) -> None:
    assert default.encode(picture) == default.encode(picture, effort=0) != default.encode(picture, effort=1)


def test_a_target_of_bytes_is_kept_at_every_effort(default: FeatureCodec, picture: NDArray[np.uint8]) -> None:
    least = [len(default.encode(picture, quality=1, effort=effort)) for effort in (0, 2)]
    for effort, size in zip((0, 2), least, strict=True):
        data = default.encode(picture, target_bytes=size + 300, effort=effort)
        assert len(data) <= size + 300
        assert data == default.encode(picture, quality=parse(data).header.quality, effort=effort)


@pytest.mark.parametrize("effort", [-1, 4, 1.0, True, None, "1"])
def test_efforts_that_are_none_are_refused(default: FeatureCodec, effort: object) -> None:
    with pytest.raises(InputError, match=r"effort: got .*, expected 0, 1, 2 or 3"):
        check_effort(effort)
    with pytest.raises(InputError, match="effort: got"):
        default.encode(astronaut(), effort=effort)  # type: ignore[arg-type]


def test_without_its_network_a_codec_encodes_features_up_to_effort_1() -> None:
    codec, geometry = featcodec.zoo.decoder("yolov5s-p3"), Geometry.fit(352, 448, size=448)
    f = torch.rand(1, 128, geometry.canvas_height // 8, geometry.canvas_width // 8)
    sizes = [len(codec.encode_features(f, geometry, effort=effort)) for effort in (0, 1)]
    assert sizes[1] < sizes[0]
    with pytest.raises(InputError, match="network"):
        codec.encode_features(f, geometry, effort=2)
