"""What the commands say where a package that featcodec needs is not installed: one line, and an exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from featcodec.console import run_command
from featcodec.errors import DEPENDENCIES

ROOT = Path(__file__).parents[2]
STREAM = str(ROOT / "bitstreams/valid/yolox-nano-open/quality-5.plf")
OTHER = str(ROOT / "bitstreams/valid/yolox-nano-open/quality-1.plf")

# in a process of its own, since the modules of this one are imported already
SCRIPT = """
import contextlib, io, json, sys


class Without:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Without())
from featcodec.commands import bench, main, plf
programs = {"plf": plf.main, "featcodec": main.main, "featcodec-bench": bench.main}
said = []
for program, *arguments in json.loads(sys.argv[2]):
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        code = programs[program](arguments)
    said.append([code, err.getvalue()])
print(json.dumps(said))
"""
COMMANDS = [
    ("plf", "info", "--bits", STREAM),
    ("plf", "verify", STREAM),
    ("plf", "map", STREAM, "-o", "map.png"),
    ("plf", "dump", STREAM, "--symbols", "y.npy"),
    ("plf", "diff", STREAM, OTHER),
    ("plf", "conformance", str(ROOT / "bitstreams")),
    ("featcodec", "zoo"),
    ("featcodec", "encode", "photo.png", "-o", "photo.plf"),
    ("featcodec", "decode", STREAM, "-o", "a.npy"),
    ("featcodec", "detect", STREAM),
    ("featcodec-bench", "yolox-nano-private", "--images", "photos"),
]


def without(module: str, commands: list[tuple[str, ...]], folder: Path) -> list[tuple[int, str]]:
    """Exit code and standard error of commands where a module cannot be imported."""
    arguments = [sys.executable, "-W", "ignore", "-c", SCRIPT, module, json.dumps(commands)]
    done = subprocess.run(arguments, cwd=folder, check=True, capture_output=True, text=True)
    return [(code, err) for code, err in json.loads(done.stdout)]


def test_without_torch_every_command_that_needs_it_is_one_line(tmp_path):
    for command, said in zip(COMMANDS, without("torch", COMMANDS, tmp_path), strict=True):
        code = 2 if command[1] == "diff" else 1  # there 1 says that the files differ
        assert said == (code, f"{command[0]}: torch is missing: pip install torch\n"), command
    assert list(tmp_path.iterdir()) == []


def test_without_torch_what_needs_none_works_as_ever(tmp_path):
    commands = [("plf", "info", STREAM), ("plf", "verify", "--checksums-only", STREAM)]
    assert without("torch", commands, tmp_path) == [(0, ""), (0, "")]


@pytest.mark.parametrize("module", ["numpy", "constriction", "safetensors"])
def test_conformance_is_not_judged_by_what_is_not_there(tmp_path, module):
    ((code, err),) = without(module, [("plf", "conformance", str(ROOT / "bitstreams"))], tmp_path)
    assert (code, err) == (1, f"plf: {module} is missing: pip install {module}\n")


def test_what_is_called_a_dependency_is_what_the_project_declares():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^dependencies = \[(.*?)\]$", project, re.M | re.S)
    assert set(DEPENDENCIES.values()) == set(re.findall(r'"([a-z]+)', listed))


def test_a_missing_module_of_another_package_is_a_fault_that_keeps_its_traceback():
    def command() -> int:
        raise ModuleNotFoundError("No module named 'featcodec.nothing'", name="featcodec.nothing")

    with pytest.raises(ModuleNotFoundError):
        run_command("featcodec", command)
