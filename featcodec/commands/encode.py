"""``featcodec encode``: pictures and whole folders of them to ``.plf`` files.

    pictures ──plan──▶ (picture, target) … ──each──▶ finished? ──no──▶ encode ──▶ temporary file ──▶ target
                                                         └──yes──▶ kept

A run into a folder may be killed at any moment and started again: there is never a broken file, and what is
finished is kept. A file counts as finished when this run would make it: see `_finished`. Two runs on the same
folders do no harm; each skips what the other has finished by the time it gets there.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.commands.options import (
    Subparsers,
    add_codec,
    add_command,
    add_json,
    add_max_pixels,
    add_network,
    codec_of,
    path,
    quality,
)
from featcodec.console import (
    MAX_INPUT,
    STANDARD,
    Progress,
    about,
    check_output,
    complain,
    identities,
    positive,
    read_input,
    show,
    show_json,
    write_output,
)
from featcodec.errors import FeatcodecError, InputError
from featcodec.files import list_pictures, make_folder, printable, read_file, remove_stale
from featcodec.plf.bitstream import Bitstream, Limits, parse
from featcodec.plf.header import quality_to_step
from featcodec.plf.metadata import serialize_metadata

if TYPE_CHECKING:
    from featcodec.codec.feature_codec import FeatureCodec

__all__ = ["add_parser", "run"]

# Files of a codec for large pictures are sound, too, even where a reader's defaults would refuse them.
_OWN = Limits(max_pixels=2**64, max_latents=2**64, max_payload=MAX_INPUT, max_file=MAX_INPUT)


@dataclass(frozen=True, slots=True)
class _Job:
    """One picture and where its file goes."""

    picture: str
    target: str


@dataclass(frozen=True, slots=True)
class _Done:
    """What ``encode --json`` shows of one picture; names and units here are an interface."""

    file: str
    output: str
    status: str  # "encoded", or "kept": an earlier run made it
    bytes: int
    bpp: float
    quality: float
    codec: str
    fingerprint: str
    width: int
    height: int

    def __str__(self) -> str:
        rate = f"{self.bpp:.2f}" if self.bpp >= 0.1 else f"{self.bpp:.2g}"
        kept = " (kept)" if self.status == "kept" else ""
        return (
            f"{printable(self.output)}: {self.bytes:,} bytes, {rate} bpp, "
            f"quality {self.quality:g}, codec {self.codec}{kept}"
        )


@dataclass(frozen=True, slots=True)
class _Failed:
    """What ``encode --json`` shows of a picture that could not be encoded; likewise."""

    file: str
    output: str
    status: str  # "failed"
    error: str


def _done(job: _Job, data: bytes, status: str) -> _Done:
    header = parse(data, limits=_OWN).header
    return _Done(
        file=job.picture,
        output=job.target,
        status=status,
        bytes=len(data),
        bpp=8 * len(data) / (header.width * header.height),
        quality=header.quality,
        codec=header.codec,
        fingerprint=header.fingerprint.hex(),
        width=header.width,
        height=header.height,
    )


# ---- the command


def add_parser(subparsers: Subparsers) -> None:
    """Add ``encode`` to the command line."""
    command = add_command(
        subparsers,
        "encode",
        run,
        help="pictures to .plf files",
        description="Encodes pictures, and folders of them. A run into a folder that was interrupted goes on "
        "when it is started again: a file that is there is kept if it is sound, not older than its picture, "
        "and of the codec, quality, metadata and picture size that it would get.",
    )
    command.add_argument(
        "images",
        nargs="+",
        type=path,
        metavar="IMAGE",
        help="a picture, or a folder with pictures; - is standard input",
    )
    command.add_argument(
        "-o",
        "--output",
        required=True,
        type=path,
        metavar="OUT",
        help="the .plf file; - is standard output. Several pictures, a folder of them, or one where OUT is a "
        "folder or ends with a slash, go to OUT/NAME.plf each; a missing folder is made",
    )
    command.add_argument(
        "-r", "--recursive", action="store_true", help="subfolders, too; they are the same below OUT"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="encode again what a run before has finished"
    )
    size = command.add_mutually_exclusive_group()
    size.add_argument(
        "-q", "--quality", type=quality, metavar="Q", help="1 (smallest) to 8 (largest); default 4"
    )
    size.add_argument(
        "--target-bytes", type=positive, metavar="N", help="the best quality of at most N bytes a file"
    )
    add_codec(command, "default: street")
    add_network(command)
    command.add_argument(
        "--metadata", type=_metadata, metavar="JSON", help='to carry along, such as {"camera": 7}'
    )
    add_max_pixels(command)
    add_json(command, "one JSON object; a list for several pictures or a folder")


def _metadata(text: str) -> dict[str, object]:
    try:
        metadata = json.loads(text)
        if not isinstance(metadata, dict):
            raise argparse.ArgumentTypeError(f"got {type(metadata).__name__}, expected a JSON object")
        serialize_metadata(metadata)  # for the format to say whether a .plf can hold it
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return metadata


def run(arguments: argparse.Namespace) -> int:
    """Encode each picture; a bad one does not keep the others. The bad ones are listed at the end."""
    several = len(arguments.images) > 1 or _is_dir(arguments.images[0])
    into_folder = several or _means_folder(arguments.output)
    if into_folder:
        jobs = _plan(arguments.images, arguments.output, recursive=arguments.recursive)
    else:
        jobs = [_Job(arguments.images[0], arguments.output)]
    if arguments.json and any(job.target == STANDARD for job in jobs):
        raise InputError("standard output: got --json and -o -, expected one of them")
    pictures = identities(job.picture for job in jobs)
    for job in jobs:
        check_output(job.target, pictures)
    codec = codec_of(arguments.codec, network=arguments.network, weights=arguments.weights)
    results: list[_Done | _Failed] = []
    try:
        for result in _run(codec, jobs, arguments, keep=into_folder and not arguments.overwrite):
            results.append(result)
    finally:  # after an interruption, too
        failed = [result for result in results if isinstance(result, _Failed)]
        if failed and several:
            complain("featcodec", f"{len(failed):,} of {len(jobs):,} pictures failed:")
        for one in failed:
            complain("featcodec", one.error)
    if arguments.json and several:
        show_json([asdict(result) for result in results], several=True)
    elif arguments.json:
        show_json([asdict(result) for result in results if isinstance(result, _Done)])
    return 1 if failed else 0


def _run(
    codec: FeatureCodec, jobs: list[_Job], arguments: argparse.Namespace, *, keep: bool
) -> Iterator[_Done | _Failed]:
    """Do one job after the other, showing each and how far the work is."""
    failed = 0
    with Progress(len(jobs)) as progress:
        for number, job in enumerate(jobs):
            progress.show(number, f"({failed:,} failed) {job.picture}" if failed else job.picture)
            try:
                result = _do(codec, job, arguments, keep=keep)
            except FeatcodecError as error:
                failed += 1
                yield _Failed(job.picture, job.target, "failed", str(error))
                continue
            if job.target != STANDARD and not arguments.json:
                progress.clear()
                show(str(result))
            yield result


def _do(codec: FeatureCodec, job: _Job, arguments: argparse.Namespace, *, keep: bool) -> _Done:
    """Keep the file of a picture if it is finished, else make it."""
    if keep and (data := _finished(codec, job, arguments)):
        return _done(job, data, "kept")
    with about(job.picture):
        data = codec.encode(
            read_input(job.picture, MAX_INPUT) if job.picture == STANDARD else job.picture,
            quality=arguments.quality,
            target_bytes=arguments.target_bytes,
            metadata=arguments.metadata,
            max_pixels=arguments.max_pixels,
        )
    write_output(job.target, data)
    return _done(job, data, "encoded")


# ---- what counts as finished


def _finished(codec: FeatureCodec, job: _Job, arguments: argparse.Namespace) -> bytes | None:
    """The file that an earlier run made of a picture, if this run would make the same.

    It is whole, with right checksums; not older than its picture; of the same codec, metadata and size of the
    picture; and of the quality asked for. Whether a file has the best quality of at most N bytes is not
    told without encoding again, so with ``--target-bytes N`` one of nine tenths of N to N bytes is taken for
    that, and one of the highest quality.
    """
    from featcodec.pictures.loading import stored_size

    try:
        there = Path(job.target).stat()
        if not stat.S_ISREG(there.st_mode) or there.st_mtime_ns < Path(job.picture).stat().st_mtime_ns:
            return None  # a pipe is no file that could be finished
        data = read_file(job.target, MAX_INPUT)
        stream = parse(data, limits=_OWN)
        size = stored_size(job.picture)
    except (OSError, ValueError, FeatcodecError):  # whoever encodes the picture says what is wrong with it
        return None
    header = stream.header
    same = (
        header.fingerprint == codec.fingerprint
        and stream.metadata == arguments.metadata
        and sorted((header.width, header.height)) == sorted(size)  # upright, and as stored
        and _same_rate(stream, len(data), arguments)
    )
    return data if same else None


def _same_rate(stream: Bitstream, size: int, arguments: argparse.Namespace) -> bool:
    from featcodec.codec.feature_codec import DEFAULT_QUALITY, HIGHEST_STEP

    step = stream.header.quality_step
    if arguments.target_bytes is None:
        quality = DEFAULT_QUALITY if arguments.quality is None else arguments.quality
        return step == quality_to_step(quality)
    target: int = arguments.target_bytes
    return size <= target and (10 * size >= 9 * target or step == HIGHEST_STEP)


# ---- where each file goes


def _plan(inputs: list[str], output: str, *, recursive: bool) -> list[_Job]:
    """The pictures and their targets in a folder, which is made; what would go wrong there is found now.

    Raises:
        InputError: two files would go to the same place, a folder has no pictures or cannot be had.
    """
    if output == STANDARD:
        raise InputError(f"standard output: got {len(inputs)} pictures, expected one; or give -o FOLDER/")
    if STANDARD in inputs:
        raise InputError(f"standard input: has no name to go by in {output}; give a file: -o OUT.plf")
    jobs = [
        _Job(picture, str(Path(output, within, f"{Path(picture).stem}.plf")))
        for one in inputs
        for picture, within in (list_pictures(one, recursive=recursive) if _is_dir(one) else [(one, "")])
    ]
    taken: dict[str, str] = {}
    for job in jobs:
        key = os.path.normcase(job.target)
        if key in taken:
            got = f"{taken[key]} and {job.picture}"
            raise InputError(f"got {got}, expected one picture for each name", path=job.target)
        taken[key] = job.picture
    make_folder(output)
    for folder in sorted({str(Path(job.target).parent) for job in jobs}):
        make_folder(folder, parents=True)
        remove_stale(folder)
    return jobs


def _means_folder(output: str) -> bool:
    return output.endswith(tuple(s for s in (os.sep, os.altsep) if s)) or _is_dir(output)


def _is_dir(path: str) -> bool:
    with suppress(OSError, ValueError):  # closed to us, or too long a name: whoever opens it says so
        return path != STANDARD and Path(path).is_dir()
    return False
