"""What is said of a thief, in sentences: how it learned, what it reaches, and what other thieves reach."""

from __future__ import annotations

from featcodec.attacks.thief_file import ThiefFile
from featcodec.files import printable

__all__ = ["identity_words", "reached_words", "training_words"]

_NETWORKS = {"unet": "a U-Net", "invnet": "an InvNet"}


def training_words(thief: ThiefFile) -> str:
    """What it is and how it learned."""
    r = thief.record
    return (
        f"The thief is {_NETWORKS[r.kind]} of {thief.weights:,} weights, trained for {r.recipe.steps:,} "
        f"steps on files of {r.photographs:,} photographs"
    )


def reached_words(thief: ThiefFile, quality: float) -> str:
    """Its figures at the quality measured that is nearest, and those of stronger attackers beside it."""
    r = thief.record
    own, best = r.own(quality), r.strongest(quality)
    if own is None:
        return f"How much it rebuilds of files of {r.codec} was not measured"
    text = (
        f"Over {own.pictures:,} other photographs at quality {own.point:g} of {r.codec} it reaches a PSNR of "
        f"{own.psnr:.1f} dB"
    )
    if best is not None and best.attacker != own.attacker and best.point == own.point:
        steps = f"{printable(best.attacker)}, {best.budget:,} steps"
        text += f", the strongest attacker tried ({steps}) {best.psnr:.1f} dB"
    blind = r.reference.blind_psnr
    return text if blind is None else f"{text}, the mean colour alone {blind:.1f} dB"


def identity_words(thief: ThiefFile, quality: float) -> str:
    """Whom thieves tell apart that rebuild nothing."""
    r = thief.record
    row = r.identity(quality)
    if row is None:
        return (
            f"What a thief infers of identity from files of {r.codec} without rebuilding anything was not "
            "measured for this thief file; nothing keeps it from trying"
        )
    text = (
        f"Without rebuilding anything, {printable(row.attacker)} tells from files of {r.codec} at quality "
        f"{row.point:g} whether two photographs show one person in {row.accuracy:.1f} % of pairs"
    )
    known = r.reference.face_accuracy
    return (
        f"{text} (guessing: 50 %)"
        if known is None
        else (f"{text} (from the photographs: {known:.1f} %, by guessing: 50 %)")
    )
