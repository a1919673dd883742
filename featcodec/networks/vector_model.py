"""An ONNX network from pictures of one size to vectors, such as a face recogniser or a reader of plates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import CodecFileError, MissingExtraError
from featcodec.files import printable, read_file

__all__ = ["VectorModel"]

_MEAN, _DEVIATION = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)  # of ImageNet, RGB
_MAX_BYTES = 2**26  # of a model


class VectorModel:
    """A network in an ONNX file: pictures to vectors.

    Args:
        path: (N, 3, S, S) or (1, 3, S, S) float32, RGB in the order of the planes, ImageNet normalization, to
            (N, ...), of which the first output counts.
        threads: of the CPU.

    Attributes:
        side: S, in pixels.
        shapes: inputs and outputs, for messages.
        ranks: number of axes of the first output, the batch included.

    Raises:
        InputError: the file cannot be read.
        CodecFileError: it holds no such model.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int = 1):
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError.of("onnxruntime", "bench") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is said by the exception
        model = read_file(path, _MAX_BYTES)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds share no other base
            raise CodecFileError(
                "not an ONNX model that onnxruntime can run", path=printable(path)
            ) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.shapes = f"{[i.shape for i in inputs]} to {[o.shape for o in outputs]}"
        shape = inputs[0].shape if len(inputs) == 1 else []
        square = len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3] and isinstance(shape[2], int)
        if not square or (isinstance(shape[0], int) and shape[0] != 1):
            raise CodecFileError(
                f"got {self.shapes}, expected [['N', 3, S, S]] to [['N', D]]", path=printable(path)
            )
        self.side: int = shape[2]
        self.ranks = len(outputs[0].shape)
        self._most = 1 if isinstance(shape[0], int) else None
        self._input, self._path = inputs[0].name, path

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pictures (N, S, S, 3) to vectors (N, D), of any length.

        Raises:
            CodecFileError: the model fails, or gives what is not finite.
        """
        x = (pictures.astype(np.float32) / 255 - _MEAN) / _DEVIATION
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        step = self._most or len(x)
        try:
            parts = [
                self._session.run(None, {self._input: x[i : i + step]})[0] for i in range(0, len(x), step)
            ]
        except Exception as error:  # as above
            raise CodecFileError(
                f"the model failed on {x.shape} pictures", path=printable(self._path)
            ) from error
        vectors: NDArray[np.float32] = np.concatenate(parts).reshape(len(x), -1).astype(np.float32)
        if not np.isfinite(vectors).all():
            raise CodecFileError("the model's vectors are not finite", path=printable(self._path))
        return vectors
