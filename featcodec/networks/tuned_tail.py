"""A tail of its own: a network whose weights behind the cut are others than in front of it.

    x ─head─▶ f                          the network's own
              f̂ ─tail, tuned─▶ outputs   a copy with other weights behind the cut

A codec may carry weights that were tuned to what it decodes; the head stays the network's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.outputs import tensors_of

__all__ = ["tail_parameters", "with_tail"]


def tail_parameters(
    cut: CutNetwork, f: Tensor, also: Callable[[Tensor], Sequence[Tensor]] | None = None
) -> dict[str, nn.Parameter]:
    """The parameters that only the tail uses, by name: gradients of what it computes reach them.

    Args:
        cut: a network.
        f: features (B, C, h, w) to try with.
        also: features to further tensors that count, where what the network returns has no gradients.

    Example:
        >>> from featcodec.networks.families import NetworkWish, cut_network, describe
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
        >>> cut = cut_network(network, describe(network, NetworkWish(at="1", model="tiny")), size=64)
        >>> sorted(tail_parameters(cut, torch.rand(1, 8, 16, 16)))
        ['2.bias', '2.weight']
    """
    known = {n: p for n, p in cut.network.named_parameters() if p.is_floating_point()}
    stride = cut.crossing[0].stride
    x = f.new_zeros(1, 3, f.shape[2] * stride, f.shape[3] * stride)
    with _gradients(known):
        before = _reached(cut.head(x), known)
        outputs = [t for _, t in tensors_of(cut.tail((f,)))] + list(also(f) if also else ())
        behind = _reached(outputs, known)
    return {name: known[name] for name in known if name in behind and name not in before}


class _gradients:
    """Parameters have gradients inside, and are as they were outside."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]):
        self._parameters = parameters.values()
        self._before = [p.requires_grad for p in self._parameters]
        self._grad = torch.enable_grad()

    def __enter__(self) -> None:
        self._grad.__enter__()
        for p in self._parameters:
            p.requires_grad_(True)

    def __exit__(self, *error: object) -> None:
        for p, before in zip(self._parameters, self._before, strict=True):
            p.requires_grad_(before)
        self._grad.__exit__(*error)


def _reached(outputs: Sequence[Tensor], known: Mapping[str, nn.Parameter]) -> set[str]:
    sums = [t.float().sum() for t in outputs if t.is_floating_point() and t.requires_grad]
    if not sums:
        return set()
    found = torch.autograd.grad(torch.stack(sums).sum(), list(known.values()), allow_unused=True)
    return {name for name, g in zip(known, found, strict=True) if g is not None}


@torch.no_grad()
def with_tail(cut: CutNetwork, tensors: Mapping[str, Tensor]) -> CutNetwork:
    """A copy of a cut network in which some parameters have other values.

    Args:
        cut: stays as it is.
        tensors: by the parameters' names in ``cut.network``.

    Raises:
        ValueError: a name that the network has no parameter of, or another shape.
    """
    tuned = copy.deepcopy(cut)
    known = dict(tuned.network.named_parameters())
    for name, value in tensors.items():
        if name not in known:
            raise ValueError(f"tail: got {name!r:.80}, expected parameters of {cut.config}")
        if known[name].shape != value.shape:
            got, expected = tuple(value.shape), tuple(known[name].shape)
            raise ValueError(f"tail: {name}: got {got}, expected {expected}")
        known[name].copy_(value)
    return tuned
