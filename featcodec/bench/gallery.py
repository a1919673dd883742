"""Pictures beside each other: the photographs, the boxes found, and what attackers rebuilt."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["GalleryRow", "GalleryTarget", "gallery"]

RGB = NDArray[np.uint8]  # (height, width, 3)

# longest side in pixels and quality of JPEG, tried in turn until the gallery is small enough
_SIZES = ((416, 84), (320, 80), (240, 75), (160, 70), (112, 60))


@dataclass(frozen=True, slots=True)
class GalleryTarget:
    """One photograph's way through one entry.

    Attributes:
        name: of entry and point, such as ``"yolox-nano-open at quality 4, 3,212 bytes"``.
        boxes: (h, w, 3) uint8 RGB, the photograph with the boxes that were found after decoding.
        rebuilt: name of each attacker and what it rebuilt, (h, w, 3) uint8 RGB.
    """

    name: str
    boxes: RGB
    rebuilt: tuple[tuple[str, RGB], ...]


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """One photograph.

    Attributes:
        name: shown above it.
        original: (h, w, 3) uint8 RGB.
        uncoded: the same size, with the boxes that the network finds without coding.
        targets: what was compared.
    """

    name: str
    original: RGB
    uncoded: RGB
    targets: tuple[GalleryTarget, ...]


def gallery(rows: Sequence[GalleryRow], most: int) -> str:
    """HTML of photographs, as JPEG inside it.

    Args:
        rows: the photographs.
        most: characters; pictures are reduced, and at last rows left out, with a word about it, until
            it fits.

    The first photograph is open, the others unfold.
    """
    for side, quality in _SIZES:
        parts = [_row(row, side, quality) for row in rows]
        if sum(map(len, parts)) <= most:
            return _folded(parts)
    shown: list[str] = []
    for part in parts:
        if sum(map(len, shown)) + len(part) > most:
            break
        shown.append(part)
    return f"{_folded(shown)}\n<p>{len(rows) - len(shown)} more pictures are left out: too large.</p>"


def _folded(parts: Sequence[str]) -> str:
    rest = "\n".join(parts[1:])
    count = f"{len(parts) - 1} more photograph{'s' if len(parts) > 2 else ''}"
    return "\n".join([*parts[:1], f"<details><summary>{count}</summary>{rest}</details>" if rest else ""])


def _row(row: GalleryRow, side: int, quality: int) -> str:
    beside = [("original", row.original), ("boxes, uncoded", row.uncoded)]
    beside += [(target.name, target.boxes) for target in row.targets if not target.rebuilt]
    strips = [("", beside)]
    for target in row.targets:
        rebuilt = [(f"rebuilt by {attacker}", picture) for attacker, picture in target.rebuilt]
        strips += [(target.name, [("boxes", target.boxes), *rebuilt])] if rebuilt else []
    parts = [f'<section class="photo"><h3>{escape(row.name)}</h3>']
    for name, pictures in strips:
        figures = (_figure(text, picture, row.name, name, side, quality) for text, picture in pictures)
        heading = f"<h4>{escape(name)}</h4>" if name else ""
        parts.append(f'{heading}<div class="strip">{"".join(figures)}</div>')
    return "\n".join([*parts, "</section>"])


def _figure(text: str, picture: RGB, photo: str, name: str, side: int, quality: int) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    data = base64.b64encode(file.getvalue()).decode()
    about = escape(": ".join(filter(None, (photo, name, text))))
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{about}" width="{image.width}" '
        f'height="{image.height}"><figcaption>{escape(text)}</figcaption></figure>'
    )
