"""``featcodec fit``: from parsed arguments to a codec file."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featcodec.console import show
from featcodec.errors import InputError
from featcodec.files import check_target, list_pictures, make_folder, printable, write_atomic

if TYPE_CHECKING:
    from featcodec.codec.feature_codec import FeatureCodec

__all__ = ["run"]

# what the command line and a file of settings know beside `Settings`
OTHERS = {"weights", "images", "coco", "task", "minutes", "device", "devices"}
DEFAULTS = {"device": "cpu", "devices": 1, "task": "outputs"}
PACKAGES = ("torchvision:", "timm:")  # whose weights want ImageNet's normalisation


def run(arguments: argparse.Namespace) -> int:
    """Fit a codec, or go on with a fit that was interrupted."""
    check_target(arguments.output)
    work = Path(arguments.work or Path(arguments.output).with_suffix(".fit"))
    from featcodec.fitting.settings import Settings, read_settings  # takes seconds

    known = {field.name for field in fields(Settings)} | OTHERS
    found = read_settings(arguments.config, known) if arguments.config else {}
    wanted = {**DEFAULTS, **found, **_given(arguments, known)}
    missing = [name for name in ("model", "at", "images") if name not in wanted]
    if missing:
        raise InputError(
            f"fit: got no {missing[0]}, expected it on the command line or in a file of settings"
        )
    if "normalise" not in wanted and str(wanted["model"]).startswith(PACKAGES):
        wanted["normalise"] = "imagenet"
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
    from featcodec.networks.by_name import network_by_name

    network = network_by_name(wanted["model"], weights=wanted.get("weights"))
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
    if "coco" not in wanted:
        list_pictures(wanted["images"], recursive=True)
