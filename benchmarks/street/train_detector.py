"""Trains the street detector from scratch.

A YOLOv5n with six classes, random initial weights, trained on the labels of coco/train and highway5 and
on the feature maps and answers of YOLOX-nano (Apache-2.0), which knows more photographs than there are here.

    python benchmarks/street/train_detector.py --shared ../shared --out runs/detector

Resumes from the last checkpoint in --out."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from data import CLASSES, Batch, StreetTraining, collate, splits
from evaluate import evaluate_detector
from loss import Answers, DetectionLoss, Mimic
from safetensors.torch import load_file, save_file
from teacher import TAP_LAYERS, Teacher, TeacherOutputs
from torch import Tensor, nn

from featcodec.evaluation.datasets import CocoSet
from featcodec.networks.yolov5 import YOLOv5
from featcodec.training.optimizer import Optimizer, follow, learning_rate

# (samples, canvas in px, batch, picture's longest side in canvases). The teacher's maps are so dense a signal
# that small batches lose nothing; the later stages crop, so that objects have their size at 416 px.
STAGES = ((51_200, 288, 32, (0.7, 1.4)), (36_000, 320, 8, (0.8, 1.8)), (108_000, 320, 8, (0.8, 1.8)))
Stages = tuple[tuple[int, int, int, tuple[float, float]], ...]
Forward = Callable[["State", Tensor, TeacherOutputs], tuple[list[Tensor], Tensor, Tensor]]
ANCHOR_SCALE = 0.7  # COCO's anchors were chosen at 640 px; these pictures are at most 416 px


@dataclass(slots=True)
class State:
    """All that a checkpoint holds."""

    net: YOLOv5
    mimic: Mimic
    answers: Answers
    average: YOLOv5
    optimizer: Optimizer
    seen: int = 0
    steps: int = 0


PARTS = ("net", "mimic", "answers", "average", "optimizer")


def build(lr: float) -> State:
    net = YOLOv5("n", classes=len(CLASSES))
    net.detect.anchors.mul_(ANCHOR_SCALE)
    for m in net.modules():
        if isinstance(m, nn.SiLU):
            m.inplace = False  # the taps are read twice
    with torch.no_grad():
        kept = keep_taps(net, torch.zeros(1, 3, 64, 64))
    channels = {i: kept[i].shape[1] for i in TAP_LAYERS}
    mimic, answers = Mimic(channels), Answers(channels)
    net.to(memory_format=torch.channels_last)
    average = YOLOv5("n", classes=len(CLASSES))
    average.load_state_dict(net.state_dict())
    inner = [p for layer in net.model[1:-1] for p in layer.parameters() if p.ndim == 4]
    others = {id(p) for p in inner}
    outer = [p for m in (net, mimic, answers) for p in m.parameters() if id(p) not in others]
    return State(net, mimic, answers, average, Optimizer(inner, outer, lr))


def keep_taps(net: YOLOv5, x: Tensor) -> dict[int, Tensor]:
    """Runs all layers but the head, keeping the outputs that the teacher explains."""
    kept: dict[int, Tensor] = {-1: x}
    taps: dict[int, Tensor] = {}
    start = 0
    for stop in sorted({t + 1 for t in TAP_LAYERS}):
        kept = net.run(start, stop, kept)
        taps[stop - 1] = kept[stop - 1]
        start = stop
    return kept | taps


def forward(s: State, x: Tensor, known: TeacherOutputs) -> tuple[list[Tensor], Tensor, Tensor]:
    """The head's raw outputs, and the distances to the teacher's maps and answers."""
    kept = keep_taps(s.net, x)
    return s.net.head_outputs(kept), s.mimic(kept, known), s.answers(kept, known)


def step(
    s: State,
    run: Forward,
    teacher: Callable[[Tensor], TeacherOutputs],
    loss: DetectionLoss,
    batch: Batch,
    mimic_weight: float,
) -> Tensor:
    """One optimizer step; returns box, objectness, class, mimic and answers loss."""
    x = (batch.images.float() / 255).contiguous(memory_format=torch.channels_last)
    known = teacher(x)
    # COCO numbers of the six classes: person, bicycle, car, motorcycle, bus, truck are 0, 1, 2, 3, 5, 7
    suspect = [h[:, 4:5].float() * h[:, [5, 6, 7, 8, 10, 12]].float() for h in known.heads]
    with torch.autocast("cpu", torch.bfloat16):
        outputs, mimic, answers = run(s, x, known)
    detection, parts = loss(outputs, batch, suspect)
    total = detection * len(x) ** 0.5 + mimic_weight * mimic + answers
    s.optimizer.zero_grad()
    total.backward()
    norm = nn.utils.clip_grad_norm_(s.net.parameters(), 10.0)
    if torch.isfinite(norm):
        s.optimizer.step()
    s.steps += 1
    s.seen += len(x)
    follow(s.average, s.net, 0.9995 * (1 - math.exp(-s.steps / 500)))
    return torch.cat((parts, torch.stack((mimic.detach().float(), answers.detach()))))


def save(s: State, out: Path) -> None:
    parts = {name: getattr(s, name).state_dict() for name in PARTS}
    torch.save(parts | {"seen": s.seen, "steps": s.steps}, out / "checkpoint.tmp")
    (out / "checkpoint.tmp").replace(out / "checkpoint.pt")


def resume(s: State, out: Path) -> None:
    if (out / "checkpoint.pt").exists():
        kept = torch.load(out / "checkpoint.pt", weights_only=True)
        for name in PARTS:
            getattr(s, name).load_state_dict(kept[name])
        s.seen, s.steps = kept["seen"], kept["steps"]
        print(f"resumed at {s.seen} samples", flush=True)


def run_stage(
    s: State, teacher: Teacher, args: argparse.Namespace, stages: Stages, stage: int, data: list[CocoSet]
) -> None:
    """Trains until the stage's share of the samples is used up."""
    _, size, batch_size, scales = stages[stage]
    end = sum(count for count, *_ in stages[: stage + 1])
    planned = sum(count for count, *_ in stages)
    if s.seen >= end - batch_size:
        return
    samples = StreetTraining(data, size=size, scales=scales, count=end - s.seen, seed=args.seed, start=s.seen)
    loader = torch.utils.data.DataLoader(
        samples, batch_size, collate_fn=collate, num_workers=args.workers, drop_last=True, prefetch_factor=4
    )
    loss = DetectionLoss(s.net.detect)
    run = torch.compile(forward) if args.compile else forward
    teach = torch.compile(teacher) if args.compile else teacher
    recent, began, saved = torch.zeros(5), time.time(), time.time()
    for batch in loader:
        progress = s.seen / planned
        s.optimizer.set_rate(learning_rate(progress, args.lr))
        recent += step(s, run, teach, loss, batch, args.mimic * (1 - 0.7 * progress)) / 50
        if s.steps % 50 == 0:
            rate = 50 * batch_size / (time.time() - began)
            began = time.time()
            line = {"seen": s.seen, "px": size, "images_s": round(rate, 1)}
            names = ("box", "objectness", "class", "mimic", "answers")
            print(
                json.dumps(line | {n: round(float(v), 4) for n, v in zip(names, recent, strict=True)}),
                flush=True,
            )
            recent = torch.zeros(5)
        if time.time() - saved > 240:
            save(s, args.out)
            saved = time.time()
    s.seen = end
    save(s, args.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints and the trained detector")
    parser.add_argument("--start", type=Path, help="detector.safetensors that the last stage goes on from")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--mimic", type=float, default=1.0, help="weight of the teacher's feature maps")
    parser.add_argument(
        "--no-compile", dest="compile", action="store_false", help="slower, but starts at once"
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    sets = splits(args.shared)
    teacher = Teacher(args.shared / "weights/yolox-nano-416.onnx").to(torch.bfloat16)
    state = build(args.lr)
    if args.start:
        kept = {k: v.float() if v.is_floating_point() else v for k, v in load_file(args.start).items()}
        state.net.load_state_dict(kept)
        state.average.load_state_dict(kept)
    resume(state, args.out)
    stages = STAGES[-1:] if args.start else STAGES
    for stage in range(len(stages)):
        run_stage(state, teacher, args, stages, stage, [sets["train-coco"], sets["train-highway"]])
        save_file(
            {k: v.half() if v.is_floating_point() else v for k, v in state.average.state_dict().items()},
            args.out / "detector.safetensors",
        )
        for name in ("choose-coco", "choose-highway"):
            print(name, evaluate_detector(state.average, sets[name], size=416), flush=True)


if __name__ == "__main__":
    main()
