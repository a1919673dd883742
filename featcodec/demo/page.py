"""The page: controls and pictures of Gradio over `featcodec.demo.look`, served to this machine only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from featcodec.bench.demo import photographs
from featcodec.codec.effort import DEFAULT_EFFORT, EFFORTS, REFINEMENTS
from featcodec.codec.feature_codec import DEFAULT_QUALITY, FeatureCodec
from featcodec.console import MAX_INPUT
from featcodec.demo.look import Photograph, look, open_photograph
from featcodec.demo.words import bits_table, complaint, headline, jpeg_note, sent_table
from featcodec.errors import FeatcodecError, InputError, MissingExtraError
from featcodec.files import read_file
from featcodec.plf.header import QUALITIES

__all__ = ["HOST", "build", "gradio", "serve"]

HOST = "127.0.0.1"  # no other machine reaches the page
_KEPT = 4  # photographs that stay in memory while sliders move
_QUALITY_STEP = 0.25  # of the slider; finer steps show nothing new
_STALE = 3600  # seconds after which an uploaded photograph and what was drawn of it are deleted
_EFFORTS = {0: "0, rounds", 1: "1, weighs bits"} | {
    effort: f"{effort}, searches in {passes} passes" for effort, passes in REFINEMENTS.items()
}
# photographs inside scikit-image, where that is installed: something to try at once
_EXAMPLES = {
    "astronaut.png": "An astronaut",
    "motorcycle_left.png": "A motorcycle",
    "chelsea.png": "A cat",
    "coffee.png": "A cup of coffee",
}
_EMPTY = "<p>Drop a photograph, or try an example. It stays on this machine.</p>"
_CSS = """
.gradio-container { max-width: 1360px !important; margin: auto; }
footer { display: none !important; }
.headline { font-size: 1.3rem; margin: 0; }
.complaint { color: #b3261e; font-weight: 600; overflow-wrap: anywhere; }
.dark .complaint { color: #ff9a91; }
.words table { width: 100%; border-collapse: collapse; font-size: 0.9rem; }
.words th { text-align: left; font-weight: 600; }
.words th, .words td { padding: 3px 10px 3px 0; border: 0; border-bottom: 1px solid #8884; vertical-align: middle; }
.words td:nth-child(2) { white-space: nowrap; font-variant-numeric: tabular-nums; }
.words .bar { background: #31688e; height: 10px; min-width: 1px; }
.words td:nth-child(4) { width: 30%; }
"""


def gradio() -> Any:
    """The package, told not to call home.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    try:
        import gradio
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise MissingExtraError.of("gradio", "demo") from error
    return gradio


def build(codec: FeatureCodec) -> Any:
    """The page for a codec, a `gradio.Blocks` that is not served yet.

    Raises:
        MissingExtraError: Gradio is not installed.
        InputError: the codec was made without its network.
    """
    gr = gradio()
    _ = codec.network  # the page needs it with the first photograph
    with gr.Blocks(title="featcodec", analytics_enabled=False, delete_cache=(_STALE, _STALE)) as page:
        gr.Markdown(
            f"## What a network needs of a photograph\n`{codec.name}` codes the features of "
            f"{codec.file.config.network}: enough to find things by, not a picture. Quality and effort move "
            "what the file costs and what it says."
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
                choices = [(_EFFORTS[effort], effort) for effort in EFFORTS]
                effort = gr.Radio(choices, value=DEFAULT_EFFORT, label="Effort of the encoder", elem_id="effort")
                message = gr.HTML(_EMPTY, elem_id="message", elem_classes="words")
                bits = gr.HTML(elem_id="bits", elem_classes="words")
            with gr.Column(scale=5, min_width=480, visible=False) as results:
                shown = _results(gr)
        gr.on(
            [page.load, file.change, quality.change, effort.change],
            _answer(gr, codec),
            [file, quality, effort],
            [message, bits, results, *shown],
            trigger_mode="always_last",
            show_progress="minimal",
            show_progress_on=message,
            api_visibility="private",
        )
    return page


def _examples(gr: Any, file: Any) -> None:
    with gr.Row():
        for path in _example_paths():
            button = gr.Button(_EXAMPLES[path.name], size="sm", min_width=100)
            button.click(lambda path=path: str(path), None, file, show_progress="hidden", api_visibility="private")


def _example_paths() -> list[Path]:
    try:
        return photographs(tuple(_EXAMPLES))
    except MissingExtraError:
        return []


def _results(gr: Any) -> list[Any]:
    """The pictures and their notes, in the order of `_answer`."""

    def picture(label: str, name: str) -> Any:
        return gr.Image(
            label=label, elem_id=name, format="jpeg", interactive=False, buttons=["fullscreen"], height=340
        )

    with gr.Row(equal_height=True):
        with gr.Column(min_width=240):
            plf = picture("Found in the .plf file", "plf")
        with gr.Column(min_width=240):
            jpeg = picture("Found in a JPEG of as many bytes", "jpeg")
    with gr.Row(equal_height=True):
        with gr.Column(min_width=240):
            heat = picture("Where the bits went", "heat")
    note = gr.HTML(elem_classes="words")
    with gr.Accordion("Every channel", open=False):
        channels = picture("Bits by place and channel", "channels")
    return [plf, jpeg, heat, note, channels]


def _answer(gr: Any, codec: FeatureCodec) -> Callable[[str | None, float, int], list[Any]]:
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
        hidden = ["", gr.update(visible=False), None, None, None, "", None]
        if path is None:
            return [_EMPTY, *hidden]
        try:
            seen = look(codec, opened(path), quality=quality, effort=effort)
        except FeatcodecError as error:
            return [complaint(error), *hidden]
        return [
            headline(seen, codec.name) + sent_table(seen),
            bits_table(seen),
            gr.update(visible=True),
            seen.plf.drawn,
            None if seen.jpeg_found is None else seen.jpeg_found.drawn,
            seen.heat,
            f"<p>JPEG: {jpeg_note(seen)}</p>",
            seen.channels,
        ]

    return answer


@contextmanager
def serve(codec: FeatureCodec, *, port: int | None = None) -> Iterator[str]:
    """Serve the page of a codec to this machine, until the block ends.

    What is uploaded and drawn lies in a temporary folder, which goes with the server.

    Args:
        codec: with its network.
        port: to listen on; a free one from 7860 on unless given.

    Yields:
        The page's address.

    Raises:
        MissingExtraError: Gradio is not installed.
        InputError: the port is taken, or the codec was made without its network.
    """
    with tempfile.TemporaryDirectory(prefix="featcodec-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        gr = gradio()
        page = build(codec)
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
                run_history=False,
                enable_monitoring=False,
            )
        except OSError as error:
            where = "ports 7860 to 7959" if port is None else f"port {port}"
            raise InputError(f"{where}: got one that is taken, expected a free one") from error
        try:
            yield address
        finally:
            page.close(verbose=False)
