"""Where the time and the memory of the default codec go: one 416 px picture, encoded and decoded, by stages.

    python benchmarks/speed.py --out benchmarks/results/speed.json

Stages are timed in turn, round after round, in one process with two threads; the medians are reported, with
what the codec adds as a ratio to head + tail of the same rounds. `plf info` is timed as a whole process, and
the memory of encoding a 12-megapixel JPEG as the peak of a process beyond that of `import torch` alone (which
is read from /proc, so on Linux).
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

import featcodec
from featcodec.pictures.loading import load_image
from featcodec.plf.bitstream import parse

STAGES = (
    "image",
    "head",
    "g_a",
    "hyper",
    "entropy encode",
    "container",
    "entropy decode",
    "g_s",
    "tail",
    "boxes",
)
ADDED = ("g_a", "hyper", "entropy encode", "container", "entropy decode", "g_s")


@torch.no_grad()
def one_round(codec: featcodec.FeatureCodec, jpeg: bytes, step: int) -> dict[str, float]:
    """Milliseconds of each stage; `hyper` holds both the encoder's h_a and h_s and the decoder's h_s."""
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        began = time.perf_counter()
        result = work()
        times[name] = (time.perf_counter() - began) * 1e3
        return result

    file, network = codec.file, codec.network
    x, geometry = timed("image", lambda: load_image(jpeg))
    f = timed("head", lambda: network.head(x)[0])
    y = timed("g_a", lambda: file.g_a(f)[0])
    s = timed("hyper", lambda: codec.symbols(y, step))
    timed("entropy encode", lambda: codec.payload(s))
    data = codec.encode(jpeg, quality=1 + step / 32)
    stream = timed("container", lambda: parse(data))
    # what decoding adds beyond the hyper-synthesis that it contains
    began = time.perf_counter()
    decoded = codec.decode_symbols(stream, geometry)
    whole = (time.perf_counter() - began) * 1e3
    timed("h_s", lambda: codec._predict(decoded.z, *decoded.y.shape[1:]))
    times["entropy decode"] = max(whole - times["h_s"], 0.0)
    times["hyper"] += times.pop("h_s")
    y_hat = codec.decode_latents(data)[0]
    f_hat = timed("g_s", lambda: file.g_s(y_hat))
    raw = timed("tail", lambda: network.tail((f_hat,)))
    timed("boxes", lambda: codec.detector.rows(raw))
    return times


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


def measure(rounds: int, quality: float) -> dict[str, object]:
    """All figures."""
    codec = featcodec.load()
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).resize((416, 416)).save(buffer, "JPEG", quality=90)
    step = round((quality - 1) * 32)
    times = [one_round(codec, buffer.getvalue(), step) for _ in range(rounds + 3)][3:]
    medians = {s: statistics.median(t[s] for t in times) for s in STAGES}
    ratios = [sum(t[s] for s in ADDED) / (t["head"] + t["tail"]) for t in times]
    with tempfile.TemporaryDirectory() as folder:
        plf = Path(folder) / "a.plf"
        plf.write_bytes(codec.encode(buffer.getvalue(), quality=quality))
        big = big_jpeg(Path(folder))
        info = whole_process([sys.executable, "-m", "featcodec.commands.plf", "info", str(plf)], 10)
        memory = peak_memory("encode", big) - peak_memory("import", big)
    return {
        "stages_ms": {k: round(v, 2) for k, v in medians.items()},
        "codec_over_head_and_tail": round(statistics.median(ratios), 3),
        "plf_info_ms": round(info, 1),
        "encode_12mp_jpeg_mb_above_import_torch": round(memory, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quality", type=float, default=4)
    parser.add_argument("--out", type=Path, help="json file to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine = f"{platform.machine()}, {multiprocessing.cpu_count()} cores, {args.threads} threads"
    made = {"command": " ".join(["python", *sys.argv]), "torch": torch.__version__, "numpy": np.__version__}
    result = {"made": made | {"python": platform.python_version(), "machine": machine}}
    result |= {"results": measure(args.rounds, args.quality)}
    text = json.dumps(result, indent=1)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
