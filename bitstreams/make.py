"""Makes the conformance streams beside this file, and their manifest, anew: ``python bitstreams/make.py``.

Streams of pictures come from featcodec's encoder and the codecs of the package, in floating point: on another
machine, or with another release of PyTorch, a few of their bytes may differ. What is published is therefore
the files, not this script. All other streams are the same everywhere.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import PIL
import torch
from invalid import invalid_streams
from valid import valid_streams
from writing import ROOT, Codec, Stream, reference

import featcodec
from featcodec.inspect.conformance import MANIFEST
from featcodec.inspect.rate import rate
from featcodec.inspect.report import as_json, check
from featcodec.inspect.symbols import decode
from featcodec.plf.bitstream import VERSION, Limits

HERE = Path(__file__).parent
ZOO = ROOT / "featcodec" / "zoo"


def main() -> int:
    """Replace valid/, invalid/ and the manifest."""
    torch.set_num_threads(1)  # sums in one order
    codecs = {
        name: reference.read_codec(ZOO / f"{name}.safetensors") for name in featcodec.zoo.names(whole=True)
    }
    for old in HERE.glob("*valid/**/*.plf"):
        old.unlink()
    valid = []
    for name, codec in codecs.items():
        for stream in valid_streams(featcodec.load(name), codec):
            valid.append(write_valid(f"valid/{name}/{stream.file}.plf", stream))
            print(valid[-1]["file"])
    first, second, *_ = codecs.values()
    invalid = [write_invalid(s, list(codecs.values())) for s in invalid_streams(first, second)]
    write_manifest(list(codecs.values()), valid, invalid)
    total = sum(path.stat().st_size for path in HERE.glob("*valid/**/*.plf"))
    print(f"{len(valid)} valid and {len(invalid)} invalid streams, {total:,} bytes")
    return 0


def write_valid(file: str, stream: Stream) -> dict[str, object]:
    """Write a stream; return what the manifest says of it."""
    write(file, stream.data)
    report = check(file, stream.data, Limits())
    decoded = decode(report)
    bits, symbols = rate(decoded), decoded.symbols
    info = {key: value for key, value in as_json(report).items() if key != "file"}
    content = reference.symbol_bytes(symbols.z.astype(np.int64), symbols.y.astype(np.int64))
    return {
        "file": file,
        "made": stream.made,
        "sha256": hashlib.sha256(stream.data).hexdigest(),
        "z": list(symbols.z.shape),
        "y": list(symbols.y.shape),
        "escapes": [bits.z.escapes, bits.y.escapes],
        "symbol_hash": symbols.hash.hex(),
        "symbols_sha256": hashlib.sha256(content).hexdigest(),
        "info": info,
    }


def write_invalid(stream: Stream, codecs: list[Codec]) -> dict[str, object]:
    """Write a stream; return what the manifest says of it."""
    file = f"invalid/{stream.file}.plf"
    write(file, stream.data)
    try:
        reference.decode(stream.data, codecs, stream.limits)
        raise SystemExit(f"{file}: it decodes")
    except reference.Refused as error:
        if stream.error not in ("", error.kind):
            raise SystemExit(f"{file}: got {error}, expected {stream.error}") from error
        kind = error.kind
    entry: dict[str, object] = {
        "file": file,
        "made": stream.made,
        "sha256": hashlib.sha256(stream.data).hexdigest(),
        "error": kind,
        "message": stream.message or {"SymbolHashError": "decoded symbols: got hash "}.get(kind, "payload: "),
    }
    return entry | ({"limits": stream.limits} if stream.limits else {})


def write(file: str, data: bytes) -> None:
    path = HERE / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise SystemExit(f"{file}: got two streams of this name")
    path.write_bytes(data)


def write_manifest(
    codecs: list[Codec], valid: list[dict[str, object]], invalid: list[dict[str, object]]
) -> None:
    """One line a stream, so that a change shows which of them it is about."""
    about = {
        "format_version": VERSION,
        "codecs": [{"name": codec.name, "fingerprint": codec.fingerprint.hex()} for codec in codecs],
        "made_with": {
            "featcodec": featcodec.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in about.items()]
    for name, entries in (("valid", valid), ("invalid", invalid)):
        lines += [f'"{name}": [', ",\n".join(json.dumps(entry) for entry in entries), "],"]
    text = "{\n" + "\n".join(lines).removesuffix(",") + "\n}\n"
    (HERE / MANIFEST).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
