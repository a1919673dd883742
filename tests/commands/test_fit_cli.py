"""`featcodec.fit` and `featcodec fit`, from a network and pictures to a codec in use."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from skimage import data_dir
from torch import nn
from torch.utils.data import Dataset

import featcodec
from featcodec.codec.codec_file import CodecFile
from featcodec.commands.main import main
from featcodec.errors import FitError, InputError
from featcodec.fitting.settings import Settings
from featcodec.networks.yolov5 import YOLOv5

ASTRONAUT = str(Path(data_dir, "astronaut.png"))
SMALL = {"size": 64, "batch": 2, "latents": 8, "steps": 2}

NETWORK = """
import torch
from torch import nn

def network():
    return nn.Sequential(nn.Conv2d(3, 16, 5, 4, 2), nn.ReLU(), nn.Conv2d(16, 4, 3, 2, 1))

def broken():
    whole = network()
    nn.init.constant_(whole[0].weight, float("nan"))
    return whole
"""


class Noise(Dataset):
    def __init__(self, side=64):
        self.side = side

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.rand(3, self.side, self.side, generator=torch.Generator().manual_seed(i)), i


class Uneven(Noise):
    def __getitem__(self, i):
        return torch.rand(3, 64 + 32 * (i % 2), 64)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 5, 4, 2), nn.ReLU(), nn.Conv2d(16, 4, 3, 2, 1))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a module that makes a network, and one picture."""
    monkeypatch.chdir(tmp_path)
    Path("fitnet.py").write_text(NETWORK)
    Path("photos").mkdir()
    Path("photos", "a.png").symlink_to(ASTRONAUT)
    yield tmp_path
    sys.modules.pop("fitnet", None)


def command(*more):
    return main(["fit", "fitnet:network", "--at", "1", "--images", "photos", "--size", "64", *more])


def error_at(codec, quality):
    """Squared error of decoded features over their variance, and the bytes of the file."""
    f, data = codec.features(ASTRONAUT), codec.encode(ASTRONAUT, quality=quality)
    f, f_hat = f.as_subclass(torch.Tensor), codec.decode(data).as_subclass(torch.Tensor)
    return float((f_hat - f).square().mean() / f.var()), len(data)


