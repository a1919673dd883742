"""The embedded codecs and networks: codecs that are whole, and those whose owner brings the network."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from skimage import data_dir

import featcodec
from featcodec.commands.main import main
from featcodec.networks.by_name import network_by_name
from featcodec.networks.coco import COCO
from featcodec.networks.embedded import embedded_weights
from featcodec.networks.identity import NetworkConfig, network_digest
from featcodec.networks.safetensors_header import read_header
from featcodec.networks.yolox import YOLOX
from featcodec.pictures.geometry import Geometry
from featcodec.plf.bitstream import parse

BROUGHT = ("yolov5s-p3",)
WHOLE = ("yolox-nano-open", "yolox-nano-private")
ASTRONAUT = str(Path(data_dir, "astronaut.png"))
WEIGHTS = Path(os.environ.get("FEATCODEC_SHARED", Path(__file__).parents[3] / "shared"), "weights")
YOLOV5S = WEIGHTS / "yolov5s-v6.safetensors"
YOLOX_NANO = WEIGHTS / "yolox-nano-416.onnx"
needs_weights = pytest.mark.skipif(not YOLOV5S.is_file(), reason=f"no {YOLOV5S}: set FEATCODEC_SHARED")


def test_whole_codecs_are_listed_apart():
    assert featcodec.zoo.names() == (*BROUGHT, *WHOLE)
    assert featcodec.zoo.names(whole=True) == WHOLE
    assert featcodec.zoo.DEFAULT == "yolox-nano-private"


def test_all_weights_of_the_package_together_are_at_most_16_mb():
    files = list(Path(featcodec.zoo.__file__).parent.rglob("*.safetensors"))
    assert len(files) >= len(BROUGHT) + len(WHOLE) + 1
    assert sum(file.stat().st_size for file in files) <= 16_000_000


def test_a_build_of_the_package_has_all_of_them():
    build_py = pytest.importorskip("setuptools.command.build_py").build_py
    from setuptools import Distribution

    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    package = Path(featcodec.__file__).parent
    settings = tomllib.loads((package.parent / "pyproject.toml").read_text(encoding="utf-8"))
    data = settings["tool"]["setuptools"]["package-data"]
    command = build_py(Distribution({"packages": ["featcodec"], "package_data": data}))
    command.finalize_options()
    command.manifest_files = {}  # what a version control system would add
    found = {Path(file) for file in command.find_data_files("featcodec", str(package))}
    assert {file for file in found if file.suffix == ".safetensors"} == set(package.rglob("*.safetensors"))


def test_codecs_of_format_1_have_no_linear_path_and_a_fit_can_go_on_from_them():
    from featcodec.fitting.start import set_weights
    from featcodec.training.hyperprior import CodecModel

    file = featcodec.zoo.decoder("yolov5s-p3").file
    assert file.config.format == 1
    assert not any("linear" in name for name in file.tensors)
    model = CodecModel(file.config.widths)
    features = torch.rand(2, 128, 16, 16)
    torch.nn.init.ones_(model.g_a.linear.weight)
    set_weights(model, [file], features)
    with torch.no_grad():
        assert torch.allclose(model.g_a(features), file.g_a(features), atol=1e-4)


@pytest.mark.parametrize("command", ["encode", "detect"])
def test_help_names_the_default_codec(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    words = " ".join(capsys.readouterr().out.split()).replace("- ", "-")  # as a name is broken
    assert f"{featcodec.zoo.DEFAULT}" in words


@pytest.mark.parametrize("name", WHOLE)
class TestWhole:
    def test_its_network_is_not_in_its_file_but_embedded_once(self, name):
        file = featcodec.zoo.decoder(name).file
        assert not file.has_network
        assert featcodec.zoo.is_whole(file)
        config = file.config
        assert (config.name, str(config.network), config.network.at) == (name, "yolox-nano", "dark3")
        assert config.network.classes == COCO
        assert config.network.digest == network_digest(network_by_name("yolox-nano"))
        widths = config.widths
        assert (widths.features, widths.latents, config.size, config.latent_stride) == (64, 128, 416, 16)

    def test_it_finds_the_astronaut_without_anything_brought(self, name):
        codec = featcodec.load(name)
        data = codec.encode(ASTRONAUT)
        features = featcodec.decode(data)
        assert features.shape == (1, 64, 52, 52)
        boxes = codec.detect(features)
        assert boxes[0].label == "person"
        assert boxes.names == COCO

    def test_the_same_network_may_be_brought(self, name, capsys, tmp_path):
        data = featcodec.load(name).encode(ASTRONAUT)
        brought = featcodec.load(name, network=network_by_name("yolox-nano"))
        assert brought.encode(ASTRONAUT) == data
        path = tmp_path / "a.plf"
        path.write_bytes(data)
        assert main(["detect", str(path), "--network", "yolox-nano"]) == 0
        assert "person" in capsys.readouterr().out

    def test_another_network_is_refused(self, name):
        told = "got yolox-nano of 80 classes with other weights, expected yolox-nano of 80 classes with the"
        with pytest.raises(featcodec.CodecFileError, match=f"{told} weights it was fitted to"):
            featcodec.load(name, network=YOLOX("nano").eval())


def own_codec(folder: Path, **changes: object) -> Path:
    """A user's codec for the embedded network, which is not in its file."""
    file = featcodec.zoo.decoder("yolox-nano-open").file
    path = folder / "own.safetensors"
    replace(file, config=replace(file.config, name="own", **changes)).save(path)
    return path


