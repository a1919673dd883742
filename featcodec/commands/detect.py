"""``featcodec detect``: boxes of ``.plf`` files, and of pictures, which are encoded in memory first."""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.commands.options import (
    Subparsers,
    add_codec,
    add_command,
    add_json,
    add_limits,
    add_network,
    codec_for,
    codec_of,
    fraction,
    limits_of,
    path,
)
from featcodec.console import (
    MAX_INPUT,
    STANDARD,
    about,
    aligned,
    check_output,
    identities,
    read_input,
    show,
    show_json,
    write_output,
)
from featcodec.errors import InputError
from featcodec.files import printable
from featcodec.plf.bitstream import Limits, parse
from featcodec.plf.header import Header

if TYPE_CHECKING:
    from PIL import Image

    from featcodec.codec.feature_codec import FeatureCodec
    from featcodec.pictures.boxes import Boxes

__all__ = ["add_parser", "run"]

DRAWINGS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def add_parser(subparsers: Subparsers) -> None:
    """Add ``detect`` to the command line."""
    command = add_command(
        subparsers,
        "detect",
        run,
        help="a .plf file to boxes",
        description="Prints label, score and the corners x1 y1 x2 y2 in pixels of the original photograph, "
        "one line a box, best first.",
    )
    command.add_argument(
        "file",
        type=path,
        metavar="FILE",
        help="a .plf file, or a picture, which is first encoded in memory; - is standard input",
    )
    command.add_argument(
        "--confidence", type=fraction, metavar="S", help="least score; default: the codec's own"
    )
    command.add_argument(
        "--draw",
        type=_drawing_name,
        metavar="OUT",
        help="draw the boxes: OUT.png, .jpg or .webp. A .plf holds no picture, which is the point of it: "
        "they are drawn on plain grey unless --on gives the photograph. Scaled down to 4 megapixels",
    )
    command.add_argument("--on", type=path, metavar="PHOTO", help="the photograph that --draw draws on")
    add_codec(command, "default: found by the fingerprint in the file; street for a picture")
    add_network(command)
    add_limits(command)
    add_json(command)


def _drawing_name(text: str) -> str:
    suffix = Path(text).suffix.lower()
    if suffix not in DRAWINGS:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a name in {', '.join(DRAWINGS)}")
    return text


@dataclass(frozen=True, slots=True)
class _Source:
    """What boxes are looked for in: a ``.plf`` and, where one was given, the photograph it is made of."""

    codec: FeatureCodec
    data: bytes
    header: Header
    photo: bytes | None


def run(arguments: argparse.Namespace) -> int:
    """Find boxes; show them, and draw them if asked to."""
    if arguments.on is not None and arguments.draw is None:
        arguments.refuse("argument --on: expected --draw with it")
    if arguments.draw is not None:
        check_output(arguments.draw, identities([arguments.file, arguments.on or STANDARD]))
    limits = limits_of(arguments)
    source = _source(arguments, limits)
    ground = _ground(arguments, source, limits) if arguments.draw is not None else None
    with about(arguments.file):
        features = source.codec.decode(source.data, limits=limits)
        if arguments.confidence is None:
            arguments.confidence = source.codec.confidence
        boxes = source.codec.detect(features, confidence=arguments.confidence)
    if ground is not None:
        _draw(arguments.draw, ground, boxes, source.header)
    if arguments.json:
        show_json([_detected(arguments, source, boxes)])
    else:
        _show_boxes(arguments, boxes)
    return 0


def _source(arguments: argparse.Namespace, limits: Limits) -> _Source:
    """Read a ``.plf`` file, or make one of a picture."""
    data = read_input(arguments.file, MAX_INPUT)
    if b"PLF" in data[:6]:  # sound, or with one of the damages that the parser can name
        with about(arguments.file):
            header = parse(data, limits=limits).header  # before torch is imported, which takes seconds
        return _Source(codec_for(header, arguments.file, arguments), data, header, None)
    codec = codec_of(arguments.codec, network=arguments.network, weights=arguments.weights)
    with about(arguments.file):
        coded = codec.encode(data, max_pixels=limits.max_pixels)
        return _Source(codec, coded, parse(coded, limits=limits).header, data)


def _ground(arguments: argparse.Namespace, source: _Source, limits: Limits) -> Image.Image:
    """What to draw on: the photograph, if there is one, or plain grey.

    Raises:
        InputError: the photograph is not the one that was encoded.
    """
    from featcodec.pictures.drawing import canvas
    from featcodec.pictures.loading import open_picture

    size = source.header.width, source.header.height
    name, photo = arguments.file, source.photo
    if arguments.on is not None:
        name, photo = arguments.on, read_input(arguments.on, MAX_INPUT)
    if photo is None:
        return canvas(*size)
    with about(name):
        picture = open_picture(photo, max_pixels=limits.max_pixels)
        if picture.size != size:
            got, expected = (f"{width} x {height}" for width, height in (picture.size, size))
            raise InputError(f"got {got} pixels, expected {expected}, the size of the picture encoded")
    return canvas(*size, picture)


def _draw(path: str, ground: Image.Image, boxes: Boxes, header: Header) -> None:
    from featcodec.pictures.drawing import draw_boxes

    drawn = draw_boxes(ground, boxes, photograph=(header.width, header.height))
    buffer = io.BytesIO()
    drawn.save(buffer, DRAWINGS[Path(path).suffix.lower()], quality=90)
    write_output(path, buffer.getvalue())


def _detected(arguments: argparse.Namespace, source: _Source, boxes: Boxes) -> dict[str, object]:
    """What ``detect --json`` shows; names and units here are an interface."""
    header = source.header
    return {
        "file": arguments.file,
        "bytes": len(source.data),
        "codec": header.codec,
        "fingerprint": header.fingerprint.hex(),
        "quality": header.quality,
        "width": header.width,
        "height": header.height,
        "confidence": arguments.confidence,
        "boxes": [asdict(box) for box in boxes],
        "drawing": arguments.draw,
    }


def _show_boxes(arguments: argparse.Namespace, boxes: Boxes) -> None:
    rows = []
    for box in boxes:
        corners = " ".join(f"{corner:8.1f}" for corner in (box.x1, box.y1, box.x2, box.y2))
        rows.append((printable(box.label), f"{box.score:.2f}", corners))
    for line in aligned(rows, "<>>"):
        show(line)
    if not boxes and sys.stderr is not None:  # nothing at all would leave it open whether it worked
        print(f"no box with a score of {arguments.confidence:g} or more", file=sys.stderr)
