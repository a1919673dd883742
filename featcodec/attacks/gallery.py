"""What was rebuilt, as one picture: photographs above, each attacker's below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["sheet"]

GAP = 4
CAPTION = 18


def sheet(rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], *, height: int = 160) -> Image.Image:
    """Rows of pictures under their captions; the pictures of a column are of one photograph.

    Args:
        rows: caption, and pictures (H, W, 3).
        height: of a picture, in pixels.

    Example:
        >>> grey = np.zeros((60, 80, 3), np.uint8)
        >>> sheet([("photographs", [grey, grey]), ("unet", [grey, grey])], height=30).size
        (88, 104)
    """
    scaled = [[_scaled(p, height) for p in pictures] for _, pictures in rows]
    columns = max(len(row) for row in scaled)
    widths = [max(row[c].width for row in scaled if c < len(row)) for c in range(columns)]
    step = CAPTION + height + GAP
    page = Image.new("RGB", (sum(widths) + GAP * columns, step * len(rows)), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(12)
    for r, ((caption, _), row) in enumerate(zip(rows, scaled, strict=True)):
        draw.text((GAP, r * step + 2), caption, fill="black", font=font)
        for c, picture in enumerate(row):
            page.paste(picture, (sum(widths[:c]) + GAP * c, r * step + CAPTION))
    return page


def _scaled(picture: NDArray[np.uint8], height: int) -> Image.Image:
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
