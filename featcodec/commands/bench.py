"""The ``featcodec-bench`` command."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from featcodec import __version__
from featcodec.attacks import ATTACKERS, BUILT_IN, INFERRING
from featcodec.commands.options import add_effort
from featcodec.commands.own_parts import OWN_HELP, is_own, own_anchor, own_attacker
from featcodec.console import Parser, complain, note, positive, run_command, show
from featcodec.errors import InputError
from featcodec.files import check_target, write_atomic

if TYPE_CHECKING:
    from featcodec.bench.attacking import Attacking
    from featcodec.bench.compare import Compared, Comparison

__all__ = ["main"]

_ABOUT = """\
Compares codecs with coding the raw features and with sending the picture: bytes of real files that
were decoded again, accuracy, Bjøntegaard deltas with bootstrap intervals, times. Without data it runs a
demo on the photographs inside scikit-image. A run that was stopped goes on when it is started again with
the same --work folder.
"""
_EXAMPLES = """\
examples:
  featcodec-bench
  featcodec-bench yolox-nano-private --data val.json --images val/ --calibrate train/ --html page.html
  featcodec-bench --network yolov5s.safetensors --size 448 --data val.json --images val/ --calibrate train/ \\
      --anchors raw-vvc,raw-hevc,image-vvc,image-jpeg --plot rd.png
