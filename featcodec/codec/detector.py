"""A cut detector with all that leads from a photograph to boxes on it.

photograph ─canvas─▶ x, geometry ─features─▶ f ─boxes─▶ Boxes in pixels of the photograph
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from featcodec.networks.yolov5_split import Split
from featcodec.pictures.boxes import Boxes, suppress
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import ImageLike, load_image
from featcodec.plf.bitstream import DEFAULT_LIMITS

__all__ = ["Detector", "inference"]


@contextmanager
def inference() -> Iterator[None]:
    """No gradients, no reduced precision; whatever mode the caller is in."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        yield


@dataclass(frozen=True, slots=True)
class Detector:
    """A network, cut where one tensor crosses, and how pictures come to it.

    Attributes:
        network: the network, frozen and in evaluation mode.
        classes: class names by number.
        size: longest side in pixels that pictures are scaled down to.
        stride: pixels that both sides of the canvas are multiples of.
        confidence: the score from which a box is worth showing.
    """

    network: Split
    classes: tuple[str, ...]
    size: int = 416
    stride: int = 32
    confidence: float = 0.25

    def canvas(
        self, image: ImageLike, *, max_pixels: int = DEFAULT_LIMITS.max_pixels
    ) -> tuple[Tensor, Geometry]:
        """A picture to x (1, 3, H, W) in [0, 1] and where the picture lies on it; errors as `load_image`."""
        return load_image(image, size=self.size, stride=self.stride, max_pixels=max_pixels)

    def features(self, x: Tensor) -> Tensor:
        """Canvases (B, 3, H, W) to what crosses the cut, (B, C, h, w)."""
        with inference():
            return self.network.head(x)[0]

    def boxes(
        self,
        f: Tensor,
        geometry: Geometry,
        *,
        confidence: float | None = None,
        iou: float = 0.45,
        most: int = 300,
    ) -> Boxes:
        """Features (1, C, h, w) of one picture to boxes in its own pixels, best first.

        Args:
            f: what crossed the cut, decoded or not.
            geometry: where the picture lies on the canvas.
            confidence: least score in [0, 1]; the detector's own unless given.
            iou: overlap in [0, 1] above which the weaker of two boxes of a class goes.
            most: boxes at the most.
        """
        return self.boxes_batch(f, [geometry], confidence=confidence, iou=iou, most=most)[0]

    def boxes_batch(
        self,
        f: Tensor,
        geometries: Sequence[Geometry],
        *,
        confidence: float | None = None,
        iou: float = 0.45,
        most: int = 300,
    ) -> list[Boxes]:
        """Features (B, C, h, w) of several pictures, in one pass of the tail; arguments as `boxes`."""
        least = self.confidence if confidence is None else confidence
        out = []
        with inference():
            rows = self.network.network.detect.decode(self.network.tail((f,)))
            for of_one, geometry in zip(rows, geometries, strict=True):
                boxes, scores, labels = suppress(of_one, confidence=least, iou=iou, most=most)
                out.append(Boxes(geometry.boxes_to_picture(boxes), scores, labels, self.classes))
        return out
