"""``featcodec rebuild``: what a thief makes of a ``.plf`` file, alone or on a sheet beside the photograph."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from featcodec.commands.drawings import as_file, drawing_name
from featcodec.commands.options import (
    Subparsers,
    add_codec,
    add_command,
    add_json,
    add_limits,
    add_network,
    add_thief,
    codec_for,
    codec_of,
    decoder_for,
    limits_of,
    path,
)
from featcodec.console import (
    MAX_INPUT,
    STANDARD,
    about,
    check_output,
    identities,
    read_input,
    show,
    show_json,
    write_output,
)
from featcodec.files import printable
from featcodec.inspect.report import header_as_json
from featcodec.plf.bitstream import parse
from featcodec.plf.header import Header

if TYPE_CHECKING:
    from PIL import Image

    from featcodec.attacks.comparison import Comparison
    from featcodec.attacks.thief_file import ThiefFile
    from featcodec.codec.feature_codec import FeatureCodec

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``rebuild`` to the command line."""
    command = add_command(
        subparsers,
        "rebuild",
        run,
        help="what a thief of a .plf file makes of the picture behind it",
        description="Rebuilds the picture from the file alone, by a network that was trained to do so on "
        "other photographs. It is given as the network saw it: scaled down to the codec's canvas (416 pixels "
        "at the longest side, of the embedded codecs), without its grey borders. The thief that comes with a "
        "codec is a narrow one; what stronger attackers reach, and whom they tell apart without rebuilding "
        "anything, is shown with it.",
    )
    command.add_argument(
        "file",
        type=path,
        metavar="FILE",
        help="a .plf file, or a picture, which is first encoded in memory; - is standard input",
    )
    command.add_argument(
        "-o", "--output", required=True, type=drawing_name, metavar="OUT", help="OUT.png, .jpg or .webp"
    )
    command.add_argument(
        "--compare",
        type=path,
        metavar="PHOTO",
        help="the photograph that the file was made of: write a sheet of it with the boxes found through the "
        "file, of what thieves rebuild of this file and of files of no more bytes of the other embedded "
        "codecs for the same network, and of the best JPEG of no more bytes",
    )
    add_thief(command)
    add_codec(command, "default: found by the fingerprint in the file; the default codec for a picture")
    add_network(command)
    add_limits(command)
    add_json(command, "one JSON object: the file's header, and all that is known of the thief")


def run(arguments: argparse.Namespace) -> int:
    """Rebuild one file, or draw the sheet."""
    photo = arguments.compare
    check_output(
        arguments.output, identities([arguments.file, photo or STANDARD, arguments.thief or STANDARD])
    )
    data, header, codec = _source(arguments)
    thief = _thief(arguments, header)
    found = None if photo is None else _comparison(arguments, data, codec, thief)
    with about(arguments.file):
        picture = _rebuilt(arguments, data, codec, thief) if found is None else _sheet(found)
    write_output(arguments.output, as_file(arguments.output, picture))
    if arguments.json:
        show_json([_as_json(arguments, header, thief, picture, found)])
    else:
        _show(arguments, header, thief, picture, found)
    return 0


def _source(arguments: argparse.Namespace) -> tuple[bytes, Header, FeatureCodec]:
    """The ``.plf`` file, read or made of a picture, and its codec; with its network where that is needed."""
    limits = limits_of(arguments)
    data = read_input(arguments.file, MAX_INPUT)
    if b"PLF" not in data[:6]:
        codec = codec_of(arguments.codec, network=arguments.network, weights=arguments.weights)
        with about(arguments.file):
            data = codec.encode(data, max_pixels=limits.max_pixels)
            return data, parse(data, limits=limits).header, codec
    with about(arguments.file):
        header = parse(data, limits=limits).header  # before torch is imported: takes seconds
    if arguments.compare is not None:
        return data, header, codec_for(header, arguments.file, arguments)
    return data, header, decoder_for(header, arguments.file, arguments.codec)


def _thief(arguments: argparse.Namespace, header: Header) -> ThiefFile:
    from featcodec.attacks.thief_file import ThiefFile
    from featcodec.attacks.thieves import thief_for

    if arguments.thief is not None:
        return ThiefFile.load(arguments.thief)
    with about(arguments.file):
        return thief_for(header)


def _rebuilt(
    arguments: argparse.Namespace, data: bytes, codec: FeatureCodec, thief: ThiefFile
) -> Image.Image:
    from PIL import Image

    return Image.fromarray(thief.rebuild(codec, data, limits=limits_of(arguments)))


def _comparison(
    arguments: argparse.Namespace, data: bytes, codec: FeatureCodec, thief: ThiefFile
) -> Comparison:
    from featcodec.attacks.comparison import compare
    from featcodec.attacks.thieves import others_of_network
    from featcodec.pictures.loading import open_picture

    limits = limits_of(arguments)
    with about(arguments.compare):
        photograph = open_picture(read_input(arguments.compare, MAX_INPUT), max_pixels=limits.max_pixels)
        others = others_of_network(codec.file)
        return compare(photograph, data, codec, thief, others=others, limits=limits)


def _sheet(found: Comparison) -> Image.Image:
    from featcodec.attacks.comparison_sheet import sheet

    return sheet(found)


def _show(
    arguments: argparse.Namespace,
    header: Header,
    thief: ThiefFile,
    picture: Image.Image,
    found: Comparison | None,
) -> None:
    from featcodec.attacks.thief_words import identity_words, reached_words, training_words

    size = f"{printable(arguments.output)}: {picture.width} x {picture.height} px"
    if found is None:
        show(f"{size}, rebuilt from a file of codec {header.codec} at quality {header.quality:g}")
    else:
        show(f"{size}, a sheet of {len(found.rebuilt) + 2} pictures")
        for one in found.rebuilt:
            of = f"{one.codec}, quality {one.quality:g}, {one.bytes:,} bytes"
            show(f"{of}: {one.psnr:.2f} dB; the mean colour alone: {found.blind_psnr:.2f} dB")
    show(f"{training_words(thief)}.")
    show(f"{reached_words(thief, header.quality)}.")
    show(f"{identity_words(thief, header.quality)}.")


def _as_json(
    arguments: argparse.Namespace,
    header: Header,
    thief: ThiefFile,
    picture: Image.Image,
    found: Comparison | None,
) -> dict[str, object]:
    """What ``rebuild --json`` shows; names and units here are an interface."""
    from featcodec.evaluation.plain_json import to_plain

    out = {
        "file": arguments.file,
        "output": arguments.output,
        "output_width": picture.width,
        "output_height": picture.height,
        **header_as_json(header),
        "thief": {"weights": thief.weights, **to_plain(thief.record, {})},
    }
    if found is None:
        return out
    files = [
        {"codec": o.codec, "quality": o.quality, "bytes": o.bytes, "psnr": round(o.psnr, 2)}
        for o in found.rebuilt
    ]
    jpeg = found.jpeg
    small = None if jpeg is None else {
        "bytes": len(jpeg.data),
        "width": jpeg.width,
        "height": jpeg.height,
        "quality": jpeg.quality,
        "psnr": round(found.jpeg_psnr, 2),
    }  # fmt: skip
    about_it = {"boxes": len(found.boxes), "blind_psnr": round(found.blind_psnr, 2)}
    return out | {"compared": {**about_it, "rebuilt": files, "jpeg": small}}
