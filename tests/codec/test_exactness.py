"""The same bytes give the same symbols in every configuration of torch, and the bound that this rests on.

Each cell of the matrix is a process of its own (`exactness_worker.py`): it encodes photographs with both
embedded codecs, and decodes what all cells encoded. The encoders' floats differ between cells, and so may
the files; a file holds the same symbols everywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exactness_worker import SHAPES, digest, side_information
from test_transforms import reference

import featcodec
from featcodec.codec.hyper_synthesis import worst_partial_sums

WORKER = Path(__file__).with_name("exactness_worker.py")
AT_ONCE = 2  # processes
CODECS = featcodec.zoo.names(whole=True)


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration: threads, instruction sets by environment, and a mode of `exactness_worker`."""

    name: str
    threads: int = 1
    instructions: str = ""  # of torch's own kernels
    environment: dict[str, str] = field(default_factory=dict)
    mode: str = "plain"

    def unavailable(self) -> str | None:
        """Why this machine cannot be so configured, or None."""
        known, here = ("DEFAULT", "AVX2", "AVX512"), torch.backends.cpu.get_cpu_capability()
        if self.instructions and (here not in known or known.index(self.instructions) > known.index(here)):
            return f"the processor has {here}, not {self.instructions}"
        if self.mode == "GPU" and not torch.cuda.is_available():
            return "no GPU that torch can use"
        if self.mode == "compiled" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
            return "torch.compile needs a C++ compiler"
        return None


ONE_THREAD = Cell("one thread")
CELLS = (
    Cell("compiled", mode="compiled"),  # the slowest goes first
    ONE_THREAD,
    Cell("two threads, AVX2", 2, "AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    Cell("seven threads, AVX-512", 7, "AVX512", {"ONEDNN_MAX_CPU_ISA": "ALL"}),
    Cell("seven threads", 7),
    Cell("plain instructions", 1, "DEFAULT", {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}),
    Cell("no oneDNN", 2, mode="no oneDNN"),
    Cell("reduced precision", 2, mode="reduced precision"),
    Cell("GPU", mode="GPU"),
)
# compiled is the integer network of fits alone, which encodes nothing
ENCODERS = tuple(cell for cell in CELLS if cell.mode != "compiled")
cells = pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.name)
encoders = pytest.mark.parametrize("cell", ENCODERS, ids=lambda c: c.name)


@dataclass(frozen=True, slots=True)
class Matrix:
    """What the workers said, by the names of their cells."""

    encoded: dict[str, dict[str, Any]]
    decoded: dict[str, dict[str, Any]]

    def files(self) -> Iterable[tuple[str, dict[str, str]]]:
        """(cell, file) of everything that was encoded."""
        return ((name, file) for name, said in self.encoded.items() for file in said.get("files", ()))


