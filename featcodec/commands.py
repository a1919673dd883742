"""What the ``featcodec`` command does, each of its commands a function from parsed arguments to an exit code.

Torch and what needs it is imported only where the arguments, the output and the framing of the input are
found to be good: that takes seconds, and a mistake should show at once.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.bitstream import Limits, parse
from featcodec.errors import FeatcodecError, InputError
from featcodec.files import printable
from featcodec.header import Header
from featcodec.terminal import (
    STANDARD,
    Progress,
    about,
    check_output,
    complain,
    read_input,
    show,
    write_output,
)

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from featcodec.backbones.detection import Boxes
    from featcodec.codec import FeatureCodec

__all__ = ["DRAWINGS", "decode", "detect", "encode", "zoo"]

DRAWINGS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_MAX_INPUT = 2**30  # bytes of a picture


# ---- encode


@dataclass(frozen=True, slots=True)
class _Encoded:
    """What ``encode --json`` shows of one picture; names and units here are an interface."""

    file: str
    output: str
    bytes: int
    bpp: float
    quality: float
    codec: str
    fingerprint: str
    width: int
    height: int

    def __str__(self) -> str:
        rate = f"{self.bpp:.2f}" if self.bpp >= 0.1 else f"{self.bpp:.2g}"
        return (
            f"{printable(self.output)}: {self.bytes:,} bytes, {rate} bpp, "
            f"quality {self.quality:g}, codec {self.codec}"
        )


def _encoded(image: str, target: str, data: bytes) -> _Encoded:
    header = parse(data).header
    return _Encoded(
        file=image,
        output=target,
        bytes=len(data),
        bpp=8 * len(data) / (header.width * header.height),
        quality=header.quality,
        codec=header.codec,
        fingerprint=header.fingerprint.hex(),
        width=header.width,
        height=header.height,
    )


def encode(arguments: argparse.Namespace) -> int:
    """Encode each picture; a bad one does not keep the others."""
    plan = _plan(arguments.images, arguments.output)
    if arguments.json and STANDARD in plan.values():
        raise InputError("standard output: got --json and -o -, expected one of them")
    codec = _load_codec(arguments.codec)
    done: list[_Encoded] = []
    with Progress(len(plan)) as progress:
        for number, (image, target) in enumerate(plan.items()):
            progress.show(number, image)
            try:
                data = _encode_one(codec, image, arguments)
                write_output(target, data)
            except FeatcodecError as error:
                progress.clear()
                complain("featcodec", error)
                continue
            done.append(_encoded(image, target, data))
            if target != STANDARD and not arguments.json:
                progress.clear()
                show(str(done[-1]))
    if arguments.json:
        _show_json([asdict(one) for one in done], several=len(plan) > 1)
    return 0 if len(done) == len(plan) else 1


def _encode_one(codec: FeatureCodec, image: str, arguments: argparse.Namespace) -> bytes:
    with about(image):
        return codec.encode(
            read_input(image, _MAX_INPUT) if image == STANDARD else image,
            quality=arguments.quality,
            target_bytes=arguments.target_bytes,
            metadata=arguments.metadata,
        )


def _plan(images: list[str], output: str) -> dict[str, str]:
    """Where the file of each picture goes; whatever would go wrong there is found now, before the work.

    Raises:
        InputError: two files would go to the same place, one onto a picture, or one where nothing can be.
    """
    plan = _plan_folder(images, output) if _is_folder(images, output) else {images[0]: output}
    for target in plan.values():
        check_output(target, images)
    return plan


def _is_folder(images: list[str], output: str) -> bool:
    if len(images) > 1 or output.endswith(tuple(s for s in (os.sep, os.altsep) if s)):
        return True
    with suppress(OSError, ValueError):  # closed to us, or too long a name: check_output says so
        return Path(output).is_dir()
    return False


def _plan_folder(images: list[str], folder: str) -> dict[str, str]:
    if folder == STANDARD:
        raise InputError(f"standard output: got {len(images)} pictures, expected one; or give -o FOLDER/")
    if STANDARD in images:
        raise InputError(f"standard input: has no name to go by in {folder}; give a file: -o OUT.plf")
    targets = [str(Path(folder, f"{Path(image).stem}.plf")) for image in images]
    taken: dict[str, str] = {}
    for image, target in zip(images, targets, strict=True):
        key = os.path.normcase(target)
        if key in taken:
            raise InputError(f"{target}: got {taken[key]} and {image}, expected one picture for each name")
        taken[key] = image
    try:
        Path(folder).mkdir(exist_ok=True)  # not its parents: those are more likely mistyped
    except (OSError, ValueError) as error:  # FileExistsError: it is a file
        raise InputError(f"{folder}: {getattr(error, 'strerror', error)}, expected a folder") from error
    return dict(zip(images, targets, strict=True))


# ---- decode


def decode(arguments: argparse.Namespace) -> int:
    """Decode one file to an array."""
    limits = Limits(max_pixels=arguments.max_pixels)
    check_output(arguments.output, [arguments.file])
    with about(arguments.file):
        data = read_input(arguments.file, limits.max_file)
        header = parse(data, limits=limits).header  # before torch is imported, which takes seconds
    codec = _codec_for(header, arguments)
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
        check_output(arguments.draw, [arguments.file, arguments.on or STANDARD])
    limits = Limits(max_pixels=arguments.max_pixels)
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
        _show_json([_detected(arguments, source, boxes)])
    else:
        _show_boxes(arguments, boxes)
    return 0


def _source(arguments: argparse.Namespace, limits: Limits) -> _Source:
    """Read a ``.plf`` file, or make one of a picture."""
    data = read_input(arguments.file, _MAX_INPUT)
    if b"PLF" in data[:6]:  # sound, or with one of the damages that the parser can name
        with about(arguments.file):
            header = parse(data, limits=limits).header  # before torch is imported, which takes seconds
        return _Source(_codec_for(header, arguments), data, header, None)
    codec = _load_codec(arguments.codec)
    with about(arguments.file):
        coded = codec.encode(data)
        return _Source(codec, coded, parse(coded, limits=limits).header, data)


def _ground(arguments: argparse.Namespace, source: _Source, limits: Limits) -> Image.Image:
    """What to draw on: the photograph, if there is one, or plain grey.

    Raises:
        InputError: the photograph is not the one that was encoded.
    """
    from featcodec.draw import canvas
    from featcodec.images import open_picture

    size = source.header.width, source.header.height
    name, photo = arguments.file, source.photo
    if arguments.on is not None:
        name, photo = arguments.on, read_input(arguments.on, _MAX_INPUT)
    if photo is None:
        return canvas(*size)
    with about(name):
        picture = open_picture(photo, max_pixels=limits.max_pixels)
        if picture.size != size:
            got, expected = (f"{width} x {height}" for width, height in (picture.size, size))
            raise InputError(f"got {got} pixels, expected {expected}, the size of the picture encoded")
    return canvas(*size, picture)


def _draw(path: str, ground: Image.Image, boxes: Boxes, header: Header) -> None:
    from featcodec.draw import draw_boxes

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
        _show_json(found, several=True)
        return 0
    for codec in found:
        show(f"{codec['name']}{' (default)' if codec['default'] else ''}: {codec['description']}")
        show(f"  {codec['network']} cut at layer {codec['at']}, {codec['classes']} classes")
        show(f"  {codec['bytes']:,} bytes, fingerprint {codec['fingerprint']}")
    return 0


def _embedded(name: str) -> dict[str, object]:
    """What ``zoo --json`` shows of a codec; names and units here are an interface."""
    from featcodec import zoo as codecs
    from featcodec.checkpoint import CodecFile

    path = codecs.path(name)
    file = CodecFile.load(path)
    network = file.config.network
    return {
        "name": name,
        "fingerprint": file.fingerprint.hex(),
        "bytes": path.stat().st_size,
        "network": f"{network.family}{network.scale}",
        "at": network.at,
        "classes": len(network.classes),
        "description": file.config.description,
        "default": name == codecs.DEFAULT,
    }


# ---- shared


def _load_codec(codec: str | None) -> FeatureCodec:
    from featcodec import zoo as codecs

    return codecs.load(codecs.DEFAULT if codec is None else codec)


def _codec_for(header: Header, arguments: argparse.Namespace) -> FeatureCodec:
    """The codec asked for, else the one that the file wants."""
    if arguments.codec is not None:
        return _load_codec(arguments.codec)
    from featcodec import zoo as codecs

    with about(arguments.file):
        return codecs.for_header(header)


def _show_json(found: Sequence[Mapping[str, object]], *, several: bool = False) -> None:
    """One object, if there is one; a list of any length where several were asked for."""
    if several:
        show(json.dumps(found, indent=2))
    elif found:
        show(json.dumps(found[0], indent=2))
