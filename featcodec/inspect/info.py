"""``plf info``: what is in a file and, with ``--bits``, what its bits were spent on."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from featcodec.commands.options import limits_of
from featcodec.console import complain, show, show_json
from featcodec.errors import FeatcodecError
from featcodec.files import printable
from featcodec.inspect.report import NAMES, PREAMBLE, Report, load
from featcodec.plf.bitstream import VERSION

if TYPE_CHECKING:
    from featcodec.inspect.rate import Rate

__all__ = ["as_json", "info"]

_GROUP = 4  # scale indexes in a line
_BAR = 30  # characters


def info(arguments: argparse.Namespace) -> int:
    """Show what is in each file; a bad one does not keep the others."""
    limits = limits_of(arguments)
    shown: list[dict[str, object]] = []
    for path in arguments.files:
        try:
            report = load(path, limits)
            rate = _rate(report, arguments.codec) if arguments.bits or arguments.codec else None
        except FeatcodecError as error:
            complain("plf", error)
            continue
        if not arguments.json:
            show(("\n" if shown else "") + _as_text(report, rate))
        shown.append(as_json(report) | ({} if rate is None else {"bits": rate.as_json()}))
    if arguments.json:
        show_json(shown, several=len(arguments.files) > 1)
    return 0 if len(shown) == len(arguments.files) else 1


def _rate(report: Report, codec: str | None) -> Rate:
    from featcodec.inspect.rate import rate
    from featcodec.inspect.symbols import decode_checked

    return rate(decode_checked(report, codec))


def as_json(report: Report) -> dict[str, object]:
    """Return what ``--json`` shows; names and units here are an interface."""
    header = report.stream.header
    return {
        "file": report.path,
        "bytes": report.size,
        "format_version": VERSION,
        "codec": header.codec,
        "fingerprint": header.fingerprint.hex(),
        "quality": header.quality,
        "width": header.width,
        "height": header.height,
        "size": header.size,
        "latent_height": header.latent_height,
        "latent_width": header.latent_width,
        "symbol_hash": header.symbol_hash.hex(),
        "payload_bytes": len(report.stream.payload),
        "bpp": report.bpp,
        "sections": [
            {"tag": s.tag, "offset": s.offset, "length": s.length, "bytes": s.size, "crc32": f"{s.crc:08x}"}
            for s in report.sections
        ],
        "metadata": report.stream.metadata,
    }


def _as_text(report: Report, rate: Rate | None) -> str:
    """Return what is shown for one file."""
    header = report.stream.header
    rows = [
        ("file", f"{report.size:,} bytes, .plf version {VERSION}"),
        ("codec", header.codec),
        ("fingerprint", header.fingerprint.hex()),
        ("quality", f"{header.quality:g}"),
        ("picture", f"{header.width} x {header.height}"),
        ("scaled to", f"{header.size} (longest side)"),
        ("latents", f"{header.latent_height} x {header.latent_width} (rows x columns)"),
        ("rate", f"{report.bpp:.4g} bits per pixel (whole file, original picture)"),
        ("symbol hash", header.symbol_hash.hex()),
    ]
    lines = [printable(report.path), *(f"  {label:<12}{value}" for label, value in rows)]
    lines += ["", *_section_lines(report)]
    if rate is not None:
        lines += ["", *_part_lines(rate), "", *_scale_lines(rate)]
    if report.stream.metadata:
        lines += ["", "  metadata"]
        for key, value in report.stream.metadata.items():
            lines.append(f"    {printable(key)}: {printable(json.dumps(value, ensure_ascii=False))}")
    return "\n".join(lines)


def _section_lines(report: Report) -> list[str]:
    """Return a table of all bytes of the file by section."""
    rows = [("-", "magic", 0, PREAMBLE, PREAMBLE)]
    rows += [(s.tag, NAMES.get(s.tag, "unknown"), s.offset, s.length, s.size) for s in report.sections]
    lines = [f"  {'section':<12}{'offset':>10}{'length':>12}{'share':>9}"]
    for tag, name, offset, length, size in rows:
        lines.append(f"  {tag} {name:<10}{offset:>10,}{length:>12,}{size / report.size:>9.1%}")
    return lines


def _part_lines(rate: Rate) -> list[str]:
    """Return a table of all bits of the file by what they say, in bytes."""
    whole = rate.payload + rate.container

    def line(label: str, bits: float, symbols: int | None = None, zeros: int | None = None) -> str:
        count = "" if symbols is None else f"{symbols:,}"
        zero = "" if symbols is None or zeros is None else f"{zeros / symbols:.1%}"
        each = f"{bits / symbols:.3f}" if symbols else ""
        return f"  {label:<28}{count:>10}{zero:>8}{bits / 8:>12,.1f}{bits / whole:>9.1%}{each:>13}".rstrip()

    z, y = rate.z, rate.y
    head = f"{'symbols':>10}{'zeros':>8}{'bytes':>12}{'share':>9}{'bits/symbol':>13}"
    return [
        f"  {'what the bytes say':<28}{head}",
        line("z, side information", z.total, z.bits.size, z.zeros),
        line("y, latents", y.total, y.bits.size, y.zeros),
        line("  escapes of z, included", z.escape_bits, z.escapes),
        line("  escapes of y, included", y.escape_bits, y.escapes),
        line("entropy coder's overhead", rate.overhead),
        line("sections and their checksums", rate.container),
        line("file", whole),
    ]


def _scale_lines(rate: Rate) -> list[str]:
    """Return a histogram of the scale indexes: how uncertain the hyperprior was, and whether it was right."""
    lines = [f"  {'scale index of y':<18}{'symbols':>10}{'bytes':>10}{'expected':>10}{'bits/symbol':>13}"]
    largest = max(float(rate.row_bits[i : i + _GROUP].sum()) for i in range(0, len(rate.row_bits), _GROUP))
    for start in range(0, len(rate.row_bits), _GROUP):
        rows = slice(start, start + _GROUP)
        count, bits = int(rate.row_symbols[rows].sum()), float(rate.row_bits[rows].sum())
        if not count:
            continue
        expected = float(rate.row_symbols[rows] @ rate.row_entropy[rows])
        label = f"{start} to {min(start + _GROUP, len(rate.row_bits)) - 1}"
        numbers = f"{count:>10,}{bits / 8:>10,.1f}{expected / 8:>10,.1f}{bits / count:>13.3f}"
        lines.append(f"  {label:<18}{numbers}  {'#' * round(_BAR * bits / max(largest, 1.0))}".rstrip())
    return lines
