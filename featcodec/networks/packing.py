"""Several tensors, tokens or odd shapes at a cut, laid on one grid (B, C, h, w): what a codec takes.

    P2 (256 x 200 x 200) ─┐
    P3 (256 x 100 x 100) ─┼─pack─▶ 592 x 200 x 200 ─unpack─▶ P2, P3, P4, P5, each to its place
    P4 (256 x 50 x 50) ───┤
    P5 (256 x 25 x 25) ───┘

A codec makes one latent of 2 x 2 places of the grid. A tensor that is finer than the grid is folded, blocks
of places to channels. One as coarse as the latents stands in all four places of a block, which costs nothing:
a linear transform of blocks sees one number four times. A coarser one is dealt out first, channels to places,
so that each of its numbers belongs to one latent; so are prefix tokens (the class token of a ViT). Nothing is
lost: `unpack` of `pack` gives the same tensors.

Source: space to depth as in Shi et al. 2016 (arXiv:1609.05158), section 2, in both directions.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

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

    def to_map(self, x: Tensor) -> Tensor:
        """The tensor to (B, C, h, w), without its prefix."""
        if self.layout == "tokens":
            places = x[:, self.prefix :].transpose(1, 2)
            return places.reshape(len(x), self.channels, self.height, self.width)
        return x.permute(0, 3, 1, 2) if self.layout == "last" else x

    def from_map(self, x: Tensor, prefix: Tensor | None) -> Tensor:
        """(B, C, h, w), and (B, prefix, C), to the tensor."""
        if self.layout == "tokens":
            tokens = x.flatten(2).transpose(1, 2)
            return tokens if prefix is None else torch.cat((prefix, tokens), 1)
        return x.permute(0, 2, 3, 1).contiguous() if self.layout == "last" else x.contiguous()


@dataclass(frozen=True, slots=True)
class Packing:
    """How tensors lie on one grid.

    Attributes:
        side: of the canvas in pixels for which the tensors' places are given.
        stride: pixels of the canvas for a place of the grid; a latent has twice as many.
        fixed: whether every canvas is side × side; otherwise sides may differ, and all grows with them.
        tensors: what crosses, in the order of the cut.

    Example:
        >>> fine, coarse = torch.rand(1, 64, 16, 16), torch.rand(1, 96, 4, 4)
        >>> packing = Packing.of(["p3", "p5"], [fine.shape, coarse.shape], 128)
        >>> packing.stride, packing.channels, packing.fixed
        (16, 352, False)
        >>> packed = packing.pack((fine, coarse))
        >>> packed.shape
        torch.Size([1, 352, 8, 8])
        >>> all(torch.equal(a, b) for a, b in zip(packing.unpack(packed), (fine, coarse)))
        True
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
        return sum(self._widths(t) for t in self.tensors)

    def pack(self, tensors: Sequence[Tensor]) -> Tensor:
        """The tensors that cross to (B, C, H / stride, W / stride).

        Raises:
            SplitError: as many others, or of other shapes than the canvas leads to.
        """
        self._check(tensors)
        rows, columns = self._latents(tensors)
        laid = []
        for about, tensor in zip(self.tensors, tensors, strict=True):
            laid.append(self._lay(about, about.to_map(tensor), rows, columns))
            if about.prefix:
                laid.append(_double(_deal(tensor[:, : about.prefix].flatten(1), rows, columns)))
        return torch.cat(laid, 1)

    def unpack(self, grid: Tensor) -> tuple[Tensor, ...]:
        """(B, C, h, w) to the tensors as the network's tail takes them.

        Raises:
            SplitError: other channels, or another size of a fixed grid.
        """
        rows, columns = grid.shape[2] // 2, grid.shape[3] // 2
        if grid.shape[1] != self.channels or (
            self.fixed and grid.shape[2:] != (self.side // self.stride,) * 2
        ):
            raise SplitError(f"got features {tuple(grid.shape)}, expected {self._shape()}")
        out, first = [], 0
        for about in self.tensors:
            count = self._map_channels(about)
            x = self._lift(about, grid[:, first : first + count], rows, columns)
            first += count
            prefix = None
            if about.prefix:
                count = self._prefix_channels(about)
                dealt = F.avg_pool2d(grid[:, first : first + count], 2)
                prefix = dealt.flatten(1)[:, : about.prefix * about.channels]
                prefix = prefix.unflatten(1, (about.prefix, about.channels))
                first += count
            out.append(about.from_map(x, prefix))
        return tuple(out)

    # ---- how a tensor lies

    @property
    def _places(self) -> int:
        """Latents along a side of the canvas."""
        return self.side // (2 * self.stride)

    def _fold(self, about: PackedTensor) -> int:
        """Places of a tensor along a latent's side: 1, or the least even number that is enough."""
        times = -(-max(about.height, about.width) // self._places)
        return times if times == 1 else times + times % 2

    def _dealt(self, about: PackedTensor) -> int:
        """Latents along the side of a place of a coarse tensor."""
        return max(1, self._places // max(about.height, about.width))

    def _map_channels(self, about: PackedTensor) -> int:
        fold = self._fold(about)
        if fold > 1:
            return about.channels * (fold // 2) ** 2
        return -(-about.channels // self._dealt(about) ** 2)

    def _prefix_channels(self, about: PackedTensor) -> int:
        return -(-about.prefix * about.channels // self._places**2)

    def _widths(self, about: PackedTensor) -> int:
        return self._map_channels(about) + self._prefix_channels(about)

    def _padded(self) -> float:
        """Share of the grid's numbers that are of no tensor."""
        own = sum(t.channels * (t.height * t.width + t.prefix) for t in self.tensors)
        laid = 0
        for about in self.tensors:
            fold = self._fold(about)
            each = (fold * self._places) ** 2 * about.channels if fold > 1 else self._places**2
            laid += each if fold > 1 else each * self._map_channels(about)
            laid += self._places**2 * self._prefix_channels(about)
        return 1 - own / laid

    def _burden(self) -> float:
        odd = 0 if self.stride & (self.stride - 1) == 0 else 4  # adversaries and attackers double their sides
        return odd + abs(math.log2(self.channels / GOOD)) - 8 * math.log2(1 - self._padded())

    def _lay(self, about: PackedTensor, x: Tensor, rows: int, columns: int) -> Tensor:
        fold, dealt = self._fold(about), self._dealt(about)
        if fold > 1:
            return F.pixel_unshuffle(_pad(x, fold * rows, fold * columns), fold // 2)
        missing = -about.channels % dealt**2
        if missing:
            x = F.pad(x, (0, 0, 0, 0, 0, missing))
        return _double(_pad(F.pixel_shuffle(x, dealt), rows, columns))

    def _lift(self, about: PackedTensor, x: Tensor, rows: int, columns: int) -> Tensor:
        fold, dealt = self._fold(about), self._dealt(about)
        x = F.pixel_shuffle(x, fold // 2) if fold > 1 else F.avg_pool2d(x, 2)
        if self.fixed:
            height, width = about.height, about.width
        else:
            height, width = fold * rows // dealt, fold * columns // dealt
        x = x[..., : height * dealt, : width * dealt]
        return F.pixel_unshuffle(x, dealt)[:, : about.channels] if fold == 1 else x

    def _latents(self, tensors: Sequence[Tensor]) -> tuple[int, int]:
        """Rows and columns of latents that the tensors are of."""
        if self.fixed:
            return self._places, self._places
        about = self.tensors[0]
        h, w = about.to_map(tensors[0]).shape[2:]
        fold, dealt = self._fold(about), self._dealt(about)
        return h * dealt // fold, w * dealt // fold

    def _check(self, tensors: Sequence[Tensor]) -> None:
        if len(tensors) != len(self.tensors):
            raise SplitError(f"got {len(tensors)} tensors, expected {len(self.tensors)}")
        for about, tensor in zip(self.tensors, tensors, strict=True):
            if about.layout == "tokens":
                expected = (about.prefix + about.height * about.width, about.channels)
                right = tuple(tensor.shape[1:]) == expected
            else:
                kept = about.to_map(tensor) if tensor.ndim == 4 else tensor
                right = tensor.ndim == 4 and kept.shape[1] == about.channels
                right = right and (not self.fixed or kept.shape[2:] == (about.height, about.width))
            if not right:
                raise SplitError(f"{about.name}: got {tuple(tensor.shape)}, expected the shape of {about}")

    def _shape(self) -> str:
        sides = self.side // self.stride if self.fixed else "h"
        return f"(B, {self.channels}, {sides}, {sides if self.fixed else 'w'})"


def _pad(x: Tensor, height: int, width: int) -> Tensor:
    """Borders repeated below and to the right, which cost fewer bits than zeros."""
    down, right = height - x.shape[2], width - x.shape[3]
    return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


def _double(x: Tensor) -> Tensor:
    """Each place four times."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _deal(x: Tensor, rows: int, columns: int) -> Tensor:
    """(B, K) numbers to places (B, k, rows, columns), zeros behind them."""
    return F.pad(x, (0, -x.shape[1] % (rows * columns))).reshape(len(x), -1, rows, columns)
