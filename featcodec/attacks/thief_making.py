"""From an attack to a thief file: the narrow network, with the figures of all that was tried beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from featcodec.attacks.attack import AttackReport
from featcodec.attacks.faces import Recognizer, photograph
from featcodec.attacks.network_attacker import NetworkAttacker
from featcodec.attacks.observations import collect
from featcodec.attacks.targets import CodecTarget
from featcodec.attacks.thief_file import ThiefFile
from featcodec.attacks.thief_record import RebuiltRow, ThiefRecord
from featcodec.errors import InputError
from featcodec.evaluation.results import Attacked, Made, Reference

__all__ = ["make_thief"]


def make_thief(
    attacker: NetworkAttacker,
    target: CodecTarget,
    report: AttackReport,
    *,
    training: Sequence[Path],
    work: Path,
    made: Made,
    recognizer: Recognizer | None = None,
) -> ThiefFile:
    """The thief of one codec, from the work folder of an attack that it took part in.

    Args:
        attacker: the narrow one; its width is set.
        target: the codec attacked.
        report: of that attack.
        training: the photographs that it trained on.
        work: the folder, which holds the finished network.
        made: by which command.
        recognizer: what it reaches on the undisturbed photographs stands beside whom thieves tell apart.

    Raises:
        InputError: the attacker has no width of its own, or the folder was changed.
    """
    if attacker.width is None:
        raise InputError(f"thief: got {attacker.name}, expected an attacker with a width of its own")
    trained = attacker.prepare(target, collect(target, training, work=work, training=True), work=work).best
    codec = target.codec.file
    reference = Reference(blind_psnr=next((o.blind for o in report.outcomes), None))
    if recognizer is not None:
        faces = recognizer(photograph)
        reference = replace(reference, face_accuracy=faces.face_accuracy, face_tar=faces.face_tar)
    record = ThiefRecord(
        codec=codec.config.name,
        fingerprint=codec.fingerprint.hex(),
        encoder=codec.encoder_digest,
        effort=target.effort,
        kind=trained.kind,
        channels=codec.config.widths.latents,
        stride=codec.config.latent_stride,
        width=attacker.width,
        points=tuple(map(float, trained.points)),
        attacker=attacker.name,
        recipe=trained.recipe,
        photographs=len(training),
        curve=trained.curve,
        rebuilt=tuple(_row(o.row) for o in report.outcomes if o.row.target == target.name),
        identified=tuple(row for row in report.identified if row.target == target.name),
        reference=reference,
        made=made,
    )
    return ThiefFile.of(record, trained.network).check()


def _row(row: Attacked) -> RebuiltRow:
    return RebuiltRow(
        point=float(row.point),
        attacker=row.attacker,
        budget=row.budget,
        pictures=row.pictures,
        bytes=row.bytes,
        psnr=row.psnr,
        psnr_interval=row.psnr_interval,
        strongest=row.strongest,
    )
