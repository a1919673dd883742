"""Transforms in closed form, and the entropy model that starts beside them."""

import pytest
import torch
from torch import nn

from featcodec.codec.transforms import Widths
from featcodec.networks.compared import jacobian_sketch
from featcodec.training import closed_form
from featcodec.training.closed_form import basis, set_transforms, statistics
from featcodec.training.decoder_start import start_decoder
from featcodec.training.entropy_start import start_entropy_model
from featcodec.training.hyperprior import CodecModel, scale_of
from featcodec.training.quality_weights import QualityWeights

PIXELS = 32 * 32


def features(count: int, channels: int = 6, *, rank: int | None = None, seed: int = 0) -> torch.Tensor:
    """(count, channels, 8, 8), channels mixed from `rank` sources of falling strength, smooth in space."""
    generator = torch.Generator().manual_seed(seed)
    rank = rank or channels
    sources = torch.randn(count, rank, 8, 8, generator=generator)
    sources = nn.functional.avg_pool2d(sources, 3, 1, 1) * 2.0 ** -torch.arange(rank).view(-1, 1, 1)
    mixing = torch.randn(channels, rank, generator=torch.Generator().manual_seed(99))
    return torch.einsum("ij,bjhw->bihw", mixing, sources) + 3


@pytest.fixture
def tail() -> nn.Module:
    """A linear tail, whose Jacobian is the same everywhere; it hardly looks at half of the channels."""
    torch.manual_seed(5)
    net = nn.Conv2d(6, 5, 2, stride=2, bias=False).requires_grad_(False)
    net.weight[:, :3] *= 0.05
    return net


def found_with(tail: nn.Module, f: torch.Tensor, feature_weight: float = 1e-6):
    generator = torch.Generator().manual_seed(1)
    sketches = torch.cat([jacobian_sketch(lambda v: [tail(v)], f, generator) for _ in range(20)])
    return statistics(f, sketches, pixels=PIXELS, feature_weight=feature_weight)


def error_of_outputs(tail: nn.Module, f: torch.Tensor, f_hat: torch.Tensor) -> float:
    wanted = tail(f)
    return float((tail(f_hat) - wanted).square().mean() / wanted.var())


def through(b, found, f: torch.Tensor) -> torch.Tensor:
    """Features through the transform and back."""
    mean = found.mean.view(-1, 1, 1)
    y = torch.einsum("kc,bchw->bkhw", b.analysis, nn.functional.pixel_unshuffle(f - mean, 2))
    return nn.functional.pixel_shuffle(torch.einsum("ck,bkhw->bchw", b.synthesis, y), 2) + mean


def test_what_is_left_out_costs_the_task_what_the_variances_say(tail, monkeypatch):
    monkeypatch.setattr(closed_form, "SHRINKAGE", 0.0)
    f = features(128)
    found = found_with(tail, f)
    blocks = PIXELS / 16  # of a picture's 8 x 8 places
    variances = basis(found, 24).variances
    for kept in (1, 2, 4):
        got = error_of_outputs(tail, f, through(basis(found, kept), found, f))
        foretold = float(variances[kept:].sum()) * 16 / PIXELS
        assert got == pytest.approx(foretold, rel=0.1), (kept, blocks)


def test_the_metric_keeps_more_for_the_task_than_the_plain_transform(tail):
    f, other = features(128), features(64, seed=7)
    in_metric, plain = found_with(tail, f), statistics(f, f[:0], pixels=PIXELS, feature_weight=1.0)
    for kept in (2, 4, 8):
        ours, theirs = (
            error_of_outputs(tail, other, through(basis(s, kept), s, other)) for s in (in_metric, plain)
        )
        assert ours < 0.8 * theirs


def test_all_directions_together_lose_nothing():
    f = features(64)
    found = statistics(f, f[:0], pixels=PIXELS, feature_weight=1.0)
    assert torch.allclose(through(basis(found, 24), found, f), f, atol=1e-3)


def test_directions_that_features_have_not_are_zero():
    f = features(64)[:, :2]
    b = basis(statistics(f, f[:0], pixels=PIXELS, feature_weight=1.0), 20)
    assert b.analysis.shape == (20, 8)
    assert bool((b.variances[:8] > 0).all())
    assert not b.analysis[8:].any()
    assert not b.synthesis[:, 8:].any()


def test_of_many_channels_the_principal_ones_are_kept(monkeypatch):
    monkeypatch.setattr(closed_form, "WIDEST", 8)
    f = features(64, channels=40, rank=5)
    found = statistics(f, f[:16] - 3, pixels=PIXELS, feature_weight=0.1)
    assert found.covariance.shape == (32, 32)
    assert found.root().shape == (32, 160)
    b = basis(found, 20)
    assert b.analysis.shape == (20, 160)
    got = through(b, found, f)
    assert float((got - f).square().mean() / f.var()) < 0.01


