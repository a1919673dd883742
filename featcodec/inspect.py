"""The ``plf`` command: what is in a ``.plf`` file, and whether it is sound. Standard library only.

    plf info street.plf            plf info --json *.plf            plf verify *.plf

Exit codes: 0 done; 1 a file is bad (one line on standard error says which and why; the other files are
still done); 2 the command line is wrong; 130 and 141 when interrupted or when the output is cut off.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass

from featcodec import __version__
from featcodec.bitstream import MAGIC, VERSION, Bitstream, Limits, Section, parse, sections
from featcodec.errors import FeatcodecError
from featcodec.files import printable
from featcodec.options import add_limits, limits_of
from featcodec.terminal import about, complain, read_input, run_command, show, show_json

__all__ = ["main"]

_NAMES = {"H": "header", "m": "metadata", "D": "payload"}


@dataclass(frozen=True, slots=True)
class _Report:
    """A sound file and what was found in it."""

    path: str
    size: int
    stream: Bitstream
    sections: tuple[Section, ...]

    @property
    def bpp(self) -> float:
        """Bits of the whole file per pixel of the original picture."""
        return 8 * self.size / (self.stream.header.width * self.stream.header.height)


def main(argv: list[str] | None = None) -> int:
    """Run the ``plf`` command.

    Args:
        argv: arguments after the program name; those of the process if omitted.

    Returns:
        The exit code.

    Raises:
        SystemExit: as `argparse` does, after ``--help``, ``--version`` and wrong command lines.

    Example:
        >>> main(["info", "missing.plf"])
        1
    """
    arguments = _parser().parse_args(argv)
    return run_command("plf", lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    """Return the command line of ``plf``."""
    parser = argparse.ArgumentParser(prog="plf", description="Look into .plf files.", allow_abbrev=False)
    version = f"plf {__version__}, .plf format version {VERSION}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("files", nargs="+", metavar="FILE", help="a .plf file; - is standard input")
    add_limits(common)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    info = commands.add_parser(
        "info", parents=[common], allow_abbrev=False, help="show what is in each file, checking it"
    )
    info.add_argument("--json", action="store_true", help="one JSON object; a list for several files")
    info.set_defaults(run=_info)
    verify = commands.add_parser(
        "verify", parents=[common], allow_abbrev=False, help="check the structure and checksums of each file"
    )
    verify.set_defaults(run=_verify)
    return parser


def _info(arguments: argparse.Namespace) -> int:
    """Show what is in each file."""
    shown: list[dict[str, object]] = []
    sound = 0
    for path in arguments.files:
        report = _load(path, limits_of(arguments))
        if report is None:
            continue
        if arguments.json:
            shown.append(_as_json(report))
        else:
            show(("\n" if sound else "") + _as_text(report))
        sound += 1
    if arguments.json:
        show_json(shown, several=len(arguments.files) > 1)
    return 0 if sound == len(arguments.files) else 1


def _verify(arguments: argparse.Namespace) -> int:
    """Say which files are sound."""
    status = 0
    for path in arguments.files:
        if _load(path, limits_of(arguments)) is None:
            status = 1
        else:
            show(f"{printable(path)}: ok (checksums)")
    return status


def _load(path: str, limits: Limits) -> _Report | None:
    """Read and check one file; ``None`` after a complaint about it."""
    try:
        with about(path):
            data = read_input(path, limits.max_file)
            return _Report(path, len(data), parse(data, limits=limits), sections(data, limits=limits))
    except FeatcodecError as error:
        complain("plf", error)
    return None


def _as_json(report: _Report) -> dict[str, object]:
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


def _as_text(report: _Report) -> str:
    """Return what ``plf info`` shows for one file."""
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
    if report.stream.metadata:
        lines += ["", "  metadata"]
        for key, value in report.stream.metadata.items():
            lines.append(f"    {printable(key)}: {printable(json.dumps(value, ensure_ascii=False))}")
    return "\n".join(lines)


def _section_lines(report: _Report) -> list[str]:
    """Return a table of all bytes of the file."""
    rows = [("-", "magic", 0, len(MAGIC) + 1, len(MAGIC) + 1)]
    rows += [(s.tag, _NAMES.get(s.tag, "unknown"), s.offset, s.length, s.size) for s in report.sections]
    lines = [f"  {'section':<12}{'offset':>10}{'length':>12}{'share':>9}"]
    for tag, name, offset, length, size in rows:
        lines.append(f"  {tag} {name:<10}{offset:>10,}{length:>12,}{size / report.size:>9.1%}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
