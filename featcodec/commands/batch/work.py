"""One picture after the other to its file, as each process of a run does it.

    picture ──hash──▶ finished? ──no──▶ claimed by another run? ──no──▶ encode ──▶ temporary file ──▶ target
                          └──yes──▶ kept          └──yes──▶ later                        ledger ◀───────┘

A run may be killed at any moment and started again: there is never a broken file, and what is finished is
kept.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from featcodec.commands.batch.ledger import Content, Ledger, read_picture
from featcodec.commands.batch.plan import Job
from featcodec.commands.options import codec_of
from featcodec.console import MAX_INPUT, STANDARD, about, read_input, write_output
from featcodec.errors import FeatcodecError
from featcodec.files import is_disk_full, printable, read_file
from featcodec.plf.bitstream import Limits, parse
from featcodec.plf.header import Header, quality_to_step

if TYPE_CHECKING:
    from featcodec.pictures.loading import ImageLike

__all__ = [
    "Busy", "Done", "Encoder", "Failed", "Outcome", "PictureCodec", "Request", "codec_for_request",
]  # fmt: skip

# of what makes a .plf of a picture: reading it, the encoder, the container. To be raised when one of them is
# changed so that other bytes come out, for nothing that was made before to be taken for finished.
VERSION = 1
# Files of a codec for large pictures are sound, too, even where a reader's defaults would refuse them.
_OWN = Limits(max_pixels=2**64, max_latents=2**64, max_payload=MAX_INPUT, max_file=MAX_INPUT)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, as the command line says it.

    Attributes:
        codec, network, weights, edge, threads: as the options of these names.
        quality, target_bytes, effort, metadata, max_pixels: as arguments of `FeatureCodec.encode`.
        folder: where the outputs go; None for a single file that is always written.
        keep: what an earlier run has finished.
    """

    codec: str | None
    network: str | None
    weights: str | None
    edge: str | None
    threads: int
    quality: float | None
    target_bytes: int | None
    effort: int
    metadata: Mapping[str, object] | None
    max_pixels: int
    folder: str | None
    keep: bool


class PictureCodec(Protocol):
    """What encodes pictures: a `FeatureCodec`, or on a device a `featcodec.edge.Encoder`."""

    @property
    def fingerprint(self) -> bytes: ...
    @property
    def encoder_digest(self) -> str: ...

    def encode(
        self,
        image: ImageLike,
        *,
        quality: float | None,
        target_bytes: int | None,
        effort: int,
        metadata: Mapping[str, object] | None,
        max_pixels: int,
    ) -> bytes: ...


