"""The conformance streams: featcodec reads them as the manifest says, and so does the second decoder."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import reference_decoder as reference
from range_coder_reference import RangeDecoder, Table, decode

from featcodec import errors
from featcodec.commands import plf

ROOT = Path(__file__).parents[2]
STREAMS = ROOT / "bitstreams"
MANIFEST = json.loads((STREAMS / "manifest.json").read_text(encoding="utf-8"))
VALID, INVALID = MANIFEST["valid"], MANIFEST["invalid"]
LARGEST = 3_000_000  # bytes of all streams


@cache
def codecs() -> list[reference.Codec]:
    zoo = ROOT / "featcodec" / "zoo"
    found = (reference.read_codec(zoo / f"{codec['name']}.safetensors") for codec in MANIFEST["codecs"])
    return sorted(found, key=lambda codec: codec.name)


def ids(entry: dict[str, Any]) -> str:
    return str(entry["file"])


# ---- the second decoder


@pytest.mark.parametrize("entry", VALID, ids=ids)
def test_the_second_decoder_finds_the_symbols_of_the_manifest(entry: dict[str, Any]) -> None:
    header, z, y = reference.decode((STREAMS / entry["file"]).read_bytes(), codecs())
    assert [list(z.shape), list(y.shape)] == [entry["z"], entry["y"]]
    assert hashlib.sha256(reference.symbol_bytes(z, y)).hexdigest() == entry["symbols_sha256"]
    assert header.symbol_hash.hex() == entry["symbol_hash"] == entry["info"]["symbol_hash"]
    assert 1 + header.quality_step / 32 == entry["info"]["quality"]


@pytest.mark.parametrize("entry", INVALID, ids=ids)
def test_the_second_decoder_refuses_for_the_same_reason(entry: dict[str, Any]) -> None:
    with pytest.raises(reference.Refused) as caught:
        reference.decode((STREAMS / entry["file"]).read_bytes(), codecs(), entry.get("limits"))
    assert caught.value.kind == entry["error"]


def test_the_second_decoder_knows_the_codecs_of_the_manifest() -> None:
    found = [{"name": codec.name, "fingerprint": codec.fingerprint.hex()} for codec in codecs()]
    assert found == MANIFEST["codecs"]


# ---- the document


def test_the_payload_that_the_document_walks_through_decodes_step_by_step() -> None:
    text = (ROOT / "docs" / "plf-format.md").read_text(encoding="utf-8")
    text = text.partition("### Example of a payload")[2].partition("## Tables")[0]
    [payload] = re.findall(r"The payload is `([0-9a-f ]+)`", text)
    rows = re.findall(r"^\| (?:entry|b|r) .*\| (\d+) \| (\d+) \| (\d+) \| `(\w+)` \| `(\w+)` \|$", text, re.M)
    decoder = RangeDecoder(bytes.fromhex(payload))
    for q, start, frequency, after, point in rows:
        assert decoder.quantile() == int(q)
        decoder.advance(int(start), int(frequency))
        assert (decoder.range, decoder.point) == (int(after, 16), int(point, 16))
    decoder.finish()
    table = Table(0, [8388608, 8388607, 1])
    assert decode(bytes.fromhex(payload), [([0] * 5, [table])]) == [[0, 1, 1, 0, 7]]
    assert len(rows) == 7


# ---- featcodec


def test_this_installation_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    assert plf.main(["conformance", str(STREAMS)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"{len(VALID)} of {len(VALID)} decoded to the expected symbols\n" in out
    assert f"{len(INVALID)} of {len(INVALID)} refused with the expected error\n" in out
    assert out.endswith(", conforms\n")


def excerpt(folder: Path) -> dict[str, Any]:
    """Copies a few streams; returns a manifest of them, to be spoilt and written."""
    small = min(VALID, key=lambda e: e["info"]["bytes"]), INVALID[0]
    for entry in small:
        target = folder / entry["file"]
        target.parent.mkdir(parents=True)
        shutil.copy(STREAMS / entry["file"], target)
    return json.loads(json.dumps({"valid": [small[0]], "invalid": [small[1]]}))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        ("valid", {"sha256": "0" * 64}, "got SHA-256 "),
        ("valid", {"symbols_sha256": "0" * 64}, "symbols: got SHA-256 "),
        ("valid", {"z": [1, 2, 3]}, "z: got ["),
        ("valid", {"info": {"quality": 9.5}}, "quality: got "),
        ("valid", {"file": "valid/none.plf"}, "got InputError ("),
        ("valid", {"limits": {"max_pixels": 0}}, "got LimitError ("),
        ("invalid", {"error": "LimitError"}, "got "),
        ("invalid", {"message": "something else"}, "got "),
    ],
)
def test_what_does_not_conform_is_said_in_a_line_and_by_the_exit_code(
    kind: str, change: dict[str, Any], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = excerpt(tmp_path)
    manifest[kind][0] |= change
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert plf.main(["conformance", "--json", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["conforms"] is False
    wrong = [s for s in found["streams"] if not s["ok"]]
    assert any(s["kind"] == kind and s["problem"].startswith(problem) for s in wrong)
    assert err.count("\n") == len(wrong)


def test_a_stream_that_the_manifest_does_not_know_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = excerpt(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert plf.main(["conformance", str(tmp_path)]) == 0
    (tmp_path / "invalid" / "stray.plf").write_bytes(b"")
    capsys.readouterr()
    assert plf.main(["conformance", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert err == "plf: invalid/stray.plf: got a stream that manifest.json does not know\n"
    assert out.endswith("does not conform: 1 streams went wrong\n")


# ---- the collection


def test_the_collection_covers_the_format() -> None:
    """Every error that a reader can raise; every codec at every whole quality; escapes in z and in y."""
    kinds = {e.__name__ for e in errors.BitstreamError.__subclasses__()} | {"ModelMismatchError"}
    assert set(Counter(entry["error"] for entry in INVALID)) == kinds
    for codec in MANIFEST["codecs"]:
        of = [e for e in VALID if e["info"]["fingerprint"] == codec["fingerprint"]]
        assert {float(q) for q in range(1, 9)} <= {e["info"]["quality"] for e in of}
        assert {(1, 1), (16, 2000), (2000, 16)} <= {(e["info"]["width"], e["info"]["height"]) for e in of}
        assert any(e["escapes"][0] for e in of)
        assert any(e["escapes"][1] for e in of)
        assert any(e["info"]["metadata"] for e in of)
    assert sum(path.stat().st_size for path in STREAMS.rglob("*.plf")) < LARGEST
