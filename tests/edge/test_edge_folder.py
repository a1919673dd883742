"""Edge folders that are damaged, cut short or made to do harm: each is refused by name."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save
from skimage.data import astronaut
from test_feature_codec import coder

from featcodec.edge import Encoder
from featcodec.edge.export import export
from featcodec.edge.folder import FILES, GRAPH, MODEL, SETTINGS, EdgeFolder
from featcodec.errors import CodecFileError, InputError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
PICTURE = astronaut()[:64, :90]
ODD = (None, True, -1, 0, 1.5, 2**53, "", "x" * 300, "\x1b[31m\n", [], [0], {}, [[0]], 2**16, "\ud800")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    export(coder(), folder)
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "edge"))


def write(folder: Path, name: str, data: bytes) -> None:
    """A file of the folder, with the hash that the settings then say."""
    (folder / name).write_bytes(data)
    settings = json.loads((folder / SETTINGS).read_text())
    settings["sha256"][name] = hashlib.sha256(data).hexdigest()
    (folder / SETTINGS).write_text(json.dumps(settings))


def refused(folder: Path, message: str | None = None) -> str:
    with pytest.raises((CodecFileError, InputError), match=message) as caught:
        Encoder(folder).encode(PICTURE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_written_is_read(sound):
    read = EdgeFolder.load(sound)
    assert (read.config, read.fingerprint) == (coder().config, coder().fingerprint)
    assert all(np.array_equal(a, coder().model.arrays[name]) for name, a in read.model.arrays.items())
    assert sorted(path.name for path in sound.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_an_input_error_that_names_it(folder, name):
    (folder / name).unlink()
    assert refused(folder).endswith(f"{name}: No such file or directory")


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_cut_short_or_changed_are_refused(folder, name):
    data, rng = (folder / name).read_bytes(), np.random.default_rng(0)
    cuts = [data[:n] for n in [0, 1, 9, len(data) // 2, len(data) - 3, *rng.integers(0, len(data) - 3, 5)]]
    for damaged in [*cuts, b"\xff" + data[1:], data + b"x"]:
        (folder / name).write_bytes(damaged)
        refused(folder)


def test_files_of_two_folders_do_not_mix(folder, tmp_path):
    export(coder(1), tmp_path / "other")
    shutil.copy(tmp_path / "other" / MODEL, folder / MODEL)
    refused(folder, "damaged, or of another folder")


@pytest.mark.parametrize("name", [GRAPH, MODEL])
def test_damage_under_hashes_that_fit_is_refused_or_works(folder, name):
    data, rng, said = (folder / name).read_bytes(), np.random.default_rng(1), []
    for _ in range(30):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 4000), 3):
            damaged[at] ^= 1 << int(rng.integers(8))
        cut = int(rng.integers(len(data))) if rng.integers(2) else len(data)
        write(folder, name, bytes(damaged[:cut]))
        try:
            Encoder(folder).encode(PICTURE)
        except (CodecFileError, InputError) as error:
            said.append(str(error))
    assert len(said) > 10
    assert not any("\n" in text for text in said)


def paths(value: object, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where the fields of nested objects stand, the objects themselves included."""
    inner = value.items() if isinstance(value, dict) else ()
    return ([at] if at else []) + [path for key, one in inner for path in paths(one, (*at, key))]


def test_settings_of_any_kind_are_refused_or_work(folder):
    settings = json.loads((folder / SETTINGS).read_text())
    said = []
    for path in paths(settings):
        for odd in ODD:
            mutant = json.loads(json.dumps(settings))
            inner = mutant
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = odd
            (folder / SETTINGS).write_text(json.dumps(mutant))
            try:
                EdgeFolder.load(folder)
            except CodecFileError as error:
                said.append(str(error))
    assert len(said) > 300
    assert not any("\n" in text for text in said)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"format": 1, "format": 1}', "\xff"])
def test_what_are_no_settings_is_refused(folder, text):
    (folder / SETTINGS).write_bytes(text.encode("latin-1"))
    refused(folder, "expected an edge folder as featcodec export makes it")


def test_files_beyond_their_limits_are_not_read(folder):
    with (folder / SETTINGS).open("wb") as file:
        file.truncate(1 << 30)
    refused(folder, "expected at most")


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "tensor too many": (lambda a: a.update({"g_s.mean": np.zeros(3, np.float32)}), "no such tensor"),
    "tensor missing": (lambda a: a.pop("inverse_gains"), "inverse_gains"),
    "shape": (lambda a: a.update({"h_s.bias.1": np.zeros(3, np.int32)}), "h_s.bias.1: got"),
    "gain 0": (lambda a: a["inverse_gains"].fill(0), "2\\^-32"),
    "table": (lambda a: a["tables_y.frequencies"].fill(7), "table 0"),
    "table size": (lambda a: a["tables_z.sizes"].fill(2**30), "table 0"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_integers_that_cannot_be_are_refused(folder, change, message):
    arrays = {name: array.copy() for name, array in load((folder / MODEL).read_bytes()).items()}
    change(arrays)
    write(folder, MODEL, save(arrays))
    refused(folder, message)


# ---- graphs


def graph(operator: str, *, inputs=("x", "inverse_gain"), outputs=("y", "z"), kind=1, **attributes) -> bytes:
    """A graph that gives its first input, through an operator, as both outputs."""
    h = onnx.helper
    nodes = [h.make_node(operator, [inputs[0]], [name], **attributes) for name in outputs]
    ins = [h.make_tensor_value_info(name, kind, [1, None, None, None]) for name in inputs]
    outs = [h.make_tensor_value_info(name, kind, None) for name in outputs]
    model = h.make_model(h.make_graph(nodes, "g", ins, outs), opset_imports=[h.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def external() -> bytes:
    """A graph whose weights are in another file."""
    model = onnx.load_model_from_string(graph("Relu"))
    weight = model.graph.initializer.add(name="w", data_type=1, dims=[4], data_location=1)
    weight.external_data.add(key="location", value=SETTINGS)
    model.graph.node.add(op_type="Identity", input=["w"], output=["unused"])
    model.graph.output.add(name="unused")
    return bytes(model.SerializeToString())


GRAPHS = {
    "no graph": lambda: b"GIF89a",
    "nothing": lambda: b"",
    "other shapes": lambda: graph("Relu"),
    "other inputs": lambda: graph("Relu", inputs=("a", "b")),
    "one output": lambda: graph("Relu", outputs=("y",)),
    "integers": lambda: graph("Identity", kind=6),
    "unknown operator": lambda: graph("Exec"),
    "fails when it runs": lambda: graph("Squeeze"),
    "another file": external,
}


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_graphs_that_are_none_of_an_encoder_are_refused(folder, make):
    write(folder, GRAPH, make())
    assert refused(folder, "expected an encoder of codec 'small-0' that onnxruntime runs, got").startswith(
        str(folder / GRAPH)
    )
