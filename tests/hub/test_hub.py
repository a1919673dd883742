"""Codecs on the hub, by the real huggingface_hub against a small hub on this machine."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import EXPIRED, TOKEN, Repository, serving
from PIL import Image
from skimage.data import astronaut

import featcodec
from featcodec.codec.codec_file import CodecFile
from featcodec.codec.model_card import model_card
from featcodec.commands.main import main
from featcodec.errors import CodecFileError, InputError, MissingExtraError
from featcodec.hub import Address, download
from featcodec.networks.identity import ModuleConfig

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # of its own uploads

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks/results/bench-yolox-nano.json"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("home")) as hub:
        yield hub


@pytest.fixture
def hub(served, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    served.repositories.clear()
    served.asked.clear()
    served.down = False
    yield served
    served.down = False


@pytest.fixture(scope="module")
def codec():
    return featcodec.load("yolox-nano-open")


@pytest.fixture(scope="module")
def data():
    """The bytes of two codec files."""
    return [featcodec.zoo.path(f"yolox-nano-{name}").read_bytes() for name in ("open", "private")]


def repository(hub, files, name="ann/street", **options):
    made = hub.repositories[name] = Repository(**options)
    made.commit(files)
    return made


def files_of(hub, name="ann/street"):
    found = hub.repositories[name]
    return found.commits[found.refs["main"]]


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("hf://ann/street", Address("ann/street", "main", "codec.safetensors")),
            ("hf://ann/street@v2", Address("ann/street", "v2", "codec.safetensors")),
            ("hf://ann/street@refs%2Fpr%2F1", Address("ann/street", "refs/pr/1", "codec.safetensors")),
            ("hf://a-n.n/s_t/b/c.safetensors", Address("a-n.n/s_t", "main", "b/c.safetensors")),
        ],
    )
    def test_they_name_repository_revision_and_file(self, text, address):
        assert Address.of(text) == address

    @pytest.mark.parametrize(
        "text",
        ["hf://", "hf://ann", "hf://ann/", "hf://ann/street@", "hf://ann/street/../x", "hf://ann/street//x"],
    )
    def test_what_is_none_is_refused_in_one_line(self, text):
        with pytest.raises(InputError, match=r"^codec: got 'hf://.*', expected hf://owner/name\[@rev"):
            featcodec.load(text)


class TestLoad:
    def test_what_was_pushed_is_loaded_and_codes_the_same(self, hub, codec):
        page = codec.push_to_hub("ann/street", license="apache-2.0")
        assert page == f"{hub.url}/ann/street/commit/{hub.repositories['ann/street'].refs['main']}"
        assert files_of(hub)["codec.safetensors"] == codec.file.to_bytes()
        loaded = featcodec.load("hf://ann/street")
        assert loaded.encode(astronaut()) == codec.encode(astronaut())
        assert featcodec.zoo.decoder("hf://ann/street").fingerprint == codec.fingerprint

    def test_a_revision_and_a_file_are_those_named(self, hub, data):
        made = repository(hub, {"codec.safetensors": data[0]})
        first = made.refs["v1"] = made.refs["main"]
        made.commit({"codec.safetensors": data[1], "small/b.safetensors": data[0]})
        names = {
            "hf://ann/street": "yolox-nano-private",
            "hf://ann/street@v1": "yolox-nano-open",
            f"hf://ann/street@{first}": "yolox-nano-open",
            "hf://ann/street/small/b.safetensors": "yolox-nano-open",
        }
        assert {address: featcodec.load(address).name for address in names} == names

    def test_what_lies_in_the_cache_is_not_downloaded_again_and_serves_without_the_hub(self, hub, data):
        repository(hub, {"codec.safetensors": data[0]}, "ann/cached")
        featcodec.load("hf://ann/cached")
        assert [asked for asked in hub.asked if asked.startswith("GET /large")] != []
        hub.asked.clear()
        featcodec.load("hf://ann/cached")
        assert {asked.split()[0] for asked in hub.asked} == {"HEAD"}
        hub.down = True
        assert featcodec.load("hf://ann/cached").name == "yolox-nano-open"

    def test_offline_mode_asks_nobody(self, hub, data, monkeypatch):
        repository(hub, {"codec.safetensors": data[0]}, "ann/offline")
        featcodec.load("hf://ann/offline")
        hub.asked.clear()
        monkeypatch.setattr(sys.modules["huggingface_hub.constants"], "HF_HUB_OFFLINE", True)
        assert featcodec.load("hf://ann/offline").name == "yolox-nano-open"
        with pytest.raises(InputError, match=r"the hub cannot be reached, and the file is not in its cache$"):
            featcodec.load("hf://ann/offline@v2")
        assert hub.asked == []

    def test_without_the_hub_one_line_says_so(self, hub, codec):
        hub.down = True
        with pytest.raises(InputError) as caught:
            featcodec.load("hf://ann/never-seen")
        expected = "hf://ann/never-seen: the hub cannot be reached, and the file is not in its cache"
        assert str(caught.value) == expected
        with pytest.raises(InputError, match=r"^hf://ann/street: the hub cannot be reached: \w+"):
            codec.push_to_hub("ann/street")

    @pytest.mark.parametrize(
        ("address", "said"),
        [
            ("hf://ann/none", "there is no such repository, or it needs hf auth login"),
            ("hf://ann/street@v9", "there is no such revision"),
            ("hf://ann/street/none.safetensors", "there is no such file in the repository"),
            ("hf://ann/gated", "the repository is gated: ask for access on its page, then hf auth login"),
        ],
    )
    def test_what_the_hub_refuses_is_named(self, hub, data, address, said):
        repository(hub, {"codec.safetensors": data[0]})
        repository(hub, {"codec.safetensors": data[0]}, "ann/gated", gated=True)
        with pytest.raises(InputError, match=f"^{re.escape(address)}: {said}$"):
            featcodec.load(address)

    def test_a_private_repository_is_for_those_with_a_token(self, hub, data, monkeypatch):
        repository(hub, {"codec.safetensors": data[0]}, "ann/private", private=True)
        monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
        with pytest.raises(InputError, match="needs hf auth login"):
            featcodec.load("hf://ann/private")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert featcodec.load("hf://ann/private").name == "yolox-nano-open"

    def test_a_hub_that_objects_is_not_said_to_be_out_of_reach(self, hub, data, monkeypatch):
        repository(hub, {"codec.safetensors": data[0]}, "ann/open")
        monkeypatch.setenv("HF_TOKEN", EXPIRED)
        with pytest.raises(InputError, match=r"^hf://ann/open: HfHubHTTPError: .*401"):
            featcodec.load("hf://ann/open")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


class TestUntrustedFiles:
    @pytest.mark.parametrize("kind", ["damaged", "cut short", "a pickle", "empty"])
    def test_they_are_read_as_strictly_as_any_other_and_nothing_is_executed(self, hub, data, kind):
        bad = {
            "damaged": data[0][:100] + b"\0" + data[0][101:],
            "cut short": data[0][:-7],
            "a pickle": pickle.dumps(Trap()),
            "empty": b"",
        }[kind]
        repository(hub, {"codec.safetensors": bad})
        with pytest.raises(CodecFileError) as caught:
            featcodec.load("hf://ann/street")
        assert str(caught.value).startswith("hf://ann/street: ")
        assert not Path("sprung").exists()

    def test_too_large_a_file_is_refused_before_it_is_downloaded(self, hub, data):
        repository(hub, {"codec.safetensors": data[0]}, "ann/large")
        with pytest.raises(InputError) as caught:
            download("hf://ann/large", max_bytes=1000)
        got = f"hf://ann/large: got {len(data[0]):,} bytes, expected at most 1,000 bytes"
        assert str(caught.value) == got
        assert not [asked for asked in hub.asked if asked.startswith("GET /large")]


class TestPush:
    def test_the_way_to_use_it_on_the_card_runs(self, hub, codec):
        codec.push_to_hub("ann/street")
        card = files_of(hub)["README.md"].decode()
        Image.fromarray(astronaut()).save("photo.jpg")
        (block,) = re.findall(r"```python\n(.*?)```", card, re.S)
        names = {}
        exec(block, names)
        assert names["boxes"][0].label == "person"

    def test_a_card_that_is_there_is_kept(self, hub, codec):
        repository(hub, {"README.md": b"my own"})
        codec.push_to_hub("ann/street")
        assert files_of(hub)["README.md"] == b"my own"
        assert "codec.safetensors" in files_of(hub)

    def test_a_new_repository_is_as_private_as_asked(self, hub, codec):
        codec.push_to_hub("ann/hidden", private=True)
        assert hub.repositories["ann/hidden"].private

    def test_without_a_token_one_line_says_so(self, hub, codec, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
        with pytest.raises(InputError) as caught:
            codec.push_to_hub("ann/street")
        assert re.match(r"hf://ann/street: HfHubHTTPError: .*401", str(caught.value))
        assert "\n" not in str(caught.value)
        assert hub.repositories == {}

    @pytest.mark.parametrize(("name", "license"), [("street", None), ("ann/street", "no: yes\n")])
    def test_names_that_are_none_are_refused_before_anything_is_sent(self, hub, codec, name, license):
        with pytest.raises(InputError, match="expected"):
            codec.push_to_hub(name, license=license)
        assert hub.asked == []

    def test_a_card_says_what_a_user_has_to_bring_and_whose_weights_are_in_the_file(self, codec):
        own = model_card(codec.file, "ann/street")
        assert 'featcodec.load("hf://ann/street")\n' in own
        assert "has not said under which terms. The file holds none of the network's weights" in own
        brought = model_card(featcodec.zoo.decoder("yolov5s-p3").file, "ann/street")
        assert 'featcodec.load("hf://ann/street", network=network)' in brought
        assert "its owner brings them" in brought
        assert "its tuned tail" in model_card(featcodec.load("yolox-nano-private").file, "ann/street")

    def test_a_hostile_description_is_no_markup(self, codec):
        config = replace(codec.file.config, description="x\n\n<img src=y> [a](javascript:b)")
        card = model_card(CodecFile(config, codec.file.tensors), "ann/street")
        assert r"x\\n\\n\<img src=y\> \[a\](javascript:b)" in card

    def test_of_a_network_that_is_no_detector_it_names_the_tail(self, codec):
        network = ModuleConfig("module", "torchvision:resnet18", "layer2", 64 * "0")
        config = replace(codec.file.config, network=network)
        card = model_card(CodecFile(config, codec.file.tensors), "ann/street")
        assert "| network | torchvision:resnet18, cut after `layer2` |" in card
        assert "outputs = codec.tail(features)" in card


class TestCommand:
    def test_it_pushes_with_the_figures_of_the_bench(self, hub, codec, capsys):
        result = json.loads(RESULT.read_text())
        result["entries"][1]["note"] = f"featcodec {codec.fingerprint.hex()} {codec.file.encoder_digest} by 1"
        Path("result.json").write_text(json.dumps(result))
        command = ["push", "yolox-nano-open", "ann/street", "--license", "mit", "--result", "result.json"]
        assert main([*command, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["codec"], shown["address"]) == ("yolox-nano-open", "hf://ann/street")
        card = files_of(hub)["README.md"].decode()
        point = result["entries"][1]["points"][0]
        row = f"| {point['point']:g} | {point['bytes']:,.0f} | {point['bpp']:.3f} | {point['map']:.1f} |"
        assert row in card
        assert f"on {result['pictures']} pictures" in card
        assert result["made"]["command"] in card

    def test_figures_of_another_codec_are_refused(self, hub, capsys):
        result = ROOT / "benchmarks/results/bench-yolov5s-p3.json"
        assert main(["push", "yolox-nano-open", "ann/street", "--result", str(result)]) == 1
        assert "expected some of codec 'yolox-nano-open' with fingerprint" in capsys.readouterr().err
        assert hub.asked == []

    @pytest.mark.usefixtures("hub")
    def test_every_command_takes_a_codec_of_the_hub(self, capsys):
        assert main(["push", "yolox-nano-open", "ann/street"]) == 0
        Image.fromarray(astronaut()).save("photo.png")
        hub = ["--codec", "hf://ann/street"]
        assert main(["encode", "photo.png", "-o", "a.plf", *hub]) == 0
        assert main(["encode", "photo.png", "-o", "b.plf", "--codec", "yolox-nano-open"]) == 0
        assert Path("a.plf").read_bytes() == Path("b.plf").read_bytes()
        assert main(["decode", "a.plf", "-o", "a.npy", *hub]) == 0
        capsys.readouterr()
        assert main(["detect", "a.plf", *hub]) == 0
        assert capsys.readouterr().out.startswith("person")
        assert main(["detect", "a.plf", "--codec", "hf://ann/none"]) == 1
        expected = "featcodec: hf://ann/none: there is no such repository, or it needs hf auth login\n"
        assert capsys.readouterr().err == expected


SCRIPT = """
import sys
import featcodec
featcodec.load("yolox-nano-open")
assert not {"huggingface_hub", "supervision", "webdataset"} & set(sys.modules)
print(featcodec.load(sys.argv[1]).name)
"""


def test_the_environment_of_the_hub_is_what_counts_and_nothing_else_imports_its_package(hub, data):
    repository(hub, {"codec.safetensors": data[1]}, "ann/own")
    command = [sys.executable, "-c", SCRIPT, "hf://ann/own"]  # HF_ENDPOINT and HF_HOME are set
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == "yolox-nano-private\n"


def test_without_its_package_one_line_says_what_to_install(codec, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    said = r"^huggingface_hub is missing: pip install 'featcodec\[hub\]'$"
    with pytest.raises(MissingExtraError, match=said):
        featcodec.load("hf://ann/street")
    with pytest.raises(MissingExtraError, match=said):
        codec.push_to_hub("ann/street")
