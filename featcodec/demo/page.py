"""The page: controls and pictures of Gradio over `featcodec.demo.look`, served to this machine only."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from featcodec.attacks.thief_file import ThiefFile
from featcodec.bench.demo import photographs
from featcodec.codec.effort import DEFAULT_EFFORT, EFFORTS, REFINEMENTS
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.codec.symbol_codec import DEFAULT_QUALITY
from featcodec.console import MAX_INPUT
from featcodec.demo.look import Photograph, look, open_photograph
from featcodec.demo.words import bits_table, captions, complaint, headline, thief_notes
from featcodec.errors import FeatcodecError, InputError, MissingExtraError, one_line
from featcodec.files import read_file
from featcodec.plf.header import QUALITIES

__all__ = ["HOST", "build", "gradio", "serve"]

HOST = "127.0.0.1"  # no other machine reaches the page
_KEPT = 4  # photographs that stay in memory while sliders move
_QUALITY_STEP = 0.25  # of the slider; finer steps show nothing new
_STALE = 86_400  # seconds after which an uploaded photograph and what was drawn of it are deleted
_EFFORT = "0 rounds, 1 weighs bits against errors, " + " and ".join(
    f"{effort} searches in {passes} passes" for effort, passes in REFINEMENTS.items()
)
# photographs inside scikit-image, where that is installed: something to try at once
_EXAMPLES = {
    "astronaut.png": "Astronaut",
    "motorcycle_left.png": "Motorcycle",
    "chelsea.png": "Cat",
    "coffee.png": "Coffee",
}
_PANELS = (("plf", "jpeg"), ("heat", "thief"))
_EMPTY = "<p>Drop a photograph, or try an example. It stays on this machine.</p>"
_CSS = """
.gradio-container { max-width: 1360px !important; margin: auto; }
footer { display: none !important; }
.headline { font-size: 1.6rem; }
.complaint { color: #b3261e; font-weight: 600; }
.dark .complaint { color: #ff9a91; }
.words p { margin: 0 0 4px 0; overflow-wrap: anywhere; }
.caption { min-height: 4rem; }
.caption h4 { margin: 0; }
.caption p { font-size: 0.85rem; margin: 0; }
#notes p { font-size: 0.85rem; }
#plf img, #jpeg img, #heat img, #thief img { max-height: 460px; object-fit: contain; }
.words table { width: 100%; border: 0 !important; border-collapse: collapse; font-size: 0.9rem; }
.words tr { border: 0 !important; }
.words th, .words td { padding: 3px 16px 3px 0 !important; border: 0 !important; text-align: left; }
.words th, .words td { border-bottom: 1px solid #8884 !important; }
.words td { white-space: nowrap; font-variant-numeric: tabular-nums; vertical-align: middle; }
.words td:last-child { width: 60%; }
.words .bar { background: #31688e; height: 10px; min-width: 1px; }
"""


def gradio() -> Any:
    """The package, told not to call home and to keep no history.

    Raises:
        MissingExtraError: it is not installed.
    """
    # of the environment, since some of it is read on import, and older releases lack the argument
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_RUN_HISTORY="False")
    try:
        import gradio
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise MissingExtraError.of("gradio", "demo") from error
    return gradio


def build(codec: FeatureCodec, thief: ThiefFile | None = None) -> Any:
    """The page for a codec and a thief of its files, a `gradio.Blocks` that is not served yet.

    Raises:
        MissingExtraError: Gradio is not installed.
        InputError: the codec was made without its network.
        ModelMismatchError: the thief learned from another codec's files.
    """
    gr = gradio()
    _ = codec.network  # the page needs it with the first photograph
    if thief is not None:
        thief.check_codec(codec.file)
    with gr.Blocks(title="featcodec", analytics_enabled=False, delete_cache=(_STALE, _STALE)) as page:
        gr.Markdown(
            f"## What a network needs of a photograph\n`{codec.name}` codes what "
            f"{codec.file.config.network} computes of it up to the cut, instead of the picture. Quality and "
            "effort move what the file costs and what it still says."
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                file = gr.File(label="Photograph", height=150, elem_id="photograph")
                _examples(gr, file)
                quality = gr.Slider(
                    QUALITIES[0],
                    QUALITIES[-1],
                    DEFAULT_QUALITY,
                    step=_QUALITY_STEP,
                    label="Quality",
                    elem_id="quality",
                    buttons=[],
                )
                effort = gr.Radio(
                    list(EFFORTS), value=DEFAULT_EFFORT, label="Effort", info=_EFFORT, elem_id="effort"
                )
                message = gr.HTML(_EMPTY, padding=False, elem_id="message", elem_classes="words")
            # the inner one is what appears: the controls keep their place beside it
            with gr.Column(scale=5, min_width=480), gr.Column(visible=False) as results:
                shown = _results(gr)
        gr.on(
            [page.load, file.change, quality.change, effort.change],
            _answer(gr, codec, thief),
            [file, quality, effort],
            [message, results, *shown],
            trigger_mode="always_last",
            show_progress="minimal",
            show_progress_on=message,
            api_visibility="private",
        )
    return page


def _examples(gr: Any, file: Any) -> None:
    with gr.Row():
        for path in _example_paths():
            button = gr.Button(_EXAMPLES[path.name], size="sm", min_width=64)
            button.click(
                lambda path=path: str(path), None, file, show_progress="hidden", api_visibility="private"
            )


def _example_paths() -> list[Path]:
    try:
        return photographs(tuple(_EXAMPLES))
    except MissingExtraError:
        return []


def _results(gr: Any) -> list[Any]:
    """The pictures and their notes, in the order of `_answer`."""
    shown = []
    for row in _PANELS:
        with gr.Row():
            for name in row:
                with gr.Column(min_width=260):
                    shown += [
                        gr.HTML(padding=False, elem_classes="words caption", elem_id=f"{name}-words"),
                        _picture(gr, name),
                    ]
    notes = gr.HTML(padding=False, elem_id="notes", elem_classes="words")
    bits = gr.HTML(padding=False, elem_id="bits", elem_classes="words")
    with gr.Accordion("Every channel", open=False):
        channels = _picture(gr, "channels")
    return [*shown, notes, bits, channels]


def _picture(gr: Any, name: str) -> Any:
    """An image without the label that Gradio would lay over its corner."""
    return gr.Image(
        elem_id=name,
        show_label=False,
        format="jpeg",
        interactive=False,
        buttons=["fullscreen"],
    )


def _answer(
    gr: Any, codec: FeatureCodec, thief: ThiefFile | None
) -> Callable[[str | None, float, int], list[Any]]:
    """What the page shows for its controls: message, bits, whether there are results, the results."""

    @lru_cache(maxsize=_KEPT)
    def opened(path: str) -> Photograph:
        name = Path(path).name
        try:
            data = read_file(path, MAX_INPUT)
        except InputError as error:  # its path is a temporary one, which says nothing to anybody
            error.path = name
            raise
        return open_photograph(codec, data, name)

    def answer(path: str | None, quality: float, effort: int) -> list[Any]:
        nothing = [gr.update(visible=False), *["", None] * sum(map(len, _PANELS)), "", "", None]
        if path is None:
            return [_EMPTY, *nothing]
        try:
            seen = look(codec, opened(path), quality=quality, effort=effort, thief=thief)
        except FeatcodecError as error:
            return [complaint(error), *nothing]
        words = captions(seen)
        pictures = {  # without a picture there is no frame either
            name: gr.update(value=drawn, visible=drawn is not None) for name, drawn in seen.drawn.items()
        }
        panels = [shown for row in _PANELS for name in row for shown in (words[name], pictures[name])]
        message = headline(seen, codec.name)
        return [message, gr.update(visible=True), *panels, thief_notes(seen), bits_table(seen), seen.channels]

    return answer


@contextmanager
def serve(codec: FeatureCodec, *, thief: ThiefFile | None = None, port: int | None = None) -> Iterator[str]:
    """Serve the page of a codec to this machine, until the block ends.

    What is uploaded and drawn lies in a temporary folder, which goes with the server.

    Args:
        codec: with its network.
        thief: of the codec's files; the one embedded for it, if there is one, unless given.
        port: to listen on; a free one from 7860 on unless given.

    Yields:
        The page's address.

    Raises:
        MissingExtraError: Gradio is not installed.
        InputError: the port cannot be listened on, or the codec was made without its network.
        ModelMismatchError: the thief learned from another codec's files.
    """
    if port is not None:
        _check_free(port)
    with tempfile.TemporaryDirectory(prefix="featcodec-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        gr = gradio()
        page = build(codec, thief)
        fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
        try:
            _, address, _ = page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                prevent_thread_lock=True,
                quiet=True,
                max_file_size=MAX_INPUT,
                allowed_paths=[str(path) for path in _example_paths()],
                theme=gr.themes.Default(**fonts),  # the default's come from another machine
                css=_CSS,
                footer_links=[],
                ssr_mode=False,
                mcp_server=False,
                pwa=False,
                enable_monitoring=False,
            )
        except OSError as error:
            raise InputError(f"the page cannot be served: {one_line(error)}") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def _check_free(port: int) -> None:
    """Find out before all the work whether the port can be listened on."""
    with closing(socket.socket()) as probe:
        if os.name == "posix":  # elsewhere it would let two listen on one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(f"port {port}: got {error.strerror}, expected a free port") from error
