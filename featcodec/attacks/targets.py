"""What an attack is aimed at, and what a thief has of each picture that crossed it.

    target          the thief has                                              stride
    CodecTarget     decoded latents ŷ, of a real file                          16
    RawTarget       features f, as they are                                    8
    CoderTarget     what a coder of the bench decodes: features, or a picture  8

A decoded picture is handed to the network attackers with each 8 x 8 block of pixels as 192 channels
(pixel-unshuffle), so that one kind of attacker serves all targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from featcodec.codec.effort import DEFAULT_EFFORT
from featcodec.codec.feature_codec import ENCODER_VERSION, FeatureCodec
from featcodec.errors import InputError
from featcodec.evaluation.coders import Coder, Shot
from featcodec.networks.cut_network import CutNetwork, features_of
from featcodec.networks.identity import network_digest
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.pixels import eight_bits, unit_floats

__all__ = [
    "CodecTarget",
    "CoderTarget",
    "RawTarget",
    "Target",
    "Window",
    "as_observation",
    "at_point",
    "mirrored",
    "shoot",
    "window",
]

BLOCK = 8  # pixels along the side of a block that becomes the channels of one place
Window = tuple[slice, slice, slice]


class Target(Protocol):
    """Something that pictures cross on their way to the tail, where a thief listens.

    Attributes:
        name: as in tables.
        identity: text that changes whenever the same picture could be seen differently.
        points: qualities or quantization parameters; (0,) where there is no choice.
        network: cut, with how pictures come to it.
        views: times that a training photograph is sent, each at a point of its own.
    """

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> str: ...
    @property
    def points(self) -> tuple[float, ...]: ...
    @property
    def network(self) -> CutNetwork: ...
    @property
    def views(self) -> int: ...

    def observe(self, shot: Shot, point: float) -> tuple[Tensor, int]:
        """What the thief has of a picture, and the size of its file in bytes, 0 where there is none.

        Returns:
            (C, H/s, W/s) float, s the stride; or the decoded canvas itself, (3, H, W) uint8.

        Raises:
            CoderError: a coder of the bench failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class CodecTarget:
    """The files of a codec at `points`, qualities of 1 to 8, as an encoder of an effort makes them."""

    codec: FeatureCodec
    points: tuple[float, ...]
    effort: int = DEFAULT_EFFORT
    views: int = 2

    @property
    def name(self) -> str:
        return self.codec.name

    @property
    def identity(self) -> str:
        file = self.codec.file  # the fingerprint stands for what decodes, and names the network
        encoder = f"{ENCODER_VERSION} {network_digest(file.g_a)} {network_digest(file.h_a)}"
        return f"codec {file.fingerprint.hex()} encoder {encoder} effort {self.effort} points {self.points}"

    @property
    def network(self) -> CutNetwork:
        return self.codec.network

    def observe(self, shot: Shot, point: float) -> tuple[Tensor, int]:
        data = self.codec.encode_features(shot.f, shot.geometry, quality=point, effort=self.effort)
        latents, _ = self.codec.decode_latents(data)
        return latents[0], len(data)


@dataclass(frozen=True, slots=True)
class RawTarget:
    """The features themselves, uncoded: what is given away without any codec."""

    network: CutNetwork
    name: str = "raw"
    points: tuple[float, ...] = (0.0,)
    views: int = 2

    @property
    def identity(self) -> str:
        return f"raw {_identity(self.network)}"

    def observe(self, shot: Shot, point: float) -> tuple[Tensor, int]:  # noqa: ARG002
        return shot.f[0], 0


@dataclass(frozen=True, slots=True)
class CoderTarget:
    """What a coder of the bench decodes. One view each: its encoders are programs of their own, and slow."""

    coder: Coder
    network: CutNetwork
    points: tuple[float, ...]
    views: int = 1

    @property
    def name(self) -> str:
        return self.coder.name

    @property
    def identity(self) -> str:
        return f"coder {self.coder.identity} points {self.points} {_identity(self.network)}"

    def observe(self, shot: Shot, point: float) -> tuple[Tensor, int]:
        data = self.coder.encode(shot, point)
        decoded, _ = self.coder.decode(data)
        if self.coder.gives == "canvas":
            return eight_bits(decoded[0]), len(data)
        return decoded[0], len(data)


def _identity(network: CutNetwork) -> str:
    config, canvas = network.config, network.canvas
    digest = network_digest(network.network)  # of the weights as they run, folded where they are
    return f"network {digest} at {config.at} size {canvas.size} stride {canvas.stride}"


def at_point(target: Target, point: float) -> Target:
    """The same target at one of its points alone, each training photograph sent twice.

    Raises:
        InputError: a target of another kind than those above, with several points or a single view.
    """
    if target.points == (point,) and target.views == 2:
        return target
    if isinstance(target, CodecTarget | RawTarget | CoderTarget):
        return replace(target, points=(point,), views=2)
    got = f"{len(target.points)} points and {target.views} views"
    raise InputError(f"{target.name}: got {got}, expected a target of one point and two views")


# ---- pictures


def shoot(network: CutNetwork, path: Path) -> Shot:
    """A photograph on its way through the network.

    Raises:
        ImageError: not a picture.
    """
    x, geometry = network.canvas.load(path)
    return Shot(path, x, features_of(network, x), geometry)


def mirrored(network: CutNetwork, shot: Shot) -> Shot:
    """The same for the photograph seen in a mirror; it stays where it is on the canvas."""
    x = shot.x.clone()
    here = (..., *window(shot.geometry)[1:])
    x[here] = shot.x[here].flip(-1)
    return replace(shot, x=x, f=features_of(network, x))


def window(g: Geometry) -> Window:
    """Where the photograph lies on its canvas (3, H, W): what is left without the grey borders."""
    rows, columns = slice(g.top, g.top + g.scaled_height), slice(g.left, g.left + g.scaled_width)
    return slice(None), rows, columns


def as_observation(seen: Tensor) -> Tensor:
    """What `Target.observe` gave to what network attackers take: float (C, H/s, W/s)."""
    x = unit_floats(seen)
    return F.pixel_unshuffle(x, BLOCK) if seen.dtype == torch.uint8 else x
