"""Whether a file is sound, by its checksums and by the hash of the decoded symbols."""

from __future__ import annotations

from featcodec.errors import FeatcodecError
from featcodec.inspect.report import load
from featcodec.plf.bitstream import Limits

__all__ = ["verify"]


def verify(path: str, limits: Limits, *, codec: str | None = None, decode: bool = True) -> dict[str, object]:
    """Read one file: what ``plf verify --json`` shows of it; names here are an interface.

    Args:
        path: the file; ``-`` is standard input.
        limits: what is refused as too large.
        codec: name or path of the codec to decode with; found by the fingerprint if omitted.
        decode: the symbols, too; without them torch and numpy are not needed.

    Returns:
        ``checksums`` and ``symbols`` are ``None`` where it did not come to that.
    """
    result: dict[str, object] = {"file": path, "ok": False, "checksums": None, "symbols": None}
    result |= {"kind": None, "error": None}
    try:
        report = load(path, limits)
        result["checksums"] = True
        if decode:
            from featcodec.inspect.symbols import decode_checked

            decode_checked(report, codec)
            result["symbols"] = True
    except FeatcodecError as error:
        kind = type(error).__name__
        result |= {"kind": kind, "error": str(error)}
        if kind == "ChecksumError":
            result["checksums"] = False
        if result["checksums"] and kind in ("MalformedError", "SymbolHashError"):
            result["symbols"] = False
    else:
        result["ok"] = True
    return result
