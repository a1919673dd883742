"""What a network computes from its input, seen while it runs: where it can be cut, and what crosses there.

The network is run once, as it is. A dispatch mode sees every operation, hooks see where layers begin and end:

    time ──▶  op  op ┊ op  op ┊ op ...           ┊ a layer returns: a place for a cut
    value     ╺━━━━━━━━━━━━╸                      born by an operation, read by later ones

A value crosses a cut if it was born before it and is read, or returned, after it. Values are told apart by
their storage, so that operations in place need no further thought; a view stands for a value where everything
that is read after the cut lies within it (`featcodec.networks.extent`). Nothing is traced symbolically:
whatever control flow is around the layers, it has already happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from featcodec.errors import InputError, one_line
from featcodec.networks.extent import Extent, covers

__all__ = [
    "FACTORIES",
    "Layer",
    "Place",
    "Survey",
    "called",
    "distinct",
    "reads_numbers",
    "storage_key",
    "survey",
    "tensors_in",
    "watch",
]

_aten = torch.ops.aten
# these read the shape, type and device of a tensor, never its numbers
FACTORIES = frozenset(
    getattr(_aten, name).default
    for name in ("new_empty", "new_full", "new_ones", "new_zeros", "empty_like", "ones_like", "zeros_like")
) | {_aten.full_like.default, _aten.new_empty_strided.default}
# operations whose results Python can branch on, or whose shapes depend on the numbers in a tensor
_VALUE_TAGS = frozenset({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor can be taken hold of: an input or output of one call of a layer.

    Attributes:
        path: the layer's name in the network; empty for the network itself.
        call: which call of the layer, from 1.
        output: whether the layer returns the tensor; else it reads it.
        leaf: position among the leaves of what the layer returns or reads.
        alone: whether it is the only tensor there.
    """

    path: str
    call: int
    output: bool
    leaf: int = 0
    alone: bool = True

    def __str__(self) -> str:
        name = called(self.path, self.call) if self.output else f"input of {called(self.path, self.call)}"
        name = name if self.path else "output" if self.output else "input"
        return name if self.alone else f"{name}[{self.leaf}]"


@dataclass(frozen=True, slots=True)
class Layer:
    """A place where the network could be cut: after one call of a layer.

    Attributes:
        name: the layer, as `nn.Module.named_modules` names it; ``#2`` is added for its second call.
        step: operations before the cut; layers with the same number are the same cut.
        crossing: names of the tensors that cross, in the order in which they are computed.
        shapes: their shapes, for the example.
        places: where they can be taken hold of; None for one of which no layer reads or returns all that is
            needed after the cut.
        flops: floating-point operations before the cut (a multiplication and an addition are two).
        stride: pixels of the input for each row of the one tensor (B, C, h, w) that crosses; None where
            several cross, or one whose last two dimensions are not those of the picture made smaller.
        obstacle: why the network cannot be cut there; None where it can.
    """

    name: str
    step: int
    crossing: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    places: tuple[Place | None, ...]
    flops: int
    stride: float | None
    obstacle: str | None

    @property
    def single(self) -> bool:
        """Whether exactly one tensor (B, C, h, w) crosses: what a codec takes."""
        return self.obstacle is None and self.stride is not None

    @property
    def own(self) -> bool:
        """Whether all that crosses is what this call of the layer returns, as a pyramid's maps."""
        places = [p for p in self.places if p and p.output and called(p.path, p.call) == self.name]
        return self.obstacle is None and len(places) == len(self.shapes) > 0

    @property
    def numbers(self) -> int:
        """How many numbers cross: bytes, at 8 bit each."""
        return sum(math.prod(shape) for shape in self.shapes)


@dataclass(frozen=True, slots=True)
class Survey:
    """A network, seen running once.

    Attributes:
        layers: every call of every layer, in the order in which they return.
        output: what the network returned.
        flops: floating-point operations of the whole run.
    """

    layers: tuple[Layer, ...]
    output: Any
    flops: int


def called(path: str, call: int) -> str:
    """The name of one call of a layer."""
    return path if call == 1 else f"{path}#{call}"


def reads_numbers(func: Any, args: Any) -> bool:
    """Whether the size of an operation's result, or what Python does next, depends on numbers in a tensor."""
    if func is _aten.index.Tensor:  # by masks, not by positions
        return any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1])
    return bool(_VALUE_TAGS & set(func.tags))


Visit = Callable[[str, int, bool, Any], Any]


