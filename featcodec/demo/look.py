"""What a codec makes of a photograph: all that the page shows, computed without it.

file ─open_photograph─▶ Photograph ─look(quality, effort)─▶ Look: .plf, boxes, bits, JPEG, what a thief sees
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from featcodec.attacks.targets import window
from featcodec.attacks.thief_file import ThiefFile
from featcodec.attacks.thieves import thief_for
from featcodec.codec.effort import DEFAULT_EFFORT
from featcodec.codec.feature_codec import FeatureCodec, Features
from featcodec.console import about
from featcodec.errors import ModelMismatchError
from featcodec.evaluation.closeness import blind_psnr, psnr
from featcodec.inspect.heatmap import draw_heat, draw_map
from featcodec.inspect.rate import Rate, rate
from featcodec.inspect.report import check
from featcodec.inspect.symbols import Decoded, decode
from featcodec.networks.cut_network import features_of, find_boxes
from featcodec.pictures.boxes import Boxes
from featcodec.pictures.drawing import draw_boxes
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import load_image
from featcodec.pictures.pixels import pixels
from featcodec.pictures.small_jpeg import SmallJpeg, jpeg_within
from featcodec.plf.bitstream import DEFAULT_LIMITS

__all__ = ["Found", "Look", "Photograph", "Rebuilt", "look", "open_photograph"]

_SHOWN = 960  # longest side of what is drawn, in pixels
_HEAT = 0.7  # how much of the heat map covers the photograph below it


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph, read for a codec.

    Attributes:
        name: of its file.
        size: bytes of its file.
        picture: it, upright, its longest side at most 960 pixels.
        x: (1, 3, H, W) in [0, 1], the network's canvas.
        features: (1, C, h, w), uncoded, with the geometry.
        boxes: what the network finds without any coding; None of a network that is no detector.
    """

    name: str
    size: int
    picture: Image.Image
    x: Tensor
    features: Features
    boxes: Boxes | None

    @property
    def geometry(self) -> Geometry:
        """Where the photograph lies on the canvas; its sides are those of the file's picture."""
        return self.features.geometry

    @property
    def truth(self) -> Tensor:
        """(3, h, w) in [0, 1], the photograph as the network sees it, without the canvas's borders."""
        return self.x[0][window(self.geometry)]


