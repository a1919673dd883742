"""Figures of made-up data, by the version of the code that measures them: ``golden_figures.json``.

    python tests/evaluation/golden_figures.py

writes them anew, and refuses to where a figure has changed and its version has not been raised.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import featcodec
from featcodec.attacks import attack, inference, observations, portraits, training, verification, whitebox
from featcodec.attacks.attack import AsDecoded, rebuild
from featcodec.attacks.attacker_networks import KINDS, AttackerNetwork
from featcodec.attacks.faces import align
from featcodec.attacks.inference import Examples, find_inferrers
from featcodec.attacks.observations import collect
from featcodec.attacks.targets import RawTarget
from featcodec.attacks.training import Recipe, train
from featcodec.attacks.whitebox import Search, search
from featcodec.bench import runner
from featcodec.bench.anchors import container
from featcodec.bench.anchors.container import Tiles, write_features, write_image
from featcodec.bench.anchors.images import to_planes, to_rgb
from featcodec.codec import feature_codec
from featcodec.evaluation import closeness as closeness_of
from featcodec.evaluation import fidelity as fidelity_module
from featcodec.evaluation import metrics
from featcodec.evaluation.box_metric import MeanAveragePrecision
from featcodec.evaluation.datasets import CocoSet, Picture
from featcodec.evaluation.fidelity import fidelity as fidelity_of
from featcodec.evaluation.means import mean_interval
from featcodec.pictures.boxes import Boxes, suppress
from featcodec.pictures.canvas import Canvas
from featcodec.pictures.geometry import Geometry
from featcodec.pictures.loading import load_image
from featcodec.pictures.pixels import eight_bits

GOLDEN = Path(__file__).with_suffix(".json")
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """Code that measures, and what it finds on made-up data.

    Attributes:
        module, constant: where its version stands.
        figures: what it finds.
        tolerance: absolute, in the figures' own units: below what any change of the code would make, above
            what processors and libraries differ by.
    """

    module: Any
    constant: str
    figures: Callable[[], Figures]
    tolerance: float = 1e-3

    @property
    def version(self) -> int:
        return int(getattr(self.module, self.constant))


# ---- made-up data


def picture(seed: int, height: int, width: int) -> np.ndarray[Any, Any]:
    """(H, W, 3) uint8: shades, texture of all contrasts, and squares with edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shades = 90 + 60 * np.sin(x / 17 + seed) * np.cos(y / 23)
    texture = rng.integers(-40, 41, (height, width)) * x / width
    made = np.stack([shades + texture, shades[::-1] + texture, shades + 0.5 * texture[:, ::-1]], 2)
    made[height // 4 : height // 2, width // 3 : width // 2] += (60, 20, -40)
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)


