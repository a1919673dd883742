"""Codec files: safetensors with JSON metadata, and what identifies a codec.

g_a.* h_a.*             float16   the encoder's transforms; format 1 has no g_a.linear and g_s.linear
g_s.*                   float16   the decoder's transform                          ┐
h_s.weight.N, .bias.N   int16/32  the integer hyper-synthesis                      │ the fingerprint
inverse_gains           float32   (8, M), one row a quality                        │ covers these and
tables_z.*, tables_y.*  int32     the frequency tables                             │ the configuration
tail.*                  float16   the network's parameters behind the cut, if tuned ┘
network.*               float16   the network that was cut, unless its owner brings it
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from featcodec.codec.codec_reading import LARGEST_FILE, METADATA_KEY, consistent, read_config, reading
from featcodec.codec.config import CodecConfig, check_config
from featcodec.codec.entropy import Tables
from featcodec.codec.entropy_model import EntropyModel, check_layout, fingerprint_of
from featcodec.codec.network_words import mismatch, missing, wanted
from featcodec.codec.transforms import (
    AnalysisTransform,
    HyperAnalysis,
    SynthesisTransform,
)
from featcodec.errors import CodecFileError, InputError
from featcodec.files import read_file, write_atomic
from featcodec.networks.by_name import network_from_file
from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.embedded import embedded_state
from featcodec.networks.families import cut_network, family_named
from featcodec.networks.identity import network_digest, update_digest
from featcodec.networks.modules import plain_module
from featcodec.networks.pickle_records import Unusable
from featcodec.networks.safetensors_header import read_tensors
from featcodec.networks.torch_state import inference
from featcodec.networks.tuned_tail import with_tail

__all__ = ["LARGEST_FILE", "CodecConfig", "CodecFile", "behind_of", "network_of"]


@dataclass(frozen=True)
class CodecFile:
    """A codec's tensors, as stored, and the modules and tables made of them."""

    config: CodecConfig
    tensors: Mapping[str, Tensor]

    def __reduce__(self) -> tuple[type[CodecFile], tuple[CodecConfig, Mapping[str, Tensor]]]:
        return CodecFile, (self.config, self.tensors)  # what is made of them is made again where it is needed

    @cached_property
    def fingerprint(self) -> bytes:
        """First 16 bytes of SHA-256 over the configuration and every tensor that decoding depends on."""
        return fingerprint_of(self.config, self._arrays)

    @cached_property
    def encoder_digest(self) -> str:
        """16 hexadecimal digits over what only the encoder needs; with the fingerprint, the whole codec."""
        digest = hashlib.sha256()
        for name, value in sorted(self._arrays.items()):
            if name.startswith(("g_a.", "h_a.")):
                update_digest(digest, name, value)
        return digest.hexdigest()[:16]

    @property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        """The tensors as NumPy sees them, in the same memory."""
        return {name: value.detach().cpu().numpy() for name, value in self.tensors.items()}

    @cached_property
    def model(self) -> EntropyModel:
        """What of it works on whole numbers, and needs no torch."""
        return EntropyModel.of(self._arrays)

    @property
    def has_network(self) -> bool:
        """Whether the network's weights are in the file; else its owner brings them."""
        return any(name.startswith("network.") for name in self.tensors)

    @property
    def tail(self) -> dict[str, Tensor]:
        """The tail's parameters that were tuned, float16, by their names in the cut network; often none."""
        return {k.removeprefix("tail."): v for k, v in self.tensors.items() if k.startswith("tail.")}

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

    @property
    def h_s_weights(self) -> list[Tensor]:
        """Of the integer hyper-synthesis: whole numbers, float64."""
        return [self.tensors[f"h_s.weight.{i}"].double() for i in range(3)]

    @property
    def h_s_biases(self) -> list[Tensor]:
        return [self.tensors[f"h_s.bias.{i}"].double() for i in range(3)]

    @property
    def tables_z(self) -> Tables:
        return self.model.tables_z

    @property
    def tables_y(self) -> Tables:
        return self.model.tables_y

    def inverse_gain(self, step: int) -> Tensor:
        """(M,) float32 factors from coded units back to latents, at a quality step of 0 to 224."""
        return torch.from_numpy(self.model.inverse_gain(step))

    @inference()
    def _module(self, prefix: str, build: Callable[[], nn.Module]) -> nn.Module:
        state = {k.removeprefix(prefix): v.float() for k, v in self.tensors.items() if k.startswith(prefix)}
        with torch.device("meta"):  # a file that asks for huge layers fails when it does not bring them
            module = build()
        module.load_state_dict(state, assign=True)
        frozen = module.eval().requires_grad_(False)
        return frozen.to(memory_format=torch.channels_last)

    @inference()
    def check(self) -> CodecFile:
        """Builds everything once: a bad file fails when it is read or written, not amid a picture.

        Raises:
            CodecFileError: it contradicts itself, or its integer sums could round.
        """
        with consistent(self.config.name):
            check_config(self.config)
            family_named(self.config.network.family).check(self.config.network)
            check_layout(self.config.widths, self._arrays)
            if self.has_network and not family_named(self.config.network.family).embeds:
                raise ValueError("network: got tensors of it, expected none, as its owner brings the network")
            _ = self.g_a, self.g_s, self.h_a
            self.model.check(self.config.widths)
        return self

    def to_bytes(self) -> bytes:
        """The content of the file; raises what `check` raises."""
        CodecFile(self.config, self.tensors).check()  # nothing cached: as the reader will see it
        return save_tensors(dict(self.tensors), metadata={METADATA_KEY: self.config.to_json()})

    def save(self, path: str | Path) -> None:
        """Writes the file whole or not at all; raises what `check` raises."""
        write_atomic(path, self.to_bytes())

    @staticmethod
    @inference()
    def load(path: str | Path) -> CodecFile:
        """Reads a codec file.

        Raises:
            InputError: missing or unreadable.
            CodecFileError: not a codec file, or one that contradicts itself.
        """
        data = read_file(path, LARGEST_FILE)
        with reading(path):
            return CodecFile(read_config(data), read_tensors(data)).check()


