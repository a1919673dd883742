"""A network cut in two, as all that stands above sees it: one protocol, whatever the network is.

    photograph ─canvas─▶ x, geometry ─head─▶ what crosses ─tail─▶ what the network returns
                                                                   └─detector─▶ boxes on the photograph

To teach featcodec a family of detectors, write a module like `featcodec.networks.yolov5_family`, and name it
in `featcodec.networks.families`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from featcodec.errors import InputError
from featcodec.networks.identity import ModuleConfig, NetworkConfig
from featcodec.networks.torch_state import inference
from featcodec.pictures.boxes import Boxes, suppress
from featcodec.pictures.canvas import Canvas
from featcodec.pictures.geometry import Geometry

__all__ = ["CrossingTensor", "CutNetwork", "DetectorHead", "detector_of", "features_of", "find_boxes"]


@dataclass(frozen=True, slots=True)
class CrossingTensor:
    """A tensor (B, channels, h, w) that crosses a cut.

    Attributes:
        name: of the layer that returns it.
        channels: how many.
        stride: pixels of the canvas for each of its rows and columns.
    """

    name: str
    channels: int
    stride: int


class DetectorHead(Protocol):
    """What makes boxes of what a detector returns, and says what of it a codec must not spoil.

    Attributes:
        classes: class names by number.
        confidence: the score from which a box is worth showing.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def confidence(self) -> float: ...

    def candidates(self, geometry: Geometry) -> int:
        """Boxes that the network looks at on a canvas, good or not."""
        ...

    def rows(self, outputs: Any) -> Tensor:
        """What the tail returned to (B, N, 5 + classes): cx, cy, w, h in pixels of the canvas, objectness and
        class scores in [0, 1]."""
        ...

    def maps(self, features: Tensor) -> list[Tensor]:
        """The tensor that crosses, and behind the cut every map (B, C, h, w) that is worth distilling.

        The last of them are what `raw_outputs` reads.
        """
        ...

    def raw_outputs(self, maps: list[Tensor]) -> list[Tensor]:
        """`maps` to raw outputs (B, anchors, h, w, 5 + classes): four numbers of a box, then logits of
        objectness and of the classes."""
        ...


class CutNetwork(Protocol):
    """A network, frozen and in evaluation mode, cut where one tensor (B, C, h, w) crosses.

    Attributes:
        config: which network it is and where it is cut, as a codec file says it.
        canvas: how pictures come to it.
        network: the whole network.
        crossing: what crosses.
        detector: what makes boxes of what it returns; None for a network that featcodec knows no boxes of.
    """

    @property
    def config(self) -> NetworkConfig | ModuleConfig: ...
    @property
    def canvas(self) -> Canvas: ...
    @property
    def network(self) -> nn.Module: ...
    @property
    def crossing(self) -> tuple[CrossingTensor, ...]: ...
    @property
    def detector(self) -> DetectorHead | None: ...

    def head(self, x: Tensor) -> tuple[Tensor, ...]:
        """Canvases (B, 3, H, W) in [0, 1] to the tensors that cross."""
        ...

    def tail(self, features: tuple[Tensor, ...]) -> Any:
        """The tensors that cross to what the network returns."""
        ...

    def with_canvas(self, canvas: Canvas) -> CutNetwork:
        """The same network for pictures on another canvas."""
        ...


def detector_of(cut: CutNetwork) -> DetectorHead:
    """What makes boxes of what the network returns.

    Raises:
        InputError: the network is no detector that featcodec knows.
    """
    if cut.detector is None:
        raise InputError(
            f"got network {cut.config}, which is no detector that featcodec knows, expected a YOLOv5 or a "
            "YOLOX; codec.tail(features) gives what it returns"
        )
    return cut.detector


def features_of(cut: CutNetwork, x: Tensor) -> Tensor:
    """Canvases (B, 3, H, W) to features (B, C, h, w), of a cut that one tensor crosses."""
    with inference():
        return cut.head(x)[0]


def find_boxes(
    cut: CutNetwork,
    f: Tensor,
    geometries: Sequence[Geometry],
    *,
    confidence: float | None = None,
    iou: float = 0.45,
    most: int = 300,
) -> list[Boxes]:
    """Features (B, C, h, w) of several pictures to boxes in their own pixels, best first, in one pass.

    Args:
        cut: a detector.
        f: what crossed the cut, decoded or not.
        geometries: where each picture lies on its canvas.
        confidence: least score in [0, 1]; the detector's own unless given.
        iou: overlap in [0, 1] above which the weaker of two boxes of a class goes.
        most: boxes of a picture at the most.

    Raises:
        InputError: the network is no detector that featcodec knows.
    """
    detector = detector_of(cut)
    least = detector.confidence if confidence is None else confidence
    out = []
    with inference():
        rows = detector.rows(cut.tail((f,)))
        for of_one, geometry in zip(rows, geometries, strict=True):
            boxes, scores, labels = suppress(of_one, confidence=least, iou=iou, most=most)
            out.append(Boxes(geometry.boxes_to_picture(boxes), scores, labels, detector.classes))
    return out
