"""The tables of privacy: what attackers rebuild, and whom thieves tell apart."""

from __future__ import annotations

from featcodec.bench.cells import Column, Group, Table, optional, with_interval
from featcodec.evaluation.results import Attacked, Identified, Result

__all__ = ["identity_table", "rebuilt_table"]


def rebuilt_table(result: Result) -> Table:
    """What attackers rebuild."""
    faces = any(a.face_accuracy is not None or a.face_tar is not None for a in result.attacks)
    heads = ["bytes", "attacker", "steps", "PSNR [95 %]", "MS-SSIM", "edges", "flat"]
    heads += ["faces", "TAR"] if faces else []
    by_target: dict[str, list[Attacked]] = {}
    for a in result.attacks:
        by_target.setdefault(a.target, []).append(a)
    groups = [
        Group(
            target,
            "features as they are" if target == "raw" else "",
            tuple(_attack_row(a, faces, result.pictures) for a in attacks),
        )
        for target, attacks in by_target.items()
    ]
    lead = (
        "What attackers trained on other pictures rebuild from the decoded files, PSNR in dB: lower is "
        "harder to rebuild. The strongest of a target and point counts, and is marked *. Edges: within 3 px "
        "of the picture's edges; flat: elsewhere."
    )
    if any(a.pictures < result.pictures for a in result.attacks):
        lead += " In brackets: measured on so many pictures, the first, and judged on those."
    if faces:
        lead += (
            " Faces: accuracy of verification on what was rebuilt, and TAR at FAR 1 %, in percent; a thief "
            "that infers reaches more."
        )
    columns = (Column(""), Column("point"), *(Column(h, left=h == "attacker") for h in heads))
    return Table("Privacy", lead, "target", columns, (*groups, *_references(result, faces)))


def _attack_row(a: Attacked, faces: bool, pictures: int) -> tuple[str, ...]:
    fewer = f" ({a.pictures})" if a.pictures < pictures else ""
    row = (
        "*" if a.strongest else "",
        "" if a.target == "raw" else f"{a.point:g}",
        "" if a.target == "raw" else f"{a.bytes:,.0f}",
        a.attacker + fewer,
        f"{a.budget:,}" if a.budget else "",
        with_interval(a.psnr, a.psnr_interval, 2),
        f"{a.ms_ssim:.3f}",
        f"{a.psnr_edges:.1f}",
        f"{a.psnr_flat:.1f}",
    )
    return (*row, optional(a.face_accuracy), optional(a.face_tar)) if faces else row


def _references(result: Result, faces: bool) -> tuple[Group, ...]:
    """What the figures of the attacks are to be compared with."""
    r, rows = result.reference, []
    if r.blind_psnr is not None:
        rows.append(
            ("", "", "", "blind", "", f"{r.blind_psnr:.2f}", "", "", "", *(("", "") if faces else ()))
        )
    if faces and (r.face_accuracy is not None or r.face_tar is not None):
        photographs = (
            "",
            "",
            "",
            "none",
            "",
            "",
            "",
            "",
            "",
            optional(r.face_accuracy),
            optional(r.face_tar),
        )
        rows.append(photographs)
    note = "blind paints each picture in its mean colour, none is the photograph"
    return (Group("to compare with", note, tuple(rows)),) if rows else ()


def identity_table(result: Result) -> Table:
    """Whom thieves tell apart."""
    by_target: dict[str, list[Identified]] = {}
    for row in result.identified:
        by_target.setdefault(row.target, []).append(row)
    groups = [
        Group(target, "features as they are" if target == "raw" else "", tuple(map(_identity_row, rows)))
        for target, rows in by_target.items()
    ]
    portraits = max(row.portraits for row in result.identified)
    learned = f", having learned from {portraits:,} portraits of other people" if portraits else ""
    lead = (
        "Percent of pairs of photographs that thieves tell apart, as of one person or of two, where guessing "
        "gives 50: by a file and a known photograph, or by two files. A thief rebuilds the face, or infers "
        f"the recogniser's vector without any picture{learned}. The strongest of a target and point counts, "
        "and is marked *. TAR: at a FAR of 1 %."
    )
    heads = ("bytes", "thief", "", "to photograph [95 %]", "TAR", "file to file [95 %]", "TAR")
    columns = (Column(""), Column("point"), *(Column(h, left=h in ("thief", "")) for h in heads))
    r = result.reference
    if r.face_accuracy is not None:
        cells = ("", "", "", "none", "", optional(r.face_accuracy), optional(r.face_tar), "", "")
        groups.append(Group("to compare with", "none is the photograph", (cells,)))
    return Table("Identity", lead, "target", columns, tuple(groups))


def _identity_row(row: Identified) -> tuple[str, ...]:
    raw = row.target == "raw"
    return (
        "*" if row.strongest else "",
        "" if raw else f"{row.point:g}",
        "" if raw else f"{row.bytes:,.0f}",
        row.attacker,
        row.way,
        with_interval(row.photograph_accuracy, row.photograph_interval, 1),
        f"{row.photograph_tar:.1f}",
        with_interval(row.file_accuracy, row.file_interval, 1),
        f"{row.file_tar:.1f}",
    )