@dataclass(frozen=True, slots=True)
class Found:
    """What a network finds behind a way of coding.

    Attributes:
        boxes: in pixels of the photograph; None of a network that is no detector.
        drawn: they, on what they are shown on.
    """

    boxes: Boxes | None
    drawn: Image.Image


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a thief makes of a ``.plf`` file.

    Attributes:
        thief: that made it.
        drawn: it, enlarged to what the page shows.
        psnr: dB, against the photograph as the network sees it.
        blind: dB that painting the photograph in its mean colour reaches.
    """

    thief: ThiefFile
    drawn: Image.Image
    psnr: float
    blind: float


@dataclass(frozen=True, slots=True)
class Look:
    """What a codec makes of a photograph.

    Attributes:
        photograph: what was encoded.
        data: the ``.plf`` file.
        seconds: that encoding the features took.
        plf: what the network finds in the ``.plf`` file, drawn on the photograph.
        decoded: the file's symbols, and the codec that decoded them.
        rate: where the bits of the file went.
        heat: where on the picture, over it.
        channels: the drawing of ``plf map``, with the channels.
        jpeg: the JPEG of at most as many bytes; None if there is none so small.
        jpeg_found: what the network finds in that, drawn on it.
        rebuilt: what a thief makes of the ``.plf`` file; None if there is no thief for the codec.
    """

    photograph: Photograph
    data: bytes
    seconds: float
    plf: Found
    decoded: Decoded
    rate: Rate
    heat: Image.Image
    channels: Image.Image
    jpeg: SmallJpeg | None
    jpeg_found: Found | None
    rebuilt: Rebuilt | None

    @property
    def drawn(self) -> dict[str, Image.Image | None]:
        """What there is to see side by side, by name."""
        return {
            "plf": self.plf.drawn,
            "jpeg": None if self.jpeg_found is None else self.jpeg_found.drawn,
            "heat": self.heat,
            "thief": None if self.rebuilt is None else self.rebuilt.drawn,
        }


def open_photograph(codec: FeatureCodec, data: bytes, name: str) -> Photograph:
    """Read a photograph for a codec.

    Args:
        codec: with its network.
        data: bytes of a picture file of any kind.
        name: for messages.

    Raises:
        ImageError: no picture, a damaged one, or one that is too large; it knows the name.
        InputError: the codec was made without its network.

    Example:
        >>> import featcodec
        >>> from featcodec.bench.demo import photographs
        >>> (path,) = photographs(("astronaut.png",))
        >>> opened = open_photograph(featcodec.load(), path.read_bytes(), path.name)
        >>> opened.picture.size, opened.boxes[0].label
        ((512, 512), 'person')
    """
    network = codec.network
    with about(name):
        most = DEFAULT_LIMITS.max_pixels
        shown, _ = load_image(data, size=_SHOWN, stride=1, max_pixels=most)
        x, geometry = codec.file.config.canvas.load(data, max_pixels=most)
    features = Features.of(features_of(network, x), geometry)
    boxes = _boxes(codec, features, geometry)
    return Photograph(name, len(data), Image.fromarray(pixels(shown[0])), x, features, boxes)


def look(
    codec: FeatureCodec,
    photograph: Photograph,
    *,
    quality: float,
    effort: int = DEFAULT_EFFORT,
    thief: ThiefFile | None = None,
) -> Look:
    """Encode a photograph and look at the file from all sides.

    Args:
        codec: the one that the photograph was opened for.
        photograph: what to encode.
        quality: 1 (smallest) to 8 (largest), in steps of 1/32.
        effort: how hard the encoder searches, 0 to 3.
        thief: that rebuilds the photograph; the one embedded for the codec, if there is one, unless given.

    Returns:
        What there is to see. The ``.plf`` file is the one that `FeatureCodec.encode` gives.

    Raises:
        InputError: as `FeatureCodec.encode`.
        ModelMismatchError: the thief given learned from another codec's files.

    Example:
        >>> import featcodec
        >>> from featcodec.bench.demo import photographs
        >>> codec, (path,) = featcodec.load(), photographs(("astronaut.png",))
        >>> seen = look(codec, open_photograph(codec, path.read_bytes(), path.name), quality=4)
        >>> seen.data == codec.encode(path, quality=4), len(seen.jpeg.data) <= len(seen.data)
        (True, True)
    """
    geometry = photograph.geometry
    began = time.perf_counter()
    data = codec.encode_features(photograph.features, geometry, quality=quality, effort=effort)
    seconds = time.perf_counter() - began
    decoded = decode(check(f"{photograph.name}.plf", data, DEFAULT_LIMITS), codec)
    bits = rate(decoded)
    found = None if codec.network.detector is None else codec.detect(codec.decode(data))
    jpeg = jpeg_within(Image.fromarray(pixels(photograph.truth)), len(data))
    return Look(
        photograph=photograph,
        data=data,
        seconds=seconds,
        plf=_found(found, photograph, photograph.picture),
        decoded=decoded,
        rate=bits,
        heat=_over(photograph.picture, draw_heat(decoded, bits, photograph.picture.size)),
        channels=draw_map(decoded, bits),
        jpeg=jpeg,
        jpeg_found=None if jpeg is None else _found_in(codec, jpeg, photograph),
        rebuilt=_rebuilt(codec, decoded, photograph, thief),
    )


def _rebuilt(
    codec: FeatureCodec, decoded: Decoded, photograph: Photograph, thief: ThiefFile | None
) -> Rebuilt | None:
    """What the thief makes of a file, if there is one."""
    report = decoded.report
    if thief is None:
        try:
            thief = thief_for(report.stream.header)
        except ModelMismatchError:
            return None
    picture, truth = thief.rebuild(codec, report.data), photograph.truth
    difference = np.moveaxis(picture, 2, 0) / 255 - truth.double().numpy()
    drawn = Image.fromarray(picture).resize(photograph.picture.size, Image.Resampling.BICUBIC)
    return Rebuilt(thief, drawn, psnr(np.square(difference)), blind_psnr(truth))


def _over(picture: Image.Image, heat: Image.Image) -> Image.Image:
    """A heat map over a picture, whose own colours would be taken for bits."""
    return Image.blend(picture.convert("L").convert("RGB"), heat, _HEAT)


def _found_in(codec: FeatureCodec, jpeg: SmallJpeg, photograph: Photograph) -> Found:
    """What the whole network finds in a JPEG of the photograph as the network sees it."""
    stride = codec.file.config.canvas.stride
    x, _ = load_image(jpeg.picture, size=max(jpeg.picture.size), stride=stride)
    ground = jpeg.picture.resize(photograph.picture.size, Image.Resampling.BICUBIC)
    geometry = photograph.geometry
    return _found(_boxes(codec, features_of(codec.network, x), geometry), photograph, ground)


def _found(boxes: Boxes | None, photograph: Photograph, ground: Image.Image) -> Found:
    """Boxes, drawn."""
    geometry = photograph.geometry
    if boxes is None:
        return Found(None, ground)
    return Found(boxes, draw_boxes(ground, boxes, photograph=(geometry.width, geometry.height)))


def _boxes(codec: FeatureCodec, features: Tensor, geometry: Geometry) -> Boxes | None:
    """What the network finds in uncoded features (1, C, h, w); None of a network that is no detector."""
    if codec.network.detector is None:
        return None
    return find_boxes(codec.network, features, [geometry])[0]
