"""A codec of a network without boxes: the commands attack and measure it as any other."""

import json
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import astronaut, coffee

import featcodec
from featcodec.bench import compare
from featcodec.bench.anchors import find_anchors
from featcodec.bench.subject import Subject, Wanted
from featcodec.commands import bench
from featcodec.commands.main import main
from featcodec.fitting.settings import IMAGENET
from featcodec.networks.by_name import network_by_name

NETWORK = """
from torch import nn


def network():
    head = [nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1)]
    return nn.Sequential(*head, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 6))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A codec, its network's module, and photographs to train on and to evaluate."""
    pytest.importorskip("compressai")
    folder = tmp_path_factory.mktemp("any")
    (folder / "anynet.py").write_text(NETWORK)
    for name, photograph, count in (("train", astronaut(), 24), ("eval", coffee(), 3)):
        (folder / name).mkdir()
        for i in range(count):
            Image.fromarray(photograph[4 * i : 4 * i + 96, 3 * i : 3 * i + 128]).save(
                folder / name / f"{i:02}.png"
            )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        network = network_by_name("anynet:network")
        codec = featcodec.fit(
            network, at="2", images="train", steps=0, size=96, batch=4, latents=8, name="any"
        )
        codec.save("any.safetensors")
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_the_attack_command_attacks_it(capsys):
    options = ["--quality", "2,8", "--attackers", "invnet,white-box", "--steps", "2", "--json"]
    command = [
        "attack",
        "any.safetensors",
        "--network",
        "anynet:network",
        "--train",
        "train",
        "--eval",
        "eval",
    ]
    assert main([*command, *options]) == 0
    rows = json.loads(capsys.readouterr().out)["attacks"]
    met = [(r["attacker"], r["point"], r["pictures"]) for r in rows]
    assert met == [(name, q, 3) for q in (2.0, 8.0) for name in ("invnet", "white-box")]
    assert all(r["bytes"] > 0 and 0 < r["psnr"] < 60 for r in rows)


def test_the_bench_measures_and_attacks_it(capsys):
    (zstd,) = find_anchors(["raw-zstd"])
    command = ["any.safetensors", "--network", "anynet:network", "--images", "eval", "--calibrate", "train"]
    command += ["--anchors", "raw-zstd,image-jpeg", "--qualities", "1,4,8", "--bootstrap", "20"]
    command += ["--workers", "1", "--attack", "train", "--attackers", "invnet", "--attack-steps", "2"]
    command += ["--attack-qualities", "4"]
    assert bench.main([*command, "--json", "run.json", "--html", "run.html"]) == 0
    result = json.loads(Path("run.json").read_text())
    assert (result["metric"], result["detail"], result["uncoded_map"]) == ("fidelity", "agreement", 100.0)
    entries = {e["name"]: e["points"] for e in result["entries"]}
    assert {"any", "image-jpeg"} <= set(entries) <= {"any", "image-jpeg", "raw-zstd"}
    assert entries["any"][-1]["map"] > entries["any"][0]["map"]
    assert all(p["lost"] == pytest.approx(100 - p["map"]) for p in entries["any"])
    assert ("raw-zstd" in entries) == (zstd.missing() is None)
    assert {a["target"] for a in result["attacks"]} == {"any", "raw"}
    assert "fidelity" in capsys.readouterr().out
    assert "mAP" not in Path("run.html").read_text()


def test_labels_are_refused_where_no_boxes_are_known(capsys):
    Path("labels.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    command = ["any.safetensors", "--network", "anynet:network", "--images", "eval", "--anchors", "none"]
    assert bench.main([*command, "--data", "labels.json"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "got labels, expected none: of this network fidelity is measured" in line


def test_a_work_folder_is_looked_at_before_ranges_are_measured(capsys, monkeypatch):
    Path("taken").touch()
    monkeypatch.setattr(compare, "measure_ranges", lambda *_: pytest.fail("measured first"))
    command = ["--network", "anynet:network", "--at", "2", "--images", "eval", "--calibrate", "train"]
    assert bench.main([*command, "--anchors", "raw-zstd", "--work", "taken"]) == 1
    assert capsys.readouterr().err == "featcodec-bench: taken: File exists, expected a folder\n"


def test_a_network_by_name_gets_pictures_as_its_weights_want_them():
    pytest.importorskip("torchvision")
    own = Subject.load(Wanted(network="anynet:network", at="2", size=64))
    assert (own.network.config.mean, own.network.config.deviation) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert own.identity == f"{own.network.config.digest} cut after 2, 64 px / 32"
    theirs = Subject.load(Wanted(network="torchvision:resnet18", at="layer1", size=64))
    assert (theirs.network.config.mean, theirs.network.config.deviation) == IMAGENET
    assert theirs.identity.endswith(f"64 px / 32, normalised by {IMAGENET[0]} and {IMAGENET[1]}")
    detector = Subject.load(
        Wanted(network="torchvision:ssdlite320_mobilenet_v3_large", at="backbone.features.0.4", size=320)
    )
    assert detector.network.config.mean == (0.0, 0.0, 0.0)  # it normalises pictures itself