class TestClosedForm:
    def test_a_fit_of_no_steps_is_a_codec_of_what_it_is_worth_at_each_quality(self, network, tmp_path):
        how = {**SMALL, "steps": 0, "latents": 64, "quality_weights": (1.0, 1000.0)}
        codec = featcodec.fit(network, at="1", images=[ASTRONAUT], out=tmp_path, **how)
        errors, sizes = zip(*(error_at(codec, quality) for quality in (1, 4, 8)), strict=True)
        assert sorted(errors, reverse=True) == list(errors)
        assert sorted(sizes) == list(sizes)
        assert errors[-1] < 0.05
        # and it is the codec that an interrupted fit has had from its first minute
        assert CodecFile.load(tmp_path / "codec.safetensors").fingerprint == codec.fingerprint

    def test_a_killed_fit_leaves_a_codec_in_its_folder(self, network, tmp_path, monkeypatch):
        def killed(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("featcodec.fitting.loop._step", killed)
        with pytest.raises(KeyboardInterrupt):
            featcodec.fit(network, at="1", images=[ASTRONAUT], out=tmp_path, **SMALL)
        codec = featcodec.load(str(tmp_path / "codec.safetensors"), network=network)
        assert error_at(codec, 8)[0] < 1.0

    @pytest.mark.usefixtures("here")
    def test_the_command_line_takes_no_steps(self, capsys):
        assert command("--steps", "0", "-o", "mine.safetensors") == 0
        assert CodecFile.load("mine.safetensors").config.format == 2
        with pytest.raises(SystemExit):
            command("--steps", "-1", "-o", "mine.safetensors")
        assert "expected a number of at least 0" in capsys.readouterr().err


class TestFunction:
    def test_a_fitted_codec_is_saved_loaded_and_used_with_its_network(self, network, tmp_path):
        codec = featcodec.fit(
            network, at="1", images=[ASTRONAUT], normalise="imagenet", out=tmp_path, **SMALL
        )
        again = featcodec.load(tmp_path / "codec.safetensors", network=network)
        assert again.fingerprint == codec.fingerprint
        data = codec.encode(ASTRONAUT)
        features = featcodec.decode(data)  # found by its fingerprint
        assert features.shape == (1, 16, 16, 16)
        assert codec.tail(features).shape == (1, 4, 8, 8)
        uncoded = again.features(ASTRONAUT)
        x = featcodec.pictures.loading.load_image(ASTRONAUT, size=64)[0]
        mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in featcodec.fitting.settings.IMAGENET)
        with torch.no_grad():
            torch.testing.assert_close(codec.tail(uncoded), network((x - mean) / deviation))
        with pytest.raises(InputError, match="no detector that featcodec knows"):
            codec.detect(features)
        with pytest.raises(featcodec.CodecFileError, match="comes without its network: give Sequential"):
            featcodec.load(tmp_path / "codec.safetensors")
        nn.init.zeros_(network[0].weight)
        with pytest.raises(
            featcodec.CodecFileError, match=r"got .* (with other weights|parameters, expected)"
        ):
            featcodec.load(tmp_path / "codec.safetensors", network=network)

    @pytest.mark.parametrize(("stride", "channels"), [(2, 2), (32, 2048)])
    def test_features_of_any_width_at_strides_from_2_to_32(self, stride, channels):
        network = nn.Sequential(nn.Conv2d(3, channels, stride, stride), nn.ReLU(), nn.Conv2d(channels, 3, 1))
        codec = featcodec.fit(network, at="1", images=Noise(), **{**SMALL, "steps": 1})
        features = codec.decode(codec.encode(ASTRONAUT))
        assert features.shape == (1, channels, 64 // stride, 64 // stride)

    def test_the_steps_that_a_time_allows_are_measured_once_and_kept(self, network, tmp_path):
        how = {**SMALL, "minutes": 0.0001, "privacy": 1.0, "adversary_head_start": 1, "out": tmp_path}
        first = featcodec.fit(network, at="1", images=Noise(), **how)
        (kept,) = tmp_path.glob("steps-*.json")
        row = json.loads(kept.read_text())
        assert row["steps"] == 1
        kept.write_text(json.dumps(row | {"steps": 2}))
        with pytest.raises(FitError, match="of a fit with steps = 1, got 2"):
            featcodec.fit(network, at="1", images=Noise(), **how)
        kept.write_text('{"0.0001": 1}')
        with pytest.raises(InputError, match=rf"{kept.name}: kept by another version"):
            featcodec.fit(network, at="1", images=Noise(), **how)
        assert first.file.config.latent_stride == 8

    def test_a_fit_starts_from_an_earlier_codec(self, network, tmp_path):
        first = featcodec.fit(network, at="1", images=[ASTRONAUT], **{**SMALL, "analysis": 48})
        first.save(tmp_path / "first.safetensors")
        how = {**SMALL, "steps": 1, "lr": 0.0, "start": str(tmp_path / "first.safetensors")}
        second = featcodec.fit(network, at="1", images=[ASTRONAUT], **how)
        assert second.file.config.widths == first.file.config.widths
        features = first.decode(first.encode(ASTRONAUT, quality=8))
        torch.testing.assert_close(second.decode(second.encode(ASTRONAUT, quality=8)), features)

    def test_a_fit_starts_from_the_mean_of_several_codecs(self, network, tmp_path):
        files = [str(tmp_path / f"{seed}.safetensors") for seed in (1, 2)]
        for seed, file in enumerate(files, 1):
            featcodec.fit(network, at="1", images=[ASTRONAUT], **SMALL, seed=seed).save(file)
        how = {**SMALL, "steps": 1, "lr": 0.0}
        mean = featcodec.fit(network, at="1", images=[ASTRONAUT], start=files, **how)
        parts = [CodecFile.load(file).tensors for file in files]
        for name, tensor in mean.file.tensors.items():
            if name.startswith(("g_a.", "g_s.", "h_a.", "h_s.")):
                wanted = torch.stack([part[name] for part in parts]).double().mean(0)
                step = 1.0 if name.startswith("h_s.") else 2.0**-24  # of whole numbers, of the least float16
                torch.testing.assert_close(tensor.double(), wanted, rtol=2.0**-11, atol=step / 2)
        other = str(tmp_path / "other.safetensors")
        featcodec.fit(network, at="1", images=[ASTRONAUT], **{**SMALL, "latents": 16}).save(other)
        with pytest.raises(InputError, match=r"start: got codec 'mine' of Widths\(.*latents=16.*, as 'mine'"):
            featcodec.fit(network, at="1", images=[ASTRONAUT], start=[files[0], other], **how)

    def test_classes_of_a_detector_have_names(self):
        how = {**SMALL, "steps": 1, "size": 64, "images": [ASTRONAUT]}
        three, coco = (YOLOv5("n", classes=count).eval() for count in (3, 80))
        assert featcodec.fit(three, at=4, **how).file.config.network.classes == (
            "class 0",
            "class 1",
            "class 2",
        )
        named = featcodec.fit(three, at=4, classes=("cat", "dog", "cow"), **how)
        assert named.file.config.network.classes == ("cat", "dog", "cow")
        assert featcodec.fit(coco, at=4, **how).file.config.network.classes[16] == "dog"
        with pytest.raises(InputError, match="classes: got 1 names, expected 3"):
            featcodec.fit(three, at=4, classes=("cat",), **how)

    def test_a_codec_of_a_detector_may_hold_its_network_and_confidence(self, tmp_path):
        how = {**SMALL, "images": Noise(), "at": 4, "classes": ["cat", "dog"], "out": tmp_path}
        codec = featcodec.fit(
            YOLOv5("n", classes=2), confidence=0.5, embed_network=True, description="two", **how
        )
        again = featcodec.load(tmp_path / "codec.safetensors")  # without the network
        assert again.confidence == 0.5
        assert again.encode(ASTRONAUT) == codec.encode(ASTRONAUT)
        assert again.detector.classes == ("cat", "dog")

    def test_every_setting_is_an_argument_with_its_default(self):
        given = inspect.signature(featcodec.fit).parameters
        assert not any(p.kind is p.VAR_KEYWORD for p in given.values())
        for field in dataclasses.fields(Settings):
            if field.name not in ("at", "model", "warm_up"):
                assert given[field.name].default == field.default, field.name
            assert f"{field.name}:" in featcodec.fit.__doc__ or f"{field.name}," in featcodec.fit.__doc__

    def test_the_network_is_left_as_it_was(self, network):
        network.train()
        before = {k: v.clone() for k, v in network.state_dict().items()}
        featcodec.fit(network, at="1", images=Noise(), **SMALL)
        assert network.training
        assert all(p.requires_grad for p in network.parameters())
        assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())

    def test_a_loss_of_the_users_own_gets_the_labels(self, network):
        seen = []

        def loss(output, labels):
            seen.extend(labels.tolist())
            return output.flatten(1).square().mean(1)

        featcodec.fit(network, at="1", images=Noise(), task=loss, **SMALL)
        assert set(seen) <= {0, 1, 2, 3}
        assert len(seen) >= 4

    @pytest.mark.parametrize(
        ("change", "error", "said"),
        [
            ({"images": Noise(48)}, InputError, r"got a batch \(2, 3, 48, 48\), expected .* multiples of 32"),
            ({"images": Uneven()}, InputError, r"pictures of \(3, 64, 64\) and \(3, 96, 64\), expected one"),
            ({"images": Uneven(), "workers": 1}, InputError, "expected one size: crop or pad them"),
            ({"images": 3}, InputError, "images: got 3, expected a folder, a list of paths or a data set"),
            ({"adversaries": [nn.ReLU()]}, InputError, r"adversaries: got .*, expected an integer"),
            ({"privacy": "much"}, InputError, "privacy: got 'much', expected a number"),
            ({"minutes": 0}, InputError, "minutes: got 0, expected a number above 0"),
            ({"at": 2.5}, InputError, "at: got 2.5, expected text or an integer"),
            ({"embed_network": True}, InputError, "embed_network: got no classes"),
            ({"confidence": 0.5}, InputError, "confidence: got it for a Sequential, expected a YOLOv5"),
            ({"at": "9"}, featcodec.SplitError, "no such layer"),
            ({"size": 8}, InputError, "size: got 8, expected an integer of at least 32"),
            ({"normalise": "zebra"}, InputError, "normalise: got 'zebra'"),
            ({"speed": 3}, TypeError, "unexpected keyword argument 'speed'"),
            ({"privacy": -1.0}, FitError, "privacy: got -1.0"),
            ({"device": "nowhere"}, InputError, "device: got 'nowhere'"),
            ({"classes": "cat"}, InputError, "classes: got 'cat', expected a list of names"),
            ({"crop": 8}, InputError, "crop: got 8, expected an integer of at least 32"),
            ({"start": [3]}, InputError, r"start: got \[3\], expected a codec or a list of them"),
            ({"start": "yolox-nana"}, InputError, "codec: got 'yolox-nana', expected a path or one of"),
            (
                {"start": "yolox-nano-open"},
                InputError,
                "start: got codec 'yolox-nano-open' of 64 channels at stride 8",
            ),
        ],
    )
    def test_what_cannot_be_fitted_is_told_before_training(self, network, change, error, said):
        with pytest.raises(error, match=said):
            featcodec.fit(network, **{"at": "1", "images": Noise(), **SMALL, **change})


