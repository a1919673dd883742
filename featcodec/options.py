"""Command-line options for what a reader accepts: one for each of the `Limits`. Standard library only."""

from __future__ import annotations

import argparse
from dataclasses import fields

from featcodec.bitstream import DEFAULT_LIMITS, Limits
from featcodec.terminal import positive

__all__ = ["add_limits", "add_max_pixels", "limits_of"]

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