def tensor(seed: int, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(picture(seed, height, width)).permute(2, 0, 1) / 255


def thin_cut(x: torch.Tensor) -> torch.Tensor:
    """Features (B, 3, H/8, W/8) that need no network."""
    return F.avg_pool2d(x, 8) * 3 - 1


class ThinTarget:
    """What crosses the thin cut; a decoded picture at point 2."""

    name, identity, points, views = "thin", "thin", (1.0,), 2
    network = SimpleNamespace(canvas=Canvas(128), head=lambda x: (thin_cut(x),))

    def observe(self, shot, point):  # type: ignore[no-untyped-def]
        return (eight_bits(shot.x[0]) if point == 2 else shot.f[0]), 100


def observed(folder: Path, *, learning: bool) -> Any:
    paths = []
    for i in range(2):
        paths.append(folder / f"{i}.png")
        Image.fromarray(picture(i, 150, 190)).save(paths[i])
    return collect(ThinTarget(), paths, work=folder / "work", training=learning)


# ---- what is measured


def closeness() -> Figures:
    found = {}
    for name, shape in {"small": (64, 96), "large": (176, 200)}.items():
        truth = tensor(1, *shape)
        rebuilt = F.avg_pool2d(truth[None], 5, stride=1, padding=2)[0] + 0.02
        found |= {f"{name} {k}": v for k, v in asdict(closeness_of.closeness(rebuilt, truth)).items()}
    return found


def fidelity() -> Figures:
    wanted = [tensor(1, 6, 8)[None], tensor(2, 6, 8).flatten()[None]]
    got = [wanted[0] + 0.1 * tensor(3, 6, 8), wanted[1].round(decimals=1)]
    kept, same = fidelity_of(got, wanted)
    return {"fidelity": kept, "agreement": same}


def mean_average_precision() -> Figures:
    rng = np.random.default_rng(1)
    names, pictures, detections = ("a", "b"), [], []
    for i in range(12):
        corner, side = rng.uniform(0, 60, (5, 2)), rng.uniform(8, 40, (5, 2))
        boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
        labels = rng.integers(0, 2, 5)
        pictures.append(Picture(Path("x"), i, 100, 100, boxes, labels, rng.random(5) < 0.1))
        near = torch.from_numpy((boxes + rng.normal(0, 2.5, boxes.shape)).astype(np.float32))
        scores = torch.from_numpy(np.sort(rng.random(5))[::-1].astype(np.float32).copy())
        detections.append(Boxes(near, scores, torch.from_numpy(labels), names))
    found = metrics.match(CocoSet(names, (True, True), tuple(pictures)), detections)
    twice = found.ap(np.arange(12) % 3)
    return {"mAP": found.accuracy.map, "AP50": found.accuracy.ap50, "mAP, resampled": twice[0]}


LANDMARKS = np.array([[52.0, 60.0], [90.0, 57.0], [70.0, 80.0], [55.0, 100.0], [88.0, 98.0]])


def face_verification() -> Figures:
    rng = np.random.default_rng(1)
    same = np.arange(400) % 2 == 0
    scored = verification.score(rng.normal(0.2 * same, 0.15), same)
    low, high = mean_interval(rng.normal(50, 5, 100))
    face = align(picture(3, 150, 150), LANDMARKS)
    figures = {k: v for k, v in asdict(scored).items() if k != "accuracy_interval"}
    return figures | {"low": low, "high": high, "aligned": float(face.mean()), "eye": float(face[51, 38, 0])}


def embedding() -> Figures:
    """Portraits by a detector that finds the same face everywhere, and a recogniser that sees colours."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.png" for i in range(2)]
        for i, path in enumerate(paths):
            Image.fromarray(picture(i, 150, 150)).save(path)
        columns = SimpleNamespace(embedder=lambda faces: faces.mean(1)[:, ::16].reshape(len(faces), -1))
        found = portraits._embedded(paths, lambda _: LANDMARKS, columns)  # type: ignore[arg-type]
    vectors = found["vectors"]
    names = ("number", "as it is", "mirrored", "left")
    values = (found["number"].sum(), vectors[:, 0].mean(), vectors[:, 1].mean(), vectors[0, 1, 0])
    return dict(zip(names, map(float, values), strict=True))


def inferring() -> Figures:
    """Vectors that lie in the middle of what was seen, beside noise."""
    rng = torch.Generator().manual_seed(1)
    seen = torch.randn(120, 2, 6, 6, generator=rng)
    vectors = F.normalize(seen[..., 2:4, 2:4].flatten(1).tanh() + 0.1 * torch.randn(120, 8, generator=rng))
    people = tuple(f"{i // 3:02}" for i in range(120))
    learned, asked = Examples(seen[:90], vectors[:90], people[:90]), seen[90:]
    found = {}
    for thief in find_inferrers(["ridge", "kernel-ridge"]):
        answers = thief.learn(learned)(asked)
        found[thief.name] = float((F.normalize(answers) * vectors[90:]).sum(1).mean())
    return found


def coding() -> Figures:
    of = MeanAveragePrecision()
    protocol = {"confidence": of.confidence, "iou": of.iou, "most": of.most}
    x, geometry = load_image(picture(2, 200, 300), size=128)
    rng = np.random.default_rng(1)
    middle, side = rng.uniform(20, 100, (40, 2)), rng.uniform(10, 40, (40, 2))
    rows = np.concatenate([middle, side, rng.random((40, 3))], 1)
    boxes, scores, labels = suppress(
        torch.from_numpy(rows).float(), confidence=0.1, iou=protocol["iou"], most=20
    )
    there = geometry.boxes_to_picture(boxes)
    found = {"canvas": float(x.mean()), "spread": float(x.std()), "pixel": float(x[0, 1, 40, 70])}
    found |= {"boxes": len(boxes), "corners": float(there.mean()), "scores": float(scores.mean())}
    return found | {"labels": float(labels.float().mean())} | protocol


def encoder() -> Figures:
    codec = featcodec.zoo.decoder("yolov5s-p3")  # of features: no weights of a network take part
    features, geometry = made_up_features(128, 40, 28), Geometry.fit(200, 300, size=320)
    return {f"bytes at {q}": len(codec.encode_features(features, geometry, quality=q)) for q in (1, 4.5, 8)}


def made_up_features(channels: int, height: int, width: int) -> torch.Tensor:
    """Smooth ones, within the range of those of a YOLOv5."""
    rng = np.random.default_rng(3)
    coarse = torch.from_numpy(rng.normal(size=(1, channels, 5, 6))).float()
    return F.silu(F.interpolate(coarse, (height, width), mode="bilinear")) * 0.7


def anchors() -> Figures:
    rgb, geometry = picture(4, 64, 96), Geometry.fit(300, 200)
    planes = to_planes(rgb, 10)
    tiles = Tiles(8, 4, 6, 4, -1.5, 2.5)
    found = {f"plane {i}": float(p.astype(float).mean()) for i, p in enumerate(planes)}
    found |= {"picture": float(to_rgb(planes, 10).mean())}
    headers = write_image(0xA6, geometry, b""), write_features(0xA2, geometry, tiles, b"")
    return found | {f"header {i}": float(sum(k * b for k, b in enumerate(h))) for i, h in enumerate(headers)}


def observing() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        seen = observed(Path(folder), learning=True)
        found = {}
        for i in range(len(seen)):
            one, crop = seen[i], seen.crop(i, 16, 32, 64)
            found |= {
                f"{i} tensor": float(one.tensor.float().mean()),
                f"{i} left": float(one.tensor[0, 5, 3]),
            }
            found |= {f"{i} picture": float(one.picture.float().mean()), f"{i} crop": float(crop[0].mean())}
        return found | {"shape": float(sum(seen.shape)), "bytes": one.bytes}


def learning() -> Figures:
    recipe = Recipe(steps=2, batch=1, crop=32, lr=1e-3, curve=1)
    with tempfile.TemporaryDirectory() as folder:
        seen = observed(Path(folder), learning=True)
        one = train(
            "invnet", seen, recipe, checkpoint=Path(folder) / "invnet.pt"
        )  # a U-Net takes much longer
    found: Figures = {"PSNR": one.curve[-1][1]}
    for kind in KINDS:
        torch.manual_seed(1)
        network = AttackerNetwork(kind, channels=3, stride=8, points=(1.0, 2.0))
        with torch.no_grad():
            found[f"{kind} output"] = float(network(torch.ones(1, 3, 4, 6), torch.tensor([1.5])).std())
        found[f"{kind} weights"] = sum(p.numel() for p in network.parameters())
    return found


def rebuilding() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        observed(Path(folder), learning=False)
        made = rebuild(ThinTarget(), AsDecoded(), Path(folder) / "0.png", point=2)
    return {"height": made.shape[0], "mean": float(made.mean()), "pixel": float(made[70, 90, 1])}


def searching() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        one = observed(Path(folder), learning=False)[0]
    start = torch.full(one.picture.shape, 0.4)
    found = search(RawTarget(ThinTarget.network), one, start, Search(steps=6, lr=0.05))
    return {"error": float(1000 * (found - one.picture / 255).square().mean())}


MEASURES = {
    "anchors": Measure(container, "ANCHORS_VERSION", anchors),
    "closeness": Measure(closeness_of, "CLOSENESS_VERSION", closeness),
    "coding": Measure(runner, "CODING_VERSION", coding),
    "encoder": Measure(feature_codec, "ENCODER_VERSION", encoder, tolerance=3),  # bytes: symbols are rounded
    "fidelity": Measure(fidelity_module, "FIDELITY_VERSION", fidelity),
    "inference": Measure(inference, "INFERENCE_VERSION", inferring),
    "metrics": Measure(metrics, "METRICS_VERSION", mean_average_precision),
    "observations": Measure(observations, "OBSERVATIONS_VERSION", observing),
    "portraits": Measure(portraits, "PORTRAITS_VERSION", embedding),
    "rebuilding": Measure(attack, "REBUILDING_VERSION", rebuilding),
    "search": Measure(whitebox, "SEARCH_VERSION", searching, tolerance=0.02),
    "training": Measure(training, "TRAINING_VERSION", learning, tolerance=0.05),  # dB, of bfloat16 arithmetic
    "verification": Measure(verification, "VERIFICATION_VERSION", face_verification),
}


# ---- the golden file


def changes(name: str, golden: dict[str, Any], found: Figures) -> str:
    """What is wrong with the figures of a measure, and what to do about it; nothing if all is as it was."""
    measure = MEASURES[name]
    known = golden.get(name, {"version": None, "figures": {}})
    moved = [
        f"{figure}: was {known['figures'].get(figure)}, is {found.get(figure)}"
        for figure in sorted({*known["figures"], *found})
        if not abs(known["figures"].get(figure, np.inf) - found.get(figure, -np.inf)) <= measure.tolerance
    ]
    where = f"{measure.constant} of {measure.module.__name__}"
    if moved and known["version"] == measure.version:
        return (
            f"{name}: {'; '.join(moved)}\nraise {where}, now {measure.version}: kept figures of the old code "
            "must not come back"
        )
    if moved or known["version"] != measure.version:
        return f"{name}: {where} is {measure.version}: run python {Path(__file__).name} to keep its figures"
    return ""


def main() -> int:
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    found = {name: measure.figures() for name, measure in MEASURES.items()}
    wrong = [text for name in MEASURES if "\nraise" in (text := changes(name, golden, found[name]))]
    for text in wrong:
        print(text, file=sys.stderr)
    if wrong:
        return 1
    rows = {n: {"version": m.version, "figures": found[n]} for n, m in MEASURES.items()}
    GOLDEN.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