@contextmanager
def watch(network: nn.Module, paths: Iterable[str], visit: Visit) -> Iterator[None]:
    """Calls ``visit(path, call, output, what)`` when a layer begins and when it returns.

    What `visit` makes of an output, unless None, takes its place.
    """
    calls: dict[str, int] = {}
    handles = []

    def hook(path: str) -> None:
        def before(_: nn.Module, args: Any, kwargs: Any) -> None:
            calls[path] = calls.get(path, 0) + 1
            visit(path, calls[path], False, (args, kwargs))

        def after(_: nn.Module, _args: Any, output: Any) -> Any:
            return visit(path, calls[path], True, output)

        module = network.get_submodule(path)
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after))

    try:
        for path in paths:
            hook(path)
        yield
    finally:
        for handle in handles:
            handle.remove()


def tensors_in(tree: Any) -> list[tuple[int, Tensor]]:
    """The tensors in a structure, each with its position among the leaves."""
    return [(i, leaf) for i, leaf in enumerate(tree_leaves(tree)) if isinstance(leaf, Tensor)]


def storage_key(tensor: Tensor) -> int:
    """The same for tensors that share memory."""
    key: int = StorageWeakRef(tensor.untyped_storage()).cdata
    return key


@dataclass(slots=True)
class _Value:
    """A piece of memory that depends on the input."""

    storage: StorageWeakRef  # held, so that its key is given to no other storage
    born: int
    shape: tuple[int, ...]
    maker: str
    reads: dict[Extent, float] = field(default_factory=dict)  # when each part of it was last read
    places: list[tuple[int, Place, Extent]] = field(default_factory=list)

    def read(self, tensor: Tensor, time: float) -> None:
        self.reads[Extent.of(tensor)] = time

    def crosses(self, time: int) -> bool:
        """Whether it is there at `time`, and read after it."""
        return self.born <= time and any(time < last for last in self.reads.values())

    def taken(self, time: int) -> list[tuple[Place | None, tuple[int, ...]]]:
        """Where to take hold of what is read of it after `time`, and the shapes there.

        What the layer returned that ends then comes first. Else it is what the outermost layer returned, the
        latest of those, the whole value before a part of it; else all parts that the layer returned.
        """
        needed = [extent for extent, last in self.reads.items() if time < last]
        known = [(t, place, extent) for t, place, extent in self.places if t <= time]
        known.sort(key=lambda k: (k[0] != time, not k[2].whole, not k[1].output, k[1].path.count("."), -k[0]))
        for _, place, extent in known:
            if covers([extent], needed):
                return [(place, extent.size)]
        parts = [(place, extent) for t, place, extent in known if t == time]
        if covers([extent for _, extent in parts], needed):
            return [(place, extent.size) for place, extent in parts]
        return [(None, self.shape)]


@dataclass(frozen=True, slots=True)
class _Return:
    """A layer returned."""

    name: str
    time: int
    step: int
    flops: int


