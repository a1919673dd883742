"""``plf map``: where in the picture, and in which channels, the bits went; as a picture or as numbers."""

from __future__ import annotations

import argparse
import io
from typing import TYPE_CHECKING

from featcodec.commands.options import Subparsers, add_json, limits_of
from featcodec.commands.plf.options import add_codec, add_command, add_file
from featcodec.console import STANDARD, check_output, identities, show, show_json, write_output
from featcodec.errors import InputError
from featcodec.files import printable
from featcodec.inspect.report import load

if TYPE_CHECKING:
    from featcodec.inspect.rate import Rate
    from featcodec.inspect.symbols import Decoded

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``map`` to the command line."""
    command = add_command(
        subparsers,
        run,
        "map",
        "draw where in the picture, and in which channels, the bits went",
        "Draws the bits of each latent position, summed over the channels, on the plane of the picture, and "
        "the bits of each channel. The bits of side information are spread over the positions that it speaks "
        "for.",
        "plf map street.plf -o bits.png",
        check=_check,
    )
    add_file(command)
    command.add_argument("-o", "--output", metavar="OUT.png", help="the drawing; - is standard output")
    add_json(command, "the numbers, as one JSON object")
    add_codec(command)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.output is None and not arguments.json:
        arguments.refuse("expected -o OUT.png, --json or both")


def run(arguments: argparse.Namespace) -> int:
    """Decode one file and draw where its bits went."""
    if arguments.output == STANDARD and arguments.json:
        raise InputError("standard output: got --json and -o -, expected one of them")
    if arguments.output is not None:
        check_output(arguments.output, identities([arguments.file]))
    report = load(arguments.file, limits_of(arguments))
    from featcodec.inspect.rate import rate
    from featcodec.inspect.symbols import decode_checked

    decoded = decode_checked(report, arguments.codec)
    bits = rate(decoded)
    if arguments.output is not None:
        from featcodec.inspect.heatmap import draw_map

        buffer = io.BytesIO()
        draw_map(decoded, bits).save(buffer, "PNG", optimize=True)
        write_output(arguments.output, buffer.getvalue())
    if arguments.json:
        show_json([_as_json(decoded, bits, arguments.output)])
    elif arguments.output != STANDARD:
        show(f"{printable(arguments.output)}: {bits.ideal / 8:,.1f} bytes of symbols on the picture")
    return 0


def _as_json(decoded: Decoded, bits: Rate, drawing: str | None) -> dict[str, object]:
    """What ``--json`` shows; names and units here are an interface."""
    return {
        "file": decoded.report.path,
        "unit": "bits",
        "payload_bits": bits.payload,
        "ideal_bits": bits.ideal,
        "latent_stride": decoded.codec.config.latent_stride,
        "positions": bits.positions.round(3).tolist(),
        "y_channels": bits.y.bits.sum((1, 2)).round(3).tolist(),
        "z_channels": bits.z.bits.sum((1, 2)).round(3).tolist(),
        "drawing": drawing,
    }
