"""What encoding costs a device, without torch and with it, and how far the symbols of both agree.

    python benchmarks/edge.py --codec yolox-nano-private --images ../shared/data/coco/train --pictures 50 \\
        --out benchmarks/results/edge.json

Exports the codec, then encodes one JPEG (the astronaut of scikit-image, 512 x 512) in processes of their own,
by the edge folder where torch cannot be imported, and by torch: median processor time and peak memory
of the whole process, imports included (read from /proc, so on Linux). Then pictures are encoded by both here
at qualities 1, 4 and 8, and the symbols compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

import featcodec
from featcodec.edge import Encoder
from featcodec.edge.export import export
from featcodec.evaluation.provenance import made
from featcodec.files import list_pictures
from featcodec.plf.bitstream import parse

QUALITIES = (1.0, 4.0, 8.0)
REPORT = """
import re, time
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(time.process_time(), peak, len(data), "torch" in sys.modules)
"""
EDGE = (
    """
import sys
sys.modules["torch"] = None  # so that importing it fails
from featcodec.edge import Encoder
data = Encoder(sys.argv[1], threads=int(sys.argv[3])).encode(sys.argv[2])
del sys.modules["torch"]
"""
    + REPORT
)
TORCH = (
    """
import sys
import torch
torch.set_num_threads(int(sys.argv[3]))
import featcodec
data = featcodec.load(sys.argv[1]).encode(sys.argv[2])
"""
    + REPORT
)


def process(script: str, codec: str, picture: Path, threads: int, runs: int) -> dict[str, object]:
    """Medians over fresh processes that encode one picture; the first one only warms the disk's cache."""
    found = []
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    for _ in range(runs + 1):
        command = [sys.executable, "-c", script, codec, str(picture), str(threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        found.append(done.stdout.split())
    seconds, peaks = ([float(row[i]) for row in found[1:]] for i in (0, 1))
    return {
        "processor_s": round(statistics.median(seconds), 3),
        "peak_mb": round(statistics.median(peaks), 1),
        "bytes": int(found[0][2]),
        "torch_imported": found[0][3] == "True",
    }


def agreement(device: Encoder, codec: featcodec.FeatureCodec, pictures: list[str]) -> dict[str, object]:
    """How many symbols, and how many files, differ between both encoders, by quality."""
    out = {}
    for quality in QUALITIES:
        files = different_files = symbols = different = largest = ours = theirs = 0
        for picture in pictures:
            a, b = device.encode(picture, quality=quality), codec.encode(picture, quality=quality)
            s, t = codec.decode_symbols(parse(a)), codec.decode_symbols(parse(b))
            files, different_files = files + 1, different_files + (a != b)
            ours, theirs = ours + len(a), theirs + len(b)
            for one, other in ((s.z, t.z), (s.y, t.y)):
                symbols, different = symbols + one.size, different + int((one != other).sum())
                largest = max(largest, int(np.abs(one - other).max()))
        out[f"{quality:g}"] = {
            "files": files,
            "files_that_differ": different_files,
            "symbols": symbols,
            "symbols_that_differ": different,
            "largest_difference": largest,
            "bytes_edge": ours,
            "bytes_torch": theirs,
        }
    return out


def measure(args: argparse.Namespace) -> dict[str, object]:
    """All figures."""
    codec = featcodec.load(args.codec)
    with tempfile.TemporaryDirectory() as folder:
        edge, picture = Path(folder, "edge"), Path(folder, "astronaut.jpg")
        export(codec, edge)
        Image.fromarray(astronaut()).save(picture, quality=90)
        result: dict[str, object] = {
            "folder_bytes": {path.name: path.stat().st_size for path in sorted(edge.iterdir())},
            "process_edge": process(EDGE, str(edge), picture, args.threads, args.runs),
            "process_torch": process(TORCH, args.codec, picture, args.threads, args.runs),
        }
        if args.images:
            listed = [path for path, _ in list_pictures(args.images)]
            every = max(1, len(listed) // args.pictures)
            result["agreement"] = agreement(Encoder(edge), codec, listed[::every][: args.pictures])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--codec", default=featcodec.zoo.DEFAULT)
    parser.add_argument("--images", help="folder of pictures to compare symbols on; none without it")
    parser.add_argument("--pictures", type=int, default=50, help="how many of them, evenly from the list")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="processes of each kind")
    parser.add_argument("--out", type=Path, help="json file to write")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    about = asdict(made(["python", *sys.argv], seeds={}))
    result = {"made": about, "codec": args.codec, "threads": args.threads, "results": measure(args)}
    text = json.dumps(result, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
