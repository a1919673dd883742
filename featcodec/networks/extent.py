"""Which elements of a piece of memory a tensor is: what tells a view apart from all that it is a view of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Extent", "covers"]


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a tensor lies in its storage.

    Attributes:
        size, stride, offset: as `torch.as_strided` takes them, in elements.
        itemsize: bytes an element.
        elements: of the whole storage.

    Example:
        >>> tokens = torch.zeros(1, 5, 8)
        >>> part = Extent.of(tokens[:, 1:].transpose(1, 2).reshape(1, 8, 2, 2))
        >>> part.whole, covers([Extent.of(tokens)], [part]), covers([part], [Extent.of(tokens)])
        (False, True, False)
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    itemsize: int
    elements: int

    @staticmethod
    def of(tensor: Tensor) -> Extent:
        """Of a tensor with a storage, on any device, the meta device among them."""
        itemsize = tensor.element_size()
        elements = tensor.untyped_storage().nbytes() // itemsize
        return Extent(
            tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()), itemsize, elements
        )

    @property
    def whole(self) -> bool:
        """Whether it is all of the storage, each element once."""
        return math.prod(self.size) == self.elements and self.distinct

    @property
    def distinct(self) -> bool:
        """Whether each of its elements has a place of its own; an expanded tensor's have not."""
        reach = 0
        for stride, size in sorted((s, n) for s, n in zip(self.stride, self.size, strict=True) if n > 1):
            if stride <= reach:
                return False
            reach += stride * (size - 1)
        return True

    def part_of(self, memory: Tensor) -> Tensor:
        """The tensor that lies here in `memory` (elements,)."""
        return memory.as_strided(self.size, self.stride, self.offset)


def covers(parts: Sequence[Extent], needed: Sequence[Extent]) -> bool:
    """Whether every element of each of `needed` is in one of `parts` at least; all of one storage."""
    if any(part.whole for part in parts):
        return True
    rest = [extent for extent in needed if extent not in parts and 0 not in extent.size]
    if not rest:
        return True
    if not parts or len({extent.itemsize for extent in (*parts, *rest)}) > 1:
        return False
    there = torch.zeros(parts[0].elements, dtype=torch.bool, device="cpu")
    for part in parts:
        if part.distinct:
            part.part_of(there).fill_(True)
    return all(bool(extent.part_of(there).all()) for extent in rest)
