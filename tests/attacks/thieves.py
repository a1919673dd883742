"""Tiny thieves for tests: untrained networks with the records of trained ones."""

from __future__ import annotations

import torch

from featcodec.attacks.attacker_networks import AttackerNetwork
from featcodec.attacks.thief_file import ThiefFile
from featcodec.attacks.thief_record import RebuiltRow, ThiefRecord
from featcodec.attacks.training import Recipe
from featcodec.codec.codec_file import CodecFile
from featcodec.evaluation.results import Identified, Made, Reference

POINTS = (2.0, 4.0, 8.0)
WIDTH = 8


def rebuilt_row(attacker: str, point: float, psnr: float, **others: object) -> RebuiltRow:
    facts = {"budget": 2000, "pictures": 280, "bytes": 3000.0, "strongest": False} | others
    return RebuiltRow(
        point=point, attacker=attacker, psnr=psnr, psnr_interval=(psnr - 0.5, psnr + 0.5), **facts
    )


def identified_row(codec: str, point: float, accuracy: float, *, way: str = "infers") -> Identified:
    return Identified(
        target=codec,
        point=point,
        bytes=2000.0,
        attacker="kernel-ridge",
        way=way,
        portraits=1601,
        settings="",
        photograph_accuracy=accuracy,
        photograph_interval=(accuracy - 2, accuracy + 2),
        photograph_tar=50.0,
        file_accuracy=accuracy - 5,
        file_interval=(accuracy - 7, accuracy - 3),
        file_tar=40.0,
        strongest=True,
    )


def record_for(file: CodecFile, **others: object) -> ThiefRecord:
    name = file.config.name
    facts: dict[str, object] = {
        "codec": name,
        "fingerprint": file.fingerprint.hex(),
        "encoder": file.encoder_digest,
        "effort": 0,
        "kind": "unet",
        "channels": file.config.widths.latents,
        "stride": file.config.latent_stride,
        "width": WIDTH,
        "points": POINTS,
        "attacker": "unet-36",
        "recipe": Recipe(steps=2000),
        "photographs": 1234,
        "curve": ((1000, 15.5), (2000, 16.0)),
        "rebuilt": (
            rebuilt_row("unet-36", 2.0, 15.0),
            rebuilt_row("unet-36", 4.0, 16.04),
            rebuilt_row("unet", 2.0, 15.5, strongest=True),
            rebuilt_row("unet", 4.0, 16.96, strongest=True, budget=4000),
        ),
        "identified": (
            identified_row(name, 4.0, 99.0, way="rebuilds"),
            identified_row(name, 2.0, 80.0),
            identified_row(name, 4.0, 85.8),
            identified_row(name, 4.0, 84.0),
        ),
        "reference": Reference(blind_psnr=12.6, face_accuracy=98.5, face_tar=99.0),
        "made": Made(
            "featcodec attack", "unknown", "2026-11-27T00:00:00+00:00", {}, "x86_64", {"attackers": 1}
        ),
    }
    return ThiefRecord(**(facts | others))


def thief_for_tests(file: CodecFile, **others: object) -> ThiefFile:
    """A thief of a codec, whose network has random weights, the same each time."""
    record = record_for(file, **others)
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        network = AttackerNetwork(
            record.kind,
            channels=record.channels,
            stride=record.stride,
            points=record.points,
            width=record.width,
        )
    return ThiefFile.of(record, network)
