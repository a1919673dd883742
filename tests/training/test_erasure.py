"""Taking out of the features what says most of the picture."""

import pytest
import torch
import torch.nn.functional as F

from featcodec.codec.transforms import Widths
from featcodec.fitting.start import set_closed_form
from featcodec.training.closed_form import basis, statistics
from featcodec.training.erasure import erase
from featcodec.training.hyperprior import CodecModel
from featcodec.training.quality_weights import QualityWeights
from featcodec.training.regression import ridge_weights

PICTURES, CHANNELS = 48, 6


@pytest.fixture(scope="module")
def scene():
    """Pictures, features of which channels 0 to 2 are their colours and the others are noise, and statistics
    by which the task looks at the noise only, or at both."""
    generator = torch.Generator().manual_seed(0)
    pictures = F.interpolate(torch.rand(PICTURES, 3, 8, 8, generator=generator), scale_factor=8)
    colours = F.avg_pool2d(pictures, 8)
    noise = torch.randn(PICTURES, 3, 8, 8, generator=generator)
    features = torch.cat((4 * colours, noise), 1)
    looks = torch.randn(PICTURES, CHANNELS, 8, 8, generator=generator)
    looks[:, :3] *= 0.3
    return pictures, features, statistics(features, looks, pixels=64 * 64, feature_weight=1e-6)


def explained(keep: torch.Tensor, features: torch.Tensor, pictures: torch.Tensor) -> float:
    """Share of the pictures' variance that linear regression explains from erased blocks."""
    centred = features - features.mean((0, 2, 3), keepdim=True)
    x = F.pixel_unshuffle(centred, 2).transpose(0, 1).flatten(1).double()
    small = F.avg_pool2d(pictures, 4)
    t = F.pixel_unshuffle(small - small.mean((0, 2, 3), keepdim=True), 4)
    t = t.transpose(0, 1).flatten(1).double()
    x = (keep @ x).T
    solved = ridge_weights(x.T @ x, x.T @ t.T, 1e-4)  # what is left of rounding must not count
    return 1 - float((x @ solved - t.T).square().sum() / t.square().sum())


def test_nothing_linear_is_left_once_all_of_the_pictures_directions_are_out(scene):
    pictures, features, found = scene
    assert explained(torch.eye(24).double(), features, pictures) > 0.95
    _, some = erase(found, features, pictures, 6)
    _, every = erase(found, features, pictures, 12)  # 3 colours of 4 places
    assert 0.4 < explained(some, features, pictures) < 0.6
    assert explained(every, features, pictures) < 0.02


def test_erasing_is_a_projection_and_leaves_the_statistics_of_what_stays(scene):
    pictures, features, found = scene
    left, keep = erase(found, features, pictures, 5)
    torch.testing.assert_close(keep @ keep, keep, atol=1e-8, rtol=0)
    assert torch.linalg.matrix_rank(keep) == 24 - 5
    torch.testing.assert_close(left.covariance, keep @ found.covariance @ keep.T)
    gone = torch.eye(24).double() - keep
    torch.testing.assert_close(
        keep @ found.covariance @ gone.T, torch.zeros(24, 24).double(), atol=1e-8, rtol=0
    )


def test_erasing_nothing_changes_nothing(scene):
    pictures, features, found = scene
    left, keep = erase(found, features, pictures, 0)
    torch.testing.assert_close(keep, torch.eye(24).double())
    torch.testing.assert_close(left.covariance, found.covariance)


def test_a_codec_starts_without_what_was_erased(scene):
    pictures, features, found = scene
    left, keep = erase(found, features, pictures, 12)
    transform = basis(left, 12, keep)
    assert explained((transform.synthesis @ transform.analysis).double(), features, pictures) < 0.02
    torch.manual_seed(0)
    model = CodecModel(Widths(CHANNELS, latents=12, side=4, analysis=8, synthesis=8, hyper=8))
    weights = QualityWeights(1.0, 1000.0)
    set_closed_form(model, found, features, weights, pictures=pictures, erased=12)
    with torch.no_grad():
        f_hat = model(features, torch.full((PICTURES,), 8.0)).f_hat
    error = (f_hat - features).square().mean((0, 2, 3)) / features.var((0, 2, 3))
    assert error[:3].min() > 0.9  # the colours are gone, and the noise is there
    assert error[3:].max() < 0.1
