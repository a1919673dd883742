"""All mutants through parser and decoder: what came of them, how long the slowest took, how much memory.

    python tests/fuzz/campaign.py                         the table; exit code 1 if anything is wrong
    python tests/fuzz/campaign.py --times 10 --seed 7     ten times as many, others
    python tests/fuzz/campaign.py --write forged 17 a.plf the mutant that a failure names

Seconds are of the processor, so that other processes' work does not count.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from mutants import PLAN, make, numbers
from parts import sound_files

from featcodec import errors, zoo
from featcodec.errors import BitstreamError, ModelMismatchError
from featcodec.plf.bitstream import parse, sections

__all__ = ["MAX_MEMORY", "MAX_SECONDS", "Row", "decoded", "run"]

MAX_SECONDS = 1.0
MAX_MEMORY = 512 * 2**20


@dataclass(slots=True)
class Row:
    """What came of the mutants of one kind.

    Attributes:
        outcomes: how many decoded, how many ended with each error, and how many chance had left as they were.
        slowest: most seconds of the processor that one took; `slowest_number` is its number.
        largest: bytes of the largest mutant.
        memory: by how many bytes the kind raised the peak of the process' memory.
        wrong: what should not have happened.
    """

    kind: str
    outcomes: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0
    slowest_number: int = 0
    largest: int = 0
    memory: int = 0
    wrong: list[str] = field(default_factory=list)


def decoded(data: bytes, *, features: bool) -> str:
    """Parse and decode, to features or to latents only.

    Returns:
        ``"decoded"``, or the name of an error that untrusted bytes may raise; any other error gets out.
    """
    try:
        sections(data)
        codec = zoo.for_header(parse(data).header)
        _ = codec.decode(data) if features else codec.decode_latents(data)
    except (BitstreamError, ModelMismatchError) as error:
        if "\n" in str(error):
            raise AssertionError(f"a message of several lines: {error}") from error
        return type(error).__name__
    return "decoded"


def run(seed: int = 0, times: int = 1) -> list[Row]:
    """All mutants, kind by kind, on one core."""
    torch.set_num_threads(1)  # threads that wait for others would count as work
    for name in zoo.names(whole=True):
        zoo.load(name)
    peak = peak_memory()
    sound = set(sound_files())
    rows = []
    for kind in PLAN:
        row = Row(kind)
        for number in numbers(kind, times):
            data = make(kind, number, seed)
            start = time.process_time()
            try:
                outcome = decoded(data, features=PLAN[kind].features)
            except BaseException as error:  # panics of compiled code, too
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcome = f"{type(error).__name__} (!)"
                row.wrong.append(f"{kind} {number}: {type(error).__name__}: {error}")
            seconds = time.process_time() - start
            if outcome == "decoded" and data in sound:
                outcome = "unchanged"
            row.outcomes[outcome] = row.outcomes.get(outcome, 0) + 1
            row.largest = max(row.largest, len(data))
            if seconds > row.slowest:
                row.slowest, row.slowest_number = seconds, number
            if seconds > MAX_SECONDS:
                row.wrong.append(f"{kind} {number}: took {seconds:.2f} s, expected at most {MAX_SECONDS:g}")
            if outcome == "decoded" and not PLAN[kind].sealed:
                row.wrong.append(f"{kind} {number}: decoded, expected a checksum to find it")
        before, peak = peak, peak_memory()
        row.memory = peak - before
        rows.append(row)
    if sum(row.memory for row in rows) > MAX_MEMORY:
        rows[-1].wrong.append(f"memory: grew by {sum(row.memory for row in rows):,} bytes")
    return rows


def peak_memory() -> int:
    """The most bytes of memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts on Linux what the parent held before it started this process
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def table(rows: list[Row]) -> str:
    """Kinds by outcomes, in columns."""
    every = [
        "unchanged",
        "decoded",
        *(name for name in errors.__all__ if any(name in row.outcomes for row in rows)),
    ]
    every += sorted({name for row in rows for name in row.outcomes} - set(every))
    total = Row("all", sum((Counter(row.outcomes) for row in rows), Counter()))
    total.slowest = max(row.slowest for row in rows)
    total.largest = max(row.largest for row in rows)
    total.memory = sum(row.memory for row in rows)
    short = [name.removesuffix("Error") for name in every]
    cells = [["kind", "mutants", *short, "slowest", "largest", "memory"]]
    for row in [*rows, total]:
        counts = [row.outcomes.get(name, 0) for name in every]
        measured = [f"{1000 * row.slowest:.1f} ms", f"{row.largest:,} B", f"+{row.memory / 2**20:.0f} MB"]
        cells.append([row.kind, f"{sum(counts):,}", *(f"{n:,}" if n else "-" for n in counts), *measured])
    wide = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return "\n".join(
        f"{line[0]:<{wide[0]}}"
        + "".join(f"  {cell:>{w}}" for cell, w in zip(line[1:], wide[1:], strict=True))
        for line in cells
    )


def main(argv: list[str] | None = None) -> int:
    """Run and show; the exit code is 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=int, default=1, help="run so many times as many mutants")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", nargs=3, metavar=("KIND", "NUMBER", "PATH"), help="write one mutant")
    arguments = parser.parse_args(argv)
    if arguments.write:
        kind, number, path = arguments.write
        Path(path).write_bytes(make(kind, int(number), arguments.seed))
        return 0
    rows = run(arguments.seed, arguments.times)
    print(json.dumps([asdict(row) for row in rows]) if arguments.json else table(rows))
    wrong = [line for row in rows for line in row.wrong]
    if wrong:
        print("\n".join(["", *wrong]), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
