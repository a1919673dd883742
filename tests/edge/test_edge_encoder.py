"""A codec on a device: the files that onnxruntime makes, beside those that torch makes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, chelsea, coffee
from test_missing import HOOK
from torch import nn

import featcodec
from featcodec.codec.codec_file import network_of
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.transforms import Widths
from featcodec.commands.main import main
from featcodec.edge import Encoder
from featcodec.edge.export import export
from featcodec.errors import ImageError, InputError
from featcodec.fitting.export import export as export_fit
from featcodec.networks.families import NetworkWish, cut_network, describe
from featcodec.plf.bitstream import parse
from featcodec.training.hyperprior import CodecModel

pytest.importorskip("onnxruntime")
NAME = "yolox-nano-open"
PICTURES = {"astronaut": astronaut(), "cat": chelsea()[:, :200], "coffee": coffee()[:90]}
SHARE = 1e-4  # of the symbols that may differ, by 1: sums in another order fall to the other side of a half


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("edge")
    export(featcodec.load(NAME), path)
    return path


@pytest.fixture(scope="module")
def device(folder):
    return Encoder(folder)


def own_codec(network: nn.Module, at: str = "1") -> FeatureCodec:
    """A codec with random weights for a network cut after a layer."""
    torch.manual_seed(1)
    wish = NetworkWish(at=at, model="mine", mean=(0.4, 0.5, 0.6), deviation=(0.2, 0.3, 0.4))
    cut = cut_network(network, describe(network, wish), size=96)
    (crossing,) = cut.crossing
    model = CodecModel(Widths(crossing.channels, latents=8, side=4, analysis=8, synthesis=8, hyper=8))
    with torch.no_grad():
        dict(model.named_parameters())["g_a.net.3.weight"].mul_(30)
    file = export_fit(model, cut, name="mine", description="", latent_stride=2 * crossing.stride)
    return FeatureCodec(file, network_of(file, network))


def check_alike(device: Encoder, codec: FeatureCodec, picture: np.ndarray, quality: float) -> None:
    """A file of each has the same header, and symbols that hardly differ; each has its own hash."""
    ours, theirs = (parse(c.encode(picture, quality=quality)) for c in (device, codec))
    same_hash = dataclasses.replace(ours.header, symbol_hash=theirs.header.symbol_hash)
    assert same_hash == theirs.header
    a, b = codec.decode_symbols(ours), codec.decode_symbols(theirs)
    for one, other in ((a.z, b.z), (a.y, b.y)):
        if np.array_equal(a.z, b.z):  # else means differ, and with them the symbols of y
            assert np.abs(one - other).max() <= 1
        assert (one != other).sum() <= max(1, SHARE * one.size)
    assert np.count_nonzero(b.y) > 40


@pytest.mark.parametrize("quality", [1, 4.5, 8])
@pytest.mark.parametrize("name", PICTURES)
def test_files_have_the_header_and_nearly_all_the_symbols_of_those_of_torch(device, name, quality):
    check_alike(device, featcodec.load(NAME), PICTURES[name], quality)


def test_a_file_decodes_and_detects_as_one_of_torch(device):
    data, codec = device.encode(astronaut()), featcodec.load(NAME)
    assert featcodec.decode(data).shape == (1, 64, 52, 52)
    ours, theirs = codec.detect(data), codec.detect(codec.encode(astronaut()))
    assert [box.label for box in ours] == [box.label for box in theirs]
    assert torch.allclose(ours.xyxy, theirs.xyxy, atol=2)


def test_every_kind_of_picture_gives_the_same_file(device, tmp_path):
    picture = Image.fromarray(astronaut())
    picture.save(tmp_path / "a.png")
    expected = device.encode(astronaut())
    for kind in (tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), picture,
                 torch.from_numpy(astronaut()).permute(2, 0, 1)):  # fmt: skip
        assert device.encode(kind) == expected
    assert device.encode(astronaut()[:, :, ::-1], channels="bgr") == expected


def test_pixels_are_the_floats_that_torch_has(device):
    x, _ = featcodec.load(NAME).config.canvas.load(chelsea())
    assert np.array_equal(device._load(chelsea(), 2**28, "rgb")[0], x.numpy())


def test_target_bytes_metadata_and_effort_are_those_of_any_encoder(device):
    codec = featcodec.load(NAME)
    small = device.encode(astronaut(), target_bytes=5000, metadata={"camera": 7})
    assert 4800 < len(small) <= 5000
    assert codec.decode(small).metadata == {"camera": 7}
    ours, theirs = (len(c.encode(astronaut(), effort=1)) for c in (device, codec))
    assert ours == pytest.approx(theirs, abs=16)
    assert ours < len(device.encode(astronaut()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 9}, "expected a number from 1 to 8"),
        ({"quality": 4, "target_bytes": 3000}, "expected one of them"),
        ({"target_bytes": 20}, "expected at least"),
        ({"effort": 2}, "effort: got 2, expected 0 or 1 on a device"),
        ({"effort": 4}, "expected 0, 1, 2 or 3"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(device, options, message):
    with pytest.raises(InputError, match=message):
        device.encode(astronaut(), **options)


def test_what_is_no_picture_is_refused(device):
    with pytest.raises(ImageError):
        device.encode(b"GIF89a")
    with pytest.raises(ImageError, match="pixels"):
        device.encode(astronaut(), max_pixels=100)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_file(folder, device, threads):
    assert Encoder(folder, threads=threads).encode(chelsea()) == device.encode(chelsea())


@pytest.mark.parametrize("threads", [0, 1.5, "2", True])
def test_threads_are_a_number_above_0(folder, threads):
    with pytest.raises(InputError, match="threads: got"):
        Encoder(folder, threads=threads)


# ---- what can be exported


def test_the_network_of_a_user_is_exported_with_what_its_pictures_are_normalised_by(tmp_path):
    torch.manual_seed(0)
    codec = own_codec(nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU()).eval())
    export(codec, tmp_path)
    for picture in (astronaut(), coffee()[:40], chelsea()[:, :30]):
        check_alike(Encoder(tmp_path), codec, picture, 8)


class Pyramid(nn.Module):
    """Two maps, of strides 4 and 8."""

    def __init__(self):
        super().__init__()
        self.stem, self.down = nn.Conv2d(3, 12, 3, 4, 1), nn.Conv2d(12, 20, 3, 2, 1)
        self.both = nn.Identity()

    def forward(self, x):
        fine = self.stem(x).relu()
        return self.both((fine, self.down(fine)))


class Tokens(nn.Module):
    """A token for each 16 x 16 px, and one before them, of pictures of one size."""

    def __init__(self):
        super().__init__()
        self.patches, self.block = nn.Conv2d(3, 24, 16, 16), nn.Linear(24, 24)
        self.where = nn.Parameter(torch.randn(1, 37, 24))

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.block(nn.functional.pad(tokens, (0, 0, 1, 0)) + self.where)


@pytest.mark.parametrize(("kind", "at"), [(Pyramid, "both"), (Tokens, "block")])
def test_several_tensors_and_tokens_are_exported(tmp_path, kind, at):
    torch.manual_seed(0)
    codec = own_codec(kind().eval(), at)
    assert codec.file.config.packing
    export(codec, tmp_path)
    for picture in (astronaut(), chelsea()[:, :200]):
        check_alike(Encoder(tmp_path), codec, picture, 8)


class SizeDependent(nn.Module):
    """A layer whose code works out a number from the size of its input; a traced graph keeps it."""

    def forward(self, x):
        return x * (int(x.shape[-1]) / 24)


def test_a_network_that_a_graph_does_not_follow_is_refused_in_one_line(tmp_path):
    codec = own_codec(nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), SizeDependent(), nn.ReLU()).eval())
    with pytest.raises(
        InputError, match="codec 'mine' cannot be exported: its graph gives other lat"
    ) as caught:
        export(codec, tmp_path / "edge")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "edge").exists()


def test_a_codec_without_its_network_is_not_exported(tmp_path):
    with pytest.raises(InputError, match="comes without its network"):
        export(featcodec.zoo.decoder("yolov5s-p3"), tmp_path)
    assert main(["export", "yolov5s-p3", "-o", str(tmp_path / "edge")]) == 1


# ---- commands


def test_the_command_line_exports_and_encodes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(astronaut()).save("a.png")
    Image.fromarray(coffee()).save("b.png")
    assert main(["export", NAME, "-o", "edge", "--json"]) == 0
    assert f'"codec": "{NAME}"' in capsys.readouterr().out
    assert main(["encode", "--edge", "edge", "--threads", "2", "a.png", "-q", "5", "-o", "a.plf"]) == 0
    assert Path("a.plf").read_bytes() == Encoder("edge").encode("a.png", quality=5)
    assert main(["encode", "--edge", "edge", "a.png", "b.png", "-o", "out/", "-j", "2", "--json"]) == 0
    assert capsys.readouterr().out.count('"status": "encoded"') == 2
    assert main(["encode", "--edge", "edge", "a.png", "b.png", "-o", "out/"]) == 0
    assert capsys.readouterr().out.count("(kept)") == 2
    assert main(["encode", "--edge", "nowhere", "a.png", "-o", "a.plf"]) == 1
    assert capsys.readouterr().err == "featcodec: nowhere/edge.json: No such file or directory\n"


@pytest.mark.parametrize(
    "options",
    [
        ["--edge", "edge", "--codec", NAME],
        ["--edge", "edge", "--network", "yolov5n"],
        ["--edge", "edge", "--effort", "2"],
        ["--threads", "2"],
    ],
)
def test_options_that_do_not_go_together_are_a_wrong_command_line(options):
    with pytest.raises(SystemExit) as caught:
        main(["encode", "a.png", "-o", "a.plf", *options])
    assert caught.value.code == 2


# ---- without torch


def test_a_device_without_torch_encodes_what_torch_then_detects(folder, device, tmp_path):
    script = (
        HOOK
        + """
from featcodec.commands.main import main
from featcodec.edge import Encoder

folder = sys.argv[2]
open("a.plf", "wb").write(Encoder(folder).encode("a.png", quality=4))
assert main(["encode", "--edge", folder, "a.png", "-o", "b.plf", "--quiet"]) == 0
assert "torch" not in sys.modules
"""
    )
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    command = [sys.executable, "-c", script, "torch", str(folder)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    data = (tmp_path / "a.plf").read_bytes()
    assert data == (tmp_path / "b.plf").read_bytes() == device.encode(astronaut())
    assert featcodec.load(NAME).detect(data)[0].label == "person"


def test_without_onnxruntime_the_extra_is_named(folder, tmp_path):
    script = (
        HOOK
        + """
import featcodec
from featcodec.edge import Encoder
try:
    Encoder(sys.argv[2])
except featcodec.MissingExtraError as error:
    print(error)
"""
    )
    command = [sys.executable, "-c", script, "onnxruntime", str(folder)]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert said == "onnxruntime is missing: pip install 'featcodec[edge]'\n"
