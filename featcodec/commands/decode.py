"""``featcodec decode``: a ``.plf`` file to an array."""

from __future__ import annotations

import argparse

from featcodec.commands.options import (
    Subparsers,
    add_codec,
    add_command,
    add_limits,
    decoder_for,
    limits_of,
    path,
)
from featcodec.console import STANDARD, about, check_output, identities, read_input, show, write_output
from featcodec.files import npy, printable
from featcodec.plf.bitstream import parse

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``decode`` to the command line."""
    command = add_command(subparsers, "decode", run, help="a .plf file to features")
    command.add_argument("file", type=path, metavar="FILE", help="a .plf file; - is standard input")
    command.add_argument(
        "-o",
        "--output",
        required=True,
        type=path,
        metavar="OUT",
        help="NumPy file (.npy) for float32 (1, C, h, w); - is standard output",
    )
    command.add_argument(
        "--latents", action="store_true", help="the decoded latents instead of the features made from them"
    )
    add_codec(command, "default: found by the fingerprint in the file")
    add_limits(command)


def run(arguments: argparse.Namespace) -> int:
    """Decode one file to an array."""
    limits = limits_of(arguments)
    check_output(arguments.output, identities([arguments.file]))
    with about(arguments.file):
        data = read_input(arguments.file, limits.max_file)
        header = parse(data, limits=limits).header  # before torch is imported, which takes seconds
    codec = decoder_for(header, arguments.file, arguments.codec)
    with about(arguments.file):
        if arguments.latents:
            decoded, _ = codec.decode_latents(data, limits=limits)
        else:
            decoded = codec.decode(data, limits=limits)
    write_output(arguments.output, npy(decoded.numpy()))
    if arguments.output != STANDARD:
        what, shape = "latents" if arguments.latents else "features", " x ".join(map(str, decoded.shape))
        show(f"{printable(arguments.output)}: {shape} {what}, float32, codec {header.codec}")
    return 0
