"""Where a face is on a photograph: the landmarks that a thief needs to align portraits of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featcodec.errors import CodecFileError, MissingExtraError
from featcodec.files import printable, read_file

__all__ = ["FaceDetector"]

_MAX_BYTES = 2**26  # of a model
_CONFIDENCE, _OVERLAP, _MOST = 0.6, 0.3, 50


class FaceDetector:
    """YuNet: the landmarks of the face nearest to a photograph's middle.

    Args:
        path: an ONNX model that OpenCV's `FaceDetectorYN` takes.

    Raises:
        InputError: the file cannot be read.
        CodecFileError: it holds no such model.
        MissingExtraError: OpenCV is not installed.

    Source: Wu, Peng and Yu 2023, "YuNet: a tiny millisecond-level face detector".
    """

    def __init__(self, path: str | Path):
        try:
            import cv2
        except ImportError as error:
            raise MissingExtraError.of("opencv-python-headless", "bench") from error
        model = np.frombuffer(read_file(path, _MAX_BYTES), np.uint8)
        try:
            self._detector = cv2.FaceDetectorYN.create(
                "onnx", model, np.empty(0, np.uint8), (64, 64), _CONFIDENCE, _OVERLAP, _MOST
            )
            self(np.zeros((64, 64, 3), np.uint8))
        except Exception as error:  # OpenCV's own kind, and another one for what is no file of its
            raise CodecFileError("not a face detector that OpenCV can run", path=printable(path)) from error

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """Landmarks (5, 2), as `featcodec.attacks.face_pairs.Faces` has them; None where no face is found.

        Args:
            picture: (H, W, 3) RGB.
        """
        height, width = picture.shape[:2]
        self._detector.setInputSize((width, height))
        found = self._detector.detect(np.ascontiguousarray(picture[:, :, ::-1]))[1]
        if found is None:
            return None
        centres = found[:, :2] + found[:, 2:4] / 2
        nearest = np.square(centres - np.array([width, height]) / 2).sum(1).argmin()
        return np.asarray(found[nearest, 4:14].reshape(5, 2), np.float64)
