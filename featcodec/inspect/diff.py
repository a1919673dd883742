"""In what two files differ, down to the single symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featcodec.errors import ModelMismatchError
from featcodec.inspect.report import Report, as_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["compare"]

_SIZES = ("width", "height", "size", "latent_height", "latent_width")
_FIELDS = ("codec", "fingerprint", "quality", *_SIZES, "symbol_hash")
_FIRST = 5  # differing symbols that are shown one by one


def compare(a: Report, b: Report, codec: str | None = None) -> dict[str, Any]:
    """Compare two files: what ``plf diff --json`` shows; names and units here are an interface.

    Args:
        a, b: the files; pairs in what is returned are what A has and what B has.
        codec: name or path of the codec to decode both with; found by their fingerprint if omitted.

    Raises:
        FeatcodecError: a payload cannot be decoded, or the codec given not be read.
    """
    ours, theirs = as_json(a), as_json(b)
    symbols, reason = (None, None) if a.data == b.data else _compare_symbols(a, b, codec)
    return {
        "files": [a.path, b.path],
        "identical": a.data == b.data,
        "bytes": [a.size, b.size],
        "payload_bytes": [len(a.stream.payload), len(b.stream.payload)],
        "header": {k: [ours[k], theirs[k]] for k in _FIELDS if ours[k] != theirs[k]},
        "sections": [[s.tag for s in report.sections] for report in (a, b)],
        "same_metadata": a.stream.metadata == b.stream.metadata,
        "same_payload": a.stream.payload == b.stream.payload,
        "symbols": symbols,
        "symbols_not_compared": reason,
    }


def _compare_symbols(a: Report, b: Report, codec: str | None) -> tuple[dict[str, object] | None, str | None]:
    """How z and y differ, or why they cannot be compared."""
    ours, theirs = a.stream.header, b.stream.header
    if ours.fingerprint != theirs.fingerprint:
        return None, "made by different codecs"
    if (ours.latent_height, ours.latent_width) != (theirs.latent_height, theirs.latent_width):
        return None, "latents of different shapes"
    from featcodec.inspect.symbols import decode_checked

    try:
        one, other = (decode_checked(report, codec).symbols for report in (a, b))
    except ModelMismatchError:
        if codec is None:
            return None, f"no codec with fingerprint {ours.fingerprint.hex()} at hand: give --codec FILE"
        raise
    return {"z": _compare_part(one.z, other.z), "y": _compare_part(one.y, other.y)}, None


def _compare_part(a: NDArray[Any], b: NDArray[Any]) -> dict[str, Any]:
    """Where two arrays (channels, rows, columns) of one shape differ."""
    import numpy as np

    found = np.argwhere(a != b)  # in raster order
    low, high = (found.min(0).tolist(), found.max(0).tolist()) if len(found) else ([], [])
    channels, counts = np.unique(found[:, 0], return_counts=True)
    return {
        "symbols": a.size,
        "different": len(found),
        "largest": int(np.abs(a.astype(np.int64) - b).max()),
        "rows": [low[1], high[1]] if low else None,
        "columns": [low[2], high[2]] if low else None,
        "channels": {str(c): int(n) for c, n in zip(channels, counts, strict=True)},
        "first": [
            {"channel": c, "row": i, "column": j, "symbols": [int(a[c, i, j]), int(b[c, i, j])]}
            for c, i, j in found[:_FIRST].tolist()
        ],
    }
