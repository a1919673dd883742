"""Cutting a network in two after one of its layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from featcodec.errors import SplitError
from featcodec.networks.yolov5 import YOLOv5

__all__ = ["Split", "crossing_layers", "split"]

LAST_CUT = 23  # layer 24 is the head that reads 17, 20 and 23


def crossing_layers(at: int) -> tuple[int, ...]:
    """The layers whose outputs cross a cut after layer `at`, rising: `at` and what later layers look back to.

    Raises:
        SplitError: no such layer.

    Example:
        >>> crossing_layers(4), crossing_layers(9)
        ((4,), (4, 6, 9))
    """
    if not 0 <= at <= LAST_CUT:
        raise SplitError(f"cut after layer {at}: got {at}, expected 0 to {LAST_CUT}")
    later = {s for reader, sources in YOLOv5.LOOKS_BACK.items() if reader > at for s in sources if s <= at}
    # the head reads 17, 20 and 23 only; every other layer reads the one before it
    return tuple(sorted(later | {at}))


@dataclass(frozen=True, slots=True)
class Split:
    """A YOLOv5 network cut after layer `at`.

    Attributes:
        network: the whole network.
        at: the layer whose output crosses the cut.
        crossing: all layers whose outputs cross it.
    """

    network: YOLOv5
    at: int
    crossing: tuple[int, ...]

    def head(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, 3, H, W) in [0, 1], H and W multiples of 32, to the tensors that cross."""
        kept = self.network.run(0, self.at + 1, {-1: x})
        return tuple(kept[i] for i in self.crossing)

    def tail(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        """The tensors that cross to the raw outputs of the network's head."""
        return self.network.head_outputs(self.neck(features))

    def neck(self, features: tuple[Tensor, ...]) -> dict[int, Tensor]:
        """The tensors that cross to the outputs of the layers that the network's head reads, by layer."""
        kept = dict(zip(self.crossing, features, strict=True))
        kept = self.network.run(self.at + 1, LAST_CUT + 1, kept)
        return {i: kept[i] for i in YOLOv5.LOOKS_BACK[24]}

    def maps(self, features: Tensor) -> list[Tensor]:
        """The one tensor that crosses, and behind the cut every map that a later layer looks back to."""
        kept = self.network.run(self.at + 1, LAST_CUT + 1, {self.only: features})
        return [kept[i] for i in sorted(kept)]

    @property
    def only(self) -> int:
        """The one layer that crosses.

        Raises:
            SplitError: several cross; a codec takes one. Names them and the latest layer where one crosses.
        """
        if len(self.crossing) == 1:
            return self.at
        single = max(i for i in range(self.at) if len(crossing_layers(i)) == 1)
        others = ", ".join(str(i) for i in self.crossing[:-1])
        raise SplitError(
            f"cut after layer {self.at}: later layers look back across it to layer {others}, so "
            f"{len(self.crossing)} tensors cross, expected 1; the latest layer with one is {single}"
        )

    def features(self) -> tuple[int, int]:
        """Channels and stride in pixels of the one tensor that crosses."""
        _ = self.only
        with torch.no_grad():
            f = self.head(torch.zeros(1, 3, 64, 64, dtype=torch.float32))[0]
        return int(f.shape[1]), 64 // int(f.shape[2])


def split(network: YOLOv5, *, at: int = 4) -> Split:
    """Cuts `network` after layer `at` (0 to 23); 4 is the cut of the seed paper (stride 8).

    Source: Azizian and Bajić 2022 (arXiv:2210.00727), section II.

    Raises:
        SplitError: no such layer.

    Example:
        >>> import torch
        >>> from featcodec.networks.yolov5 import YOLOv5
        >>> cut = split(YOLOv5("n", classes=6).eval(), at=4)
        >>> with torch.no_grad():
        ...     [tuple(f.shape) for f in cut.head(torch.zeros(1, 3, 64, 64))]
        [(1, 64, 8, 8)]
    """
    return Split(network, at, crossing_layers(at))
