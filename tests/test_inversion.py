"""The inversion attack, on a small codec with random weights."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from featcodec.attacks.inversion import collect, measure, rebuild, train
from featcodec.backbones.split import split
from featcodec.backbones.yolov5 import YOLOv5
from featcodec.checkpoint import network_of
from featcodec.codec import FeatureCodec
from featcodec.errors import InputError
from featcodec.fit.export import export
from featcodec.hyperprior import CodecModel
from featcodec.transforms import Widths


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    network = YOLOv5("n", classes=2).eval().half().float()
    model = CodecModel(Widths(64, latents=8, side=4, analysis=8, synthesis=8, hyper=8))
    file = export(model, split(network), name="tiny", description="", classes=("a", "b"))
    return FeatureCodec(file, network_of(file, None))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    crops = [astronaut()[:256, :320], astronaut()[200:500, :300]]
    for i, crop in enumerate(crops):
        Image.fromarray(crop).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


def test_a_pair_holds_the_decoded_latents_and_the_picture_at_half_size(codec, photographs):
    pair = collect(codec, photographs[:1], quality=8)[0]
    latents, geometry = codec.decode_latents(codec.encode(photographs[0], quality=8))
    assert torch.equal(pair.latents, latents[0].half())
    assert pair.picture.shape == (3, geometry.canvas_height // 2, geometry.canvas_width // 2)


def test_training_is_seeded_reports_progress_and_beats_the_untrained(codec, photographs):
    pairs = collect(codec, photographs, quality=8)
    lines = []
    trained = train(pairs, steps=100, batch=2, seed=3, log=lines.append)
    assert json.loads(lines[-1])["step"] == 100
    assert rebuild(trained, pairs[0]).shape == (3, *(2 * n for n in pairs[0].picture.shape[1:]))
    reached, start = (measure(n, codec, pairs) for n in (trained, train(pairs, steps=1, batch=2, seed=3)))
    assert reached.psnr > start.psnr
    assert reached.blind == start.blind


def test_pictures_smaller_than_a_crop_cannot_be_trained_on(codec, tmp_path):
    Image.fromarray(astronaut()[:64, :64]).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="192 x 192"):
        train(collect(codec, [tmp_path / "small.png"], quality=4), steps=1)
