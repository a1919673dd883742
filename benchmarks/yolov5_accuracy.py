"""Accuracy of the official YOLOv5 v6 weights in this package's own network, against the published code's.

    python benchmarks/yolov5_accuracy.py --shared ../shared --out benchmarks/results/yolov5.json

COCO val2017, 280-image subset, 80 classes, longest side scaled to the size given, confidence 0.001,
suppression at IoU 0.6, at most 300 boxes.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from featcodec.evaluation.datasets import read_coco
from featcodec.evaluation.metrics import average_precision
from featcodec.evaluation.picture_checks import check_pictures
from featcodec.evaluation.provenance import made
from featcodec.networks.coco import COCO
from featcodec.networks.yolov5_weights import yolov5_from
from featcodec.pictures.boxes import Boxes, suppress
from featcodec.pictures.loading import load_image

# mAP@.5:.95 and AP50 of the official code on the same pictures
REFERENCE = {
    ("n", 320): (21.8, 36.7),
    ("n", 448): (27.1, 43.1),
    ("n", 640): (28.2, 45.7),
    ("s", 320): (31.6, 48.1),
    ("s", 448): (35.7, 53.9),
    ("s", 640): (37.3, 55.9),
}


@torch.no_grad()
def accuracy(shared: Path, scale: str, size: int) -> dict[str, float]:
    data = check_pictures(read_coco(shared / "data/coco/val.json", shared / "data/coco/val", COCO))
    net = yolov5_from(shared / f"weights/yolov5{scale}-v6.safetensors").fuse()
    net = net.to(memory_format=torch.channels_last)
    found = []
    for picture in data.pictures:
        x, geometry = load_image(picture.path, size=size, upscale=True)
        boxes, scores, labels = suppress(net.detect.decode(net(x))[0], confidence=0.001, iou=0.6, most=300)
        found.append(Boxes(geometry.boxes_to_picture(boxes), scores, labels, COCO))
    got = average_precision(data, found)
    return {"map": round(got.map, 1), "ap50": round(got.ap50, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument("--out", type=Path, help="json file to write")
    parser.add_argument("--scales", nargs="+", default=["n", "s"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[320, 448, 640])
    args = parser.parse_args()
    rows = []
    for scale in args.scales:
        for size in args.sizes:
            row = {"network": f"yolov5{scale}", "size": size, **accuracy(args.shared, scale, size)}
            rows.append(row | {"published": REFERENCE.get((scale, size))})
            print(json.dumps(rows[-1]), flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        about = asdict(made(["python", *sys.argv], seeds={}))
        args.out.write_text(json.dumps({"made": about, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
