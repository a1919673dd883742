"""The command line of ``featcodec fit``. Standard library only."""

from __future__ import annotations

import argparse

from featcodec.commands.options import MODEL, minutes, path, steps, weight
from featcodec.console import positive

__all__ = ["add_fit"]


def add_fit(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser(
        "fit",
        help="fit a codec to a network of your own",
        description="Cuts a network, whose weights stay as they are, and fits a codec to what crosses there: "
        "as few bits as possible for what the rest of the network computes, without labels. The same command "
        "goes on with a fit that was interrupted. It needs the extra featcodec[fit]; see docs/fitting.md.",
        allow_abbrev=False,
    )
    command.add_argument("model", nargs="?", metavar="MODEL", help=MODEL)
    command.add_argument("--weights", type=path, metavar="FILE", help="weights of the network, by name")
    command.add_argument("--at", metavar="LAYER", help="the layer to cut after; featcodec layers lists them")
    command.add_argument("--images", type=path, metavar="FOLDER", help="photographs, in subfolders, too")
    command.add_argument("--coco", type=path, metavar="JSON", help="only the pictures that it names")
    command.add_argument(
        "-o", "--output", required=True, type=path, metavar="OUT.safetensors", help="the codec file"
    )
    command.add_argument(
        "--work", type=path, metavar="FOLDER",
        help="checkpoint, log and plot go here; an interrupted fit goes on from here (default: OUT.fit)",
    )  # fmt: skip
    command.add_argument(
        "--config", type=path, metavar="FILE",
        help="JSON or TOML with settings by name, such as the fit.json of an earlier run; what the command "
        "line says counts more",
    )  # fmt: skip
    _add_settings(command)
    command.set_defaults(run=_run)


def _add_settings(command: argparse.ArgumentParser) -> None:
    budget = command.add_mutually_exclusive_group()
    budget.add_argument(
        "--steps", type=steps, metavar="N",
        help="default: 2000; 0: the codec in closed form that training starts from",
    )  # fmt: skip
    budget.add_argument("--minutes", type=minutes, metavar="M", help="as many steps as that takes, about")
    command.add_argument("--size", type=positive, metavar="N", help="longest side of pictures; default: 256")
    command.add_argument("--batch", type=positive, metavar="N", help="pictures a step; default: 8")
    command.add_argument(
        "--privacy", type=weight, metavar="W", help="weight of hiding the picture; default: 0, no adversary"
    )
    command.add_argument(
        "--quality-weights", type=weight, nargs=2, metavar=("Q1", "Q8"),
        help="weights of the task at quality 1 and 8, against bits per pixel; default: 0.3 30",
    )  # fmt: skip
    command.add_argument(
        "--task", choices=("outputs", "features"), help="what to keep; default: outputs of the network"
    )
    command.add_argument(
        "--start", metavar="CODEC", action="append",
        help="name or file of a codec whose weights the fit starts from; of several, from their mean",
    )  # fmt: skip
    command.add_argument("--adversaries", type=positive, metavar="N", help="default: 1")
    command.add_argument("--name", metavar="NAME", help="of the codec; default: OUT")
    command.add_argument("--seed", type=int, metavar="N", help="default: 1")
    command.add_argument(
        "--workers", type=int, metavar="N", help="processes that prepare pictures; default: 0"
    )
    command.add_argument("--device", metavar="DEVICE", help="cpu or cuda; default: cpu")
    command.add_argument("--devices", type=positive, metavar="N", help="processes, each with its own device")


def _run(arguments: argparse.Namespace) -> int:
    from featcodec.commands.fit import run

    return run(arguments)
