"""A tail that learns to do with what is decoded: the fit, the codec file, what goes through which tail."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from skimage.data import astronaut, coffee
from torch import nn

import featcodec
from featcodec.errors import CodecFileError, FitError, InputError
from featcodec.networks.compared import relative_error

PICTURES = [astronaut(), coffee()]


def network() -> nn.Module:
    torch.manual_seed(3)
    head = nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU()
    return nn.Sequential(
        *head, nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)
    ).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from PIL import Image

    out = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(out / f"{i}.png")
    return out


def fitted(folder, **settings):
    wanted = {
        "at": "2",
        "images": folder,
        "size": 64,
        "batch": 2,
        "latents": 8,
        "tune_tail": True,
        "bf16": False,
    }
    return featcodec.fit(network(), **{**wanted, **settings})


@pytest.fixture(scope="module")
def codec(folder):
    return fitted(folder, steps=60, lr=0.01, quality_weights=(0.1, 1.0), average=0.5)


def test_the_codec_file_holds_what_stands_behind_the_cut_and_nothing_else(codec):
    names = {n.removeprefix("tail.") for n in codec.file.tensors if n.startswith("tail.")}
    assert names == {"3.weight", "3.bias", "4.weight", "4.bias", "6.weight", "6.bias"}
    assert all(codec.file.tensors[f"tail.{n}"].dtype == torch.float16 for n in names)


def test_decoded_features_go_through_it_and_uncoded_ones_through_the_network(codec):
    whole, x = network(), codec.features(PICTURES[0])
    assert torch.equal(codec.tail(x), whole[3:](x.as_subclass(torch.Tensor)))
    f_hat = codec.decode(codec.encode(PICTURES[0]))
    got = codec.tail(f_hat)
    assert not torch.allclose(got, whole[3:](f_hat.as_subclass(torch.Tensor)), atol=1e-3)
    assert torch.equal(got, codec.tail(f_hat.as_subclass(torch.Tensor)))


def test_it_makes_what_is_decoded_worth_more(codec):
    whole = network().requires_grad_(False)
    own, tuned = 0.0, 0.0
    for picture in PICTURES:
        wanted = codec.tail(codec.features(picture))
        f_hat = codec.decode(codec.encode(picture, quality=2))
        tuned += float(relative_error(codec.tail(f_hat), wanted))
        own += float(relative_error(whole[3:](f_hat.as_subclass(torch.Tensor)), wanted))
    assert tuned < own


def test_saved_and_loaded_it_is_the_same(codec, tmp_path):
    codec.save(tmp_path / "mine.safetensors")
    again = featcodec.load(tmp_path / "mine.safetensors", network=network())
    assert again.fingerprint == codec.fingerprint
    data = codec.encode(PICTURES[1])
    assert torch.equal(again.tail(again.decode(data)), codec.tail(codec.decode(data)))


def test_the_fingerprint_stands_for_the_tail_too(codec):
    tensors = dict(codec.file.tensors)
    tensors["tail.6.bias"] = tensors["tail.6.bias"] + 1
    other = featcodec.codec.codec_file.CodecFile(codec.file.config, tensors)
    assert other.fingerprint != codec.fingerprint


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tail.9.weight", torch.zeros(1).half(), "tail: got '9.weight', expected parameters of Sequential"),
        ("tail.6.bias", torch.zeros(5).half(), r"tail: 6.bias: got \(5,\), expected \(4,\)"),
        ("tail.6.bias", torch.zeros(4), "tail.6.bias: got float32, expected float16"),
        ("tail.6.bias", torch.full((4,), float("nan")).half(), "tail.6.bias: got values that are not finite"),
    ],
)
def test_a_tail_that_cannot_be_is_refused(codec, tmp_path, name, value, message):
    codec.save(tmp_path / "mine.safetensors")
    from safetensors import safe_open

    with safe_open(tmp_path / "mine.safetensors", "pt") as file:
        metadata = file.metadata()
    save_file(
        {**load_file(tmp_path / "mine.safetensors"), name: value}, tmp_path / "bad.safetensors", metadata
    )
    with pytest.raises(CodecFileError, match=message):
        featcodec.load(tmp_path / "bad.safetensors", network=network())


def test_a_fit_that_was_stopped_goes_on_to_the_same_tail(folder, tmp_path):
    whole = fitted(folder, steps=6)
    from featcodec.fitting import loop

    calls = 0
    step = loop._step

    def stops(*args):
        nonlocal calls
        calls += 1
        if calls > 3:
            raise KeyboardInterrupt
        return step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_step", stops)
        patch.setattr(loop.time, "monotonic", iter(range(0, 10**9, 1000)).__next__)  # a checkpoint each step
        with pytest.raises(KeyboardInterrupt):
            fitted(folder, steps=6, out=tmp_path)
    again = fitted(folder, steps=6, out=tmp_path)
    assert again.fingerprint == whole.fingerprint


def test_a_fit_goes_on_from_a_tuned_tail_only_if_it_tunes_it(codec, folder, tmp_path):
    codec.save(tmp_path / "mine.safetensors")
    with pytest.raises(InputError, match="start: got a codec with a tuned tail, expected tune_tail with it"):
        fitted(folder, start=tmp_path / "mine.safetensors", tune_tail=False, latents=None, steps=0)
    same = fitted(folder, start=tmp_path / "mine.safetensors", latents=None, steps=0)
    for name, value in codec.file.tail.items():
        assert torch.equal(same.file.tail[name], value)


def test_a_network_without_parameters_behind_the_cut_has_no_tail_to_tune(folder):
    bare = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(), nn.AvgPool2d(2)).eval()
    with pytest.raises(FitError, match="tune_tail: got no parameters that only the tail uses"):
        featcodec.fit(bare, at="1", images=folder, size=64, batch=2, latents=8, tune_tail=True, steps=0)
