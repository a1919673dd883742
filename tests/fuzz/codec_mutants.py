"""Mutants of a codec file whose damage gets past the framing: its header, its configuration, its numbers.

kind ──▶ (seed, number) ──▶ bytes of a safetensors file, always the same
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from featcodec.codec.transforms import Widths
from featcodec.fitting.export import export
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_family import YOLOv5Cut
from featcodec.pictures.canvas import Canvas
from featcodec.training.hyperprior import CodecModel

__all__ = ["KINDS", "network", "pack", "sound", "unpack"]

Header = dict[str, Any]
ODD = (
    *(0, -1, 1, 2**31, 2**53, 2**63, 10**40, 1.5, True, None, "", "x" * 300, "F64", "C64", "I8", "F8_E4M3"),
    *("\x1b[31m\n", "\ud800", [], [0], [-1], [2**62, 2**62], {}, [[0]], float("nan"), float("inf")),
)


@cache
def network() -> YOLOv5:
    """The network of the codec, with random weights."""
    torch.manual_seed(0)
    return YOLOv5("n", classes=2).eval()


@cache
def sound() -> bytes:
    """A whole codec file, small, its network embedded."""
    torch.manual_seed(0)
    model = CodecModel(Widths(64, latents=4, side=2, analysis=4, synthesis=4, hyper=4))
    cut = YOLOv5Cut.of(network(), at=4, classes=("cat", "dog"), canvas=Canvas(64))
    file = export(model, cut, name="small", description="For tests.", embed=network())
    return file.to_bytes()


def unpack(data: bytes) -> tuple[Header, bytes]:
    """Header and tensors of a file."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def pack(header: Header | bytes, tensors: bytes) -> bytes:
    """A file of any header, right or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def _bits(rng: random.Random) -> bytes:
    data = bytearray(sound())
    end = 8 + int.from_bytes(data[:8], "little")
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.randrange(rng.choice((8, end, len(data))))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _cut(rng: random.Random) -> bytes:
    data = sound()
    return data[: rng.choice((rng.randrange(600), rng.randrange(len(data))))] + bytes(
        rng.choice((0, 0, 1, 9))
    )


def _entry(rng: random.Random) -> bytes:
    """One field of one tensor's entry is odd, or gone, or another tensor's."""
    header, tensors = unpack(sound())
    name, other = rng.sample([k for k in header if k != "__metadata__"], 2)
    field = rng.choice(("dtype", "shape", "data_offsets"))
    match rng.randrange(5):
        case 0:
            header[name][field] = rng.choice(ODD)
        case 1:
            header[name][field] = header[other][field]
        case 2:
            del header[name][field]
        case 3:
            header[name], header[other] = header[other], header[name]
        case 4:
            header[rng.choice((other, "network.more", "x" * rng.choice((9, 3000))))] = header.pop(name)
    return pack(header, tensors)


def _config(rng: random.Random) -> bytes:
    """A value of the configuration is odd, in canonical form, so that nothing but its meaning is wrong."""
    header, tensors = unpack(sound())
    config = json.loads(header["__metadata__"]["featcodec"])
    place = config
    while True:
        key = rng.choice(list(place))
        if not isinstance(place[key], dict) or rng.random() < 0.2:
            break
        place = place[key]
    if rng.random() < 0.2:
        place[str(rng.choice(ODD))] = place.pop(key)
    else:
        place[key] = rng.choice(
            (*ODD, rng.randrange(70_000), ["a"] * rng.choice((1, 5000)), ["a" * 300, "b"])
        )
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    header["__metadata__"] = {"featcodec": text}
    return pack(header, tensors)


def _many(rng: random.Random) -> bytes:
    """Thousands of entries, keys, brackets or names, some twice."""
    header, tensors = unpack(sound())
    size, count = len(tensors), rng.choice((100, 9_000, 40_000))
    text = json.dumps(header).encode()
    match rng.randrange(5):
        case 0:
            entry = {"dtype": "F16", "shape": [0], "data_offsets": [size, size]}
            header |= {f"network.{i}": entry for i in range(count)}
        case 1:
            header["__metadata__"] |= {str(i): "" for i in range(count)}
        case 2:
            return pack(text[:-1] + b',"' + rng.choice(list(header)).encode() + b'":' + text[-2:], tensors)
        case 3:
            return pack(rng.choice((b"[", b'{"":', b"[[],", b'"\\')) * count, tensors)
        case 4:
            name = rng.choice(list(header))
            double = json.dumps({name: copy.deepcopy(header[name])}).encode()
            return pack(text[:-1] + b"," + double[1:], tensors)
    return pack(header, tensors)


def _numbers(rng: random.Random) -> bytes:
    """The numbers of one tensor are others of its type: extremes, noise, or not finite."""
    header, tensors = unpack(sound())
    name = rng.choice(
        [k for k in header if not k.startswith(("__", "network."))] + ["network.model.0.bn.running_var"]
    )
    start, end = header[name]["data_offsets"]
    data, span = bytearray(tensors), end - start
    at = start + rng.randrange(span)
    fill = rng.choice((b"\0", b"\xff", b"\x7b", b"\x7f\xff\xff\x7f", rng.randbytes(64)))
    length = rng.choice((1, 4, span))
    data[at : min(end, at + length)] = (fill * span)[: min(end, at + length) - at]
    return pack(header, bytes(data))


KINDS: dict[str, tuple[Callable[[random.Random], bytes], int]] = {
    "bits": (_bits, 60),
    "cut": (_cut, 40),
    "entry": (_entry, 80),
    "config": (_config, 120),
    "many": (_many, 30),
    "numbers": (_numbers, 40),
}
