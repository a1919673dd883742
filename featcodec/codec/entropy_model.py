"""The integers of a codec that its encoders and decoders share, as NumPy arrays: no torch is needed for them.

h_s.weight.N, h_s.bias.N  int16/32  the integer hyper-synthesis
inverse_gains             float32   (8, M), one row a quality
tables_z.*, tables_y.*    int32     the frequency tables
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featcodec.codec.config import CodecConfig
from featcodec.codec.entropy import Tables
from featcodec.codec.hyper_synthesis import HyperSynthesis, IntegerUnits
from featcodec.codec.widths import Widths
from featcodec.networks.identity import update_digest
from featcodec.networks.pickle_records import short
from featcodec.plf.header import QUALITIES, STEPS_PER_QUALITY

__all__ = ["SHARED", "EntropyModel", "check_layout", "fingerprint_of", "inverse_gain"]

Arrays = Mapping[str, NDArray[Any]]
Ints = NDArray[np.int32]

GAINS = (2.0**-32, 2.0**32)  # smallest and largest that leave latents exact
_TYPES = {
    **dict.fromkeys([f"h_s.weight.{i}" for i in range(3)], "int16"),
    **dict.fromkeys([f"h_s.bias.{i}" for i in range(3)], "int32"),
    "inverse_gains": "float32",
    **{f"tables_{v}.{part}": "int32" for v in "zy" for part in ("frequencies", "sizes", "lows")},
}
SHARED = tuple(_TYPES)  # names of the tensors that encoders and decoders share


def check_layout(widths: Widths, arrays: Arrays) -> None:
    """Types of all tensors of a codec file, and shapes of those that no module checks when it loads them.

    Raises:
        ValueError, KeyError: says which one is wrong, and in what.
    """
    shapes: dict[str, tuple[int, ...]] = {"inverse_gains": (len(QUALITIES), widths.latents)}
    layers = (
        (widths.hyper, widths.side, 3, 3),
        (widths.hyper, widths.hyper, 3, 3),
        (2 * widths.latents, widths.hyper, 1, 1),
    )
    for i, shape in enumerate(layers):
        shapes |= {f"h_s.weight.{i}": shape, f"h_s.bias.{i}": shape[:1]}
    for name in shapes:
        if arrays[name].shape != shapes[name]:
            raise ValueError(f"{name}: got {arrays[name].shape}, expected {shapes[name]}")
    for name, value in arrays.items():
        known = _types(name)
        if value.dtype.name not in known:
            expected = " or ".join(known) or "no such tensor"
            raise ValueError(f"{short(name)}: got {value.dtype}, expected {expected}")
        if value.dtype.kind == "f" and not bool(np.isfinite(value).all()):
            raise ValueError(f"{name}: got values that are not finite")
    least, most = (float(v) for v in (arrays["inverse_gains"].min(), arrays["inverse_gains"].max()))
    if not GAINS[0] <= least <= most <= GAINS[1]:
        raise ValueError(f"inverse_gains: got {least:g} to {most:g}, expected 2^-32 to 2^32")


def _types(name: str) -> tuple[str, ...]:
    """The types that a tensor may have; none where there is no such tensor."""
    if name.startswith("network."):
        return ("int64",) if name.endswith(".num_batches_tracked") else ("float16", "float32")
    if name.startswith(("g_a.", "g_s.", "h_a.", "tail.")):
        return ("float16",)
    return (_TYPES[name],) if name in _TYPES else ()


def fingerprint_of(config: CodecConfig, arrays: Arrays) -> bytes:
    """First 16 bytes of SHA-256 over the configuration and every tensor that decoding depends on."""
    digest = hashlib.sha256(config.to_json().encode())
    for name, value in sorted(arrays.items()):
        if name.startswith(("g_s.", "h_s.", "inverse_gains", "tables_", "tail.")):
            update_digest(digest, name, value)
    return digest.digest()[:16]


def inverse_gain(gains: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """(M,) float32 factors from coded units back to latents.

    Args:
        gains: (8, M), one row a quality.
        step: of the quality, 0 to 224.

    Example:
        >>> inverse_gain(np.array([[1.0], [2.0]] + 6 * [[4.0]], np.float32), 8)
        array([1.25], dtype=float32)
    """
    low, rest = divmod(step, STEPS_PER_QUALITY)
    # float64 and one rounding: the same float32 everywhere
    mixed: NDArray[np.float64] = gains[low].astype(np.float64)
    if rest:
        mixed = mixed * (STEPS_PER_QUALITY - rest) + gains[low + 1].astype(np.float64) * rest
        mixed /= STEPS_PER_QUALITY
    return mixed.astype(np.float32)


@dataclass(frozen=True)
class EntropyModel:
    """What turns latents into symbols, symbols into bits, and back.

    Attributes:
        arrays: by their names in a codec file, as `check_layout` finds them to be right.
    """

    arrays: Arrays

    @staticmethod
    def of(arrays: Arrays) -> EntropyModel:
        """The model in a codec file's arrays, copied: they may be views of what is freed or moved later."""
        return EntropyModel({name: arrays[name].copy() for name in SHARED})

    @cached_property
    def tables_z(self) -> Tables:
        return self._tables("tables_z")

    @cached_property
    def tables_y(self) -> Tables:
        return self._tables("tables_y")

    def _tables(self, name: str) -> Tables:
        return Tables(*(self.arrays[f"{name}.{part}"] for part in ("frequencies", "sizes", "lows")))

    @cached_property
    def h_s(self) -> HyperSynthesis:
        """Side information to table rows and means."""
        weights, biases = ([self.arrays[f"h_s.{kind}.{i}"] for i in range(3)] for kind in ("weight", "bias"))
        return HyperSynthesis(weights, biases)

    def inverse_gain(self, step: int) -> NDArray[np.float32]:
        """(M,) float32 factors from coded units back to latents, at a quality step of 0 to 224."""
        return inverse_gain(self.arrays["inverse_gains"], step)

    def check(self, widths: Widths) -> EntropyModel:
        """Builds everything once: what is wrong shows when a file is read, not amid a picture.

        Raises:
            ValueError, InputError: too few tables, or wrong ones; sums that could round.
        """
        rows = len(self.tables_z.sizes), len(self.tables_y.sizes)
        expected = widths.side, IntegerUnits.SCALES
        if rows != expected:
            raise ValueError(f"got {rows} tables of z and y, expected {expected}")
        _ = self.h_s
        return self
