"""YOLOX from somebody's file, a checkpoint or ONNX: scale and classes show in the shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from featcodec.networks.folding import folded
from featcodec.networks.onnx_files import Convolution, merged
from featcodec.networks.pickle_records import Unusable
from featcodec.networks.weight_files import fill, unwrapped
from featcodec.networks.yolox import EPSILON, SCALES, YOLOX, Scale

__all__ = ["MARKER", "is_yolox", "yolox_by_shapes", "yolox_of", "yolox_of_convolutions"]

MARKER = "backbone.backbone.stem.conv.conv.weight"  # a tensor by whose name weights of YOLOX are known
CLASSES = "head.cls_preds.0.bias"


def yolox_by_shapes(tensors: Mapping[str, Tensor]) -> YOLOX:
    """Build the network whose tensors these are, by the names of the official checkpoints.

    Args:
        tensors: with batch normalisation or with it folded; before all names ``module.``, ``_orig_mod.`` or
            ``model.`` may stand.

    Raises:
        Unusable: they are of no YOLOX; says in what they differ.

    Example:
        >>> network = YOLOX("tiny", classes=6)
        >>> same = yolox_by_shapes({f"module.{k}": v for k, v in network.state_dict().items()})
        >>> same.scale, same.classes
        ('tiny', 6)
    """
    own = unwrapped(tensors, {MARKER})
    for name in (MARKER, CLASSES):
        if name not in own or not own[name].ndim:
            raise Unusable(f"no {name} in it, expected the names of YOLOX")
    scale = _scale(own[MARKER], depthwise="backbone.backbone.dark2.0.dconv.conv.weight" in own)
    return yolox_of(scale, int(own[CLASSES].shape[0]), own)


def yolox_of(scale: Scale, classes: int, tensors: Mapping[str, Tensor]) -> YOLOX:
    """Build the network around copies of its tensors, in float32 and evaluation mode.

    Raises:
        Unusable: they are not its own; says in what they differ.
    """
    if classes < 1:
        raise Unusable(f"{CLASSES}: got {classes} classes, expected at least 1")
    with torch.device("meta"):  # shapes only: no memory for a hostile number of classes, no random numbers
        network = YOLOX(scale, classes=classes)
    fill(network, folded(tensors, epsilon=EPSILON), name=f"YOLOX-{scale}")
    return network


def is_yolox(convolutions: Sequence[Convolution]) -> bool:
    """Whether the first convolution reads what the family's stem reads: four pixels of three colours."""
    return convolutions[0].weight.shape[1:] == (12, 3, 3) and not convolutions[0].reads


def yolox_of_convolutions(convolutions: Sequence[Convolution]) -> YOLOX:
    """Build the network whose convolutions an ONNX file has, in the order in which the network runs them.

    Each convolution is compared with the one in its place: shapes, stride, padding, groups, and which
    convolutions it reads. So every weight is placed once, and in the only place that it can have.

    Raises:
        Unusable: they are of no YOLOX, or in another order; names the first that differs.
    """
    depthwise = len(convolutions) > 1 and convolutions[1].groups > 1
    scale = _scale(convolutions[0].weight, depthwise=depthwise)
    with torch.device("meta"):
        network = YOLOX(scale)
    expected = _wiring(network)
    if len(convolutions) != len(expected):
        got = f"{len(convolutions)} convolutions"
        raise Unusable(f"not the weights of YOLOX-{scale}: got {got}, expected {len(expected)}")
    names = list(expected)
    classes = int(convolutions[names.index(CLASSES.removesuffix(".bias"))].weight.shape[0])
    with torch.device("meta"):
        network = YOLOX(scale, classes=classes)
    tensors: dict[str, Tensor] = {}
    for convolution, name in zip(convolutions, names, strict=True):
        _check(convolution, name, network.get_submodule(name), expected[name])
        tensors |= {f"{name}.weight": convolution.weight, f"{name}.bias": convolution.bias}
    return yolox_of(scale, classes, tensors)


def _wiring(network: YOLOX) -> dict[str, tuple[int, ...]]:
    """The convolutions of a network by name, in the order in which they run, and which ones each reads."""
    graph = fx.Tracer().trace(network)
    found: dict[str, tuple[int, ...]] = {}
    reads: dict[fx.Node, tuple[int, ...]] = {}
    for node in graph.nodes:
        reads[node] = merged(reads[source] for source in node.all_input_nodes)
        if node.op == "call_module" and isinstance(network.get_submodule(str(node.target)), nn.Conv2d):
            found[str(node.target)] = reads[node]
            reads[node] = (len(found) - 1,)
    return found


def _check(got: Convolution, name: str, expected: nn.Module, reads: tuple[int, ...]) -> None:
    assert isinstance(expected, nn.Conv2d)
    pairs = {
        "weights": (tuple(got.weight.shape), tuple(expected.weight.shape)),
        "stride": (got.stride, expected.stride),
        "padding": (got.padding, expected.padding),
        "groups": (got.groups, expected.groups),
        "what it reads": (got.reads, reads),
    }
    for what, (have, want) in pairs.items():
        if have != want:
            raise Unusable(f"{got.name} in the place of {name}: {what}: got {have!r:.80}, expected {want}")


def _scale(stem: Tensor, *, depthwise: bool) -> Scale:
    kind = "depthwise" if depthwise else "full"
    widths = {int(64 * width): scale for scale, (_, width, deep) in SCALES.items() if deep == depthwise}
    width = int(stem.shape[0])
    if width not in widths:
        expected = ", ".join(f"{w} ({scale})" for w, scale in widths.items())
        raise Unusable(f"stem: got {width} channels and {kind} convolutions, expected one of {expected}")
    return widths[width]
