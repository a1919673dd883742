"""``featcodec zoo``: the embedded codecs."""

from __future__ import annotations

import argparse

from featcodec.commands.options import Subparsers, add_command, add_json
from featcodec.console import show, show_json

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``zoo`` to the command line."""
    command = add_command(
        subparsers,
        "zoo",
        run,
        help="list the embedded codecs",
        description="Lists the codecs that come with featcodec: their names for --codec, the network that "
        "each was fitted to and where it is cut, and whether the network comes with it or you bring it.",
    )
    add_json(command, "a list of JSON objects")


def run(arguments: argparse.Namespace) -> int:
    """List the embedded codecs."""
    from featcodec import zoo as codecs

    found = [_embedded(name) for name in codecs.names()]
    if arguments.json:
        show_json(found, several=True)
        return 0
    for codec in found:
        show(f"{codec['name']}{' (default)' if codec['default'] else ''}: {codec['description']}")
        show(f"  {codec['network']} cut at layer {codec['at']}, {codec['classes']} classes")
        brought = "" if codec["has_network"] else "; its owner brings the network: --network"
        show(f"  {codec['bytes']:,} bytes, fingerprint {codec['fingerprint']}{brought}")
    show("Faces can be told apart from the files of every one of them, whatever they were fitted against.")
    return 0


def _embedded(name: str) -> dict[str, object]:
    """What ``zoo --json`` shows of a codec; names and units here are an interface."""
    from featcodec import zoo as codecs

    codec = codecs.symbol_codec(name)
    network = codec.config.network
    return {
        "name": name,
        "fingerprint": codec.fingerprint.hex(),
        "bytes": codecs.path(name).stat().st_size,
        "network": str(network),
        "at": network.at,
        "classes": None if network.classes is None else len(network.classes),
        "description": codec.config.description,
        "default": name == codecs.DEFAULT,
        "has_network": name in codecs.names(whole=True),
    }
