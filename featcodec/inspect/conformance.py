"""Whether this installation reads the conformance streams as their manifest says.

The streams lie in ``bitstreams/`` of the repository; the README there says what is in the manifest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from featcodec.errors import FeatcodecError, InputError
from featcodec.files import is_file, printable, read_file
from featcodec.inspect.report import as_json, check
from featcodec.plf.bitstream import Limits

__all__ = ["KINDS", "MANIFEST", "Manifest", "Verdict", "judge", "read_manifest", "strays"]

MANIFEST = "manifest.json"
_LARGEST = 2**26  # bytes of the manifest, and of a stream
KINDS = ("valid", "invalid")
Manifest: TypeAlias = dict[str, list[dict[str, Any]]]  # of each kind its streams


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one stream; no problem means that it was read as the manifest says."""

    file: str
    kind: str
    problem: str | None


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest.

    Raises:
        InputError: there is none, or it is not one.
    """
    path = folder / MANIFEST
    if not is_file(path):
        raise InputError(
            "no such file, expected the folder of the conformance streams: plf conformance FOLDER "
            "(bitstreams/ of featcodec's repository)",
            path=printable(path),
        )
    try:
        manifest = json.loads(read_file(path, _LARGEST))
        found = {kind: list(manifest[kind]) for kind in KINDS}
        if not all(isinstance(e["file"], str) and e["sha256"] for kind in KINDS for e in found[kind]):
            raise ValueError("entries without a file or its SHA-256")
        if not any(found.values()):
            raise ValueError("no streams")
    except (ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {printable(str(error))}"
        raise InputError(f"got {what}, expected a manifest of streams", path=printable(path)) from error
    return found


def strays(folder: Path, manifest: Manifest) -> Iterator[Verdict]:
    """Streams that lie in the folder, but not in the manifest."""
    known = {entry["file"] for kind in KINDS for entry in manifest[kind]}
    for kind in KINDS:
        for path in sorted((folder / kind).rglob("*.plf")):
            name = path.relative_to(folder).as_posix()
            if name not in known:
                yield Verdict(name, kind, f"got a stream that {MANIFEST} does not know")


def judge(folder: Path, manifest: Manifest) -> Iterator[Verdict]:
    """Read one stream after the other, as the manifest lists them."""
    for kind in KINDS:
        for entry in manifest[kind]:
            yield Verdict(entry["file"], kind, _problem(folder, kind, entry))


def _problem(folder: Path, kind: str, entry: dict[str, Any]) -> str | None:
    """What is wrong with how one stream is read; ``None`` if nothing is."""
    try:
        data = read_file(folder / entry["file"], _LARGEST)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != entry["sha256"]:
            return f"got SHA-256 {sha256}, expected {entry['sha256']}: not the file that was published"
        return _check_valid(data, entry) if kind == "valid" else _check_invalid(data, entry)
    except FeatcodecError as error:
        return f"got {type(error).__name__} ({error}), expected a file that decodes"
    except ModuleNotFoundError:  # of what reads: no verdict on the stream
        raise
    except Exception as error:  # any other is what this command is there to find
        return f"got {type(error).__name__} ({error}), which no stream may raise"


def _check_valid(data: bytes, entry: dict[str, Any]) -> str | None:
    """Take a stream apart, decode it, and compare both with the manifest."""
    import numpy as np

    from featcodec.inspect.symbols import decode

    report = check(entry["file"], data, _limits(entry))
    shown = as_json(report)
    for name, expected in entry["info"].items():
        if shown.get(name) != expected:
            return f"{name}: got {shown.get(name)!r:.200}, expected {expected!r:.200}"
    symbols = decode(report).symbols
    digest = hashlib.sha256()
    for name, part in (("z", symbols.z), ("y", symbols.y)):
        if list(part.shape) != entry[name]:
            return f"{name}: got {list(part.shape)} symbols, expected {entry[name]}"
        digest.update(np.ascontiguousarray(part, "<i4").tobytes())
    if digest.hexdigest() != entry["symbols_sha256"]:
        return f"symbols: got SHA-256 {digest.hexdigest()}, expected {entry['symbols_sha256']}"
    return None


def _check_invalid(data: bytes, entry: dict[str, Any]) -> str | None:
    """See that a stream is refused with the right error."""
    from featcodec.inspect.symbols import decode

    expected = f"{entry['error']} ({entry['message']}...)"
    try:
        decode(check(entry["file"], data, _limits(entry)))
    except FeatcodecError as error:
        if type(error).__name__ == entry["error"] and str(error).startswith(entry["message"]):
            return None
        return f"got {type(error).__name__} ({error}), expected {expected}"
    return f"got symbols, expected {expected}"


def _limits(entry: dict[str, Any]) -> Limits:
    return Limits(**entry.get("limits", {}))
