"""A codec's encoder out of torch: head, g_a and h_a as one ONNX graph, proved before it is kept."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from featcodec.codec.feature_codec import FeatureCodec
from featcodec.edge.encoder import Encoder
from featcodec.edge.folder import GRAPH, EdgeFolder
from featcodec.errors import CodecFileError, InputError, MissingExtraError, one_line
from featcodec.networks.cut_network import CutNetwork
from featcodec.networks.torch_state import inference
from featcodec.pictures.geometry import Geometry

__all__ = ["export"]

OPSET = 17
_SHAPES = ((1.0, 1.0), (1.0, 0.6), (0.4, 0.7))  # of the pictures that torch and onnxruntime are compared on
_CLOSE = 1e-3  # of the largest latent; sums in another order give some 1e-6


class _EncoderGraph(nn.Module):
    """x (1, 3, H, W) and inverse gains (1, M, 1, 1) to latents in steps of the quantizer and z."""

    def __init__(self, cut: CutNetwork, g_a: nn.Module, h_a: nn.Module):
        super().__init__()
        self._head = cut.head
        self.network, self.g_a, self.h_a = cut.network, g_a, h_a

    def forward(self, x: Tensor, inverse_gain: Tensor) -> tuple[Tensor, Tensor]:
        y_g = self.g_a(self._head(x)[0]) / inverse_gain
        return y_g, self.h_a(y_g)


@inference()
def export(codec: FeatureCodec, folder: str | os.PathLike[str]) -> None:
    """Writes the edge folder of a codec: what a device needs to encode.

    The graph is run in onnxruntime on canvases of several shapes, and compared with torch, before the folder
    is written.

    Args:
        codec: with its network.
        folder: where to; made if it is missing, files of an earlier export are replaced.

    Raises:
        InputError: the codec is without its network; its encoder cannot be exported, or not so that it runs
            at other sizes (says why); or the folder cannot be written.
        MissingExtraError: onnx or onnxruntime is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import featcodec
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export(featcodec.load("yolox-nano-open"), folder)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['edge.json', 'encoder.onnx', 'entropy_model.safetensors']
    """
    network = _EncoderGraph(codec.network, codec.file.g_a, codec.file.h_a).eval()
    with tempfile.TemporaryDirectory() as trial:
        graph = _graph(codec, network, Path(trial, GRAPH))
        made = EdgeFolder(codec.config, codec.fingerprint, codec.model, graph)
        made.save(trial)
        _prove(codec, network, trial)
    made.save(folder)


def _example(codec: FeatureCodec, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Noise for a canvas, always the same, and the gains of quality 4."""
    random = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, geometry.canvas_height, geometry.canvas_width, generator=random)
    return x, codec.file.inverse_gain(96)[None, :, None, None]


def _graph(codec: FeatureCodec, network: nn.Module, path: Path) -> bytes:
    """The encoder as an ONNX file."""
    try:
        import onnx  # noqa: F401 (torch's exporter asks for it, but says so less well)
    except ImportError as error:
        raise MissingExtraError.of("onnx", "onnx") from error
    size = codec.config.size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of traced branches: `_prove` tells whether they matter
            torch.onnx.export(
                network,
                _example(codec, codec.config.canvas.geometry(size, size)),
                path,
                dynamo=False,  # which runs the network's own code with hooks, as cutting it does
                opset_version=OPSET,
                input_names=["x", "inverse_gain"],
                output_names=["y", "z"],
                dynamic_axes={"x": {2: "height", 3: "width"}},
            )
    except Exception as error:  # whatever somebody else's network does when it is traced
        raise _cannot(codec, one_line(error)) from error
    return path.read_bytes()


def _prove(codec: FeatureCodec, network: nn.Module, folder: str) -> None:
    """See that the exported encoder gives the latents that torch gives, at several sizes."""
    size = codec.config.size
    for across, down in _SHAPES:
        geometry = codec.config.canvas.geometry(max(1, int(size * across)), max(1, int(size * down)))
        x, inverse_gain = _example(codec, geometry)
        expected = network(x, inverse_gain)
        try:
            got = Encoder(folder)._run(x.numpy(), inverse_gain.numpy(), geometry)
        except CodecFileError as error:
            error.path = None  # of the trial
            raise _cannot(codec, str(error)) from error
        for ours, theirs in zip(got, expected, strict=True):
            error_at = float(np.abs(ours - theirs[0].numpy()).max())
            if not error_at <= _CLOSE * max(1.0, float(theirs.abs().max())):
                shape = f"{geometry.canvas_width} x {geometry.canvas_height}"
                raise _cannot(codec, f"its graph gives other latents on a canvas of {shape} than the network")


def _cannot(codec: FeatureCodec, why: str) -> InputError:
    return InputError(f"codec {codec.name!r} cannot be exported: {why}")
