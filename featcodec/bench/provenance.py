"""How a result was made: command, commit, versions, machine, seeds."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from featcodec.evaluation.results import Made

__all__ = ["made"]

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


def made(command: Sequence[str], *, seeds: dict[str, int]) -> Made:
    """What a result says of its origin; the versions of encoders are in their entries' notes.

    Args:
        command: program and arguments, as typed.
        seeds: of everything random, by what they seed.
    """
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # an extra that this run had no need of, or a source tree
            continue
    return Made(
        command=shlex.join(command),
        commit=_commit(),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions=versions,
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        seeds=seeds,
    )


def _commit() -> str:
    """Of the repository that the package belongs to, with "+" where files were changed."""
    if not _git("ls-files", "--error-unmatch", Path(__file__).name):
        return "unknown"  # installed; a repository around it, if any, is another one
    head = _git("rev-parse", "HEAD")
    return head + ("+" if head and _git("status", "--porcelain", "--untracked-files=no") else "") or "unknown"


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
