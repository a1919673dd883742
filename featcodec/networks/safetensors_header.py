"""The header of a safetensors file, read before any tensor or other object is made of it.

    8 bytes n, little-endian │ n bytes of JSON: name → dtype, shape, data_offsets │ the tensors' bytes

The library that builds the tensors takes time and memory for whatever a header lists: here the header is
bounded first, in bytes and in entries, and every byte of the file is accounted for.

Source of the format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from featcodec.networks.pickle_records import BIG, Unusable, short
from featcodec.plf.strict_json import JsonProblem, decode_json

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = [
    "MAX_HEADER",
    "MAX_TENSORS",
    "read_arrays",
    "read_description",
    "read_header",
    "read_tensors",
]

MAX_HEADER = 2**20  # bytes; YOLOv5x needs 80 kB
MAX_TENSORS = 10_000
_MAX_NAME = 1024  # characters
_MAX_DIMENSIONS = 16
_METADATA = "__metadata__"
_FIELDS = {"dtype", "shape", "data_offsets"}

_BYTES = {
    **dict.fromkeys(("BOOL", "I8", "U8"), 1),
    **dict.fromkeys(("BF16", "F16", "I16"), 2),
    **dict.fromkeys(("F32", "I32"), 4),
    **dict.fromkeys(("F64", "I64"), 8),
}


def read_header(data: bytes, *, dtypes: Collection[str] = frozenset(_BYTES)) -> Mapping[str, str]:
    """Read and check the header of a safetensors file.

    Args:
        data: the whole file.
        dtypes: those that are accepted, as the format spells them.

    Returns:
        The metadata, text by key; empty if the file has none. The tensors fill the rest of the file exactly,
        without gaps and overlaps.

    Raises:
        Unusable: no such file, a header beyond the limits, a name or key twice, a dtype that is not accepted,
            or tensors that do not fill the file; says what, got and expected.

    Example:
        >>> read_header(b"\\2\\0\\0\\0\\0\\0\\0\\0{}")
        {}
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise Unusable(f"header: got {len(data):,} bytes in the file, expected {8 + length:,} or more")
    if length > MAX_HEADER:
        raise Unusable(f"header: got {length:,} bytes, expected at most {MAX_HEADER:,}")
    try:
        found = decode_json(data[8 : 8 + length])
    except JsonProblem as problem:
        raise Unusable(f"header at offset {8 + problem.offset}: {problem}") from problem
    if not isinstance(found, dict):
        raise Unusable(f"header: got {type(found).__name__}, expected a JSON object")
    metadata = found.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(type(text) is str for text in metadata.values()):
        raise Unusable(f"header: {_METADATA}: expected text by key")
    if len(found) > MAX_TENSORS:
        raise Unusable(f"header: got {len(found):,} tensors, expected at most {MAX_TENSORS:,}")
    places = [_place(name, entry, dtypes) for name, entry in found.items()]
    _check_filled(places, len(data) - 8 - length)
    return metadata


def read_description(data: bytes, key: str, *, dtypes: Collection[str]) -> str:
    """The one text of metadata of a file of our own, whose header `read_header` finds to be sound.

    Args:
        data: the whole file.
        key: that the text stands under, alone.
        dtypes: as of `read_header`.

    Raises:
        Unusable: as `read_header`, or metadata of another file.
    """
    metadata = read_header(data, dtypes=dtypes)
    if metadata.keys() != {key}:
        got = ", ".join(sorted(metadata)) or "none"
        raise Unusable(f"metadata: got {short(got)}, expected {key} alone")
    return metadata[key]


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """Build the tensors of a file whose header `read_header` found to be sound.

    Raises:
        Unusable: the library refuses it all the same.
    """
    from safetensors.torch import load

    with _refusing():
        return load(data)


def read_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """As `read_tensors`, as NumPy arrays; of any type but bfloat16, which NumPy does not know."""
    from safetensors.numpy import load

    with _refusing():
        return load(data)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (SafetensorError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise Unusable(short(str(error))) from error


def _place(name: str, entry: Any, dtypes: Collection[str]) -> tuple[int, int]:
    """Start and end of a tensor in the part behind the header."""
    if len(name) > _MAX_NAME:
        raise Unusable(f"{short(name)}: got {len(name):,} characters, expected at most {_MAX_NAME:,}")
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        raise Unusable(f"{short(name)}: expected an object with {', '.join(sorted(_FIELDS))}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if type(dtype) is not str or dtype not in dtypes:
        got = short(dtype) if type(dtype) is str else type(dtype).__name__
        raise Unusable(f"{short(name)}: got dtype {got}, expected one of {', '.join(sorted(dtypes))}")
    if not _are_counts(shape) or len(shape) > _MAX_DIMENSIONS or math.prod(max(n, 1) for n in shape) >= BIG:
        raise Unusable(f"{short(name)}: expected a shape that a tensor can have")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise Unusable(f"{short(name)}: expected two data_offsets")
    start, end = offsets
    if end - start != math.prod(shape) * _BYTES[dtype]:
        got, expected = f"{end - start:,} bytes", f"{math.prod(shape) * _BYTES[dtype]:,}"
        raise Unusable(f"{short(name)}: got {got}, expected {expected} for {dtype} of {short(str(shape))}")
    return start, end


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _check_filled(places: list[tuple[int, int]], size: int) -> None:
    """Check that the tensors lie end to end, from the header to the end of the file."""
    for (_, end), (start, _) in pairwise([(0, 0), *sorted(places), (size, size)]):
        if start != end:
            raise Unusable(
                f"tensors: got a gap or an overlap from byte {end:,} to {start:,}, expected neither"
            )
