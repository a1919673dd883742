"""featcodec: a learned feature codec.

    >>> import featcodec
    >>> from skimage.data import astronaut
    >>> data = featcodec.encode(astronaut())       # bytes: a complete .plf file
    >>> features = featcodec.decode(data)          # what the network's tail takes
    >>> featcodec.load("yolox-nano-private").detect(features)[0].label
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
    needing_torch,
)

if TYPE_CHECKING:
    from featcodec import zoo
    from featcodec.api import decode, encode, rebuild
    from featcodec.codec.feature_codec import FeatureCodec, Features
    from featcodec.fitting.fit import fit
    from featcodec.networks.split import split
    from featcodec.pictures.boxes import Box, Boxes
    from featcodec.plf.bitstream import Limits
    from featcodec.shards import webdataset_decoder
    from featcodec.zoo import load

__version__ = "0.1.0"

_HOMES = {
    "Box": "featcodec.pictures.boxes",
    "Boxes": "featcodec.pictures.boxes",
    "FeatureCodec": "featcodec.codec.feature_codec",
    "Features": "featcodec.codec.feature_codec",
    "Limits": "featcodec.plf.bitstream",
    "decode": "featcodec.api",
    "encode": "featcodec.api",
    "fit": "featcodec.fitting.fit",
    "load": "featcodec.zoo",
    "rebuild": "featcodec.api",
    "split": "featcodec.networks.split",
    "webdataset_decoder": "featcodec.shards",
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
    "rebuild",
    "split",
    "webdataset_decoder",
    "zoo",
]


def __getattr__(name: str) -> object:
    if name == "zoo":
        return importlib.import_module("featcodec.zoo")
    if name in _HOMES:
        with needing_torch():
            return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'featcodec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
