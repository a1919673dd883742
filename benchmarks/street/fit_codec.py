"""Fits the two street codecs to the trained detector.

    common="--shared ../shared --detector runs/detector/detector.safetensors"
    python benchmarks/street/fit_codec.py $common --name street-open --out runs/base --steps 1500 \\
        --quality-weights 0.35 9
    python benchmarks/street/fit_codec.py $common --name street-open --out runs/street-open --steps 450 \\
        --start runs/base --lr 5e-4 --quality-weights 1.2 36
    python benchmarks/street/fit_codec.py $common --name street --out runs/street --steps 850 \\
        --start runs/street-open --lr 5e-4 --quality-weights 1.2 36 --privacy 3.0

The base is fitted from nothing at low rates; `street-open` goes on from it at the rates that are wanted,
and `street` goes on from there against an adversary. Each call resumes from the checkpoint in --out and
ends by writing codec.safetensors there, which is what is embedded; called again when it is finished, it
only writes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from data import CLASSES, StreetTraining, collate, splits
from evaluate import best_confidence
from safetensors.torch import load_file
from torch import Tensor

from featcodec.codec.transforms import Widths
from featcodec.fitting.data import Batch
from featcodec.fitting.export import export
from featcodec.fitting.loop import Figures, Fitting, fit_codec
from featcodec.fitting.losses import QUALITY_WEIGHTS
from featcodec.fitting.run import Options, Run
from featcodec.fitting.start import set_statistics
from featcodec.fitting.tasks import Detection
from featcodec.networks.yolov5 import YOLOv5
from featcodec.networks.yolov5_split import Split, split
from featcodec.training.hyperprior import CodecModel

STATISTICS = 4  # batches from which the channel statistics are taken
DESCRIPTIONS = {
    "street": "street scenes, six classes; fitted against an adversary, so that the picture is hidden",
    "street-open": "street scenes, six classes; without adversary: the difference is what privacy costs",
}


def load_detector(path: Path) -> YOLOv5:
    """The trained detector, frozen."""
    net = YOLOv5("n", classes=len(CLASSES))
    net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
    return net.eval().requires_grad_(False)


def batches(shared: Path, size: int, batch: int, count: int, seed: int, done: int) -> Iterator[Batch]:
    """Augmented training pictures (B, 3, size, size) uint8: `count` batches, the first `done` left out."""
    sets = splits(shared)
    data = StreetTraining(
        [sets["train-coco"], sets["train-highway"]],
        size=size,
        count=(count - done) * batch,
        seed=seed,
        start=done * batch,
    )
    loader = torch.utils.data.DataLoader(
        data, batch, collate_fn=collate, num_workers=1, prefetch_factor=4, drop_last=True
    )
    for b in loader:
        yield b.images, None


@torch.no_grad()
def features(network: Split, pictures: Iterable[Batch], device: str) -> Tensor:
    """Features of the first `STATISTICS` batches."""
    found = [network.head(images.to(device).float() / 255)[0] for images, _ in islice(pictures, STATISTICS)]
    return torch.cat(found)


def report(run: Run, figures: Figures) -> None:
    """A JSON line every 50 steps, for people who watch."""
    if run.step % 50 == 0:
        print(
            json.dumps({"step": run.step, **{k: round(v, 4) for k, v in asdict(figures).items()}}), flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument(
        "--detector", type=Path, required=True, help="detector.safetensors of train_detector.py"
    )
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and codec.safetensors")
    parser.add_argument("--name", choices=sorted(DESCRIPTIONS), default="street-open")
    parser.add_argument("--start", type=Path, help="folder of an earlier fit to start from")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument(
        "--quality-weights", type=float, nargs=2, default=QUALITY_WEIGHTS, metavar=("Q1", "Q8")
    )
    parser.add_argument("--privacy", type=float, default=0.0)
    parser.add_argument("--adversary-steps", type=int, default=1)
    parser.add_argument("--feature-weight", type=float, default=0.1)
    parser.add_argument("--size", type=int, default=320, help="training canvas in pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--optimizer", choices=("adamw", "muon"), default="adamw", help="as the codecs were made"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    detector = load_detector(args.detector)
    model = CodecModel(Widths(64)).to(args.device)
    fused = load_detector(args.detector).fuse().to(args.device, memory_format=torch.channels_last)
    network = split(fused, at=4)
    checkpoint = args.out / "checkpoint.pt"
    options = Options(
        steps=args.steps,
        lr=args.lr,
        optimizer=args.optimizer,
        quality_weights=tuple(args.quality_weights),
        privacy=args.privacy,
        feature_weight=args.feature_weight,
        warm_up=0.0,
        adversary_steps=args.adversary_steps,
        seed=args.seed,
    )
    planned = args.steps + options.head_start
    source = partial(batches, args.shared, args.size, args.batch, planned, args.seed)
    if args.start:
        base = torch.load(args.start / "checkpoint.pt", weights_only=True, map_location=args.device)
        model.load_state_dict(base["model"])
    elif not checkpoint.exists():
        set_statistics(model, features(network, source(0), args.device))
    run = Run(model, options, identity=f"{args.name} {args.size} px, batches of {args.batch}")
    run.resume(checkpoint)
    if run.step < args.steps:  # else finished before: the codec is only written again
        fitting = Fitting(network, Detection(network, args.feature_weight), source)
        fit_codec(fitting, run, checkpoint=checkpoint, report=report)
    write(model.cpu(), detector, args)


def write(model: CodecModel, detector: YOLOv5, args: argparse.Namespace) -> None:
    """Exports the codec; the score from which boxes are shown is chosen on held-out pictures."""
    file = export(
        model,
        split(detector),
        name=args.name,
        description=DESCRIPTIONS[args.name],
        classes=CLASSES,
        confidence=best_confidence(detector, splits(args.shared)["choose-coco"], size=416),
    )
    file.save(args.out / "codec.safetensors")
    print(f"{args.out / 'codec.safetensors'}: fingerprint {file.fingerprint.hex()}")


if __name__ == "__main__":
    main()
