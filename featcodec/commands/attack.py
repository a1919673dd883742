"""``featcodec attack``: what a thief of the files could rebuild of the pictures, and whom it could tell."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec.attacks import ATTACKERS, BUILT_IN, INFERRING, NARROW, ONLY_REBUILT
from featcodec.commands.options import (
    Subparsers,
    add_command,
    add_effort,
    add_json,
    add_network,
    codec_of,
    minutes,
    path,
    qualities,
)
from featcodec.commands.own_parts import OWN_HELP, is_own, own_attacker
from featcodec.console import aligned, positive, show, show_json, write_output
from featcodec.files import check_target, list_pictures, make_folder, printable

if TYPE_CHECKING:
    from featcodec.attacks.attack import AttackReport
    from featcodec.attacks.attacker import BuiltIn
    from featcodec.attacks.faces import Recognizer
    from featcodec.attacks.identity import FaceThief
    from featcodec.attacks.targets import CodecTarget
    from featcodec.evaluation.results import Identified, Made

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``attack`` to the command line."""
    command = add_command(
        subparsers,
        "attack",
        run,
        check=_check,
        help="what a thief of the files could rebuild of the pictures, and whom it could tell apart",
        description="Attacks codecs: networks trained from scratch rebuild pictures from latents, and a "
        "search looks for the picture with the codec's own weights; with --face-train, regressions and a "
        "small network infer whose face it is without any picture. The strongest attacker counts. It takes "
        "long, and goes on where it was interrupted. It needs the extra featcodec[bench].",
    )
    command.add_argument(
        "codecs", nargs="+", metavar="CODEC", help="name of an embedded codec or path of a codec file"
    )
    add_network(command)
    command.add_argument(
        "--train", default=[], action="append", type=path, metavar="FOLDER",
        help="photographs that the attackers train on; several times for several folders",
    )  # fmt: skip
    command.add_argument("--eval", type=path, metavar="FOLDER", help="other photographs, that are measured")
    command.add_argument(
        "--quality", type=qualities, default=(2.0, 4.0, 8.0), metavar="Q,Q", help="default: 2,4,8"
    )
    add_effort(command)
    command.add_argument(
        "--attackers", type=_attackers, metavar="A,A",
        help=f"default: {','.join(BUILT_IN)}, and with --face-train {','.join(INFERRING)}; the latter need "
        f"neither --train nor --eval. {','.join(NARROW)} is what --embed trains. {OWN_HELP}",
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
        "--face-train", type=path, metavar="FOLDER",
        help="portraits of other people, Name_0001.jpg, to learn to infer who somebody is; with --faces",
    )  # fmt: skip
    command.add_argument(
        "--face-detector", type=path, metavar="ONNX", help="YuNet, which finds them; with --face-train"
    )
    command.add_argument(
        "--work", type=path, default="featcodec-attack", metavar="FOLDER",
        help="what is collected and learned goes here, and is used again (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--gallery", type=path, metavar="OUT.png", help="draw what the strongest attackers rebuilt"
    )
    command.add_argument(
        "--embed", type=path, metavar="THIEF",
        help=f"also train a thief that is narrow enough to go with the codec ({','.join(NARROW)}), and write "
        "it for featcodec rebuild, with the figures of all attackers tried; of a single codec",
    )  # fmt: skip
    command.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s")
    add_json(command)


