"""What the ``featcodec`` command does, each of its commands a function from parsed arguments to an exit code.

All but ``encode``, which has a module of its own: `featcodec.commands.folders`.
Torch and what needs it is imported only where the arguments, the output and the framing of the input are
found to be good: that takes seconds, and a mistake should show at once.
"""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.commands.options import limits_of
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
from featcodec.files import printable
from featcodec.plf.bitstream import Limits, parse
from featcodec.plf.header import Header

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

    from featcodec.codec.feature_codec import FeatureCodec
    from featcodec.pictures.boxes import Boxes

__all__ = ["DRAWINGS", "MAX_INPUT", "decode", "detect", "load_codec", "zoo"]

DRAWINGS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
MAX_INPUT = 2**30  # bytes of a picture


# ---- decode


def decode(arguments: argparse.Namespace) -> int:
    """Decode one file to an array."""
    limits = limits_of(arguments)
    check_output(arguments.output, identities([arguments.file]))
    with about(arguments.file):
        data = read_input(arguments.file, limits.max_file)
        header = parse(data, limits=limits).header  # before torch is imported, which takes seconds
    codec = _decoder_for(header, arguments)
    with about(arguments.file):
        if arguments.latents:
            decoded, _ = codec.decode_latents(data, limits=limits)
        else:
            decoded = codec.decode(data, limits=limits)
    write_output(arguments.output, _npy(decoded))
    if arguments.output != STANDARD:
        what, shape = "latents" if arguments.latents else "features", " x ".join(map(str, decoded.shape))
        show(f"{printable(arguments.output)}: {shape} {what}, float32, codec {header.codec}")
    return 0


def _npy(tensor: Tensor) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, tensor.numpy(), allow_pickle=False)
    return buffer.getvalue()


# ---- detect


@dataclass(frozen=True, slots=True)
class _Source:
    """What boxes are looked for in: a ``.plf`` and, where one was given, the photograph it is made of."""

    codec: FeatureCodec
    data: bytes
    header: Header
    photo: bytes | None


def detect(arguments: argparse.Namespace) -> int:
    """Find boxes; show them, and draw them if asked to."""
    if arguments.draw is not None:
        check_output(arguments.draw, identities([arguments.file, arguments.on or STANDARD]))
    limits = limits_of(arguments)
    source = _source(arguments, limits)
    ground = _ground(arguments, source, limits) if arguments.draw is not None else None
    with about(arguments.file):
        _ = source.codec.detector  # without a network there is nothing to decode for
        features = source.codec.decode(source.data, limits=limits)
        if arguments.confidence is None:
            arguments.confidence = source.codec.confidence
        boxes = source.codec.detect(features, confidence=arguments.confidence, limits=limits)
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
        return _Source(_codec_for(header, arguments), data, header, None)
    codec = load_codec(arguments.codec, network=arguments.network, weights=arguments.weights)
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
    wide = max((len(printable(box.label)) for box in boxes), default=0)
    for box in boxes:
        corners = " ".join(f"{corner:8.1f}" for corner in (box.x1, box.y1, box.x2, box.y2))
        show(f"{printable(box.label):<{wide}}  {box.score:.2f}  {corners}")
    if not boxes and sys.stderr is not None:  # nothing at all would leave it open whether it worked
        print(f"no box with a score of {arguments.confidence:g} or more", file=sys.stderr)


# ---- zoo


def zoo(arguments: argparse.Namespace) -> int:
    """List the embedded codecs."""
    from featcodec import zoo as codecs

    found = [_embedded(name) for name in codecs.names()]
    if arguments.json:
        show_json(found, several=True)
        return 0
    for codec in found:
        show(f"{codec['name']}{' (default)' if codec['default'] else ''}: {codec['description']}")
        show(f"  {codec['network']} cut at layer {codec['at']}, {codec['classes']} classes")
        brought = "" if codec["has_network"] else "; its owner brings the network: --network"
        show(f"  {codec['bytes']:,} bytes, fingerprint {codec['fingerprint']}{brought}")
    return 0


def _embedded(name: str) -> dict[str, object]:
    """What ``zoo --json`` shows of a codec; names and units here are an interface."""
    from featcodec import zoo as codecs
    from featcodec.codec.codec_file import CodecFile

    path = codecs.path(name)
    file = CodecFile.load(path)
    network = file.config.network
    return {
        "name": name,
        "fingerprint": file.fingerprint.hex(),
        "bytes": path.stat().st_size,
        "network": str(network),
        "at": network.at,
        "classes": None if network.classes is None else len(network.classes),
        "description": file.config.description,
        "default": name == codecs.DEFAULT,
        "has_network": file.has_network,
    }


# ---- shared


def load_codec(codec: str | None, *, network: str | None = None, weights: str | None = None) -> FeatureCodec:
    """The codec of ``--codec``, the default one without it, with the network of ``--network``, if given."""
    from featcodec import zoo as codecs

    return codecs.load(codecs.DEFAULT if codec is None else codec, network=_brought(network, weights))


def _brought(network: str | None, weights: str | None) -> nn.Module | None:
    """The network of ``--network``."""
    if network is None:
        return None
    from featcodec.networks.by_name import network_by_name

    return network_by_name(network, weights=weights)


def _codec_for(header: Header, arguments: argparse.Namespace) -> FeatureCodec:
    """The codec asked for, else the one that the file wants, with the network of ``--network``, if given."""
    if arguments.codec is not None:
        return load_codec(arguments.codec, network=arguments.network, weights=arguments.weights)
    from featcodec import zoo as codecs

    with about(arguments.file):
        return codecs.for_header(header, network=_brought(arguments.network, arguments.weights))


def _decoder_for(header: Header, arguments: argparse.Namespace) -> FeatureCodec:
    """As `_codec_for`, but without the network, which nobody needs to decode."""
    from featcodec import zoo as codecs

    if arguments.codec is not None:
        return codecs.decoder(arguments.codec)
    with about(arguments.file):
        return codecs.decoder_for(header)
