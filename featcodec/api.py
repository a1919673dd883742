"""The functions most users need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from featcodec import zoo
from featcodec.codec.effort import DEFAULT_EFFORT
from featcodec.codec.feature_codec import Features
from featcodec.pictures.loading import Channels, ImageLike
from featcodec.plf.bitstream import DEFAULT_LIMITS, Limits, parse

if TYPE_CHECKING:
    from featcodec.pictures.pixels import Pixels

__all__ = ["decode", "encode", "rebuild"]


def encode(
    image: ImageLike,
    *,
    codec: str = zoo.DEFAULT,
    quality: float | None = None,
    target_bytes: int | None = None,
    effort: int = DEFAULT_EFFORT,
    metadata: Mapping[str, object] | None = None,
    channels: Channels = "rgb",
) -> bytes:
    """A picture to a complete ``.plf`` file.

    Args:
        image: path, encoded bytes, PIL image, array or tensor; see `featcodec.pictures.loading.load_image`.
            Arrays and tensors are taken for RGB; what OpenCV gives is BGR: say so with ``channels``.
        codec: name of an embedded codec, path of a codec file, or address on the hub; see `featcodec.load`.
        quality: 1 (smallest) to 8 (largest); 4 unless given.
        target_bytes: instead of a quality: the best quality whose file has at most so many bytes.
        effort: 0 to 3, how hard to search for symbols that cost less; see `FeatureCodec.encode`.
        metadata: JSON values to carry along, at most 64 KiB.
        channels: "bgr" for an array or tensor whose colours are in that order, as OpenCV gives them.

    Raises:
        ImageError: not a picture.
        InputError: any other argument that cannot be used.

    Example:
        >>> from skimage.data import astronaut
        >>> data = encode(astronaut(), target_bytes=3000)
        >>> data[1:4], len(data) <= 3000
        (b'PLF', True)
    """
    return zoo.load(codec).encode(
        image,
        quality=quality,
        target_bytes=target_bytes,
        effort=effort,
        metadata=metadata,
        channels=channels,
    )


def decode(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Features:
    """A ``.plf`` file to the features (1, C, h, w) that the network's tail takes.

    The codec is found by the fingerprint in the file: an embedded one, or one that `featcodec.load` has
    read in this process.

    Args:
        data: the whole file.
        limits: what is refused as too large, before anything is allocated.

    Raises:
        BitstreamError: the bytes are damaged, or larger than the limits.
        ModelMismatchError: made by a codec that is not at hand; says which, and how to give it.

    Example:
        >>> from skimage.data import astronaut
        >>> tuple(decode(encode(astronaut())).shape)
        (1, 64, 52, 52)
    """
    return zoo.for_header(parse(data, limits=limits).header).decode(data, limits=limits)


def rebuild(
    data: bytes, *, thief: str | os.PathLike[str] | None = None, limits: Limits = DEFAULT_LIMITS
) -> Pixels:
    """What a thief who has only a ``.plf`` file makes of the picture behind it.

    The codec is found by the fingerprint in the file, as by `decode`. How far the thief gets in general, and
    what stronger ones reach, `featcodec.attacks.thief_file.ThiefFile.record` says.

    Args:
        data: the whole file.
        thief: a thief file, as ``featcodec attack --embed`` writes it; the one that comes with the package
            unless given.
        limits: what is refused as too large, before anything is allocated.

    Returns:
        (H, W, 3) uint8 RGB, the photograph as the network saw it: scaled down to the codec's canvas, without
        its grey borders.

    Raises:
        BitstreamError: the bytes are damaged, or larger than the limits.
        ModelMismatchError: made by a codec that is not at hand or has no thief with it, or the thief learned
            from another codec's files.
        InputError, CodecFileError: what is given is no thief file.

    Example:
        >>> from skimage.data import astronaut
        >>> from featcodec.zoo import thieves
        >>> data = encode(astronaut())
        >>> rebuild(data).shape if zoo.DEFAULT in thieves.names() else (416, 416, 3)
        (416, 416, 3)
    """
    from featcodec.attacks.thief_file import ThiefFile
    from featcodec.attacks.thieves import thief_for

    header = parse(data, limits=limits).header
    codec = zoo.decoder_for(header)
    found = thief_for(header) if thief is None else ThiefFile.load(thief)
    return found.rebuild(codec, data, limits=limits)
