"""Anchors that send what crosses the cut: 8-bit features or latents, as a tiled grey picture or by zstandard.

    f (1, C, h, w) ─quantize─▶ uint8 (C, h, w) ─store─▶ payload ─store─▶ uint8 ─dequantize─▶ f̂
    f ─g_a─▶ y ┘               (bottleneck: latents instead)                         ŷ ─g_s─▶ f̂

Source: the anchors of Azizian and Bajić 2022 (arXiv:2210.00727), section IV: 8 bits, channels tiled to one
grey picture, VVC intra by VVenC "faster".
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featcodec.bench.anchors.anchor import Calibration, Needs, Range
from featcodec.bench.anchors.container import ANCHORS_VERSION, LARGEST, Tiles, read_features, write_features
from featcodec.bench.anchors.ffmpeg import Intra, coded_side
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.errors import CoderError, InputError, MissingExtraError
from featcodec.evaluation.coders import Shot
from featcodec.networks.torch_state import inference
from featcodec.pictures.geometry import Geometry

__all__ = [
    "BottleneckFeatures",
    "FeatureAnchor",
    "LatentAnchor",
    "RawFeatures",
    "Tiled",
    "Zstandard",
    "dequantize",
    "measure_range",
    "quantize",
    "tile",
    "untile",
]

Bytes3: TypeAlias = NDArray[np.uint8]  # (C, h, w)


def measure_range(tensors: Iterable[Tensor], *, clipped: float = 0.05) -> Range:
    """The range that the anchors' 8 bits span: all but the farthest values of calibration pictures.

    Of 0, 0.01, 0.03, 0.05, 0.1, 0.3 and 1 percent, 0.05 gave the neck of YOLOv5s (cut after layer 4, 448 px)
    the least error at 28 and 40 KB a picture by ``raw-vvc``, on held-out training pictures; at 20 KB 0.01 was
    7 percent better. At 28 KB 0.1 costs a sixth more error, 0.3 a third.

    Args:
        tensors: features (1, C, h, w) or latents of some 64 training pictures, never of evaluated ones;
            4 bytes a value are held.
        clipped: percent of the values beyond each end of the range.

    Returns:
        The percentiles `clipped` and 100 - `clipped`, as float32 holds them.

    Raises:
        InputError: no values, values that are not finite, or all the same.

    Example:
        >>> measure_range([torch.arange(2001.0)])
        (1.0, 1999.0)
    """
    values = [t.detach().flatten().to(torch.float32).numpy() for t in tensors]
    flat = np.concatenate(values) if values else np.zeros(0, np.float32)
    if flat.size == 0 or not np.isfinite(flat).all():
        raise InputError(f"range: got {flat.size} values, not all finite, expected some finite values")
    low, high = (float(np.float32(v)) for v in np.percentile(flat, (clipped, 100 - clipped)))
    if not low < high:
        raise InputError(f"range: got values that are all {low}, expected different ones")
    return low, high


def quantize(values: Tensor, low: float, high: float) -> Bytes3:
    """Features (1, C, h, w), clipped to the range and rounded to the nearest of 256 levels.

    Raises:
        CoderError: values that are not finite.

    Example:
        >>> quantize(torch.tensor([-1.0, 0.0, 0.003, 1.0, 2.0]).reshape(1, 5, 1, 1), 0.0, 1.0).ravel()
        array([  0,   0,   1, 255, 255], dtype=uint8)
    """
    if not bool(torch.isfinite(values).all()):
        raise CoderError("features: got values that are not finite")
    levels = (values[0].detach().double().clamp(low, high) - low) * (255 / (high - low))
    return levels.round().to(torch.uint8).numpy()


def dequantize(levels: Bytes3, low: float, high: float) -> Tensor:
    """Levels (C, h, w) to features (1, C, h, w), float32."""
    return (torch.from_numpy(levels.astype(np.float64)) * ((high - low) / 255) + low).float()[None]


def tile(levels: Bytes3, columns: int) -> NDArray[np.uint8]:
    """Channels (C, h, w) as one picture (C / columns * h, columns * w), row by row."""
    channels, h, w = levels.shape
    rows = channels // columns
    return levels.reshape(rows, columns, h, w).transpose(0, 2, 1, 3).reshape(rows * h, columns * w)


def untile(picture: NDArray[np.uint8], tiles: Tiles) -> Bytes3:
    """The inverse of `tile`."""
    rows = tiles.channels // tiles.columns
    split = picture.reshape(rows, tiles.height, tiles.columns, tiles.width).transpose(0, 2, 1, 3)
    return split.reshape(tiles.channels, tiles.height, tiles.width)


def _columns(channels: int) -> int:
    """Of the most square tiling that leaves no gap, wide rather than high: 128 channels as 16 x 8."""
    rows = max(n for n in range(1, math.isqrt(channels) + 1) if channels % n == 0)
    return channels // rows


class FeatureStore(Protocol):
    """What makes bytes of levels, and levels of bytes again."""

    @property
    def identity(self) -> str: ...

    def missing(self) -> str | None: ...

    def encode(self, levels: Bytes3, columns: int, point: float) -> bytes: ...

    def decode(self, payload: bytes, tiles: Tiles) -> Bytes3: ...


@dataclass(frozen=True, slots=True)
class Tiled:
    """Levels as the luma of one picture, chroma flat; 8 bits shifted up where the coder has more."""

    intra: Intra

    @property
    def identity(self) -> str:
        return f"tiled; {self.intra.identity}"

    def missing(self) -> str | None:
        """Why the coder cannot run here; None if it can."""
        return self.intra.missing()

    def encode(self, levels: Bytes3, columns: int, point: float) -> bytes:
        picture = tile(levels, columns)
        height, width = picture.shape
        pad = (0, coded_side(height) - height), (0, coded_side(width) - width)
        luma = np.pad(picture, pad, mode="edge").astype(np.uint16) * np.uint16(1 << (self.intra.bits - 8))
        flat = np.full((luma.shape[0] // 2, luma.shape[1] // 2), 1 << (self.intra.bits - 1), np.uint16)
        return self.intra.encode((luma, flat, flat), point)

    def decode(self, payload: bytes, tiles: Tiles) -> Bytes3:
        height, width = tiles.channels // tiles.columns * tiles.height, tiles.columns * tiles.width
        luma, _, _ = self.intra.decode(payload, coded_side(height), coded_side(width))
        shift = self.intra.bits - 8
        rounded = (luma[:height, :width].astype(np.uint32) + ((1 << shift) >> 1)) >> shift
        return untile(np.minimum(rounded, 255).astype(np.uint8), tiles)


@dataclass(frozen=True, slots=True)
class Zstandard:
    """Levels channel by channel, lossless.

    Attributes:
        level: of zstandard's, 1 to 22.
    """

    level: int = 19

    @property
    def identity(self) -> str:
        import zstandard

        return f"zstandard {'.'.join(map(str, zstandard.ZSTD_VERSION))}, level {self.level}"

    def missing(self) -> str | None:
        """Why the coder cannot run here; None if it can."""
        return None if find_spec("zstandard") else str(MissingExtraError.of("zstandard", "bench"))

    def encode(self, levels: Bytes3, columns: int, point: float) -> bytes:  # noqa: ARG002
        import zstandard

        compressor = zstandard.ZstdCompressor(level=self.level, write_content_size=False)
        return bytes(compressor.compress(np.ascontiguousarray(levels).tobytes()))

    def decode(self, payload: bytes, tiles: Tiles) -> Bytes3:
        import zstandard

        expected = tiles.channels * tiles.height * tiles.width
        decompressor = zstandard.ZstdDecompressor(max_window_size=8 * LARGEST)
        try:  # as a stream, because a size that a damaged frame claims is allocated otherwise
            data = decompressor.stream_reader(io.BytesIO(payload)).read(expected + 1)
        except zstandard.ZstdError as error:
            raise CoderError(f"zstandard: {error}") from error
        if len(data) != expected:
            raise CoderError(f"zstandard: got {len(data)} values or more, expected {expected}")
        shape = (tiles.channels, tiles.height, tiles.width)
        return np.frombuffer(data, np.uint8).reshape(shape)


@dataclass(frozen=True, slots=True)
class FeatureAnchor:
    """The features as they are: an `Anchor`.

    Attributes:
        name: such as ``"raw-vvc"``.
        tag: first byte of its files.
        store: what makes bytes of them.
        points: operating points of `store`.
    """

    name: str
    tag: int
    store: FeatureStore
    points: tuple[float, ...]
    needs: Needs = field(default="features", init=False)

    def missing(self) -> str | None:
        return self.store.missing()

    def coder(self, measured: Calibration) -> RawFeatures:
        if measured.span is None:
            raise InputError(f"anchor {self.name}: got no range, expected that of calibration pictures")
        return RawFeatures(self, measured.span)

    def encode(self, values: Tensor, geometry: Geometry, span: Range, point: float) -> bytes:
        """Features or latents (1, C, h, w) to a whole file."""
        columns = _columns(values.shape[1])
        payload = self.store.encode(quantize(values, *span), columns, point)
        _, channels, height, width = values.shape
        return write_features(self.tag, geometry, Tiles(channels, height, width, columns, *span), payload)

    def decode(self, data: bytes) -> tuple[Tensor, Geometry]:
        """A whole file to features or latents (1, C, h, w)."""
        geometry, tiles, payload = read_features(self.name, self.tag, data)
        return dequantize(self.store.decode(payload, tiles), tiles.low, tiles.high), geometry


@dataclass(frozen=True, slots=True)
class LatentAnchor(FeatureAnchor):
    """A codec's latents, without its entropy coding: an `Anchor`, once for each codec."""

    needs: Needs = field(default="latents", init=False)

    def coder(self, measured: Calibration) -> BottleneckFeatures:  # type: ignore[override]
        if measured.codec is None or measured.span is None:
            raise InputError(f"anchor {self.name}: got no codec or no range of its latents, expected both")
        return BottleneckFeatures(self, measured.span, measured.codec)


