"""The ``featcodec-bench`` command, which comes in a later release."""

from __future__ import annotations

import argparse
import sys

from featcodec import __version__
from featcodec.terminal import complain

__all__ = ["main"]

_PLAN = (
    "Will compare a codec with coding the raw features and with sending the picture, as BD-rates on a "
    "labelled data set, and measure by attacks what a thief of the files can rebuild of the pictures. "
    "It comes in a later release of featcodec."
)


def main(argv: list[str] | None = None) -> int:
    """Run the ``featcodec-bench`` command.

    Args:
        argv: arguments after the program name; those of the process if omitted.

    Returns:
        The exit code: 2, as there is nothing yet that it could do.

    Raises:
        SystemExit: as `argparse` does, after ``--help`` and ``--version``.

    Example:
        >>> main(["--data", "coco.json"])
        2
    """
    parser = argparse.ArgumentParser(prog="featcodec-bench", description=_PLAN, allow_abbrev=False)
    version = f"featcodec-bench {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    parser.parse_known_args(argv)
    complain("featcodec-bench", "comes in a later release; --help says what it will do")
    return 2


if __name__ == "__main__":
    sys.exit(main())
