"""Makes docs/overview.jpg: a photograph with the boxes found in its file, then what a thief of the file sees.

    featcodec attack yolox-nano-private yolox-nano-open --train ../shared/data/coco/train \\
        --eval ../shared/data/coco/val --work runs/attack
    python benchmarks/overview.py runs/attack --out docs/overview.jpg

The photograph is scikit-image's astronaut. The attackers are those of the longest budget in the folder.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image
from skimage.data import astronaut

import featcodec
from featcodec.attacks.attack import rebuild
from featcodec.attacks.network_attacker import TrainedRebuilder
from featcodec.attacks.targets import CodecTarget
from featcodec.attacks.training import Trained, load_trained
from featcodec.pictures.drawing import draw_boxes

SIDE, GAP = 416, 8


def best_attacker(work: Path, codec: str) -> Trained:
    """The one of the longest budget that reached the greatest PSNR on held-out training photographs."""
    found = [load_trained(p) for p in (work / "attackers").glob(f"{codec}-*.pt") if _of(p.name, codec)]
    if not found:
        raise SystemExit(f"{work}: got no attackers of {codec}, expected some: run featcodec attack first")
    return max(found, key=lambda t: (t.recipe.steps, t.curve[-1][1]))


def _of(name: str, codec: str) -> bool:
    return name.removeprefix(f"{codec}-").startswith(("invnet-", "unet-"))  # not NAME-open's, of NAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path, help="folder that featcodec attack worked in")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    parser.add_argument("--codecs", nargs="+", default=list(featcodec.zoo.names(whole=True)))
    parser.add_argument("--quality", type=float, default=4)
    args = parser.parse_args()
    photograph = Image.fromarray(astronaut())
    default = featcodec.load()
    boxes = default.detect(default.encode(photograph, quality=args.quality))
    panels = [draw_boxes(photograph, boxes)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "astronaut.png")
        photograph.save(path)
        for name in sorted(args.codecs, key=lambda n: n != featcodec.zoo.DEFAULT):
            target = CodecTarget(featcodec.load(name), (args.quality,))
            attacker = TrainedRebuilder((best_attacker(args.work, name),))
            rebuilt = rebuild(target, attacker, path, point=args.quality)
            panels.append(Image.fromarray(rebuilt))
    sheet = Image.new("RGB", ((SIDE + GAP) * len(panels) - GAP, SIDE), "white")
    for i, panel in enumerate(panels):
        sheet.paste(panel.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (i * (SIDE + GAP), 0))
    sheet.save(args.out, optimize=True, quality=88)


if __name__ == "__main__":
    main()
