"""Command-line options and types of arguments that several commands share. Standard library only."""

from __future__ import annotations

import argparse
from dataclasses import fields

from featcodec.console import STANDARD, positive
from featcodec.plf.bitstream import DEFAULT_LIMITS, Limits

__all__ = ["MODEL", "add_limits", "add_max_pixels", "limits_of", "minutes", "path", "steps", "weight"]

MODEL = (
    "yolov5n, s, m, l or x; a file with weights of YOLOv5; torchvision:NAME; timm:NAME; or MODULE:CALLABLE "
    "of your own, which imports and thereby runs MODULE"
)
# By these names the streams could not be reopened as files; also, what goes there must not be printed, too.
_STREAMS = {"/dev/stdin": STANDARD, "/dev/stdout": STANDARD}

_HELP = {
    "max_pixels": "largest picture to accept, width times height",
    "max_latents": "most latents to decode, rows times columns",
    "max_payload": "most bytes of entropy-coded data",
    "max_metadata": "most bytes of metadata",
    "max_sections": "most sections",
    "max_file": "largest file to read, in bytes",
}


def add_limits(command: argparse.ArgumentParser) -> None:
    """Add an option for each limit, with the default of the library.

    Example:
        >>> command = argparse.ArgumentParser()
        >>> add_limits(command)
        >>> limits_of(command.parse_args(["--max-file", "5000"])).max_file
        5000
    """
    group = command.add_argument_group("limits", "A file beyond one of them is refused before it is decoded.")
    for field in fields(Limits):
        _add(group, field.name)


def add_max_pixels(command: argparse.ArgumentParser) -> None:
    """Add the one limit that a reader of pictures has."""
    _add(command, "max_pixels")


def limits_of(arguments: argparse.Namespace) -> Limits:
    """Return what the options of `add_limits` were set to."""
    return Limits(**{field.name: getattr(arguments, field.name) for field in fields(Limits)})


def _add(command: argparse._ActionsContainer, name: str) -> None:
    command.add_argument(
        f"--{name.replace('_', '-')}",
        type=positive,
        default=getattr(DEFAULT_LIMITS, name),
        metavar="N",
        help=f"{_HELP[name]} (default: %(default)s)",
    )


def path(text: str) -> str:
    """For argparse: a path, or ``-``."""
    if not text:  # most likely a variable of the shell that was never set; as a path it means this folder
        raise argparse.ArgumentTypeError("got '', expected a path")
    return _STREAMS.get(text, text)


def minutes(text: str) -> float:
    """For argparse: minutes, above 0."""
    number = float(text)
    if not 0 < number < 1e5:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of minutes")
    return number


minutes.__name__ = "number"


def steps(text: str) -> int:
    """For argparse: a number of steps, 0 included."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of at least 0")
    return number


steps.__name__ = "number of steps"


def weight(text: str) -> float:
    """For argparse: a number of at least 0."""
    number = float(text)
    if not 0 <= number < 1e9:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of at least 0")
    return number


weight.__name__ = "number"