class _Recorder(TorchDispatchMode):
    """Sees every operation and every layer of one run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.time = self.step = self.flops = 0
        self.values: dict[int, _Value] = {}
        self.returns: list[_Return] = []
        self.open: list[str] = [""]
        self.obstacle: tuple[int, str] | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.time, self.step = self.time + 1, self.step + 1
        packet = func._overloadpacket
        if packet in flop_registry:
            self.flops += int(flop_registry[packet](*args, **kwargs, out_val=out))
        keys = {storage_key(t) for _, t in tensors_in((args, kwargs))}
        read = [self.values[key] for key in keys if key in self.values]
        if not read:
            return out
        if func not in FACTORIES:
            self._reads((args, kwargs), self.time)
        if reads_numbers(func, args):
            self._impossible(f"what happens in {self._here} depends on numbers in the picture ({packet})")
        for _, tensor in tensors_in(out):
            if self._see(tensor) and storage_key(tensor) in keys:
                self._impossible(f"{self._here} writes into a tensor of its own ({packet})")
        return out

    def _reads(self, tree: Any, time: float) -> None:
        for _, tensor in tensors_in(tree):
            value = self.values.get(storage_key(tensor))
            if value:
                value.read(tensor, time)

    @property
    def _here(self) -> str:
        return self.open[-1] or "the network itself"

    def _impossible(self, reason: str) -> None:
        self.obstacle = self.obstacle or (self.time, reason)

    def _see(self, tensor: Tensor) -> bool:
        """Makes the tensor's memory a value; False if it already is."""
        weak = StorageWeakRef(tensor.untyped_storage())
        if weak.cdata in self.values:
            return False
        self.values[weak.cdata] = _Value(weak, self.time, tuple(tensor.shape), self._here)
        return True

    def visit(self, path: str, call: int, output: bool, what: Any) -> None:
        self.time += 1
        found = tensors_in(what)
        if not path and not output:
            for _, tensor in found:
                self._see(tensor)
        for leaf, tensor in found:
            value = self.values.get(storage_key(tensor))
            extent = Extent.of(tensor)
            if value and extent.distinct:
                place = Place(path, call, output, leaf, len(found) == 1)
                value.places.append((self.time, place, extent))
        if not output:
            self.open.append(path)
        else:
            self.open.pop()
            self._returned(path, call, found)

    def _returned(self, path: str, call: int, found: list[tuple[int, Tensor]]) -> None:
        if path:
            self.returns.append(_Return(called(path, call), self.time, self.step, self.flops))
        else:
            self._reads([tensor for _, tensor in found], math.inf)

    def layer(self, returned: _Return, sides: tuple[int, ...]) -> Layer:
        crossing = [v for v in self.values.values() if v.crosses(returned.time)]
        crossing.sort(key=lambda v: v.born)
        found = [(v, place, shape) for v in crossing for place, shape in v.taken(returned.time)]
        names = tuple(str(place) if place else f"a tensor inside {v.maker}" for v, place, _ in found)
        shapes = tuple(shape for _, _, shape in found)
        obstacle = None
        if self.obstacle and self.obstacle[0] <= returned.time:
            obstacle = self.obstacle[1]
        elif not found:
            obstacle = "nothing crosses that depends on the picture"
        elif not all(place for _, place, _ in found):
            obstacle = "a tensor crosses that no layer reads or returns as a whole"
        return Layer(
            name=returned.name,
            step=returned.step,
            crossing=names,
            shapes=shapes,
            places=tuple(place for _, place, _ in found),
            flops=returned.flops,
            stride=_stride(sides, shapes[0]) if len(shapes) == 1 else None,
            obstacle=obstacle,
        )


def _stride(sides: tuple[int, ...], shape: tuple[int, ...]) -> float | None:
    if not sides or len(shape) != 4 or 0 in shape:
        return None
    down, across = (side / small for side, small in zip(sides, shape[2:], strict=True))
    # the picture's sides shrink alike, but for rounding; in (B, h, w, C) the last two dimensions do not
    return down if 2 / 3 <= down / across <= 3 / 2 else None


def distinct(layers: Iterable[Layer]) -> list[Layer]:
    """One layer for each cut, the outermost of those that end there, in the order of computation."""
    best: dict[int, Layer] = {}
    for layer in layers:
        other = best.get(layer.step)
        if other is None or _depth(layer) < _depth(other):
            best[layer.step] = layer
    return [best[step] for step in sorted(best)]


def _depth(layer: Layer) -> tuple[int, int]:
    return layer.name.count("."), layer.name.count("#")


@torch.no_grad()
def survey(network: nn.Module, inputs: tuple[Any, ...]) -> Survey:
    """Runs a network once and tells after which layers it could be cut.

    Args:
        network: in evaluation mode.
        inputs: the arguments it is called with.

    Raises:
        InputError: the network is in training mode, or fails on these inputs.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()).eval()
        >>> seen = survey(network, (torch.zeros(1, 3, 16, 16),))
        >>> [(layer.name, layer.shapes, layer.flops, layer.stride) for layer in seen.layers]
        [('0', ((1, 8, 8, 8),), 27648, 2.0), ('1', ((1, 8, 8, 8),), 27648, 2.0)]
    """
    if any(module.training for module in network.modules()):
        raise InputError("got a network in training mode, expected one in evaluation mode: network.eval()")
    recorder = _Recorder()
    paths = [path for path, _ in network.named_modules()]
    try:
        with watch(network, paths, recorder.visit), recorder:
            output = network(*inputs)
    except Exception as error:  # whatever somebody else's network raises
        shapes = ", ".join(" x ".join(map(str, t.shape)) for _, t in tensors_in(inputs)) or "no tensor"
        reason = one_line(error)
        raise InputError(f"the network fails on an input of {shapes}: {reason}") from error
    sides = next((tuple(t.shape[-2:]) for _, t in tensors_in(inputs) if t.ndim >= 3), ())
    layers = tuple(recorder.layer(returned, sides) for returned in recorder.returns)
    return Survey(layers, output, recorder.flops)
