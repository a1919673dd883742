"""Anchors of remote inference: the photograph, scaled as for the network, goes over in a picture format.

    x ─without its grey border─▶ RGB uint8 (h, w, 3) ─store─▶ payload ─store─▶ RGB ─grey border─▶ x̂

What is coded is what the network would see, so that no byte is spent on resolution that it throws away.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image, features
from torch import Tensor
from torch.nn.functional import interpolate

from featcodec.bench.anchors.anchor import Calibration, Needs
from featcodec.bench.anchors.container import ANCHORS_VERSION, read_image, write_image
from featcodec.bench.anchors.ffmpeg import Intra, Planes, coded_side
from featcodec.errors import CoderError, ImageError
from featcodec.evaluation.coders import Shot
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import load_image, open_picture
from featcodec.pictures.pixels import pixels

__all__ = ["PictureAnchor", "PictureFile", "RemoteInference", "VideoIntra", "to_planes", "to_rgb"]

RGB: TypeAlias = NDArray[np.uint8]  # (h, w, 3)


class PictureStore(Protocol):
    """What makes bytes of a picture, and a picture of bytes again."""

    @property
    def identity(self) -> str: ...

    def missing(self) -> str | None: ...

    def encode(self, rgb: RGB, point: float) -> bytes: ...

    def decode(self, payload: bytes, height: int, width: int) -> RGB: ...


def to_planes(rgb: RGB, bits: int) -> Planes:
    """RGB (H, W, 3) with even sides to Y, Cb, Cr: BT.601, limited range, 4:2:0 by the mean of 2 x 2.

    Black to white is 16 to 235 of 8 bits, as ffmpeg has it by default: at full range a quantization
    parameter gives about 10 percent more bytes and 1 dB more, on the same curve. Chroma lies between four
    pixels, as in JPEG.

    Source: ITU-R BT.601-7, section 2.5.

    Example:
        >>> [p.tolist() for p in to_planes(np.full((2, 2, 3), 255, np.uint8), 10)]
        [[[940, 940], [940, 940]], [[512]], [[512]]]
    """
    one = 1 << (bits - 8)
    r, g, b = np.moveaxis(rgb / 255, 2, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    luma = one * (16 + 219 * y)
    cb, cr = (one * (128 + 224 * _halved(d)) for d in ((b - y) / 1.772, (r - y) / 1.402))
    whole = [np.rint(p).astype(np.uint16) for p in (luma, cb, cr)]
    return whole[0], whole[1], whole[2]


def to_rgb(planes: Planes, bits: int) -> RGB:
    """The inverse of `to_planes`, up to rounding; chroma is interpolated bilinearly."""
    one = 1 << (bits - 8)
    y = (planes[0] / one - 16) / 219
    cb, cr = (_doubled((p / one - 128) / 224) for p in planes[1:])
    b, r = y + 1.772 * cb, y + 1.402 * cr
    g = (y - 0.299 * r - 0.114 * b) / 0.587
    return pixels(torch.from_numpy(np.stack([r, g, b])))


def _halved(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = plane.shape
    blocks = plane.reshape(height // 2, 2, width // 2, 2)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _doubled(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    there = torch.from_numpy(plane)[None, None]
    doubled = interpolate(there, scale_factor=2, mode="bilinear", align_corners=False)
    return np.asarray(doubled[0, 0].numpy())


@dataclass(frozen=True, slots=True)
class VideoIntra:
    """A picture as one intra picture of a video coder; sides padded by replication."""

    intra: Intra

    @property
    def identity(self) -> str:
        return f"BT.601 limited range 4:2:0; {self.intra.identity}"

    def missing(self) -> str | None:
        """Why the coder cannot run here; None if it can."""
        return self.intra.missing()

    def encode(self, rgb: RGB, point: float) -> bytes:
        height, width = rgb.shape[:2]
        pad = (0, coded_side(height) - height), (0, coded_side(width) - width), (0, 0)
        return self.intra.encode(to_planes(np.pad(rgb, pad, mode="edge"), self.intra.bits), point)

    def decode(self, payload: bytes, height: int, width: int) -> RGB:
        planes = self.intra.decode(payload, coded_side(height), coded_side(width))
        return to_rgb(planes, self.intra.bits)[:height, :width]


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture as a file of a format that Pillow writes.

    Attributes:
        format: Pillow's name of it.
        module: of Pillow's that it needs, and the one that knows the library's version.
        options: of Pillow's `save`, but for the quality.
    """

    format: str
    module: str
    options: tuple[tuple[str, Any], ...]

    @property
    def identity(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options)
        return f"Pillow {PIL.__version__} {self.format} {features.version(self.module)}, {options}"

    def missing(self) -> str | None:
        """Why this format cannot be written here; None if it can."""
        if self.module in (*features.get_supported_modules(), *features.get_supported_codecs()):
            return None
        return f"this Pillow has no {self.format}: pip install -U 'featcodec[bench]'"

    def encode(self, rgb: RGB, point: float) -> bytes:
        stream = io.BytesIO()
        try:
            Image.fromarray(rgb).save(stream, self.format, quality=int(point), **dict(self.options))
        except (OSError, ValueError, KeyError) as error:
            raise CoderError(f"{self.format}: {error}") from error
        return stream.getvalue()

    def decode(self, payload: bytes, height: int, width: int) -> RGB:
        try:
            picture = open_picture(payload, max_pixels=height * width)
        except ImageError as error:
            raise CoderError(f"{self.format}: {error}") from error
        if picture.size != (width, height):
            raise CoderError(f"{self.format}: got {picture.size} pixels, expected {(width, height)}")
        return np.array(picture)


@dataclass(frozen=True, slots=True)
class PictureAnchor:
    """The picture, for the whole network at the other end: an `Anchor`.

    Attributes:
        name: such as ``"image-vvc"``.
        tag: first byte of its files.
        store: what makes bytes of it.
        points: operating points of `store`.
    """

    name: str
    tag: int
    store: PictureStore
    points: tuple[float, ...]
    needs: Needs = field(default="nothing", init=False)

    def missing(self) -> str | None:
        return self.store.missing()

    def coder(self, measured: Calibration) -> RemoteInference:  # noqa: ARG002
        return RemoteInference(self)


class RemoteInference:
    """The picture, coded.

    Args:
        anchor: how.
    """

    kind: Literal["image"] = "image"
    gives: Literal["canvas"] = "canvas"

    def __init__(self, anchor: PictureAnchor):
        self.name, self.tag, self.store, self.points = anchor.name, anchor.tag, anchor.store, anchor.points

    @property
    def identity(self) -> str:
        return f"{self.name}; version {ANCHORS_VERSION}; {self.store.identity}"

    def encode(self, shot: Shot, point: float) -> bytes:
        g = shot.geometry
        inside = shot.x[0, :, g.top : g.top + g.scaled_height, g.left : g.left + g.scaled_width]
        return write_image(self.tag, g, self.store.encode(pixels(inside), point))

    def decode(self, data: bytes) -> tuple[Tensor, Geometry]:
        geometry, payload = read_image(self.name, self.tag, data)
        height, width = geometry.scaled_height, geometry.scaled_width
        rgb = self.store.decode(payload, height, width)
        x, _ = load_image(rgb, size=max(height, width), stride=geometry.stride)
        return x, geometry
