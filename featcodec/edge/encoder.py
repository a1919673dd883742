"""Pictures to ``.plf`` files by an edge folder: onnxruntime, NumPy, Pillow and constriction, no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.codec.effort import DEFAULT_EFFORT, REFINEMENTS, check_effort
from featcodec.codec.symbol_codec import SymbolCodec, Symbols, largest_within, step_of
from featcodec.codec.widths import side_shape
from featcodec.edge.folder import GRAPH, EdgeFolder
from featcodec.errors import CodecFileError, InputError, MissingExtraError, one_line
from featcodec.files import printable
from featcodec.pictures.geometry import Geometry, check_positive
from featcodec.pictures.loading import Channels, ImageLike, load_canvas
from featcodec.plf.bitstream import DEFAULT_LIMITS

__all__ = ["Encoder"]

Floats = NDArray[np.float32]
_INPUTS, _OUTPUTS = ["x", "inverse_gain"], ["y", "z"]


class Encoder(SymbolCodec):
    """A codec's encoder on a device.

    Args:
        folder: as ``featcodec export`` makes it.
        threads: of onnxruntime; more than one only pays for large networks.

    Raises:
        InputError: a file of the folder is missing or unreadable, or `threads` is no number above 0.
        CodecFileError: the folder is damaged, or its network is none that onnxruntime takes.
        MissingExtraError: onnxruntime is not installed.

    Example:
        >>> import tempfile
        >>> import featcodec
        >>> from featcodec.edge.export import export
        >>> from skimage.data import astronaut
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export(featcodec.load(), folder)
        ...     data = Encoder(folder).encode(astronaut(), quality=4)
        >>> featcodec.load().detect(data)[0].label
        'person'
    """

    def __init__(self, folder: str | os.PathLike[str], *, threads: int = 1):
        check_positive(threads=threads)
        read = EdgeFolder.load(folder)
        super().__init__(read.config, read.model, read.fingerprint)
        self.encoder_digest = read.digest
        self._path = printable(os.path.join(folder, GRAPH))  # noqa: PTH118 (a path as the user typed it)
        self._session = self._open(read.graph, threads)

    def encode(
        self,
        image: ImageLike,
        *,
        quality: float | None = None,
        target_bytes: int | None = None,
        effort: int = DEFAULT_EFFORT,
        metadata: Mapping[str, object] | None = None,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
        channels: Channels = "rgb",
    ) -> bytes:
        """A picture to a complete ``.plf`` file, which decodes as any other of the codec.

        Args:
            image: path, encoded bytes, PIL image or array; see `featcodec.pictures.loading.load_image`.
            quality: 1 (smallest) to 8 (largest), in steps of 1/32; 4 unless given.
            target_bytes: instead of a quality: the best quality whose file has at most so many bytes; runs
                the network nine times.
            effort: 0 rounds, 1 weighs bits against errors; 2 and 3 need the whole network, and torch.
            metadata: JSON values to carry along, at most 64 KiB.
            max_pixels: larger pictures are refused before their pixels are decoded.
            channels: "bgr" for an array whose colours are in that order, as OpenCV gives them.

        Raises:
            ImageError: not a picture.
            InputError: quality or effort out of range, both or impossible `target_bytes`.
            CodecFileError: the folder's network does not give what the codec takes.

        Example:
            See the class.
        """
        step = step_of(quality, target_bytes)
        self._check_effort(effort)
        x, geometry = self._load(image, max_pixels, channels)

        def make(step: int) -> bytes:
            return self.file_of(self._symbols(x, geometry, step, effort), geometry, step, metadata)

        return make(step) if target_bytes is None else largest_within(make, target_bytes)

    def symbols(self, image: ImageLike, *, quality: float | None = None) -> Symbols:
        """What is coded of a picture, at effort 0; arguments and errors as `encode`."""
        x, geometry = self._load(image, DEFAULT_LIMITS.max_pixels, "rgb")
        return self._symbols(x, geometry, step_of(quality, None), 0)

    def _check_effort(self, effort: object) -> None:
        if check_effort(effort) in REFINEMENTS:
            raise InputError(
                f"effort: got {effort}, expected 0 or 1 on a device: 2 and 3 go through the whole network"
            )

    def _load(self, image: ImageLike, max_pixels: int, channels: Channels) -> tuple[Floats, Geometry]:
        """A picture to x (1, 3, H, W) in [0, 1] and where it lies."""
        size, stride = self.config.size, self.config.stride
        canvas, geometry = load_canvas(
            image, size=size, stride=stride, max_pixels=max_pixels, channels=channels
        )
        planes = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
        return planes.astype(np.float32) / np.float32(255), geometry

    def _symbols(self, x: Floats, geometry: Geometry, step: int, effort: int) -> Symbols:
        inverse_gain = self.model.inverse_gain(step)[None, :, None, None]
        y_g, z = self._run(x, inverse_gain, geometry)
        self.check_latents(y_g)
        z_symbols = self.side_symbols(z)
        index, mean = self.model.h_s(z_symbols, *y_g.shape[1:])
        residual = y_g.astype(np.float64) - mean
        return Symbols(z_symbols, self.latent_symbols(residual, index, effort), index, mean)

    # ---- onnxruntime

    def _open(self, graph: bytes, threads: int) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError.of("onnxruntime", "edge") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting costs a battery
        options.enable_cpu_mem_arena = False  # it keeps memory for the next picture
        options.log_severity_level = 4  # what is wrong becomes an error of ours, in one line
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            inputs, outputs = session.get_inputs(), session.get_outputs()
        except Exception as error:  # onnxruntime's are of many kinds
            raise self._refused(one_line(error)) from error
        got = [[v.name for v in values] for values in (inputs, outputs)]
        if got != [_INPUTS, _OUTPUTS] or any(v.type != "tensor(float)" for v in (*inputs, *outputs)):
            names = " to ".join(", ".join(name[:40] for name in names[:4]) for names in got)
            raise self._refused(f"a network from {printable(names)}")
        return session

    def _run(self, x: Floats, inverse_gain: Floats, geometry: Geometry) -> tuple[Floats, Floats]:
        """Latents in steps (M, h, w) and side information (N, h_z, w_z) of a canvas."""
        try:
            y, z = self._session.run(_OUTPUTS, dict(zip(_INPUTS, (x, inverse_gain), strict=True)))
        except Exception as error:
            raise self._refused(one_line(error)) from error
        widths, stride = self.config.widths, self.config.latent_stride
        sides = geometry.canvas_height // stride, geometry.canvas_width // stride
        expected = (1, widths.latents, *sides), (1, widths.side, *side_shape(*sides))
        if (y.shape, z.shape) != expected:
            raise self._refused(f"latents {y.shape} and {z.shape}, expected {expected[0]} and {expected[1]}")
        return y[0], z[0]

    def _refused(self, got: str) -> CodecFileError:
        what = f"an encoder of codec {self.name!r} that onnxruntime runs"
        return CodecFileError(f"expected {what}, got {got}", path=self._path)
