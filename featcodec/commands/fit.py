"""``featcodec fit``: from parsed arguments to a codec file."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featcodec.commands.options import MODEL, Subparsers, add_command, minutes, path, steps, weight
from featcodec.console import positive, show
from featcodec.errors import InputError
from featcodec.files import check_target, list_pictures, make_folder, printable, write_atomic

if TYPE_CHECKING:
    from featcodec.codec.feature_codec import FeatureCodec

__all__ = ["add_parser", "run"]

# what the command line and a file of settings know beside `Settings`
OTHERS = {"weights", "images", "coco", "task", "minutes", "device", "devices"}
DEFAULTS = {"device": "cpu", "devices": 1, "task": "outputs"}


def add_parser(subparsers: Subparsers) -> None:
    """Add ``fit`` to the command line."""
    command = add_command(
        subparsers,
        "fit",
        run,
        help="fit a codec to a network of your own",
        description="Cuts a network, whose weights stay as they are, and fits a codec to what crosses there: "
        "as few bits as possible for what the rest of the network computes, without labels. The same command "
        "goes on with a fit that was interrupted. It needs the extra featcodec[fit]; see docs/fitting.md.",
    )
    command.add_argument("model", nargs="?", metavar="MODEL", help=MODEL)
    command.add_argument("--weights", type=path, metavar="FILE", help="weights of the network, by name")
    command.add_argument(
        "--at", metavar="LAYER",
        help="the layer to cut after; featcodec layers lists them; a YOLOv5 is cut after 4 and a YOLOX after "
        "dark3 (stride 8) unless it is given",
    )  # fmt: skip
    command.add_argument("--images", type=path, metavar="FOLDER", help="photographs, in subfolders, too")
    command.add_argument("--coco", type=path, metavar="JSON", help="only the pictures that it names")
    command.add_argument(
        "-o", "--output", required=True, type=path, metavar="OUT.safetensors", help="the codec file"
    )
    command.add_argument(
        "--work", type=path, metavar="FOLDER",
        help="checkpoint, log and plot go here; an interrupted fit goes on from here (default: OUT.fit)",
    )  # fmt: skip
    command.add_argument(
        "--config", type=path, metavar="FILE",
        help="JSON or TOML with settings by name, such as the fit.json of an earlier run; what the command "
        "line says counts more",
    )  # fmt: skip
    _add_settings(command)


def _add_settings(command: argparse.ArgumentParser) -> None:
    budget = command.add_mutually_exclusive_group()
    budget.add_argument(
        "--steps", type=steps, metavar="N",
        help="batches to train on; default: 2000. 0 stops at the codec in closed form that training starts "
        "from, which works and takes a minute or so",
    )  # fmt: skip
    budget.add_argument(
        "--minutes", type=minutes, metavar="M", help="as many steps as take so long on the clock, about"
    )
    command.add_argument("--size", type=positive, metavar="N", help="longest side of pictures; default: 256")
    command.add_argument("--batch", type=positive, metavar="N", help="pictures a step; default: 8")
    command.add_argument(
        "--privacy", type=weight, metavar="W",
        help="weight of an adversary that learns to rebuild the picture: the more, the harder that becomes, "
        "at a cost of bits or of accuracy; benchmarks/ has fits with 2 to 8. What can still be rebuilt, "
        "featcodec attack measures. Default: 0, no adversary",
    )  # fmt: skip
    command.add_argument(
        "--quality-weights", type=weight, nargs=2, metavar=("Q1", "Q8"),
        help="weights of the task at quality 1 and 8, against bits per pixel; default: 0.3 30",
    )  # fmt: skip
    command.add_argument(
        "--task", choices=("outputs", "features"), help="what to keep; default: outputs of the network"
    )
    command.add_argument(
        "--start", metavar="CODEC", action="append",
        help="name or file of a codec whose weights the fit starts from; of several, from their mean",
    )  # fmt: skip
    command.add_argument(
        "--hide", type=path, metavar="MODEL.onnx",
        help="a network whose output must not be inferable from the files, such as a face recogniser",
    )  # fmt: skip
    command.add_argument(
        "--hide-images", type=path, metavar="FOLDER", help="pictures on which it must not be inferable"
    )
    command.add_argument(
        "--tune-tail", action="store_true", default=None,
        help="let the network behind the cut learn, too, from what it computes uncoded; the codec file then "
        "holds its weights: for networks of which you may give a changed copy away",
    )  # fmt: skip
    command.add_argument(
        "--adversaries", type=positive, metavar="N",
        help="with --privacy: train so many side by side, of which the one that rebuilds a picture best "
        "counts; more take longer. Default: 1",
    )  # fmt: skip
    command.add_argument(
        "--name", metavar="NAME",
        help="what the codec is called in every .plf file it makes: 1 to 63 characters of a-z, 0-9, '.', "
        "'_' and '-'; default: the name of OUT",
    )  # fmt: skip
    command.add_argument(
        "--seed", type=int, metavar="N",
        help="of all that is random: the same seed gives the same codec on a CPU; default: 1",
    )  # fmt: skip
    command.add_argument(
        "--workers", type=int, metavar="N", help="processes that prepare pictures; default: 0"
    )
    command.add_argument("--device", metavar="DEVICE", help="cpu or cuda; default: cpu")
    command.add_argument("--devices", type=positive, metavar="N", help="processes, each with its own device")


def run(arguments: argparse.Namespace) -> int:
    """Fit a codec, or go on with a fit that was interrupted."""
    check_target(arguments.output)
    work = Path(arguments.work or Path(arguments.output).with_suffix(".fit"))
    from featcodec.fitting.settings import Settings, read_settings  # takes seconds

    known = {field.name for field in fields(Settings)} | OTHERS
    found = read_settings(arguments.config, known) if arguments.config else {}
    wanted = {**DEFAULTS, **found, **_given(arguments, known)}
    missing = [name for name in ("model", "images") if name not in wanted]
    if missing:
        raise InputError(
            f"fit: got no {missing[0]}, expected it on the command line or in a file of settings"
        )
    wanted.setdefault("name", _codec_name(arguments.output))
    if wanted["task"] not in ("outputs", "features"):
        raise InputError(f"task: got {wanted['task']!r}, expected outputs or features")
    _check_pictures(wanted)
    make_folder(str(work), parents=True)
    _fit(wanted, work, arguments.output)
    return 0


def _fit(wanted: dict[str, Any], work: Path, output: str) -> None:
    from featcodec.fitting.fit import fit
    from featcodec.fitting.processes import first_process
    from featcodec.fitting.settings import normalise_for
    from featcodec.networks.by_name import network_by_name

    network = network_by_name(wanted["model"], weights=wanted.get("weights"))
    if "normalise" not in wanted and (normalise := normalise_for(str(wanted["model"]), network)):
        wanted["normalise"] = normalise
    # as given: what is measured here, the steps that a time allows, is kept beside it
    settings = json.dumps(wanted, indent=2, sort_keys=True).encode()
    write_atomic(work / "fit.json", settings)
    codec = fit(network, out=work, **{k: v for k, v in wanted.items() if k != "weights"})
    if first_process():
        _finish(codec, work, output)


def _finish(codec: FeatureCodec, work: Path, output: str) -> None:
    codec.save(output)
    config = codec.file.config
    show(f"{printable(output)}: codec {codec.name}, fingerprint {codec.fingerprint.hex()}")
    show(f"  {config.network} cut at layer {config.network.at}; log and plot are in {printable(work)}")


def _given(arguments: argparse.Namespace, known: set[str]) -> dict[str, Any]:
    values = vars(arguments)
    return {name: values[name] for name in known if values.get(name) is not None}


def _codec_name(output: str) -> str:
    kept = "".join(
        c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in Path(output).stem.lower()
    )
    return kept[:63] or "mine"


def _check_pictures(wanted: dict[str, Any]) -> None:
    """Before torch is imported and a network is built."""
    if not isinstance(wanted["images"], str):
        raise InputError(f"images: got {wanted['images']!r}, expected a folder")
    from featcodec.fitting.settings import check_hide

    check_hide(wanted.get("hide"), wanted.get("hide_images"))
    if wanted.get("hide_images") is not None:
        list_pictures(str(wanted["hide_images"]), recursive=True)
    if "coco" not in wanted:
        list_pictures(wanted["images"], recursive=True)