def test_few_pictures_do_not_blow_up_a_direction():
    f = features(2, channels=30)
    found = statistics(f, 0.01 * (f - 3), pixels=PIXELS, feature_weight=0.1)
    for matrix in (found.covariance, found.metric):
        values = torch.linalg.eigvalsh(matrix)
        assert float(values[0]) > 0
    other = features(16, channels=30, seed=3)
    got = through(basis(found, 60), found, other)
    assert float((got - other).square().mean() / other.var()) < 1.0


@pytest.fixture(scope="module")
def started():
    """A model that starts from smooth features, and its latents."""
    torch.manual_seed(0)
    f = features(64) * torch.logspace(-1.5, 0.3, 64).view(-1, 1, 1, 1)  # calm pictures and lively ones
    f = nn.functional.interpolate(f, scale_factor=2, mode="bilinear")  # (64, 6, 16, 16)
    model = CodecModel(Widths(6, latents=12, side=4, analysis=8, synthesis=8, hyper=16))
    found = statistics(f, f[:0], pixels=64 * 64, feature_weight=1.0)
    set_transforms(model, found, QualityWeights(1.0, 1000.0))
    with torch.no_grad():
        y = model.g_a(f)
    start_entropy_model(model, y)
    return model, f, y


def test_the_convolutional_paths_add_nothing_at_the_start(started):
    model, f, y = started
    with torch.no_grad():
        linear = model.g_a.linear((f - model.g_a.mean.view(-1, 1, 1)) / model.g_a.deviation.view(-1, 1, 1))
        assert torch.equal(y, linear)
        assert not model.g_s.net(y).any()


def test_at_the_highest_quality_the_features_come_back(started):
    model, f, _ = started
    with torch.no_grad():
        coded = model(f, torch.full((len(f),), 8.0))
    assert float((coded.f_hat - f).square().mean() / f.var()) < 0.01


def test_channels_stand_in_the_order_of_their_worth(started):
    _, _, y = started
    energy = y.square().mean((0, 2, 3))
    assert bool((energy.diff() < 1e-3 * energy[0]).all())


def test_scales_fit_the_latents_at_every_quality_and_in_calm_and_lively_pictures(started):
    model, _, y = started
    ratios = []
    with torch.no_grad():
        for quality in (2, 4, 6, 8):
            y_g = y * model.gains()[quality - 1][:, None, None]
            said = model.h_s(model.h_a(y_g).round(), *y.shape[-2:])
            scale = scale_of(said.index)
            for part in (slice(0, 24), slice(40, 64)):
                loud = y_g[part, :4].square().mean().sqrt()
                if float(loud) > 0.5:
                    ratios.append(float((y_g[part, :4] / scale[part, :4]).square().mean().sqrt()))
    assert len(ratios) >= 5
    assert all(0.5 < ratio < 2.0 for ratio in ratios), ratios


def test_side_information_costs_little_and_saves_more(started):
    model, f, y = started
    with torch.no_grad():
        y_g = y * model.gains()[4][:, None, None]
        coded = model(f, torch.full((len(f),), 5.0))
        own = y_g.square().mean((0, 2, 3)).sqrt().clamp(min=0.11)[:, None, None].expand_as(y_g)
        static = -model.prior_y(y_g, own, training=True)[1].log2().flatten(1).sum(1)
    assert float((coded.bits_y + coded.bits_z).mean()) < float(static.mean())


def test_neighbours_make_decoding_better_where_little_was_sent():
    """Sources that are smooth over blocks, too: what a block lacks is in the blocks around it."""
    f = nn.functional.interpolate(features(256), scale_factor=4, mode="bilinear")[..., :16, :16]
    model = CodecModel(Widths(6, latents=12, side=4, analysis=8, synthesis=16, hyper=16))
    found = statistics(f, f[:0], pixels=64 * 64, feature_weight=1.0)
    set_transforms(model, found, QualityWeights(1.0, 100.0))

    def errors() -> list[float]:
        y = model.g_a(f[200:])
        rounded = [torch.round(y * gain) / gain for gain in model.gains()[:, :, None, None]]
        return [float((model.g_s(y_hat) - f[200:]).square().mean()) for y_hat in rounded]

    with torch.no_grad():
        alone = errors()
        start_decoder(model, found, f[:200], torch.ones(8))
        together = errors()
    assert all(b < a for a, b in zip(alone[:5], together, strict=False))
    assert together[1] < 0.9 * alone[1]


def test_a_decoder_is_not_fitted_to_noise_of_few_places():
    f = features(3)
    model = CodecModel(Widths(6, latents=12, side=4, analysis=8, synthesis=16, hyper=16))
    found = statistics(f, f[:0], pixels=PIXELS, feature_weight=1.0)
    set_transforms(model, found, QualityWeights(1.0, 100.0))
    start_decoder(model, found, f, torch.ones(8))
    assert not model.g_s.net[-1].weight.any()
