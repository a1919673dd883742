"""What an erasure takes out: of the picture, as a linear attacker sees it, and of the task's energy.

    python benchmarks/erasure.py --shared ../shared --counts 0 3 6 12 24

of YOLOX-nano after its stage dark3, on 192 training crops; the shares are of the features before a codec.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from featcodec.fitting.data import batches, data_set
from featcodec.fitting.start import find_statistics
from featcodec.fitting.tasks import find_task
from featcodec.networks.by_name import network_by_name
from featcodec.networks.families import NetworkWish, cut_network, describe
from featcodec.pictures.pixels import unit_floats
from featcodec.training.erasure import erase
from featcodec.training.regression import ridge_weights

SIDE, BATCH, PICTURES = 256, 8, 192
RIDGE = 1e-6  # of the mean variance of the regressors


def explained(blocks: Tensor, targets: Tensor) -> float:
    """Share of the variance of targets (N, T) that linear regression from blocks (N, R) explains."""
    solved = ridge_weights(blocks.T @ blocks, blocks.T @ targets, RIDGE)
    return 1 - float((blocks @ solved - targets).square().sum() / targets.square().sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and weights/")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 3, 6, 12, 24])
    args = parser.parse_args()
    network = network_by_name(str(args.shared / "weights/yolox-nano-416.onnx"))
    cut = cut_network(network, describe(network, NetworkWish("dark3", "yolox-nano")), size=416)
    samples = data_set(args.shared / "data/coco/train", side=SIDE, seed=1, size=416, hold_out=10)
    x = torch.cat([unit_floats(b) for b, _ in islice(batches(samples, BATCH)(0), PICTURES // BATCH)])
    with torch.no_grad():
        f = torch.cat([cut.head(part)[0] for part in x.split(BATCH)])
    task = find_task(cut, "outputs", f[:2], feature_weight=0.1)
    found = find_statistics(
        task, f, pixels=SIDE**2, feature_weight=0.1, seed=1, kept=None, identity="erasure"
    )
    blocks = F.pixel_unshuffle(f - found.mean.view(-1, 1, 1), 2).transpose(0, 1).flatten(1).double()
    small = F.pixel_unshuffle(F.avg_pool2d(x, 4), 4).transpose(0, 1).flatten(1).double()
    small = small - small.mean(1, keepdim=True)
    whole = torch.trace(found.metric @ found.covariance)
    for count in args.counts:
        _, keep = erase(found, f, x, count)
        gone = torch.eye(len(keep)).double() - keep
        lost = torch.trace(found.metric @ gone @ found.covariance @ gone.T) / whole
        share = explained((keep @ blocks).T, small.T)
        print(json.dumps({"erased": count, "explained": round(share, 3), "task": round(float(lost), 4)}))


if __name__ == "__main__":
    main()
