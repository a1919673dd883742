"""Thief files: what is written is read, what is damaged or another codec's is refused by name."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from thieves import identified_row, record_for, thief_for_tests

import featcodec
from featcodec.attacks.targets import window
from featcodec.attacks.thief_file import LARGEST_FILE, ThiefFile
from featcodec.attacks.thief_record import ThiefRecord
from featcodec.attacks.thief_words import identity_words, reached_words, training_words
from featcodec.attacks.thieves import embedded, others_of_network, thief_for
from featcodec.errors import CodecFileError, InputError, ModelMismatchError
from featcodec.pictures.geometry import Geometry
from featcodec.plf.bitstream import parse
from featcodec.zoo import thieves

KEY = "featcodec-thief"


@pytest.fixture(scope="module")
def codec():
    return featcodec.load()


@pytest.fixture(scope="module")
def thief(codec):
    return thief_for_tests(codec.file)


@pytest.fixture(scope="module")
def data(codec):
    return codec.encode(astronaut()[:300], quality=4)


def changed(thief, *, header=None, record=None, text=None, body=None):
    """The bytes of a thief file with something else in it."""
    content = thief.to_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    found = json.loads(content[8:end])
    if record is not None:
        facts = json.loads(found["__metadata__"][KEY]) | record
        facts = {name: value for name, value in facts.items() if value != "absent"}
        found["__metadata__"] = {KEY: json.dumps(facts, sort_keys=True, separators=(",", ":"))}
    if text is not None:
        found["__metadata__"] = {KEY: text(found["__metadata__"][KEY])}
    found |= header or {}
    encoded = json.dumps(found).encode()
    return struct.pack("<Q", len(encoded)) + encoded + (content[end:] if body is None else body)


# ---- round trip


def test_what_is_written_is_read(thief, tmp_path):
    thief.save(tmp_path / "thief.safetensors")
    again = ThiefFile.load(tmp_path / "thief.safetensors")
    assert again.record == thief.record
    assert again.tensors.keys() == thief.tensors.keys()
    assert all(torch.equal(again.tensors[name], value) for name, value in thief.tensors.items())
    assert again.to_bytes() == thief.to_bytes()


def test_parameters_take_two_bytes_each(thief):
    size = sum(v.numel() * v.element_size() for v in thief.tensors.values())
    assert size == 2 * thief.weights + 2 * 4 * thief.record.channels


def test_the_text_of_a_record_is_its_own(thief):
    text = thief.record.to_json()
    assert ThiefRecord.from_json(text) == thief.record
    assert ThiefRecord.from_json(text).to_json() == text


# ---- hostile and damaged files


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"record": {"format": 2}}, "format: got 2, expected 1"),
        ({"record": {"codec": "Über"}}, "codec: got"),
        ({"record": {"fingerprint": "00"}}, "fingerprint: got '00'"),
        ({"record": {"encoder": "absent"}}, "encoder: got no such field"),
        ({"record": {"more": 1}}, "more: got an unknown field"),
        ({"record": {"kind": "gan"}}, 'kind: got "gan", expected one of invnet, unet'),
        ({"record": {"channels": 100_000}}, "channels: got 100000, expected 1 to 4096"),
        ({"record": {"width": 4096}}, "width: got 4096, expected 8 to 1024"),
        ({"record": {"width": 16}}, "size mismatch for body"),
        ({"record": {"kind": "invnet"}}, "issing key"),
        ({"record": {"stride": 12}}, "stride: got 12, expected one of 2, 4, 8, 16, 32, 64"),
        ({"record": {"effort": 9}}, "effort: got 9, expected one of 0, 1, 2, 3"),
        ({"record": {"points": []}}, "points: got"),
        ({"record": {"points": [4.0, 2.0]}}, "points: got"),
        ({"record": {"points": [4.0, 9.0]}}, "expected qualities from 1 to 8"),
        ({"record": {"points": [2, 4, 8]}}, "expected canonical JSON"),
        ({"record": {"photographs": True}}, "photographs: got true, expected an integer"),
        ({"record": {"curve": [[1, "x"]]}}, r"curve\[0\]\[1\]: got"),
        ({"text": lambda text: text.replace(":2000", ":NaN", 1)}, "NaN"),
        ({"text": lambda text: text.replace(",", ", ", 1)}, "expected canonical JSON"),
        ({"text": lambda text: text[:-1] + ',"codec":"twice"}'}, "codec"),
        (
            {"header": {"__metadata__": {"featcodec": "{}"}}},
            "metadata: got featcodec, expected featcodec-thief",
        ),
        ({"header": {"__metadata__": {}}}, "metadata: got none"),
        ({"body": b""}, "gap or an overlap"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_contradicts_itself_is_refused_by_name(thief, tmp_path, change, match):
    path = tmp_path / "thief.safetensors"
    path.write_bytes(changed(thief, **change))
    with pytest.raises(CodecFileError, match=match) as refused:
        ThiefFile.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"deviation": torch.zeros(64)}, "deviation: got 0 or less"),
        ({"mean": torch.full((64,), torch.nan)}, "mean: got values that are not finite"),
        ({"mean": torch.zeros(64).half()}, "mean: got torch.float16, expected torch.float32"),
        ({"body.paint.1.bias": torch.zeros(3)}, "body.paint.1.bias: got torch.float32"),
        ({"body.paint.1.bias": torch.zeros(3).half()}, "size mismatch for body.paint.1.bias"),
        ({"more": torch.zeros(3).half()}, "nexpected key"),
    ],
    ids=["deviation", "not finite", "half", "single", "shape", "more"],
)
def test_tensors_that_do_not_fit_are_refused_when_written_and_when_read(thief, tmp_path, tensors, match):
    channels = thief.record.channels
    sized = {n: v[0].expand(channels).contiguous() if v.shape == (64,) else v for n, v in tensors.items()}
    bad = ThiefFile(thief.record, {**thief.tensors, **sized})
    with pytest.raises(CodecFileError, match=match):
        bad.save(tmp_path / "thief.safetensors")
    assert not (tmp_path / "thief.safetensors").exists()


def test_what_is_no_thief_file_is_named(tmp_path, codec):
    path = tmp_path / "thief.safetensors"
    for content, match in (
        (b"", "header: got 0 bytes"),
        (b"\x80\x04garbage", "header"),
        (b"PK\3\4" * 9, "header"),
    ):
        path.write_bytes(content)
        with pytest.raises(CodecFileError, match=f"expected a featcodec thief file, got {match}"):
            ThiefFile.load(path)
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(InputError, match="expected at most"):
        ThiefFile.load(path)
    codec.save(str(path))
    with pytest.raises(CodecFileError, match="expected a featcodec thief file"):
        ThiefFile.load(path)


# ---- whose thief it is


def test_the_thief_of_another_codec_is_refused_by_name(codec, data, tmp_path):
    other = thief_for_tests(codec.file, codec="other", fingerprint="ab" * 16)
    with pytest.raises(ModelMismatchError, match=f"codec 'other' with fingerprint {'ab' * 16}, got "):
        other.rebuild(codec, data)
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(ModelMismatchError, match="codec 'other'"):
        featcodec.rebuild(data, thief=tmp_path / "other.safetensors")


def test_a_thief_that_takes_other_latents_is_refused(codec, data):
    other = thief_for_tests(codec.file, channels=codec.file.config.widths.latents + 1)
    with pytest.raises(ModelMismatchError, match="the thief takes"):
        other.rebuild(codec, data)


def test_a_codec_without_a_thief_is_told_how_to_make_one(data, monkeypatch):
    header = replace(parse(data).header, fingerprint=bytes(16), codec="mine")
    with pytest.raises(ModelMismatchError, match=r"codec 'mine' with fingerprint 0{32}.*featcodec attack"):
        thief_for(header)
    monkeypatch.setattr(thieves, "names", lambda: ())
    with pytest.raises(ModelMismatchError, match=r"embedded \(none\)"):
        thief_for(parse(data).header)


@pytest.mark.parametrize("name", thieves.names() or [None])
def test_an_embedded_thief_is_that_of_the_codec_of_its_name(name):
    if name is None:
        pytest.skip("no thieves are embedded in this tree")
    record, file = embedded(name).record, featcodec.zoo.decoder(name).file
    embedded(name).check_codec(file)
    assert (record.codec, record.encoder) == (name, file.encoder_digest)
    assert thieves.path(name).stat().st_size <= 850_000
    assert record.own(4.0) is not None
    assert not re.search(r"(?<![\w.])/\w+/", record.made.command)  # no path of a machine


@pytest.mark.parametrize("name", featcodec.zoo.names(whole=True))
def test_codecs_are_compared_with_those_for_the_same_network(name):
    codec = featcodec.load(name)
    for other, thief in others_of_network(codec.file):
        assert other.file.config.network.digest == codec.file.config.network.digest
        assert other.fingerprint != codec.fingerprint
        assert thief.record.fingerprint == other.fingerprint.hex()


# ---- what is rebuilt


@pytest.mark.parametrize("shape", [(512, 512), (300, 512), (512, 200), (40, 60)])
def test_a_picture_is_given_as_the_network_saw_it_without_borders(codec, thief, shape):
    found = thief.rebuild(codec, codec.encode(astronaut()[: shape[0], : shape[1]]))
    config = codec.file.config
    geometry = Geometry.fit(shape[1], shape[0], size=config.size, stride=config.stride)
    assert found.shape == (geometry.scaled_height, geometry.scaled_width, 3)
    assert found.dtype == np.uint8


def test_what_is_rebuilt_is_what_the_network_makes_of_the_latents(codec, thief, data):
    latents, geometry = codec.decode_latents(data)
    with torch.no_grad():
        canvas = thief.network(latents, torch.tensor([4.0]))[0].clamp(0, 1)
    expected = (canvas[window(geometry)] * 255).round().byte().permute(1, 2, 0).numpy()
    found = thief.rebuild(codec, data)
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_the_public_function_takes_a_thief_of_ones_own(codec, thief, data, tmp_path):
    thief.save(tmp_path / "mine.safetensors")
    found = featcodec.rebuild(data, thief=tmp_path / "mine.safetensors")
    assert np.array_equal(found, thief.rebuild(codec, data))


# ---- what is said


def test_figures_of_the_thief_and_of_stronger_ones_are_those_of_the_nearest_quality(codec, thief):
    name = codec.name
    assert training_words(thief) == (
        f"The thief is a U-Net of {thief.weights:,} weights, trained for 2,000 steps on files of 1,234 "
        "photographs"
    )
    assert reached_words(thief, 7.0) == (
        f"Over 280 other photographs at quality 4 of {name} it reaches a PSNR of 16.0 dB, the strongest "
        "attacker tried (unet, 4,000 steps) 17.0 dB, the mean colour alone 12.6 dB"
    )
    assert "at quality 2" in reached_words(thief, 1.0)
    assert identity_words(thief, 4.0) == (
        f"Without rebuilding anything, kernel-ridge tells from files of {name} at quality 4 whether two "
        "photographs show one person in 85.8 % of pairs (from the photographs: 98.5 %, by guessing: 50 %)"
    )


def test_what_was_not_measured_is_said_not_to_have_been(codec):
    name = codec.name
    bare = thief_for_tests(
        codec.file, rebuilt=(), identified=(identified_row(name, 4.0, 99.0, way="rebuilds"),)
    )
    assert reached_words(bare, 4.0) == f"How much it rebuilds of files of {name} was not measured"
    assert "was not measured" in identity_words(bare, 4.0)
    assert record_for(codec.file).own(4.0).psnr == 16.04
