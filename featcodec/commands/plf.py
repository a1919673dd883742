"""The command line of ``plf``. Standard library only; the modules beside it do the work.

    plf info street.plf            plf info --bits street.plf     plf verify *.plf
    plf map street.plf -o bits.png plf dump street.plf            plf diff a.plf b.plf
    plf conformance bitstreams

Exit codes: 0 done; 1 a file is bad (one line on standard error says which and why; the other files are
still done); 2 the command line is wrong; 130 and 141 when interrupted or when the output is cut off.
``diff`` answers with its exit code, as ``diff`` and ``cmp`` do: 0 the same, 1 different, 2 trouble.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable
from typing import TypeAlias

from featcodec import __version__
from featcodec.commands.options import add_limits
from featcodec.console import run_command
from featcodec.inspect.conformance import conformance
from featcodec.inspect.diff import diff
from featcodec.inspect.dump import ARRAYS, dump
from featcodec.inspect.info import info
from featcodec.inspect.map import map_bits
from featcodec.inspect.verify import verify
from featcodec.plf.bitstream import VERSION

__all__ = ["main"]

_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_COLUMNS = 79  # of the help texts
_EXIT_CODES = "exit codes: 0 done; 1 a file is bad, standard error says which and why; 2 wrong command line"


def main(argv: list[str] | None = None) -> int:
    """Run the ``plf`` command.

    Args:
        argv: arguments after the program name; those of the process if omitted.

    Returns:
        The exit code.

    Raises:
        SystemExit: as `argparse` does, after ``--help``, ``--version`` and wrong command lines.

    Example:
        >>> main(["info", "missing.plf"])
        1
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.run is map_bits and arguments.output is None and not arguments.json:
        parser.error("map: expected -o OUT.png, --json or both")
    return run_command("plf", lambda: int(arguments.run(arguments)))


def _parser() -> argparse.ArgumentParser:
    """Return the command line of ``plf``."""
    parser = argparse.ArgumentParser(
        prog="plf",
        description="Look into .plf files.",
        epilog=f"{_EXIT_CODES} (diff: 0 the same, 1 different, 2 trouble). "
        "plf COMMAND --help has an example of each.",
        allow_abbrev=False,
    )
    version = f"plf {__version__}, .plf format version {VERSION}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_info, _add_verify, _add_map, _add_dump, _add_diff, _add_conformance):
        add(subparsers)
    return parser


def _add_info(subparsers: _Subparsers) -> None:
    command = _command(
        subparsers,
        info,
        "info",
        "show what is in each file, checking it, and why it has its size",
        "Shows header, sections and metadata of each file, after checking all checksums; --bits also what "
        "its bits were spent on, for which the payload is decoded. Bits of symbols are ideal ones: their "
        "information content under the codec's tables; the coder's overhead completes it to the real size.",
        "plf info --bits street.plf",
    )
    _add_files(command)
    command.add_argument("--json", action="store_true", help="one JSON object; a list for several files")
    command.add_argument(
        "--bits",
        action="store_true",
        help="side information against latents, escapes, coder overhead, scale indexes; needs the codec",
    )
    _add_codec(command, "; implies --bits")


def _add_verify(subparsers: _Subparsers) -> None:
    command = _command(
        subparsers,
        verify,
        "verify",
        "check structure, checksums and symbols of each file",
        "Checks structure and checksums of each file, then decodes its symbols and compares their hash. A "
        "file whose codec is not at hand fails, as it was not verified.",
        "plf verify *.plf",
    )
    _add_files(command)
    command.add_argument(
        "--checksums-only",
        action="store_true",
        help="do not decode: fast, and needs neither codec nor torch nor numpy",
    )
    command.add_argument("--json", action="store_true", help="one JSON object; a list for several files")
    _add_codec(command)


def _add_map(subparsers: _Subparsers) -> None:
    command = _command(
        subparsers,
        map_bits,
        "map",
        "draw where in the picture, and in which channels, the bits went",
        "Draws the bits of each latent position, summed over the channels, on the plane of the picture, and "
        "the bits of each channel. The bits of side information are spread over the positions that it speaks "
        "for.",
        "plf map street.plf -o bits.png",
    )
    _add_file(command)
    command.add_argument("-o", "--output", metavar="OUT.png", help="the drawing; - is standard output")
    command.add_argument("--json", action="store_true", help="the numbers, as one JSON object")
    _add_codec(command)


def _add_dump(subparsers: _Subparsers) -> None:
    command = _command(
        subparsers,
        dump,
        "dump",
        "list the sections, or write them and the decoded symbols to files",
        "Lists the sections with offset, length and checksum; -o writes what is in them, the other options "
        "what they decode to, as NumPy files (.npy; - is standard output).",
        "plf dump street.plf -o parts/ --symbols y.npy",
    )
    _add_file(command)
    command.add_argument(
        "-o", "--output", metavar="FOLDER", help="write FOLDER/1-H.bin and so on; a missing folder is made"
    )
    for name, what in ARRAYS.items():
        command.add_argument(f"--{name}", metavar="OUT.npy", help=what)
    command.add_argument("--json", action="store_true", help="one JSON object")
    _add_codec(command)


def _add_diff(subparsers: _Subparsers) -> None:
    command = _command(
        subparsers,
        diff,
        "diff",
        "compare two files, down to the symbols",
        "Shows which header fields differ, and which symbols: how many, where, by how much.",
        "plf diff a.plf b.plf && echo the same",
        "exit codes, as those of diff and cmp: 0 the files are identical, byte for byte; 1 they differ; 2 "
        "trouble: a file is missing or bad, or the command line is wrong. (All other commands of plf end "
        "with 1 where a file is bad.)",
    )
    command.add_argument("files", nargs=2, metavar="FILE", help="a .plf file; one may be -, standard input")
    command.add_argument("--json", action="store_true", help="one JSON object")
    add_limits(command)
    _add_codec(command)


def _add_conformance(subparsers: _Subparsers) -> None:
    command = _command(
        subparsers,
        conformance,
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
    command.add_argument("--json", action="store_true", help="one JSON object, with a verdict of each stream")


# ---- shared


def _command(
    subparsers: _Subparsers,
    run: Callable[[argparse.Namespace], int],
    name: str,
    brief: str,
    description: str,
    example: str,
    exit_codes: str = _EXIT_CODES,
) -> argparse.ArgumentParser:
    """Add a command whose help ends with an example and what its exit codes mean."""
    command = subparsers.add_parser(
        name,
        help=brief,
        description=textwrap.fill(description, _COLUMNS),
        epilog=f"example:\n  {example}\n\n{textwrap.fill(exit_codes, _COLUMNS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(run=run)
    return command


def _add_files(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", nargs="+", metavar="FILE", help="a .plf file; - is standard input")
    add_limits(command)


def _add_file(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="a .plf file; - is standard input")
    add_limits(command)


def _add_codec(command: argparse.ArgumentParser, note: str = "") -> None:
    command.add_argument(
        "--codec",
        metavar="CODEC",
        help="name of an embedded codec or path of a codec file, which needs no network in it; "
        f"default: found by the fingerprint in the file{note}",
    )


if __name__ == "__main__":
    sys.exit(main())
