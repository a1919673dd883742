"""What ``featcodec attack`` does: from parsed arguments to a table."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.console import show, show_json, write_output
from featcodec.evaluation.datasets import spread
from featcodec.files import check_target, list_pictures, make_folder, printable

if TYPE_CHECKING:
    from featcodec.attacks.attack import Plan, Report
    from featcodec.attacks.targets import CodecTarget

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Attack codecs; show what was reached, the strongest attacker of each quality marked."""
    if arguments.gallery is not None:
        check_target(arguments.gallery)
    training = [Path(p) for folder in arguments.train for p, _ in list_pictures(folder)]
    training = spread(training, arguments.photographs)
    evaluation = [Path(p) for p, _ in list_pictures(arguments.eval)]
    make_folder(arguments.work)
    from featcodec.attacks.attack import attack  # takes seconds
    from featcodec.attacks.targets import CodecTarget
    from featcodec.commands.codec_commands import load_codec

    brought = {"network": arguments.network, "weights": arguments.weights}
    targets = [CodecTarget(load_codec(name, **brought), arguments.quality) for name in arguments.codecs]
    plan = _plan(arguments)
    work = Path(arguments.work)
    notes: list[str] = []
    if arguments.minutes is not None:
        plan, notes = _within(plan, arguments.minutes, targets, training, work)
    recognizer = None
    if arguments.faces is not None:
        from featcodec.attacks.faces import Recognizer

        recognizer = Recognizer.of(arguments.faces, arguments.face_model, seed=arguments.seed)
    report = attack(
        targets, training=training, evaluation=evaluation, work=work, plan=plan, verify=recognizer
    )
    from featcodec.evaluation.provenance import origin_notes

    notes += origin_notes(report.origins)
    if arguments.gallery is not None:
        write_output(arguments.gallery, _gallery(report, evaluation))
    if arguments.json:
        show_json([_as_json(report, notes)])
    else:
        _show(report)
        for note in notes:
            show(note)
    return 0


def _plan(arguments: argparse.Namespace) -> Plan:
    from featcodec.attacks.attack import Plan
    from featcodec.attacks.training import Recipe

    plan = Plan(attackers=arguments.attackers)

    def asked(recipe: Recipe) -> Recipe:
        return replace(recipe, seed=arguments.seed, steps=arguments.steps or recipe.steps)

    return replace(plan, invnet=asked(plan.invnet), unet=asked(plan.unet))


def _within(
    plan: Plan, minutes: float, targets: Sequence[CodecTarget], training: Sequence[Path], work: Path
) -> tuple[Plan, list[str]]:
    """The plan with as many steps as each training does in so many minutes, measured on the first codec.

    With a note where that was measured elsewhere, and kept.
    """
    from featcodec.attacks.attackers import KINDS
    from featcodec.attacks.observations import collect
    from featcodec.attacks.training import steps_within
    from featcodec.evaluation.provenance import origin

    notes = []
    seen = collect(targets[0], training, work=work, training=True)
    for kind in [k for k in KINDS if k in plan.attackers]:
        budget = steps_within(minutes, kind, seen, getattr(plan, kind), kept=work / "steps")
        if (machine := budget.origin.machine) != origin().machine:
            notes.append(f"{minutes:g} minutes of {kind} are {budget.steps:,} steps, as on {machine}.")
        recipe = replace(getattr(plan, kind), steps=budget.steps)
        plan = replace(plan, invnet=recipe) if kind == "invnet" else replace(plan, unet=recipe)
    return plan, notes


def _as_json(report: Report, notes: Sequence[str]) -> dict[str, object]:
    """What ``attack --json`` shows; names and units here are an interface."""
    rows = [asdict(o.row) | {"blind_psnr": o.blind} for o in report.outcomes]
    return {"attacks": rows, "curves": [asdict(curve) for curve in report.curves], "notes": list(notes)}


def _show(report: Report) -> None:
    titles = ("target", "quality", "bytes", "attacker", "steps", "pictures", "PSNR, dB", "95 %", "MS-SSIM")
    table: list[tuple[str, ...]] = [(*titles, "near edges", "elsewhere", "faces, %", "TAR, %", "")]
    for o in report.outcomes:
        r = o.row
        low, high = r.psnr_interval
        numbers = (f"{r.psnr:.2f}", f"{low:.2f} to {high:.2f}", f"{r.ms_ssim:.3f}")
        near = (f"{r.psnr_edges:.2f}", f"{r.psnr_flat:.2f}")
        faces = tuple("" if v is None else f"{v:.1f}" for v in (r.face_accuracy, r.face_tar))
        what = (printable(r.target), f"{r.point:g}", f"{r.bytes:,.0f}", r.attacker, f"{r.budget}")
        counts = "strongest" if r.strongest else ""
        table.append((*what, f"{r.pictures}", *numbers, *near, *faces, counts))
    widths = [max(len(row[c]) for row in table) for c in range(len(table[0]))]
    for row in table:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    show(f"a blind attacker, who knows each picture's mean colour: {report.outcomes[0].blind:.2f} dB")
    for curve in report.curves:
        read = ", ".join(f"{step}: {psnr:.2f}" for step, psnr in curve.readings)
        show(f"learning of {curve.attacker} on {printable(curve.target)}, dB after steps, held out: {read}")


def _gallery(report: Report, evaluation: Sequence[Path]) -> bytes:
    """The photographs, and what the strongest attacker made of each target and quality."""
    import numpy as np

    from featcodec.attacks.gallery import sheet
    from featcodec.pictures.loading import open_picture

    best = [o for o in report.outcomes if o.row.strongest]
    count = max(len(outcome.rebuilt) for outcome in best)
    photographs = [np.asarray(open_picture(path)) for path in evaluation[:count]]
    rows = [("photographs", photographs)]
    for o in best:
        r = o.row
        rows.append((f"{r.target}, quality {r.point:g}: {r.attacker}, {r.psnr:.1f} dB", list(o.rebuilt)))
    buffer = io.BytesIO()
    sheet(rows).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
