"""One photograph: what thieves see of it in the files of several codecs, and in a JPEG of as many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from featcodec.attacks.targets import window
from featcodec.attacks.thief_file import ThiefFile
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.errors import InputError
from featcodec.evaluation.closeness import blind_psnr, decibels
from featcodec.networks.torch_state import inference
from featcodec.pictures.boxes import Boxes
from featcodec.pictures.pixels import Pixels, pixels, unit_floats
from featcodec.pictures.small_jpeg import SmallJpeg, jpeg_within
from featcodec.plf.bitstream import DEFAULT_LIMITS, Limits, parse

__all__ = ["Comparison", "RebuiltFile", "compare"]


@dataclass(frozen=True, slots=True)
class RebuiltFile:
    """A ``.plf`` file of the photograph, and what its codec's thief makes of it.

    Attributes:
        codec: its name.
        thief: that rebuilt it.
        quality, bytes: of the file.
        picture: (H, W, 3) uint8, at the canvas's resolution, without borders.
        psnr: dB, of that against the photograph at the same resolution.
    """

    codec: str
    thief: ThiefFile
    quality: float
    bytes: int
    picture: Pixels
    psnr: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is seen of one photograph.

    Attributes:
        photograph: RGB, upright, in its own size.
        boxes: found through the file given, in its pixels.
        given: the file given, rebuilt.
        others: files of other codecs for the same network, each of no more bytes than the one given, or of
            quality 1 where that takes more.
        jpeg: the best of no more bytes than the file given; None where none is that small.
        jpeg_psnr: dB, of it, as `RebuiltFile.psnr`; NaN where there is none.
        blind_psnr: dB, of the photograph's mean colour.
    """

    photograph: Image.Image
    boxes: Boxes
    given: RebuiltFile
    others: tuple[RebuiltFile, ...]
    jpeg: SmallJpeg | None
    jpeg_psnr: float
    blind_psnr: float

    @property
    def rebuilt(self) -> tuple[RebuiltFile, ...]:
        """All files, the one that most is rebuilt of first."""
        return tuple(sorted((self.given, *self.others), key=lambda one: -one.psnr))


@inference()
def compare(
    photograph: Image.Image,
    data: bytes,
    codec: FeatureCodec,
    thief: ThiefFile,
    *,
    others: Sequence[tuple[FeatureCodec, ThiefFile]] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Comparison:
    """Rebuilds a photograph from its file, and from files of other codecs that are made of it here.

    Args:
        photograph: upright.
        data: the ``.plf`` file that was made of it.
        codec, thief: of that file; the codec with its network, which finds the boxes.
        others: codecs with their networks, and their thieves.
        limits: of the file.

    Raises:
        InputError: the file is not of a picture of the photograph's size, or the codec has no detector.
        BitstreamError, ModelMismatchError: as `ThiefFile.rebuild`.
    """
    header = parse(data, limits=limits).header
    if photograph.size != (header.width, header.height):
        got, expected = (f"{w} x {h}" for w, h in (photograph.size, (header.width, header.height)))
        raise InputError(f"got {got} pixels, expected {expected}, the size of the picture encoded")
    x, geometry = codec.file.config.canvas.load(photograph)
    truth = x[0][window(geometry)]
    small = Image.fromarray(pixels(truth))
    jpeg = jpeg_within(small, len(data))
    return Comparison(
        photograph,
        codec.detect(data, limits=limits),
        _rebuilt(data, codec, thief, truth, limits),
        tuple(_rebuilt(_within(c, photograph, len(data)), c, t, truth, limits) for c, t in others),
        jpeg,
        float("nan") if jpeg is None else _psnr(np.asarray(jpeg.picture), truth),
        blind_psnr(truth),
    )


def _within(codec: FeatureCodec, photograph: Image.Image, most: int) -> bytes:
    """The codec's best file of so many bytes; of quality 1 where that has more."""
    smallest = codec.encode(photograph, quality=1)
    return smallest if len(smallest) > most else codec.encode(photograph, target_bytes=most)


def _rebuilt(
    data: bytes, codec: FeatureCodec, thief: ThiefFile, truth: Tensor, limits: Limits
) -> RebuiltFile:
    picture = thief.rebuild(codec, data, limits=limits)
    if picture.shape[:2] != truth.shape[1:]:
        got, expected = (f"{w} x {h}" for h, w in (picture.shape[:2], truth.shape[1:]))
        raise InputError(f"got a file of {got} pixels on its canvas, expected {expected}")
    quality = parse(data, limits=limits).header.quality
    return RebuiltFile(codec.name, thief, quality, len(data), picture, _psnr(picture, truth))


def _psnr(picture: Pixels, truth: Tensor) -> float:
    """dB, of pixels (H, W, 3) against (3, H, W) in [0, 1]."""
    levels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return float(decibels((unit_floats(levels) - truth).double().square().mean()))
