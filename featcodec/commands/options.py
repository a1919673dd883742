"""Command-line options and types of arguments that several commands share, and what the options ask for.

Standard library only, until a codec is loaded: a mistake on the command line should show at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias

from featcodec.codec.effort import DEFAULT_EFFORT, EFFORTS
from featcodec.console import STANDARD, about, positive
from featcodec.plf.bitstream import DEFAULT_LIMITS, Limits
from featcodec.plf.header import Header, quality_to_step

if TYPE_CHECKING:
    from torch import nn

    from featcodec.codec.feature_codec import FeatureCodec
    from featcodec.codec.symbol_codec import SymbolCodec

__all__ = [
    "MODEL",
    "Subparsers",
    "add_codec",
    "add_command",
    "add_effort",
    "add_json",
    "add_limits",
    "add_max_pixels",
    "add_network",
    "add_saying",
    "add_thief",
    "codec_for",
    "codec_of",
    "decoder_for",
    "fraction",
    "limits_of",
    "minutes",
    "path",
    "qualities",
    "quality",
    "steps",
    "symbol_codec_for",
    "weight",
]

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

MODEL = (
    "yolox-nano, whose official weights are embedded; with random weights, or those of --weights, "
    "yolox-tiny, s, m, l or x, yolov5n, s, m, l or x, torchvision:NAME or timm:NAME; a file with weights of "
    "a YOLOX, also ONNX, or a YOLOv5; or MODULE:CALLABLE of your own, which imports and thereby runs MODULE"
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
    "max_memory": "most bytes of memory that decoding may take",
}


# ---- options


def add_command(
    subparsers: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    check: Callable[[argparse.Namespace], None] | None = None,
    **options: Any,
) -> argparse.ArgumentParser:
    """Add a command to a program.

    Args:
        subparsers: of the program.
        name: of the command.
        run: does the work.
        check: finds options that do not go together, before; `arguments.refuse` ends with a message, as
            the parser does.
        options: of the parser, as `argparse` has them.
    """
    command = subparsers.add_parser(name, allow_abbrev=False, **options)
    command.set_defaults(run=run, check=check or (lambda _: None), refuse=command.error)
    return command


def add_json(command: argparse._ActionsContainer, what: str = "one JSON object") -> None:
    """Add ``--json``."""
    command.add_argument("--json", action="store_true", help=what)


def add_saying(command: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--verbose``."""
    saying = command.add_mutually_exclusive_group()
    saying.add_argument("--quiet", action="store_true", help="say nothing but what went wrong")
    saying.add_argument("-v", "--verbose", action="store_true", help="say more, on standard error")


def add_codec(command: argparse.ArgumentParser, default: str) -> None:
    """Add ``--codec``."""
    command.add_argument(
        "--codec",
        metavar="CODEC",
        help=f"name of an embedded codec, path of a codec file, or hf://owner/name on the hub; {default}",
    )


def add_network(command: argparse.ArgumentParser) -> None:
    """Add ``--network`` and ``--weights``, for codecs whose owner brings the network."""
    command.add_argument(
        "--network",
        metavar="MODEL",
        help="for a codec that comes without its network: the network, as for featcodec layers",
    )
    command.add_argument("--weights", type=path, metavar="FILE", help="weights of that network, by name")


def add_thief(command: argparse.ArgumentParser) -> None:
    """Add ``--thief``."""
    command.add_argument(
        "--thief",
        type=path,
        metavar="THIEF",
        help="a thief file, as featcodec attack --embed writes it; default: the one embedded for the codec",
    )


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


def add_effort(command: argparse._ActionsContainer) -> None:
    """Add ``--effort``, of an encoder."""
    command.add_argument(
        "--effort",
        type=int,
        choices=EFFORTS,
        default=DEFAULT_EFFORT,
        help="how hard the encoder searches for bytes to save: 0 rounds, 1 weighs bits against errors, 2 and "
        "3 run decoder and network 8 and 40 times (default: %(default)s)",
    )


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


# ---- codecs


def codec_of(codec: str | None, *, network: str | None = None, weights: str | None = None) -> FeatureCodec:
    """The codec of ``--codec``, the default one without it, with the network of ``--network``, if given."""
    from featcodec import zoo

    return zoo.load(zoo.DEFAULT if codec is None else codec, network=_network(network, weights))


def codec_for(header: Header, file: str, arguments: argparse.Namespace) -> FeatureCodec:
    """The codec asked for, else the one that a file wants, with the network of ``--network``, if given."""
    if arguments.codec is not None:
        return codec_of(arguments.codec, network=arguments.network, weights=arguments.weights)
    from featcodec import zoo

    with about(file):
        return zoo.for_header(header, network=_network(arguments.network, arguments.weights))


def decoder_for(header: Header, file: str, codec: str | None) -> FeatureCodec:
    """As `codec_for`, but without the network, which nobody needs to decode."""
    from featcodec import zoo

    if codec is not None:
        return zoo.decoder(codec)
    with about(file):
        return zoo.decoder_for(header)


def symbol_codec_for(header: Header, file: str, codec: str | None) -> SymbolCodec:
    """As `decoder_for`, what of it decodes to symbols and latents, without torch."""
    from featcodec import zoo

    if codec is not None:
        return zoo.symbol_codec(codec)
    with about(file):
        return zoo.symbol_codec_for(header)


def _network(network: str | None, weights: str | None) -> nn.Module | None:
    """The network of ``--network``."""
    if network is None:
        return None
    from featcodec.networks.by_name import network_by_name

    return network_by_name(network, weights=weights)


# ---- types of arguments


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


def fraction(text: str) -> float:
    """For argparse: a number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 0 to 1")
    return number


fraction.__name__ = "number"


def quality(text: str) -> float:
    """For argparse: a quality."""
    try:
        number = float(text)
        quality_to_step(number)
    except ValueError as error:  # InputError is one
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 1 to 8") from error
    return number


def qualities(text: str) -> tuple[float, ...]:
    """For argparse: qualities, parted by commas."""
    return tuple(sorted({quality(part) for part in text.split(",")}))
