"""What the page says of a photograph, as HTML. Names of files are strangers' words and are escaped."""

from __future__ import annotations

from collections import Counter
from html import escape

from featcodec.demo.look import Look
from featcodec.files import printable
from featcodec.pictures.boxes import Boxes

__all__ = ["bits_table", "complaint", "counted", "headline", "jpeg_note", "sent_table"]


def complaint(error: Exception) -> str:
    """What is wrong, in one line.

    Example:
        >>> complaint(ValueError("<b>.png: no image"))
        '<p class="complaint" role="alert">&lt;b&gt;.png: no image</p>'
    """
    return f'<p class="complaint" role="alert">{escape(printable(str(error)))}</p>'


def headline(seen: Look, codec: str) -> str:
    """Bytes of the file first, and what they compare with."""
    photograph = seen.photograph
    geometry, size = photograph.geometry, len(seen.data)
    per_pixel = 8 * size / (geometry.width * geometry.height)
    return (
        f'<p class="headline"><strong><span id="plf-bytes">{size:,}</span> bytes</strong> '
        f"for {escape(printable(photograph.name))}</p>"
        f"<p>Its file has {photograph.size:,} bytes, {photograph.size / size:,.0f} times as many; "
        f"{geometry.width:,} × {geometry.height:,} pixels, {per_pixel:.2g} bits each. "
        f"Encoded by {escape(codec)} in {1000 * seen.seconds:,.0f} ms.</p>"
    )


def counted(boxes: Boxes | None) -> str:
    """Boxes in words, the most frequent classes first.

    Example:
        >>> import torch
        >>> counted(Boxes(torch.zeros(3, 4), torch.ones(3), torch.tensor([1, 0, 0]), ("person", "dog")))
        '2 person, 1 dog'
    """
    if boxes is None:
        return "not a detector"
    counts = Counter(box.label for box in boxes)
    return ", ".join(f"{n} {label}" for label, n in counts.most_common()) or "nothing"


def sent_table(seen: Look) -> str:
    """What is sent, how many bytes that takes, and what the network finds in it."""
    jpeg = seen.jpeg
    rows = [
        ("nothing coded", "", counted(seen.photograph.boxes)),
        (".plf file", f"{len(seen.data):,}", counted(seen.plf.boxes)),
    ]
    if jpeg is not None and seen.jpeg_found is not None:
        rows.append(("JPEG", f"{len(jpeg.data):,}", counted(seen.jpeg_found.boxes)))
    return _table(("sent", "bytes", "found"), rows)


def jpeg_note(seen: Look) -> str:
    """Which JPEG it is."""
    if seen.jpeg is None:
        return f"There is no JPEG of {len(seen.data):,} bytes or less, at any quality and size."
    jpeg = seen.jpeg
    return f"{len(jpeg.data):,} bytes: quality {jpeg.quality}, {jpeg.width} × {jpeg.height} pixels, enlarged."


def bits_table(seen: Look) -> str:
    """Where the bits of the file went."""
    whole = len(seen.data)
    rows = []
    for share in seen.rate.shares:
        if share.included and not share.symbols:
            continue
        size = share.bits / 8
        bar = "" if share.label == "file" else f'<div class="bar" style="width:{size / whole:.1%}"></div>'
        rows.append((escape(share.label), f"{size:,.0f}", f"{size / whole:.0%}", bar))
    return _table(("what the bytes say", "bytes", "share", ""), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Cells as they are: whatever comes from outside is escaped by the caller."""
    lines = ["".join(f"<th>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"

