"""Where the time and the memory of the default codec go, on one core and on two, beside other coders.

    python benchmarks/speed.py --out benchmarks/results/speed.json
    python benchmarks/make_docs.py     # writes docs/speed.md

Each number of threads has a process of its own, since the libraries beneath read it when they start; what is
timed in it, and how, is in `speed_stages.py`. `plf info` is timed as a whole process, and the memory of
encoding a 12-megapixel JPEG as the peak of a process beyond that of `import torch` alone (read from /proc,
so on Linux).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from skimage.data import astronaut
from speed_stages import measure

import featcodec
from featcodec.evaluation.provenance import made

THREADS = (1, 2)


def of_threads(threads: int, seconds: float, quality: float) -> dict[str, object]:
    """The figures of a process with so many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    command = [sys.executable, __file__, "--threads", str(threads), "--seconds", str(seconds)]
    out = subprocess.run(
        [*command, "--quality", str(quality)],
        env={**os.environ, **dict.fromkeys(names, str(threads))},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, object] = {"threads": threads, **json.loads(out.stdout)}
    return found


def whole_process(command: list[str], runs: int) -> float:
    """Median wall time in ms."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times[1:])


def peak_memory(job: str, path: Path) -> float:
    """Peak resident MB of a fresh process that imports torch and, for the job 'encode', encodes `path`."""
    # not getrusage: its peak survives exec, and would be this process's own
    code = (
        "import re, sys; import torch\n"
        f"if {job == 'encode'}:\n    import featcodec; featcodec.encode(sys.argv[1])\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024)"
    )
    out = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    return float(out.stdout)


def big_jpeg(folder: Path) -> Path:
    """A 12-megapixel JPEG (4000 x 3000) made of scikit-image's astronaut."""
    path = folder / "12mp.jpg"
    Image.fromarray(astronaut()).resize((4000, 3000), Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def whole_processes(quality: float) -> dict[str, float]:
    """What is measured of processes from their start to their end."""
    with tempfile.TemporaryDirectory() as folder:
        plf = Path(folder) / "a.plf"
        plf.write_bytes(featcodec.encode(astronaut(), quality=quality))
        big = big_jpeg(Path(folder))
        info = whole_process([sys.executable, "-m", "featcodec.commands.plf", "info", str(plf)], 10)
        memory = peak_memory("encode", big) - peak_memory("import", big)
    return {
        "plf_info_ms": round(info, 1),
        "encode_12mp_jpeg_mb_above_import_torch": round(memory, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6, help="for each case and number of threads")
    parser.add_argument("--quality", type=float, default=4)
    parser.add_argument("--threads", type=int, help="print the figures of this process, which has so many")
    parser.add_argument("--out", type=Path, help="json file to write")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
        print(json.dumps(measure(args.seconds, args.quality)))
        return
    result = {
        "made": dataclasses.asdict(made(["python", *sys.argv], seeds={})),
        "quality": args.quality,
        "threads": [of_threads(n, args.seconds, args.quality) for n in THREADS],
        **whole_processes(args.quality),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
