"""The sheet of a comparison: photograph and JPEG above, what thieves rebuild below, each with a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from featcodec.attacks.comparison import Comparison, RebuiltFile
from featcodec.attacks.thief_words import identity_words, reached_words, training_words
from featcodec.pictures.drawing import draw_boxes

__all__ = ["WIDTH", "sheet"]

WIDTH = 900  # pixels, about what a README is shown at
MARGIN, GAP, COLUMNS = 20, 20, 2
SIDE = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS  # of the square that a picture is fitted into
TITLE, TEXT, LEADING = 18, 15, 1.3  # font sizes in pixels, and from line to line
INK, SOFT, RULE = (20, 20, 20), (85, 85, 85), (205, 205, 205)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class _Panel:
    """A picture and what stands below it."""

    picture: Image.Image
    title: str
    lines: tuple[str, ...]


def sheet(found: Comparison) -> Image.Image:
    """Draws a comparison, 900 pixels wide.

    Below the pictures stand how the thieves were trained, what they and stronger attackers reach over many
    photographs, and whom a thief tells apart that rebuilds nothing.

    Returns:
        RGB.
    """
    panels = [_photograph(found), _jpeg(found), *(_file(one, found) for one in found.rebuilt)]
    rows = [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]
    title, text = ImageFont.load_default(TITLE), ImageFont.load_default(TEXT)
    notes = [_wrapped(note, text, WIDTH - 2 * MARGIN) for note in _notes(found)]
    heights = [_row_height(row, text) for row in rows]
    below = sum(_high(TEXT) * len(lines) + TEXT // 2 for lines in notes)
    page = Image.new("RGB", (WIDTH, MARGIN + sum(heights) + GAP * len(rows) + below + MARGIN), "white")
    pen = ImageDraw.Draw(page)
    y = MARGIN
    for row, height in zip(rows, heights, strict=True):
        tallest = max(panel.picture.height for panel in row)
        for i, panel in enumerate(row):
            _draw(page, pen, panel, (MARGIN + i * (SIDE + GAP), y), tallest, (title, text))
        y += height + GAP
    pen.line((MARGIN, y - GAP // 2, WIDTH - MARGIN, y - GAP // 2), fill=RULE)
    y += GAP // 4
    for lines in notes:
        y = _write(pen, lines, (MARGIN, y), text, SOFT) + TEXT // 2
    return page


# ---- what is said


def _photograph(found: Comparison) -> _Panel:
    boxes = draw_boxes(_fitted(found.photograph, found), found.boxes, photograph=found.photograph.size)
    given = found.given
    lines = (f"through the {given.bytes:,} bytes of {given.codec} at quality {given.quality:.3g}",)
    count = len(found.boxes)
    what = {0: "in which no box is found", 1: "with the box found"}.get(
        count, f"with the {count} boxes found"
    )
    return _Panel(boxes, f"Photograph, {what}", lines)


def _jpeg(found: Comparison) -> _Panel:
    jpeg, most = found.jpeg, found.given.bytes
    if jpeg is None:
        blank = _fitted(Image.new("RGB", (1, 1), (235, 235, 235)), found)
        return _Panel(blank, "No JPEG is that small", (f"in {most:,} bytes none fits, at any scale",))
    height, width, _ = found.given.picture.shape
    scaled = f"scaled down to {jpeg.width} x {jpeg.height}"
    size = f"{width} x {height}" if (jpeg.width, jpeg.height) == (width, height) else scaled
    lines = (
        f"{len(jpeg.data):,} bytes: {size} px, JPEG quality {jpeg.quality}",
        f"PSNR {found.jpeg_psnr:.1f} dB; no thief needed, the picture is there to see",
    )
    return _Panel(_fitted(jpeg.picture, found), "The best JPEG of no more bytes", lines)


def _file(one: RebuiltFile, found: Comparison) -> _Panel:
    lines = (
        f"{one.bytes:,} bytes, quality {one.quality:.3g}",
        f"PSNR {one.psnr:.1f} dB on this photograph; its mean colour {found.blind_psnr:.1f} dB",
    )
    picture = _fitted(Image.fromarray(one.picture), found)
    return _Panel(picture, f"Rebuilt by the thief of {one.codec}", lines)


def _notes(found: Comparison) -> list[str]:
    """How the thieves learned, once where all learned alike; figures and identity of each."""
    how = {one.codec: training_words(one.thief) for one in found.rebuilt}
    if len(set(how.values())) == 1:
        notes = [f"{how[found.given.codec]}, each of its own codec."]
    else:
        notes = [f"{codec}: {words}." for codec, words in how.items()]
    for words in (reached_words, identity_words):
        notes += [f"{words(one.thief, one.quality)}." for one in found.rebuilt]
    notes.append(
        "PSNR at the resolution that the network sees. What a thief reaches is a lower bound: a better one "
        "may rebuild more."
    )
    return notes


# ---- how it is drawn


def _fitted(picture: Image.Image, found: Comparison) -> Image.Image:
    """Scaled as the photograph is, which fills the square of a panel in one direction."""
    whole = found.photograph
    width, height = (max(1, round(side * SIDE / max(whole.size))) for side in whole.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _row_height(row: Sequence[_Panel], font: _Font) -> int:
    lines = max(sum(len(_wrapped(line, font, SIDE)) for line in panel.lines) for panel in row)
    return max(panel.picture.height for panel in row) + TEXT // 2 + _high(TITLE) + lines * _high(TEXT)


def _draw(
    page: Image.Image,
    pen: ImageDraw.ImageDraw,
    panel: _Panel,
    corner: tuple[int, int],
    tallest: int,
    fonts: tuple[_Font, _Font],
) -> None:
    x, y = corner
    page.paste(panel.picture, (x, y + tallest - panel.picture.height))
    y = _write(pen, [panel.title], (x, y + tallest + TEXT // 2), fonts[0], INK)
    for line in panel.lines:
        y = _write(pen, _wrapped(line, fonts[1], SIDE), (x, y), fonts[1], SOFT)


def _write(
    pen: ImageDraw.ImageDraw,
    lines: Sequence[str],
    corner: tuple[int, int],
    font: _Font,
    colour: tuple[int, int, int],
) -> int:
    """Writes lines below each other; returns where the next one goes."""
    x, y = corner
    step = _high(TITLE if colour is INK else TEXT)
    for number, line in enumerate(lines):
        pen.text((x, y + number * step), line, fill=colour, font=font)
    return y + len(lines) * step


def _wrapped(text: str, font: _Font, width: int) -> list[str]:
    """Lines no wider than so many pixels, broken at spaces."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _high(size: int) -> int:
    return round(size * LEADING)
