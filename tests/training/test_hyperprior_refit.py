"""The hyperprior trained on for rate: fewer bits, and nothing else moves."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from featcodec.codec.codec_file import CodecFile
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.transforms import Widths
from featcodec.errors import InputError
from featcodec.fitting.export import export
from featcodec.fitting.refit import refitted
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_family import YOLOv5Cut
from featcodec.training.hyperprior import CodecModel
from featcodec.training.hyperprior_refit import refit_hyperprior

WIDTHS = Widths(64, latents=12, side=6, analysis=16, synthesis=16, hyper=16)
MOVED = ("h_a.", "h_s.", "tables_z.")


def latents() -> list[Tensor]:
    """Of two shapes; loud in places, and each channel about a mean of its own."""
    g = torch.Generator().manual_seed(0)
    found = []
    for shape in [(12, 16)] * 6 + [(16, 12)] * 5:
        loud = torch.exp(1.5 * torch.randn(1, shape[0] // 4, shape[1] // 4, generator=g))
        noise = torch.randn(WIDTHS.latents, *shape, generator=g)
        own = torch.arange(WIDTHS.latents)[:, None, None] / 4
        found.append(own + noise * loud.repeat_interleave(4, 1).repeat_interleave(4, 2))
    return found


def codec_file() -> CodecFile:
    torch.manual_seed(0)
    model = CodecModel(WIDTHS)
    cut = YOLOv5Cut.of(YOLOv5("n", classes=2).eval(), at=4, classes=("a", "b"))
    return export(model, cut, name="small", description="Random.")


def coded_bytes(file: CodecFile, step: int) -> int:
    codec = FeatureCodec(file, None)
    return sum(len(codec.payload(codec.symbols(y, step))) for y in latents())


def test_a_refitted_codec_spends_fewer_bytes_and_keeps_transforms_and_gains() -> None:
    file = codec_file()
    new = refitted(file, latents(), steps=60)
    for step in (0, 96, 224):
        assert coded_bytes(new, step) < 0.95 * coded_bytes(file, step)
    assert new.config == file.config
    assert new.fingerprint != file.fingerprint
    for name, value in file.tensors.items():
        assert name.startswith(MOVED) or torch.equal(value, new.tensors[name]), name


def test_latents_of_a_refitted_codec_lie_within_half_a_step() -> None:
    new = refitted(codec_file(), latents(), steps=3)
    codec = FeatureCodec(new, None)
    for y in latents():
        y_hat = codec.latents_of(codec.symbols(y, 96), 96)
        assert float(((y_hat - y) / new.inverse_gain(96)[:, None, None]).abs().max()) < 0.501


def test_only_the_hyperprior_of_a_model_moves_and_the_same_seed_moves_it_alike() -> None:
    torch.manual_seed(1)
    model = CodecModel(WIDTHS)
    before, again = copy.deepcopy(model.state_dict()), copy.deepcopy(model)
    random = torch.get_rng_state()
    refit_hyperprior(model, latents(), steps=2, seed=3)
    assert torch.equal(torch.get_rng_state(), random)
    refit_hyperprior(again, latents(), steps=2, seed=3)
    moved = {name.split(".")[0] for name, v in model.state_dict().items() if not torch.equal(v, before[name])}
    assert moved == {"h_a", "h_s", "prior_z"}
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], "got none"),
        ([torch.zeros(5, 8, 8)], r"got \(5, 8, 8\)"),
        ([torch.zeros(12, 8)], r"got \(12, 8\)"),
    ],
)
def test_latents_that_are_not_the_codecs_are_refused(given: list[Tensor], expected: str) -> None:
    with pytest.raises(InputError, match=expected + r", expected \(12, h, w\) of some pictures"):
        refitted(codec_file(), given, steps=1)
