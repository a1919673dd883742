"""Where the bits of a file went, drawn: a heat map over the picture, and a bar for each channel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from featcodec.inspect.rate import Rate
from featcodec.inspect.symbols import Decoded
from featcodec.pictures.geometry import Geometry

__all__ = ["colours", "draw_heat", "draw_map", "ticks"]

Floats = NDArray[np.float64]

_WIDTH = 1120  # of the drawing, in pixels
_LEFT, _RIGHT, _TOP = 84, 24, 84  # margins
_MAP = (_WIDTH - _LEFT - 150, 560)  # the heat map's largest sides; the colour bar is beside it
_THIN = 28  # the heat map's smallest side: of a picture 1 pixel high there should be something to see
_CAPTION = 180  # width of what is written below the heat map
_COLOUR_BAR = 160  # its smallest height
_PANEL = 150  # height of the bars
_BARS = 72  # at the most: with more of them, their numbers could not be read
_INK, _FAINT, _PAPER = (32, 32, 32), (208, 208, 208), (255, 255, 255)
_Y_COLOUR, _Z_COLOUR = (49, 104, 142), (181, 85, 29)
# dark to light in steps that look alike, also in grey and to the colour-blind: points of "inferno"
# (Nathaniel Smith and Stéfan van der Walt, CC0)
_SCALE = np.array(
    [(0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39),
     (252, 255, 164)],
    np.float64,
)  # fmt: skip


def colours(values: Floats) -> NDArray[np.uint8]:
    """Numbers in [0, 1], of any shape, to colours: one more axis of three.

    Example:
        >>> colours(np.array([0.0, 1.0])).tolist()
        [[0, 0, 4], [252, 255, 164]]
    """
    at = values.clip(0, 1) * (len(_SCALE) - 1)
    mixed = [np.interp(at, np.arange(len(_SCALE)), _SCALE[:, c]) for c in range(3)]
    return np.asarray(np.rint(np.stack(mixed, -1)), np.uint8)


def ticks(largest: float, most: int = 6) -> list[float]:
    """Round numbers from 0 to at most `largest`, 1, 2 or 5 times a power of ten apart.

    Example:
        >>> ticks(47.0)
        [0.0, 10.0, 20.0, 30.0, 40.0]
    """
    if not largest > 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(largest / most))
    step = next(power * f for f in (1, 2, 5, 10, 20) if largest / (power * f) <= most)
    return [step * i for i in range(int(largest / step * (1 + 1e-9)) + 1)]


def draw_map(decoded: Decoded, rate: Rate) -> Image.Image:
    """Draw where the bits of a file went.

    Args:
        decoded: the file.
        rate: its bits.

    Returns:
        An RGB image 1,120 pixels wide: the heat map on the plane of the original picture, with a colour
        bar in bits for each latent position, and the bits of each channel of y and z, sorted.
    """
    stride = decoded.codec.config.latent_stride
    plane = _on_picture(rate.positions, decoded.geometry, stride, _map_size(decoded.geometry))
    height = max(plane.shape[0], _COLOUR_BAR)
    panels = _TOP + height + 64
    drawn = Image.new("RGB", (_WIDTH, panels + 2 * (_PANEL + 84)), _PAPER)
    page = _Page(ImageDraw.Draw(drawn))
    largest = max(float(rate.positions.max()), 1e-9)
    _titles(page, decoded, rate, stride)
    drawn.paste(Image.fromarray(colours(plane / largest)), (_LEFT, _TOP))
    _axes(page, plane.shape, decoded.geometry)
    bar = colours(np.linspace(1, 0, height))[:, None].repeat(20, 1)
    _colour_bar(page, drawn, Image.fromarray(bar), _LEFT + max(plane.shape[1], _CAPTION) + 28, largest)
    for part, name, colour in ((rate.y, "y, latents", _Y_COLOUR), (rate.z, "z, side information", _Z_COLOUR)):
        _bars(page, part.bits.sum((1, 2)), name, panels, colour)
        panels += _PANEL + 84
    return drawn


def draw_heat(decoded: Decoded, rate: Rate, size: tuple[int, int]) -> Image.Image:
    """Draw the heat map alone, without axes.

    Args:
        decoded: the file.
        rate: its bits.
        size: width and height in pixels; the whole picture is stretched to them.

    Returns:
        An RGB image of that size; the lightest colour is the costliest position's.
    """
    stride = decoded.codec.config.latent_stride
    plane = _on_picture(rate.positions, decoded.geometry, stride, size)
    return Image.fromarray(colours(plane / max(float(rate.positions.max()), 1e-9)))


def _map_size(geometry: Geometry) -> tuple[int, int]:
    """Width and height of the heat map on its page."""
    scale = min(_MAP[0] / geometry.width, _MAP[1] / geometry.height)
    wide, high = (max(_THIN, round(pixels * scale)) for pixels in (geometry.width, geometry.height))
    return min(wide, _MAP[0]), min(high, _MAP[1])


def _on_picture(positions: Floats, geometry: Geometry, stride: int, size: tuple[int, int]) -> Floats:
    """Values of the latents' grid, which covers the canvas, on the plane of the picture."""
    sides = []
    for scaled, first, count, drawn in (
        (geometry.scaled_height, geometry.top, positions.shape[0], size[1]),
        (geometry.scaled_width, geometry.left, positions.shape[1], size[0]),
    ):
        on_canvas = first + (np.arange(drawn) + 0.5) * scaled / drawn
        sides.append((on_canvas / stride).astype(np.intp).clip(0, count - 1))
    return np.asarray(positions[sides[0]][:, sides[1]])


