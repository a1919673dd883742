"""``featcodec detect``: boxes of ``.plf`` files, and of pictures, which are encoded in memory first."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence

from featcodec.commands.batch.plan import is_dir
from featcodec.commands.detections import (
    Detected,
    as_coco,
    as_csv,
    as_lines,
    as_yolo,
    image_ids,
    label_files,
)
from featcodec.commands.drawings import drawing_name
from featcodec.commands.finder import Finder
from featcodec.commands.options import (
    Subparsers,
    add_codec,
    add_command,
    add_json,
    add_limits,
    add_network,
    add_saying,
    fraction,
    path,
)
from featcodec.console import (
    STANDARD,
    Progress,
    check_output,
    complain,
    identities,
    note,
    show,
    write_output,
)
from featcodec.errors import FeatcodecError, InputError
from featcodec.files import list_pictures, make_folder, printable

__all__ = ["add_parser", "run"]

FORMATS = ("text", "json", "coco", "yolo", "csv")
_TOGETHER = 16  # files whose features lie in memory at a time


def add_parser(subparsers: Subparsers) -> None:
    """Add ``detect`` to the command line."""
    command = add_command(
        subparsers,
        "detect",
        run,
        check=_check,
        help=".plf files to boxes",
        description="Prints label, score and the corners x1 y1 x2 y2 in pixels of the original photograph, "
        "one line a box, best first.",
    )
    command.add_argument(
        "files",
        nargs="+",
        type=path,
        metavar="FILE",
        help="a .plf file, a picture, which is first encoded in memory, or a folder with both; - is standard "
        "input",
    )
    command.add_argument("-r", "--recursive", action="store_true", help="subfolders, too")
    command.add_argument(
        "--confidence", type=fraction, metavar="S", help="least score; default: the codec's own"
    )
    _add_output(command)
    command.add_argument(
        "--draw",
        type=drawing_name,
        metavar="OUT",
        help="draw the boxes of a single file: OUT.png, .jpg or .webp. A .plf holds no picture, which is the "
        "point of it: they are drawn on plain grey unless --on gives the photograph. Scaled down to 4 "
        "megapixels",
    )
    command.add_argument("--on", type=path, metavar="PHOTO", help="the photograph that --draw draws on")
    add_codec(command, "default: found by the fingerprint in the file; yolox-nano-private for a picture")
    add_network(command)
    add_limits(command)
    add_saying(command)


def _add_output(command: argparse.ArgumentParser) -> None:
    form = command.add_mutually_exclusive_group()
    form.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="coco: results as pycocotools loads them; image_id is the file's name if all names are numbers, "
        "else its place in the list from 1; category_id is COCO's own if all classes are COCO's, else the "
        "class's number from 1. yolo: a file OUT/NAME.txt each, with class, cx, cy, w, h from 0 to 1. csv: "
        "file, label, score and corners",
    )
    add_json(form, "the same as --format json: one JSON object; a list for several files")
    command.add_argument(
        "-o", "--output", type=path, metavar="OUT", help="where that goes; default: standard output"
    )
    command.add_argument("--scores", action="store_true", help="in --format yolo, as a sixth column")


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if arguments.json:
        arguments.format = "json"
    if arguments.on is not None and arguments.draw is None:
        arguments.refuse("argument --on: expected --draw with it")
    if arguments.draw is not None and len(arguments.files) > 1:
        arguments.refuse("argument --draw: got several files, expected a single one")
    if arguments.format == "yolo" and arguments.output in (None, STANDARD):
        arguments.refuse("argument --format: expected -o FOLDER with yolo, for a file for each picture")
    if arguments.scores and arguments.format != "yolo":
        arguments.refuse("argument --scores: expected --format yolo with it")


# ---- the command


def run(arguments: argparse.Namespace) -> int:
    """Find boxes; show them, and draw them if asked to. A bad file does not keep the others."""
    several = len(arguments.files) > 1 or (is_dir(arguments.files[0]) and arguments.draw is None)
    files = list(_files(arguments))
    targets = _targets(files, arguments)
    began, errors = time.monotonic(), dict[str, FeatcodecError]()
    found: list[Detected] = []
    finder = Finder(arguments)
    with Progress(len(files), quiet=arguments.quiet) as progress:
        for start in range(0, len(files), _TOGETHER):
            group = files[start : start + _TOGETHER]
            progress.show(start, group[0])
            done = finder.find(group, errors if several else None)
            progress.clear()
            found += done
            if arguments.format == "text" and arguments.output is None:
                for one in done:
                    _show(one, arguments, several=several)
    _write(found, files, targets, errors, arguments, several=several)
    if errors:
        complain("featcodec", f"{len(errors):,} of {len(files):,} files failed:")
        for error in errors.values():
            complain("featcodec", error)
    if several and not arguments.quiet:
        boxes = sum(len(one.boxes) for one in found)
        counts = f"{len(found):,} files, {len(errors):,} failed, {boxes:,} boxes"
        sizes = f"{sum(one.size for one in found):,} bytes of .plf files"
        note("featcodec", f"{counts}; {sizes}; {time.monotonic() - began:.1f} s")
    return 1 if errors else 0


def _files(arguments: argparse.Namespace) -> Iterator[str]:
    for one in arguments.files:
        if is_dir(one) and arguments.draw is None:
            there = list_pictures(one, recursive=arguments.recursive, others={".plf"})
            yield from (file for file, _ in there)
        else:
            yield one


def _targets(files: Sequence[str], arguments: argparse.Namespace) -> list[str]:
    """Where labels go, each; find out about all outputs before the work."""
    inputs = identities([*files, arguments.on or STANDARD])
    if arguments.draw is not None:
        check_output(arguments.draw, inputs)
    if arguments.format == "yolo":
        targets = label_files(files, arguments.output)
        make_folder(arguments.output)
        for target in targets:
            check_output(target, inputs)
        return targets
    if arguments.output not in (None, STANDARD):
        check_output(arguments.output, inputs)
    return []


# ---- what is shown


def _show(found: Detected, arguments: argparse.Namespace, *, several: bool) -> None:
    """One file's boxes as text."""
    indent = ""
    if several:
        indent = "  "
        show(f"{printable(found.file)}: {len(found.boxes)} box{'' if len(found.boxes) == 1 else 'es'}")
    for line in as_lines(found):
        show(indent + line)
    if not found.boxes and not several and not arguments.quiet and sys.stderr is not None:
        # nothing at all would leave it open whether it worked
        print(f"no box with a score of {found.confidence:g} or more", file=sys.stderr)
    if arguments.verbose:
        about_it = f"codec {found.header.codec}, quality {found.header.quality:g}, {found.size:,} bytes"
        note("featcodec", f"{printable(found.file)}: {about_it}, scores from {found.confidence:g}")


