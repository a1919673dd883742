"""What is left between the codec's entropy model and one with contexts: held-out bytes at equal symbols.

    python benchmarks/entropy_model/measure.py yolox-nano-open --shared ../shared --work runs/entropy \\
        --out benchmarks/results/entropy-yolox-nano-open.json

Photographs of coco/train, 240 to fit to and 60 to judge by, which the codecs' fits have not seen. Float
networks that are fitted for a minute: lower bounds of what contexts bring, and no codec.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from contexts import Contexts, bits_of_pictures, fit, stacked
from symbols import CodedPicture, coded_pictures, split_names
from tables import fitted_tables, shares

import featcodec
from featcodec.evaluation.provenance import made

QUALITIES = (1, 4, 8)


def variants(latents: int) -> dict[str, Contexts]:
    """By name; `none` sees only what the hyper-synthesis says: what it saves is not the contexts' doing."""
    m = latents
    uneven = [m // 16, m // 16, m // 8, m // 4, m // 2]
    return {
        "none": Contexts([m], checkerboard=False, width=64),
        "checkerboard": Contexts([m], checkerboard=True, width=64),
        "2 groups": Contexts([m // 2] * 2, checkerboard=False, width=64),
        "4 groups": Contexts([m // 4] * 4, checkerboard=False, width=64),
        "8 groups": Contexts([m // 8] * 8, checkerboard=False, width=64),
        "5 uneven groups": Contexts(uneven, checkerboard=False, width=64),
        "5 uneven groups, checkerboard": Contexts(uneven, checkerboard=True, width=64),
        "5 uneven groups, narrow": Contexts(uneven, checkerboard=False, width=16),
    }


def hyper_synthesis_macs(codec: featcodec.FeatureCodec) -> float:
    """Multiplications of h_s a position of the latents: its first two layers work on phases of 2 x 2."""
    w = codec.file.config.widths
    return 4 * 4 * w.side * w.hyper / 16 + 4 * 4 * w.hyper * w.hyper / 4 + 2 * w.hyper * w.latents


def milliseconds(work: Callable[[], object], rounds: int = 15) -> float:
    """The processor's, at best, so that other work on the machine counts little."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return round(1000 * min(times), 1)


@torch.inference_mode()
def decoding(codec: featcodec.FeatureCodec, path: Path, picture: CodedPicture) -> dict[str, float]:
    """Milliseconds of a photograph at quality 4, without the network's tail."""
    data = codec.encode(path, quality=4)
    z, (height, width) = picture.z.astype("int32"), picture.y.shape[1:]
    return {
        "whole": milliseconds(lambda: codec.decode(data)),
        "symbols": milliseconds(lambda: codec.decode_latents(data)),
        "h_s": milliseconds(lambda: codec.model.h_s(z, height, width)),
    }


@torch.inference_mode()
def context_ms(contexts: Contexts, picture: CodedPicture) -> float:
    """Of all steps in float64, which carries integers; a colour is not cheaper here than all positions."""
    double = copy.deepcopy(contexts).double()
    parts = [part.double() for part in stacked([picture])]
    return milliseconds(lambda: list(double.refined(*parts)))


def measure(
    codec: featcodec.FeatureCodec, shared: Path, work: Path, names: Sequence[str], seconds: float
) -> dict[str, object]:
    to_fit, to_judge = split_names(shared / "data/coco/train", 240, 60)
    fitting = {q: coded_pictures(codec, to_fit, q, work) for q in QUALITIES}
    judging = {q: coded_pictures(codec, to_judge, q, work) for q in QUALITIES}
    tables = codec.file.tables_z, codec.file.tables_y
    found: dict[str, object] = {
        "bytes": {q: shares(pictures, *tables) for q, pictures in judging.items()},
        "change of y": fitted_tables(fitting, judging, *tables),  # type: ignore[arg-type]
    }
    found["decoding ms"] = decoding(codec, to_judge[0], judging[4][0])
    print(json.dumps(found, indent=1), flush=True)
    before = {q: bits_of_pictures(None, pictures) for q, pictures in judging.items()}
    everything = [p for pictures in fitting.values() for p in pictures]
    torch.manual_seed(0)
    rows = []
    for name, contexts in variants(codec.file.config.widths.latents).items():
        if name not in names:
            continue
        steps = fit(contexts, everything, seconds)
        change = {q: round(bits_of_pictures(contexts, p) / before[q] - 1, 4) for q, p in judging.items()}
        cost = contexts.macs() / hyper_synthesis_macs(codec)
        parameters = sum(p.numel() for p in contexts.parameters())
        rows.append(
            {
                "contexts": name,
                "change": change,
                "parameters": parameters,
                "times h_s": round(cost, 2),
                "ms": context_ms(contexts, judging[4][0]),
                "passes": len(contexts.steps),
                "steps": steps,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return found | {"contexts": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("codec", help="name or file")
    parser.add_argument("--network", help="file of the network, of codecs that bring none")
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/coco/train")
    parser.add_argument("--work", type=Path, required=True, help="folder for symbols that are kept")
    parser.add_argument("--contexts", nargs="*", default=list(variants(16)), help="by name; all unless given")
    parser.add_argument("--seconds", type=float, default=60, help="of the processor, for each fit")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="json file to write")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    codec = featcodec.load(args.codec, network=args.network)
    found = measure(codec, args.shared, args.work, args.contexts, args.seconds)
    about = asdict(made(["python", *(arguments or sys.argv)], seeds={"contexts": 0}))
    if args.out:
        args.out.write_text(json.dumps({"made": about, "codec": args.codec, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