@dataclass(frozen=True, slots=True)
class _Page:
    """A pen, and the writing that the parts of the drawing share."""

    pen: ImageDraw.ImageDraw

    def text(self, x: float, y: float, text: str, anchor: str, size: int = 13, ink: object = _INK) -> None:
        """Write; `anchor` as Pillow has it: left, middle, right and ascender, middle, descender."""
        font = ImageFont.load_default(size)
        self.pen.text((x, y), text, fill=ink, font=font, anchor=anchor)  # type: ignore[arg-type]

    def line(self, x0: float, y0: float, x1: float, y1: float, ink: tuple[int, int, int] = _INK) -> None:
        """Draw a thin line."""
        self.pen.line((x0, y0, x1, y1), fill=ink)


def _number(value: float) -> str:
    """A tick's label."""
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.3g}"


def _titles(page: _Page, decoded: Decoded, rate: Rate, stride: int) -> None:
    header, report = decoded.report.stream.header, decoded.report
    name = "".join(c if " " <= c <= "~" else "?" for c in report.path)  # what the font can show
    if len(name) > 70:
        name = "..." + name[-67:]
    page.text(_LEFT, 16, f"Where the bits of {name} went", "la", 20)
    page.text(
        _LEFT,
        46,
        f"{report.size:,} bytes, codec {header.codec}, quality {header.quality:g}, picture {header.width} x "
        f"{header.height} pixels. Symbols: {rate.ideal / 8:,.0f} bytes (y {rate.y.total / 8:,.0f}, "
        f"z {rate.z.total / 8:,.0f}); a position is {stride} x {stride} pixels at {header.size} px.",
        "la",
    )


def _axes(page: _Page, shape: tuple[int, ...], geometry: Geometry) -> None:
    """Frame the heat map and mark pixels of the original picture on its sides."""
    high, wide = shape
    bottom, right = _TOP + high, _LEFT + wide
    page.pen.rectangle((_LEFT - 1, _TOP - 1, right, bottom), outline=_INK)
    for value in ticks(geometry.width, max(1, wide // 90)):
        x = _LEFT + value / geometry.width * wide
        page.line(x, bottom + 1, x, bottom + 6)
        page.text(x, bottom + 9, _number(value), "ma", 12)
    for value in ticks(geometry.height, max(1, high // 40)):
        y = _TOP + value / geometry.height * high
        page.line(_LEFT - 6, y, _LEFT - 2, y)
        page.text(_LEFT - 10, y, _number(value), "rm", 12)
    page.text(_LEFT, bottom + 26, "pixels of the original picture", "la", 12)


def _colour_bar(page: _Page, drawn: Image.Image, bar: Image.Image, x: int, largest: float) -> None:
    drawn.paste(bar, (x, _TOP))
    right, height = x + bar.width, bar.height
    page.pen.rectangle((x - 1, _TOP - 1, right, _TOP + height), outline=_INK)
    for value in ticks(largest, max(2, height // 45)):
        y = _TOP + height - 1 - value / largest * (height - 1)
        page.line(right + 1, y, right + 5, y)
        page.text(right + 9, y, _number(value), "lm", 12)
    page.text(x, _TOP + height + 9, "bits per position,", "la", 12)
    page.text(x, _TOP + height + 24, "all channels", "la", 12)


def _bars(page: _Page, bits: Floats, name: str, top: int, colour: tuple[int, int, int]) -> None:
    """The bits of each channel, the costliest first, above their numbers."""
    order = np.argsort(-bits, kind="stable")[:_BARS]
    of = f"the {_BARS} costliest of {len(bits)}" if len(bits) > _BARS else f"all {len(bits)}"
    zero = sum(1 for b in bits if b < 0.5)
    idle = f"; {zero} of them took less than a bit" if zero else ""
    title = f"Bits of each channel of {name}: {bits.sum():,.0f} bits in all; {of} channels, sorted{idle}"
    page.text(_LEFT, top, title, "la", 14)
    top, bottom = top + 24, top + 24 + _PANEL
    largest = max(float(bits.max()), 1e-9)
    for value in ticks(largest, 5):
        y = bottom - value / largest * _PANEL
        page.line(_LEFT, y, _WIDTH - _RIGHT, y, _FAINT)
        page.text(_LEFT - 8, y, _number(value), "rm", 12)
    slot = min((_WIDTH - _LEFT - _RIGHT) / len(order), 40)
    for place, channel in enumerate(order.tolist()):
        x = _LEFT + place * slot
        y = bottom - float(bits[channel]) / largest * _PANEL
        page.pen.rectangle((x + 1, min(y, bottom - 1), x + slot - 2, bottom), fill=colour)
        page.text(x + slot / 2, bottom + 5, str(channel), "ma", 10 if channel < 100 else 8)
    page.line(_LEFT, bottom, _WIDTH - _RIGHT, bottom)
    page.text(_LEFT - 8, bottom + 5, "channel", "ra", 11)
