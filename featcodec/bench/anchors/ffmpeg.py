"""VVC and HEVC intra pictures, by the ffmpeg program that the package imageio-ffmpeg carries.

    planes (Y, Cb, Cr) ─encode: ffmpeg -c:v libvvenc─▶ bitstream ─decode: ffmpeg -f vvc─▶ planes

Two processes a picture, with pipes: no file, no reconstruction of the encoder's, one thread each.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featcodec.bench.anchors.container import LARGEST
from featcodec.errors import CoderError, FeatcodecError, MissingExtraError
from featcodec.files import printable

__all__ = ["HEVC", "VVC", "Intra", "Plane", "Planes", "coded_side"]

Plane: TypeAlias = NDArray[Any]  # unsigned integers (rows, columns)
Planes: TypeAlias = tuple[Plane, Plane, Plane]  # Y, and Cb and Cr of half its sides

_SECONDS = 120  # for one picture, which takes a fraction of one
_QUIET = ("-hide_banner", "-loglevel", "error")
_NO_PROBING = ("-probesize", "32", "-analyzeduration", "0")  # format and size are given
_VERSIONS = re.compile(r"(?:ffmpeg version|libvvenc version:|HEVC encoder version) \S+")
_ADDRESS = re.compile(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )+")


@dataclass(frozen=True, slots=True)
class Intra:
    """An intra coder of ffmpeg's: single pictures, 4:2:0, as bare bitstreams.

    Attributes:
        encoder: as ``ffmpeg -encoders`` names it.
        format: of the bitstream; the decoder is called the same.
        bits: of a sample.
        options: of the encoder; ``{qp}`` stands for the quantization parameter.
    """

    encoder: str
    format: str
    bits: int
    options: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Program, versions and command line.

        Raises:
            CoderError, MissingExtraError: as `encode`.
        """
        return f"{_versions(self.encoder)}; -c:v {self.encoder} {' '.join(self.options)}"

    @property
    def _pixels(self) -> str:
        return "yuv420p" if self.bits == 8 else f"yuv420p{self.bits}le"

    @property
    def _sample(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self.bits == 8 else "<u2")

    def missing(self) -> str | None:
        """Why this coder cannot run here; None if it can."""
        try:
            for option, name in (("-encoders", self.encoder), ("-decoders", self.format)):
                if name not in _listed(option):
                    return f"the ffmpeg of imageio-ffmpeg has no {name} among its {option[1:]}"
        except FeatcodecError as error:
            return str(error)
        return None

    def encode(self, planes: Planes, qp: float) -> bytes:
        """A picture to a bitstream.

        Args:
            planes: Y (H, W) and Cb, Cr (H/2, W/2), integers of `bits` bits; sides as `coded_side` gives.
            qp: an integer, as the encoder takes it. ffmpeg gives libvvenc a byte a pixel at most, which noise
                exceeds below about 16.

        Raises:
            CoderError: the encoder failed; the message holds what it said.
            MissingExtraError: imageio-ffmpeg is not installed.
        """
        height, width = planes[0].shape
        _check_size(self.encoder, height, width)
        if qp != int(qp):
            raise CoderError(f"{self.encoder}: got qp {qp}, expected an integer")
        data = b"".join(np.ascontiguousarray(p, self._sample).tobytes() for p in planes)
        raw = ("-f", "rawvideo", "-pix_fmt", self._pixels, "-video_size", f"{width}x{height}")
        options = [o.format(qp=int(qp)) for o in self.options]
        command = [*_QUIET, "-threads", "1", *raw, "-i", "pipe:0", "-c:v", self.encoder, *options]
        stream = _run(self.encoder, [*command, "-threads", "1", "-f", self.format, "pipe:1"], data)
        if not stream:
            raise CoderError(f"{self.encoder}: got no bitstream for a {width} x {height} picture")
        return stream

    def decode(self, stream: bytes, height: int, width: int) -> Planes:
        """A bitstream to the planes of a picture of that size; errors as `encode`."""
        what = f"{self.format} decoder"
        _check_size(what, height, width)
        most = (height + 64) * (width + 64)  # pixels: the picture, up to whole blocks
        source = ["-threads", "1", *_NO_PROBING, "-max_pixels", str(most)]
        sink = ["-frames:v", "1", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", self._pixels]
        command = [*_QUIET, *source, "-f", self.format, "-i", "pipe:0", *sink, "pipe:1"]
        data = _run(what, command, stream)
        samples, expected = len(data) // self._sample.itemsize, height * width * 3 // 2
        if samples != expected:
            raise CoderError(f"{what}: got {samples} samples, expected {expected} ({width} x {height})")
        y, cb, cr = np.split(np.frombuffer(data, self._sample), (height * width, height * width * 5 // 4))
        return y.reshape(height, width), *(c.reshape(height // 2, width // 2) for c in (cb, cr))  # type: ignore[return-value]


VVC = Intra(
    "libvvenc",
    "vvc",
    10,  # all that libvvenc takes
    ("-preset", "faster", "-qp", "{qp}", "-qpa", "0", "-vvenc-params", "accessunitdelimiter=0"),
)
HEVC = Intra(
    "libx265",
    "hevc",
    8,
    (
        "-preset",
        "medium",
        "-x265-params",
        # ipratio=1: x265 would lower the qp of intra pictures by 3. info=0: no SEI with its options as text.
        "qp={qp}:ipratio=1:keyint=1:info=0:log-level=error:pools=none:frame-threads=1",
    ),
)


def coded_side(side: int) -> int:
    """Pixels that a side is padded to for coding: even, as 4:2:0 needs, and 16 at least, as libvvenc does.

    Example:
        >>> coded_side(299), coded_side(1)
        (300, 16)
    """
    return max(16, side + side % 2)


def _check_size(what: str, height: int, width: int) -> None:
    if height * width > LARGEST:
        raise CoderError(f"{what}: got {width} x {height} pixels, expected at most {LARGEST}")


@cache
def _executable() -> str:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingExtraError.of("imageio-ffmpeg", "bench") from error
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise CoderError(f"imageio-ffmpeg: {printable(str(error))}") from error


@cache
def _listed(option: str) -> frozenset[str]:
    """Names that ``ffmpeg -encoders`` or ``-decoders`` lists."""
    lines = _run("ffmpeg", ["-hide_banner", option], b"").decode(errors="replace").splitlines()
    return frozenset(words[1] for words in map(str.split, lines) if len(words) > 1)


@cache
def _versions(encoder: str) -> str:
    """As program and encoder print them while a grey picture is coded."""
    grey = ("-f", "lavfi", "-i", "color=size=64x64:rate=1:duration=1")
    done = _process(encoder, ["-loglevel", "verbose", *grey, "-c:v", encoder, "-f", "null", "-"], b"")
    return ", ".join(_VERSIONS.findall(done.stderr.decode(errors="replace")))


def _run(what: str, arguments: Sequence[str], data: bytes) -> bytes:
    done = _process(what, arguments, data)
    if done.returncode:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        said = _ADDRESS.sub("", lines[0]) if lines else "no message"
        raise CoderError(f"{what}: exit code {done.returncode}: {printable(said)}")
    return done.stdout


def _process(what: str, arguments: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Runs ffmpeg; `subprocess.run` kills it at the time limit and on an interrupt."""
    try:
        return subprocess.run([_executable(), *arguments], input=data, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise CoderError(f"{what}: no answer within {_SECONDS} s") from error
    except OSError as error:
        raise CoderError(f"{what}: ffmpeg does not start: {error.strerror or error}") from error
