"""``featcodec push``: a codec to the Hugging Face Hub, with a card that says what it is and how to use it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from featcodec.commands.options import Subparsers, add_command, add_json, path
from featcodec.console import show, show_json
from featcodec.errors import InputError
from featcodec.files import printable, read_file

if TYPE_CHECKING:
    from featcodec.codec.codec_file import CodecFile

__all__ = ["add_parser", "run"]

_LARGEST_RESULT = 1 << 26  # bytes


def add_parser(subparsers: Subparsers) -> None:
    """Add ``push`` to the command line."""
    command = add_command(
        subparsers,
        "push",
        run,
        help="put a codec on the Hugging Face Hub",
        description="Puts a codec file and a card that is made of it into a repository of the Hugging Face "
        "Hub, whose token is that of hf auth login or HF_TOKEN. hf://owner/name is then its name "
        "wherever a codec is named. It needs the extra featcodec[hub]; see docs/tools.md.",
    )
    command.add_argument("codec", metavar="CODEC", help="name of an embedded codec or path of a codec file")
    command.add_argument(
        "repository", metavar="OWNER/NAME", help="made if it is not there; a card that is there is kept"
    )
    command.add_argument("--license", metavar="NAME", help="as the hub spells it, such as apache-2.0")
    command.add_argument(
        "--result",
        type=path,
        metavar="JSON",
        help="of featcodec-bench: its figures of this codec go on the card",
    )
    command.add_argument("--private", action="store_true", default=None, help="if the repository is made")
    add_json(command)


def run(arguments: argparse.Namespace) -> int:
    """Upload a codec; show where it is."""
    from featcodec import zoo  # takes seconds

    codec = zoo.decoder(arguments.codec)  # its network is not needed
    figures = "" if arguments.result is None else _figures(codec.file, arguments.result)
    page = codec.push_to_hub(
        arguments.repository, private=arguments.private, license=arguments.license, figures=figures
    )
    address = f"hf://{arguments.repository}"
    if arguments.json:
        show_json([{"codec": codec.name, "address": address, "commit": page}])
    else:
        show(f"{printable(address)}: codec {codec.name}; {printable(page)}")
    return 0


def _figures(file: CodecFile, path: str) -> str:
    """What a result of the bench says of this codec, as Markdown.

    Raises:
        InputError: no result, or none of this codec.
    """
    from featcodec.codec.model_card import markdown
    from featcodec.evaluation.results import from_json

    text = read_file(path, _LARGEST_RESULT).decode("utf-8", "replace")
    result = from_json(text, path)
    known = file.fingerprint.hex(), file.encoder_digest  # stand in the notes of codecs' entries
    entry = next((e for e in result.entries if all(digest in e.note for digest in known)), None)
    if entry is None:
        names = ", ".join(e.name for e in result.entries if e.kind == "codec") or "no codec"
        raise InputError(
            f"got figures of {printable(names)}, expected some of codec {file.config.name!r} with "
            f"fingerprint {known[0]}",
            path=printable(path),
        )
    metric, detail = markdown(result.metric), markdown(result.detail)
    rows = [
        f"| quality | bytes | bits per pixel | {metric} | {detail} |",
        "|---|---|---|---|---|",
        *(
            f"| {p.point:g} | {p.bytes:,.0f} | {p.bpp:.3f} | {p.map:.1f} | {p.ap50:.1f} |"
            for p in entry.points
        ),
    ]
    uncoded = f"uncoded {result.uncoded_map:.1f} and {result.uncoded_ap50:.1f}"
    made = result.made
    return (
        f"Mean bytes of whole files and accuracy ({uncoded}) on {result.pictures:,} pictures, "
        f"{markdown(result.data)}:\n\n" + "\n".join(rows) + f"\n\nMeasured on {markdown(made.date[:10])} "
        f"at commit {markdown(made.commit)} by\n\n    {printable(made.command)}"
    )
