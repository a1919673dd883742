"""What was rebuilt, measured: photograph by photograph, kept in the work folder once a point is finished."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from featcodec.attacks.faces import Verification
from featcodec.attacks.observations import Observations, Seen, ours
from featcodec.attacks.targets import window
from featcodec.console import Progress
from featcodec.errors import InputError
from featcodec.evaluation.closeness import Closeness, closeness
from featcodec.evaluation.means import mean, mean_interval
from featcodec.evaluation.plain_json import from_plain, to_plain
from featcodec.evaluation.provenance import origin
from featcodec.evaluation.results import Attacked, Origin
from featcodec.files import make_folder, write_atomic
from featcodec.pictures.pixels import Pixels, pixels, unit_floats

__all__ = ["Outcome", "mark_strongest", "measure"]

COLUMNS = ("bytes", *(f.name for f in fields(Closeness)))  # one tensor (N,) each
REBUILT = "rebuilt "  # and a number, from 0: pictures (H, W, 3)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attacker reached at one point of one target.

    Attributes:
        row: the means, as the bench reports them.
        psnr: of each photograph, dB, in the order of the evaluation, of which they may be the first few.
        blind: mean PSNR of an attacker that knows each picture's mean colour and nothing else, dB.
        rebuilt: of the first photographs, (H, W, 3) at the canvas's resolution, without borders.
        origins: code and machine of what led to it, as far as it is kept: attacker and measuring.
        faces: whom a recogniser tells apart on what was rebuilt; None unless it was asked.
    """

    row: Attacked
    psnr: tuple[float, ...]
    blind: float
    rebuilt: tuple[Pixels, ...]
    origins: tuple[Origin, ...] = ()
    faces: Verification | None = None


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
        kept: the file for it, whose name stands for all of the above and for the versions of the measures.

    Raises:
        InputError: the file has other columns than ours, or is damaged.
    """
    if not kept.exists():
        here = [i for i in range(len(seen)) if seen.point(i) == point][:most]
        rows: list[dict[str, float]] = []
        rebuilt = {}
        with Progress(len(here)) as progress:
            for number, i in enumerate(here):
                progress.show(number, f"photographs of {target} at {point:g} rebuilt by {attacker}")
                one = seen[i]
                inside = window(one.geometry)
                picture = run(one)[inside]
                found = closeness(picture, unit_floats(one.picture[inside]))
                rows.append({"bytes": one.bytes, **to_plain(found, {})})
                if number < pictures:
                    rebuilt[f"{REBUILT}{number}"] = torch.from_numpy(pixels(picture))
        columns = {n: torch.tensor([row[n] for row in rows], dtype=torch.float64) for n in COLUMNS}
        make_folder(str(kept.parent), parents=True)
        write_atomic(kept, save(columns | rebuilt, {"origin": json.dumps(to_plain(origin(), {}))}))
    return _read(kept, target, point, attacker, budget)


def _read(kept: Path, target: str, point: float, attacker: str, budget: int) -> Outcome:
    with ours(kept):
        columns, rebuilt, by = _columns(kept)
    psnr = tuple(columns["psnr"])
    row = Attacked(
        target=target,
        point=point,
        bytes=mean(columns["bytes"]),
        attacker=attacker,
        budget=budget,
        pictures=len(psnr),
        psnr=mean(psnr),
        psnr_interval=mean_interval(psnr),
        ms_ssim=mean(columns["ms_ssim"]),
        psnr_edges=mean(columns["psnr_edges"]),
        psnr_flat=mean(columns["psnr_flat"]),
        face_accuracy=None,
        face_tar=None,
        strongest=False,
    )
    return Outcome(row, psnr, mean(columns["blind"]), rebuilt, (by,))


def _columns(kept: Path) -> tuple[dict[str, list[float]], tuple[Pixels, ...], Origin]:
    """The figures by name, one a photograph; what was rebuilt; and the origin."""
    with safe_open(kept, "pt") as file:
        names = set(file.keys())
        pictures = [f"{REBUILT}{i}" for i in range(len(names - set(COLUMNS)))]
        if names != {*COLUMNS, *pictures}:
            got = ", ".join(sorted(n for n in names if not n.startswith(REBUILT)))
            raise InputError(f"got {got}, expected {', '.join(COLUMNS)}")
        columns = {name: file.get_tensor(name) for name in COLUMNS}
        rebuilt = tuple(file.get_tensor(name).numpy() for name in pictures)
        by = from_plain(Origin, json.loads(file.metadata()["origin"]))
    shapes = {tuple(column.shape) for column in columns.values()}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1 or any(p.ndim != 3 for p in rebuilt):
        raise InputError(f"got columns of {sorted(shapes)}, expected all of one length")
    return {name: column.tolist() for name, column in columns.items()}, rebuilt, by


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