def test_a_codec_of_ones_own_for_the_embedded_network_finds_it(tmp_path, capsys):
    path = own_codec(tmp_path)
    codec = featcodec.load(path)
    assert codec.detect(codec.encode(ASTRONAUT))[0].label == "person"
    coded = tmp_path / "a.plf"
    assert main(["encode", ASTRONAUT, "--codec", str(path), "-o", str(coded)]) == 0
    assert parse(coded.read_bytes()).header.codec == "own"
    capsys.readouterr()
    assert main(["detect", str(coded), "--codec", str(path)]) == 0
    assert "person" in capsys.readouterr().out


def test_a_codec_that_says_something_else_of_the_embedded_network_is_refused(tmp_path):
    about = featcodec.zoo.decoder("yolox-nano-open").file.config.network
    for network, reason in [
        (replace(about, scale="tiny"), "its network: not the weights of YOLOX-tiny"),
        (replace(about, classes=COCO[:6]), "its network: not the weights of YOLOX-nano"),
        (NetworkConfig("yolov5", "n", COCO, 4, about.digest), "its network: not the weights of YOLOv5n"),
    ]:
        with pytest.raises(featcodec.CodecFileError, match=f"codec 'own': {reason}"):
            featcodec.load(own_codec(tmp_path, network=network))


def test_a_codec_for_other_weights_of_the_same_network_says_what_is_missing(tmp_path):
    about = featcodec.zoo.decoder("yolox-nano-open").file.config.network
    path = own_codec(tmp_path, network=replace(about, digest=network_digest(YOLOX("nano").eval())))
    with pytest.raises(featcodec.CodecFileError, match=r"give yolox-nano of 80 classes .*network="):
        featcodec.load(path)


