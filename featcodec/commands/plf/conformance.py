"""``plf conformance``: whether this installation reads the conformance streams as their manifest says."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from featcodec import __version__
from featcodec.commands.options import Subparsers, add_json
from featcodec.commands.plf.options import add_command
from featcodec.console import Progress, complain, show
from featcodec.files import printable
from featcodec.inspect.conformance import KINDS, Verdict, judge, read_manifest, strays
from featcodec.plf.bitstream import VERSION

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``conformance`` to the command line."""
    command = add_command(
        subparsers,
        run,
        "conformance",
        "read the conformance streams, and say whether that went as it should",
        "Reads every stream that FOLDER/manifest.json lists: valid ones have to decode to the symbols of the "
        "manifest, invalid ones have to be refused with its error.",
        "plf conformance bitstreams",
        "exit codes: 0 all went as the manifest says; 1 not all, or no manifest; 2 wrong command line",
    )
    command.add_argument(
        "folder",
        nargs="?",
        default="bitstreams",
        metavar="FOLDER",
        help="where the streams are; default: %(default)s, as in featcodec's repository",
    )
    add_json(command, "one JSON object, with a verdict of each stream")


def run(arguments: argparse.Namespace) -> int:
    """Read all streams of a folder and say which of them went wrong."""
    folder = Path(arguments.folder)
    manifest = read_manifest(folder)
    verdicts = list(strays(folder, manifest))
    with Progress(sum(len(manifest[kind]) for kind in KINDS)) as progress:
        for number, verdict in enumerate(judge(folder, manifest), 1):
            progress.show(number, verdict.file)
            verdicts.append(verdict)
    failed = [v for v in verdicts if v.problem is not None]
    if arguments.json:
        show(json.dumps(_as_json(arguments.folder, verdicts), indent=2))
    for verdict in failed:
        complain("plf", f"{verdict.file}: {verdict.problem}")
    if not arguments.json:
        _show(arguments.folder, verdicts)
    return 1 if failed else 0


def _as_json(folder: str, verdicts: list[Verdict]) -> dict[str, object]:
    """What ``--json`` shows; names here are an interface."""
    return {
        "folder": folder,
        "featcodec": __version__,
        "format_version": VERSION,
        "conforms": all(v.problem is None for v in verdicts),
        "streams": [
            {"file": v.file, "kind": v.kind, "ok": v.problem is None, "problem": v.problem} for v in verdicts
        ],
    }


def _show(folder: str, verdicts: list[Verdict]) -> None:
    said = {"valid": "decoded to the expected symbols", "invalid": "refused with the expected error"}
    for kind in KINDS:
        of = [v for v in verdicts if v.kind == kind]
        right = sum(1 for v in of if v.problem is None)
        show(f"{kind:<9}{right} of {len(of)} {said[kind]}")
    failed = sum(1 for v in verdicts if v.problem is not None)
    verdict = "conforms" if not failed else f"does not conform: {failed} streams went wrong"
    show(f"{printable(folder)}: featcodec {__version__}, .plf version {VERSION}, {verdict}")
