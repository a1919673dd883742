"""Inversion attacks on the embedded codecs, trained from scratch on their decoded latents.

    python benchmarks/street/attack.py --shared ../shared --out benchmarks/results/street-attack.json

The attacker trains on the pictures that the codecs were fitted on and is measured on coco/val, which
neither has seen. Two budgets: a longer attack must not change the verdict.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from data import splits
from measure import provenance
from PIL import Image
from skimage.data import astronaut

import featcodec
from featcodec.attacks.inversion import Pair, collect, measure, rebuild, train
from featcodec.attacks.invnet import InvNet
from featcodec.draw import draw_boxes


def gallery(net: InvNet, pairs: list[Pair], out: Path) -> None:
    """Originals above, what the attacker rebuilt below (half resolution)."""
    columns = []
    for pair in pairs:
        rebuilt = (rebuild(net, pair) * 255).byte().numpy()[:, ::2, ::2]
        columns.append(np.concatenate((pair.picture.numpy(), rebuilt), 1))
    height = max(c.shape[1] for c in columns)
    padded = [np.pad(c, ((0, 0), (0, height - c.shape[1]), (0, 4))) for c in columns]
    Image.fromarray(np.concatenate(padded, 2).transpose(1, 2, 0)).save(out)


def overview(nets: dict[str, InvNet], quality: float, out: Path) -> None:
    """scikit-image's astronaut: with the boxes found in its file, then what each attacker rebuilt."""
    photograph = Image.fromarray(astronaut())
    panels = []
    for name, net in nets.items():
        codec = featcodec.load(name)
        data = codec.encode(photograph, quality=quality)
        latents, geometry = codec.decode_latents(data)
        pair = Pair(latents[0].half(), torch.empty(0), geometry, Path())
        rebuilt = rebuild(net, pair).permute(1, 2, 0).mul(255).byte().numpy()
        if name == featcodec.zoo.DEFAULT:
            panels.insert(0, draw_boxes(photograph, codec.detect(data)).resize((416, 416)))
        panels.append(Image.fromarray(rebuilt))
    sheet = Image.new("RGB", (sum(p.width for p in panels) + 8 * (len(panels) - 1), 416), "white")
    for i, panel in enumerate(panels):
        sheet.paste(panel, (i * 424, 0))
    sheet.save(out, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument("--out", type=Path, required=True, help="json file to write")
    parser.add_argument("--codecs", nargs="+", default=list(featcodec.zoo.names()))
    parser.add_argument("--quality", type=float, default=4)
    parser.add_argument("--pictures", type=int, default=2000, help="pictures that the attacker trains on")
    parser.add_argument("--budgets", nargs="+", type=int, default=[500, 1500], help="training steps")
    parser.add_argument("--overview", type=Path, help="picture for the README to write")
    parser.add_argument("--gallery", type=Path, help="folder for pictures of what was rebuilt")
    args = parser.parse_args()
    sets = splits(args.shared)
    known = [p.path for name in ("train-coco", "train-highway") for p in sets[name].pictures]
    known = known[:: max(1, len(known) // args.pictures)]
    results = []
    nets = {}
    for name in args.codecs:
        codec = featcodec.load(name)
        test = collect(codec, [p.path for p in sets["coco-val"].pictures], quality=args.quality)
        pairs = collect(codec, known, quality=args.quality)
        for steps in args.budgets:
            net = train(pairs, steps=steps, log=lambda t: print(t, flush=True))
            attack = measure(net, codec, test)
            result = {"codec": name, "quality": args.quality, "attacker": "InvNet", "steps": steps}
            results.append(result | {"psnr": round(attack.psnr, 2), "blind_psnr": round(attack.blind, 2)})
            print(json.dumps(results[-1]), flush=True)
        nets[name] = net
        if args.gallery:
            args.gallery.mkdir(parents=True, exist_ok=True)
            gallery(net, test[:6], args.gallery / f"{name}.png")
    if args.overview:
        overview(nets, args.quality, args.overview)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"made": provenance(), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