def _write(
    found: Sequence[Detected],
    files: Sequence[str],
    targets: Sequence[str],
    errors: dict[str, FeatcodecError],
    arguments: argparse.Namespace,
    *,
    several: bool,
) -> None:
    """What is shown when all is done."""
    by_file = {one.file: one for one in found}
    if arguments.format == "yolo":
        _write_labels(
            [(by_file[f], t) for f, t in zip(files, targets, strict=True) if f in by_file], arguments
        )
        return
    if arguments.format == "text":
        if arguments.output is None:
            return
        text = "".join(f"{printable(one.file)}: {line}\n" for one in found for line in as_lines(one))
    elif arguments.format == "json":
        rows: list[dict[str, object]] = [
            by_file[file].as_json() if file in by_file else {"file": file, "error": str(errors[file])}
            for file in files
        ]
        text = json.dumps(rows if several else rows[0], indent=2) + "\n"
    elif arguments.format == "coco":
        ids = dict(zip(files, image_ids(files), strict=True))
        text = as_coco(found, [ids[one.file] for one in found]) + "\n"
    else:
        to_terminal = arguments.output in (None, STANDARD) and sys.stdout is not None and sys.stdout.isatty()
        text = as_csv(found, name=printable if to_terminal else str)
    if arguments.output is None:
        show(text.removesuffix("\n"))
    else:
        write_output(arguments.output, text.encode("utf-8", "backslashreplace"))


def _write_labels(found: Sequence[tuple[Detected, str]], arguments: argparse.Namespace) -> None:
    """YOLO's files, each to its target."""
    for written, (one, target) in enumerate(found):
        try:
            write_output(target, as_yolo(one, scores=arguments.scores).encode())
        except InputError as error:
            raise InputError(f"{error}; stopped, {written:,} of {len(found):,} files are written") from error
