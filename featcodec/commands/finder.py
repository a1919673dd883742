"""What ``featcodec detect`` does with its files: each to boxes, several at a time, by the codec it wants."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featcodec.commands.detections import Detected
from featcodec.commands.drawings import drawn, ground
from featcodec.commands.options import codec_for, codec_of, limits_of
from featcodec.console import MAX_INPUT, about, read_input, write_output
from featcodec.errors import FeatcodecError
from featcodec.plf.bitstream import parse
from featcodec.plf.header import Header

if TYPE_CHECKING:
    from PIL import Image

    from featcodec.codec.feature_codec import FeatureCodec

__all__ = ["Finder"]


@dataclass(frozen=True, slots=True)
class _Source:
    """What boxes are looked for in: a ``.plf`` and, where one was given, the photograph it is made of."""

    file: str
    codec: FeatureCodec
    data: bytes
    header: Header
    photo: bytes | None


class Finder:
    """Finds boxes in files.

    Args:
        arguments: of the command line: codec, network, limits, confidence, drawing.
    """

    def __init__(self, arguments: argparse.Namespace):
        self._arguments, self._limits = arguments, limits_of(arguments)
        self._codecs: dict[bytes, FeatureCodec] = {}  # by fingerprint; b"" is that of pictures

    def find(self, files: Sequence[str], errors: dict[str, FeatcodecError] | None) -> list[Detected]:
        """Boxes of some files; errors go to `errors`, by file, or are raised."""
        sources = []
        for file in files:
            try:
                sources.append(self._source(file))
            except FeatcodecError as error:
                if errors is None:
                    raise
                errors[file] = error
        found: dict[str, Detected] = {}
        for codec in {id(source.codec): source.codec for source in sources}.values():
            for same in self._together([source for source in sources if source.codec is codec]):
                found |= self._detect_each(codec, same, errors)
        return [found[source.file] for source in sources if source.file in found]

    def _together(self, sources: Sequence[_Source]) -> Iterator[list[_Source]]:
        """Groups that take no more memory than a single file within the limits may take."""
        group: list[_Source] = []
        latents = 0
        for source in sources:
            more = source.header.latent_height * source.header.latent_width
            if group and latents + more > self._limits.max_latents:
                yield group
                group, latents = [], 0
            group.append(source)
            latents += more
        if group:
            yield group

    def _detect_each(
        self, codec: FeatureCodec, sources: Sequence[_Source], errors: dict[str, FeatcodecError] | None
    ) -> dict[str, Detected]:
        """Together, or one by one where one of them is bad."""
        try:
            return self._detect(codec, sources)
        except FeatcodecError as error:
            if errors is None:
                raise
            if len(sources) == 1:
                errors[sources[0].file] = error
                return {}
        parts = [self._detect_each(codec, [source], errors) for source in sources]
        return {file: found for part in parts for file, found in part.items()}

    def _source(self, file: str) -> _Source:
        """Read a ``.plf`` file, or make one of a picture."""
        arguments = self._arguments
        data = read_input(file, MAX_INPUT)
        if b"PLF" in data[:6]:  # sound, or with one of the damages that the parser can name
            with about(file):
                header = parse(data, limits=self._limits).header  # before torch is imported: takes seconds
            key = b"" if arguments.codec is not None else header.fingerprint
            if key not in self._codecs:
                self._codecs[key] = codec_for(header, file, arguments)
            return _Source(file, self._codecs[key], data, header, None)
        if b"" not in self._codecs:
            given = {"network": arguments.network, "weights": arguments.weights}
            self._codecs[b""] = codec_of(arguments.codec, **given)
        codec = self._codecs[b""]
        with about(file):
            coded = codec.encode(data, max_pixels=self._limits.max_pixels)
            header = parse(coded, limits=self._limits).header
        return _Source(file, codec, coded, header, data)

    def _ground(self, source: _Source) -> Image.Image:
        name, photo, on = source.file, source.photo, self._arguments.on
        if on is not None:
            name, photo = on, read_input(on, MAX_INPUT)
        with about(name):
            return ground(photo, source.header, self._limits)

    def _detect(self, codec: FeatureCodec, sources: Sequence[_Source]) -> dict[str, Detected]:
        arguments = self._arguments
        first = sources[0]
        canvas = self._ground(first) if arguments.draw is not None else None
        with about(first.file):
            features = codec.decode_batch([source.data for source in sources], limits=self._limits)
            least = codec.confidence if arguments.confidence is None else arguments.confidence
            boxes = codec.detect_batch(features, confidence=least)
        if canvas is not None:
            write_output(arguments.draw, drawn(arguments.draw, canvas, boxes[0], first.header))
        return {
            source.file: Detected(source.file, len(source.data), source.header, least, found, arguments.draw)
            for source, found in zip(sources, boxes, strict=True)
        }