class TestEmbeddedNetwork:
    @needs_weights
    def test_it_has_the_weights_and_the_digest_of_the_official_file(self):
        pytest.importorskip("onnx")
        official, ours = network_by_name(str(YOLOX_NANO)), network_by_name("yolox-nano")
        assert network_digest(ours) == network_digest(official)
        state = official.state_dict()
        assert ours.state_dict().keys() == state.keys()
        assert all(torch.equal(value, state[n].half().float()) for n, value in ours.state_dict().items())

    @needs_weights
    def test_the_command_that_made_it_gives_the_very_file(self, monkeypatch, tmp_path):
        pytest.importorskip("onnx")
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks/yolox"))
        import embed

        monkeypatch.setattr(
            "sys.argv", ["embed.py", str(YOLOX_NANO), "--out", str(tmp_path / "n.safetensors")]
        )
        embed.main()
        assert (tmp_path / "n.safetensors").read_bytes() == embed.TARGET.read_bytes()

    def test_it_says_where_it_comes_from_and_has_float16_weights_alone(self):
        path = embedded_weights("yolox-nano")
        about = json.loads(read_header(path.read_bytes(), dtypes=["F16"])["featcodec"])
        assert about["digest"] == network_digest(network_by_name("yolox-nano"))
        assert about["licence"].startswith("Apache-2.0")
        assert "Megvii" in about["source"]
        assert about["made_of"]["file"] == "yolox-nano-416.onnx"

    def test_by_name_it_has_these_weights_unless_others_are_given(self, tmp_path):
        ours = network_by_name("yolox-nano")
        assert not ours.training
        assert sum(p.numel() for p in ours.parameters()) == 904_463
        other = YOLOX("nano").eval()
        save_file(other.state_dict(), tmp_path / "other.safetensors")
        given = network_by_name("yolox-nano", weights=tmp_path / "other.safetensors")
        assert network_digest(given) == network_digest(other) != network_digest(ours)


@pytest.mark.parametrize("name", BROUGHT)
class TestBrought:
    def test_it_holds_none_of_the_networks_weights(self, name):
        file = featcodec.zoo.decoder(name).file
        assert not file.has_network
        assert {n.split(".")[0] for n in file.tensors} == {
            "g_a", "g_s", "h_a", "h_s", "inverse_gains", "tables_y", "tables_z",
        }  # fmt: skip
        assert (file.config.name, str(file.config.network), file.config.network.at) == (name, "yolov5s", 4)
        assert file.config.network.classes == COCO
        assert featcodec.zoo.path(name).stat().st_size < 6_000_000

    def test_without_its_network_it_says_how_to_bring_it(self, name, capsys, tmp_path):
        with pytest.raises(featcodec.CodecFileError, match=r"yolov5s of 80 classes with .*network="):
            featcodec.load(name)
        assert main(["encode", ASTRONAUT, "--codec", name, "-o", str(tmp_path / "a.plf")]) == 1
        complaint = capsys.readouterr().err
        assert "or --network" in complaint
        assert complaint.count("\n") == 1

    def test_another_network_is_refused(self, name):
        told = "got yolov5s of 80 classes with random weights, expected yolov5s of 80 classes with the"
        with pytest.raises(featcodec.CodecFileError, match=rf"{told} weights .*; give its weights file"):
            featcodec.load(name, network=network_by_name("yolov5s"))

    def test_its_files_are_decoded_without_the_network(self, name, capsys, tmp_path):
        geometry = Geometry(640, 480, 448, 32)
        torch.manual_seed(0)
        data = featcodec.zoo.decoder(name).encode_features(torch.rand(1, 128, 44, 56), geometry)
        assert parse(data).header.codec == name
        features = featcodec.decode(data)
        assert features.shape == (1, 128, 44, 56)
        path = tmp_path / "a.plf"
        path.write_bytes(data)
        assert main(["decode", str(path), "-o", str(tmp_path / "a.npy")]) == 0
        assert main(["detect", str(path)]) == 1
        complaint = capsys.readouterr().err
        assert "comes without its network: give yolov5s of 80 classes" in complaint
        assert "--network" in complaint
        assert complaint.count("\n") == 1

    @needs_weights
    def test_with_the_official_weights_it_finds_the_astronaut(self, name, capsys, tmp_path):
        codec = featcodec.load(name, network=network_by_name(str(YOLOV5S)))
        data = codec.encode(ASTRONAUT)
        assert codec.detect(codec.decode(data))[0].label == "person"
        path = tmp_path / "a.plf"
        path.write_bytes(data)
        assert main(["detect", str(path), "--network", str(YOLOV5S)]) == 0
        assert "person" in capsys.readouterr().out