def _attackers(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not {name for name in names if not is_own(name)} <= {*ATTACKERS, *NARROW}:
        expected = ",".join((*NARROW, *ATTACKERS, "MODULE:CALLABLE"))
        raise argparse.ArgumentTypeError(f"got {text!r}, expected some of {expected}")
    return names


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.faces is None) != (arguments.face_model is None):
        arguments.refuse("arguments --faces and --face-model: got one of them, expected both or none")
    if (arguments.face_train is None) != (arguments.face_detector is None):
        arguments.refuse("arguments --face-train and --face-detector: got one of them, expected both or none")
    if arguments.face_train is not None and arguments.faces is None:
        arguments.refuse("argument --face-train: got it without --faces, expected both")
    if arguments.attackers is None:
        arguments.attackers = tuple(BUILT_IN if arguments.face_train is None else ATTACKERS)
    if arguments.face_train is None and (asked := set(arguments.attackers) & set(INFERRING)):
        arguments.refuse(f"argument --attackers: got {min(asked)} without --face-train, expected both")
    if arguments.embed is not None:
        if len(arguments.codecs) > 1:
            arguments.refuse("argument --embed: got several codecs, expected a single one")
        arguments.attackers = tuple(dict.fromkeys((*arguments.attackers, *NARROW)))
    rebuilding = [name for name in arguments.attackers if is_own(name) or name in {*BUILT_IN, *NARROW}]
    if rebuilding and not (arguments.train and arguments.eval):
        arguments.refuse(
            "arguments --train and --eval: got not both of them, expected folders of photographs"
        )
    if arguments.gallery is not None and not rebuilding:
        arguments.refuse(
            "argument --gallery: got it for attackers that rebuild no picture, expected one that does"
        )


def run(arguments: argparse.Namespace) -> int:
    """Attack codecs; show what was reached, the strongest attacker of each quality marked."""
    if arguments.gallery is not None:
        check_target(arguments.gallery)
    if arguments.embed is not None:
        check_target(arguments.embed)
    training = [Path(p) for folder in arguments.train for p, _ in list_pictures(folder)]
    evaluation = [Path(p) for p, _ in list_pictures(arguments.eval)] if arguments.eval else []
    make_folder(arguments.work)
    from featcodec.attacks.attack import AttackPlan, attack  # takes seconds
    from featcodec.attacks.inference import find_inferrers, split_names
    from featcodec.evaluation.datasets import spread

    training = spread(training, arguments.photographs)
    targets = _targets(arguments)
    work = Path(arguments.work)
    own = [own_attacker(name) for name in arguments.attackers if is_own(name)]
    rebuild, infer = split_names([name for name in arguments.attackers if not is_own(name)])
    attackers, notes = _attackers_asked(arguments, rebuild, targets, training, work)
    recognizer, face_thief = _faces_asked(arguments, work)
    report = attack(
        targets,
        training=training,
        evaluation=evaluation,
        work=work,
        plan=AttackPlan((*attackers, *own), find_inferrers(infer, seed=arguments.seed)),
        verify=recognizer,
        face_thief=face_thief,
    )
    if recognizer and not infer:
        notes.append(ONLY_REBUILT)
    from featcodec.evaluation.provenance import origin_notes

    notes = list(dict.fromkeys([*notes, *origin_notes(report.origins)]))
    if arguments.gallery is not None:
        write_output(arguments.gallery, _gallery(report, evaluation))
    if arguments.embed is not None:
        embed = next(one for one in attackers if one.name in NARROW)
        notes.append(_embedded(arguments, embed, targets[0], report, training, recognizer))
    if arguments.json:
        show_json([_as_json(arguments, report, notes)])
    else:
        _show(report)
        for note in notes:
            show(note)
    return 0


def _targets(arguments: argparse.Namespace) -> list[CodecTarget]:
    from featcodec.attacks.targets import CodecTarget

    brought = {"network": arguments.network, "weights": arguments.weights}
    return [
        CodecTarget(codec_of(name, **brought), arguments.quality, arguments.effort)
        for name in arguments.codecs
    ]


def _faces_asked(arguments: argparse.Namespace, work: Path) -> tuple[Recognizer | None, FaceThief | None]:
    """Who recognises, and what thieves that infer learn from, where they are asked for."""
    if arguments.faces is None:
        return None, None
    from featcodec.attacks.faces import Recognizer
    from featcodec.attacks.identity import FaceThief
    from featcodec.attacks.portraits import Portraits

    recognizer = Recognizer.of(arguments.faces, arguments.face_model, seed=arguments.seed)
    if arguments.face_train is None:
        return recognizer, None
    portraits = Portraits.read(arguments.face_train, arguments.face_detector, recognizer, work=work)
    return recognizer, FaceThief(recognizer, portraits)


