"""What the commands say where a package that featcodec needs is not installed: one line, and an exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import featcodec
from featcodec.console import run_command
from featcodec.errors import DEPENDENCIES

ROOT = Path(__file__).parents[2]
STREAM = str(ROOT / "bitstreams/valid/yolox-nano-open/quality-5.plf")
OTHER = str(ROOT / "bitstreams/valid/yolox-nano-open/quality-1.plf")

# in a process of its own, since the modules of this one are imported already
HOOK = """
import sys


class Without:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Without())
"""
SCRIPT = (
    HOOK
    + """
import contextlib, io, json
from featcodec.commands import bench, main, plf
programs = {"plf": plf.main, "featcodec": main.main, "featcodec-bench": bench.main}
said = []
for program, *arguments in json.loads(sys.argv[2]):
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        code = programs[program](arguments)
    said.append([code, err.getvalue()])
print(json.dumps(said))
"""
)
NEED_TORCH = [
    ("featcodec", "encode", "photo.png", "-o", "photo.plf"),
    ("featcodec", "decode", STREAM, "-o", "a.npy"),
    ("featcodec", "detect", STREAM),
    ("featcodec", "export", "yolox-nano-open", "-o", "edge"),
    ("featcodec", "layers", "yolov5n"),
    ("featcodec-bench", "yolox-nano-private", "--images", "photos"),
]
NEED_NONE = [
    ("plf", "info", STREAM),
    ("plf", "info", "--bits", STREAM),
    ("plf", "verify", STREAM),
    ("plf", "verify", "--checksums-only", STREAM),
    ("plf", "map", STREAM, "-o", "map.png"),
    ("plf", "dump", STREAM, "--symbols", "y.npy", "--latents", "latents.npy"),
    ("featcodec", "decode", STREAM, "--latents", "-o", "again.npy"),
    ("featcodec", "zoo"),
]


def without(module: str, commands: list[tuple[str, ...]], folder: Path) -> list[tuple[int, str]]:
    """Exit code and standard error of commands where a module cannot be imported."""
    arguments = [sys.executable, "-W", "ignore", "-c", SCRIPT, module, json.dumps(commands)]
    done = subprocess.run(arguments, cwd=folder, check=True, capture_output=True, text=True)
    return [(code, err) for code, err in json.loads(done.stdout)]


def test_without_torch_every_command_that_needs_it_is_one_line(tmp_path):
    for command, said in zip(NEED_TORCH, without("torch", NEED_TORCH, tmp_path), strict=True):
        assert said == (1, f"{command[0]}: torch is missing: pip install 'featcodec[torch]'\n"), command
    assert list(tmp_path.iterdir()) == []


def test_without_torch_what_needs_none_works_as_ever(tmp_path):
    for command, said in zip(NEED_NONE, without("torch", NEED_NONE, tmp_path), strict=True):
        assert said == (0, ""), command
    latents, again = (np.load(tmp_path / name) for name in ("latents.npy", "again.npy"))
    expected, _ = featcodec.zoo.decoder("yolox-nano-open").decode_latents(Path(STREAM).read_bytes())
    assert np.array_equal(again, expected.numpy())
    assert np.array_equal(latents, again[0])


def test_without_torch_files_are_compared(tmp_path):
    ((code, err),) = without("torch", [("plf", "diff", STREAM, OTHER)], tmp_path)
    assert (code, err) == (1, "")


def test_without_torch_names_that_need_it_are_a_missing_extra_and_others_are_there(tmp_path):
    script = (
        HOOK
        + """
import featcodec
assert featcodec.zoo.names(whole=True) == ("yolox-nano-open", "yolox-nano-private")
assert featcodec.Limits().max_sections == 64
refused = []
for name in ("encode", "decode", "fit", "split", "FeatureCodec", "Box"):
    try:
        getattr(featcodec, name)
    except featcodec.MissingExtraError as error:
        assert isinstance(error, ImportError)
        refused.append(f"{name}: {error}")
for load in (featcodec.load, featcodec.zoo.decoder):
    try:
        load("yolox-nano-open")
    except featcodec.MissingExtraError as error:
        refused.append(f"{load.__name__}: {error}")
print(*refused, sep="\\n")
"""
    )
    command = [sys.executable, "-c", script, "torch"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    names = ("encode", "decode", "fit", "split", "FeatureCodec", "Box", "load", "decoder")
    assert said.splitlines() == [f"{n}: torch is missing: pip install 'featcodec[torch]'" for n in names]


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
