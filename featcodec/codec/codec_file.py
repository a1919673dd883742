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

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from featcodec.codec.config import CodecConfig, check_config
from featcodec.codec.entropy import Tables
from featcodec.codec.network_words import mismatch, missing, wanted
from featcodec.codec.transforms import (
    AnalysisTransform,
    HyperAnalysis,
    IntegerHyperSynthesis,
    SynthesisTransform,
    Widths,
    exact_carriers,
)
from featcodec.errors import CodecFileError, FeatcodecError, InputError, one_line
from featcodec.files import printable, read_file, write_atomic
from featcodec.networks.by_name import network_from_file
from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.embedded import embedded_state
from featcodec.networks.families import cut_network, family_named
from featcodec.networks.identity import network_digest, update_digest
from featcodec.networks.modules import plain_module
from featcodec.networks.pickle_records import Unusable, short
from featcodec.networks.safetensors_header import read_description, read_tensors
from featcodec.networks.torch_state import inference
from featcodec.networks.tuned_tail import with_tail
from featcodec.plf.header import QUALITIES, STEPS_PER_QUALITY

__all__ = ["LARGEST_FILE", "CodecConfig", "CodecFile", "behind_of", "network_of"]

LARGEST_FILE = 1 << 30
METADATA_KEY = "featcodec"
_DTYPES = ("F16", "F32", "I16", "I32", "I64")  # that a file's tensors may have, as safetensors spells them
GAINS = (2.0**-32, 2.0**32)  # smallest and largest that leave latents exact


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
        digest = hashlib.sha256(self.config.to_json().encode())
        for name in sorted(self.tensors):
            if name.startswith(("g_s.", "h_s.", "inverse_gains", "tables_", "tail.")):
                update_digest(digest, name, self.tensors[name])
        return digest.digest()[:16]

    @cached_property
    def encoder_digest(self) -> str:
        """16 hexadecimal digits over what only the encoder needs; with the fingerprint, the whole codec."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            if name.startswith(("g_a.", "h_a.")):
                update_digest(digest, name, self.tensors[name])
        return digest.hexdigest()[:16]

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
        low, rest = divmod(step, STEPS_PER_QUALITY)
        gains = self.tensors["inverse_gains"].double()
        # float64 and one rounding: the same float32 everywhere
        if rest == 0:
            return gains[low].float()
        mixed = gains[low] * (STEPS_PER_QUALITY - rest) + gains[low + 1] * rest
        return (mixed / STEPS_PER_QUALITY).float()

    @inference()
    def _module(self, prefix: str, build: Callable[[], nn.Module]) -> nn.Module:
        state = {k.removeprefix(prefix): v.float() for k, v in self.tensors.items() if k.startswith(prefix)}
        with torch.device("meta"):  # a file that asks for huge layers fails when it does not bring them
            module = build()
        module.load_state_dict(state, assign=True)
        frozen = module.eval().requires_grad_(False)
        return frozen.to(memory_format=torch.channels_last)

    def _tables(self, name: str) -> Tables:
        # copies: a tensor that is sent to another process moves to shared memory, away from its arrays
        parts = (self.tensors[f"{name}.{part}"].numpy().copy() for part in ("frequencies", "sizes", "lows"))
        return Tables(*parts)

    @inference()
    def check(self) -> CodecFile:
        """Builds everything once: a bad file fails when it is read or written, not amid a picture.

        Raises:
            CodecFileError: it contradicts itself, or its integer sums could round.
        """
        try:
            check_config(self.config)
            _check_layout(self.config.widths, self.tensors)
            if self.has_network and not family_named(self.config.network.family).embeds:
                raise ValueError("network: got tensors of it, expected none, as its owner brings the network")
            _ = self.g_a, self.g_s, self.h_a
            rows = len(self.tables_z.sizes), len(self.tables_y.sizes)
            expected = self.config.widths.side, IntegerHyperSynthesis.SCALES
            if rows != expected:
                raise ValueError(f"got {rows} tables of z and y, expected {expected}")
            _ = self.h_s_weights, self.h_s_biases
        except (KeyError, IndexError, RuntimeError, TypeError, ValueError, FeatcodecError) as error:
            raise CodecFileError(f"codec {self.config.name!r}: {one_line(error)}") from error
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
        try:
            config = CodecConfig.from_json(read_description(data, METADATA_KEY, dtypes=_DTYPES))
            return CodecFile(config, read_tensors(data)).check()
        except CodecFileError as error:
            error.path = printable(path)
            raise
        except (Unusable, ValueError, KeyError, TypeError) as error:
            got = " ".join(str(error).split())[:300] if isinstance(error, Unusable) else one_line(error)
            raise CodecFileError(
                f"expected a featcodec codec file, got {got}", path=printable(path)
            ) from error


def _check_layout(w: Widths, tensors: Mapping[str, Tensor]) -> None:
    """Types of all tensors that are stored, and shapes of those that no module checks when it loads them."""
    shapes: dict[str, tuple[int, ...]] = {"inverse_gains": (len(QUALITIES), w.latents)}
    layers = ((w.hyper, w.side, 3, 3), (w.hyper, w.hyper, 3, 3), (2 * w.latents, w.hyper, 1, 1))
    for i, shape in enumerate(layers):
        shapes |= {f"h_s.weight.{i}": shape, f"h_s.bias.{i}": shape[:1]}
    for name in shapes:
        if tensors[name].shape != shapes[name]:
            raise ValueError(f"{name}: got {tuple(tensors[name].shape)}, expected {shapes[name]}")
    for name, value in tensors.items():
        known = _dtypes(name)
        if value.dtype not in known:
            expected = " or ".join(map(str, known)) or "no such tensor"
            raise ValueError(f"{short(name)}: got {value.dtype}, expected {expected}")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name}: got values that are not finite")
    least, most = (float(v) for v in tensors["inverse_gains"].aminmax())
    if not GAINS[0] <= least <= most <= GAINS[1]:
        raise ValueError(f"inverse_gains: got {least:g} to {most:g}, expected 2^-32 to 2^32")


def _dtypes(name: str) -> tuple[torch.dtype, ...]:
    """The types that a tensor may have; none where there is no such tensor."""
    if name.startswith("network."):
        counts = name.endswith(".num_batches_tracked")
        return (torch.int64,) if counts else (torch.float16, torch.float32)
    if name.startswith(("g_a.", "g_s.", "h_a.", "tail.")):
        return (torch.float16,)
    return (_TYPES[name],) if name in _TYPES else ()


_TYPES = {
    **dict.fromkeys([f"h_s.weight.{i}" for i in range(3)], torch.int16),
    **dict.fromkeys([f"h_s.bias.{i}" for i in range(3)], torch.int32),
    "inverse_gains": torch.float32,
    **{f"tables_{v}.{part}": torch.int32 for v in "zy" for part in ("frequencies", "sizes", "lows")},
}


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
