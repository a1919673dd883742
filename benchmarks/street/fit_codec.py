"""Fits the two street codecs to the trained detector.

    common="--shared ../shared --detector runs/detector/detector.safetensors"
    python benchmarks/street/fit_codec.py $common --name street-open --out runs/base --steps 1500 \\
        --quality-weights 0.35 9
    python benchmarks/street/fit_codec.py $common --name street-open --out runs/street-open --steps 450 \\
        --start runs/base/codec.safetensors --lr 5e-4 --quality-weights 1.2 36
    python benchmarks/street/fit_codec.py $common --name street --out runs/street --steps 850 \\
        --start runs/street-open/codec.safetensors --lr 5e-4 --quality-weights 1.2 36 --privacy 3.0

The base is fitted from nothing at low rates; `street-open` goes on from it at the rates that are wanted,
and `street` goes on from there against an adversary. Each call goes on from the checkpoint in --out and ends
by writing codec.safetensors there, which is what is embedded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from data import CLASSES, StreetTraining, splits
from evaluate import best_confidence
from torch import Tensor

import featcodec
from featcodec.networks.yolov5_weights import yolov5_from

DESCRIPTIONS = {
    "street": "street scenes, six classes; fitted against an adversary that rebuilds the picture",
    "street-open": "street scenes, six classes; without adversary: the difference is what privacy costs",
}
SIZE = 416  # of pictures in use


class Pictures(torch.utils.data.Dataset[Tensor]):
    """The augmented training pictures (3, S, S) uint8, without their boxes."""

    def __init__(self, samples: StreetTraining):
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> Tensor:
        return torch.from_numpy(self.samples[i].image).permute(2, 0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument(
        "--detector", type=Path, required=True, help="detector.safetensors of train_detector.py"
    )
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and codec.safetensors")
    parser.add_argument("--name", choices=sorted(DESCRIPTIONS), default="street-open")
    parser.add_argument("--start", help="codec of an earlier fit to start from")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--quality-weights", type=float, nargs=2, default=(0.3, 30.0), metavar=("Q1", "Q8"))
    parser.add_argument("--privacy", type=float, default=0.0)
    parser.add_argument("--canvas", type=int, default=320, help="of the training pictures, in pixels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    sets = splits(args.shared)
    detector = yolov5_from(args.detector, names=CLASSES)
    batch = 8
    samples = StreetTraining(
        [sets["train-coco"], sets["train-highway"]],
        size=args.canvas,
        count=args.steps * batch,
        seed=args.seed,
    )
    codec = featcodec.fit(
        detector,
        at=4,
        images=Pictures(samples),
        name=args.name,
        description=DESCRIPTIONS[args.name],
        out=args.out,
        start=args.start,
        steps=args.steps,
        batch=batch,
        size=SIZE,
        lr=args.lr,
        optimizer="adamw",  # as the codecs were made
        quality_weights=tuple(args.quality_weights),
        feature_weight=0.1,
        latents=64,
        balance=0.0,
        average=0.0,
        privacy=args.privacy,
        seed=args.seed,
        workers=1,
        device=args.device,
        classes=CLASSES,
        confidence=best_confidence(detector, sets["choose-coco"], size=SIZE),
        embed_network=True,
    )
    print(f"{args.out / 'codec.safetensors'}: fingerprint {codec.fingerprint.hex()}")


if __name__ == "__main__":
    main()
