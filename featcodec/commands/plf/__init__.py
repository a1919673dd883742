"""The ``plf`` program: what is in a ``.plf`` file, why it has its size, and whether it is sound.

    plf info street.plf            plf info --bits street.plf     plf verify *.plf
    plf map street.plf -o bits.png plf dump street.plf            plf diff a.plf b.plf
    plf conformance bitstreams

Exit codes: 0 done; 1 a file is bad (one line on standard error says which and why; the other files are
still done); 2 the command line is wrong; 130 and 141 when interrupted or when the output is cut off.
``diff`` answers with its exit code, as ``diff`` and ``cmp`` do: 0 the same, 1 different, 2 trouble.

One module a command; `featcodec.inspect` does the work. Standard library only, until a command has to decode.
"""

from __future__ import annotations

import argparse

from featcodec import __version__
from featcodec.commands.plf import conformance, diff, dump, info, map, verify
from featcodec.commands.plf.options import EXIT_CODES
from featcodec.console import Parser, run_command
from featcodec.plf.bitstream import VERSION

__all__ = ["main"]

COMMANDS = (info, verify, map, dump, diff, conformance)


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
    arguments = _parser().parse_args(argv)
    arguments.check(arguments)
    return run_command("plf", lambda: int(arguments.run(arguments)), trouble=arguments.trouble)


def _parser() -> argparse.ArgumentParser:
    """Return the command line of ``plf``."""
    parser = Parser(
        prog="plf",
        description="Look into .plf files.",
        epilog=f"{EXIT_CODES} (diff: 0 the same, 1 different, 2 trouble). "
        "plf COMMAND --help has an example of each.",
        allow_abbrev=False,
    )
    version = f"plf {__version__}, .plf format version {VERSION}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    parser.set_defaults(trouble=1)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser
