"""Latents to symbols to ``.plf`` and back, without torch: what every encoder and every reader has in common.

y / gains, z ─round─▶ (z, y symbols) ─entropy─▶ payload ─▶ .plf
.plf ─▶ payload ─entropy─▶ (z, y symbols) ─▶ ŷ
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featcodec.codec.codec_reading import LARGEST_FILE, consistent, read_config, reading
from featcodec.codec.config import CodecConfig, check_config
from featcodec.codec.decode_memory import check_decode_memory
from featcodec.codec.entropy import SymbolDecoder, encode_symbols, symbol_hash
from featcodec.codec.entropy_model import EntropyModel, check_layout, fingerprint_of
from featcodec.codec.hyper_synthesis import IntegerUnits
from featcodec.codec.quantize import PRICE, quantize, symbol_bits
from featcodec.codec.widths import side_shape
from featcodec.errors import InputError, MalformedError, ModelMismatchError, SymbolHashError
from featcodec.files import read_file
from featcodec.networks.safetensors_header import read_arrays
from featcodec.pictures.geometry import Geometry
from featcodec.plf.bitstream import DEFAULT_LIMITS, Bitstream, Limits, serialize
from featcodec.plf.header import HIGHEST_STEP, Header, quality_to_step

__all__ = ["DEFAULT_QUALITY", "SymbolCodec", "Symbols", "largest_within", "step_of"]

DEFAULT_QUALITY = 4.0
LIMIT_LATENT = 1 << 15  # larger latents mean a broken network, not a picture
LIMIT_SIDE = IntegerUnits.LIMIT_SYMBOL  # larger symbols of z could make the integer sums round
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Symbols:
    """What the entropy coder sees of one picture.

    Attributes:
        z: (N, h_z, w_z) int32 side information.
        y: (M, h, w) int32, latents minus predicted means, rounded.
        index: (M, h, w) int32, row of the scale table of each y.
        mean: (M, h, w) float64, multiples of 1/16.
    """

    z: Ints
    y: Ints
    index: Ints
    mean: NDArray[np.float64]

    @property
    def hash(self) -> bytes:
        """4 bytes that the file carries, so that a decoder that drifted is found out."""
        return symbol_hash(self.z, self.y)


class SymbolCodec:
    """The half of a codec that works on whole numbers: it decodes files to symbols and latents.

    Args:
        config: what the codec file says in words.
        model: tables, gains and hyper-synthesis.
        fingerprint: 16 bytes that stand for everything that decoding depends on.

    Example:
        >>> from skimage.data import astronaut
        >>> import featcodec
        >>> codec = SymbolCodec.load(featcodec.zoo.path("yolox-nano-open"))
        >>> stream = featcodec.plf.bitstream.parse(featcodec.encode(astronaut(), codec=codec.name))
        >>> symbols = codec.decode_symbols(stream)
        >>> symbols.y.shape, codec.latent_array(symbols, stream.header.quality_step).shape
        ((128, 26, 26), (128, 26, 26))
    """

    def __init__(self, config: CodecConfig, model: EntropyModel, fingerprint: bytes):
        self.config, self.model = config, model
        self._fingerprint = fingerprint

    @staticmethod
    def load(path: str | os.PathLike[str]) -> SymbolCodec:
        """Reads what a codec file has for this half.

        Raises:
            InputError: missing or unreadable.
            CodecFileError: not a codec file, or one that contradicts itself.
        """
        data = read_file(path, LARGEST_FILE)
        with reading(path):
            config, arrays = read_config(data), read_arrays(data)
            with consistent(config.name):
                check_config(config)
                check_layout(config.widths, arrays)
                model = EntropyModel.of(arrays).check(config.widths)
            return SymbolCodec(config, model, fingerprint_of(config, arrays))

    @property
    def name(self) -> str:
        """The codec's name, as its files carry it."""
        return self.config.name

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that stand for everything that decoding depends on."""
        return self._fingerprint

    # ---- encoding

    def side_symbols(self, z: NDArray[np.float32]) -> Ints:
        """Side information (N, h_z, w_z), as h_a gives it, to symbols."""
        return np.rint(z).clip(-LIMIT_SIDE, LIMIT_SIDE).astype(np.int32)

    def check_latents(self, y_g: NDArray[np.float32]) -> None:
        """Latents in steps of the quantizer have to be such as a sound network gives.

        Raises:
            InputError: they are not finite, or far out of range.
        """
        if not bool(np.isfinite(y_g).all()) or float(np.abs(y_g).max()) >= LIMIT_LATENT:
            raise InputError("encode: the network gave features that are not finite or far out of range")

    def latent_symbols(self, residual: NDArray[np.float64], index: Ints, effort: int) -> Ints:
        """Latents minus means (M, h, w), in steps, to symbols: efforts 0 and 1."""
        if effort == 0:
            return np.rint(residual).astype(np.int32)
        return quantize(residual, index, self.symbol_bits, PRICE)

    @cached_property
    def symbol_bits(self) -> NDArray[np.float64]:
        """Bits of each symbol in each table of y; see `featcodec.codec.quantize.symbol_bits`."""
        return symbol_bits(self.model.tables_y)

    def payload(self, s: Symbols) -> bytes:
        """Symbols to the entropy-coded payload."""
        z_rows = _channel_rows(s.z.shape)
        return encode_symbols(
            [(_flat(s.z), z_rows, self.model.tables_z), (_flat(s.y), _flat(s.index), self.model.tables_y)]
        )

    def file_of(
        self, s: Symbols, geometry: Geometry, step: int, metadata: Mapping[str, object] | None
    ) -> bytes:
        """Symbols of a picture, at a quality step of 0 to 224, to a complete ``.plf`` file."""
        header = Header(
            fingerprint=self.fingerprint,
            codec=self.name,
            quality_step=step,
            width=geometry.width,
            height=geometry.height,
            size=geometry.size,
            latent_height=s.y.shape[-2],
            latent_width=s.y.shape[-1],
            symbol_hash=s.hash,
        )
        return serialize(Bitstream(header, self.payload(s), metadata))

    # ---- decoding

    def geometry_of(self, header: Header) -> Geometry:
        """Where the picture of a file lies on its canvas."""
        return Geometry(header.width, header.height, header.size, self.config.stride)

    def decode_symbols(
        self, stream: Bitstream, geometry: Geometry | None = None, *, limits: Limits = DEFAULT_LIMITS
    ) -> Symbols:
        """The payload's symbols, checked against the file's hash.

        Args:
            stream: the file, parsed.
            geometry: what `geometry_of` gives of its header, for who has it.
            limits: what is refused as too large, before anything is allocated.

        Raises:
            BitstreamError: the payload is damaged, or larger than the limits.
            ModelMismatchError: another codec made the file.
        """
        header = stream.header
        self._check_header(header, geometry or self.geometry_of(header))
        shape = (header.latent_height, header.latent_width)
        check_decode_memory(self.config.widths, *shape, limits)
        z_shape = (self.config.widths.side, *side_shape(*shape))
        decoder = SymbolDecoder(stream.payload)
        z = decoder.decode(_channel_rows(z_shape), self.model.tables_z).reshape(z_shape)
        if int(np.abs(z.astype(np.int64)).max()) > LIMIT_SIDE:
            raise MalformedError(f"payload: side information out of range, expected at most {LIMIT_SIDE}")
        index, mean = self.model.h_s(z, *shape)
        y = decoder.decode(_flat(index), self.model.tables_y).reshape(index.shape)
        decoder.finish()
        s = Symbols(z, y, index, mean)
        if s.hash != header.symbol_hash:
            raise SymbolHashError(
                f"decoded symbols: got hash {s.hash.hex()}, expected {header.symbol_hash.hex()}: "
                "a damaged payload with right checksums, or a decoder that is not exact"
            )
        return s

    def _check_header(self, header: Header, geometry: Geometry) -> None:
        """Whether a file is this codec's, and has as many latents as its picture."""
        if header.fingerprint != self.fingerprint:
            raise ModelMismatchError(
                f"the file wants codec {header.codec!r} with fingerprint {header.fingerprint.hex()}, "
                f"got {self.name!r} with {self.fingerprint.hex()}"
            )
        shape, step = (header.latent_height, header.latent_width), self.config.latent_stride
        expected = (geometry.canvas_height // step, geometry.canvas_width // step)
        if shape != expected:
            raise MalformedError(
                f"header: got {shape[0]} x {shape[1]} latents, expected {expected[0]} x {expected[1]} for a "
                f"{geometry.width} x {geometry.height} picture scaled to {geometry.size} px"
            )

    def latent_array(self, s: Symbols, step: int) -> NDArray[np.float32]:
        """Decoded symbols to latents (M, h, w), at a quality step of 0 to 224; the same bits everywhere."""
        latents: NDArray[np.float32] = (s.y + s.mean).astype(np.float32)
        return latents * self.model.inverse_gain(step)[:, None, None]


def step_of(quality: float | None, target_bytes: object) -> int:
    """The quality step that an encoder is asked for, the default one unless it is said.

    Raises:
        InputError: the quality is out of range, given beside a target, or the target is no integer.

    Example:
        >>> step_of(None, None), step_of(1.5, None)
        (96, 16)
    """
    if quality is not None and target_bytes is not None:
        raise InputError("encode: got quality and target_bytes, expected one of them")
    if target_bytes is not None and (not isinstance(target_bytes, int) or isinstance(target_bytes, bool)):
        raise InputError(f"target_bytes: got {type(target_bytes).__name__}, expected an integer")
    return quality_to_step(DEFAULT_QUALITY if quality is None else quality)


def largest_within(make: Callable[[int], bytes], target: int) -> bytes:
    """The file of the best quality step that has at most `target` bytes; tries nine of them.

    Args:
        make: a quality step to a file.
        target: bytes.

    Raises:
        InputError: that of the lowest quality has more.

    Example:
        >>> len(largest_within(lambda step: bytes(1000 + 10 * step), 2005))
        2000
    """
    best = make(0)
    if len(best) > target:
        raise InputError(f"target_bytes: got {target}, expected at least {len(best)}, as quality 1 needs")
    low, high = 0, HIGHEST_STEP + 1  # low fits, high does not (or is out of range)
    while high - low > 1:
        middle = (low + high) // 2
        data = make(middle)
        if len(data) <= target:
            low, best = middle, data
        else:
            high = middle
    return best


def _flat(symbols: Ints) -> Ints:
    return np.ascontiguousarray(symbols, np.int32).reshape(-1)


def _channel_rows(shape: tuple[int, ...]) -> Ints:
    """Row of the table of z for each symbol: its channel."""
    return np.repeat(np.arange(shape[0], dtype=np.int32), shape[1] * shape[2])
