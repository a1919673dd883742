"""Which pictures a run encodes, and where the file of each goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from featcodec.console import STANDARD
from featcodec.errors import InputError
from featcodec.files import list_pictures, make_folder, remove_stale

__all__ = ["Job", "clashes", "is_dir", "means_folder", "plan", "prepare"]


@dataclass(frozen=True, slots=True)
class Job:
    """One picture and where its file goes."""

    picture: str
    target: str


def plan(
    inputs: Sequence[str], output: str, *, recursive: bool, keep_suffix: bool, may_be_empty: bool = False
) -> list[Job]:
    """The pictures and their targets in a folder.

    Args:
        inputs: pictures, and folders with pictures.
        output: the folder; those of subfolders go to subfolders of the same name.
        recursive: the pictures in subfolders, too.
        keep_suffix: ``IMG_1.jpg`` becomes ``IMG_1.jpg.plf``, else ``IMG_1.plf``.
        may_be_empty: pass over folders without pictures.

    Raises:
        InputError: a folder has no pictures, or standard input or output is among several.
    """
    if output == STANDARD:
        raise InputError(f"standard output: got {len(inputs)} pictures, expected one; or give -o FOLDER/")
    if STANDARD in inputs:
        raise InputError(f"standard input: has no name to go by in {output}; give a file: -o OUT.plf")
    jobs = []
    for one in inputs:
        found = [(one, "")]
        if is_dir(one):
            found = list_pictures(one, recursive=recursive, may_be_empty=may_be_empty)
        for picture, within in found:
            name = Path(picture).name if keep_suffix else Path(picture).stem
            jobs.append(Job(picture, str(Path(output, within, f"{name}.plf"))))
    return jobs


def clashes(jobs: Sequence[Job], *, keep_suffix: bool) -> dict[Job, str]:
    """The jobs whose files would go where the file of an earlier one goes, and what is wrong with each."""
    taken: dict[str, str] = {}
    found = {}
    for job in jobs:
        key = os.path.normcase(job.target)
        if (first := taken.get(key)) is None:
            taken[key] = job.picture
        else:
            differ = Path(first).name != Path(job.picture).name
            hint = "; --keep-suffix keeps both" if differ and not keep_suffix else ""
            found[job] = f"got {first} and {job.picture}, expected one picture for each name{hint}"
    return found


def prepare(output: str, jobs: Sequence[Job]) -> None:
    """Make the folders that the files go to; remove what killed runs left there.

    Raises:
        InputError: a folder cannot be had.
    """
    make_folder(output)
    for folder in sorted({str(Path(job.target).parent) for job in jobs}):
        make_folder(folder, parents=True)
        remove_stale(folder)


def means_folder(output: str) -> bool:
    """Whether a path is a folder, or to become one."""
    return output.endswith(tuple(s for s in (os.sep, os.altsep) if s)) or is_dir(output)


def is_dir(path: str) -> bool:
    """Whether a path is a folder that is there."""
    with suppress(OSError, ValueError):  # closed to us, or too long a name: whoever opens it says so
        return path != STANDARD and Path(path).is_dir()
    return False