@pytest.mark.usefixtures("here")
class TestCommand:
    def test_fit_encode_decode_and_fit_again_from_the_settings(self, capsys):
        assert command("--steps", "2", "--batch", "2", "-o", "mine.safetensors") == 0
        assert {"fit.json", "checkpoint.pt", "log.jsonl", "codec.safetensors"} <= {
            path.name for path in Path("mine.fit").iterdir()
        }
        rows = [json.loads(line) for line in Path("mine.fit/log.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [1, 2]
        assert 0 <= rows[0]["cpu_minutes"] <= rows[1]["cpu_minutes"] < 5
        coded = ["encode", ASTRONAUT, "--codec", "mine.safetensors", "-o", "a.plf"]
        assert main(coded) == 1
        assert "give fitnet:network with the weights" in capsys.readouterr().err
        assert main([*coded, "--network", "fitnet:network"]) == 0
        assert main(["decode", "a.plf", "--codec", "mine.safetensors", "-o", "a.npy"]) == 0
        assert main(["fit", "--config", "mine.fit/fit.json", "-o", "again.safetensors"]) == 0
        assert Path("mine.safetensors").read_bytes() == Path("again.safetensors").read_bytes()

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["-o", "no/such/folder.safetensors"], "No such file or directory"),
            (["--images", "empty", "-o", "mine.safetensors"], "empty: got no pictures"),
            (
                ["--config", "bad.json", "-o", "mine.safetensors"],
                "bad.json: got colour, lambda, expected some of",
            ),
            (["--config", "worse.toml", "-o", "mine.safetensors"], "worse.toml: expected settings of a fit"),
        ],
    )
    def test_bad_input_is_one_line(self, capsys, arguments, said):
        Path("empty").mkdir()
        Path("bad.json").write_text('{"lambda": 3, "colour": 1}')
        Path("worse.toml").write_text("= 3")
        assert command(*arguments) == 1
        complaint = capsys.readouterr().err
        assert said in complaint
        assert complaint.count("\n") == 1

    def test_features_that_are_not_finite_are_told_before_training(self, capsys):
        arguments = ["--at", "1", "--images", "photos", "--size", "64", "-o", "mine.safetensors"]
        assert main(["fit", "fitnet:broken", *arguments]) == 1
        assert "are not finite" in capsys.readouterr().err

    def test_settings_are_read_from_toml(self):
        pytest.importorskip("tomllib")
        Path("fit.toml").write_text('steps = 1\nbatch = 2\nlatents = 8\nname = "mine-too"\n')
        assert command("--config", "fit.toml", "-o", "a.safetensors") == 0
        assert featcodec.zoo.decoder("a.safetensors").name == "mine-too"


@pytest.mark.usefixtures("here")
def test_two_processes_fit_one_codec():
    pytest.importorskip("lightning_fabric", reason="Lightning Fabric is not installed")
    fit = ["fit", "fitnet:network", "--at", "1", "--images", "photos", "--size", "64", "--batch", "2"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    here = str(Path(featcodec.__file__).parents[2])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": here}
    done = subprocess.run(
        [*launcher, "-m", "featcodec", *fit, "--steps", "2", "-o", "two.safetensors"],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert featcodec.zoo.decoder("two.safetensors").name == "two"
    assert len(Path("two.fit/log.jsonl").read_text().splitlines()) == 2
