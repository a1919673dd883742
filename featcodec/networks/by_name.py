"""Networks by name: YOLOv5 and YOLOX, weights files, torchvision, timm, and the user's own code."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from featcodec.errors import InputError, MissingExtraError
from featcodec.networks.embedded import embedded_weights
from featcodec.networks.families import FAMILIES
from featcodec.networks.onnx_files import read_convolutions
from featcodec.networks.pickle_records import Unusable
from featcodec.networks.weight_files import load_weights, read_state_dict, refusal
from featcodec.user_code import running, working_folder

__all__ = ["FORMS", "network_by_name", "network_from_file"]

FORMS = (
    "yolov5n to yolov5x, yolox-nano to yolox-x, a weights file of either, torchvision:NAME, timm:NAME or "
    "MODULE:CALLABLE"
)
_NETWORK = "a torch.nn.Module"
_ONNX = ".onnx"
_WEIGHTS = (".pt", ".pth", ".safetensors", _ONNX)


def network_by_name(name: str, *, weights: str | os.PathLike[str] | None = None) -> nn.Module:
    """A network in evaluation mode, by its name.

    Args:
        name: one of

            - ``yolov5n``, ``yolov5s``, ``yolov5m``, ``yolov5l``, ``yolov5x``: 80 classes;
            - ``yolox-nano``, with its official weights, which are embedded: 80 classes;
            - ``yolox-tiny``, ``yolox-s``, ``yolox-m``, ``yolox-l``, ``yolox-x``: 80 classes;
            - a file of weights of either (.safetensors, .pt, .pth; of YOLOX also .onnx), of which nothing is
              executed;
            - ``torchvision:NAME``, ``timm:NAME``: as those packages call it; nothing is downloaded;
            - ``package.module:callable``: the user's own code. **The module is imported, which runs it**,
              and the callable is called without arguments to give the network (a network as such will do,
              too). The working folder is searched, as by ``python -m``.
        weights: file with the weights, every tensor of the network by name; unless given, the embedded ones
            where there are some, else random ones, the same each time, so that a codec fitted to them finds
            them again.

    Raises:
        InputError: no such name, or the user's code gives no network.
        CodecFileError: a weights file that cannot be used.
        MissingExtraError: torchvision, timm or, for an ONNX file, onnx is not installed.

    Example:
        >>> network_by_name("yolov5n").scale
        'n'
    """
    if weights is None and (embedded := embedded_weights(name)):
        return network_from_file(embedded)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _network(name)
        with running(name, _NETWORK):
            network.eval()
    if weights is not None:
        load_weights(network, weights, name=name)
    return network


def _network(name: str) -> nn.Module:
    kind, _, rest = name.partition(":")
    for family in FAMILIES:
        if name in family.members:
            return family.make(name)
    if Path(name).suffix.lower() in _WEIGHTS:
        return network_from_file(name)
    if not (kind and rest):
        near = difflib.get_close_matches(name, [m for family in FAMILIES for m in family.members], n=1)
        raise InputError(f"model: got {name!r}, expected {', '.join(near) or FORMS}")
    if kind == "torchvision":
        return _torchvision(rest)
    return _timm(rest) if kind == "timm" else _own(kind, rest)


def network_from_file(path: str | os.PathLike[str]) -> nn.Module:
    """The network whose weights a file holds; of those of no known family, the first says what is wrong.

    Raises:
        CodecFileError: the file cannot be used; one line that begins with its path.
        MissingExtraError: onnx is not installed, for a file in its format.
    """
    if Path(path).suffix.lower() == _ONNX:
        return _from_onnx(path)
    tensors = read_state_dict(path)
    family = next((f for f in FAMILIES if f.recognises(tensors)), FAMILIES[0])
    try:
        return family.from_tensors(tensors)
    except Unusable as error:
        raise refusal(path, str(error)) from error


def _from_onnx(path: str | os.PathLike[str]) -> nn.Module:
    convolutions = read_convolutions(path)
    try:
        for family in FAMILIES:
            network = family.from_convolutions(convolutions)
            if network is not None:
                return network
    except Unusable as error:
        raise refusal(path, str(error)) from error
    raise refusal(path, f"an ONNX file of {len(convolutions)} convolutions, expected those of a YOLOX")


def _torchvision(name: str) -> nn.Module:
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError.of("torchvision", "fit") from error
    if name not in models.list_models():
        raise _unknown("torchvision", name, models.list_models())
    # detectors and segmenters would else download a backbone
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    options = {"weights_backbone": None} if "weights_backbone" in parameters else {}
    with running(f"torchvision:{name}", _NETWORK):
        network: nn.Module = models.get_model(name, weights=None, **options)
    return network


def _timm(name: str) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm is missing: pip install timm") from error
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    with running(f"timm:{name}", _NETWORK):
        network: nn.Module = timm.create_model(name, pretrained=False)
    return network


def _own(module: str, attribute: str) -> nn.Module:
    name = f"{module}:{attribute}"
    with running(name, _NETWORK), working_folder():
        network = getattr(importlib.import_module(module), attribute)
        if not isinstance(network, nn.Module):
            network = network()
    if not isinstance(network, nn.Module):
        raise InputError(f"{name}: got {type(network).__name__}, expected a torch.nn.Module")
    return network


def _unknown(package: str, name: str, known: Sequence[str]) -> InputError:
    near = ", ".join(difflib.get_close_matches(name, known, n=4, cutoff=0.4))
    similar = f"; similar names are {near}" if near else ""
    return InputError(f"{package}: no network {name!r}{similar}")
