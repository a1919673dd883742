"""Cutting any network in two after any of its layers.

    inputs ──head──▶ the tensors that cross ──tail──▶ what the network returns

Both halves are the network's own code. The head runs it up to the cut and stops there. The tail runs it with
the head's part passed over on tensors without numbers (`featcodec.networks.void`) and the tensors that cross
put in; it needs to know the size of the picture, never its pixels.
"""

from __future__ import annotations

import difflib
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from featcodec.errors import InputError, SplitError, one_line
from featcodec.networks.modules import plain_module
from featcodec.networks.survey import Layer, called, distinct, survey, tensors_in, watch
from featcodec.networks.void import Passage, Void

__all__ = ["Crossing", "Cut", "example_picture", "split"]

_MOST_NAMES = 6  # tensors that a message names
_MOST_SHAPES = 1 << 15  # shapes of layers that a cut remembers: those of a hundred picture sizes or so


class Crossing(tuple[Tensor, ...]):
    """The tensors that cross a cut: a tuple that remembers the sizes of the inputs they came from.

    Attributes:
        inputs: the arguments of the head, their tensors without numbers.
    """

    inputs: tuple[Any, ...]

    @staticmethod
    def of(tensors: Sequence[Tensor], inputs: tuple[Any, ...]) -> Crossing:
        """`tensors` that came of `inputs`."""
        crossing = Crossing(tensors)
        crossing.inputs = _sizes(inputs)
        return crossing


class _Stop(BaseException):
    """The head is done. No Exception, as the network's code may catch those."""


@dataclass(frozen=True)
class Cut:
    """A network cut after one of its layers. Made by `split`.

    Attributes:
        network: the whole network.
        layer: where it is cut.
        layers: every place where it could be cut, in the order of computation.
        example: the inputs it was examined with, without their numbers.
    """

    network: nn.Module
    layer: Layer
    layers: tuple[Layer, ...]
    example: tuple[Any, ...]
    _memory: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memory": {}}  # shapes, which are worked out again where they are needed

    @property
    def at(self) -> str:
        """The layer whose end is the cut."""
        return self.layer.name

    @property
    def crossing(self) -> tuple[str, ...]:
        """Names of the tensors that cross, in the order of `head`'s result."""
        return self.layer.crossing

    def head(self, *inputs: Any) -> Crossing:
        """The network's inputs to the tensors that cross; nothing after the cut is computed.

        Raises:
            SplitError: at this size other layers run than in the example, and a tensor is not there.
        """
        found: dict[int, Tensor] = {}

        def visit(path: str, call: int, output: bool, what: Any) -> None:
            self._collect(path, call, output, what, found)
            if output and called(path, call) == self.at:
                raise _Stop

        try:
            with watch(self.network, self._watched(), visit):
                self.network(*inputs)
        except _Stop:
            self._check_complete(found)
            return Crossing.of([found[i] for i in range(len(found))], inputs)
        raise SplitError(f"cut after layer {self.at}: the network did not reach it with these inputs")

    def tail(self, features: Sequence[Tensor], *, like: Any = None) -> Any:
        """The tensors that cross to what the network returns; nothing before the cut is computed.

        Args:
            features: as `head` gives them. They are not changed, and gradients reach them.
            like: inputs of the sizes that the features came from; only their shapes are read. Needed where
                features are not the very tuple that `head` gave, and the network is no plain function of
                one picture (B, 3, H, W) whose sides are multiples of the stride.

        Returns:
            What the network returns for those inputs, bit for bit.

        Raises:
            InputError: not as many features as cross, or of other shapes than the sizes lead to.
            SplitError: at this size the tail reads a tensor that does not cross.
        """
        if len(features) != len(self.crossing):
            raise InputError(f"tail: got {len(features)} tensors, expected {', '.join(self.crossing)}")
        if len(self._memory) > _MOST_SHAPES:
            self._memory.clear()
        passage = Passage(features[0].device, self._memory)
        sizes = self._inputs(features, like)
        found: dict[int, Tensor] = {}

        def visit(path: str, call: int, output: bool, what: Any) -> Any:
            if passage.past:
                return None
            self._collect(path, call, output, what, found)
            if not (output and called(path, call) == self.at):
                return None
            self._check_complete(found)
            for i, name in enumerate(self.crossing):
                _put(passage, found[i], features[i], name)
            passage.past = True
            return tree_map(passage.crossed, what)

        inputs = tree_map(lambda leaf: passage.void(leaf) if isinstance(leaf, Tensor) else leaf, sizes)
        with watch(self.network, self._watched(), visit):
            return tree_map(passage.real, self.network(*inputs))

    @property
    def only(self) -> str:
        """The name of the one tensor (B, C, h, w) that crosses.

        Raises:
            SplitError: several cross, or one of another kind; a codec takes one. Names them, and the nearest
                layers before and after where one crosses.
        """
        if self.layer.single:
            return self.crossing[0]
        raise SplitError(
            f"cut after layer {self.at}: {_crossing(self.layer)}, expected one (B, C, h, w); "
            f"{_nearest(self.layer, self.layers)}"
        )

    def features(self) -> tuple[int, int]:
        """Channels of the one tensor that crosses and its stride in pixels of the input; errors as `only`."""
        _ = self.only
        return self.layer.shapes[0][1], max(1, round(self.layer.stride or 0))

    def _watched(self) -> list[str]:
        """The layers to keep an eye on, the one that is cut after last, so that it is complete by then."""
        at = self.at.partition("#")[0]
        return [*dict.fromkeys(p.path for p in self.layer.places if p and p.path != at), at]

    def _collect(self, path: str, call: int, output: bool, what: Any, found: dict[int, Tensor]) -> None:
        for i, place in enumerate(self.layer.places):
            if place and (place.path, place.call, place.output) == (path, call, output):
                leaves = tree_leaves(what)
                if place.leaf < len(leaves) and isinstance(leaves[place.leaf], Tensor):
                    found[i] = leaves[place.leaf]

    def _check_complete(self, found: dict[int, Tensor]) -> None:
        missing = [name for i, name in enumerate(self.crossing) if i not in found]
        if missing:
            raise SplitError(f"cut after layer {self.at}: with these inputs there is no {', '.join(missing)}")

    def _inputs(self, features: Sequence[Tensor], like: Any) -> tuple[Any, ...]:
        """What is known of the inputs that the features came from."""
        if like is not None:
            return _sizes(_arguments(like))
        if isinstance(features, Crossing):
            return features.inputs
        shapes = [tuple(f.shape) for f in features]
        if shapes == list(self.layer.shapes):
            return self.example
        return (_scaled(self.example, self.layer.shapes[0], shapes[0]),)


