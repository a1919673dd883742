"""YOLOv5 as featcodec cuts it: by hand after any of its layers, which needs no set-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import torch
from torch import Tensor, nn

from featcodec.errors import InputError, SplitError
from featcodec.networks.cut_network import CrossingTensor
from featcodec.networks.detectors import check_detector, class_names
from featcodec.networks.identity import NetworkConfig, network_digest
from featcodec.networks.onnx_files import Convolution
from featcodec.networks.yolov5 import ANCHORS, STRIDES, Detect, Scale, YOLOv5
from featcodec.networks.yolov5_weights import MARKER, yolov5_by_shapes, yolov5_of
from featcodec.pictures.canvas import Canvas
from featcodec.pictures.geometry import Geometry

__all__ = ["YOLOv5Cut", "YOLOv5Family", "crossing_layers"]

LAST_CUT = 23  # layer 24 is the detection head, which reads 17, 20 and 23


def crossing_layers(at: int) -> tuple[int, ...]:
    """The layers whose outputs cross a cut after layer `at`, rising: `at` and what later layers look back to.

    Raises:
        SplitError: no such layer.

    Example:
        >>> crossing_layers(4), crossing_layers(9)
        ((4,), (4, 6, 9))
    """
    if not 0 <= at <= LAST_CUT:
        raise SplitError(f"cut after layer {at}: got {at}, expected 0 to {LAST_CUT}")
    later = {s for reader, sources in YOLOv5.LOOKS_BACK.items() if reader > at for s in sources if s <= at}
    # the detection head reads 17, 20 and 23 only; every other layer reads the one before it
    return tuple(sorted(later | {at}))


@dataclass(frozen=True)
class YOLOv5Cut:
    """A YOLOv5 network cut after one of its layers: a `featcodec.networks.cut_network.CutNetwork`.

    Layer 4 is the cut of the seed paper (stride 8).

    Attributes:
        network: the whole network.
        config: which one it is; `at` of it is the layer whose output crosses.
        canvas: how pictures come to it.

    Source: Azizian and Bajić 2022 (arXiv:2210.00727), section II.

    Example:
        >>> network = YOLOv5("n", classes=6).eval()
        >>> cut = YOLOv5Cut.of(network, at=4)
        >>> with torch.no_grad():
        ...     [tuple(f.shape) for f in cut.head(torch.zeros(1, 3, 64, 64))]
        [(1, 64, 8, 8)]
    """

    network: YOLOv5
    config: NetworkConfig
    canvas: Canvas

    @staticmethod
    def of(
        network: YOLOv5, *, at: int, classes: tuple[str, ...] | None = None, canvas: Canvas | None = None
    ) -> YOLOv5Cut:
        """The network as it is, neither copied nor fused, cut after layer `at`.

        Raises:
            SplitError: no such layer.
            InputError: another number of class names than the network has classes.
        """
        crossing_layers(at)
        names = class_names(network.classes, classes)
        config = NetworkConfig("yolov5", network.scale, names, at, network_digest(network))
        return YOLOv5Cut(network, config, canvas or Canvas())

    @property
    def at(self) -> int:
        """The layer after which it is cut."""
        return int(self.config.at)

    @property
    def layers(self) -> tuple[int, ...]:
        """All layers whose outputs cross the cut."""
        return crossing_layers(self.at)

    @cached_property
    def crossing(self) -> tuple[CrossingTensor, ...]:
        """What crosses, in the order of `head`'s result."""
        with torch.no_grad():
            maps = self.head(torch.zeros(1, 3, 64, 64, dtype=torch.float32, device=self._device))
        return tuple(
            CrossingTensor(f"model.{i}", int(f.shape[1]), 64 // int(f.shape[2]))
            for i, f in zip(self.layers, maps, strict=True)
        )

    @property
    def detector(self) -> YOLOv5Head:
        """What makes boxes of the raw outputs."""
        return YOLOv5Head(self)

    @property
    def _device(self) -> torch.device:
        return self.network.detect.anchors.device

    def with_canvas(self, canvas: Canvas) -> YOLOv5Cut:
        """The same network for pictures on another canvas."""
        return replace(self, canvas=canvas)

    def head(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (B, 3, H, W) in [0, 1], H and W multiples of 32, to the tensors that cross."""
        kept = self.network.run(0, self.at + 1, {-1: x})
        return tuple(kept[i] for i in self.layers)

    def tail(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        """The tensors that cross to the raw outputs of the detection head."""
        return self.network.head_outputs(self.neck(features))

    def neck(self, features: tuple[Tensor, ...]) -> dict[int, Tensor]:
        """The tensors that cross to the outputs of the layers that the detection head reads, by layer."""
        kept = dict(zip(self.layers, features, strict=True))
        kept = self.network.run(self.at + 1, LAST_CUT + 1, kept)
        return {i: kept[i] for i in YOLOv5.LOOKS_BACK[24]}


@dataclass(frozen=True, slots=True)
class YOLOv5Head:
    """The detection head of a cut YOLOv5: a `featcodec.networks.cut_network.DetectorHead`."""

    cut: YOLOv5Cut

    @property
    def classes(self) -> tuple[str, ...]:
        return self.cut.config.classes

    @property
    def confidence(self) -> float:
        return self.cut.config.confidence

    @property
    def _detect(self) -> Detect:
        return self.cut.network.detect

    def candidates(self, geometry: Geometry) -> int:
        anchors = len(ANCHORS[0])
        return sum(anchors * (geometry.canvas_height // s) * (geometry.canvas_width // s) for s in STRIDES)

    def rows(self, outputs: list[Tensor]) -> Tensor:
        return self._detect.decode(outputs)

    def maps(self, features: Tensor) -> list[Tensor]:
        """The one tensor that crosses, and behind the cut every map that a later layer looks back to."""
        cut = self.cut
        kept = cut.network.run(cut.at + 1, LAST_CUT + 1, {cut.at: features})
        return [kept[i] for i in sorted(kept)]

    def raw_outputs(self, maps: list[Tensor]) -> list[Tensor]:
        outputs: list[Tensor] = self._detect(maps[-len(self._detect.m) :])
        return outputs


class YOLOv5Family:
    """The YOLOv5 v6 family: a `featcodec.networks.families.Family`."""

    name = "yolov5"
    members = tuple(f"yolov5{scale}" for scale in get_args(Scale))
    embeds = True
    default_cut = 4  # the latest where one tensor crosses

    def owns(self, network: object) -> bool:
        return isinstance(network, YOLOv5)

    def recognises(self, tensors: Mapping[str, Tensor]) -> bool:
        return any(name.endswith(MARKER) for name in tensors)

    def from_tensors(self, tensors: Mapping[str, Tensor]) -> YOLOv5:
        return yolov5_by_shapes(tensors)

    def from_convolutions(self, convolutions: Sequence[Convolution]) -> None:
        """None: only checkpoints are read."""

    def make(self, member: str) -> YOLOv5:
        scales: dict[str, Scale] = {f"yolov5{scale}": scale for scale in get_args(Scale)}
        return YOLOv5(scales[member])

    def describe(self, network: YOLOv5, wish: Any) -> NetworkConfig:
        """Cuts at a number, or ``"model.N"``."""
        number = str(wish.at).removeprefix("model.")
        if not number.isdecimal():
            raise InputError(f"at: got {wish.at!r}, expected the number of a layer of a YOLOv5")
        names = class_names(network.classes, wish.classes)
        return NetworkConfig(
            self.name, network.scale, names, int(number), network_digest(network), wish.confidence
        )

    def kind(self, network: YOLOv5) -> str:
        about = NetworkConfig(self.name, network.scale, ("",) * network.classes, 0, "").kind
        fused = not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
        return f"{about}, fused" if fused else about

    def check(self, config: NetworkConfig) -> None:
        check_detector(config, get_args(Scale))
        if type(config.at) is not int or len(crossing_layers(config.at)) != 1:
            raise ValueError(
                f"network: got a cut at {config.at!r:.40}, expected a layer where one tensor crosses"
            )

    def restore(self, config: NetworkConfig, tensors: Mapping[str, Tensor]) -> YOLOv5:
        scales = {scale: scale for scale in get_args(Scale)}
        return yolov5_of(scales[config.scale], len(config.classes), tensors)

    def cut(self, network: YOLOv5, config: NetworkConfig, canvas: Canvas) -> YOLOv5Cut:
        _check_single(int(config.at))
        fused = network.fuse().eval().requires_grad_(False).to(memory_format=torch.channels_last)
        return YOLOv5Cut(fused, config, canvas)


def _check_single(at: int) -> None:
    """Raises SplitError where several tensors cross: names them, and the latest layer where one does."""
    crossing = crossing_layers(at)
    if len(crossing) == 1:
        return
    single = max(i for i in range(at) if len(crossing_layers(i)) == 1)
    others = ", ".join(str(i) for i in crossing[:-1])
    raise SplitError(
        f"cut after layer {at}: later layers look back across it to layer {others}, so "
        f"{len(crossing)} tensors cross, expected 1; the latest layer with one is {single}"
    )
