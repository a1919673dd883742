"""Accuracy of detectors with official weights in this package's own networks, against the published code's.

    python benchmarks/detector_accuracy.py --shared ../shared --networks yolox-nano-416.onnx yolox-nano \\
        --sizes 416 --ious 0.45 0.65 --placements centred top-left --out benchmarks/results/yolox.json
    python benchmarks/detector_accuracy.py --shared ../shared --networks yolov5n-v6.safetensors \\
        yolov5s-v6.safetensors --sizes 320 448 640 --out benchmarks/results/yolov5.json

COCO val2017, 280-image subset, longest side scaled to the size given, confidence 0.001, at most 300 boxes,
all 80 classes. Pictures are centred on a canvas whose sides are multiples of 32, as a codec lays them; or,
to compare, at the top left of a square, as the published code of YOLOX does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from featcodec.evaluation.datasets import read_coco
from featcodec.evaluation.metrics import average_precision
from featcodec.evaluation.picture_checks import check_pictures
from featcodec.evaluation.provenance import made
from featcodec.networks.by_name import network_by_name
from featcodec.networks.coco import COCO
from featcodec.networks.cut_network import CutNetwork, detector_of
from featcodec.networks.families import NetworkWish, cut_network, default_cut, describe
from featcodec.pictures.boxes import Boxes, suppress
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import GREY, load_image

# mAP@.5:.95 and AP50 of other code on the same pictures
REFERENCE = {
    ("yolov5n-v6.safetensors", 320): (21.8, 36.7),
    ("yolov5n-v6.safetensors", 448): (27.1, 43.1),
    ("yolov5n-v6.safetensors", 640): (28.2, 45.7),
    ("yolov5s-v6.safetensors", 320): (31.6, 48.1),
    ("yolov5s-v6.safetensors", 448): (35.7, 53.9),
    ("yolov5s-v6.safetensors", 640): (37.3, 55.9),
    ("yolox-nano-416.onnx", 416): (26.9, 42.9),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument(
        "--networks",
        nargs="+",
        required=True,
        metavar="MODEL",
        help="files in weights/, or yolox-nano, as embedded",
    )
    parser.add_argument("--sizes", nargs="+", type=int, required=True)
    parser.add_argument("--ious", nargs="+", type=float, default=[0.6], help="overlaps of suppression")
    parser.add_argument(
        "--placements", nargs="+", choices=("centred", "top-left"), default=["centred"], metavar="PLACE"
    )
    parser.add_argument("--out", type=Path, help="json file to write")
    args = parser.parse_args()
    rows = []
    for name in args.networks:
        network = network_by_name(str(args.shared / "weights" / name) if Path(name).suffix else name)
        for size in args.sizes:
            cut = cut_network(network, describe(network, NetworkWish(default_cut(network), name)), size=size)
            for placement, iou in itertools.product(args.placements, args.ious):
                figures = accuracy(cut, args.shared, iou, centred=placement == "centred")
                row = {"network": name, "size": size, "placement": placement, "iou": iou, **figures}
                rows.append(row | {"published": REFERENCE.get((name, size))})
                print(json.dumps(rows[-1]), flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        about = asdict(made(["python", *sys.argv], seeds={}))
        args.out.write_text(json.dumps({"made": about, "results": rows}, indent=1) + "\n")


@torch.no_grad()
def accuracy(cut: CutNetwork, shared: Path, iou: float, *, centred: bool) -> dict[str, float]:
    data = check_pictures(read_coco(shared / "data/coco/val.json", shared / "data/coco/val", COCO))
    detector, size = detector_of(cut), cut.canvas.size
    found = []
    for picture in data.pictures:
        x, geometry = load_image(picture.path, size=size, upscale=True)
        if centred:
            rows = detector.rows(cut.tail(cut.head(x)))[0]
        else:
            rows = detector.rows(cut.tail(cut.head(at_top_left(x, geometry, cut.canvas.side))))[0]
            rows[:, :2] += torch.tensor([geometry.left, geometry.top])
        boxes, scores, labels = suppress(rows, confidence=0.001, iou=iou, most=300)
        found.append(Boxes(geometry.boxes_to_picture(boxes), scores, labels, COCO))
    precision = average_precision(data, found)
    return {"map": round(precision.map, 1), "ap50": round(precision.ap50, 1)}


def at_top_left(x: Tensor, geometry: Geometry, side: int) -> Tensor:
    """The picture of a canvas (1, 3, H, W) at the top left of a grey square."""
    square = torch.full((1, 3, side, side), GREY / 255)
    height, width = geometry.scaled_height, geometry.scaled_width
    top, left = geometry.top, geometry.left
    square[..., :height, :width] = x[..., top : top + height, left : left + width]
    return square


if __name__ == "__main__":
    main()