def _attackers_asked(
    arguments: argparse.Namespace,
    names: Sequence[str],
    targets: Sequence[CodecTarget],
    training: Sequence[Path],
    work: Path,
) -> tuple[tuple[BuiltIn, ...], list[str]]:
    """The attackers, and notes on their budgets; minutes are measured on the first codec."""
    from featcodec.attacks.attacker import find_attackers
    from featcodec.attacks.observations import collect

    attackers = find_attackers(names, steps=arguments.steps, seed=arguments.seed)
    if arguments.minutes is None or not attackers:
        return attackers, []
    seen = collect(targets[0], training, work=work, training=True)
    timed = [one.within(arguments.minutes, seen, kept=work / "steps") for one in attackers]
    return tuple(one for one, _ in timed), [note for _, note in timed if note]


def _embedded(
    arguments: argparse.Namespace,
    attacker: BuiltIn,
    target: CodecTarget,
    report: AttackReport,
    training: Sequence[Path],
    recognizer: Recognizer | None,
) -> str:
    """Writes the thief file, and what is to be said of it."""
    from featcodec.attacks.network_attacker import NetworkAttacker
    from featcodec.attacks.thief_making import make_thief

    assert isinstance(attacker, NetworkAttacker)
    work, how = Path(arguments.work), _made(arguments, report)
    thief = make_thief(
        attacker, target, report, training=training, work=work, made=how, recognizer=recognizer
    )
    data = thief.to_bytes()
    write_output(arguments.embed, data)
    return f"{printable(arguments.embed)}: a thief of {thief.weights:,} weights, {len(data):,} bytes"


def _made(arguments: argparse.Namespace, report: AttackReport) -> Made:
    from featcodec.attacks.attack import MEASURES
    from featcodec.evaluation.provenance import made

    seeds = {"attackers": arguments.seed}
    return made(arguments.typed, seeds=seeds, measures=MEASURES, kept=report.origins)


def _as_json(arguments: argparse.Namespace, report: AttackReport, notes: Sequence[str]) -> dict[str, object]:
    """What ``attack --json`` shows; names and units here are an interface."""
    rows = [asdict(o.row) | {"blind_psnr": o.blind} for o in report.outcomes]
    return {
        "made": asdict(_made(arguments, report)),
        "attacks": rows,
        "identified": [asdict(row) for row in report.identified],
        "curves": [asdict(curve) for curve in report.curves],
        "notes": list(notes),
    }


def _show(report: AttackReport) -> None:
    if report.outcomes:
        _show_rebuilt(report)
    if report.identified:
        _show_identified(report.identified)


def _show_identified(rows: Sequence[Identified]) -> None:
    titles = ("target", "quality", "bytes", "thief", "", "file and photograph, %", "95 %", "TAR, %")
    table: list[tuple[str, ...]] = [(*titles, "two files, %", "95 %", "TAR, %", "")]
    for r in rows:
        one, two = (f"{low:.1f} to {high:.1f}" for low, high in (r.photograph_interval, r.file_interval))
        table.append(
            (printable(r.target), f"{r.point:g}", f"{r.bytes:,.0f}", r.attacker, r.way,
             f"{r.photograph_accuracy:.1f}", one, f"{r.photograph_tar:.1f}",
             f"{r.file_accuracy:.1f}", two, f"{r.file_tar:.1f}", "strongest" if r.strongest else "")
        )  # fmt: skip
    show("pairs of photographs told apart, as of one person or of two:")
    for line in aligned(table, "<" * len(table[0])):
        show(line)


def _show_rebuilt(report: AttackReport) -> None:
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
