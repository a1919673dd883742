"""The network that a run compares on, and the codecs that were fitted to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from featcodec import zoo
from featcodec.codec.effort import DEFAULT_EFFORT
from featcodec.codec.feature_codec import ENCODER_VERSION, FeatureCodec
from featcodec.errors import CodecFileError, InputError
from featcodec.evaluation.coders import Gives, Kind, Shot
from featcodec.fitting.settings import channels_of, normalise_for
from featcodec.networks.by_name import network_by_name
from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.families import LEAST_STRIDE, NetworkWish, cut_network, default_cut, describe
from featcodec.networks.identity import ModuleConfig, NetworkConfig
from featcodec.pictures.geometry import Geometry
from featcodec.plf.header import QUALITIES

__all__ = ["CodecCoder", "Subject", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked to compare; small, so that each worker loads it for itself.

    Attributes:
        codecs: names of embedded codecs or paths of codec files.
        network: by name or as it is; None takes the network in the first codec's file.
        weights: file with the weights of a network by name.
        classes: class names by number, for a network without codec; empty where a codec says them.
        at: layer after which a network without codec is cut; its family's own unless given.
        size: longest side in pixels, for a network without codec.
    """

    codecs: tuple[str, ...] = ()
    network: str | nn.Module | None = None
    weights: Path | None = None
    classes: tuple[str, ...] = ()
    at: str | int | None = None
    size: int = 448


@dataclass(frozen=True, slots=True)
class Subject:
    """A detector and the codecs fitted to it.

    Attributes:
        network: cut.
        codecs: in the order asked for.
        identity: text that changes with the network, its cut or its pictures' size.
    """

    network: CutNetwork
    codecs: tuple[FeatureCodec, ...]
    identity: str

    @staticmethod
    def load(wanted: Wanted) -> Subject:
        """Loads network and codecs.

        Raises:
            InputError: neither codec nor weights, or codecs for pictures of different sizes.
            CodecFileError: a codec that fits another network.
        """
        network = _network(wanted)
        codecs = tuple(zoo.load(codec, network=network) for codec in wanted.codecs)
        if not codecs:
            if network is None:
                raise InputError("comparison: got no codec and no network, expected at least one")
            return _without_codec(network, wanted)
        first = codecs[0]
        for other in codecs[1:]:
            _check_alike(first, other)
        about = first.file.config
        return Subject(first.network, codecs, _identity(about.network, about.size, about.stride))

    def behind(self, coder: str) -> CutNetwork:
        """What the features that an entry decoded go through: the network, or a codec's own tail."""
        return next((codec.behind for codec in self.codecs if codec.name == coder), self.network)

    def __str__(self) -> str:
        config, size = self.network.config, self.network.canvas.size
        classes = f", {len(config.classes)} classes" if config.classes else ""
        return f"{config}{classes}, cut after layer {config.at}, {size} px"


def _network(wanted: Wanted) -> nn.Module | None:
    if isinstance(wanted.network, str):
        return network_by_name(wanted.network, weights=wanted.weights)
    return wanted.network


def _without_codec(network: nn.Module, wanted: Wanted) -> Subject:
    name = wanted.network if isinstance(wanted.network, str) else type(network).__name__
    mean, deviation = channels_of(normalise_for(name, network))
    at = default_cut(network) if wanted.at is None else wanted.at
    wish = NetworkWish(at, name, wanted.classes or None, mean=mean, deviation=deviation)
    config = describe(network, wish)
    cut = cut_network(network, config, size=wanted.size, stride=LEAST_STRIDE)
    return Subject(cut, (), _identity(config, wanted.size, LEAST_STRIDE))


def _identity(config: NetworkConfig | ModuleConfig, size: int, stride: int) -> str:
    channels = ""
    if isinstance(config, ModuleConfig) and (config.mean, config.deviation) != channels_of(None):
        channels = f", normalised by {config.mean} and {config.deviation}"
    return f"{config.digest} cut after {config.at}, {size} px / {stride}{channels}"


def _check_alike(first: FeatureCodec, other: FeatureCodec) -> None:
    a, b = first.file.config, other.file.config
    if a.network.digest != b.network.digest or a.network.at != b.network.at:
        raise CodecFileError(
            f"codec {other.name!r}: fits network {b.network.digest[:16]} cut after layer {b.network.at}, "
            f"expected {a.network.digest[:16]} cut after layer {a.network.at}, as codec {first.name!r} does"
        )
    if (a.size, a.stride) != (b.size, b.stride):
        raise InputError(
            f"codec {other.name!r}: takes pictures of {b.size} px, expected {a.size} px, "
            f"as codec {first.name!r} does"
        )


@dataclass(frozen=True, slots=True)
class CodecCoder:
    """A codec as an entry of the comparison: whole ``.plf`` files, decoded from their bytes alone."""

    codec: FeatureCodec
    points: tuple[float, ...] = QUALITIES
    effort: int = DEFAULT_EFFORT
    kind: Kind = field(default="codec", init=False)
    gives: Gives = field(default="features", init=False)

    @property
    def name(self) -> str:
        return self.codec.name

    @property
    def identity(self) -> str:
        codec, encoder = self.codec.fingerprint.hex(), self.codec.file.encoder_digest
        return f"featcodec {codec} {encoder} by {ENCODER_VERSION} effort {self.effort}"

    def encode(self, shot: Shot, point: float) -> bytes:
        return self.codec.encode_features(shot.f, shot.geometry, quality=point, effort=self.effort)

    def decode(self, data: bytes) -> tuple[Tensor, Geometry]:
        features = self.codec.decode(data)
        return features.as_subclass(torch.Tensor), features.geometry