def _single(low: float, high: float) -> Range:
    """The range as the file holds it, so that encoder and decoder use the same."""
    span = float(np.float32(low)), float(np.float32(high))
    if not (math.isfinite(span[0]) and math.isfinite(span[1]) and span[0] < span[1]):
        raise InputError(f"range: got {low} to {high}, expected two finite numbers, rising")
    return span


class RawFeatures:
    """Features as they are.

    Args:
        anchor: how they are coded.
        span: low and high end of the 8 bits, as `measure_range` gives them; what is beyond is clipped.
    """

    kind: Literal["features"] = "features"
    gives: Literal["features"] = "features"

    def __init__(self, anchor: FeatureAnchor, span: Range):
        self.anchor, self.span = anchor, _single(*span)
        self.name, self.points = anchor.name, anchor.points

    @property
    def identity(self) -> str:
        return f"{self.name}; version {ANCHORS_VERSION}; range {self.span}; {self.anchor.store.identity}"

    def encode(self, shot: Shot, point: float) -> bytes:
        return self.anchor.encode(shot.f, shot.geometry, self.span, point)

    def decode(self, data: bytes) -> tuple[Tensor, Geometry]:
        return self.anchor.decode(data)


class BottleneckFeatures:
    """A codec's latents without its entropy coding: y = g_a(f) coded as features are, f̂ = g_s(ŷ).

    Args:
        anchor: how they are coded; the codec's name goes before its name.
        span: range of the latents, as for `RawFeatures`.
        codec: whose g_a and g_s.
    """

    kind: Literal["bottleneck"] = "bottleneck"
    gives: Literal["features"] = "features"

    def __init__(self, anchor: FeatureAnchor, span: Range, codec: FeatureCodec):
        self.anchor, self.span, self.codec = anchor, _single(*span), codec
        self.name, self.points = f"{codec.name}/{anchor.name}", anchor.points

    @property
    def identity(self) -> str:
        transforms = f"version {ANCHORS_VERSION}; transforms {_digest(self.codec)}"
        return f"{self.name}; {transforms}; range {self.span}; {self.anchor.store.identity}"

    def encode(self, shot: Shot, point: float) -> bytes:
        with inference():
            y = self.codec.file.g_a(shot.f)
        return self.anchor.encode(y, shot.geometry, self.span, point)

    def decode(self, data: bytes) -> tuple[Tensor, Geometry]:
        y_hat, geometry = self.anchor.decode(data)
        config = self.codec.file.config
        stride = config.latent_stride
        shape = (config.widths.latents, geometry.canvas_height // stride, geometry.canvas_width // stride)
        if tuple(y_hat.shape[1:]) != shape:
            raise CoderError(f"{self.name}: got latents {tuple(y_hat.shape[1:])}, expected {shape}")
        with inference():
            return self.codec.file.g_s(y_hat), geometry


def _digest(codec: FeatureCodec) -> str:
    """Of the weights of g_a and g_s; the codec's fingerprint leaves g_a out."""
    digest = hashlib.sha256()
    for name, tensor in sorted(codec.file.tensors.items()):
        if name.startswith(("g_a.", "g_s.")):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
