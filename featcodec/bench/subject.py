"""The network that a run compares on, and the codecs that were fitted to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from featcodec import zoo
from featcodec.codec.codec_file import network_digest
from featcodec.codec.detector import Detector
from featcodec.codec.feature_codec import ENCODER_VERSION, FeatureCodec
from featcodec.errors import CodecFileError, InputError
from featcodec.evaluation.coders import Gives, Kind, Shot
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_split import split
from featcodec.networks.yolov5_weights import yolov5_from
from featcodec.pictures.geometry import Geometry

__all__ = ["QUALITIES", "CodecCoder", "Subject", "Wanted"]

QUALITIES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked to compare; small, so that each worker loads it for itself.

    Attributes:
        codecs: names of embedded codecs or paths of codec files.
        weights: of the network; None takes the network in the first codec's file.
        classes: class names by number, for a network without codec; empty where a codec says them.
        at: layer after which a network without codec is cut.
        size: longest side in pixels, for a network without codec.
    """

    codecs: tuple[str, ...] = ()
    weights: Path | None = None
    classes: tuple[str, ...] = ()
    at: int = 4
    size: int = 448


@dataclass(frozen=True, slots=True)
class Subject:
    """A detector and the codecs fitted to it.

    Attributes:
        detector: the network with its halves.
        codecs: in the order asked for.
        identity: text that changes with the network, its cut or its pictures' size.
    """

    detector: Detector
    codecs: tuple[FeatureCodec, ...]
    identity: str

    @staticmethod
    def load(wanted: Wanted) -> Subject:
        """Loads network and codecs.

        Raises:
            InputError: neither codec nor weights, or codecs for pictures of different sizes.
            CodecFileError: a codec that fits another network.
        """
        network = yolov5_from(wanted.weights) if wanted.weights else None
        codecs = tuple(zoo.load(codec, network=network) for codec in wanted.codecs)
        if not codecs:
            if network is None:
                raise InputError("comparison: got no codec and no network, expected at least one")
            return _without_codec(network, wanted)
        first = codecs[0]
        for other in codecs[1:]:
            _check_alike(first, other)
        about = first.file.config
        identity = f"{about.network.digest} cut after {about.network.at}, {about.size} px / {about.stride}"
        return Subject(first.detector, codecs, identity)

    def __str__(self) -> str:
        network = self.detector.network
        about = f"YOLOv5{network.network.scale}, {len(self.detector.classes)} classes"
        return f"{about}, cut after layer {network.at}, {self.detector.size} px"


def _without_codec(network: YOLOv5, wanted: Wanted) -> Subject:
    if len(wanted.classes) != network.classes:
        raise InputError(
            f"{wanted.weights}: a network of {network.classes} classes, expected {len(wanted.classes)}, "
            "one for each class of the data"
        )
    identity = f"{network_digest(network)} cut after {wanted.at}, {wanted.size} px / 32"
    fused = network.eval().requires_grad_(False).fuse().to(memory_format=torch.channels_last)
    cut = split(fused, at=wanted.at)
    _ = cut.only
    return Subject(Detector(cut, wanted.classes, wanted.size), (), identity)


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
    kind: Kind = field(default="codec", init=False)
    gives: Gives = field(default="features", init=False)

    @property
    def name(self) -> str:
        return self.codec.name

    @property
    def identity(self) -> str:
        return (
            f"featcodec {self.codec.fingerprint.hex()} {self.codec.file.encoder_digest} by {ENCODER_VERSION}"
        )

    def encode(self, shot: Shot, point: float) -> bytes:
        return self.codec.encode_features(shot.f, shot.geometry, quality=point)

    def decode(self, data: bytes) -> tuple[Tensor, Geometry]:
        features = self.codec.decode(data)
        return features.as_subclass(torch.Tensor), features.geometry
