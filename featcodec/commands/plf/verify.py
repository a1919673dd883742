"""``plf verify``: whether files are sound, by their checksums and by the hash of the decoded symbols."""

from __future__ import annotations

import argparse

from featcodec.commands.options import Subparsers, add_json, limits_of
from featcodec.commands.plf.options import add_codec, add_command, add_files
from featcodec.console import Progress, complain, show, show_json
from featcodec.files import printable
from featcodec.inspect.verify import verify

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``verify`` to the command line."""
    command = add_command(
        subparsers,
        run,
        "verify",
        "check structure, checksums and symbols of each file",
        "Checks structure and checksums of each file, then decodes its symbols and compares their hash. A "
        "file whose codec is not at hand fails, as it was not verified.",
        "plf verify *.plf",
    )
    add_files(command)
    command.add_argument(
        "--checksums-only",
        action="store_true",
        help="do not decode: fast, and needs neither codec nor torch nor numpy",
    )
    add_json(command, "one JSON object; a list for several files")
    add_codec(command)


def run(arguments: argparse.Namespace) -> int:
    """Say which files are sound; a bad one does not keep the others."""
    limits, decode = limits_of(arguments), not arguments.checksums_only
    results = []
    with Progress(len(arguments.files)) as progress:
        for number, path in enumerate(arguments.files):
            progress.show(number, path)
            result = verify(path, limits, codec=arguments.codec, decode=decode)
            results.append(result)
            progress.clear()
            if result["error"] is not None:
                complain("plf", str(result["error"]))
            elif not arguments.json:
                hashed = "checksums and symbols" if result["symbols"] else "checksums"
                show(f"{printable(path)}: ok ({hashed})")
    if arguments.json:
        show_json(results, several=len(arguments.files) > 1)
    return 0 if all(result["ok"] for result in results) else 1
