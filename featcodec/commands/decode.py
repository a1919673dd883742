"""``featcodec decode``: a ``.plf`` file to an array."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from featcodec.commands.options import (
    Subparsers,
    add_codec,
    add_command,
    add_json,
    add_limits,
    decoder_for,
    limits_of,
    path,
    symbol_codec_for,
)
from featcodec.console import (
    STANDARD,
    about,
    check_output,
    identities,
    read_input,
    show,
    show_json,
    write_output,
)
from featcodec.errors import InputError
from featcodec.files import npy, npz, printable
from featcodec.inspect.report import header_as_json
from featcodec.plf.bitstream import Bitstream, parse

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        help="NumPy file (.npy) for float32 (1, C, h, w), or archive (.npz) of each tensor that crosses the "
        "cut, by its name, in the shape that the network gives it; - is standard output",
    )
    command.add_argument(
        "--latents",
        action="store_true",
        help="the decoded latents instead of the features made from them; needs no torch",
    )
    add_codec(command, "default: found by the fingerprint in the file")
    add_limits(command)
    add_json(command, "one JSON object: the array's shape, and the file's header and metadata")


def run(arguments: argparse.Namespace) -> int:
    """Decode one file to an array."""
    limits = limits_of(arguments)
    if arguments.json and arguments.output == STANDARD:
        raise InputError("standard output: got --json and -o -, expected one of them")
    check_output(arguments.output, identities([arguments.file]))
    with about(arguments.file):
        data = read_input(arguments.file, limits.max_file)
        stream = parse(data, limits=limits)  # before torch is imported, which takes seconds
    tensors = {}
    if arguments.latents:
        decoded = _latents(stream, arguments)
    else:
        codec = decoder_for(stream.header, arguments.file, arguments.codec)
        with about(arguments.file):
            features = codec.decode(data, limits=limits)
        decoded = features.numpy()
        if arguments.output.endswith(".npz"):
            tensors = {name: tensor.numpy() for name, tensor in codec.unpack(features).items()}
    write_output(arguments.output, npz(tensors) if tensors else npy(decoded))
    what, shape = "latents" if arguments.latents else "features", tuple(decoded.shape)
    if arguments.json:
        show_json([_as_json(arguments, stream, what, shape)])
    elif arguments.output != STANDARD:
        sides = " x ".join(map(str, shape))
        show(f"{printable(arguments.output)}: {sides} {what}, float32, codec {stream.header.codec}")
    return 0


def _latents(stream: Bitstream, arguments: argparse.Namespace) -> NDArray[Any]:
    """The decoded latents (1, M, h, w), without torch."""
    codec = symbol_codec_for(stream.header, arguments.file, arguments.codec)
    with about(arguments.file):
        symbols = codec.decode_symbols(stream, limits=limits_of(arguments))
    return codec.latent_array(symbols, stream.header.quality_step)[None]


def _as_json(
    arguments: argparse.Namespace, stream: Bitstream, what: str, shape: tuple[int, ...]
) -> dict[str, object]:
    """What ``decode --json`` shows; names and units here are an interface."""
    return {
        "file": arguments.file,
        "output": arguments.output,
        "array": what,
        "shape": shape,
        "dtype": "float32",
        **header_as_json(stream.header),
        "metadata": stream.metadata,
    }
