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

An anchor of one's own is an object as `featcodec.bench.anchors.anchor.Anchor` describes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from featcodec.bench.anchors.anchor import Anchor, Calibration, Needs, Range
from featcodec.bench.anchors.features import FeatureAnchor, LatentAnchor, Tiled, Zstandard, measure_range
from featcodec.bench.anchors.ffmpeg import HEVC, VVC
from featcodec.bench.anchors.images import PictureAnchor, PictureFile, VideoIntra
from featcodec.errors import InputError

__all__ = ["ANCHORS", "Anchor", "Calibration", "Needs", "Range", "find_anchors", "measure_range"]

JPEG = PictureFile("JPEG", "jpg", (("optimize", True), ("subsampling", "4:2:0")))
WEBP = PictureFile("WEBP", "webp", (("method", 6),))
AVIF = PictureFile(
    "AVIF", "avif", (("codec", "aom"), ("speed", 6), ("subsampling", "4:2:0"), ("max_threads", 1))
)
# Name, first byte of its files, coder, and points: quantization parameters, or qualities that span about 2 to
# 25 KB at 448 px. Those of HEVC are 3 below those of VVC: so much x265 lowers the qp of intra pictures if one
# lets it, and about so much their scales differ.
ANCHORS: tuple[Anchor, ...] = (
    FeatureAnchor("raw-vvc", 0xA0, Tiled(VVC), (22, 30, 36, 40, 44, 48)),
    FeatureAnchor("raw-hevc", 0xA1, Tiled(HEVC), (19, 27, 33, 37, 41, 45)),
    FeatureAnchor("raw-zstd", 0xA2, Zstandard(), (0,)),
    LatentAnchor("bottleneck-vvc", 0xA3, Tiled(VVC), (22, 30, 36, 40, 44)),
    PictureAnchor("image-vvc", 0xA4, VideoIntra(VVC), (24, 30, 36, 40, 44)),
    PictureAnchor("image-hevc", 0xA5, VideoIntra(HEVC), (21, 27, 33, 37, 41)),
    PictureAnchor("image-jpeg", 0xA6, JPEG, (5, 10, 25, 50, 70)),
    PictureAnchor("image-webp", 0xA7, WEBP, (0, 5, 20, 50, 80)),
    PictureAnchor("image-avif", 0xA8, AVIF, (8, 20, 35, 50, 70)),
)


def find_anchors(wanted: Sequence[str | Anchor]) -> tuple[Anchor, ...]:
    """The anchors by their names; those that are no names are taken as they are.

    Raises:
        InputError: no anchor of that name.

    Example:
        >>> [anchor.needs for anchor in find_anchors(["image-jpeg", "raw-vvc"])]
        ['nothing', 'features']
    """
    known = {anchor.name: anchor for anchor in ANCHORS}
    found: list[Anchor] = []
    for one in wanted:
        if not isinstance(one, str):
            found.append(one)
        elif one in known:
            found.append(known[one])
        else:
            raise InputError(f"anchor: got {one!r}, expected one of {', '.join(known)}")
    return tuple(dict.fromkeys(found))
