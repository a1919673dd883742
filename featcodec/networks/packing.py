"""How several tensors, tokens or odd shapes at a cut lie on one grid (B, C, h, w): what a codec takes.

    P2 (256 x 200 x 200) ─┐
    P3 (256 x 100 x 100) ─┼─pack─▶ 592 x 200 x 200 ─unpack─▶ P2, P3, P4, P5, each to its place
    P4 (256 x 50 x 50) ───┤
    P5 (256 x 25 x 25) ───┘

A codec makes one latent of 2 x 2 places of the grid. A tensor that is finer than the grid is folded, blocks
of places to channels. One as coarse as the latents stands in all four places of a block, which costs nothing:
a linear transform of blocks sees one number four times. A coarser one is dealt out first, channels to places,
so that each of its numbers belongs to one latent; so are prefix tokens (the class token of a ViT). Nothing is
lost. This is the plan, as a codec file has it; `featcodec.networks.packed` moves the numbers.

Source: space to depth as in Shi et al. 2016 (arXiv:1609.05158), section 2, in both directions.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from featcodec.errors import SplitError

__all__ = ["PackedTensor", "Packing"]

Layout = Literal["map", "last", "tokens"]
STRIDES = range(2, 65)  # pixels for a place of the grid
MANY = 4096  # channels of the grid at the most
GOOD = 384  # channels that make a latent worth its place, and whose closed form takes seconds
MOST_TENSORS = 64
LARGEST_NUMBER = 1 << 16
MOST_PREFIX = 16  # tokens before those of a grid: class, distillation, registers


@dataclass(frozen=True, slots=True)
class PackedTensor:
    """A tensor that crosses, of one picture on the canvas.

    Attributes:
        name: of the layer that returns it.
        layout: ``"map"`` (B, C, h, w), ``"last"`` (B, h, w, C) or ``"tokens"`` (B, prefix + h·w, C).
        channels: C.
        height, width: of its places.
        prefix: tokens before those of the places.
    """

    name: str
    layout: Layout
    channels: int
    height: int
    width: int
    prefix: int = 0

    @staticmethod
    def of(name: str, shape: Sequence[int], side: int) -> PackedTensor:
        """What crosses, by its shape for one picture of side × side pixels.

        Raises:
            SplitError: it is none of these.
        """
        places = tuple(shape[1:])
        if len(shape) == 4 and places[1] == places[2]:
            return PackedTensor(name, "map", *places)
        if len(shape) == 4 and places[0] == places[1]:
            return PackedTensor(name, "last", places[2], places[0], places[1])
        if len(shape) == 3:
            root = math.isqrt(places[0])
            if root and places[0] - root**2 <= MOST_PREFIX:
                return PackedTensor(name, "tokens", places[1], root, root, places[0] - root**2)
        raise SplitError(
            f"{name}: got {tuple(shape)} for a picture of {side} x {side}, expected (B, C, h, w), "
            f"(B, h, w, C) or tokens (B, N, C) of a square grid, with up to {MOST_PREFIX} before it"
        )


@dataclass(frozen=True, slots=True)
class Packing:
    """How tensors lie on one grid.

    Attributes:
        side: of the canvas in pixels for which the tensors' places are given.
        stride: pixels of the canvas for a place of the grid; a latent has twice as many.
        fixed: whether every canvas is side × side; otherwise sides may differ, and all grows with them.
        tensors: what crosses, in the order of the cut.

    Example:
        >>> packing = Packing.of(["p3", "p5"], [(1, 64, 16, 16), (1, 96, 4, 4)], 128)
        >>> packing.stride, packing.channels, packing.fixed
        (16, 352, False)
    """

    side: int
    stride: int
    fixed: bool
    tensors: tuple[PackedTensor, ...]

    @staticmethod
    def of(
        names: Sequence[str], shapes: Sequence[Sequence[int]], side: int, *, fixed: bool = False
    ) -> Packing:
        """The grid that suits tensors of these shapes, for one picture of side × side pixels.

        The stride is that at which little is padded and the channels are nearest to some hundreds.

        Args:
            names: of the layers that return them.
            shapes: of the tensors.
            side: of the canvas.
            fixed: whether the network takes this canvas only.

        Raises:
            SplitError: tensors of no such shape, or none fits: says why.
        """
        tensors = tuple(PackedTensor.of(n, s, side) for n, s in zip(names, shapes, strict=True))
        exact = not any(t.prefix or t.layout == "tokens" for t in tensors)
        found = []
        for stride in STRIDES:
            if side % (2 * stride) == 0:
                packing = Packing(side, stride, True, tensors)
                if packing.channels <= MANY:
                    found.append((packing._burden(), packing))
        if not found:
            raise SplitError(
                f"{', '.join(names)}: no grid of a canvas of {side} px is right for them, expected one of at "
                f"most {MANY} channels at half of a stride that divides the canvas"
            )
        best = min(found, key=lambda pair: pair[0])[1]
        return Packing(side, best.stride, fixed or not exact or best._padded() > 0, tensors)

    @staticmethod
    def takes(shapes: Sequence[Sequence[int]], side: int) -> bool:
        """Whether tensors of these shapes can lie on one grid; see `of`."""
        try:
            Packing.of([""] * len(shapes), shapes, side)
        except SplitError:
            return False
        return True

    @staticmethod
    def from_json(raw: Any) -> Packing:
        """As `dataclasses.asdict` and JSON have it; raises KeyError or TypeError where it is not."""
        return Packing(**{**raw, "tensors": tuple(PackedTensor(**about) for about in raw["tensors"])})

    def check(self) -> None:
        """Types and ranges, which JSON does not know; raises ValueError."""
        if type(self.fixed) is not bool or not 1 <= len(self.tensors) <= MOST_TENSORS:
            raise ValueError(f"packing: got {len(self.tensors)} tensors, expected 1 to {MOST_TENSORS}")
        numbers = [(self.side, 1), (self.stride, 1)]
        for t in self.tensors:
            if t.layout not in typing.get_args(Layout):
                raise ValueError(
                    f"packing: got layout {t.layout!r:.40}, expected one of {typing.get_args(Layout)}"
                )
            numbers += [(t.channels, 1), (t.height, 1), (t.width, 1), (t.prefix, 0)]
        for value, least in numbers:
            if type(value) is not int or not least <= value <= LARGEST_NUMBER:
                raise ValueError(f"packing: got {value!r:.40}, expected an integer to {LARGEST_NUMBER}")
        if self.side % (2 * self.stride) or self.channels > MANY:
            raise ValueError(
                f"packing: got {self.channels} channels at stride {self.stride}, expected at most {MANY} at "
                f"half of a stride that divides {self.side}"
            )

    @property
    def channels(self) -> int:
        """Of the grid."""
        return sum(self.map_channels(t) + self.prefix_channels(t) for t in self.tensors)

    @property
    def places(self) -> int:
        """Latents along a side of the canvas."""
        return self.side // (2 * self.stride)

    def fold(self, about: PackedTensor) -> int:
        """Places of a tensor along a latent's side: 1, or the least even number that is enough."""
        times = -(-max(about.height, about.width) // self.places)
        return times if times == 1 else times + times % 2

    def dealt(self, about: PackedTensor) -> int:
        """Latents along the side of a place of a coarse tensor."""
        return max(1, self.places // max(about.height, about.width))

    def map_channels(self, about: PackedTensor) -> int:
        """Channels of the grid that a tensor takes, but for its prefix."""
        fold = self.fold(about)
        if fold > 1:
            return about.channels * (fold // 2) ** 2
        return -(-about.channels // self.dealt(about) ** 2)

    def prefix_channels(self, about: PackedTensor) -> int:
        """Channels of the grid that its prefix takes."""
        return -(-about.prefix * about.channels // self.places**2)

    def _padded(self) -> float:
        """Share of the grid's numbers that are of no tensor."""
        own = sum(t.channels * (t.height * t.width + t.prefix) for t in self.tensors)
        laid = 0
        for about in self.tensors:
            fold = self.fold(about)
            each = (fold * self.places) ** 2 * about.channels if fold > 1 else self.places**2
            laid += each if fold > 1 else each * self.map_channels(about)
            laid += self.places**2 * self.prefix_channels(about)
        return 1 - own / laid

    def _burden(self) -> float:
        odd = 0 if self.stride & (self.stride - 1) == 0 else 4  # adversaries and attackers double their sides
        return odd + abs(math.log2(self.channels / GOOD)) - 8 * math.log2(1 - self._padded())
