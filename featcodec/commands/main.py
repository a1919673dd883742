"""The ``featcodec`` command: pictures to ``.plf`` files, and what can be had from those.

    featcodec encode street.jpg -o street.plf          featcodec encode photos/ -o coded/
    featcodec decode street.plf -o street.npy          featcodec detect street.plf --draw boxes.png
    featcodec attack street --train photos/ --eval other-photos/ --work attack/
    featcodec layers torchvision:resnet18              featcodec zoo
    featcodec fit torchvision:resnet18 --at layer2 --images photos/ -o mine.safetensors

Exit codes as `featcodec.console` says. Here is the command line; `featcodec.commands.codec_commands`
does the work.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from featcodec import __version__
from featcodec.attacks import ATTACKERS
from featcodec.commands import codec_commands as commands
from featcodec.commands import folders as batch
from featcodec.commands import layers
from featcodec.commands.fit_arguments import add_fit
from featcodec.commands.options import MODEL, add_limits, add_max_pixels, minutes, path
from featcodec.console import positive, run_command
from featcodec.errors import InputError
from featcodec.files import printable
from featcodec.plf.bitstream import VERSION
from featcodec.plf.header import quality_to_step
from featcodec.plf.metadata import serialize_metadata
from featcodec.plf.strict_json import JsonProblem, decode_json

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the ``featcodec`` command.

    Args:
        argv: arguments after the program name; those of the process if omitted.

    Returns:
        The exit code.

    Raises:
        SystemExit: as `argparse` does, after ``--help``, ``--version`` and wrong command lines.

    Example:
        >>> main(["decode", "missing.plf", "-o", "features.npy"])
        1
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        parser.print_help(sys.stderr)
        return 2
    if getattr(arguments, "on", None) is not None and arguments.draw is None:
        parser.error("argument --on: expected --draw with it")
    faces, model = getattr(arguments, "faces", None), getattr(arguments, "face_model", None)
    if (faces is None) != (model is None):
        parser.error("arguments --faces and --face-model: got one of them, expected both or none")
    with warnings.catch_warnings():
        # A sound picture needs no comment, and about one that is not there is to be one line.
        warnings.filterwarnings("ignore", module="PIL")
        return run_command("featcodec", lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="featcodec",
        description="A learned feature codec: a picture to the few bytes that a vision network needs of it.",
        epilog="plf shows what is in a .plf file; featcodec-bench compares codecs.",
        allow_abbrev=False,
    )
    version = f"featcodec {__version__}, .plf format version {VERSION}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    parser.set_defaults(run=None)
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for add in (_add_encode, _add_decode, _add_detect, _add_layers, add_fit, _add_attack, _add_zoo):
        add(subparsers)
    return parser


def _add_encode(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser(
        "encode",
        help="pictures to .plf files",
        description="Encodes pictures, and folders of them. A run into a folder that was interrupted goes on "
        "when it is started again: a file that is there is kept if it is sound, not older than its picture, "
        "and of the codec, quality, metadata and picture size that it would get.",
        allow_abbrev=False,
    )
    command.add_argument(
        "images",
        nargs="+",
        type=path,
        metavar="IMAGE",
        help="a picture, or a folder with pictures; - is standard input",
    )
    command.add_argument(
        "-o",
        "--output",
        required=True,
        type=path,
        metavar="OUT",
        help="the .plf file; - is standard output. Several pictures, a folder of them, or one where OUT is a "
        "folder or ends with a slash, go to OUT/NAME.plf each; a missing folder is made",
    )
    command.add_argument(
        "-r", "--recursive", action="store_true", help="subfolders, too; they are the same below OUT"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="encode again what a run before has finished"
    )
    size = command.add_mutually_exclusive_group()
    size.add_argument(
        "-q", "--quality", type=_quality, metavar="Q", help="1 (smallest) to 8 (largest); default 4"
    )
    size.add_argument(
        "--target-bytes", type=positive, metavar="N", help="the best quality of at most N bytes a file"
    )
    _add_codec(command, "default: street")
    _add_network(command)
    command.add_argument(
        "--metadata", type=_metadata, metavar="JSON", help='to carry along, such as {"camera": 7}'
    )
    add_max_pixels(command)
    command.add_argument(
        "--json", action="store_true", help="one JSON object; a list for several pictures or a folder"
    )
    command.set_defaults(run=batch.encode)


def _add_decode(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser("decode", help="a .plf file to features", allow_abbrev=False)
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
    _add_codec(command, "default: found by the fingerprint in the file")
    add_limits(command)
    command.set_defaults(run=commands.decode)


def _add_detect(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser(
        "detect",
        help="a .plf file to boxes",
        description="Prints label, score and the corners x1 y1 x2 y2 in pixels of the original photograph, "
        "one line a box, best first.",
        allow_abbrev=False,
    )
    command.add_argument(
        "file",
        type=path,
        metavar="FILE",
        help="a .plf file, or a picture, which is first encoded in memory; - is standard input",
    )
    command.add_argument(
        "--confidence", type=_fraction, metavar="S", help="least score; default: the codec's own"
    )
    command.add_argument(
        "--draw",
        type=_drawing,
        metavar="OUT",
        help="draw the boxes: OUT.png, .jpg or .webp. A .plf holds no picture, which is the point of it: "
        "they are drawn on plain grey unless --on gives the photograph. Scaled down to 4 megapixels",
    )
    command.add_argument("--on", type=path, metavar="PHOTO", help="the photograph that --draw draws on")
    _add_codec(command, "default: found by the fingerprint in the file; street for a picture")
    _add_network(command)
    add_limits(command)
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.set_defaults(run=commands.detect)


def _add_layers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser(
        "layers",
        help="list where a network can be cut",
        description="Runs a network once on a picture of noise and lists the layers after which it can be "
        "cut: what crosses there, its stride in pixels, what the part before it computes (multiplying and "
        "adding are two operations), and the bytes of the uncoded features at 8 bit, beside the input's.",
        allow_abbrev=False,
    )
    command.add_argument("model", metavar="MODEL", help=MODEL)
    command.add_argument("--weights", type=path, metavar="FILE", help="weights of the network, by name")
    command.add_argument(
        "--size", type=positive, default=224, metavar="N", help="sides of the picture; default 224"
    )
    command.add_argument(
        "--all",
        action="store_true",
        help="every layer; without it one for each cut where a single tensor of 4 dimensions crosses",
    )
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.set_defaults(run=layers.layers)


def _add_attack(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser(
        "attack",
        help="what a thief of the files could rebuild of the pictures",
        description="Attacks codecs: networks trained from scratch rebuild pictures from latents, and a "
        "search looks for the picture with the codec's own weights. The strongest attacker counts. It takes "
        "long, and goes on where it was interrupted. It needs the extra featcodec[bench].",
        allow_abbrev=False,
    )
    command.add_argument(
        "codecs", nargs="+", metavar="CODEC", help="name of an embedded codec or path of a codec file"
    )
    _add_network(command)
    command.add_argument(
        "--train", required=True, action="append", type=path, metavar="FOLDER",
        help="photographs that the attackers train on; several times for several folders",
    )  # fmt: skip
    command.add_argument(
        "--eval", required=True, type=path, metavar="FOLDER", help="other photographs, that are measured"
    )
    command.add_argument(
        "--quality", type=_qualities, default=(2.0, 4.0, 8.0), metavar="Q,Q", help="default: 2,4,8"
    )
    command.add_argument(
        "--attackers", type=_attackers, default=ATTACKERS, metavar="A,A",
        help=f"default: {','.join(ATTACKERS)}",
    )  # fmt: skip
    command.add_argument(
        "--photographs", type=positive, default=2000, metavar="N",
        help="train on so many of them at most (default: %(default)s)",
    )  # fmt: skip
    budget = command.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=positive, metavar="N", help="of each training")
    budget.add_argument("--minutes", type=minutes, metavar="M", help="of each training, about")
    command.add_argument(
        "--faces",
        type=path,
        metavar="FOLDER",
        help="LFW pairs, to recognise faces; with --face-model",
    )
    command.add_argument(
        "--face-model", type=path, metavar="ONNX", help="the network that recognises; with --faces"
    )
    command.add_argument(
        "--work", type=path, default="featcodec-attack", metavar="FOLDER",
        help="what is collected and learned goes here, and is used again (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--gallery", type=path, metavar="OUT.png", help="draw what the strongest attackers rebuilt"
    )
    command.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.set_defaults(run=_attack)


def _attack(arguments: argparse.Namespace) -> int:
    from featcodec.commands.attack import run

    return run(arguments)


def _add_zoo(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subparsers.add_parser("zoo", help="list the embedded codecs", allow_abbrev=False)
    command.add_argument("--json", action="store_true", help="a list of JSON objects")
    command.set_defaults(run=commands.zoo)


def _add_codec(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--codec", metavar="CODEC", help=f"name of an embedded codec or path of a codec file; {default}"
    )


def _add_network(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--network",
        metavar="MODEL",
        help="for a codec that comes without its network: the network, as for featcodec layers",
    )
    command.add_argument("--weights", type=path, metavar="FILE", help="weights of that network, by name")


def _quality(text: str) -> float:
    try:
        quality = float(text)
        quality_to_step(quality)
    except ValueError as error:  # InputError is one
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 1 to 8") from error
    return quality


def _qualities(text: str) -> tuple[float, ...]:
    return tuple(sorted({_quality(part) for part in text.split(",")}))


def _attackers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(ATTACKERS):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected some of {','.join(ATTACKERS)}")
    return names


def _fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 0 to 1")
    return number


_fraction.__name__ = "number"


def _metadata(text: str) -> dict[str, object]:
    try:
        metadata = decode_json(text.encode(errors="surrogateescape"))
        if not isinstance(metadata, dict):
            raise argparse.ArgumentTypeError(f"got {type(metadata).__name__}, expected a JSON object")
        serialize_metadata(metadata)  # for the format to say whether a .plf can hold it
    except (JsonProblem, InputError) as error:
        raise argparse.ArgumentTypeError(printable(str(error))) from error
    return metadata


def _drawing(text: str) -> str:
    suffix = Path(text).suffix.lower()
    if suffix not in commands.DRAWINGS:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a name in {', '.join(commands.DRAWINGS)}")
    return text


if __name__ == "__main__":
    sys.exit(main())
