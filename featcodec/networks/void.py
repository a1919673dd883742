"""Tensors without numbers: what the head's code is run on when only the tail is to be computed.

The tail of a network is what its own code does after the cut. To get there the code before the cut has to be
passed, whatever it is; it is passed with `Void` tensors, which have shape, type and device, but no numbers.
After the cut the tensors that cross take the place of theirs:

    image size ─▶ Void ─▶ head's code, shapes only ─▶ Void ┊ real tensor ─▶ tail's code ─▶ output
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from featcodec.errors import SplitError
from featcodec.networks.extent import Extent, covers
from featcodec.networks.survey import FACTORIES, reads_numbers, storage_key

__all__ = ["Passage", "Void"]


@dataclass(slots=True)
class _Held:
    """What crosses of one piece of memory.

    Attributes:
        meta: of the tensor that was put in its place, without numbers.
        real: that tensor, where it is all of the memory.
        memory: (elements,) all of the memory; made when a view of it is needed.
        parts: what of the memory is defined.
    """

    meta: Tensor
    real: Tensor
    memory: Tensor | None
    parts: list[Extent]

    def view(self, extent: Extent) -> Tensor:
        """The tensor that lies there."""
        if self.memory is None:
            (whole,) = self.parts
            if extent == whole:
                return self.real
            if self.real.stride() == self.meta.stride():
                self.memory = self.real.as_strided((whole.elements,), (1,), 0)
            else:
                self.memory = self.real.new_empty(whole.elements)
                whole.part_of(self.memory).copy_(self.real)
        if not covers(self.parts, [extent]):
            raise SplitError(f"the tail reads more than {tuple(self.meta.shape)} of a tensor that crosses")
        return extent.part_of(self.memory)


@dataclass(slots=True)
class Passage:
    """One run of a network with the head passed over.

    Attributes:
        device: where the tail computes.
        memory: shapes that were worked out in earlier runs.
        past: whether the cut is behind.
    """

    device: torch.device
    memory: dict[Any, Any]
    past: bool = False
    _known: dict[int, _Held] = field(default_factory=dict)

    def void(self, meta: Tensor) -> Void:
        """A tensor of the shape and type of `meta`."""
        return Void(meta, self, self.device)

    def put(self, void: Void, real: Tensor) -> None:
        """From now on `real` is what the void tensor, and all that shares its memory, holds."""
        # a copy: layers that work in place must not change what belongs to the caller
        key, extent = storage_key(void.meta), Extent.of(void.meta)
        held = self._known.get(key)
        if held is None and extent.whole:
            self._known[key] = _Held(void.meta, real.clone(), None, [extent])
            return
        if held is None:  # a part of the memory; what is not put there is not read either
            held = self._known[key] = _Held(void.meta, real, real.new_empty(extent.elements), [])
        if held.memory is not None:
            extent.part_of(held.memory).copy_(real)
            held.parts.append(extent)

    def crossed(self, leaf: Any) -> Any:
        """As `real`; a tensor of which too little crosses stays void, as nothing may read it any more."""
        try:
            return self.real(leaf)
        except SplitError:
            return leaf

    def real(self, leaf: Any) -> Any:
        """The real tensor in the place of a void one, if there is one; anything else as it is.

        Raises:
            SplitError: of a tensor of which a part crosses, more is needed.
        """
        held = self._known.get(storage_key(leaf.meta)) if isinstance(leaf, Void) else None
        if held is None:
            return leaf
        if leaf.meta.dtype != held.meta.dtype:
            raise SplitError(f"the tail reads a tensor {tuple(held.meta.shape)} as {leaf.meta.dtype}")
        return held.view(Extent.of(leaf.meta))


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

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Void{tuple(self.meta.shape)}"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        voids = list(_voids((args, kwargs)))
        if not voids:  # what is asked of the class
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        passage = voids[0].passage
        if passage.past:
            # here and not in __torch_dispatch__: autograd lies in between, and gradients have to reach them
            args, kwargs = tree_map(passage.real, (args, kwargs))
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        return _remembered(passage, func, args, kwargs, voids)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        voids = list(_voids((args, kwargs)))
        passage = voids[0].passage
        device = kwargs.get("device") or passage.device
        if passage.past and func in FACTORIES:
            return func(*tree_map(_as_meta, args), **{**kwargs, "device": device})
        if passage.past:
            raise SplitError(f"the tail reads a tensor {tuple(voids[0].shape)} that does not cross ({func})")
        if reads_numbers(func, args):
            raise SplitError(f"what the head does depends on numbers in the picture ({func})")
        _refuse_writes(func, args)
        metas = {id(void.meta): void for void in voids}
        given = {key: tree_map(_as_meta, value) for key, value in kwargs.items()}
        if kwargs.get("device") is not None:
            given["device"] = torch.device("meta")
        try:
            out = func(*tree_map(_as_meta, args), **given)
        except (NotImplementedError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise SplitError(
                f"the head cannot be passed over, {func} fails without numbers: {reason}"
            ) from error

        def wrap(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            known = metas.get(id(leaf))
            return Void(leaf, passage, torch.device(device)) if known is None else known

        return tree_map(wrap, out)


def _voids(tree: Any) -> Iterator[Void]:
    if isinstance(tree, Void):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for branch in tree:
            yield from _voids(branch)
    elif isinstance(tree, dict):
        yield from _voids(tuple(tree.values()))


def _remembered(passage: Passage, func: Any, args: Any, kwargs: Any, voids: list[Void]) -> Any:
    """What `func` makes of void tensors; its shape is looked up where it has been worked out before.

    Working out a shape takes torch half a millisecond, as long as a small layer takes to compute.
    """
    key: Any
    try:
        key = (func, _signature(args), _signature(kwargs))
        known = passage.memory.get(key)
    except TypeError:  # an argument that cannot be a key
        key, known = None, None
    if isinstance(known, int):
        return voids[known]
    if known is not None:
        size, stride, dtype = known
        return passage.void(torch.empty_strided(size, stride, dtype=dtype, device="meta"))
    kind = passage.device.type
    with torch._C.DisableTorchFunctionSubclass(), torch.no_grad(), torch.autocast(kind, enabled=False):
        out = func(*args, **kwargs)
    if key is not None and isinstance(out, Void) and out.device == passage.device:
        which = next((i for i, void in enumerate(voids) if void is out), None)
        meta = out.meta
        if which is not None:
            passage.memory[key] = which
        elif storage_key(meta) not in {storage_key(void.meta) for void in voids}:  # no view
            passage.memory[key] = meta.size(), meta.stride(), meta.dtype
    return out


def _signature(tree: Any) -> Any:
    """A key for the arguments of an operation, numbers in tensors left out."""
    if isinstance(tree, Tensor):
        meta = tree.meta if isinstance(tree, Void) else tree
        return type(tree), meta.shape, meta.stride(), meta.dtype
    if isinstance(tree, (tuple, list)):
        return type(tree), *map(_signature, tree)
    if isinstance(tree, dict):
        return tuple((name, _signature(value)) for name, value in tree.items())
    return type(tree), tree


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
