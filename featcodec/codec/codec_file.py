"""Codec files: safetensors with JSON metadata, and what identifies a codec.

g_a.* h_a.*             float16   the encoder's transforms; format 1 has no g_a.linear and g_s.linear
g_s.*                   float16   the decoder's transform                          ┐
h_s.weight.N, .bias.N   int16/32  the integer hyper-synthesis                      │ the fingerprint
inverse_gains           float32   (8, M), one row a quality                        │ covers these and
tables_z.*, tables_y.*  int32     the frequency tables                             ┘ the configuration
network.*               float16   the network that was cut, unless its owner brings it
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from featcodec.codec.config import CodecConfig, ModuleConfig, NetworkConfig, check_config
from featcodec.codec.entropy import Tables
from featcodec.codec.transforms import (
    AnalysisTransform,
    HyperAnalysis,
    IntegerHyperSynthesis,
    SynthesisTransform,
    Widths,
    exact_carriers,
)
from featcodec.errors import CodecFileError, FeatcodecError
from featcodec.files import read_file, write_atomic
from featcodec.networks.picture_cut import PictureCut, cut_pictures
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_split import Split, split

__all__ = ["CodecConfig", "CodecFile", "ModuleConfig", "NetworkConfig", "network_digest", "network_of"]

LARGEST_FILE = 1 << 30
METADATA_KEY = "featcodec"
GAINS = (2.0**-32, 2.0**32)  # smallest and largest that leave latents exact


@dataclass(frozen=True)
class CodecFile:
    """A codec's tensors, as stored, and the modules and tables made of them."""

    config: CodecConfig
    tensors: Mapping[str, Tensor]

    @cached_property
    def fingerprint(self) -> bytes:
        """First 16 bytes of SHA-256 over the configuration and every tensor that decoding depends on."""
        digest = hashlib.sha256(self.config.to_json().encode())
        for name in sorted(self.tensors):
            if name.startswith(("g_s.", "h_s.", "inverse_gains", "tables_")):
                _update(digest, name, self.tensors[name])
        return digest.digest()[:16]

    @cached_property
    def encoder_digest(self) -> str:
        """16 hexadecimal digits over what only the encoder needs; with the fingerprint, the whole codec."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            if name.startswith(("g_a.", "h_a.")):
                _update(digest, name, self.tensors[name])
        return digest.hexdigest()[:16]

    @property
    def has_network(self) -> bool:
        """Whether the network's weights are in the file; else its owner brings them."""
        return any(name.startswith("network.") for name in self.tensors)

    @cached_property
    def g_a(self) -> nn.Module:
        w = self.config.widths
        return self._module(
            "g_a.", lambda: AnalysisTransform(w.features, w.latents, w.analysis, linear=self._linear)
        )

    @cached_property
    def g_s(self) -> nn.Module:
        w = self.config.widths
        return self._module(
            "g_s.", lambda: SynthesisTransform(w.features, w.latents, w.synthesis, linear=self._linear)
        )

    @cached_property
    def h_a(self) -> nn.Module:
        w = self.config.widths
        return self._module("h_a.", lambda: HyperAnalysis(w.latents, w.hyper, w.side))

    @property
    def _linear(self) -> bool:
        """Whether the transforms have a linear path."""
        return self.config.format > 1

    @cached_property
    def h_s_weights(self) -> list[Tensor]:
        """Whole numbers, each layer's in a type that carries its sums exactly."""
        return self._carried[0]

    @cached_property
    def h_s_biases(self) -> list[Tensor]:
        return self._carried[1]

    @cached_property
    def _carried(self) -> tuple[list[Tensor], list[Tensor]]:
        weights, biases = ([self.tensors[f"h_s.{kind}.{i}"] for i in range(3)] for kind in ("weight", "bias"))
        carriers = exact_carriers(weights, biases)
        return (
            [w.to(c) for w, c in zip(weights, carriers, strict=True)],
            [b.to(c) for b, c in zip(biases, carriers, strict=True)],
        )

    @cached_property
    def tables_z(self) -> Tables:
        return self._tables("tables_z")

    @cached_property
    def tables_y(self) -> Tables:
        return self._tables("tables_y")

    def inverse_gain(self, step: int) -> Tensor:
        """(M,) float32 factors from coded units back to latents, at a quality step of 0 to 224."""
        low, rest = divmod(step, 32)
        gains = self.tensors["inverse_gains"].double()
        # float64 and one rounding: the same float32 everywhere
        mixed = gains[low] if rest == 0 else (gains[low] * (32 - rest) + gains[low + 1] * rest) / 32
        return mixed.float()

    def _module(self, prefix: str, build: Callable[[], nn.Module]) -> nn.Module:
        state = {k.removeprefix(prefix): v.float() for k, v in self.tensors.items() if k.startswith(prefix)}
        with torch.device("meta"):  # a file that asks for huge layers fails when it does not bring them
            module = build()
        module.load_state_dict(state, assign=True)
        frozen = module.eval().requires_grad_(False)
        return frozen.to(memory_format=torch.channels_last)

    def _tables(self, name: str) -> Tables:
        parts = (self.tensors[f"{name}.{part}"].numpy() for part in ("frequencies", "sizes", "lows"))
        return Tables(*parts)

    def check(self) -> CodecFile:
        """Builds everything once: a bad file fails when it is read or written, not amid a picture.

        Raises:
            CodecFileError: it contradicts itself, or its integer sums could round.
        """
        try:
            check_config(self.config)
            _check_layout(self.config.widths, self.tensors)
            _ = self.g_a, self.g_s, self.h_a
            rows = len(self.tables_z.sizes), len(self.tables_y.sizes)
            expected = self.config.widths.side, IntegerHyperSynthesis.SCALES
            if rows != expected:
                raise ValueError(f"got {rows} tables of z and y, expected {expected}")
            _ = self.h_s_weights, self.h_s_biases
        except (KeyError, IndexError, RuntimeError, TypeError, ValueError, FeatcodecError) as error:
            raise CodecFileError(f"codec {self.config.name!r}: {_one_line(error)}") from error
        return self

    def save(self, path: str | Path) -> None:
        """Writes the file whole or not at all; raises what `check` raises."""
        CodecFile(self.config, self.tensors).check()  # nothing cached: as the reader will see it
        data = save_tensors(dict(self.tensors), metadata={METADATA_KEY: self.config.to_json()})
        write_atomic(path, data)

    @staticmethod
    def load(path: str | Path) -> CodecFile:
        """Reads a codec file.

        Raises:
            InputError: missing or unreadable.
            CodecFileError: not a codec file, or one that contradicts itself.
        """
        data = read_file(path, LARGEST_FILE)
        try:
            size = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + size])
            text = header["__metadata__"][METADATA_KEY]
            return CodecFile(CodecConfig.from_json(text), load_tensors(data)).check()
        except CodecFileError as error:
            raise CodecFileError(f"{path}: {error}") from error
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            got = _one_line(error)
            raise CodecFileError(f"{path}: expected a featcodec codec file, got {got}") from error


