"""Qualities put elsewhere on a codec's own scale."""

import pytest
import torch
from skimage.data import astronaut

import featcodec
from featcodec.codec.quality_scale import respaced
from featcodec.errors import InputError

QUALITIES = (1, 1.5, 2, 2.5, 3, 4, 6, 8)


@pytest.fixture(scope="module")
def codec():
    return featcodec.load("yolox-nano-open")


def test_a_quality_gives_the_symbols_of_the_one_it_was_put_at(codec, tmp_path):
    respaced(codec.file, QUALITIES).save(tmp_path / "respaced.safetensors")
    other = featcodec.load(tmp_path / "respaced.safetensors")
    assert other.fingerprint != codec.fingerprint
    for here, there in ((1, 1), (2, 1.5), (5, 3), (8, 8)):
        own, moved = codec.encode(astronaut(), quality=there), other.encode(astronaut(), quality=here)
        assert torch.equal(codec.decode_latents(own)[0], other.decode_latents(moved)[0])
        assert len(own) == len(moved)


def test_between_two_it_lies_between_them(codec):
    found = respaced(codec.file, QUALITIES)
    low, middle, high = (found.inverse_gain(step) for step in (32, 48, 64))
    assert bool(((middle - low) * (high - middle) >= -1e-9).all())


@pytest.mark.parametrize(
    "wrong",
    [(1, 2, 3), (1, 1, 2, 3, 4, 5, 6, 7), (2, 1, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4, 5, 6, 7, float("inf"))],
)
def test_fewer_or_falling_ones_are_refused(codec, wrong):
    with pytest.raises(InputError, match=r"qualities: got .*, expected 8 that rise"):
        respaced(codec.file, wrong)


def test_beyond_its_ends_the_gains_go_on_as_between_the_last_two(codec):
    found = respaced(codec.file, (-1, 0, 1, 2, 3, 6, 8, 8.5))
    gains = codec.file.tensors["inverse_gains"].double()
    ratio = gains[0] / gains[1]
    expected = [gains[0] * ratio**2, gains[0] * ratio, gains[0], gains[7] * (gains[7] / gains[6]) ** 0.5]
    got = found.tensors["inverse_gains"][[0, 1, 2, 7]].double()
    torch.testing.assert_close(got, torch.stack(expected), rtol=1e-5, atol=0)
