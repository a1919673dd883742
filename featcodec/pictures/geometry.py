"""Where a picture lies on the canvas that the network sees, and boxes from either to the other."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featcodec.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["Geometry", "check_positive"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a picture lies on the canvas that the network sees.

    The picture is scaled to a longest side of ``size`` pixels and centred on a grey canvas whose sides are
    multiples of ``stride``. Four integers say it all; the rest follows from them in integer arithmetic, so
    that encoder and decoder agree to the pixel.

    Args:
        width: of the original picture, upright, in pixels; at least 1.
        height: likewise.
        size: longest side after scaling, in pixels; at least 1.
        stride: what both canvas sides are multiples of, in pixels; at least 1.

    Raises:
        InputError: a value is no integer, or less than 1.

    Example:
        >>> geometry = Geometry.fit(1920, 1080)
        >>> geometry
        Geometry(width=1920, height=1080, size=416, stride=32)
        >>> geometry.scaled_width, geometry.scaled_height, geometry.canvas_width, geometry.canvas_height
        (416, 234, 416, 256)
        >>> geometry.left, geometry.top
        (0, 11)
    """

    width: int
    height: int
    size: int
    stride: int

    def __post_init__(self) -> None:
        check_positive(width=self.width, height=self.height, size=self.size, stride=self.stride)
        for name in ("width", "height", "size", "stride"):  # NumPy's integers would wrap around in _scaled
            object.__setattr__(self, name, operator.index(getattr(self, name)))

    @classmethod
    def fit(
        cls, width: int, height: int, *, size: int = 416, stride: int = 32, upscale: bool = False
    ) -> Geometry:
        """The geometry of a picture on a canvas of about ``size`` pixels.

        Args:
            width: of the original picture, upright, in pixels; at least 1.
            height: likewise.
            size: longest side after scaling, in pixels; at least 1.
            stride: what both canvas sides are multiples of, in pixels; at least 1.
            upscale: enlarge a picture smaller than ``size``; without it such a picture keeps its size.

        Returns:
            The geometry; its ``size`` is that of a small picture where it is not enlarged.

        Raises:
            InputError: a value is no integer, or less than 1.

        Example:
            >>> Geometry.fit(100, 50).size, Geometry.fit(100, 50, upscale=True).size
            (100, 416)
        """
        check_positive(width=width, height=height, size=size, stride=stride)
        return cls(width, height, size if upscale else min(size, max(width, height)), stride)

    @property
    def scaled_width(self) -> int:
        """Width of the picture on the canvas, in pixels."""
        return self._scaled(self.width)

    @property
    def scaled_height(self) -> int:
        """Height of the picture on the canvas, in pixels."""
        return self._scaled(self.height)

    @property
    def canvas_width(self) -> int:
        """Width of the canvas, in pixels: a multiple of ``stride``."""
        return -(-self.scaled_width // self.stride) * self.stride

    @property
    def canvas_height(self) -> int:
        """Height of the canvas, in pixels: a multiple of ``stride``."""
        return -(-self.scaled_height // self.stride) * self.stride

    @property
    def left(self) -> int:
        """Grey pixels on the left of the picture."""
        return (self.canvas_width - self.scaled_width) // 2

    @property
    def top(self) -> int:
        """Grey pixels above the picture."""
        return (self.canvas_height - self.scaled_height) // 2

    def boxes_to_picture(self, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes on the canvas, as a detector gives them, on the original photograph.

        Args:
            boxes: floats (N, 4), corners x0, y0, x1, y1 in pixels of the canvas.

        Returns:
            Floats (N, 4), corners in pixels of the original photograph, clipped to it. Half precision
            comes back as float32, which can name every pixel of a large photograph.

        Raises:
            InputError: not a float tensor of shape (N, 4).

        Example:
            >>> import torch
            >>> Geometry.fit(1920, 1080).boxes_to_picture(torch.tensor([[-5.0, 11.0, 208.0, 128.0]]))
            tensor([[  0.,   0., 960., 540.]])
        """
        import torch

        offset, scaled, original = self._frames(boxes)
        upright = (_at_least_float32(boxes) - offset) / scaled * original
        return torch.minimum(upright.clamp(min=0), original)

    def boxes_to_canvas(self, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes on the original photograph, such as a data set's labels, on the canvas.

        Args:
            boxes: floats (N, 4), corners x0, y0, x1, y1 in pixels of the original photograph.

        Returns:
            Floats (N, 4), corners in pixels of the canvas, not clipped; float32 for half precision.

        Raises:
            InputError: not a float tensor of shape (N, 4).

        Example:
            >>> import torch
            >>> Geometry.fit(1920, 1080).boxes_to_canvas(torch.tensor([[0.0, 0.0, 960.0, 540.0]]))
            tensor([[  0.,  11., 208., 128.]])
        """
        offset, scaled, original = self._frames(boxes)
        return _at_least_float32(boxes) / original * scaled + offset

    def _scaled(self, side: int) -> int:
        longest = max(self.width, self.height)
        return max(1, (side * self.size + longest // 2) // longest)  # the longest side gives size exactly

    def _frames(self, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Offset, scaled sides and original sides, each (4,) to go with x0, y0, x1, y1."""
        import torch

        if not isinstance(boxes, torch.Tensor) or not boxes.is_floating_point():
            got = boxes.dtype if isinstance(boxes, torch.Tensor) else type(boxes).__name__
            raise InputError(f"boxes: got {got}, expected a float tensor of shape (N, 4)")
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise InputError(f"boxes: got shape {tuple(boxes.shape)}, expected (N, 4)")
        pairs = (self.left, self.top), (self.scaled_width, self.scaled_height), (self.width, self.height)
        dtype = torch.promote_types(boxes.dtype, torch.float32)
        offset, scaled, original = (torch.tensor(p * 2, dtype=dtype, device=boxes.device) for p in pairs)
        return offset, scaled, original


def check_positive(**values: int) -> None:
    """Refuse options that are no integers, or less than 1.

    Args:
        values: what to check, NumPy's integers included, by the names that the message shows.

    Raises:
        InputError: a value is no integer, or less than 1; the first such is named.

    Example:
        >>> check_positive(size=416, stride=np.int64(32))
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise InputError(f"{name}: got {value!r}, expected an integer of at least 1")


def _at_least_float32(boxes: torch.Tensor) -> torch.Tensor:
    import torch

    return boxes.to(torch.promote_types(boxes.dtype, torch.float32))
