"""What the page says of a photograph, as HTML. Names of files are strangers' words and are escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from featcodec.attacks.thief_words import identity_words, reached_words, training_words
from featcodec.demo.look import Look
from featcodec.files import printable
from featcodec.pictures.boxes import Boxes

__all__ = ["bits_table", "captions", "complaint", "counted", "headline", "thief_notes"]


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
        f'<p class="headline"><strong><span id="plf-bytes">{size:,}</span> bytes</strong></p>'
        f"<p>{escape(printable(photograph.name))}: {photograph.size:,} bytes, "
        f"{_times(photograph.size / size)} as many; {geometry.width:,} × {geometry.height:,} pixels, "
        f"{per_pixel:.2g} bits each. {escape(codec)} took {1000 * seen.seconds:,.0f} ms to encode its "
        f"features.</p>"
        f"<p>Without any coding the network finds {counted(photograph.boxes)}.</p>"
    )


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.2g} times"


def counted(boxes: Boxes | None) -> str:
    """Boxes in words, the most frequent classes first.

    Example:
        >>> import torch
        >>> counted(Boxes(torch.zeros(3, 4), torch.ones(3), torch.tensor([1, 0, 0]), ("person", "dog")))
        '2 × person, 1 × dog'
    """
    if boxes is None:
        return "no boxes, since it is no detector that featcodec knows"
    counts = Counter(box.label for box in boxes)
    return ", ".join(f"{n} × {label}" for label, n in counts.most_common()) or "nothing"


def captions(seen: Look) -> dict[str, str]:
    """What stands above each picture, by the picture's name on the page."""
    config = seen.decoded.codec.config
    stride, size = config.latent_stride, seen.photograph.geometry.size
    return {
        "plf": _caption(
            f"Found in the .plf file: {counted(seen.plf.boxes)}",
            f"{len(seen.data):,} bytes. The photograph is not in them.",
        ),
        "jpeg": _jpeg_caption(seen),
        "heat": _caption(
            "Where the bits went",
            f"Light squares took most. Each is {stride} × {stride} pixels of the photograph at {size}.",
        ),
        "thief": _thief_caption(seen),
    }


def _jpeg_caption(seen: Look) -> str:
    jpeg, found = seen.jpeg, seen.jpeg_found
    if jpeg is None or found is None:
        return _caption(
            "Found in a JPEG", f"There is none of {len(seen.data):,} bytes, at any quality and size."
        )
    enlarged = ", enlarged" if jpeg.width < jpeg.picture.width else ""
    return _caption(
        f"Found in a JPEG: {counted(found.boxes)}",
        f"{len(jpeg.data):,} bytes: quality {jpeg.quality}, {jpeg.width} × {jpeg.height} pixels{enlarged}.",
    )


def _thief_caption(seen: Look) -> str:
    title, rebuilt = "What a thief rebuilds of the .plf file", seen.rebuilt
    if rebuilt is None:
        name = seen.decoded.report.stream.header.codec
        return _caption(
            title, f"No thief comes with {name}. featcodec attack --embed trains one, for --thief."
        )
    return _caption(
        title, f"{rebuilt.psnr:.1f} dB PSNR; the photograph's mean colour alone has {rebuilt.blind:.1f}."
    )


def thief_notes(seen: Look) -> str:
    """How the thief learned, what it and stronger ones reach, and whom it tells apart; empty without one."""
    if seen.rebuilt is None:
        return ""
    thief, quality = seen.rebuilt.thief, seen.decoded.report.stream.header.quality
    notes = (f"{training_words(thief)}. {reached_words(thief, quality)}", identity_words(thief, quality))
    return "".join(f"<p>{escape(note)}.</p>" for note in notes)


def _caption(title: str, note: str) -> str:
    return f"<h4>{escape(title)}</h4><p>{escape(note)}</p>"


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


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Cells as they are: whatever comes from outside is escaped by the caller."""
    lines = ["".join(f"<th>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
