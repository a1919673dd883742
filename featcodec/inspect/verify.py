"""``plf verify``: whether files are sound, by their checksums and by the hash of the decoded symbols."""

from __future__ import annotations

import argparse

from featcodec.commands.options import limits_of
from featcodec.console import complain, show, show_json
from featcodec.errors import FeatcodecError
from featcodec.files import printable
from featcodec.inspect.report import load

__all__ = ["verify"]


def verify(arguments: argparse.Namespace) -> int:
    """Say which files are sound; a bad one does not keep the others."""
    results = []
    for path in arguments.files:
        result = _verify_one(path, arguments)
        results.append(result)
        if result["error"] is not None:
            complain("plf", str(result["error"]))
        elif not arguments.json:
            hashed = "checksums and symbols" if result["symbols"] else "checksums"
            show(f"{printable(path)}: ok ({hashed})")
    if arguments.json:
        show_json(results, several=len(arguments.files) > 1)
    return 0 if all(result["ok"] for result in results) else 1


def _verify_one(path: str, arguments: argparse.Namespace) -> dict[str, object]:
    """What ``--json`` shows of one file; names here are an interface.

    ``checksums`` and ``symbols`` are ``None`` where it did not come to that.
    """
    result: dict[str, object] = {"file": path, "ok": False, "checksums": None, "symbols": None}
    result |= {"kind": None, "error": None}
    try:
        report = load(path, limits_of(arguments))
        result["checksums"] = True
        if not arguments.checksums_only:
            from featcodec.inspect.symbols import decode_checked

            decode_checked(report, arguments.codec)
            result["symbols"] = True
    except FeatcodecError as error:
        kind = type(error.__cause__ or error).__name__
        result |= {"kind": kind, "error": str(error)}
        if kind == "ChecksumError":
            result["checksums"] = False
        if result["checksums"] and kind in ("MalformedError", "SymbolHashError"):
            result["symbols"] = False
    else:
        result["ok"] = True
    return result
