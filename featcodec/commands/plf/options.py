"""What the command lines of ``plf``'s commands share. Standard library only."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable

from featcodec.commands import options
from featcodec.commands.options import Subparsers, add_limits

__all__ = ["EXIT_CODES", "add_codec", "add_command", "add_file", "add_files"]

EXIT_CODES = "exit codes: 0 done; 1 a file is bad, standard error says which and why; 2 wrong command line"
_COLUMNS = 79  # of the help texts


def add_command(
    subparsers: Subparsers,
    run: Callable[[argparse.Namespace], int],
    name: str,
    brief: str,
    description: str,
    example: str,
    exit_codes: str = EXIT_CODES,
    *,
    check: Callable[[argparse.Namespace], None] | None = None,
) -> argparse.ArgumentParser:
    """Add a command whose help ends with an example and what its exit codes mean."""
    return options.add_command(
        subparsers,
        name,
        run,
        check=check,
        help=brief,
        description=textwrap.fill(description, _COLUMNS),
        epilog=f"example:\n  {example}\n\n{textwrap.fill(exit_codes, _COLUMNS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_files(command: argparse.ArgumentParser) -> None:
    """Add one file or more, and the limits on them."""
    command.add_argument("files", nargs="+", metavar="FILE", help="a .plf file; - is standard input")
    add_limits(command)


def add_file(command: argparse.ArgumentParser) -> None:
    """Add a single file, and the limits on it."""
    command.add_argument("file", metavar="FILE", help="a .plf file; - is standard input")
    add_limits(command)


def add_codec(command: argparse.ArgumentParser, note: str = "") -> None:
    """Add the codec to decode with."""
    command.add_argument(
        "--codec",
        metavar="CODEC",
        help="name of an embedded codec or path of a codec file, which needs no network in it; "
        f"default: found by the fingerprint in the file{note}",
    )
