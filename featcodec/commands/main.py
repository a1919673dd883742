"""The ``featcodec`` command: pictures to ``.plf`` files, and what can be had from those.

    featcodec encode street.jpg -o street.plf          featcodec encode photos/ -o coded/
    featcodec decode street.plf -o street.npy          featcodec detect street.plf --draw boxes.png
    featcodec attack yolox-nano-private --train photos/ --eval other-photos/ --work attack/
    featcodec rebuild street.plf -o thief.png
    featcodec rebuild street.plf --compare street.jpg -o sheet.png
    featcodec layers torchvision:resnet18              featcodec zoo
    featcodec fit torchvision:resnet18 --at layer2 --images photos/ -o mine.safetensors
    featcodec export yolox-nano-private -o edge/       featcodec encode --edge edge/ street.jpg -o street.plf
    featcodec demo                                     featcodec push mine.safetensors owner/name

Exit codes as `featcodec.console` says. One module a command, its command line beside its work.
"""

from __future__ import annotations

import argparse
import sys

from featcodec import __version__
from featcodec.commands import attack, decode, demo, detect, encode, export, fit, layers, push, rebuild, zoo
from featcodec.console import Parser, run_command
from featcodec.plf.bitstream import VERSION

__all__ = ["main"]

COMMANDS = (encode, decode, detect, layers, fit, export, attack, rebuild, demo, push, zoo)


def main(argv: list[str] | None = None) -> int:
    """Run the ``featcodec`` command.

    Args:
        argv: arguments after the program name; those of the process if omitted.

    Returns:
        The exit code.

    Raises:
        SystemExit: as `argparse` does, after ``--help``, ``--version`` and wrong command lines.

    Example:
        >>> main(["decode", "missing.plf", "-o", "features.npy"])
        1
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        parser.print_help(sys.stderr)
        return 2
    arguments.typed = ["featcodec", *(sys.argv[1:] if argv is None else argv)]
    arguments.check(arguments)
    return run_command("featcodec", lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="featcodec",
        description="A learned feature codec: a picture to the few bytes that a vision network needs of it.",
        epilog="plf shows what is in a .plf file; featcodec-bench compares codecs.",
        allow_abbrev=False,
    )
    version = f"featcodec {__version__}, .plf format version {VERSION}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    parser.set_defaults(run=None)
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
