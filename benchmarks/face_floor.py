"""What face verification gives without any codec: photographs, reduced to ever less; docs/privacy.md quotes it.

    python benchmarks/face_floor.py --faces ../shared/data/lfw --face-model ../shared/weights/mobilefacenet-112.onnx \\
        --out benchmarks/results/face-floor.json
"""  # noqa: E501

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featcodec.attacks.faces import Embedder, Faces, embed, photograph, verify
from featcodec.evaluation.provenance import made

Pixels = NDArray[np.uint8]


def jpeg(quality: int) -> Callable[[Path], Pixels]:
    def coded(path: Path) -> Pixels:
        buffer = io.BytesIO()
        Image.fromarray(photograph(path)).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer))

    return coded


def squares(count: int) -> Callable[[Path], Pixels]:
    """The mean colours of count x count squares."""

    def reduced(path: Path) -> Pixels:
        picture = Image.fromarray(photograph(path))
        small = picture.resize((count, count), Image.Resampling.BOX)
        return np.asarray(small.resize(picture.size, Image.Resampling.NEAREST))

    return reduced


def grey(path: Path) -> Pixels:
    return np.full_like(photograph(path), 114)


REDUCED: dict[str, Callable[[Path], Pixels]] = {
    "photograph": photograph,
    "JPEG at quality 30": jpeg(30),
    "31 x 31 colours": squares(31),
    "8 x 8 colours": squares(8),
    "mean colour": squares(1),
    "grey": grey,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder in the layout of LFW's pairs")
    parser.add_argument("--face-model", type=Path, required=True, help="the network that recognises")
    parser.add_argument("--out", type=Path, required=True, help="json file to write")
    args = parser.parse_args()
    faces, embedder = Faces.read(args.faces), Embedder(args.face_model)
    known = embed(photograph, faces, embedder)
    rows = []
    for name, reduced in REDUCED.items():
        found = verify(reduced, faces, embedder, known=known)
        rows.append({"picture": name, **asdict(found)})
        print(json.dumps(rows[-1]), flush=True)
    about = asdict(made(["python", *sys.argv], seeds={"bootstrap": 1}))
    args.out.write_text(json.dumps({"made": about, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