def run(action: str, cell: Cell, folder: Path) -> dict[str, Any]:
    """One worker's answer; ``failed`` says why there is none."""
    if reason := cell.unavailable():
        return {"unavailable": reason}
    ours = {
        "PYTHONPATH": os.pathsep.join(
            [str(Path(featcodec.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        ),
        "MKL_DYNAMIC": "FALSE",  # as many threads as asked for, on however few cores
        "OMP_WAIT_POLICY": "PASSIVE",
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    if cell.instructions:
        ours["ATEN_CPU_CAPABILITY"] = cell.instructions.lower()
    command = [sys.executable, str(WORKER), action, str(folder), str(cell.threads), cell.mode]
    environment = {**os.environ, **ours, **cell.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        return {"failed": f"{cell.name}: exit {done.returncode}: {done.stderr[-1500:]}"}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    folder = tmp_path_factory.mktemp("matrix")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        encoded = pool.map(lambda cell: run("encode", cell, folder), ENCODERS)
        by_encoder = {cell.name: said for cell, said in zip(ENCODERS, encoded, strict=True)}
        decoded = pool.map(lambda cell: run("decode", cell, folder), CELLS)
        return Matrix(by_encoder, {cell.name: said for cell, said in zip(CELLS, decoded, strict=True)})


def sound(cell: Cell, said: dict[str, Any]) -> dict[str, Any]:
    """A worker's answer, if it ran, and ran as its cell says."""
    if "unavailable" in said:
        pytest.skip(said["unavailable"])
    assert "failed" not in said, said["failed"]
    assert said["threads"] == cell.threads
    assert cell.instructions in ("", said["instructions"])
    return said


# ---- the matrix


@encoders
def test_every_cell_encodes(cell: Cell, matrix: Matrix) -> None:
    files = sound(cell, matrix.encoded[cell.name])["files"]
    assert len({file["label"] for file in files}) == len(files) > 20 * len(CODECS)


@cells
def test_a_file_of_any_cell_decodes_here_to_the_symbols_that_were_encoded(cell: Cell, matrix: Matrix) -> None:
    got = sound(cell, matrix.decoded[cell.name])["files"]
    wrong = [
        f"encoded in {encoder!r} -> decoded in {cell.name!r}: {file['label']}: "
        f"got {got[file['file']]['symbols']}, expected {file['symbols']}"
        for encoder, file in matrix.files()
        if got[file["file"]]["symbols"] != file["symbols"]
    ]
    assert not wrong, "\n".join(wrong)


@cells
def test_a_file_decodes_here_to_the_latents_of_every_other_cell(cell: Cell, matrix: Matrix) -> None:
    got = sound(cell, matrix.decoded[cell.name])["files"]
    expected = sound(ONE_THREAD, matrix.decoded[ONE_THREAD.name])["files"]
    wrong = [
        f"encoded in {encoder!r} -> decoded in {cell.name!r}: {file['label']}: "
        f"got {got[file['file']]['latents']}, in one thread {expected[file['file']]['latents']}"
        for encoder, file in matrix.files()
        if got[file["file"]]["latents"] != expected[file["file"]]["latents"]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def predictions() -> dict[str, str]:
    """Digests of table rows and means of given side information, in whole numbers of 64 bits."""
    out = {}
    for name in CODECS:
        tensors = featcodec.load(name).file.tensors
        network = tuple([tensors[f"h_s.{kind}.{i}"] for i in range(3)] for kind in ("weight", "bias"))
        channels = network[0][0].shape[1]
        for (label, z), (_, to) in zip(side_information(channels).items(), SHAPES * 2, strict=True):
            index, mean = zip(*(reference(torch.from_numpy(one), network, *to) for one in z), strict=True)
            out[f"{name}, {label}"] = digest(np.stack(index).astype(np.int32), np.stack(mean) / 16)
    return out


@cells
def test_side_information_gives_the_table_rows_and_means_of_integer_arithmetic(
    cell: Cell, matrix: Matrix, predictions: dict[str, str]
) -> None:
    got = sound(cell, matrix.decoded[cell.name])["predictions"]
    expected = {f"{k}, {how}": v for k, v in predictions.items() for how in ("alone", "in a batch")}
    assert {k for k in expected if got.get(k) != expected[k]} == set()


# ---- the bound


@pytest.mark.parametrize("name", CODECS)
def test_the_sums_of_an_embedded_codec_fit_into_float64_even_at_the_inputs_that_reach_the_bound(
    name: str,
) -> None:
    """Derived once more, in Python's integers: the worst inputs and the worst order of every output."""
    file = featcodec.load(name).file
    weights, biases = ([file.tensors[f"h_s.{kind}.{i}"] for i in range(3)] for kind in ("weight", "bias"))
    inputs = (((-(1 << 15), 1 << 15), 8), ((0, 4095), 128), ((0, 4095), 128))
    for i, ((low, high), half) in enumerate(inputs):
        worst, sums = 0, [0]
        for row, bias in zip(weights[i].flatten(1).tolist(), biases[i].tolist(), strict=True):
            for sign in (1, -1):
                terms = [w * (high if w * sign > 0 else low) for w in row] + [bias, half]
                partial = list(accumulate(sorted(terms, reverse=sign > 0)))
                if max(map(abs, partial)) > worst:
                    worst, sums = max(map(abs, partial)), sorted(terms, reverse=sign > 0)
        assert worst == worst_partial_sums(weights, biases)[i] < 1 << 53
        carried = torch.tensor(sums, dtype=torch.float64).cumsum(0)
        assert carried.long().tolist() == list(accumulate(sums))
