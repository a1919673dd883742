"""``plf diff``: in what two files differ, down to the single symbol."""

from __future__ import annotations

import argparse
from typing import Any

from featcodec.commands.options import Subparsers, add_json, add_limits, limits_of
from featcodec.commands.plf.options import add_codec, add_command
from featcodec.console import STANDARD, show, show_json
from featcodec.errors import InputError
from featcodec.files import printable
from featcodec.inspect.diff import compare
from featcodec.inspect.report import load

__all__ = ["add_parser", "run"]

SAME, DIFFERENT, TROUBLE = 0, 1, 2  # as diff and cmp have it; `run_command` gives the last
_CHANNELS = 8  # that are shown in the text


def add_parser(subparsers: Subparsers) -> None:
    """Add ``diff`` to the command line."""
    command = add_command(
        subparsers,
        run,
        "diff",
        "compare two files, down to the symbols",
        "Shows which header fields differ, and which symbols: how many, where, by how much.",
        "plf diff a.plf b.plf && echo the same",
        "exit codes, as those of diff and cmp: 0 the files are identical, byte for byte; 1 they differ; 2 "
        "trouble: a file is missing or bad, or the command line is wrong. (All other commands of plf end "
        "with 1 where a file is bad.)",
    )
    command.add_argument("files", nargs=2, metavar="FILE", help="a .plf file; one may be -, standard input")
    command.set_defaults(trouble=TROUBLE)
    add_json(command)
    add_limits(command)
    add_codec(command)


def run(arguments: argparse.Namespace) -> int:
    """Compare two files; the exit code says whether they are the same, or cannot be compared."""
    if arguments.files == [STANDARD, STANDARD]:
        raise InputError("standard input: got it twice, expected one file at the least")
    limits = limits_of(arguments)
    a, b = (load(path, limits) for path in arguments.files)
    found = compare(a, b, arguments.codec)
    if arguments.json:
        show_json([found])
    else:
        show("\n".join(_lines(found)))
    return SAME if found["identical"] else DIFFERENT


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
