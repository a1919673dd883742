"""``plf info``: what is in a file and, with ``--bits``, what its bits were spent on."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, TypeAlias

from featcodec.commands.options import Subparsers, add_json, limits_of
from featcodec.commands.plf.options import add_codec, add_command, add_files
from featcodec.console import aligned, complain, show, show_json
from featcodec.errors import FeatcodecError
from featcodec.files import printable
from featcodec.inspect.report import NAMES, PREAMBLE, Report, as_json, load
from featcodec.plf.bitstream import VERSION

if TYPE_CHECKING:
    from featcodec.inspect.rate import Rate, Share

__all__ = ["add_parser", "run"]

_Row: TypeAlias = tuple[str, str, str, str, str, str]
_GROUP = 4  # scale indexes in a line
_BAR = 30  # characters


def add_parser(subparsers: Subparsers) -> None:
    """Add ``info`` to the command line."""
    command = add_command(
        subparsers,
        run,
        "info",
        "show what is in each file, checking it, and why it has its size",
        "Shows header, sections and metadata of each file, after checking all checksums; --bits also what "
        "its bits were spent on, for which the payload is decoded. Bits of symbols are ideal ones: their "
        "information content under the codec's tables; the coder's overhead completes it to the real size.",
        "plf info --bits street.plf",
    )
    add_files(command)
    add_json(command, "one JSON object; a list for several files")
    command.add_argument(
        "--bits",
        action="store_true",
        help="side information against latents, escapes, coder overhead, scale indexes; needs the codec",
    )
    add_codec(command, "; implies --bits")


def run(arguments: argparse.Namespace) -> int:
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
    table = [("section", "offset", "length", "share")]
    for tag, name, offset, length, size in rows:
        table.append((f"{tag} {name}", f"{offset:,}", f"{length:,}", f"{size / report.size:.1%}"))
    return [f"  {line}" for line in aligned(table, "<>>>", least=(12, 10, 12, 9), gap="")]


def _part_lines(rate: Rate) -> list[str]:
    """Return a table of all bits of the file by what they say, in bytes."""
    whole = rate.shares[-1].bits

    def line(share: Share) -> _Row:
        symbols = share.symbols
        count = "" if symbols is None else f"{symbols:,}"
        zero = f"{share.zeros / symbols:.1%}" if symbols and share.zeros is not None else ""
        each = f"{share.bits / symbols:.3f}" if symbols else ""
        label = ("  " if share.included else "") + share.label
        return label, count, zero, f"{share.bits / 8:,.1f}", f"{share.bits / whole:.1%}", each

    table = [("what the bytes say", "symbols", "zeros", "bytes", "share", "bits/symbol")]
    table += [line(share) for share in rate.shares]
    return [f"  {line}" for line in aligned(table, "<>>>>>", least=(28, 10, 8, 12, 9, 13), gap="")]


def _scale_lines(rate: Rate) -> list[str]:
    """Return a histogram of the scale indexes: how uncertain the hyperprior was, and whether it was right."""
    rows: list[_Row] = [("scale index of y", "symbols", "bytes", "expected", "bits/symbol", "")]
    largest = max(float(rate.row_bits[i : i + _GROUP].sum()) for i in range(0, len(rate.row_bits), _GROUP))
    for start in range(0, len(rate.row_bits), _GROUP):
        group = slice(start, start + _GROUP)
        count, bits = int(rate.row_symbols[group].sum()), float(rate.row_bits[group].sum())
        if not count:
            continue
        expected = float(rate.row_symbols[group] @ rate.row_entropy[group])
        label = f"{start} to {min(start + _GROUP, len(rate.row_bits)) - 1}"
        bar = f"  {'#' * round(_BAR * bits / max(largest, 1.0))}"
        numbers = (f"{count:,}", f"{bits / 8:,.1f}", f"{expected / 8:,.1f}", f"{bits / count:.3f}")
        rows.append((label, *numbers, bar))
    return [f"  {line}" for line in aligned(rows, "<>>>><", least=(18, 10, 10, 10, 13, 0), gap="")]
