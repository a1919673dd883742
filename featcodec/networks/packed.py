"""Tensors that cross a cut to one grid (B, C, h, w), and back: see `featcodec.networks.packing` for how."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from featcodec.errors import SplitError
from featcodec.networks.packing import PackedTensor, Packing

__all__ = ["pack", "unpack"]


def pack(packing: Packing, tensors: Sequence[Tensor]) -> Tensor:
    """The tensors that cross to (B, C, H / stride, W / stride).

    Raises:
        SplitError: as many others, or of other shapes than the canvas leads to.

    Example:
        >>> fine, coarse = torch.rand(1, 64, 16, 16), torch.rand(1, 96, 4, 4)
        >>> packing = Packing.of(["p3", "p5"], [fine.shape, coarse.shape], 128)
        >>> packed = pack(packing, (fine, coarse))
        >>> packed.shape
        torch.Size([1, 352, 8, 8])
        >>> all(torch.equal(a, b) for a, b in zip(unpack(packing, packed), (fine, coarse)))
        True
    """
    _check(packing, tensors)
    rows, columns = _latents(packing, tensors)
    laid = []
    for about, tensor in zip(packing.tensors, tensors, strict=True):
        laid.append(_lay(packing, about, _to_map(about, tensor), rows, columns))
        if about.prefix:
            laid.append(_double(_deal(tensor[:, : about.prefix].flatten(1), rows, columns)))
    return torch.cat(laid, 1)


def unpack(packing: Packing, grid: Tensor) -> tuple[Tensor, ...]:
    """(B, C, h, w) to the tensors as the network's tail takes them.

    Raises:
        SplitError: other channels, or another size of a fixed grid.
    """
    sides = (packing.side // packing.stride,) * 2 if packing.fixed else tuple(grid.shape[2:])
    if grid.shape[1:] != (packing.channels, *sides):
        raise SplitError(f"got features {tuple(grid.shape)}, expected (B, {packing.channels}, {sides[0]}, …)")
    rows, columns = sides[0] // 2, sides[1] // 2
    out, first = [], 0
    for about in packing.tensors:
        last = first + packing.map_channels(about)
        x = _lift(packing, about, grid[:, first:last], rows, columns)
        first, prefix = last, None
        if about.prefix:
            last = first + packing.prefix_channels(about)
            dealt = F.avg_pool2d(grid[:, first:last], 2).flatten(1)
            prefix = dealt[:, : about.prefix * about.channels].unflatten(1, (about.prefix, about.channels))
            first = last
        out.append(_from_map(about, x, prefix))
    return tuple(out)


# ---- one tensor


def _to_map(about: PackedTensor, x: Tensor) -> Tensor:
    """The tensor to (B, C, h, w), without its prefix."""
    if about.layout == "tokens":
        places = x[:, about.prefix :].transpose(1, 2)
        return places.reshape(len(x), about.channels, about.height, about.width)
    return x.permute(0, 3, 1, 2) if about.layout == "last" else x


def _from_map(about: PackedTensor, x: Tensor, prefix: Tensor | None) -> Tensor:
    """(B, C, h, w), and (B, prefix, C), to the tensor."""
    if about.layout == "tokens":
        tokens = x.flatten(2).transpose(1, 2)
        return tokens if prefix is None else torch.cat((prefix, tokens), 1)
    return x.permute(0, 2, 3, 1).contiguous() if about.layout == "last" else x.contiguous()


def _lay(packing: Packing, about: PackedTensor, x: Tensor, rows: int, columns: int) -> Tensor:
    fold, dealt = packing.fold(about), packing.dealt(about)
    if fold > 1:
        return F.pixel_unshuffle(_pad(x, fold * rows, fold * columns), fold // 2)
    missing = -about.channels % dealt**2
    if missing:
        x = F.pad(x, (0, 0, 0, 0, 0, missing))
    return _double(_pad(F.pixel_shuffle(x, dealt), rows, columns))


def _lift(packing: Packing, about: PackedTensor, x: Tensor, rows: int, columns: int) -> Tensor:
    fold, dealt = packing.fold(about), packing.dealt(about)
    x = F.pixel_shuffle(x, fold // 2) if fold > 1 else F.avg_pool2d(x, 2)
    if packing.fixed:
        height, width = about.height, about.width
    else:
        height, width = fold * rows // dealt, fold * columns // dealt
    x = x[..., : height * dealt, : width * dealt]
    return F.pixel_unshuffle(x, dealt)[:, : about.channels] if fold == 1 else x


def _latents(packing: Packing, tensors: Sequence[Tensor]) -> tuple[int, int]:
    """Rows and columns of latents that the tensors are of."""
    if packing.fixed:
        return packing.places, packing.places
    about = packing.tensors[0]
    h, w = _to_map(about, tensors[0]).shape[2:]
    fold, dealt = packing.fold(about), packing.dealt(about)
    return h * dealt // fold, w * dealt // fold


def _check(packing: Packing, tensors: Sequence[Tensor]) -> None:
    if len(tensors) != len(packing.tensors):
        raise SplitError(f"got {len(tensors)} tensors, expected {len(packing.tensors)}")
    for about, tensor in zip(packing.tensors, tensors, strict=True):
        if about.layout == "tokens":
            expected = (about.prefix + about.height * about.width, about.channels)
            right = tuple(tensor.shape[1:]) == expected
        else:
            kept = _to_map(about, tensor) if tensor.ndim == 4 else tensor
            right = tensor.ndim == 4 and kept.shape[1] == about.channels
            right = right and (not packing.fixed or kept.shape[2:] == (about.height, about.width))
        if not right:
            raise SplitError(f"{about.name}: got {tuple(tensor.shape)}, expected the shape of {about}")


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
