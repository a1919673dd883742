"""The model that is fitted: its tables are its likelihoods, its gains the stored ones, all of it learns."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from featcodec.codec.codec_file import CodecFile
from featcodec.codec.entropy import PRECISION, SymbolDecoder, encode_symbols, ideal_bits
from featcodec.codec.transforms import IntegerHyperSynthesis, Widths
from featcodec.errors import CodecFileError
from featcodec.fitting.export import export
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_family import YOLOv5Cut
from featcodec.plf.header import QUALITIES
from featcodec.training.hyperprior import CodecModel, interpolate_gain, scale_of

# 64 features are what crosses the cut of a YOLOv5n after layer 4
WIDTHS = Widths(64, latents=12, side=6, analysis=16, synthesis=16, hyper=16)


def model(seed: int = 0) -> CodecModel:
    """A random model whose scales, means and gains are no constants."""
    torch.manual_seed(seed)
    m = CodecModel(WIDTHS)
    with torch.no_grad():
        m.log_gain.add_(torch.randn(m.log_gain.shape) * 0.1)
        m.h_s.weights[2].mul_(8)
        dict(m.named_parameters())["h_a.net.4.weight"].mul_(40)
        dict(m.named_parameters())["g_a.net.3.weight"].mul_(20)
    return m


@cache
def cut() -> YOLOv5Cut:
    torch.manual_seed(0)
    return YOLOv5Cut.of(YOLOv5("n", classes=2).eval(), at=4, classes=("a", "b"))


def exported(m: CodecModel) -> CodecFile:
    return export(m, cut(), name="small", description="Random.", embed=cut().network)


def features(seed: int, count: int = 1, side: int = 16) -> Tensor:
    return torch.randn(count, WIDTHS.features, side, side, generator=torch.Generator().manual_seed(seed))


# ---- what it is made with


def imported(*options: str, before: str = "") -> str:
    """What a fresh process prints that imports the model, on both streams."""
    tried = "try:\n    import featcodec.training.hyperprior\nexcept ImportError as error:\n    print(error)"
    script = f"import sys; {before}\n{tried}"
    done = subprocess.run(
        [sys.executable, *options, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_an_import_shows_no_warning_of_what_compressai_imports() -> None:
    assert imported() == ""


def test_without_compressai_the_command_that_brings_it_is_named() -> None:
    said = imported(before="sys.modules['compressai'] = sys.modules['compressai.entropy_models'] = None")
    assert said == "compressai is missing: pip install 'featcodec[fit]'\n"


# ---- tables


def test_tables_add_up_and_leave_every_entry_and_the_escape_a_chance() -> None:
    m = model()
    for tables in (m.tables_y(), m.tables_z()):
        for row, size in zip(tables.frequencies, tables.sizes, strict=True):
            assert row[:size].sum() == 1 << PRECISION
            assert row[:size].min() >= 1
            assert not row[size:].any()
    assert len(m.tables_y().sizes) == IntegerHyperSynthesis.SCALES
    assert len(m.tables_z().sizes) == WIDTHS.side


def test_tables_of_latents_are_symmetric_and_widen_with_their_row() -> None:
    tables = CodecModel(WIDTHS).tables_y()
    peaks = []
    for row, size, low in zip(tables.frequencies, tables.sizes.tolist(), tables.lows.tolist(), strict=True):
        entries = row[: size - 1]
        assert low == -(len(entries) // 2)
        assert abs(entries - entries[::-1]).max() <= 1
        assert entries.argmax() == -low
        peaks.append(int(entries.max()))
    assert peaks == sorted(peaks, reverse=True)


def test_the_scale_table_is_geometric_from_a_ninth_to_64() -> None:
    scales = scale_of(torch.arange(IntegerHyperSynthesis.SCALES, dtype=torch.float64))
    ratios = scales[1:] / scales[:-1]
    assert float(scales[0]) == pytest.approx(0.11)
    assert float(scales[-1]) == pytest.approx(64)
    assert torch.allclose(ratios, ratios[:1].expand_as(ratios))


def test_tables_of_latents_spend_the_bits_of_their_normal_distribution() -> None:
    tables, rng = CodecModel(WIDTHS).tables_y(), np.random.default_rng(0)
    for row in range(0, 64, 7):
        scale = float(scale_of(torch.tensor(float(row))))
        symbols = np.rint(rng.normal(scale=scale, size=4000)).astype(np.int32)
        edges = torch.from_numpy(symbols[:, None] + np.array([-0.5, 0.5])).double() / scale
        expected = -torch.special.ndtr(edges).diff()[:, 0].log2().sum().item()
        spent = ideal_bits(symbols, np.full_like(symbols, row), tables).sum()
        assert spent == pytest.approx(expected, rel=0.005, abs=1)


def test_tables_of_side_information_spend_the_bits_of_the_prior() -> None:
    m = model(1)
    tables = m.tables_z()
    whole = torch.arange(-20, 21, dtype=torch.float32)
    z = whole.view(1, 1, -1, 1).expand(1, WIDTHS.side, -1, 1).contiguous()
    with torch.no_grad():
        p = m.prior_z(z, training=False)[1][0, :, :, 0].double().numpy()
    for channel in range(WIDTHS.side):
        symbols = whole.numpy().astype(np.int32)
        spent = ideal_bits(symbols, np.full_like(symbols, channel), tables)
        assert p[channel] @ spent == pytest.approx(-(p[channel] * np.log2(p[channel])).sum(), rel=0.005)


def drawn(m: CodecModel, seed: int) -> tuple[Tensor, Tensor]:
    """Side information and latents (in the quantizer's units) that follow the model exactly."""
    rng, tables = np.random.default_rng(seed), m.tables_z()
    z = np.empty((1, WIDTHS.side, 12, 12), np.float32)
    for channel, (row, size, low) in enumerate(
        zip(tables.frequencies, tables.sizes, tables.lows, strict=True)
    ):
        p = row[: size - 1] / row[: size - 1].sum()
        z[0, channel] = rng.choice(size - 1, (12, 12), p=p) + low
    z_hat = torch.from_numpy(z)
    with torch.no_grad():
        said = m.h_s(z_hat, 48, 48)
        normal = torch.from_numpy(rng.normal(size=said.mean.shape)).float()
        return z_hat, said.mean + normal * scale_of(said.index)


def flat(t: Tensor) -> NDArray[np.int32]:
    return t.detach().numpy().astype(np.int32).reshape(-1)


def test_estimated_bits_are_the_bits_that_the_exported_tables_spend() -> None:
    m = model(2)
    z, y = drawn(m, 3)
    with torch.no_grad():
        said = m.h_s(z, 48, 48)
        p_z = m.prior_z(z, training=False)[1]
        p_y = m.prior_y(y, scale_of(said.index), means=said.mean, training=False)[1]
        noisy = m.prior_y(y, scale_of(said.index), means=said.mean, training=True)[1]
    estimate_y, estimate_z, trained_y = (float(-p.log2().sum()) for p in (p_y, p_z, noisy))
    z_part = flat(z), np.repeat(np.arange(WIDTHS.side, dtype=np.int32), 144), m.tables_z()
    y_part = flat(torch.round(y - said.mean)), flat(said.index), m.tables_y()
    assert float(ideal_bits(*z_part).sum()) == pytest.approx(estimate_z, rel=0.01)
    assert float(ideal_bits(*y_part).sum()) == pytest.approx(estimate_y, rel=0.01)
    assert len(encode_symbols([z_part, y_part])) == pytest.approx((estimate_y + estimate_z) / 8, rel=0.01)
    # training adds noise instead of rounding, which costs the more, the narrower the scales are
    assert estimate_y < trained_y < 1.1 * estimate_y


@pytest.mark.parametrize("shift", [3.0, 50.0])
def test_a_prior_far_from_zero_still_gives_tables_that_code_every_symbol(shift: float) -> None:
    m = CodecModel(WIDTHS)
    with torch.no_grad():
        for name, p in m.prior_z.named_parameters():
            if "biases" in name:
                p.add_(shift)
    tables = m.tables_z()
    symbols, rows = np.arange(-200, 200, dtype=np.int32), np.full(400, 2, np.int32)
    decoder = SymbolDecoder(encode_symbols([(symbols, rows, tables)]))
    assert np.array_equal(decoder.decode(rows, tables), symbols)


# ---- gains


def test_gains_rise_with_quality_and_the_middle_of_two_qualities_lies_between_them() -> None:
    m = CodecModel(WIDTHS)
    q = torch.linspace(1, 8, 57)
    between = interpolate_gain(m.inverse_gains(), q)
    assert bool((between.diff(dim=0) < 0).all())
    assert bool((m.gains().diff(dim=0) > 0).all())
    assert torch.allclose(m.gains() * m.inverse_gains(), torch.ones(1))
    assert torch.equal(between[::8], m.inverse_gains())


def test_the_stored_gain_of_each_quality_step_is_the_interpolated_one() -> None:
    m = model(4)
    file = exported(m)
    steps = torch.arange(225)
    expected = interpolate_gain(m.inverse_gains().double(), 1 + steps / 32).detach()
    for step in steps.tolist():
        stored = file.inverse_gain(step)
        assert stored.dtype == torch.float32
        assert torch.allclose(stored.double(), expected[step], rtol=2e-7, atol=0)
        if step % 32 == 0:
            assert torch.equal(stored, m.inverse_gains()[step // 32])


# ---- fitting


def test_gradients_reach_every_parameter() -> None:
    m = model(5)
    coded = m(features(6, count=9), torch.tensor([1.0, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.0, 7.0]))
    (coded.f_hat.square().mean() + 1e-3 * (coded.bits_y.sum() + coded.bits_z.sum())).backward()
    frozen = [name for name, p in m.named_parameters() if not p.requires_grad]
    assert frozen == ["prior_z.quantiles"]
    for name, p in m.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, name
            assert bool(p.grad.isfinite().all()), name
            assert bool(p.grad.any()), name
    assert m.log_gain.grad is not None
    assert bool(m.log_gain.grad.ne(0).all())  # every channel at every quality


@pytest.mark.parametrize("what", ["rate", "distortion"])
def test_rate_and_distortion_each_reach_the_analysis_transform(what: str) -> None:
    m = model(6)
    coded = m(features(7), torch.tensor([4.0]))
    (coded.bits_y.sum() if what == "rate" else coded.f_hat.square().sum()).backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in m.g_a.parameters())


def test_a_finer_quality_spends_more_bits_on_less_distortion() -> None:
    m = model(8)
    f = features(8).expand(len(QUALITIES), -1, -1, -1)
    with torch.no_grad():
        y = m.g_a(f)
        coded = m.code(y, torch.tensor(QUALITIES))
    error = (coded.y_hat - y).square().flatten(1).mean(1)
    assert bool((coded.bits_y.diff() > 0).all())
    assert bool((error.diff() < 0).all())


# ---- export


def test_what_is_exported_is_what_was_fitted() -> None:
    m = model(8)
    file = exported(m)
    weights, biases = m.h_s.integers()
    assert all(torch.equal(a, b.double()) for a, b in zip(file.h_s_weights, weights, strict=True))
    assert all(torch.equal(a, b.double()) for a, b in zip(file.h_s_biases, biases, strict=True))
    with torch.no_grad():
        f = features(9)
        assert torch.allclose(file.g_a(f), m.g_a(f), rtol=0.02, atol=0.02)  # stored in float16
    assert np.array_equal(file.tables_y.frequencies, m.tables_y().frequencies)
    assert np.array_equal(file.tables_z.lows, m.tables_z().lows)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e7])
def test_biases_that_do_not_fit_into_integers_are_refused(bad: float) -> None:
    m = model(9)
    with torch.no_grad():
        m.h_s.biases[1][3] = bad
    with pytest.raises(CodecFileError, match=r"hyper-synthesis, layer 1: .* do not fit into integers"):
        exported(m)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e6])
def test_weights_beyond_float16_are_refused(bad: float) -> None:
    m = model(10)
    with torch.no_grad():
        dict(m.named_parameters())["g_s.net.0.weight"][0, 0, 0, 0] = bad
    with pytest.raises(CodecFileError, match=r"g_s\.net\.0\.weight: got values that are not finite"):
        exported(m)


def test_weights_that_are_not_finite_are_refused_in_the_hyper_synthesis() -> None:
    m = model(11)
    with torch.no_grad():
        m.h_s.weights[0][0, 0, 0, 0] = math.nan
    with pytest.raises(CodecFileError, match="hyper-synthesis, layer 0"):
        exported(m)
