"""YOLOX as featcodec cuts it: by hand after any stage of its backbone, which needs no set-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from featcodec.errors import InputError, SplitError
from featcodec.networks.cut_network import CrossingTensor
from featcodec.networks.detectors import check_detector, class_names
from featcodec.networks.identity import NetworkConfig, network_digest
from featcodec.networks.onnx_files import Convolution
from featcodec.networks.yolox import SCALES, STAGES, STRIDES, YOLOX, Scale
from featcodec.networks.yolox_weights import (
    MARKER,
    is_yolox,
    yolox_by_shapes,
    yolox_of,
    yolox_of_convolutions,
)
from featcodec.pictures.canvas import Canvas
from featcodec.pictures.geometry import Geometry

__all__ = ["YOLOXCut", "YOLOXFamily", "crossing_stages"]

PREFIX = "backbone.backbone."  # of the stages' names in the network
READ_BY_NECK = STAGES[2:]


def crossing_stages(at: str) -> tuple[str, ...]:
    """The stages whose outputs cross a cut after stage `at`, in their order: `at` and what the neck reads.

    Raises:
        SplitError: no such stage.

    Example:
        >>> crossing_stages("dark3"), crossing_stages("dark4")
        (('dark3',), ('dark3', 'dark4'))
    """
    if at not in STAGES:
        raise SplitError(f"cut after {at!r:.80}: expected a stage of a YOLOX: {', '.join(STAGES)}")
    before = STAGES[: STAGES.index(at)]
    return (*(stage for stage in before if stage in READ_BY_NECK), at)


@dataclass(frozen=True)
class YOLOXCut:
    """A YOLOX network cut after a stage of its backbone: a `featcodec.networks.cut_network.CutNetwork`.

    Pictures are centred on their canvas, as for all networks here, and its sides are multiples of 32, though
    the published code puts them at the top left of a square. `benchmarks/detector_accuracy.py` measures both:
    YOLOX-nano gains mAP by it.

    Attributes:
        network: the whole network.
        config: which one it is; `at` of it is the stage whose output crosses.
        canvas: how pictures come to it.

    Example:
        >>> network = YOLOX("nano", classes=6).eval()
        >>> cut = YOLOXCut.of(network, at="dark3")
        >>> with torch.no_grad():
        ...     [tuple(f.shape) for f in cut.head(torch.zeros(1, 3, 64, 64))]
        [(1, 64, 8, 8)]
    """

    network: YOLOX
    config: NetworkConfig
    canvas: Canvas

    @staticmethod
    def of(
        network: YOLOX, *, at: str, classes: tuple[str, ...] | None = None, canvas: Canvas | None = None
    ) -> YOLOXCut:
        """The network as it is, not copied, cut after stage `at`.

        Raises:
            SplitError: no such stage.
            InputError: another number of class names than the network has classes.
        """
        crossing_stages(at)
        names = class_names(network.classes, classes)
        config = NetworkConfig("yolox", network.scale, names, at, network_digest(network))
        return YOLOXCut(network, config, canvas or Canvas())

    @property
    def stages(self) -> tuple[str, ...]:
        """All stages whose outputs cross the cut."""
        return crossing_stages(str(self.config.at))

    @property
    def _next(self) -> int:
        return STAGES.index(str(self.config.at)) + 1

    @cached_property
    def crossing(self) -> tuple[CrossingTensor, ...]:
        """What crosses, in the order of `head`'s result."""
        device = next(self.network.parameters()).device
        with torch.no_grad():
            maps = self.head(torch.zeros(1, 3, 64, 64, dtype=torch.float32, device=device))
        return tuple(
            CrossingTensor(PREFIX + stage, int(f.shape[1]), 64 // int(f.shape[2]))
            for stage, f in zip(self.stages, maps, strict=True)
        )

    @property
    def detector(self) -> YOLOXHead:
        """What makes boxes of the raw outputs."""
        return YOLOXHead(self)

    def with_canvas(self, canvas: Canvas) -> YOLOXCut:
        """The same network for pictures on another canvas."""
        return replace(self, canvas=canvas)

    def head(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, 3, H, W), RGB in [0, 1], H and W multiples of 32, to the tensors that cross."""
        maps = self.network.stages(self.network.prepare(x), 0, self._next)
        return tuple(maps[STAGES.index(stage)] for stage in self.stages)

    def tail(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        """The tensors that cross to the raw outputs of the detection head."""
        return self.detector.raw_outputs(self.maps(features))

    def maps(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        """The tensors that cross, and behind the cut every map that is read twice or by the head."""
        kept = dict(zip(self.stages, features, strict=True))
        later = self.network.stages(features[-1], self._next, len(STAGES))
        kept |= dict(zip(STAGES[self._next :], later, strict=True))
        neck = self.network.backbone.neck(*(kept[stage] for stage in READ_BY_NECK))
        # dark5 is read once, by what gives the first map of the neck
        between = [kept[stage] for stage in READ_BY_NECK[:-1] if stage not in self.stages]
        return [*features, *between, *neck]


@dataclass(frozen=True, slots=True)
class YOLOXHead:
    """The detection head of a cut YOLOX: a `featcodec.networks.cut_network.DetectorHead`."""

    cut: YOLOXCut

    @property
    def classes(self) -> tuple[str, ...]:
        return self.cut.config.classes

    @property
    def confidence(self) -> float:
        return self.cut.config.confidence

    def candidates(self, geometry: Geometry) -> int:
        return sum((geometry.canvas_height // s) * (geometry.canvas_width // s) for s in STRIDES)

    def rows(self, outputs: list[Tensor]) -> Tensor:
        return self.cut.network.head.decode(outputs)

    def maps(self, features: Tensor) -> list[Tensor]:
        """The one tensor that crosses, and behind the cut every map that is read twice or by the head."""
        return self.cut.maps((features,))

    def raw_outputs(self, maps: list[Tensor]) -> list[Tensor]:
        outputs: list[Tensor] = self.cut.network.head(maps[-len(STRIDES) :])
        return outputs


class YOLOXFamily:
    """The YOLOX family: a `featcodec.networks.families.Family`."""

    name = "yolox"
    members = tuple(f"yolox-{scale}" for scale in SCALES)
    embeds = True
    default_cut = "dark3"  # the latest where one tensor crosses

    def owns(self, network: object) -> bool:
        return isinstance(network, YOLOX)

    def recognises(self, tensors: Mapping[str, Tensor]) -> bool:
        return any(name.endswith(MARKER) for name in tensors)

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> YOLOX:
        return yolox_by_shapes(tensors)

    def from_convolutions(self, convolutions: Sequence[Convolution]) -> YOLOX | None:
        return yolox_of_convolutions(convolutions) if is_yolox(convolutions) else None

    def make(self, member: str) -> YOLOX:
        scales: dict[str, Scale] = {f"yolox-{scale}": scale for scale in SCALES}
        return YOLOX(scales[member])

    def describe(self, network: YOLOX, wish: Any) -> NetworkConfig:
        """Cuts at a stage, by its own name or by that of its module in the network."""
        at = str(wish.at).removeprefix(PREFIX)
        if at not in STAGES:
            raise InputError(f"at: got {wish.at!r:.80}, expected a stage of a YOLOX: {', '.join(STAGES)}")
        names = class_names(network.classes, wish.classes)
        return NetworkConfig(self.name, network.scale, names, at, network_digest(network), wish.confidence)

    def kind(self, network: YOLOX) -> str:
        return NetworkConfig(self.name, network.scale, ("",) * network.classes, "", "").kind

    def check(self, config: NetworkConfig) -> None:
        check_detector(config, SCALES)
        if config.at not in STAGES or len(crossing_stages(str(config.at))) != 1:
            raise ValueError(
                f"network: got a cut at {config.at!r:.40}, expected a stage where one tensor crosses"
            )

    def restore(self, config: NetworkConfig, tensors: Mapping[str, Tensor]) -> YOLOX:
        scales = {str(scale): scale for scale in SCALES}
        return yolox_of(scales[config.scale], len(config.classes), tensors)

    def cut(self, network: YOLOX, config: NetworkConfig, canvas: Canvas) -> YOLOXCut:
        crossing = crossing_stages(str(config.at))
        if len(crossing) > 1:
            raise SplitError(
                f"cut after {config.at}: the neck reads {', '.join(crossing[:-1])}, too, so {len(crossing)} "
                f"tensors cross, expected 1; the latest stage with one is {self.default_cut}"
            )
        own = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        return YOLOXCut(own, config, canvas)