def split(model: nn.Module, *, at: str | int, example: Any = None) -> Cut:
    """Cuts a network after one of its layers: any network, any layer at whose end its code can be stopped.

    The network is run twice on the example: to see what crosses, and to prove that both halves together give
    what the whole gives. What the halves compute is the network's own code, at any size.

    Args:
        model: in evaluation mode; it is not changed. What `torch.compile` or `nn.DataParallel` made of one is
            cut as the module inside.
        at: the layer's name, as `nn.Module.named_modules` gives it; ``"name#2"`` is its second call, where it
            is called several times. A number n is layer ``model.n`` of a YOLOv5 network.
        example: what the model is called with (a tuple: several arguments); one picture of noise,
            (1, 3, 224, 224) in [0, 1], unless given. Sizes may be others later, its kind may not.

    Returns:
        The network in two halves; ``cut.tail(cut.head(x))`` is ``model(x)``, bit for bit.

    Raises:
        SplitError: no such layer (says which have similar names), or one after which the network cannot be
            cut (says what crosses and where it can be cut).
        InputError: the model is in training mode, fails on the example, or is no module whose layers can be
            seen.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, 2, 1)).eval()
        >>> cut = split(network, at="1")
        >>> x = torch.rand(2, 3, 96, 64)
        >>> features = cut.head(x)
        >>> cut.crossing, [tuple(f.shape) for f in features], cut.features()
        (('1',), [(2, 8, 48, 32)], (8, 2))
        >>> torch.equal(cut.tail(features), network(x))
        True
    """
    model = plain_module(model, name="model")
    if not isinstance(at, str | int) or isinstance(at, bool):
        raise InputError(f"at: got {type(at).__name__}, expected the name of a layer, or its number")
    inputs = (example_picture(model),) if example is None else _arguments(example)
    seen = survey(model, inputs)
    layer = _find(model, f"model.{at}" if isinstance(at, int) else at, seen.layers)
    if layer.obstacle:
        near = _nearest(layer, seen.layers)
        raise SplitError(f"cut after layer {layer.name}: {layer.obstacle}; {_crossing(layer)}; {near}")
    cut = Cut(model, layer, seen.layers, _sizes(inputs))
    _prove(cut, inputs, seen.output)
    return cut


def example_picture(model: nn.Module, size: int = 224) -> Tensor:
    """Noise (1, 3, size, size) in [0, 1], always the same; type and device are the model's."""
    random = torch.Generator("cpu").manual_seed(0)
    picture = torch.rand(1, 3, size, size, generator=random, dtype=torch.float32, device="cpu")
    first = next((p for p in model.parameters() if p.is_floating_point()), picture)
    return picture.to(first.device, first.dtype)


