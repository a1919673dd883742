"""Codec files: safetensors with JSON metadata, and what identifies a codec.

    g_a.* h_a.*             float16   the encoder's transforms
    g_s.*                   float16   the decoder's transform                          ┐
    h_s.weight.N, .bias.N   int16/32  the integer hyper-synthesis                      │ the fingerprint
    inverse_gains           float32   (8, M), one row a quality                        │ covers these and
    tables_z.*, tables_y.*  int32     the frequency tables                             ┘ the configuration
    network.*               float16   the network that was cut, unless its owner brings it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from featcodec.backbones.split import Split, split
from featcodec.backbones.yolov5 import Scale, YOLOv5
from featcodec.entropy import Tables
from featcodec.errors import CodecFileError, FeatcodecError
from featcodec.files import read_file, write_atomic
from featcodec.transforms import AnalysisTransform, HyperAnalysis, SynthesisTransform, Widths, worst_partial_sum

__all__ = ["CodecConfig", "CodecFile", "NetworkConfig", "network_digest", "network_of"]

FORMAT = 1
LARGEST_FILE = 1 << 30
METADATA_KEY = "featcodec"


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The network that is cut.

    Attributes:
        family: ``"yolov5"``.
        scale: member of the family.
        classes: class names by number.
        at: the layer after which it is cut.
        digest: SHA-256 over its weights as float16, hexadecimal.
    """

    family: str
    scale: Scale
    classes: tuple[str, ...]
    at: int
    digest: str


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """What a codec file says in words.

    Attributes:
        name: 1 to 63 characters of a-z, 0-9, ``.``, ``_``, ``-``; goes into every ``.plf``.
        description: one line for people.
        network: the network that is cut.
        widths: channel counts.
        size: longest side in pixels that pictures are scaled down to.
        stride: pixels that the canvas is a multiple of.
        latent_stride: pixels a latent stands for.
    """

    name: str
    description: str
    network: NetworkConfig
    widths: Widths
    size: int = 416
    stride: int = 32
    latent_stride: int = 16

    @staticmethod
    def from_json(text: str) -> CodecConfig:
        """Reads the metadata of a codec file. Raises KeyError, TypeError or ValueError where it is wrong."""
        raw: dict[str, Any] = json.loads(text)
        if raw.pop("format") != FORMAT:
            raise ValueError(f"expected format {FORMAT}")
        network = NetworkConfig(**{**raw["network"], "classes": tuple(raw["network"]["classes"])})
        return CodecConfig(**{**raw, "network": network, "widths": Widths(**raw["widths"])})

    def to_json(self) -> str:
        """Canonical: the same configuration gives the same text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, separators=(",", ":"))


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
    def g_a(self) -> nn.Module:
        w = self.config.widths
        return self._module("g_a.", AnalysisTransform(w.features, w.latents, w.analysis))

    @cached_property
    def g_s(self) -> nn.Module:
        w = self.config.widths
        return self._module("g_s.", SynthesisTransform(w.features, w.latents, w.synthesis))

    @cached_property
    def h_a(self) -> nn.Module:
        w = self.config.widths
        return self._module("h_a.", HyperAnalysis(w.latents, w.hyper, w.side))

    @cached_property
    def h_s_weights(self) -> list[Tensor]:
        """Whole numbers carried in float64."""
        return [self.tensors[f"h_s.weight.{i}"].double() for i in range(3)]

    @cached_property
    def h_s_biases(self) -> list[Tensor]:
        return [self.tensors[f"h_s.bias.{i}"].double() for i in range(3)]

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

    def _module(self, prefix: str, module: nn.Module) -> nn.Module:
        state = {k.removeprefix(prefix): v.float() for k, v in self.tensors.items() if k.startswith(prefix)}
        module.load_state_dict(state)
        return module.eval().requires_grad_(False)

    def _tables(self, name: str) -> Tables:
        parts = (self.tensors[f"{name}.{part}"].numpy() for part in ("frequencies", "sizes", "lows"))
        return Tables(*parts)

    def check(self) -> CodecFile:
        """Builds everything once, so that a bad file fails when it is read and not in the middle of a picture."""
        try:
            _ = self.g_a, self.g_s, self.h_a, self.tables_z, self.tables_y
            w = self.config.widths
            rows = (len(self.tables_z.sizes), len(self.tables_y.sizes), tuple(self.tensors["inverse_gains"].shape))
            if rows != (w.side, 64, (8, w.latents)):
                raise ValueError(f"got tables and gains {rows}, expected {(w.side, 64, (8, w.latents))}")
            worst = worst_partial_sum(self.h_s_weights, self.h_s_biases)
            if worst >= 1 << 53:
                raise ValueError(f"integer hyper-synthesis: sums reach {worst}, expected below 2^53")
        except (KeyError, IndexError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise CodecFileError(f"codec {self.config.name!r}: {_one_line(error)}") from error
        return self

    def save(self, path: str | Path) -> None:
        """Writes the file whole or not at all."""
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
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CodecFileError(f"{path}: expected a featcodec codec file, got {_one_line(error)}") from error


def network_of(file: CodecFile, network: YOLOv5 | None) -> Split:
    """The network that the codec was fitted to: from the file, or the one given, checked by its digest.

    Raises:
        CodecFileError: neither the file nor the caller brings the network, or it is another one.
    """
    config = file.config.network
    state = {k.removeprefix("network."): v for k, v in file.tensors.items() if k.startswith("network.")}
    if network is None:
        if not state:
            raise CodecFileError(
                f"codec {file.config.name!r} comes without its network: give the weights of the "
                f"{config.family}{config.scale} it was fitted to"
            )
        network = YOLOv5(config.scale, classes=len(config.classes))
        try:
            network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
        except (RuntimeError, FeatcodecError) as error:
            raise CodecFileError(f"codec {file.config.name!r}: its network: {_one_line(error)}") from error
    digest = network_digest(network)
    if digest != config.digest:
        raise CodecFileError(
            f"codec {file.config.name!r}: got a network with digest {digest[:16]}, expected {config.digest[:16]}"
        )
    return split(network.eval().requires_grad_(False).to(memory_format=torch.channels_last), at=config.at)  # type: ignore[call-overload]


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
