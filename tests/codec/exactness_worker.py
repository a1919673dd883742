"""Encodes, or decodes, in one configuration of torch and in a process of its own: see `test_exactness.py`.

    python tests/codec/exactness_worker.py encode FOLDER THREADS MODE    pictures -> FOLDER/*.plf
    python tests/codec/exactness_worker.py decode FOLDER THREADS MODE    FOLDER/*.plf -> digests

Both print JSON. The environment (instruction sets) is the caller's business.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.data import astronaut, chelsea
from torch import Tensor
from torch.fx.experimental import _config as shapes

import featcodec
from featcodec.codec.feature_codec import FeatureCodec, Symbols
from featcodec.codec.transforms import Prediction, integer_hyper_synthesis
from featcodec.errors import FeatcodecError
from featcodec.networks.torch_state import inference
from featcodec.pictures.geometry import Geometry
from featcodec.plf.bitstream import Bitstream, parse

QUALITIES = (1.0, 4.5, 8.0)
# (h_z, w_z) of side information and (h, w) of the latents that it predicts
SHAPES = (((1, 1), (1, 3)), ((3, 2), (10, 8)), ((4, 5), (16, 19)))


class Unavailable(Exception):
    """The mode does not work here; says why."""


class Witness(FeatureCodec):
    """A codec that remembers the symbols it writes and reads."""

    def __init__(self, name: str):
        known = featcodec.load(name)
        super().__init__(known.file, known.network)
        self.seen: list[str] = []

    def payload(self, s: Symbols) -> bytes:
        self.seen.append(digest(s.z, s.y, s.index, s.mean))
        return super().payload(s)

    def decode_symbols(self, stream: Bitstream, geometry: Geometry, **limits: Any) -> Symbols:
        s = super().decode_symbols(stream, geometry, **limits)
        self.seen.append(digest(s.z, s.y, s.index, s.mean))
        return s


def digest(*arrays: NDArray[Any]) -> str:
    """Types, shapes and contents."""
    said = hashlib.sha256()
    for array in arrays:
        said.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return said.hexdigest()[:16]


def pictures() -> dict[str, NDArray[np.uint8]]:
    """Photographs, noise and a gradient; three of them share a canvas."""
    rng, person, cat = np.random.default_rng(0), astronaut(), chelsea()
    ramp = np.arange(64 * 40, dtype=np.uint32).reshape(64, 40, 1) * 255 // (64 * 40)
    return {
        "astronaut": person,
        "face": person[40:136, 170:298],
        "cat": cat[60:156, 90:218],
        "noise": rng.integers(0, 256, (96, 128, 3), np.uint8),
        "strip": cat[:100, 30:330:2],
        "gradient": ramp.repeat(3, 2).astype(np.uint8),
    }


def side_information(channels: int) -> dict[str, NDArray[np.int32]]:
    """Symbols of z (2, N, h_z, w_z): ordinary ones, and the largest that can be decoded."""
    rng = np.random.default_rng(1)
    out = {}
    for largest in (20, 1 << 15):
        for shape, _ in SHAPES:
            z = rng.integers(-largest, largest + 1, (2, channels, *shape), np.int32)
            out[f"z to {largest}, {shape[0]}x{shape[1]}"] = z
    return out


def encode(folder: Path) -> list[dict[str, Any]]:
    """Every picture by every codec at every quality, alone and in a batch; what each file should hold."""
    out = []
    for name in featcodec.zoo.names(whole=True):
        codec, named = Witness(name), pictures()
        for quality in QUALITIES:
            alone = [codec.encode(p, quality=quality) for p in named.values()]
            together = codec.encode_batch(list(named.values()), quality=quality)
            how = [(p, h) for h in ("alone", "in a batch") for p in named]
            symbols, codec.seen = codec.seen, []
            for (picture, where), data, said in zip(how, alone + together, symbols, strict=True):
                file = hashlib.sha256(data).hexdigest()[:16]
                (folder / f"{file}.plf").write_bytes(data)
                label = f"{name}, quality {quality:g}, {picture} {where}"
                out.append({"label": label, "file": file, "symbols": said})
    return out


def decode(folder: Path) -> dict[str, dict[str, str]]:
    """By file: digests of the symbols and of the latents, or the error."""
    codecs = {name: Witness(name) for name in featcodec.zoo.names(whole=True)}
    out = {}
    for path in sorted(folder.glob("*.plf")):
        data = path.read_bytes()
        codec = codecs[parse(data).header.codec]
        try:
            latents, _ = codec.decode_latents(data)
            out[path.stem] = {"symbols": codec.seen.pop(), "latents": digest(latents.numpy())}
        except FeatcodecError as error:
            out[path.stem] = {"symbols": f"{type(error).__name__}: {error}", "latents": "none"}
    return out


def predict(network: Callable[..., Prediction]) -> dict[str, str]:
    """Digests of table rows and means for given side information.

    Alone by what encodes and decodes, in a batch by the network that is fitted.
    """
    out = {}
    for name in featcodec.zoo.names(whole=True):
        file = featcodec.load(name).file
        weights, biases = file.h_s_weights, file.h_s_biases
        for (label, z), (_, to) in zip(
            side_information(weights[0].shape[1]).items(), SHAPES * 2, strict=True
        ):
            alone = [file.model.h_s(one, *to) for one in z]
            with inference():
                said = network(torch.from_numpy(z.astype(np.float64)), weights, biases, *to)
            together = said.index.numpy().astype(np.int32), said.mean.double().numpy()
            out[f"{name}, {label}, alone"] = digest(*(np.stack(parts) for parts in zip(*alone, strict=True)))
            out[f"{name}, {label}, in a batch"] = digest(*together)
    return out


def on_gpu(*args: Any) -> Prediction:
    """The integer network on the GPU, for a codec on the CPU."""
    z_hat, weights, biases, height, width = args
    there = [[t.cuda() for t in tensors] for tensors in (weights, biases)]
    said = integer_hyper_synthesis(z_hat.cuda(), *there, height, width)
    return Prediction(said.index.cpu(), said.mean.cpu())


def compiled() -> Callable[..., Prediction]:
    """The integer network through the compiler, once for maps of any size.

    Raises:
        Unavailable: there is no compiler here.
    """
    shapes.use_duck_shape = False  # sides that happen to be equal are no reason to compile again
    whole: Callable[..., Prediction] = torch.compile(integer_hyper_synthesis, dynamic=True, fullgraph=True)

    def predict(
        z_hat: Tensor, weights: list[Tensor], biases: list[Tensor], height: int, width: int
    ) -> Prediction:
        h, w = z_hat.shape[-2:]
        if min(h, w) == 1:  # the compiler takes sides of 1 for constants, and would compile again for each
            return integer_hyper_synthesis(z_hat, weights, biases, height, width)
        said = whole(z_hat, weights, biases, 4 * h, 4 * w)  # and again for what is cropped, so crop here
        return Prediction(said.index[..., :height, :width], said.mean[..., :height, :width])

    file = featcodec.load().file
    z = torch.zeros(1, file.config.widths.side, 2, 3, dtype=torch.float64)
    try:
        with inference():
            predict(z, file.h_s_weights, file.h_s_biases, 8, 11)
    except Exception as error:
        raise Unavailable(
            f"torch.compile does not work here: {' '.join(str(error).split())[:200]}"
        ) from error
    return predict


@contextmanager
def mode(name: str) -> Iterator[Callable[..., Prediction]]:
    """What the caller of the codec may have set up; gives the integer network that is fitted."""
    if name == "no oneDNN":
        with torch.backends.mkldnn.flags(enabled=False):
            yield integer_hyper_synthesis
        return
    if name == "reduced precision":
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            yield integer_hyper_synthesis
        return
    if name == "GPU" and not torch.cuda.is_available():
        raise Unavailable("no GPU that torch can use")
    yield {"compiled": compiled, "GPU": lambda: on_gpu}.get(name, lambda: integer_hyper_synthesis)()


def main(action: str, folder: str, threads: str, name: str) -> None:
    torch.set_num_threads(int(threads))
    said: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    try:
        with mode(name) as network:
            if action == "encode":
                said["files"] = encode(Path(folder))
            else:
                said |= {"files": decode(Path(folder)), "predictions": predict(network)}
    except Unavailable as error:
        said["unavailable"] = str(error)
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
