"""What a figure was made by: command, commit, versions, machine, seeds."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from featcodec.evaluation.results import Made, Origin

__all__ = ["foreign", "made", "origin", "origin_notes"]

# that figures can depend on, beside the code of this package and the programs that the bench runs
MEASURING = ("featcodec", "torch", "numpy", "pillow", "opencv-python-headless", "pytorch-msssim")
PACKAGES = (
    "featcodec",
    "torch",
    "numpy",
    "constriction",
    "pillow",
    "pycocotools",
    "bjontegaard",
    "imageio-ffmpeg",
    "onnxruntime",
)


@lru_cache
def origin() -> Origin:
    """Code and machine of this process; of a tree that changes while it runs, what it began with."""
    packages = ", ".join(f"{name} {number}" for name, number in _versions(MEASURING).items())
    return Origin(_commit() or "unknown", packages, _machine())


def made(
    command: Sequence[str],
    *,
    seeds: dict[str, int],
    measures: Mapping[str, int] | None = None,
    kept: Iterable[Origin] = (),
) -> Made:
    """What a result says of its origin; the versions of encoders are in their entries' notes.

    Args:
        command: program and arguments, as typed.
        seeds: of everything random, by what they seed.
        measures: versions of the measuring code, by what it measures.
        kept: what the figures were made by, those that earlier runs have kept among them.
    """
    here = origin()
    others = foreign(kept)
    return Made(
        command=shlex.join(command),
        commit=here.commit,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions={"python": platform.python_version(), **_versions(PACKAGES)},
        machine=here.machine,
        seeds=seeds,
        measures=dict(measures or {}),
        origins=(here, *others) if others else (),
    )


def foreign(kept: Iterable[Origin]) -> dict[Origin, int]:
    """The origins that are not this process's, the most frequent first, and how often each comes."""
    return {other: count for other, count in Counter(kept).most_common() if other != origin()}


def origin_notes(kept: Sequence[Origin]) -> tuple[str, ...]:
    """A line for each origin that is not this process's; none where all was made here.

    Args:
        kept: what each kept piece was made by.

    Example:
        >>> elsewhere = Origin("1f0c2a9", "featcodec 0.1.0, torch 2.9.1", "aarch64, 4 cores")
        >>> for line in origin_notes([origin(), origin(), elsewhere]):
        ...     print(line)
        Of mixed origin: 1 of 3 kept pieces was made by commit 1f0c2a9 (featcodec 0.1.0, torch 2.9.1) on \
aarch64, 4 cores.
    """
    return tuple(
        f"Of mixed origin: {count:,} of {len(kept):,} kept pieces {'was' if count == 1 else 'were'} made by "
        f"commit {other.commit} ({other.packages}) on {other.machine}."
        for other, count in foreign(kept).items()
    )


def _versions(packages: Sequence[str]) -> dict[str, str]:
    """Of those that are there: an extra may be missing, and so is everything in a source tree."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> str:
    """Architecture, cores, and the processor's name where the system tells it: times depend on all three."""
    parts = [platform.machine(), f"{os.cpu_count()} cores", _processor()]
    return ", ".join(dict.fromkeys(part for part in parts if part))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    names = [line.partition(":")[2] for line in lines if line.lower().startswith("model name")]
    return " ".join(names[0].split()) if names else platform.processor()


def _commit() -> str:
    """Of the repository that the package belongs to, with "+" where files were changed."""
    if not _git("ls-files", "--error-unmatch", Path(__file__).name):
        return ""  # installed; a repository around it, if any, is another one
    head = _git("rev-parse", "HEAD")
    return head + ("+" if head and _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
