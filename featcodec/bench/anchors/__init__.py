"""What a codec is compared with: real encoders and decoders, on files that describe themselves.

==================  =================================================  ===================================
anchor              what is sent                                       coder
==================  =================================================  ===================================
raw-vvc             features, 8 bits, tiled                            libvvenc "faster", fixed QP
raw-hevc            the same                                           libx265 "medium", fixed QP
raw-zstd            features, 8 bits, lossless                         zstandard, level 19
bottleneck-vvc      a codec's latents, 8 bits, tiled                   libvvenc "faster", fixed QP
image-vvc           the photograph as the network sees it, 4:2:0       libvvenc "faster", fixed QP
image-hevc          the same                                           libx265 "medium", fixed QP
image-jpeg          the same                                           Pillow, optimized Huffman tables
image-webp          the same                                           Pillow, method 6
image-avif          the same                                           Pillow, libaom, speed 6
==================  =================================================  ===================================
"""

from __future__ import annotations

from importlib.util import find_spec

from featcodec.bench.anchors.container import TAGS
from featcodec.bench.anchors.features import (
    BottleneckFeatures,
    Range,
    RawFeatures,
    Tiled,
    Zstandard,
    measure_range,
)
from featcodec.bench.anchors.ffmpeg import HEVC, VVC
from featcodec.bench.anchors.images import PictureFile, RemoteInference, VideoIntra
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.errors import InputError
from featcodec.evaluation.coders import Coder

__all__ = ["ANCHORS", "anchor", "available", "measure_range"]

ANCHORS = tuple(TAGS)
_INTRA = {"vvc": VVC, "hevc": HEVC}
_FILES = {
    "jpeg": PictureFile("JPEG", "jpg", (("optimize", True), ("subsampling", "4:2:0"))),
    "webp": PictureFile("WEBP", "webp", (("method", 6),)),
    "avif": PictureFile(
        "AVIF", "avif", (("codec", "aom"), ("speed", 6), ("subsampling", "4:2:0"), ("max_threads", 1))
    ),
}
# Quantization parameters, and qualities that span about 2 to 25 KB at 448 px. Those of HEVC are 3 below those
# of VVC: so much x265 lowers the qp of intra pictures if one lets it, and about so much their scales differ.
_POINTS: dict[str, tuple[float, ...]] = {
    "raw-vvc": (22, 30, 36, 40, 44, 48),
    "raw-hevc": (19, 27, 33, 37, 41, 45),
    "raw-zstd": (0,),
    "bottleneck-vvc": (22, 30, 36, 40, 44),
    "image-vvc": (24, 30, 36, 40, 44),
    "image-hevc": (21, 27, 33, 37, 41),
    "image-jpeg": (5, 10, 25, 50, 70),
    "image-webp": (0, 5, 20, 50, 80),
    "image-avif": (8, 20, 35, 50, 70),
}


def available(name: str) -> str | None:
    """Why an anchor cannot run here, in one line; None if it can.

    Raises:
        InputError: no anchor of that name.

    Example:
        >>> available("image-jpeg") is None
        True
    """
    _, coder = _parts(name)
    if coder in _FILES:
        return _FILES[coder].missing()
    if coder in _INTRA:
        return _INTRA[coder].missing()
    return None if find_spec("zstandard") else "zstandard is missing: pip install 'featcodec[bench]'"


def anchor(
    name: str,
    *,
    feature_range: Range | None = None,
    latent_range: Range | None = None,
    codec: FeatureCodec | None = None,
) -> Coder:
    """The anchor of that name.

    Args:
        name: one of `ANCHORS`.
        feature_range: for ``raw-*``: low and high end of the features, by `measure_range`.
        latent_range: for ``bottleneck-*``: likewise of the latents g_a(f).
        codec: for ``bottleneck-*``: whose latents.

    Raises:
        InputError: no anchor of that name, or what it needs was not given.

    Example:
        >>> anchor("raw-vvc", feature_range=(-0.278, 2.2)).points
        (22, 30, 36, 40, 44, 48)
    """
    what, coder = _parts(name)
    points = _POINTS[name]
    if what == "image":
        pictures = _FILES[coder] if coder in _FILES else VideoIntra(_INTRA[coder])
        return RemoteInference(name, pictures, points)
    store = Tiled(_INTRA[coder]) if coder in _INTRA else Zstandard()
    if what == "raw":
        if feature_range is None:
            raise InputError(f"anchor {name}: got no feature_range, expected that of calibration pictures")
        return RawFeatures(name, store, points, feature_range)
    if codec is None or latent_range is None:
        raise InputError(f"anchor {name}: got no codec or no latent_range, expected both")
    return BottleneckFeatures(name, store, points, latent_range, codec)


def _parts(name: str) -> tuple[str, str]:
    if name not in ANCHORS:
        raise InputError(f"anchor: got {name!r}, expected one of {', '.join(ANCHORS)}")
    what, _, coder = name.partition("-")
    return what, coder
