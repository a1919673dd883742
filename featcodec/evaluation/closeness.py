"""How close a rebuilt picture comes to the photograph: PSNR, near edges and elsewhere, and MS-SSIM."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featcodec.errors import MissingExtraError
from featcodec.pictures.pixels import pixels

__all__ = [
    "CLOSENESS_VERSION",
    "Closeness",
    "blind_psnr",
    "check_packages",
    "closeness",
    "decibels",
    "psnr",
]

CLOSENESS_VERSION = 1  # raise it when a figure for the same pictures changes

EDGE = 3  # pixels that count as near an edge
CANNY = (100, 200)  # thresholds of cv2.Canny on the luma, 0 to 255, gradients by 3 x 3 Sobel
SCALES = 5  # of MS-SSIM
LEAST_ERROR = 1e-10  # mean square; below it lie 100 dB, and a picture without any error


@dataclass(frozen=True, slots=True)
class Closeness:
    """One rebuilt picture against the photograph.

    Attributes:
        psnr: dB, of pixels in [0, 1] at the canvas's resolution.
        ms_ssim: 0 to 1; NaN for a picture with a side of 32 pixels or less.
        psnr_edges: within 3 px of an edge that Canny finds in the photograph; NaN where there is none.
        psnr_flat: elsewhere; NaN where there is nothing else.
        blind: PSNR of the photograph's mean colour, which an attacker with nothing but that would reach.
    """

    psnr: float
    ms_ssim: float
    psnr_edges: float
    psnr_flat: float
    blind: float


def check_packages() -> None:
    """Find out before hours of training whether its result can be measured.

    Raises:
        MissingExtraError: OpenCV or pytorch-msssim is missing.
    """
    for module, package in (("cv2", "opencv-python-headless"), ("pytorch_msssim", "pytorch-msssim")):
        if find_spec(module) is None:
            raise MissingExtraError.of(package, "bench")


def closeness(rebuilt: Tensor, truth: Tensor) -> Closeness:
    """Compares (3, H, W) in [0, 1] with (3, H, W) in [0, 1], both without borders.

    Example:
        >>> import torch
        >>> truth = torch.zeros(3, 64, 64)
        >>> closeness(truth + 0.1, truth).psnr_flat
        20.0
    """
    error = (rebuilt - truth).double().square().mean(0).numpy()  # (H, W)
    near = _near_edges(truth)
    return Closeness(
        psnr=psnr(error),
        ms_ssim=_ms_ssim(rebuilt, truth),
        psnr_edges=psnr(error[near]),
        psnr_flat=psnr(error[~near]),
        blind=blind_psnr(truth),
    )


def psnr(squared_error: NDArray[np.floating[Any]]) -> float:
    """PSNR in dB, to a millionth, of squared errors of pixels in [0, 1]; NaN of none at all."""
    if squared_error.size == 0:
        return float("nan")
    return round(float(decibels(torch.tensor(squared_error.mean(), dtype=torch.float64))), 6)


def decibels(mean_squared_error: Tensor) -> Tensor:
    """PSNR in dB of mean squared errors of pixels in [0, 1], of any shape; 100 dB at most.

    Example:
        >>> decibels(torch.tensor([0.1, 0.0]))
        tensor([ 10., 100.])
    """
    return -10 * torch.log10(mean_squared_error.clamp(min=LEAST_ERROR))


def blind_psnr(truth: Tensor) -> float:
    """PSNR of a picture (3, H, W) painted in its mean colour, dB."""
    error = truth.double() - truth.double().mean((1, 2), keepdim=True)
    return psnr(error.square().numpy())


def _near_edges(truth: Tensor) -> NDArray[np.bool_]:
    """(H, W) True within 3 px of an edge."""
    import cv2

    edges = cv2.Canny(cv2.cvtColor(pixels(truth), cv2.COLOR_RGB2GRAY), *CANNY)
    if not edges.any():
        return np.zeros(edges.shape, np.bool_)
    distance = cv2.distanceTransform(255 - edges, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near: NDArray[np.bool_] = np.asarray(distance) <= EDGE
    return near


def _ms_ssim(rebuilt: Tensor, truth: Tensor) -> float:
    """Five scales; on sides of 160 px or less with a window smaller than 11, which they would not hold.

    Source: Wang, Simoncelli and Bovik 2003, "Multiscale structural similarity".
    """
    from pytorch_msssim import ms_ssim

    half = (min(truth.shape[1:]) - 1) // 2**SCALES  # of the window, which must fit five times halved
    if half < 1:
        return float("nan")
    size = min(11, 2 * half + 1)
    found = ms_ssim(rebuilt[None], truth[None], data_range=1.0, win_size=size)
    return float(found)
