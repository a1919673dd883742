"""``featcodec encode``: pictures and whole folders of them to ``.plf`` files; `batch` does the work."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from featcodec.codec.effort import REFINEMENTS
from featcodec.commands.batch.plan import Job, clashes, is_dir, means_folder, plan, prepare
from featcodec.commands.batch.watch import arrivals
from featcodec.commands.batch.work import Done, Failed, Request, codec_for_request
from featcodec.commands.options import (
    Subparsers,
    add_codec,
    add_command,
    add_effort,
    add_json,
    add_max_pixels,
    add_network,
    add_saying,
    path,
    quality,
)
from featcodec.console import (
    STANDARD,
    Progress,
    check_output,
    complain,
    identities,
    note,
    positive,
    show,
    show_json,
)
from featcodec.errors import InputError
from featcodec.files import passed_over, printable
from featcodec.plf.metadata import serialize_metadata
from featcodec.plf.strict_json import JsonProblem, decode_json
from featcodec.unreadable import summary as passed_over_summary

if TYPE_CHECKING:
    from featcodec.commands.batch.pool import Alone, SideBySide

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``encode`` to the command line."""
    command = add_command(
        subparsers,
        "encode",
        run,
        check=_check,
        help="pictures to .plf files",
        description="Encodes pictures, and folders of them. A run into a folder that was interrupted goes on "
        "when it is started again, and several at once share the work: a file is kept if a run has made it "
        "of a picture of the same content, with the same codec, quality, effort and metadata. What was made "
        "of which picture is in OUT/.featcodec-encode.jsonl; without that, all pictures are encoded again.",
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
    _add_batch(command)
    size = command.add_mutually_exclusive_group()
    size.add_argument(
        "-q", "--quality", type=quality, metavar="Q", help="1 (smallest) to 8 (largest); default 4"
    )
    size.add_argument(
        "--target-bytes", type=positive, metavar="N", help="the best quality of at most N bytes a file"
    )
    add_effort(command)
    add_codec(command, "default: yolox-nano-private")
    add_network(command)
    command.add_argument(
        "--edge",
        type=path,
        metavar="FOLDER",
        help="encode by a folder that featcodec export made, without torch; instead of --codec",
    )
    command.add_argument(
        "--threads", type=positive, metavar="N", help="processor threads of a process with --edge; default 1"
    )
    command.add_argument(
        "--metadata", type=_metadata, metavar="JSON", help='to carry along, such as {"camera": 7}'
    )
    add_max_pixels(command)
    add_json(command, "one JSON object; a list for several pictures or a folder")
    add_saying(command)


def _add_batch(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-r", "--recursive", action="store_true", help="subfolders, too; they are the same below OUT"
    )
    command.add_argument(
        "--keep-suffix",
        action="store_true",
        help="IMG_1.jpg goes to IMG_1.jpg.plf, so that IMG_1.png may lie beside it",
    )
    command.add_argument(
        "--overwrite", action="store_true", help="encode again what a run before has finished"
    )
    command.add_argument(
        "-j", "--jobs", type=positive, default=1, metavar="N", help="processes; default: 1. The same files"
    )
    command.add_argument(
        "--watch",
        action="store_true",
        help="go on looking for new pictures until interrupted; each is waited for until it is whole",
    )


def _metadata(text: str) -> dict[str, object]:
    try:
        metadata = decode_json(text.encode(errors="surrogateescape"))
        if not isinstance(metadata, dict):
            raise argparse.ArgumentTypeError(f"got {type(metadata).__name__}, expected a JSON object")
        serialize_metadata(metadata)  # for the format to say whether a .plf can hold it
    except (JsonProblem, InputError) as error:
        raise argparse.ArgumentTypeError(printable(str(error))) from error
    return metadata


@dataclass(slots=True)
class _Summary:
    """What came out, for the end."""

    began: float = field(default_factory=time.monotonic)
    outcomes: dict[Job, Done | Failed] = field(default_factory=dict)
    stopped: Failed | None = None  # by a full disk

    @property
    def failed(self) -> list[Failed]:
        return [outcome for outcome in self.outcomes.values() if isinstance(outcome, Failed)]

    def __str__(self) -> str:
        done = [outcome for outcome in self.outcomes.values() if isinstance(outcome, Done)]
        kept = sum(1 for one in done if one.status == "kept")
        counts = [f"{len(done) - kept:,} encoded", f"{kept:,} kept", f"{len(self.failed):,} failed"]
        read, written = sum(one.read for one in done), sum(one.size for one in done)
        sizes = f"{read:,} bytes of pictures, {written:,} bytes of .plf files"
        return f"{', '.join(counts)}; {sizes}; {time.monotonic() - self.began:.1f} s"


def _check(arguments: argparse.Namespace) -> None:
    if arguments.watch and (not any(is_dir(image) for image in arguments.images) or arguments.json):
        arguments.refuse("argument --watch: expected a folder to look for pictures in, and no --json")
    others = [name for name in ("codec", "network", "weights") if getattr(arguments, name) is not None]
    if arguments.edge is not None and others:
        arguments.refuse(f"argument --edge: not allowed with argument --{others[0]}")
    if arguments.edge is None and arguments.threads is not None:
        arguments.refuse("argument --threads: expected --edge with it")
    if arguments.edge is not None and arguments.effort in REFINEMENTS:
        arguments.refuse("argument --effort: 2 and 3 need the whole network, expected 0 or 1 with --edge")


def run(arguments: argparse.Namespace) -> int:
    """Encode each picture; a bad one does not keep the others, a full disk does. The bad ones are listed at
    the end.
    """
    from featcodec.commands.batch.pool import Alone, SideBySide  # which bring multiprocessing

    several = len(arguments.images) > 1 or is_dir(arguments.images[0])
    into_folder = several or means_folder(arguments.output)
    jobs = _plan(arguments) if into_folder else [Job(arguments.images[0], arguments.output)]
    if into_folder:
        _prepare([] if arguments.watch else jobs, arguments)
    if arguments.json and any(job.target == STANDARD for job in jobs):
        raise InputError("standard output: got --json and -o -, expected one of them")
    _check_outputs(jobs)
    request = _request(arguments, into_folder=into_folder)
    codec = codec_for_request(request)
    summary = _Summary()
    count = arguments.jobs if arguments.watch else min(arguments.jobs, len(jobs))
    pool = Alone(codec, request) if count == 1 else SideBySide(request, count)
    try:
        with pool:
            if arguments.watch:
                _watch(pool, arguments, summary)
            else:
                _all(pool, jobs, arguments, summary)
    finally:  # after an interruption, too
        _sum_up(summary, arguments, len(jobs), several=several)
        if not arguments.quiet and (passed := _passed_over(arguments)):
            complain("featcodec", passed_over_summary(passed))
    if arguments.json:
        found = [summary.outcomes[job] for job in jobs if job in summary.outcomes]
        shown = found if several else [one for one in found if isinstance(one, Done)]
        show_json([one.as_json() for one in shown], several=several)
    return 1 if summary.failed else 0


def _passed_over(arguments: argparse.Namespace) -> list[str]:
    """Files in the folders that are pictures of kinds that are not read here."""
    folders = [image for image in arguments.images if is_dir(image)]
    return [path for one in folders for path in passed_over(one, recursive=arguments.recursive)]


def _plan(arguments: argparse.Namespace) -> list[Job]:
    """The jobs of a run into a folder."""
    return plan(
        arguments.images,
        arguments.output,
        recursive=arguments.recursive,
        keep_suffix=arguments.keep_suffix,
        may_be_empty=arguments.watch,
    )


def _prepare(jobs: Sequence[Job], arguments: argparse.Namespace) -> None:
    """Find what would go wrong with the outputs, now; make the folders."""
    for job, clash in clashes(jobs, keep_suffix=arguments.keep_suffix).items():
        raise InputError(clash, path=job.target)
    prepare(arguments.output, jobs)


def _check_outputs(jobs: Sequence[Job]) -> None:
    pictures = identities(job.picture for job in jobs)
    for job in jobs:
        check_output(job.target, pictures)


def _request(arguments: argparse.Namespace, *, into_folder: bool) -> Request:
    return Request(
        codec=arguments.codec,
        network=arguments.network,
        weights=arguments.weights,
        edge=arguments.edge,
        threads=arguments.threads or 1,
        quality=arguments.quality,
        target_bytes=arguments.target_bytes,
        effort=arguments.effort,
        metadata=arguments.metadata,
        max_pixels=arguments.max_pixels,
        folder=arguments.output if into_folder else None,
        keep=not arguments.overwrite,
    )


def _all(
    pool: Alone | SideBySide, jobs: Sequence[Job], arguments: argparse.Namespace, summary: _Summary
) -> None:
    """Do all jobs, showing each outcome and how far the work is."""
    failed = 0  # the summary's own count goes through all outcomes
    with Progress(len(jobs), quiet=arguments.quiet) as progress:
        progress.show(0, jobs[0].picture)
        for done, outcome in enumerate(pool.run(jobs), 1):
            _tell(outcome, arguments, summary, progress)
            if summary.stopped:
                return
            failed += isinstance(outcome, Failed)
            if done < len(jobs):
                after = jobs[done].picture
                progress.show(done, f"({failed:,} failed) {after}" if failed else after)


def _watch(pool: Alone | SideBySide, arguments: argparse.Namespace, summary: _Summary) -> None:
    """Do what comes until an interrupt, which ends it as it should, or a full disk."""
    silent = Progress(0)
    if not arguments.quiet:
        note("featcodec", f"watching for pictures for {printable(arguments.output)}; Ctrl-C ends it")
    try:
        for jobs in arrivals(lambda: _plan(arguments)):
            for outcome in _arrived(pool, jobs, arguments, summary):
                _tell(outcome, arguments, summary, silent)
                if summary.stopped:
                    return
                if isinstance(outcome, Failed):
                    complain("featcodec", outcome.error)
    except KeyboardInterrupt:
        pass


def _arrived(
    pool: Alone | SideBySide, jobs: Sequence[Job], arguments: argparse.Namespace, summary: _Summary
) -> Iterator[Done | Failed]:
    """Outcomes of pictures that have come, and of those that may not take the place of earlier ones."""
    earlier = [job for job, outcome in summary.outcomes.items() if isinstance(outcome, Done)]
    order = list(dict.fromkeys([*earlier, *jobs]))
    clashing = clashes(order, keep_suffix=arguments.keep_suffix) if jobs else {}
    good = [job for job in jobs if job not in clashing]
    for job in jobs:
        if job in clashing:
            yield Failed(job, f"{job.target}: {clashing[job]}")
    if good:
        prepare(arguments.output, good)
        _check_outputs(good)
        yield from pool.run(good)


def _tell(
    outcome: Done | Failed, arguments: argparse.Namespace, summary: _Summary, progress: Progress
) -> None:
    summary.outcomes[outcome.job] = outcome
    if isinstance(outcome, Failed):
        summary.stopped = outcome if outcome.disk_full else None
        return
    progress.clear()
    if outcome.job.target != STANDARD and not arguments.json and not arguments.quiet:
        show(str(outcome))
    if arguments.verbose:
        what = f"{printable(outcome.job.picture)}: {outcome.status}, {outcome.why}; {outcome.read:,} bytes"
        note("featcodec", f"{what}, {outcome.seconds:.2f} s")


def _sum_up(summary: _Summary, arguments: argparse.Namespace, count: int, *, several: bool) -> None:
    stopped = summary.stopped if several or arguments.watch else None
    failed = [one for one in summary.failed if one is not stopped]
    if not arguments.watch:  # else each was said when it came
        if failed and several:
            complain("featcodec", f"{len(failed):,} of {count:,} pictures failed:")
        for one in failed:
            complain("featcodec", one.error)
    if stopped:
        tried = f"{len(summary.outcomes):,}{'' if arguments.watch else f' of {count:,}'}"
        again = "the same command goes on from there"
        complain("featcodec", f"{stopped.error}; stopped at picture {tried}, {again}")
    if not arguments.quiet and (several or arguments.verbose):
        note("featcodec", str(summary))
