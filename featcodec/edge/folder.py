"""The three files of an edge folder, written and read; what is in them is checked before it is used."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from featcodec.codec.codec_reading import consistent, reading
from featcodec.codec.config import CodecConfig, check_config
from featcodec.codec.entropy_model import SHARED, EntropyModel, check_layout
from featcodec.errors import CodecFileError
from featcodec.files import make_folder, printable, read_file, write_atomic
from featcodec.networks.safetensors_header import read_arrays, read_header
from featcodec.plf.strict_json import JsonProblem, decode_json

__all__ = ["FILES", "EdgeFolder"]

FORMAT = 1
SETTINGS, GRAPH, MODEL = FILES = ("edge.json", "encoder.onnx", "entropy_model.safetensors")
# bytes at most; YOLOX-x up to its cut has some 100 MB
_LARGEST = {SETTINGS: 1 << 21, GRAPH: 1 << 29, MODEL: 1 << 28}
_KEYS = {"format", "codec", "fingerprint", "sha256"}
_WHAT = "an edge folder as featcodec export makes it"


@dataclass(frozen=True)
class EdgeFolder:
    """What encoding needs of a codec and its network.

    Attributes:
        config: what the codec file says in words.
        fingerprint: 16 bytes; of the codec, as files carry it.
        model: tables, gains and hyper-synthesis.
        graph: an ONNX file: ``x`` (1, 3, H, W), RGB in [0, 1], and ``inverse_gain`` (1, M, 1, 1) to ``y``
            (1, M, h, w), latents in steps of the quantizer, and ``z`` (1, N, h_z, w_z), side information.
    """

    config: CodecConfig
    fingerprint: bytes
    model: EntropyModel
    graph: bytes

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the graph's SHA-256."""
        return _sha256(self.graph)[:16]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the folder, which may be there; its settings last, so that no half is taken for whole.

        Raises:
            InputError: the operating system refused.
        """
        make_folder(os.fspath(folder), parents=True)
        model = save({name: self.model.arrays[name] for name in SHARED})
        settings = {
            "format": FORMAT,
            "codec": json.loads(self.config.to_json()),
            "fingerprint": self.fingerprint.hex(),
            "sha256": {GRAPH: _sha256(self.graph), MODEL: _sha256(model)},
        }
        write_atomic(Path(folder, GRAPH), self.graph)
        write_atomic(Path(folder, MODEL), model)
        write_atomic(Path(folder, SETTINGS), (json.dumps(settings, indent=1) + "\n").encode())

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> EdgeFolder:
        """Reads a folder that `save` wrote.

        Raises:
            InputError: a file is missing or unreadable.
            CodecFileError: a file is damaged or of another folder, or says what cannot be.
        """
        settings = _settings(Path(folder, SETTINGS))
        graph, model = (_read(Path(folder, name), settings) for name in (GRAPH, MODEL))
        with reading(Path(folder, SETTINGS), expected=_WHAT):
            config = CodecConfig.from_json(
                json.dumps(settings["codec"], sort_keys=True, separators=(",", ":"))
            )
            with consistent(config.name):
                check_config(config)
        with reading(Path(folder, MODEL), expected=_WHAT), consistent(config.name):
            read_header(model, dtypes=("F32", "I16", "I32"))
            arrays = read_arrays(model)
            if unknown := sorted(arrays.keys() - set(SHARED)):
                raise ValueError(f"{unknown[0]:.80}: expected no such tensor")
            check_layout(config.widths, arrays)
            shared = EntropyModel.of(arrays).check(config.widths)
        return EdgeFolder(config, bytes.fromhex(settings["fingerprint"]), shared, graph)


def _settings(path: Path) -> dict[str, Any]:
    """The content of the settings file, its fields there and of their types."""
    data = read_file(path, _LARGEST[SETTINGS])
    with reading(path, expected=_WHAT):
        try:
            found = decode_json(data)
        except JsonProblem as problem:
            raise ValueError(str(problem)) from problem
        if not isinstance(found, dict) or found.keys() != _KEYS:
            raise ValueError(f"expected an object with {', '.join(sorted(_KEYS))}")
        if found["format"] != FORMAT or type(found["format"]) is not int:
            raise ValueError(f"format {found['format']!r:.40}, expected {FORMAT}: made by another release")
        sums, fingerprint = found["sha256"], found["fingerprint"]
        if not isinstance(sums, dict) or not isinstance(found["codec"], dict):
            raise TypeError("expected objects under codec and sha256")
        if type(fingerprint) is not str or not re.fullmatch(r"[0-9a-f]{32}", fingerprint):
            raise ValueError(f"fingerprint {fingerprint!r:.80}, expected 32 hexadecimal digits")
        return found


def _read(path: Path, settings: dict[str, Any]) -> bytes:
    """A file whose hash stands in the settings."""
    data = read_file(path, _LARGEST[path.name])
    got, expected = _sha256(data), settings["sha256"].get(path.name)
    if got != expected:
        raise CodecFileError(
            f"got SHA-256 {got[:16]}…, expected {printable(str(expected))[:16]}… as {SETTINGS} says: "
            "damaged, or of another folder",
            path=printable(path),
        )
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