def _check_layout(w: Widths, tensors: Mapping[str, Tensor]) -> None:
    """Types of all tensors that are stored, and shapes of those that no module checks when it loads them."""
    shapes: dict[str, tuple[int, ...]] = {"inverse_gains": (8, w.latents)}
    layers = ((w.hyper, w.side, 3, 3), (w.hyper, w.hyper, 3, 3), (2 * w.latents, w.hyper, 1, 1))
    for i, shape in enumerate(layers):
        shapes |= {f"h_s.weight.{i}": shape, f"h_s.bias.{i}": shape[:1]}
    for name in shapes:
        if tensors[name].shape != shapes[name]:
            raise ValueError(f"{name}: got {tuple(tensors[name].shape)}, expected {shapes[name]}")
    for name, value in tensors.items():
        known = torch.float16 if name.startswith(("g_a.", "g_s.", "h_a.")) else _TYPES.get(name)
        if value.dtype != known and not name.startswith("network."):
            raise ValueError(f"{name}: got {value.dtype}, expected {known or 'no such tensor'}")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name}: got values that are not finite")
    least, most = (float(v) for v in tensors["inverse_gains"].aminmax())
    if not GAINS[0] <= least <= most <= GAINS[1]:
        raise ValueError(f"inverse_gains: got {least:g} to {most:g}, expected 2^-32 to 2^32")


