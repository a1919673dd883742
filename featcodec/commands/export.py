"""``featcodec export``: a codec's encoder to a folder that encodes without torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from featcodec.commands.options import Subparsers, add_command, add_json, add_network, codec_of, path
from featcodec.console import show, show_json
from featcodec.errors import needing_torch
from featcodec.files import check_folder, printable

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``export`` to the command line."""
    command = add_command(
        subparsers,
        "export",
        run,
        help="a codec's encoder for a device, which needs no torch there",
        description="Writes what encoding needs of a codec to a folder: the network's head, g_a and h_a as "
        "an ONNX graph, which is compared with torch first, and the integers that encoders and decoders "
        "share. featcodec encode --edge FOLDER, or featcodec.edge.Encoder, encodes with it on a device that "
        "has featcodec[edge]. The files decode as any other.",
    )
    command.add_argument("codec", metavar="CODEC", help="name of an embedded codec or path of a codec file")
    command.add_argument(
        "-o", "--output", required=True, type=path, metavar="FOLDER", help="a missing folder is made"
    )
    add_network(command)
    add_json(command)


def run(arguments: argparse.Namespace) -> int:
    """Export one codec."""
    with needing_torch():
        from featcodec.edge.export import export
    from featcodec.edge.folder import FILES

    codec = codec_of(arguments.codec, network=arguments.network, weights=arguments.weights)
    check_folder(arguments.output)
    export(codec, arguments.output)
    sizes = {name: Path(arguments.output, name).stat().st_size for name in FILES}
    if arguments.json:
        shown = {"output": arguments.output, "codec": codec.name, "fingerprint": codec.fingerprint.hex()}
        show_json([{**shown, "files": sizes}])
    else:
        total = f"{len(sizes)} files, {sum(sizes.values()):,} bytes"
        show(f"{printable(arguments.output)}: {total}, encodes for codec {codec.name}")
    return 0
