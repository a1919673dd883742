"""Batch runs that are killed at random moments, for ``test_batch.py``: prints what was found, as JSON.

    python tests/commands/killed_runs.py FOLDER KILLS SEED

FOLDER/photos is encoded to FOLDER/coded by processes that die after a random delay, then by one that may end;
then two at once encode to FOLDER/both. The processes are forks of this one: importing torch anew for each
would take minutes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import torch

from featcodec import zoo
from featcodec.commands import plf
from featcodec.commands.main import main as featcodec


def start(output: Path, arguments: list[str], slow: float = 0.0) -> int:
    """Start a run in a process of its own; its output goes to a file.

    Args:
        output: where its standard output goes.
        arguments: of ``featcodec``.
        slow: seconds that writing a file takes in addition, as on a slow disk.
    """
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        fsync = os.fsync
        os.fsync = lambda descriptor: (fsync(descriptor), time.sleep(slow))[0]
        status = featcodec(arguments)
    finally:
        os._exit(status)


def end(process: int) -> int:
    """Wait for a run; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def ended(process: int) -> bool:
    """Whether a run ended by itself."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """What identifies each finished file: a file that is replaced gets another inode or time."""
    found = {path.name: path.stat() for path in folder.glob("*.plf")}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def verified(folder: Path) -> bool:
    """Whether ``plf verify`` accepts every file."""
    files = sorted(map(str, folder.glob("*.plf")))
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        before, sys.stdout = sys.stdout, nowhere
        try:
            return not files or plf.main(["verify", *files]) == 0
        finally:
            sys.stdout = before


def main(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill `kills` runs, let one end, then let two run at once."""
    rng, photos, coded, out = Random(seed), folder / "photos", folder / "coded", folder / "out.json"
    torch.set_num_threads(1)  # threads do not survive a fork
    codec, some = zoo.load(), next(photos.iterdir())
    codec.encode(some)
    began = time.perf_counter()
    codec.encode(some)
    pace = time.perf_counter() - began  # of one picture
    command = ["encode", str(photos), "-o", str(coded), "--json", "--quiet"]
    report: dict[str, Any] = {"killed": 0, "sound": 0, "untouched": 0, "half-way": 0, "left": []}
    for _ in range(kills):
        before = state(coded)
        process = start(out, command, slow=pace)
        goal = len(before) + rng.randint(0, 2)
        while len(state(coded)) < goal and not ended(process):
            time.sleep(pace / 4)
        time.sleep(rng.uniform(0, 3 * pace))
        os.kill(process, signal.SIGKILL)
        report["killed"] += end(process) == -signal.SIGKILL
        after = state(coded)
        report["sound"] += verified(coded)
        report["untouched"] += before.items() <= after.items()
        report["half-way"] += len(before) < len(after) < len(list(photos.iterdir()))
        report["left"].append(len(list(coded.glob(".featcodec-*.tmp"))) if coded.exists() else 0)
    before = state(coded)
    report["finished"] = len(before)
    report["last"] = end(start(out, command))
    report["statuses"] = [one["status"] for one in json.loads(out.read_text())]
    report["kept"] = before.items() <= state(coded).items()
    report["all"] = sorted(state(coded)) == sorted(f"{path.stem}.plf" for path in photos.iterdir())
    report["all sound"] = verified(coded)

    command = ["encode", str(photos), "-o", str(folder / "both"), "--overwrite", "--json", "--quiet"]
    both = [start(folder / f"{i}.json", command, slow=pace / 4) for i in range(2)]
    report["both"] = [end(process) for process in both]
    same = [(folder / "both" / name).read_bytes() == (coded / name).read_bytes() for name in state(coded)]
    report["both the same"] = all(same)
    report["both left"] = len(list((folder / "both").iterdir())) - len(same) - 1  # of the ledger
    return report


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
