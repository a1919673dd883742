"""What was rebuilt, measured: photograph by photograph, kept in the work folder once a point is finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from featcodec.attacks.measures import Closeness, closeness, interval, mean
from featcodec.attacks.observations import Observations, Seen
from featcodec.attacks.targets import window
from featcodec.console import Progress
from featcodec.evaluation.results import Attacked
from featcodec.files import make_folder, write_atomic

__all__ = ["Outcome", "Pixels", "mark_strongest", "measure", "pixels"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attacker reached at one point of one target.

    Attributes:
        row: the means, as the bench reports them.
        psnr: of each photograph, dB, in the order of the evaluation, of which they may be the first few.
        blind: mean PSNR of an attacker that knows each picture's mean colour and nothing else, dB.
        rebuilt: of the first photographs, (H, W, 3) at the canvas's resolution, without borders.
    """

    row: Attacked
    psnr: tuple[float, ...]
    blind: float
    rebuilt: tuple[Pixels, ...]


def measure(
    seen: Observations,
    point: float,
    run: Callable[[Seen], Tensor],
    *,
    target: str,
    attacker: str,
    budget: int,
    most: int | None,
    pictures: int,
    kept: Path,
) -> Outcome:
    """Rebuilds photographs and measures them, or reads what an earlier call has found.

    Args:
        seen: the evaluation.
        point: the observations of it that are attacked.
        run: makes a canvas (3, H, W) in [0, 1] of an observation.
        target, attacker, budget: for the row.
        most: how many photographs are attacked, the first; all if None.
        pictures: of how many what was rebuilt is kept.
        kept: the file for it, whose name stands for all of the above.
    """
    if not kept.exists():
        here = [i for i in range(len(seen)) if seen.point(i) == point][:most]
        found, sizes, rebuilt = [], [], {}
        with Progress(len(here)) as progress:
            for number, i in enumerate(here):
                progress.show(number, f"photographs of {target} at {point:g} rebuilt by {attacker}")
                one = seen[i]
                inside = window(one.geometry)
                picture = run(one)[inside]
                found.append(astuple(closeness(picture, one.picture[inside].float() / 255)))
                sizes.append(one.bytes)
                if number < pictures:
                    rebuilt[f"rebuilt {number}"] = torch.from_numpy(pixels(picture))
        tensors = {"closeness": torch.tensor(found, dtype=torch.float64), "bytes": torch.tensor(sizes)}
        make_folder(str(kept.parent), parents=True)
        write_atomic(kept, save(tensors | rebuilt))
    return _read(kept, target, point, attacker, budget)


def pixels(picture: Tensor) -> Pixels:
    """(3, H, W) in [0, 1] to (H, W, 3) of 8 bits."""
    found: Pixels = (picture * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return found


def _read(kept: Path, target: str, point: float, attacker: str, budget: int) -> Outcome:
    with safe_open(kept, "pt") as file:
        names = list(file.keys())
        table = [Closeness(*row) for row in file.get_tensor("closeness").tolist()]
        size = float(file.get_tensor("bytes").double().mean())
        rebuilt = tuple(file.get_tensor(n).numpy() for n in sorted(names) if n.startswith("rebuilt"))
    psnr = tuple(row.psnr for row in table)
    row = Attacked(
        target=target,
        point=point,
        bytes=size,
        attacker=attacker,
        budget=budget,
        pictures=len(table),
        psnr=mean(psnr),
        psnr_interval=interval(psnr),
        ms_ssim=mean([r.ms_ssim for r in table]),
        psnr_edges=mean([r.psnr_edges for r in table]),
        psnr_flat=mean([r.psnr_flat for r in table]),
        face_accuracy=None,
        face_tar=None,
        strongest=False,
    )
    return Outcome(row, psnr, mean([r.blind for r in table]), rebuilt)


def mark_strongest(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of one target and point, the one of greatest mean PSNR marked.

    An optimisation is measured on fewer photographs: it counts if it beats the best of the others on those.
    """
    if not outcomes:
        return []
    all_of_them = max(len(o.psnr) for o in outcomes)
    best = max((o for o in outcomes if len(o.psnr) == all_of_them), key=lambda o: mean(o.psnr))

    def ahead(o: Outcome) -> float:
        return mean(o.psnr) - mean(best.psnr[: len(o.psnr)])

    best = max([best, *outcomes], key=ahead)
    return [replace(o, row=replace(o.row, strongest=o is best)) for o in outcomes]
