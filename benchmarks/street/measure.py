"""Accuracy and size of the embedded codecs on the two test sets: real files, decoded from their bytes alone.

    python benchmarks/street/measure.py --shared ../shared --out benchmarks/results/street.json

COCO's protocol over the six classes: confidence 0.001, suppression at IoU 0.6, at most 300 boxes, pictures
of at most 416 px; highway5 does not label bicycles, so five classes count there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from data import splits

import featcodec
from featcodec.evaluation.metrics import average_precision
from featcodec.evaluation.provenance import made
from featcodec.pictures.boxes import Boxes

PROTOCOL = {"confidence": 0.001, "iou": 0.6, "most": 300}


@dataclass(frozen=True, slots=True)
class Found:
    """Boxes of one picture from uncoded and from decoded features, and the sizes of the files."""

    uncoded: Boxes
    coded: list[Boxes]
    sizes: list[int]
    pixels: int


def run_picture(codec_name: str, qualities: list[float], path: Path) -> Found:
    codec = featcodec.load(codec_name)
    uncoded = codec.features(path)
    files = [codec.encode(path, quality=q) for q in qualities]
    coded = [codec.detect(codec.decode(data), **PROTOCOL) for data in files]
    pixels = uncoded.geometry.width * uncoded.geometry.height
    return Found(codec.detect(uncoded, **PROTOCOL), coded, [len(f) for f in files], pixels)


def one_thread() -> None:
    torch.set_num_threads(1)


def measure(codec: str, qualities: list[float], data, workers: int) -> dict:  # type: ignore[no-untyped-def, type-arg]
    """Accuracy and mean size at each quality, and uncoded."""
    work = partial(run_picture, codec, qualities)
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=one_thread) as pool:
        found = pool.map(work, [p.path for p in data.pictures], chunksize=4)
    uncoded = average_precision(data, [f.uncoded for f in found])
    rows = []
    for i, quality in enumerate(qualities):
        accuracy = average_precision(data, [f.coded[i] for f in found])
        size = sum(f.sizes[i] for f in found) / len(found)
        bpp = sum(8 * f.sizes[i] / f.pixels for f in found) / len(found)
        row = {"quality": quality, "bytes": round(size, 1), "bpp": round(bpp, 4)}
        rows.append(row | {"map": round(accuracy.map, 2), "ap50": round(accuracy.ap50, 2)})
    return {
        "codec": codec,
        "pictures": len(found),
        "uncoded": {"map": round(uncoded.map, 2), "ap50": round(uncoded.ap50, 2)},
        "uncoded_ap50_by_class": {k: round(v, 1) for k, v in uncoded.ap50_by_class.items()},
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--out", type=Path, required=True, help="json file to write")
    parser.add_argument("--codecs", nargs="+", default=list(featcodec.zoo.names(whole=True)))
    parser.add_argument("--sets", nargs="+", default=["coco-val", "highway-tenth"])
    parser.add_argument("--qualities", nargs="+", type=float, default=[1, 2, 3, 4, 5, 6, 7, 8])
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    sets = splits(args.shared)
    results = []
    for name in args.sets:
        for codec in args.codecs:
            result = {"set": name, **measure(codec, args.qualities, sets[name], args.workers)}
            results.append(result)
            print(json.dumps(result), flush=True)
    about = asdict(made(["python", *sys.argv], seeds={}))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"made": about, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
