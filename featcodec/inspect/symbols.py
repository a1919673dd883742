"""A ``.plf`` file decoded as far as its symbols, which takes the codec but not the network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from featcodec import zoo
from featcodec.codec.symbol_codec import SymbolCodec, Symbols
from featcodec.console import about
from featcodec.inspect.report import Report
from featcodec.pictures.geometry import Geometry

__all__ = ["Decoded", "decode", "decode_checked"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file, the codec that it wants, and its symbols, which have the hash that the file carries."""

    report: Report
    codec: SymbolCodec
    symbols: Symbols
    geometry: Geometry


def decode(report: Report, codec: SymbolCodec | str | None = None) -> Decoded:
    """Decode the symbols of a file.

    Args:
        report: the file.
        codec: it, the name of an embedded one or the path of a codec file; found by the fingerprint if
            omitted.

    Returns:
        The symbols, checked.

    Raises:
        BitstreamError: the payload is damaged.
        ModelMismatchError: no such codec at hand, or the one given is another.
        InputError: the codec given cannot be read.
        CodecFileError: likewise.
    """
    header = report.stream.header
    if codec is None:
        decoder = zoo.symbol_codec_for(header)
    else:
        decoder = codec if isinstance(codec, SymbolCodec) else _given(codec)
    geometry = decoder.geometry_of(header)
    symbols = decoder.decode_symbols(report.stream, geometry, limits=report.limits)
    return Decoded(report, decoder, symbols, geometry)


def decode_checked(report: Report, codec: str | None = None) -> Decoded:
    """As `decode`, but every error knows the path of the file, unless it is about the codec."""
    if codec is not None:
        _given(codec)  # what is wrong with it has nothing to do with the file
    with about(report.path):
        return decode(report, codec)


@cache
def _given(codec: str) -> SymbolCodec:
    return zoo.symbol_codec(codec)
