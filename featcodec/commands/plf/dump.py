"""``plf dump``: the parts of a file, listed or written to files of their own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featcodec.commands.options import Subparsers, add_json, limits_of
from featcodec.commands.plf.options import add_codec, add_command, add_file
from featcodec.console import STANDARD, aligned, check_output, identities, show, show_json, write_output
from featcodec.errors import InputError
from featcodec.files import make_folder, npy, printable
from featcodec.inspect.report import NAMES, Report, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_parser", "run"]

# options that write a NumPy file, and what goes there
ARRAYS = {
    "symbols": "the symbols of y, int32 (M, rows, columns)",
    "side": "the symbols of z, int32 (N, rows / 4, columns / 4), rounded up",
    "latents": "the decoded latents, float32 (M, rows, columns): (symbols + means) x inverse gains",
}


def add_parser(subparsers: Subparsers) -> None:
    """Add ``dump`` to the command line."""
    command = add_command(
        subparsers,
        run,
        "dump",
        "list the sections, or write them and the decoded symbols to files",
        "Lists the sections with offset, length and checksum; -o writes what is in them, the other options "
        "what they decode to, as NumPy files (.npy; - is standard output).",
        "plf dump street.plf -o parts/ --symbols y.npy",
    )
    add_file(command)
    command.add_argument(
        "-o", "--output", metavar="FOLDER", help="write FOLDER/1-H.bin and so on; a missing folder is made"
    )
    for name, what in ARRAYS.items():
        command.add_argument(f"--{name}", metavar="OUT.npy", help=what)
    add_json(command)
    add_codec(command)


def run(arguments: argparse.Namespace) -> int:
    """List the sections, and write what was asked for."""
    targets = {name: getattr(arguments, name) for name in ARRAYS if getattr(arguments, name) is not None}
    standard = [*targets.values(), *(["-"] if arguments.json else [])].count(STANDARD)
    if standard > 1:
        raise InputError("standard output: got more than one thing to write there, expected one")
    for target in targets.values():
        check_output(target, identities([arguments.file]))
        if list(targets.values()).count(target) > 1:
            raise InputError("got it for two arrays, expected a file for each", path=target)
    report = load(arguments.file, limits_of(arguments))
    written = _write_sections(report, arguments.output) if arguments.output is not None else {}
    if targets:
        for name, array in _arrays(report, arguments).items():
            if name in targets:
                write_output(targets[name], npy(array))
    if arguments.json:
        show_json([_as_json(report, written, targets)])
    elif not standard:
        _show(report, written, targets)
    return 0


def _write_sections(report: Report, folder: str) -> dict[int, str]:
    """Write the content of each section to the folder, which may be missing; return the files by number."""
    make_folder(folder)
    written = {}
    for number, section in enumerate(report.sections, 1):
        # numbered, as tags may come twice, and some file systems do not tell D from d
        written[number] = str(Path(folder, f"{number}-{section.tag}.bin"))
        write_output(written[number], report.content(section))
    return written


def _arrays(report: Report, arguments: argparse.Namespace) -> dict[str, NDArray[Any]]:
    from featcodec.inspect.symbols import decode_checked

    decoded = decode_checked(report, arguments.codec)
    arrays: dict[str, NDArray[Any]] = {"symbols": decoded.symbols.y, "side": decoded.symbols.z}
    if arguments.latents is not None:
        step = report.stream.header.quality_step
        arrays["latents"] = decoded.codec.latent_array(decoded.symbols, step)
    return arrays


def _as_json(report: Report, written: dict[int, str], targets: dict[str, str]) -> dict[str, object]:
    """What ``--json`` shows; names and units here are an interface."""
    return {
        "file": report.path,
        "sections": [
            {
                "tag": s.tag,
                "offset": s.offset,
                "content": s.start,
                "length": s.length,
                "crc32": f"{s.crc:08x}",
                "written": written.get(number),
            }
            for number, s in enumerate(report.sections, 1)
        ],
        **{name: targets.get(name) for name in ARRAYS},
    }


def _show(report: Report, written: dict[int, str], targets: dict[str, str]) -> None:
    rows = [("section", "offset", "content at", "length", "  crc-32")]
    for number, s in enumerate(report.sections, 1):
        name = f"{s.tag} {NAMES.get(s.tag, 'unknown')}"
        last = f"  {s.crc:08x}  {printable(written.get(number, ''))}"
        rows.append((name, f"{s.offset:,}", f"{s.start:,}", f"{s.length:,}", last))
    lines = aligned(rows, "<>>><", least=(12, 10, 12, 12, 0), gap="")
    lines += [f"{printable(target)}: {ARRAYS[name]}" for name, target in targets.items()]
    show("\n".join(lines))