def _find(model: nn.Module, at: str, layers: tuple[Layer, ...]) -> Layer:
    known = {layer.name: layer for layer in layers}
    found = known.get(at) or known.get(_other_name(model, at, known))
    if found:
        return found
    if at in dict(model.named_modules(remove_duplicate=False)):
        problem = "the network does not call it, or calls it by other means than as a module"
    else:
        problem = "no such layer"
    near, hint = difflib.get_close_matches(at, known, n=4, cutoff=0.4), "similar names are"
    if not near:
        near, hint = list(known)[:4], "its first layers are"
    names = f"; {hint} {', '.join(near)}" if near else ""
    raise SplitError(f"cut after layer {at!r}: {problem}{names}")


def _other_name(model: nn.Module, at: str, known: Container[str]) -> str:
    """The call that is meant where one module stands under several names, and is called once for each."""
    modules = dict(model.named_modules(remove_duplicate=False))
    names = [name for name, module in modules.items() if module is modules.get(at)]
    calls = [called(names[0], call) for call in range(1, len(names) + 2)] if names else [at]
    one_each = calls.pop() not in known and all(call in known for call in calls)
    return calls[names.index(at)] if names and one_each else ""


def _prove(cut: Cut, inputs: tuple[Any, ...], output: Any) -> None:
    try:
        with torch.no_grad():
            again = tree_leaves(cut.tail(cut.head(*inputs)))
    except Exception as error:  # whatever somebody else's network does with tensors that have no numbers
        reason = one_line(error)
        raise SplitError(f"cut after layer {cut.at}: the tail cannot be run alone: {reason}") from error
    whole = tree_leaves(output)
    if len(again) != len(whole) or not all(map(_same, again, whole)):
        raise SplitError(
            f"cut after layer {cut.at}: the halves do not give what the whole network gives; "
            "does it draw random numbers?"
        )


def _same(a: Any, b: Any) -> bool:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return True  # text, numbers, whatever else a network returns
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _crossing(layer: Layer) -> str:
    """What crosses, by name and shape; the first few of many."""
    named = [f"{name} {shape}" for name, shape in zip(layer.crossing, layer.shapes, strict=True)]
    if len(named) > _MOST_NAMES:
        named = [*named[:_MOST_NAMES], f"and {len(named) - _MOST_NAMES} more"]
    kind = "tensor crosses" if len(layer.crossing) == 1 else "tensors cross"
    return f"{len(layer.crossing)} {kind}{': ' if named else ''}{', '.join(named)}"


def _nearest(layer: Layer, layers: tuple[Layer, ...]) -> str:
    """The closest layers before and after at which one tensor crosses."""
    single = distinct(other for other in layers if other.single)
    before = [f"{other.name} before it" for other in single if other.step < layer.step]
    after = [f"{other.name} after it" for other in single if other.step > layer.step]
    near = before[-1:] + after[:1]
    return (
        f"the nearest where one crosses: {' and '.join(near)}" if near else "there is none where one crosses"
    )


def _arguments(example: Any) -> tuple[Any, ...]:
    return example if isinstance(example, tuple) else (example,)


def _sizes(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs without the numbers in their tensors."""

    def bare(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return torch.empty_strided(leaf.size(), leaf.stride(), dtype=leaf.dtype, device="meta")

    sizes: tuple[Any, ...] = tree_map(bare, inputs)
    return sizes


def _scaled(example: tuple[Any, ...], was: tuple[int, ...], now: tuple[int, ...]) -> Tensor:
    """A picture as much larger than the example as the features are."""
    pictures = [t for _, t in tensors_in(example)]
    plain = len(example) == 1 and isinstance(example[0], Tensor) and example[0].ndim == 4
    if not plain or len(was) != 4 or len(now) != 4:
        raise InputError(f"tail: cannot tell the size of the inputs from features {now}; give like=inputs")
    sides = []
    for side, before, after in zip(pictures[0].shape[2:], was[2:], now[2:], strict=True):
        if side * after % before:
            raise InputError(f"tail: cannot tell the size of the picture from features {now}; give like=x")
        sides.append(side * after // before)
    picture = pictures[0]
    return torch.empty(now[0], picture.shape[1], *sides, dtype=picture.dtype, device="meta")


def _put(passage: Passage, place: Tensor, feature: Tensor, name: str) -> None:
    if tuple(place.shape) != tuple(feature.shape):
        got, expected = tuple(feature.shape), tuple(place.shape)
        raise InputError(f"tail: {name}: got {got}, expected {expected} for inputs of this size")
    if isinstance(place, Void):  # else it does not depend on the picture at this size
        passage.put(place, feature.as_subclass(Tensor))