@inference()
def network_of(file: CodecFile, network: object) -> CutNetwork:
    """The network that the codec was fitted to, cut: its own, or the one given, checked by its digest.

    Args:
        file: of the codec.
        network: the network; a file of its weights (YOLOv5, YOLOX); None for the one in the codec file or,
            by its digest, embedded in the package.

    Raises:
        CodecFileError: neither file, package nor caller brings the network, or it is another one.
        InputError: what is given is no network.
    """
    config = file.config
    given = _stored_network(file) if network is None else _given_network(file, network)
    digest = network_digest(given)
    if digest != config.network.digest:
        raise CodecFileError(mismatch(config, given, digest))
    cut = cut_network(given, config.network, size=config.size, stride=config.stride)
    (crossing,) = cut.crossing
    got, expected = (crossing.channels, crossing.stride), (config.widths.features, config.feature_stride)
    if got != expected:
        raise CodecFileError(
            f"codec {config.name!r}: its network gives {got[0]} channels at stride {got[1]}, "
            f"expected {expected[0]} at {expected[1]}"
        )
    return cut


@inference()
def behind_of(file: CodecFile, network: CutNetwork) -> CutNetwork:
    """What decoded features go through: the network that the codec was fitted to, or a copy with its tail.

    Raises:
        CodecFileError: the codec file's tail is of another network.
    """
    if not file.tail:
        return network
    try:
        return with_tail(network, file.tail)
    except ValueError as error:
        raise CodecFileError(f"codec {file.config.name!r}: {error}") from error


def _stored_network(file: CodecFile) -> nn.Module:
    config = file.config.network
    state = {k.removeprefix("network."): v for k, v in file.tensors.items() if k.startswith("network.")}
    state = state or embedded_state(config.digest)
    if not state:
        raise CodecFileError(missing(file.config))
    try:
        return family_named(config.family).restore(config, state)
    except Unusable as error:
        raise CodecFileError(f"codec {file.config.name!r}: its network: {error}") from error


def _given_network(file: CodecFile, network: object) -> nn.Module:
    if not isinstance(network, str | os.PathLike):
        if not isinstance(network, nn.Module):  # which network is meant, no type can say
            got = f"{type(network).__name__}, expected a whole torch.nn.Module: {wanted(file.config)}"
            raise InputError(f"network: got {got}")
        return plain_module(network)
    if family_named(file.config.network.family).embeds:
        return network_from_file(network)
    got, expected = os.fspath(network), wanted(file.config)
    raise InputError(f"network: got the path {got}, expected the network itself: {expected}")
