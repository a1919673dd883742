"""What the bench compares: anything that turns a picture of a network into bytes and back.

A coder's files describe themselves: `Coder.decode` has the bytes and nothing else of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor

from featcodec.pictures.geometry import Geometry

__all__ = ["Coder", "Gives", "Kind", "Shot"]

Kind = Literal["codec", "features", "bottleneck", "image"]  # what is coded, for tables and plots
Gives = Literal["canvas", "features"]  # where in the network the decoder's output goes in


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture on its way through the network.

    Attributes:
        path: the photograph.
        x: (1, 3, H, W) in [0, 1], the canvas.
        f: (1, C, h, w), the uncoded features.
        geometry: where the photograph lies on the canvas.
    """

    path: Path
    x: Tensor
    f: Tensor
    geometry: Geometry


class Coder(Protocol):
    """One entry of a comparison.

    Attributes:
        name: as in tables, such as ``"yolox-nano-open"`` or ``"raw-vvc"``.
        kind: what is coded.
        gives: ``"features"`` are for the network's tail, a ``"canvas"`` for the whole network.
        points: operating points, such as qualities or quantization parameters.
        identity: text that changes whenever the same picture could give other bytes or another result
            (fingerprint, encoder version and options, measured range): results are cached by it.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def gives(self) -> Gives: ...
    @property
    def points(self) -> tuple[float, ...]: ...
    @property
    def identity(self) -> str: ...

    def encode(self, shot: Shot, point: float) -> bytes:
        """The whole file of a picture; raises `CoderError` where an encoder fails."""
        ...

    def decode(self, data: bytes) -> tuple[Tensor, Geometry]:
        """A file to features (1, C, h, w) or canvas (1, 3, H, W), and where the photograph lies on it.

        Raises:
            CoderError: a decoder failed, or the file is damaged.
        """
        ...
