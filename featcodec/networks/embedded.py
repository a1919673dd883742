"""Networks whose weights come with the package: each stored once, for all codecs that were fitted to it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.networks.safetensors_header import read_header

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["METADATA_KEY", "embedded_state", "embedded_weights", "is_embedded"]

METADATA_KEY = "featcodec"
_FOLDER = Path(__file__).parents[1] / "zoo" / "networks"


def embedded_weights(name: str) -> Path | None:
    """The file of a network's official weights, by its name in its family; None where there is none.

    Example:
        >>> embedded_weights("yolox-nano").name
        'yolox-nano.safetensors'
        >>> embedded_weights("yolov5s") is None
        True
    """
    return next((file for file in _by_digest().values() if file.stem == name), None)


def is_embedded(digest: str) -> bool:
    """Whether the network with these weights comes with the package.

    Args:
        digest: as `featcodec.networks.identity.network_digest` gives it.

    Example:
        >>> is_embedded(64 * "0")
        False
    """
    return digest in _by_digest()


def embedded_state(digest: str) -> dict[str, Tensor]:
    """The float16 weights by name of the embedded network with this digest; none where there is none."""
    from featcodec.networks.weight_files import read_state_dict  # which brings torch

    return read_state_dict(_by_digest()[digest]) if is_embedded(digest) else {}


@cache
def _by_digest() -> dict[str, Path]:
    """Files by the digest that stands in them; whoever builds the network compares it with its weights."""
    files = sorted(_FOLDER.glob("*.safetensors"))
    return {json.loads(read_header(f.read_bytes())[METADATA_KEY])["digest"]: f for f in files}
