"""Features and boxes of ``.plf`` members of WebDataset shards; see docs/tools.md.

Nothing of the package webdataset is needed here: what it decodes members by are plain functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from featcodec import zoo
from featcodec.codec.feature_codec import FeatureCodec, Features
from featcodec.errors import InputError
from featcodec.pictures.boxes import Boxes
from featcodec.plf.bitstream import DEFAULT_LIMITS, Limits, parse

__all__ = ["webdataset_decoder"]


def webdataset_decoder(
    codec: FeatureCodec | str | None = None,
    *,
    boxes: bool = False,
    confidence: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Callable[[str, bytes], Features | Boxes | None]:
    """What `webdataset.WebDataset(...).decode` takes, so that ``.plf`` members of shards become features.

    Args:
        codec: what `featcodec.load` gave, or takes; unless given, each member's own, found as by
            `featcodec.decode`.
        boxes: boxes, as `FeatureCodec.detect` finds them, instead of features.
        confidence: least score of a box; the codec's own unless given.
        limits: what is refused as too large, before anything is allocated.

    Returns:
        A function of a member's ending (``".plf"``, ``".left.plf"``) and its bytes, to features or boxes, or
        None for members of other endings. It can be sent to the workers of a `DataLoader`. Of a damaged
        member it raises what `FeatureCodec.decode` raises; webdataset gives that to its handler as the cause
        of a `DecodingError`, which knows shard, key and member.

    Raises:
        InputError, CodecFileError: no such codec.

    Example:
        >>> from skimage.data import astronaut
        >>> import featcodec
        >>> decode = webdataset_decoder(boxes=True)
        >>> decode(".plf", featcodec.encode(astronaut()))[0].label, decode(".json", b"{}")
        ('person', None)
    """
    if isinstance(codec, str):
        codec = zoo.load(codec)
    if codec is not None and not isinstance(codec, FeatureCodec):
        raise InputError(f"codec: got {type(codec).__name__}, expected a codec, its name or path, or None")
    return _Decoder(codec, boxes, confidence, limits)


@dataclass(frozen=True, slots=True)
class _Decoder:
    codec: FeatureCodec | None
    boxes: bool
    confidence: float | None
    limits: Limits

    def __call__(self, key: str, data: bytes) -> Features | Boxes | None:
        if key.rpartition(".")[2] != "plf":
            return None
        codec = self.codec
        if self.boxes:
            codec = codec or zoo.for_header(parse(data, limits=self.limits).header)
            return codec.detect(data, confidence=self.confidence, limits=self.limits)
        codec = codec or zoo.decoder_for(parse(data, limits=self.limits).header)
        return codec.decode(data, limits=self.limits)
