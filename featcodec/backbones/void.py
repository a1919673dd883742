"""Tensors without numbers: what the head's code is run on when only the tail is to be computed.

The tail of a network is what its own code does after the cut. To get there the code before the cut has to be
passed, whatever it is; it is passed with `Void` tensors, which have shape, type and device, but no numbers.
After the cut the tensors that cross take the place of theirs:

    image size ─▶ Void ─▶ head's code, shapes only ─▶ Void ┊ real tensor ─▶ tail's code ─▶ output
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from featcodec.backbones.graph import FACTORIES, VALUE_TAGS, storage_key
from featcodec.errors import SplitError

__all__ = ["Passage", "Void"]


@dataclass(slots=True)
class Passage:
    """One run of a network with the head passed over.

    Attributes:
        device: where the tail computes.
        past: whether the cut is behind.
    """

    device: torch.device
    past: bool = False
    _known: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def void(self, meta: Tensor) -> Void:
        """A tensor of the shape and type of `meta`."""
        return Void(meta, self, self.device)

    def put(self, void: Void, real: Tensor) -> None:
        """From now on `real` is what the void tensor, and all that shares its memory, holds."""
        # a copy: layers that work in place must not change what belongs to the caller
        self._known[storage_key(void.meta)] = void.meta, real.clone()

    def real(self, leaf: Any) -> Any:
        """The real tensor in the place of a void one, if there is one; anything else as it is."""
        if not isinstance(leaf, Void) or storage_key(leaf.meta) not in self._known:
            return leaf
        key = storage_key(leaf.meta)
        meta, real = self._known[key]
        shape, stride, offset = leaf.meta.size(), leaf.meta.stride(), leaf.meta.storage_offset()
        if (shape, stride, offset) == (meta.size(), meta.stride(), meta.storage_offset()):
            return real
        if real.stride() != meta.stride():
            real = torch.empty_strided(meta.size(), meta.stride(), dtype=real.dtype, device=real.device).copy_(
                real
            )
            self._known[key] = meta, real
        return real.as_strided(shape, stride, offset)


class Void(Tensor):
    """A tensor without numbers. Operations before the cut give void tensors and compute nothing."""

    meta: Tensor
    passage: Passage

    @staticmethod
    def __new__(cls: type[Void], meta: Tensor, passage: Passage, device: torch.device) -> Void:
        void: Void = torch.Tensor._make_wrapper_subclass(
            cls,
            meta.size(),
            strides=meta.stride(),
            storage_offset=meta.storage_offset(),
            dtype=meta.dtype,
            layout=meta.layout,
            device=device,
        )
        void.meta, void.passage = meta, passage
        return void

    def __init__(self, *_: object) -> None:
        """Everything is done in `__new__`, as tensors want it."""

    def __repr__(self, *, tensor_contents: object = None) -> str:  # noqa: ARG002
        return f"Void{tuple(self.meta.shape)}"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG003
        args, kwargs = _after_the_cut(args, kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG003
        kwargs = kwargs or {}
        voids = _voids(args, kwargs)
        passage = voids[0].passage
        device = kwargs.get("device") or passage.device
        if passage.past and func in FACTORIES:
            return func(*tree_map(_as_meta, args), **{**kwargs, "device": device})
        if passage.past:
            raise SplitError(f"the tail reads a tensor {tuple(voids[0].shape)} that does not cross ({func})")
        if VALUE_TAGS & set(func.tags):
            raise SplitError(f"what the head does depends on numbers in the picture ({func})")
        _refuse_writes(func, args)
        metas = {id(void.meta): void for void in voids}
        given = {key: tree_map(_as_meta, value) for key, value in kwargs.items()}
        if kwargs.get("device") is not None:
            given["device"] = torch.device("meta")
        out = func(*tree_map(_as_meta, args), **given)

        def wrap(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            known = metas.get(id(leaf))
            return Void(leaf, passage, torch.device(device)) if known is None else known

        return tree_map(wrap, out)


def _voids(args: Any, kwargs: Any) -> list[Void]:
    found: list[Void] = []
    tree_map(lambda leaf: found.append(leaf) if isinstance(leaf, Void) else None, (args, kwargs))
    return found


def _after_the_cut(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Real tensors in the place of void ones; above autograd, so that gradients reach them."""
    voids = _voids(args, kwargs)
    if not voids or not voids[0].passage.past:
        return args, kwargs
    replaced: tuple[Any, Any] = tree_map(voids[0].passage.real, (args, kwargs))
    return replaced


def _as_meta(leaf: Any) -> Any:
    if isinstance(leaf, Void):
        return leaf.meta
    return leaf.to("meta") if isinstance(leaf, Tensor) else leaf


def _refuse_writes(func: Any, args: Any) -> None:
    """A tensor with numbers cannot take in one without."""
    for expected, got in zip(func._schema.arguments, args, strict=False):
        written = expected.alias_info is not None and expected.alias_info.is_write
        if written and isinstance(got, Tensor) and not isinstance(got, Void):
            raise SplitError(f"the head writes into a tensor of its own ({func})")
