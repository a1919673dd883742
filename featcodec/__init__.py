"""featcodec: a learned feature codec.

    >>> import featcodec
    >>> from skimage.data import astronaut
    >>> data = featcodec.encode(astronaut())       # bytes: a complete .plf file
    >>> features = featcodec.decode(data)          # what the network's tail takes
    >>> featcodec.load("street").detect(features)[0].label
    'person'

Names are imported when they are first used: parsing a ``.plf`` needs neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from featcodec.errors import (
    BitstreamError,
    ChecksumError,
    CodecFileError,
    CoderError,
    FeatcodecError,
    FitError,
    ImageError,
    InputError,
    LimitError,
    MalformedError,
    MissingExtraError,
    ModelMismatchError,
    NotPlfError,
    SplitError,
    SymbolHashError,
    TruncatedError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from featcodec import zoo
    from featcodec.api import decode, encode
    from featcodec.backbones.cut import split
    from featcodec.backbones.detection import Box, Boxes
    from featcodec.bitstream import Limits
    from featcodec.codec import FeatureCodec, Features
    from featcodec.fit.api import fit
    from featcodec.zoo import load

__version__ = "0.1.0"

_HOMES = {
    "Box": "featcodec.backbones.detection",
    "Boxes": "featcodec.backbones.detection",
    "FeatureCodec": "featcodec.codec",
    "Features": "featcodec.codec",
    "Limits": "featcodec.bitstream",
    "decode": "featcodec.api",
    "encode": "featcodec.api",
    "load": "featcodec.zoo",
    "split": "featcodec.backbones.cut",
}

__all__ = [
    "BitstreamError",
    "Box",
    "Boxes",
    "ChecksumError",
    "CodecFileError",
    "CoderError",
    "FeatcodecError",
    "FeatureCodec",
    "Features",
    "FitError",
    "ImageError",
    "InputError",
    "LimitError",
    "Limits",
    "MalformedError",
    "MissingExtraError",
    "ModelMismatchError",
    "NotPlfError",
    "SplitError",
    "SymbolHashError",
    "TruncatedError",
    "UnsupportedError",
    "decode",
    "encode",
    "fit",
    "load",
    "split",
    "zoo",
]


def __getattr__(name: str) -> object:
    if name in ("fit", "zoo"):
        return importlib.import_module(f"featcodec.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'featcodec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
