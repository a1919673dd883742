"""The parts of reading a codec file that need no torch: its limits, its description, what errors say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from featcodec.codec.config import CodecConfig
from featcodec.errors import CodecFileError, FeatcodecError, one_line
from featcodec.files import printable
from featcodec.networks.pickle_records import Unusable
from featcodec.networks.safetensors_header import read_description

__all__ = ["LARGEST_FILE", "METADATA_KEY", "consistent", "read_config", "reading"]

LARGEST_FILE = 1 << 30
METADATA_KEY = "featcodec"
_DTYPES = ("F16", "F32", "I16", "I32", "I64")  # that a file's tensors may have, as safetensors spells them


def read_config(data: bytes) -> CodecConfig:
    """What a codec file says in words; its header is found to be sound.

    Raises:
        Unusable, KeyError, TypeError, ValueError: it is no codec file.
    """
    return CodecConfig.from_json(read_description(data, METADATA_KEY, dtypes=_DTYPES))


@contextmanager
def reading(path: str | os.PathLike[str], *, expected: str = "a featcodec codec file") -> Iterator[None]:
    """Make one kind of error of what goes wrong inside, which knows the file.

    Raises:
        CodecFileError: what is inside raised one, or found that this is no such file.
    """
    try:
        yield
    except CodecFileError as error:
        error.path = printable(path)
        raise
    except (Unusable, ValueError, KeyError, TypeError) as error:
        got = " ".join(str(error).split())[:300] if isinstance(error, Unusable) else one_line(error)
        raise CodecFileError(f"expected {expected}, got {got}", path=printable(path)) from error


@contextmanager
def consistent(name: str) -> Iterator[None]:
    """What goes wrong inside is that the file of codec `name` contradicts itself.

    Raises:
        CodecFileError: something did.
    """
    try:
        yield
    except (KeyError, IndexError, RuntimeError, TypeError, ValueError, FeatcodecError) as error:
        raise CodecFileError(f"codec {name!r}: {one_line(error)}") from error
