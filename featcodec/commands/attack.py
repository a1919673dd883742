"""``featcodec attack``: what a thief of the files could rebuild of the pictures."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.attacks import BUILT_IN
from featcodec.commands.options import (
    Subparsers,
    add_command,
    add_json,
    add_network,
    codec_of,
    minutes,
    path,
    qualities,
)
from featcodec.console import aligned, positive, show, show_json, write_output
from featcodec.files import check_target, list_pictures, make_folder, printable

if TYPE_CHECKING:
    from featcodec.attacks.attack import AttackReport
    from featcodec.attacks.attacker import BuiltIn
    from featcodec.attacks.targets import CodecTarget

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``attack`` to the command line."""
    command = add_command(
        subparsers,
        "attack",
        run,
        check=_check,
        help="what a thief of the files could rebuild of the pictures",
        description="Attacks codecs: networks trained from scratch rebuild pictures from latents, and a "
        "search looks for the picture with the codec's own weights. The strongest attacker counts. It takes "
        "long, and goes on where it was interrupted. It needs the extra featcodec[bench].",
    )
    command.add_argument(
        "codecs", nargs="+", metavar="CODEC", help="name of an embedded codec or path of a codec file"
    )
    add_network(command)
    command.add_argument(
        "--train", required=True, action="append", type=path, metavar="FOLDER",
        help="photographs that the attackers train on; several times for several folders",
    )  # fmt: skip
    command.add_argument(
        "--eval", required=True, type=path, metavar="FOLDER", help="other photographs, that are measured"
    )
    command.add_argument(
        "--quality", type=qualities, default=(2.0, 4.0, 8.0), metavar="Q,Q", help="default: 2,4,8"
    )
    command.add_argument(
        "--attackers", type=_attackers, default=tuple(BUILT_IN), metavar="A,A",
        help=f"default: {','.join(BUILT_IN)}",
    )  # fmt: skip
    command.add_argument(
        "--photographs", type=positive, default=2000, metavar="N",
        help="train on so many of them at most (default: %(default)s)",
    )  # fmt: skip
    budget = command.add_mutually_exclusive_group()
    budget.add_argument(
        "--steps", type=positive, metavar="N",
        help="of each training; white-box trains nothing and keeps its own 200 steps a picture (to leave it "
        "out: --attackers)",
    )  # fmt: skip
    budget.add_argument("--minutes", type=minutes, metavar="M", help="of each training, on the clock, about")
    command.add_argument(
        "--faces",
        type=path,
        metavar="FOLDER",
        help="LFW pairs, to recognise faces; with --face-model",
    )
    command.add_argument(
        "--face-model", type=path, metavar="ONNX", help="the network that recognises; with --faces"
    )
    command.add_argument(
        "--work", type=path, default="featcodec-attack", metavar="FOLDER",
        help="what is collected and learned goes here, and is used again (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--gallery", type=path, metavar="OUT.png", help="draw what the strongest attackers rebuilt"
    )
    command.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    add_json(command)


def _attackers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(BUILT_IN):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected some of {','.join(BUILT_IN)}")
    return names


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.faces is None) != (arguments.face_model is None):
        arguments.refuse("arguments --faces and --face-model: got one of them, expected both or none")


def run(arguments: argparse.Namespace) -> int:
    """Attack codecs; show what was reached, the strongest attacker of each quality marked."""
    if arguments.gallery is not None:
        check_target(arguments.gallery)
    training = [Path(p) for folder in arguments.train for p, _ in list_pictures(folder)]
    evaluation = [Path(p) for p, _ in list_pictures(arguments.eval)]
    make_folder(arguments.work)
    from featcodec.attacks.attack import AttackPlan, attack  # takes seconds
    from featcodec.attacks.targets import CodecTarget
    from featcodec.evaluation.datasets import spread

    training = spread(training, arguments.photographs)
    brought = {"network": arguments.network, "weights": arguments.weights}
    targets = [CodecTarget(codec_of(name, **brought), arguments.quality) for name in arguments.codecs]
    work = Path(arguments.work)
    attackers, notes = _attackers_asked(arguments, targets, training, work)
    recognizer = None
    if arguments.faces is not None:
        from featcodec.attacks.faces import Recognizer

        recognizer = Recognizer.of(arguments.faces, arguments.face_model, seed=arguments.seed)
    report = attack(
        targets,
        training=training,
        evaluation=evaluation,
        work=work,
        plan=AttackPlan(attackers),
        verify=recognizer,
    )
    from featcodec.evaluation.provenance import origin_notes

    notes = list(dict.fromkeys([*notes, *origin_notes(report.origins)]))
    if arguments.gallery is not None:
        write_output(arguments.gallery, _gallery(report, evaluation))
    if arguments.json:
        show_json([_as_json(report, notes)])
    else:
        _show(report)
        for note in notes:
            show(note)
    return 0


def _attackers_asked(
    arguments: argparse.Namespace, targets: Sequence[CodecTarget], training: Sequence[Path], work: Path
) -> tuple[tuple[BuiltIn, ...], list[str]]:
    """The attackers, and notes on their budgets; minutes are measured on the first codec."""
    from featcodec.attacks.attacker import find_attackers
    from featcodec.attacks.observations import collect

    attackers = find_attackers(arguments.attackers, steps=arguments.steps, seed=arguments.seed)
    if arguments.minutes is None:
        return attackers, []
    seen = collect(targets[0], training, work=work, training=True)
    timed = [one.within(arguments.minutes, seen, kept=work / "steps") for one in attackers]
    return tuple(one for one, _ in timed), [note for _, note in timed if note]


def _as_json(report: AttackReport, notes: Sequence[str]) -> dict[str, object]:
    """What ``attack --json`` shows; names and units here are an interface."""
    rows = [asdict(o.row) | {"blind_psnr": o.blind} for o in report.outcomes]
    return {"attacks": rows, "curves": [asdict(curve) for curve in report.curves], "notes": list(notes)}


def _show(report: AttackReport) -> None:
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
    for line in aligned(table, "<" * len(table[0])):
        show(line)
    show(f"a blind attacker, which knows each picture's mean colour: {report.outcomes[0].blind:.2f} dB")
    for curve in report.curves:
        read = ", ".join(f"{step}: {psnr:.2f}" for step, psnr in curve.readings)
        show(f"learning of {curve.attacker} on {printable(curve.target)}, dB after steps, held out: {read}")


def _gallery(report: AttackReport, evaluation: Sequence[Path]) -> bytes:
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
