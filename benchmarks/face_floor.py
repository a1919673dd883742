"""What thieves of faces reach without any codec: photographs, reduced to ever less; docs/privacy.md quotes it.

    python benchmarks/face_floor.py --faces ../shared/data/lfw --face-model ../shared/weights/mobilefacenet-112.onnx \\
        --face-train ../shared/data/faces-train --face-detector ../shared/weights/yunet-640.onnx \\
        --work runs/attack --out benchmarks/results/face-floor.json

First the recogniser is used on what is left of the photograph. Then the thieves of `featcodec.attacks.INFERRING`
learn from thumbnails of portraits what it says of the portraits, as they do from latents.
"""  # noqa: E501

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from featcodec.attacks import INFERRING
from featcodec.attacks.attack import MEASURES
from featcodec.attacks.faces import Recognizer, photograph
from featcodec.attacks.identity import FaceThief, tell_apart
from featcodec.attacks.inference import find_inferrers
from featcodec.attacks.portraits import Portraits
from featcodec.evaluation.provenance import made

Pixels = NDArray[np.uint8]
INFERRED = (1, 5, 10, 20)  # colours along the side of a thumbnail


def jpeg(quality: int) -> Callable[[Path], Pixels]:
    def coded(path: Path) -> Pixels:
        buffer = io.BytesIO()
        Image.fromarray(photograph(path)).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer))

    return coded


def thumbnail(path: Path, count: int) -> Image.Image:
    """The mean colours of count x count squares."""
    return Image.fromarray(photograph(path)).resize((count, count), Image.Resampling.BOX)


def squares(count: int, how: Image.Resampling = Image.Resampling.NEAREST) -> Callable[[Path], Pixels]:
    """A thumbnail in the photograph's size."""

    def reduced(path: Path) -> Pixels:
        size = Image.fromarray(photograph(path)).size
        return np.asarray(thumbnail(path, count).resize(size, how))

    return reduced


def grey(path: Path) -> Pixels:
    return np.full_like(photograph(path), 114)


REDUCED: dict[str, Callable[[Path], Pixels]] = {
    "photograph": photograph,
    "JPEG at quality 30": jpeg(30),
    "31 x 31 colours": squares(31),
    "8 x 8 colours": squares(8),
    "20 x 20 colours, smoothed": squares(20, Image.Resampling.BICUBIC),
    "10 x 10 colours, smoothed": squares(10, Image.Resampling.BICUBIC),
    "5 x 5 colours, smoothed": squares(5, Image.Resampling.BICUBIC),
    "mean colour": squares(1),
    "grey": grey,
}


def thumbnails(paths: Sequence[Path], count: int) -> Tensor:
    """(N, 3, count, count) of photographs."""
    rows = np.stack([np.asarray(thumbnail(path, count)) for path in paths])
    return torch.from_numpy(rows).permute(0, 3, 1, 2).float()


def inferred(face_thief: FaceThief, count: int) -> list[dict[str, object]]:
    """What each thief that infers reaches from thumbnails; of the portraits, and of each in a mirror."""
    paths = face_thief.portraits.paths
    seen, everyone = thumbnails(paths, count), range(len(paths))
    mirror = [False] * len(paths) + [True] * len(paths)
    examples = face_thief.examples(torch.cat((seen, seen.flip(-1))), [*everyone, *everyone], mirror)
    files = thumbnails(face_thief.recognizer.faces.paths, count)
    rows: list[dict[str, object]] = []
    for thief in find_inferrers(tuple(INFERRING)):
        settings, found = tell_apart(thief, examples, files, face_thief)
        what = {"picture": f"{count} x {count} colours", "thief": thief.name, "settings": settings}
        rows.append(what | asdict(found))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder in the layout of LFW's pairs")
    parser.add_argument("--face-model", type=Path, required=True, help="the network that recognises")
    parser.add_argument("--face-train", type=Path, required=True, help="portraits of other people")
    parser.add_argument("--face-detector", type=Path, required=True, help="the network that finds them")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is kept")
    parser.add_argument("--out", type=Path, required=True, help="json file to write")
    args = parser.parse_args()
    recognizer = Recognizer.of(args.faces, args.face_model)
    portraits = Portraits.read(args.face_train, args.face_detector, recognizer, work=args.work)
    rows: list[dict[str, object]] = []
    for count in INFERRED:
        rows += inferred(FaceThief(recognizer, portraits), count)
        print(json.dumps(rows[-len(INFERRING) :]), flush=True)
    looked_at = []
    for name, reduced in REDUCED.items():
        looked_at.append({"picture": name, **asdict(recognizer(reduced))})
        print(json.dumps(looked_at[-1]), flush=True)
    about = asdict(made(["python", *sys.argv], seeds={"bootstrap": 1, "thieves": 1}, measures=MEASURES))
    found = {"made": about, "results": looked_at, "inferred": rows}
    args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