"""
PICTURE_POINTS = (36.0, 40.0, 44.0)  # of image-vvc, where its files are about as small as a codec's
_DEMO_ANCHORS = ("raw-vvc", "raw-zstd", "bottleneck-vvc", "image-vvc", "image-jpeg", "image-webp")


def main(argv: list[str] | None = None) -> int:
    """Run the ``featcodec-bench`` command.

    Args:
        argv: arguments after the program name; those of the process if omitted.

    Returns:
        The exit code.

    Raises:
        SystemExit: as `argparse` does, after ``--help``, ``--version`` and wrong command lines.

    Example:
        >>> main(["no-such-codec", "--images", "photos"])
        1
    """
    arguments = _parser().parse_args(argv)
    typed = ["featcodec-bench", *(sys.argv[1:] if argv is None else argv)]
    return run_command("featcodec-bench", lambda: _run(arguments, typed))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="featcodec-bench",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = f"featcodec-bench {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    parser.add_argument(
        "codecs",
        nargs="*",
        metavar="CODEC",
        help="name of an embedded codec or path of a codec file; all embedded ones unless --network is given",
    )
    _add_data(parser.add_argument_group("data"))
    _add_network(parser.add_argument_group("network and entries"))
    _add_attacks(parser.add_argument_group("attacks on privacy, which take an hour or more"))
    _add_run(parser.add_argument_group("run"))
    _add_output(parser.add_argument_group("output, beside the table"))
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--data", type=Path, metavar="JSON", help="boxes: a COCO json; needs --images")
    group.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="photographs; without --data the uncoded network's own detections are the reference",
    )
    group.add_argument("--data-name", default="", metavar="TEXT", help="what results call the data")
    group.add_argument(
        "--calibrate",
        type=Path,
        metavar="FOLDER",
        help="photographs that are not evaluated, to measure the value ranges of raw-* and bottleneck-* on",
    )


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--network",
        metavar="MODEL",
        help="the network, where no codec file brings it, as for featcodec layers: yolov5s.pt, "
        "torchvision:resnet18. Without boxes that are known, its outputs are compared with the uncoded ones",
    )
    group.add_argument("--weights", type=Path, metavar="FILE", help="weights of that network, by name")
    group.add_argument(
        "--at",
        metavar="LAYER",
        help="cut after it, where no codec says it (default: 4 of a YOLOv5, dark3 of a YOLOX)",
    )
    group.add_argument(
        "--size",
        type=positive,
        default=448,
        metavar="PX",
        help="longest side (default: 448), where no codec says it",
    )
    group.add_argument(
        "--anchors",
        type=_names,
        default=_DEMO_ANCHORS,
        metavar="A,B",
        help=f"what to compare with; 'none' for nothing (default: {','.join(_DEMO_ANCHORS)}). {OWN_HELP}",
    )
    group.add_argument(
        "--qualities", type=_numbers, default=(), metavar="Q,Q", help="of the codecs (default: 1 to 8)"
    )
    add_effort(group)
    group.add_argument(
        "--against",
        type=_names,
        default=("raw-vvc", "image-vvc", "image-jpeg"),
        metavar="A,B",
        help="entries that the BD-rates are against (default: raw-vvc,image-vvc,image-jpeg)",
    )


def _add_attacks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--attack",
        action="append",
        type=Path,
        metavar="FOLDER",
        help="attack, training on these photographs, none of which is evaluated; several times for several",
    )
    group.add_argument(
        "--attack-qualities",
        type=_numbers,
        default=(1.0, 2.0, 4.0, 8.0),
        metavar="Q,Q",
        help="of the codecs that are attacked (default: 1,2,4,8)",
    )
    group.add_argument(
        "--attackers",
        type=_names,
        default=(),
        metavar="A,B",
        help=f"default: {','.join(BUILT_IN)}, and with --face-train {','.join(INFERRING)}. {OWN_HELP}",
    )
    group.add_argument(
        "--attack-codecs-only",
        action="store_true",
        help="not the uncoded features and image-vvc, which they are compared with",
    )
    group.add_argument(
        "--attack-photographs", type=positive, default=2000, metavar="N", help="to train on (default: 2000)"
    )
    group.add_argument(
        "--attack-steps", type=positive, metavar="N", help="of each training; white-box keeps its own"
    )
    group.add_argument("--faces", type=Path, metavar="FOLDER", help="LFW pairs: recognise what was rebuilt")
    group.add_argument("--face-model", type=Path, metavar="ONNX", help="the network that recognises")
    group.add_argument(
        "--face-train",
        type=Path,
        metavar="FOLDER",
        help="portraits of other people, to infer from the files who somebody is",
    )
    group.add_argument("--face-detector", type=Path, metavar="ONNX", help="YuNet, which finds them")


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--work",
        type=Path,
        default=Path("featcodec-bench.work"),
        metavar="FOLDER",
        help="keeps what is finished (default: featcodec-bench.work)",
    )
    cores = os.cpu_count() or 1
    group.add_argument(
        "--workers", type=positive, default=cores, metavar="N", help="processes; default: cores"
    )
    group.add_argument(
        "--bootstrap", type=positive, default=500, metavar="N", help="resamples for intervals (default: 500)"
    )
    group.add_argument("--seed", type=int, default=1, metavar="N", help="of everything random (default: 1)")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", type=Path, metavar="FILE", help="the result as data")
    group.add_argument("--html", type=Path, metavar="FILE", help="one page with plots and pictures")
    group.add_argument("--plot", type=Path, metavar="FILE", help="bytes against accuracy, as .png or .svg")


def _run(arguments: argparse.Namespace, typed: list[str]) -> int:
    """Compare, show the table, write what was asked for."""
    for path in (arguments.json, arguments.html, arguments.plot):
        if path is not None:
            check_target(path)  # before an hour's work, not after
    from featcodec.bench.compare import compare  # takes seconds
    from featcodec.bench.table import to_text
    from featcodec.evaluation.results import to_json

    if arguments.plot is not None:
        from featcodec.bench.plots import form_of

        form_of(str(arguments.plot))
    run = compare(_settings(arguments), typed, say=_say, warn=_warn)
    if arguments.json is not None:
        write_atomic(arguments.json, to_json(run.result).encode())
    _write_pictures(arguments, run)
    show(to_text(run.result))
    for line in run.failures:
        complain("featcodec-bench", line)
    return 1 if run.failures else 0


def _write_pictures(arguments: argparse.Namespace, run: Compared) -> None:
    if arguments.plot is not None:
        from featcodec.bench.plots import draw, form_of, panels

        path = str(arguments.plot)
        write_atomic(path, draw(run.result, panels(run.result), form_of(path)))
    if arguments.html is not None:
        from featcodec.bench.html import to_html
        from featcodec.bench.showcase import showcase

        write_atomic(arguments.html, to_html(run.result, showcase(run)).encode())


def _settings(arguments: argparse.Namespace) -> Comparison:
    from featcodec import zoo
    from featcodec.bench.compare import Comparison

    codecs = tuple(arguments.codecs)
    if not codecs and arguments.network is None:
        codecs = zoo.names(whole=True)
    return Comparison(
        codecs=codecs,
        network=arguments.network,
        weights=arguments.weights,
        at=arguments.at,
        size=arguments.size,
        annotations=arguments.data,
        images=arguments.images,
        anchors=tuple(own_anchor(name) if is_own(name) else name for name in arguments.anchors),
        calibrate=arguments.calibrate,
        qualities=arguments.qualities,
        effort=arguments.effort,
        against=arguments.against,
        work=arguments.work,
        workers=arguments.workers,
        resamples=arguments.bootstrap,
        seed=arguments.seed,
        attacking=_attacking(arguments),
        data_name=arguments.data_name,
    )


def _attacking(arguments: argparse.Namespace) -> Attacking | None:
    if arguments.attack is None:
        if arguments.faces is not None or arguments.face_model is not None:
            raise InputError("faces: got them without an attack, expected --attack FOLDER")
        return None
    from featcodec.bench.attacking import Attacking

    if (arguments.faces is None) != (arguments.face_model is None):
        raise InputError("faces: got one of --faces and --face-model, expected both or none")
    infers = arguments.face_train is not None
    if infers != (arguments.face_detector is not None) or (infers and arguments.faces is None):
        given = "got one of --face-train and --face-detector, or both without --faces"
        raise InputError(f"faces: {given}; expected all of them or none")
    if not infers and (asked := set(arguments.attackers) & set(INFERRING)):
        raise InputError(f"attackers: got {min(asked)} without --face-train, expected both")
    return Attacking(
        training=tuple(arguments.attack),
        qualities=arguments.attack_qualities,
        effort=arguments.effort,
        picture_points=PICTURE_POINTS,
        codecs_only=arguments.attack_codecs_only,
        attackers=tuple(own_attacker(name) if is_own(name) else name for name in arguments.attackers)
        or tuple(ATTACKERS if infers else BUILT_IN),
        photographs=arguments.attack_photographs,
        steps=arguments.attack_steps or 0,
        seed=arguments.seed,
        faces=arguments.faces,
        face_model=arguments.face_model,
        portraits=arguments.face_train,
        face_detector=arguments.face_detector,
    )


def _say(line: str) -> None:
    """What is being done, for whoever watches, or reads the log."""
    note("featcodec-bench", line)


def _warn(line: str) -> None:
    complain("featcodec-bench", f"note: {line}")


def _names(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(sorted({float(number) for number in text.split(",")}))


_numbers.__name__ = "list of numbers"


if __name__ == "__main__":
    sys.exit(main())
