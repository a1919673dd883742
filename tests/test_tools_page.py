"""The examples of docs/tools.md run as they stand, the hub's against a small hub on this machine."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from hub_server import serving

from featcodec.commands.main import main

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # webdataset does not close shards
    pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning"),  # of uploads of huggingface_hub
]
PAGE = Path(__file__).parents[1] / "docs" / "tools.md"
BLOCKS = re.findall(r"^```(python|)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_the_examples_of_the_page_run_and_print_what_their_comments_say(tmp_path, monkeypatch, capsys):
    for package in ("supervision", "webdataset", "huggingface_hub", "pycocotools"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with serving(tmp_path / "home") as hub:
        for kind, block in BLOCKS:
            if kind == "python":
                exec(compile(block, str(PAGE), "exec"), names)
                printed = capsys.readouterr().out
                assert all(said in printed for said in re.findall(r"^print\(.*\)  # (.*)$", block, re.M))
            else:
                commands = [shlex.split(line) for line in block.splitlines() if line.startswith("featcodec ")]
                assert [main(words) for _, *words in commands] == [0] * len(commands)
        assert set(hub.repositories) == {"ann/street-codec", "ann/open-codec"}
    assert names["evaluation"].stats[0] > 0.5
    assert {one["category_id"] for one in json.loads(Path("boxes.json").read_text())} <= {7, 8, 9}
    assert sorted(path.name for path in Path("labels").iterdir()) == ["1.txt", "2.txt", "3.txt"]
