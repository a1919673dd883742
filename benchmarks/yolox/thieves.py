"""Makes the thieves that come with the package, one for each embedded codec that has its network with it.

    python benchmarks/yolox/thieves.py --shared ../shared --work runs/attack

Each is one `featcodec attack CODEC … --embed featcodec/zoo/thieves/CODEC.safetensors`, which the file then
names. Beside the narrow network that goes into it, the U-Net at its full width is trained, and thieves that
infer learn from portraits whom they can tell apart, so that the figures of both stand in the file. It goes on
where it was interrupted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import featcodec
from featcodec.commands.main import main as command
from featcodec.zoo.thieves import path as thief_path


def asked(codec: str, args: argparse.Namespace) -> list[str]:
    """The command line that makes the thief of one codec."""
    out = thief_path(codec).relative_to(Path(featcodec.__file__).parents[1])
    data, weights = args.shared / "data", args.shared / "weights"
    line = ["attack", codec, "--train", data / "coco/train", "--eval", data / "coco/val"]
    line += ["--quality", args.quality, "--attackers", args.attackers, "--steps", args.steps]
    line += ["--photographs", args.photographs, "--work", args.work, "--embed", out]
    line += ["--faces", data / "lfw", "--face-model", weights / "mobilefacenet-112.onnx"]
    line += ["--face-train", data / "faces-train", "--face-detector", weights / "yunet-640.onnx"]
    return [str(word) for word in line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("codecs", nargs="*", default=list(featcodec.zoo.names(whole=True)))
    parser.add_argument("--shared", type=Path, required=True, help="data and weights, by relative path")
    parser.add_argument("--work", type=Path, default=Path("runs/attack"))
    parser.add_argument("--quality", default="1,2,4,8")
    parser.add_argument("--attackers", default="unet,ridge,kernel-ridge", help="beside the narrow one")
    parser.add_argument("--photographs", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=2000)
    args = parser.parse_args()
    for codec in args.codecs:
        thief_path(codec).parent.mkdir(exist_ok=True)
        if command(asked(codec, args)):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
