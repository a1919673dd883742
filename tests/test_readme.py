"""The README's Python examples run as they stand, and its test command is the one that CI finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_python_block_runs_and_prints_what_its_comments_say(block, capsys):
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"^print\(.*?\)\s+# (.*)$", block, re.M)
    for line, promise in zip(printed, promised, strict=True):
        assert promise.startswith(line)
