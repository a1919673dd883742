"""``featcodec detect``: boxes of ``.plf`` files, and of pictures, which are encoded in memory first."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence

from featcodec.commands.batch.plan import is_dir
from featcodec.commands.detections import (
    CocoIds,
    Detected,
    as_coco,
    as_csv,
    as_lines,
    as_yolo,
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
        "class's number from 1 (--images says otherwise). yolo: a file OUT/NAME.txt each, with class, cx, "
        "cy, w, h from 0 to 1. csv: file, label, score and corners",
    )
    add_json(form, "the same as --format json: one JSON object; a list for several files")
    command.add_argument(
        "-o", "--output", type=path, metavar="OUT", help="where that goes; default: standard output"
    )
    command.add_argument(
        "--coco", type=path, metavar="OUT.json", help="beside that: what --format coco has, as a file"
    )
    command.add_argument(
        "--yolo", type=path, metavar="OUT", help="beside that: what --format yolo has, in a folder"
    )
    command.add_argument(
        "--images",
        type=path,
        metavar="JSON",
        help="a COCO json, boxes or not: in coco, image_id is that of the picture with the file's name, and "
        "category_id that of the class with the box's name; boxes of classes that it lacks are left out",
    )
    command.add_argument("--scores", action="store_true", help="in yolo, as a sixth column")


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together, and list the outputs: their formats and where they go."""
    if arguments.json:
        arguments.format = "json"
    arguments.outputs = [(arguments.format, arguments.output)]
    for form in ("coco", "yolo"):
        beside = getattr(arguments, form)
        if beside == STANDARD:
            arguments.refuse(f"argument --{form}: got -, expected a path")
        if beside is not None:
            arguments.outputs.append((form, beside))
    forms = {form for form, _ in arguments.outputs}
    if arguments.on is not None and arguments.draw is None:
        arguments.refuse("argument --on: expected --draw with it")
    if arguments.draw is not None and len(arguments.files) > 1:
        arguments.refuse("argument --draw: got several files, expected a single one")
    if arguments.format == "yolo" and arguments.output in (None, STANDARD):
        arguments.refuse("argument --format: expected -o FOLDER with yolo, for a file for each picture")
    if arguments.scores and "yolo" not in forms:
        arguments.refuse("argument --scores: expected --yolo or --format yolo with it")
    if arguments.images is not None and "coco" not in forms:
        arguments.refuse("argument --images: expected --coco or --format coco with it")


# ---- the command


def run(arguments: argparse.Namespace) -> int:
    """Find boxes; show them, and draw them if asked to. A bad file does not keep the others."""
    several = len(arguments.files) > 1 or (is_dir(arguments.files[0]) and arguments.draw is None)
    files = list(_files(arguments))
    _check_outputs(files, arguments)
    ids = CocoIds.of(files, arguments.images)
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
    for form, output in arguments.outputs:
        if form == "yolo":
            _write_labels(found, output, arguments)
        elif form != "text" or output is not None:
            _write(_content(form, found, files, errors, ids, several=several, output=output), output)
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


def _check_outputs(files: Sequence[str], arguments: argparse.Namespace) -> None:
    """Find out about all outputs before the work."""
    inputs = identities([*files, arguments.on or STANDARD, arguments.images or STANDARD])
    if arguments.draw is not None:
        check_output(arguments.draw, inputs)
    for form, output in arguments.outputs:
        if form == "yolo":
            targets = label_files(files, output)
            make_folder(output)
            for target in targets:
                check_output(target, inputs)
        elif output not in (None, STANDARD):
            check_output(output, inputs)


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


def _content(
    form: str,
    found: Sequence[Detected],
    files: Sequence[str],
    errors: dict[str, FeatcodecError],
    ids: CocoIds,
    *,
    several: bool,
    output: str | None,
) -> str:
    """What is shown when all is done, as text."""
    if form == "text":
        return "".join(f"{printable(one.file)}: {line}\n" for one in found for line in as_lines(one))
    if form == "json":
        by_file = {one.file: one for one in found}
        rows: list[dict[str, object]] = [
            by_file[file].as_json() if file in by_file else {"file": file, "error": str(errors[file])}
            for file in files
        ]
        return json.dumps(rows if several else rows[0], indent=2) + "\n"
    if form == "coco":
        return as_coco(found, ids) + "\n"
    to_terminal = output in (None, STANDARD) and sys.stdout is not None and sys.stdout.isatty()
    return as_csv(found, name=printable if to_terminal else str)


def _write(text: str, output: str | None) -> None:
    if output is None:
        show(text.removesuffix("\n"))
    else:
        write_output(output, text.encode("utf-8", "backslashreplace"))


def _write_labels(found: Sequence[Detected], folder: str, arguments: argparse.Namespace) -> None:
    """YOLO's files."""
    targets = label_files([one.file for one in found], folder)
    for written, (one, target) in enumerate(zip(found, targets, strict=True)):
        try:
            write_output(target, as_yolo(one, scores=arguments.scores).encode())
        except InputError as error:
            raise InputError(f"{error}; stopped, {written:,} of {len(found):,} files are written") from error
