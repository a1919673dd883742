"""Fitting: the objective, the loop, and what a checkpoint keeps."""

from __future__ import annotations

import json

import pytest
import torch

from featcodec.attacks.invnet import InvNet, mean_colour_loss, reconstruction_loss
from featcodec.backbones.split import split
from featcodec.backbones.yolov5 import YOLOv5
from featcodec.errors import FitError
from featcodec.fit.loop import Options, Run, fit_codec
from featcodec.fit.losses import distortion, quality_weight, target_of
from featcodec.hyperprior import CodecModel
from featcodec.transforms import Widths

SMALL = Widths(64, latents=8, side=4, analysis=8, synthesis=8, hyper=8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return split(YOLOv5("n", classes=6).eval().requires_grad_(False), at=4)


def pictures(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)


def model():
    torch.manual_seed(1)
    return CodecModel(SMALL)


def moved(fitted):
    start = model().state_dict()
    return any(not torch.equal(value, start[name]) for name, value in fitted.state_dict().items())


def test_lambda_is_geometric_between_its_ends():
    got = quality_weight(torch.tensor([1.0, 4.5, 8.0]), (0.5, 8.0))
    assert torch.allclose(got, torch.tensor([0.5, 2.0, 8.0]))


def test_distortion_of_the_uncoded_features_is_zero_and_of_others_is_not(network):
    with torch.no_grad():
        f = network.head(next(pictures(1)).float() / 255)[0]
        target = target_of(network, f)
        assert torch.allclose(distortion(network, f, target, 0.1), torch.zeros(2), atol=1e-6)
        assert (distortion(network, f + 0.5 * torch.randn_like(f), target, 0.1) > 0).all()


def test_an_adversary_that_paints_the_mean_colour_reaches_the_bound_of_privacy():
    picture = torch.rand(2, 3, 32, 32)
    mean = picture.mean((2, 3), keepdim=True).expand_as(picture)
    assert torch.allclose(reconstruction_loss(mean, picture, 5.0), mean_colour_loss(picture, 5.0))
    assert torch.equal(reconstruction_loss(picture, picture, 5.0), torch.zeros(2))


def test_the_adversary_paints_half_the_resolution():
    assert InvNet(8, width=16)(torch.zeros(1, 8, 3, 5)).shape == (1, 3, 24, 40)


def test_a_fit_moves_the_codec_and_leaves_the_network_alone(network, tmp_path):
    before = {k: v.clone() for k, v in network.network.state_dict().items()}
    fitted = fit_codec(network, model(), pictures(3), Options(steps=3), checkpoint=tmp_path / "c.pt")
    assert moved(fitted)
    assert all(torch.equal(v, before[k]) for k, v in network.network.state_dict().items())


def test_the_adversary_trains_alone_before_the_codec_moves(network, tmp_path):
    options = Options(steps=5, privacy=1.0, adversary_head_start=2)
    fitted = fit_codec(network, model(), pictures(2), options, checkpoint=tmp_path / "c.pt")
    assert not moved(fitted)
    assert torch.load(tmp_path / "c.pt", weights_only=True)["step"] == 0


def test_an_interrupted_fit_ends_where_an_uninterrupted_one_does(network, tmp_path):
    options = Options(steps=4, privacy=1.0, adversary_head_start=1)
    whole = fit_codec(network, model(), pictures(5), options, checkpoint=tmp_path / "whole.pt")
    batches = list(pictures(5))
    fit_codec(network, model(), batches[:2], options, checkpoint=tmp_path / "parts.pt")
    parts = fit_codec(network, model(), batches[2:], options, checkpoint=tmp_path / "parts.pt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_a_loss_that_is_not_finite_ends_the_fit_with_the_reason(network, tmp_path):
    broken = model()
    with torch.no_grad():
        broken.g_s.net[0].weight.fill_(float("nan"))
    with pytest.raises(FitError, match="not finite"):
        fit_codec(network, broken, pictures(60), Options(steps=60), checkpoint=tmp_path / "c.pt")


def test_progress_is_a_json_line_every_fifty_steps(network, tmp_path):
    lines = []
    fit_codec(
        network, model(), pictures(50), Options(steps=50), checkpoint=tmp_path / "c.pt", log=lines.append
    )
    assert [json.loads(line)["step"] for line in lines] == [50]
    assert json.loads(lines[0])["bpp_y"] > 0


def test_without_privacy_there_is_no_adversary():
    assert Run(model(), Options(steps=1)).adversary is None
