"""Boxes on a picture: what ``featcodec detect --draw`` writes."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from featcodec.pictures.boxes import Box, Boxes

__all__ = ["CANVAS_PIXELS", "canvas", "draw_boxes"]

CANVAS_PIXELS = 4_000_000
_CANVAS_SIDE = 16_383  # the longest that WebP can hold; JPEG and PNG hold more
_GREY = (128, 128, 128)
_EDGE = (32, 32, 32)  # around the frames: they have to show on any colour
_SMALLEST_FONT = 6  # pixels; below this nothing can be read

_Rectangle: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom; the last pixels included
_Colour: TypeAlias = tuple[int, int, int]
_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class _Label:
    """A frame and what is written at it."""

    text: str
    font: _Font
    colour: _Colour
    frame: _Rectangle
    place: _Rectangle
    origin: tuple[float, float]  # of the text

    @property
    def ink(self) -> str:
        """Black or white, whichever can be read on the colour."""
        red, green, blue = self.colour
        return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "white"


def canvas(width: int, height: int, picture: Image.Image | None = None) -> Image.Image:
    """What to draw on: a photograph, or plain grey where there is none; at most 4 megapixels.

    Args:
        width: of the photograph, in pixels.
        height: likewise.
        picture: the photograph.

    Returns:
        A new RGB image in the photograph's proportions, reduced where the photograph is larger.

    Example:
        >>> canvas(640, 480).size, canvas(8000, 6000).size
        ((640, 480), (2309, 1732))
    """
    scale = min(1.0, math.sqrt(CANVAS_PIXELS / (width * height)), _CANVAS_SIDE / max(width, height))
    size = max(1, int(width * scale)), max(1, int(height * scale))
    if picture is None:
        return Image.new("RGB", size, _GREY)
    if size == picture.size:
        return picture.convert("RGB")
    return picture.convert("RGB").resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def draw_boxes(
    picture: Image.Image, boxes: Boxes, *, photograph: tuple[int, int] | None = None
) -> Image.Image:
    """Draw detections: a frame and a label each, one colour a class, the best on top.

    Args:
        picture: what to draw on; stays as it is.
        boxes: in pixels of the original photograph.
        photograph: its width and height; those of `picture` unless given.

    Returns:
        A new RGB image of the size of `picture`.

    Example:
        >>> import torch
        >>> from featcodec.pictures.boxes import Boxes
        >>> one = torch.tensor([[8.0, 8.0, 56.0, 56.0]]), torch.tensor([0.9]), torch.tensor([0])
        >>> draw_boxes(canvas(64, 64), Boxes(*one, ("cat",))).getpixel((8, 40))
        (115, 255, 230)
    """
    drawn = picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
    width, height = photograph if photograph is not None else picture.size
    across, down = drawn.width / width, drawn.height / height
    line = max(1, round(math.sqrt(drawn.width * drawn.height) / 300))
    pen = ImageDraw.Draw(drawn)
    labels: list[_Label] = []
    for number, box in enumerate(boxes):  # best first, so that it has its choice of places for the label
        frame = _frame(box, across, down, drawn.size)
        colour = _colour(int(boxes.labels[number]))
        labels.append(_label(f"{box.label} {box.score:.2f}", frame, colour, drawn.size, line, labels))
    for label in reversed(labels):  # best last, so that it is on top
        left, top, right, bottom = label.frame
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_EDGE, width=line + 2)
        pen.rectangle(label.frame, outline=label.colour, width=line)
    for label in reversed(labels):
        pen.rectangle(label.place, fill=label.colour)
        pen.text(label.origin, label.text, fill=label.ink, font=label.font)
    return drawn


def _frame(box: Box, across: float, down: float, size: tuple[int, int]) -> _Rectangle:
    """Corners on the drawing, inside it, in order."""
    x = sorted(min(max(round(v * across), 0), size[0] - 1) for v in (box.x1, box.x2))
    y = sorted(min(max(round(v * down), 0), size[1] - 1) for v in (box.y1, box.y2))
    return x[0], y[0], x[1], y[1]


def _colour(label: int) -> _Colour:
    """Neighbouring classes are far apart on the colour circle: steps of the golden angle."""
    hue = (0.47 + label * 0.618034) % 1
    lightness = (0.725, 0.55)[label // 8 % 2]  # two rings of it
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _label(
    text: str, frame: _Rectangle, colour: _Colour, size: tuple[int, int], line: int, others: list[_Label]
) -> _Label:
    """The label of a frame, at the first place beside it that none of the others has taken."""
    font = _font(text, *size)
    left, _, right, _ = font.getbbox(text)
    _, top, _, bottom = font.getbbox("Ay")  # all labels of one height
    wide, high = math.ceil(right - left) + 2 * line, math.ceil(bottom - top) + 2 * line
    places = [
        _inside((x, y, x + wide - 1, y + high - 1), size)
        for y in (frame[1] - high + line, frame[1], frame[3], frame[3] - high)  # above, in, below, in
        for x in (frame[0], frame[2] - wide)
    ]
    free = (p for p in places if not any(_overlap(p, other.place) for other in others))
    place = next(free, places[0])
    return _Label(text, font, colour, frame, place, (place[0] + line - left, place[1] + line - top))


def _font(text: str, width: int, height: int) -> _Font:
    """A size that goes with the picture, smaller where the text would not fit across it."""
    size = max(11.0, math.sqrt(width * height) / 36)
    font = ImageFont.load_default(size)
    left, _, right, _ = font.getbbox(text)
    wide = 1.1 * (right - left)
    return font if wide <= width else ImageFont.load_default(max(_SMALLEST_FONT, size * width / wide))


def _inside(r: _Rectangle, size: tuple[int, int]) -> _Rectangle:
    """A rectangle moved into the picture; to its left or upper edge where it is too large."""
    across = max(0, r[0] + min(0, size[0] - 1 - r[2])) - r[0]
    down = max(0, r[1] + min(0, size[1] - 1 - r[3])) - r[1]
    return r[0] + across, r[1] + down, r[2] + across, r[3] + down


def _overlap(a: _Rectangle, b: _Rectangle) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