def codec_for_request(request: Request) -> PictureCodec:
    """The codec that a run encodes with; what is missing for it is one error, not one of each picture."""
    if request.edge is not None:
        from featcodec.edge import Encoder as EdgeEncoder

        return EdgeEncoder(request.edge, threads=request.threads)
    codec = codec_of(request.codec, network=request.network, weights=request.weights)
    _ = codec.network
    return codec


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a picture.

    Attributes:
        job: which.
        status: "encoded", or "kept": an earlier run made it.
        size: bytes of the file.
        header: its header.
        read: bytes of the picture.
        seconds: what it took.
        why: the reason for the status.
    """

    job: Job
    status: str
    size: int
    header: Header
    read: int
    seconds: float
    why: str

    @property
    def bpp(self) -> float:
        return 8 * self.size / (self.header.width * self.header.height)

    def as_json(self) -> dict[str, object]:
        """What ``encode --json`` shows; names and units here are an interface."""
        header = self.header
        return {
            "file": self.job.picture,
            "output": self.job.target,
            "status": self.status,
            "bytes": self.size,
            "bpp": self.bpp,
            "quality": header.quality,
            "codec": header.codec,
            "fingerprint": header.fingerprint.hex(),
            "width": header.width,
            "height": header.height,
        }

    def __str__(self) -> str:
        rate = f"{self.bpp:.2f}" if self.bpp >= 0.1 else f"{self.bpp:.2g}"
        kept = " (kept)" if self.status == "kept" else ""
        return (
            f"{printable(self.job.target)}: {self.size:,} bytes, {rate} bpp, "
            f"quality {self.header.quality:g}, codec {self.header.codec}{kept}"
        )


@dataclass(frozen=True, slots=True)
class Failed:
    """A picture that could not be encoded, and why.

    Attributes:
        job: which.
        error: one line.
        disk_full: there is no space, or no right to write, for the files of other pictures either.
    """

    job: Job
    error: str
    disk_full: bool = False

    def as_json(self) -> dict[str, object]:
        """What ``encode --json`` shows; likewise."""
        return {
            "file": self.job.picture,
            "output": self.job.target,
            "status": "failed",
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Busy:
    """A picture that another run is at work on."""

    job: Job


Outcome: TypeAlias = Done | Failed | Busy


class Encoder:
    """A codec, and what it is asked to make.

    Args:
        codec: with its network.
        request: what is asked for.
        ledger: of the folder; None for a single file.
    """

    def __init__(self, codec: PictureCodec, request: Request, ledger: Ledger | None):
        self._codec, self._request, self._ledger = codec, request, ledger
        self._recipe = _recipe(codec, request)

    def do(self, job: Job) -> Outcome:
        """Keep the file of a picture if it is finished, else make it."""
        began = time.monotonic()
        try:
            if self._ledger is None:
                return self._make(job, began, None)
            return self._share(job, began, self._ledger)
        except FeatcodecError as error:
            return Failed(job, str(error), is_disk_full(error))

    def _share(self, job: Job, began: float, ledger: Ledger) -> Outcome:
        content = read_picture(job.picture, ledger, MAX_INPUT)
        if kept := self._kept(job, began, content, ledger):
            return kept
        with ledger.claim(job.target) as ours:
            if not ours:
                return Busy(job)
            ledger.refresh()  # another run may have finished it since
            return self._kept(job, began, content, ledger) or self._make(job, began, content)

    def _kept(self, job: Job, began: float, content: Content | None, ledger: Ledger) -> Done | None:
        if content is None or not self._request.keep:
            return None
        data = ledger.finished(content, self._recipe, job.target, MAX_INPUT)
        if data is None:
            return None
        if content.stamp is not None and ledger.digest(content.stamp) is None:
            ledger.add(content, self._recipe, data)  # next time it need not be read
        return _done(job, "kept", data, _size(job), began, "of this picture, by an earlier run")

    def _make(self, job: Job, began: float, content: Content | None) -> Done:
        request = self._request
        source: bytes | str = job.picture
        if content is not None and content.data is not None:
            source = content.data
        elif content is not None or job.picture == STANDARD:
            source = read_input(job.picture, MAX_INPUT)
            digest = hashlib.sha256(source).hexdigest()
            if content is not None and digest != content.digest:
                content = Content(digest, source, None)  # touched since
        with about(job.picture):
            data = self._codec.encode(
                source,
                quality=request.quality,
                target_bytes=request.target_bytes,
                effort=request.effort,
                metadata=request.metadata,
                max_pixels=request.max_pixels,
            )
        same = self._ledger is not None and request.keep and _holds(job.target, data)
        if not same:
            write_output(job.target, data)
        if content is not None and self._ledger is not None:
            self._ledger.add(content, self._recipe, data)
        status, why = ("kept", "encoded again: the same bytes") if same else ("encoded", "not made yet")
        read = len(source) if isinstance(source, bytes) else _size(job)
        return _done(job, status, data, read, began, why)


def _done(job: Job, status: str, data: bytes, read: int, began: float, why: str) -> Done:
    """Of the file its length and header: a run of many pictures keeps no file in memory."""
    header = parse(data, limits=_OWN).header
    return Done(job, status, len(data), header, read, time.monotonic() - began, why)


def _recipe(codec: PictureCodec, request: Request) -> str:
    """All that the bytes of a file depend on beside the picture, as a hash."""
    from featcodec.codec.symbol_codec import DEFAULT_QUALITY

    step: int | None = None
    if request.target_bytes is None:
        step = quality_to_step(DEFAULT_QUALITY if request.quality is None else request.quality)
    size = [step, request.target_bytes, request.effort]
    of = [VERSION, codec.fingerprint.hex(), codec.encoder_digest, *size, request.metadata]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def _holds(target: str, data: bytes) -> bool:
    """Whether a file is there already, byte for byte."""
    try:
        path = Path(target)
        return path.is_file() and path.stat().st_size == len(data) and read_file(path, len(data)) == data
    except (OSError, FeatcodecError):
        return False


def _size(job: Job) -> int:
    try:
        return Path(job.picture).stat().st_size
    except (OSError, ValueError):  # standard input
        return 0
