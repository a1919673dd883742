"""The embedded codecs: those that are whole, and those whose owner brings the network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from skimage import data_dir

import featcodec
from featcodec.commands.main import main
from featcodec.networks.by_name import network_by_name
from featcodec.networks.coco import COCO
from featcodec.pictures.geometry import Geometry
from featcodec.plf.bitstream import parse

BROUGHT = ("yolov5s-p3", "yolov5s-p3-private")
ASTRONAUT = str(Path(data_dir, "astronaut.png"))
WEIGHTS = Path(os.environ.get("FEATCODEC_SHARED", Path(__file__).parents[3] / "shared"), "weights")
YOLOV5S = WEIGHTS / "yolov5s-v6.safetensors"
needs_weights = pytest.mark.skipif(not YOLOV5S.is_file(), reason=f"no {YOLOV5S}: set FEATCODEC_SHARED")


def test_whole_codecs_are_listed_apart():
    assert featcodec.zoo.names() == ("street", "street-open", *BROUGHT)
    assert featcodec.zoo.names(whole=True) == ("street", "street-open")


def test_codecs_of_format_1_have_no_linear_path_and_a_fit_can_go_on_from_them():
    from featcodec.fitting.start import set_weights
    from featcodec.training.hyperprior import CodecModel

    file = featcodec.zoo.decoder("street").file
    assert file.config.format == 1
    assert not any("linear" in name for name in file.tensors)
    model = CodecModel(file.config.widths)
    features = torch.rand(2, 64, 16, 16)
    torch.nn.init.ones_(model.g_a.linear.weight)
    set_weights(model, [file], features)
    with torch.no_grad():
        assert torch.allclose(model.g_a(features), file.g_a(features), atol=1e-4)


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
