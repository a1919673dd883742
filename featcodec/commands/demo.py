"""``featcodec demo``: a page on this machine to try a codec on photographs."""

from __future__ import annotations

import argparse
import signal
import time
import webbrowser
from types import FrameType

from featcodec.commands.options import (
    Subparsers,
    add_codec,
    add_command,
    add_network,
    add_thief,
    codec_of,
)
from featcodec.console import Terminated, note, show

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add ``demo`` to the command line."""
    command = add_command(
        subparsers,
        "demo",
        run,
        help="open a page to try a codec on photographs",
        description="Opens a page in the browser: drop a photograph, move quality and effort, and see the "
        "boxes, the bytes, where the bits went, what a thief rebuilds, and a JPEG of as many bytes. The page "
        "is served to this machine only, and nothing leaves it; photographs dropped are deleted when the "
        "command ends (Ctrl-C). It needs the extra featcodec[demo].",
    )
    add_codec(command, "default: the embedded default")
    add_network(command)
    add_thief(command)
    command.add_argument(
        "--port", type=_port, metavar="N", help="port to listen on; default: a free one from 7860 on"
    )
    command.add_argument(
        "--no-browser", action="store_true", help="only say the page's address, open nothing"
    )


def _port(text: str) -> int:
    """For argparse: a TCP port."""
    number = int(text)
    if not 1 <= number <= 65_535:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 1 to 65535")
    return number


_port.__name__ = "port"


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C or another signal ends it."""
    from featcodec.attacks.thief_file import ThiefFile
    from featcodec.demo.page import gradio, serve

    gradio()  # before the codec: what is missing should show at once
    for name in ("SIGTERM", "SIGHUP"):  # the second where the terminal is closed; Windows has none
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    thief = None if arguments.thief is None else ThiefFile.load(arguments.thief)
    codec = codec_of(arguments.codec, network=arguments.network, weights=arguments.weights)
    with serve(codec, thief=thief, port=arguments.port) as address:
        show(address)
        if not arguments.no_browser and not webbrowser.open(address):
            note("featcodec", "no browser found, open the address above in yours")
        note("featcodec", "Ctrl-C ends it")
        while True:
            time.sleep(1)


def _end(number: int, _frame: FrameType | None) -> None:
    """Let the server go, and with it the photographs that were dropped."""
    raise Terminated(128 + number)
