"""Trains the hyperprior of a finished codec on, for rate alone: fewer bytes, the same format and transforms.

    python benchmarks/refit_hyperprior.py runs/mine.safetensors --network yolox-nano.onnx \\
        --images ../shared/data/coco/train --hold-out 10 -o mine.safetensors

What it brings, `benchmarks/held_out.py CODEC mine.safetensors` says on photographs that neither fit has seen.
The codec is another one afterwards: attack it anew where privacy counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import featcodec
from featcodec.console import Progress
from featcodec.files import list_pictures
from featcodec.fitting.refit import refitted


@torch.inference_mode()
def latents_of(codec: featcodec.FeatureCodec, paths: Sequence[Path]) -> list[Tensor]:
    """(M, h, w) float16 of each photograph, scaled as it is for coding."""
    found = []
    with Progress(len(paths)) as progress:
        for number, path in enumerate(paths):
            progress.show(number, "photographs to latents")
            found.append(codec.file.g_a(codec.features(path).as_subclass(Tensor))[0].half())
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("codec", help="name or file")
    parser.add_argument("--network", help="file of the network, of codecs that bring none")
    parser.add_argument("--images", type=Path, required=True, help="folder of training photographs")
    parser.add_argument("--hold-out", type=int, default=0, metavar="N", help="leave out every Nth, by name")
    parser.add_argument("--pictures", type=int, default=800, help="at most so many")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    codec = featcodec.load(args.codec, network=args.network)
    paths = [Path(path) for path, _ in list_pictures(args.images, recursive=True)]
    used = [p for i, p in enumerate(paths) if not args.hold_out or i % args.hold_out]
    chosen = [used[i * len(used) // args.pictures] for i in range(args.pictures)]
    latents = latents_of(codec, sorted(set(chosen)))
    refitted(codec.file, latents, steps=args.steps, seed=args.seed).save(args.output)


if __name__ == "__main__":
    main()
