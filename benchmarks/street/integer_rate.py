"""What exactness costs: bytes of the integer hyper-synthesis against those of the float one it came from.

    python benchmarks/street/integer_rate.py --shared ../shared --fit runs/street runs/street-open \\
        --out benchmarks/results/integer-rate.json

A fit keeps float parameters and rounds them in every step, so that the integers of a codec file are a
rounding of what its checkpoint holds. The float one is that network without any rounding: weights, biases,
activations, means, and scales between the rows of the table, under the continuous normal distribution
instead of a frequency table. Both see the same latents and the same side information, whose bits count in
both. Ideal bytes are what a perfect coder would spend, payload and file are real and decoded again.
The parameters were trained for the rounded network: a float one trained for itself may be a little better.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from data import splits
from torch import Tensor

from featcodec.codec.codec_file import CodecFile, network_of
from featcodec.codec.entropy import ideal_bits
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.transforms import IntegerHyperSynthesis, Prediction
from featcodec.evaluation.provenance import made
from featcodec.pictures.loading import load_image
from featcodec.plf.bitstream import parse
from featcodec.training.hyperprior import CodecModel, scale_of

COLUMNS = ("float_ideal", "integer_ideal", "integer_payload", "integer_file")


def read_fit(folder: Path, detector: Path | None) -> tuple[FeatureCodec, CodecModel]:
    """The codec of a fit, and the float model that it was exported from."""
    file = CodecFile.load(folder / "codec.safetensors")
    model = CodecModel(file.config.widths)
    model.load_state_dict(
        torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")["model"]
    )
    ours = [w.double() for part in model.h_s.integers() for w in part]
    if not all(map(torch.equal, ours, [w.double() for w in (*file.h_s_weights, *file.h_s_biases)])):
        raise SystemExit(f"{folder}: codec.safetensors does not come from checkpoint.pt")
    return FeatureCodec(file, network_of(file, detector)), model.double().eval()


def float_prediction(h_s: IntegerHyperSynthesis, z_hat: Tensor, height: int, width: int) -> Prediction:
    """`integer_hyper_synthesis` with nothing rounded: side information (B, N, h_z, w_z) to (B, M, h, w)."""
    x = z_hat
    for weight, bias in zip(h_s.weights[:2], h_s.biases[:2], strict=True):
        x = F.conv2d(F.interpolate(x, scale_factor=2), weight, bias, padding=1)
        x = x.clamp(0, h_s.LIMIT_ACTIVATION / h_s.UNIT_ACTIVATION)
    index, mean = F.conv2d(x[..., :height, :width], h_s.weights[2], h_s.biases[2]).chunk(2, 1)
    return Prediction((index * h_s.UNIT_ACTIVATION).clamp(0, h_s.SCALES - 1), mean)


@torch.no_grad()
def sizes(codec: FeatureCodec, model: CodecModel, path: Path, quality: float) -> list[float]:
    """Bytes of one picture, in the order of `COLUMNS`."""
    file = codec.file
    data = codec.encode(path, quality=quality)
    stream = parse(data)
    x, geometry = load_image(path, size=file.config.size, stride=file.config.stride)
    [(_, _, y)] = codec._latents([x])
    s = codec.decode_symbols(stream, geometry)
    rows = np.repeat(np.arange(len(s.z), dtype=np.int32), s.z[0].size)
    bits_z = ideal_bits(s.z.reshape(-1), rows, file.tables_z).sum()
    integer = ideal_bits(s.y.reshape(-1), s.index.reshape(-1), file.tables_y).sum()
    y_g = (y / file.inverse_gain(stream.header.quality_step)[:, None, None])[None].double()
    params = float_prediction(model.h_s, torch.from_numpy(s.z)[None].double(), *y.shape[-2:])
    _, p = model.prior_y(y_g, scale_of(params.index), means=params.mean, training=False)
    ideal = float(-p.log2().sum())
    return [(ideal + bits_z) / 8, (integer + bits_z) / 8, len(stream.payload), len(data)]


def measure(codec: FeatureCodec, model: CodecModel, paths: list[Path], qualities: list[float]) -> dict:  # type: ignore[type-arg]
    """Mean bytes at each quality, and by how many percent the integers exceed the float ideal."""
    rows = []
    for quality in qualities:
        mean = np.mean([sizes(codec, model, path, quality) for path in paths], 0)
        row = {"quality": quality, **{k: round(float(v), 1) for k, v in zip(COLUMNS, mean, strict=True)}}
        more = 100 * (mean / mean[0] - 1)
        rows.append(row | {"ideal_percent": round(more[1], 2), "payload_percent": round(more[2], 2)})
    return {"codec": codec.name, "set": "coco-val", "pictures": len(paths), "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/")
    parser.add_argument(
        "--fit", type=Path, nargs="+", required=True, help="folders with checkpoint.pt and codec.safetensors"
    )
    parser.add_argument("--detector", type=Path, help="detector.safetensors, for a codec file without it")
    parser.add_argument("--out", type=Path, required=True, help="json file to write")
    parser.add_argument("--pictures", type=int, help="as many of the set, evenly spaced; all unless given")
    parser.add_argument("--qualities", nargs="+", type=float, default=[1, 2, 3, 4, 5, 6, 7, 8])
    args = parser.parse_args()
    paths = [p.path for p in splits(args.shared)["coco-val"].pictures]
    if args.pictures:
        paths = paths[:: max(1, len(paths) // args.pictures)][: args.pictures]
    results = []
    for folder in args.fit:
        codec, model = read_fit(folder, args.detector)
        results.append(measure(codec, model, paths, args.qualities))
        print(json.dumps(results[-1]), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(
        json.dumps({"made": asdict(made(["python", *sys.argv], seeds={})), "results": results}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    main()
