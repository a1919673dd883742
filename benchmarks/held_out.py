"""What codecs for a detector reach on photographs held out of their fits: real files, decoded again.

    python benchmarks/held_out.py --shared ../shared --uncoded yolox-nano-private yolox-nano-open \\
        --out benchmarks/results/held-out-yolox.json
    python benchmarks/held_out.py --shared ../shared --out benchmarks/results/held-out.json CODEC...

The photographs are every tenth of coco/train by name, as `"hold_out": 10` leaves them out of a fit; from the
fits of `yolov5s-p3` only every twentieth was. This is to choose by; coco/val is for measuring only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

import featcodec
from featcodec.codec.effort import DEFAULT_EFFORT
from featcodec.evaluation.datasets import CocoSet, read_coco
from featcodec.evaluation.metrics import average_precision
from featcodec.evaluation.provenance import made
from featcodec.fitting.losses import distortion
from featcodec.networks.by_name import network_by_name
from featcodec.networks.coco import COCO
from featcodec.networks.cut_network import detector_of
from featcodec.pictures.boxes import Boxes

EVERY = 10


def held_out(shared: Path, most: int, classes: Sequence[str] = COCO, every: int = EVERY) -> CocoSet:
    data = read_coco(shared / "data/coco/train.json", shared / "data/coco/train", classes)
    data = data.where(lambda i: i % every == 0)
    return data.where(lambda i: i < most)


@torch.no_grad()
def measure(
    codec: featcodec.FeatureCodec, data: CocoSet, quality: float | None, effort: int = DEFAULT_EFFORT
) -> dict[str, float | str | None]:
    """Mean bytes, mAP, error of the maps behind the cut, times; of uncoded features without a quality."""
    size, errors, found = 0, [], []
    encoding, decoding = [], []
    for picture in data.pictures:
        f = codec.features(picture.path)
        geometry, plain = f.geometry, f.as_subclass(Tensor)
        if quality is not None:
            began = time.process_time()
            file = codec.encode_features(plain, geometry, quality=quality, effort=effort)
            encoding.append(time.process_time() - began)
            size += len(file)
            began = time.process_time()
            decoded = codec.decode(file)
            decoding.append(time.process_time() - began)
            errors.append(error_of_maps(codec, decoded.as_subclass(Tensor), plain))
        else:
            decoded = f
        found.append(boxes(codec, decoded, geometry))
    return {
        "codec": codec.name,
        "quality": quality,
        "effort": effort if quality is not None else None,
        "kb": round(size / 1024 / len(data.pictures), 3),
        "map": round(average_precision(data, found).map, 2),
        "error": round(sum(errors) / max(len(errors), 1), 4),
        "encode_ms": round(1000 * statistics.median(encoding or [0]), 1),  # without the network's head
        "decode_ms": round(1000 * statistics.median(decoding or [0]), 1),  # without its tail
    }


def boxes(codec: featcodec.FeatureCodec, f: Tensor, geometry: object) -> Boxes:
    return codec.detect(f, geometry=geometry, confidence=0.001, iou=0.6, most=300)  # type: ignore[arg-type]


def error_of_maps(codec: featcodec.FeatureCodec, got: Tensor, wanted: Tensor) -> float:
    """Mean relative squared error of the maps that later layers look back to."""
    behind = detector_of(codec.behind)
    return float(distortion(behind.maps(got), codec.detector.maps(wanted), 0.0))


def load(name: str, network: Path) -> featcodec.FeatureCodec:
    """A codec with the network that comes with it, or else with the one given."""
    whole = featcodec.zoo.is_whole(featcodec.zoo.decoder(name).file)
    return featcodec.load(name, network=None if whole else network_by_name(str(network)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "codecs", nargs="*", metavar="CODEC", help="names or files; none: yolov5s-p3's uncoded features"
    )
    parser.add_argument(
        "--network",
        default="yolov5s-v6.safetensors",
        metavar="FILE",
        help="in weights/, of codecs that bring none",
    )
    parser.add_argument("--uncoded", action="store_true", help="the uncoded features, too")
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument("--qualities", type=float, nargs="+", default=[1, 2, 4, 6, 8])
    parser.add_argument("--efforts", type=int, nargs="+", default=[DEFAULT_EFFORT])
    parser.add_argument("--every", type=int, default=EVERY, help="20 for yolov5s-p3")
    parser.add_argument("--pictures", type=int, default=1000, help="at most so many")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="json file to write")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    rows = []
    for name in args.codecs or ["yolov5s-p3"]:
        codec = load(name, args.shared / "weights" / args.network)
        data = held_out(args.shared, args.pictures, codec.detector.classes, args.every)
        uncoded = [(None, DEFAULT_EFFORT)] if args.uncoded or not args.codecs else []
        coded = product(args.qualities, args.efforts) if args.codecs else ()
        for quality, effort in (*uncoded, *coded):
            rows.append(measure(codec, data, quality, effort))
            print(json.dumps(rows[-1]), flush=True)
    if args.out:
        about = asdict(made(["python", *(arguments or sys.argv)], seeds={}))
        args.out.write_text(
            json.dumps({"made": about, "pictures": len(data.pictures), "rows": rows}, indent=1)
        )


if __name__ == "__main__":
    main()
