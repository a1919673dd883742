"""``featcodec layers``: the places where a network can be cut, and what a cut there costs."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featcodec.commands.options import MODEL, Subparsers, add_command, add_json, path
from featcodec.console import aligned, positive, show, show_json
from featcodec.errors import FeatcodecError, InputError

if TYPE_CHECKING:
    from featcodec.networks.survey import Layer

__all__ = ["add_parser", "run"]


@dataclass(frozen=True, slots=True)
class _Found:
    """The layers to list, and what their figures compare with."""

    layers: list[Layer]
    input_shape: tuple[int, ...]
    flops: int

    @property
    def input_bytes(self) -> int:
        return math.prod(self.input_shape)


def add_parser(subparsers: Subparsers) -> None:
    """Add ``layers`` to the command line."""
    command = add_command(
        subparsers,
        "layers",
        run,
        help="list where a network can be cut",
        description="Runs a network once on a picture of noise and lists the layers after which it can be "
        "cut: what crosses there, its stride in pixels, what the part before it computes (multiplying and "
        "adding are two operations), and the bytes of the uncoded features at 8 bit, beside the input's.",
    )
    command.add_argument("model", metavar="MODEL", help=MODEL)
    command.add_argument("--weights", type=path, metavar="FILE", help="weights of the network, by name")
    command.add_argument(
        "--size", type=positive, default=224, metavar="N", help="sides of the picture; default 224"
    )
    command.add_argument(
        "--all",
        action="store_true",
        help="every layer; without it one for each cut where a map or tokens cross, or what a layer returns "
        "several of",
    )
    add_json(command)


def run(arguments: argparse.Namespace) -> int:
    """List where a network can be cut."""
    found = _find(arguments)
    if arguments.json:
        show_json([_as_json(arguments.model, found)])
        return 0
    shape = " x ".join(map(str, found.input_shape[1:]))
    show(f"{arguments.model}: input {shape}, {found.input_bytes:,} bytes, {found.flops / 1e9:.2f} GFLOP")
    rows = [_row(layer, found) for layer in found.layers]
    head = ("layer", "crosses", "stride", "head GFLOP", "of all", "bytes", "of input", "")
    for line in aligned([head, *rows], "<<>>>>><"):
        show(line)
    return 0


def _find(arguments: argparse.Namespace) -> _Found:
    from featcodec.networks.by_name import network_by_name
    from featcodec.networks.packing import Packing
    from featcodec.networks.split import example_picture
    from featcodec.networks.survey import distinct, survey

    network = network_by_name(arguments.model, weights=arguments.weights)
    picture = example_picture(network, arguments.size)
    try:
        seen = survey(network, (picture,))
    except FeatcodecError as error:
        raise InputError(f"{arguments.model}: {error}; --size gives another size") from error
    chosen = list(seen.layers)
    if not arguments.all:
        chosen = distinct(
            layer
            for layer in chosen
            if layer.single or (layer.own and Packing.takes(layer.shapes, arguments.size))
        )
    return _Found(chosen, tuple(picture.shape), seen.flops)


def _row(layer: Layer, found: _Found) -> tuple[str, ...]:
    one = len(layer.shapes) == 1
    return (
        layer.name,
        " x ".join(map(str, layer.shapes[0][1:])) if one else f"{len(layer.shapes)} tensors",
        "" if layer.stride is None else f"{layer.stride:g}",
        f"{layer.flops / 1e9:.2f}",
        f"{layer.flops / max(found.flops, 1):.0%}",
        f"{layer.numbers:,}",
        f"{layer.numbers / found.input_bytes:.2f}",
        layer.obstacle or ("" if one else ", ".join(layer.crossing)),
    )


def _as_json(model: str, found: _Found) -> dict[str, object]:
    """What ``layers --json`` shows; names and units here are an interface."""
    return {
        "model": model,
        "input_shape": found.input_shape,
        "input_bytes": found.input_bytes,
        "flops": found.flops,
        "layers": [
            {
                "name": layer.name,
                "crossing": layer.crossing,
                "shapes": layer.shapes,
                "stride": layer.stride,
                "head_flops": layer.flops,
                "bytes": layer.numbers,
                "bytes_of_input": layer.numbers / found.input_bytes,
                "obstacle": layer.obstacle,
            }
            for layer in found.layers
        ],
    }
