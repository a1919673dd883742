"""``plf diff``: in what two files differ, down to the single symbol."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from featcodec.commands.options import limits_of
from featcodec.console import STANDARD, complain, show, show_json
from featcodec.errors import FeatcodecError, InputError, ModelMismatchError
from featcodec.files import printable
from featcodec.inspect.info import as_json
from featcodec.inspect.report import Report, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["diff"]

SAME, DIFFERENT, TROUBLE = 0, 1, 2  # as diff and cmp have it
_SIZES = ("width", "height", "size", "latent_height", "latent_width")
_FIELDS = ("codec", "fingerprint", "quality", *_SIZES, "symbol_hash")
_FIRST = 5  # differing symbols that are shown one by one
_CHANNELS = 8  # channels that are shown in the text


def diff(arguments: argparse.Namespace) -> int:
    """Compare two files; the exit code says whether they are the same, or cannot be compared."""
    try:
        if arguments.files == [STANDARD, STANDARD]:
            raise InputError("standard input: got it twice, expected one file at the least")
        limits = limits_of(arguments)
        a, b = (load(path, limits) for path in arguments.files)
        found = _compare(a, b, arguments.codec)
    except FeatcodecError as error:
        complain("plf", error)
        return TROUBLE
    if arguments.json:
        show_json([found])
    else:
        show("\n".join(_lines(found)))
    return SAME if found["identical"] else DIFFERENT


def _compare(a: Report, b: Report, codec: str | None) -> dict[str, Any]:
    """What ``--json`` shows; names and units here are an interface. Pairs are what A has and what B has."""
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
    except InputError as error:
        if codec is None and isinstance(error.__cause__, ModelMismatchError):
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


def _lines(found: dict[str, Any]) -> list[str]:
    one, other = (printable(path) for path in found["files"])
    if found["identical"]:
        return [f"{one} and {other} are identical"]
    lines = [f"{one} and {other} differ"]
    rows = {"bytes": found["bytes"], "payload": found["payload_bytes"], **found["header"]}
    if found["sections"][0] != found["sections"][1]:
        rows["sections"] = ["".join(tags) for tags in found["sections"]]
    lines += [f"  {k.replace('_', ' '):<14}{a} against {b}" for k, (a, b) in rows.items() if a != b]
    if not found["same_metadata"]:
        lines.append("  metadata      differs")
    if found["same_payload"]:
        lines.append("  payload       the same bytes")
    if found["symbols"] is None:
        return [*lines, f"  symbols       not compared: {found['symbols_not_compared']}"]
    for name, part in found["symbols"].items():
        lines += _part_lines(name, part)
    return lines


def _part_lines(name: str, part: dict[str, Any]) -> list[str]:
    label = f"  {'symbols of ' + name:<14}"
    if not part["different"]:
        return [f"{label}the same, all {part['symbols']:,}"]
    channels = sorted(part["channels"].items(), key=lambda item: -item[1])
    lines = [
        f"{label}{part['different']:,} of {part['symbols']:,} differ, by at most {part['largest']:,}",
        f"    in rows {part['rows'][0]} to {part['rows'][1]}, columns {part['columns'][0]} to "
        f"{part['columns'][1]}, {len(channels)} channels",
    ]
    for one in part["first"]:
        a, b = one["symbols"]
        where = f"channel {one['channel']}, row {one['row']}, column {one['column']}"
        lines.append(f"    first: {where}: {a} against {b}")
    most = ", ".join(f"{count:,} in {channel}" for channel, count in channels[:_CHANNELS])
    return [*lines, f"    most by channel: {most}"]