_TYPES = {
    **dict.fromkeys([f"h_s.weight.{i}" for i in range(3)], torch.int16),
    **dict.fromkeys([f"h_s.bias.{i}" for i in range(3)], torch.int32),
    "inverse_gains": torch.float32,
    **{f"tables_{v}.{part}": torch.int32 for v in "zy" for part in ("frequencies", "sizes", "lows")},
}


def network_of(file: CodecFile, network: nn.Module | None) -> Split | PictureCut:
    """The network that the codec was fitted to, cut: from the file, or the one given, checked by its digest.

    Raises:
        CodecFileError: neither the file nor the caller brings the network, or it is another one.
    """
    config = file.config.network
    if network is None:
        network = _stored_network(file)
    digest = network_digest(network)
    if digest != config.digest:
        raise CodecFileError(
            f"codec {file.config.name!r}: got a network with digest {digest[:16]}, "
            f"expected {config.digest[:16]}"
        )
    cut = _cut(file.config, network)
    got, expected = cut.features(), (file.config.widths.features, file.config.latent_stride // 2)
    if got != expected:
        raise CodecFileError(
            f"codec {file.config.name!r}: its network gives {got[0]} channels at stride {got[1]}, "
            f"expected {expected[0]} at {expected[1]}"
        )
    return cut


def _stored_network(file: CodecFile) -> YOLOv5:
    config = file.config.network
    state = {k.removeprefix("network."): v for k, v in file.tensors.items() if k.startswith("network.")}
    if isinstance(config, ModuleConfig):
        raise CodecFileError(
            f"codec {file.config.name!r} comes without its network: give {config.model} with the weights "
            "it was fitted to, with featcodec.load(CODEC, network=...) or --network"
        )
    if not state:
        raise CodecFileError(
            f"codec {file.config.name!r} comes without its network: give the weights of the {config} that "
            "it was fitted to, with featcodec.load(CODEC, network=...) or --network"
        )
    try:
        with torch.device("meta"):
            network = YOLOv5(config.scale, classes=len(config.classes))
        floats = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
        network.load_state_dict(floats, assign=True)
    except (RuntimeError, FeatcodecError) as error:
        raise CodecFileError(f"codec {file.config.name!r}: its network: {_one_line(error)}") from error
    return network


def _cut(config: CodecConfig, network: nn.Module) -> Split | PictureCut:
    about = config.network
    own = copy.deepcopy(network).eval().requires_grad_(False)
    if isinstance(about, ModuleConfig):
        own = own.to(memory_format=torch.channels_last)
        side = -(-config.size // config.stride) * config.stride
        return cut_pictures(own, at=about.at, mean=about.mean, deviation=about.deviation, side=side)
    if not isinstance(own, YOLOv5):
        raise CodecFileError(f"codec {config.name!r}: got {type(own).__name__}, expected a {about}")
    return split(own.fuse().to(memory_format=torch.channels_last), at=about.at)


def network_digest(network: nn.Module) -> str:
    """SHA-256 over a network's weights as float16, hexadecimal; the same for fp16 and fp32 copies."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if value.is_floating_point():
            _update(digest, name, value.half())
    return digest.hexdigest()


def _update(digest: Any, name: str, value: Tensor) -> None:
    value = value.detach().cpu().contiguous()
    digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
    digest.update(value.numpy().tobytes())  # little-endian on every platform that torch supports


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
