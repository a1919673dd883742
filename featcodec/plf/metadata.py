"""The ``m`` section of a ``.plf`` file: a JSON object, untrusted when read. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping

from featcodec.errors import InputError, MalformedError
from featcodec.plf.strict_json import JsonProblem, decode_json

__all__ = ["MAX_METADATA", "parse_metadata", "serialize_metadata"]

MAX_METADATA = 65_536


def parse_metadata(content: bytes, start: int) -> dict[str, object]:
    """Read untrusted JSON.

    Args:
        content: of the section.
        start: its position in the file, for messages.

    Returns:
        The JSON object.

    Raises:
        MalformedError: whatever is wrong with it.

    Example:
        >>> parse_metadata(b'{"camera": "north"}', 0)
        {'camera': 'north'}
    """
    try:
        value = decode_json(content)
    except JsonProblem as problem:
        raise _bad_metadata(start + problem.offset, problem.got, problem.expected) from problem
    if not isinstance(value, dict):
        raise _bad_metadata(start, type(value).__name__, "a JSON object")
    return value


def serialize_metadata(metadata: Mapping[str, object]) -> bytes:
    """Return the content of ``m``, after proving that a reader gets the same metadata from it.

    Args:
        metadata: a JSON object; see `featcodec.plf.bitstream.serialize`.

    Returns:
        The JSON text with sorted keys and no spaces, as UTF-8.

    Raises:
        InputError: no mapping, too long, or with values that JSON cannot hold or changes.

    Example:
        >>> serialize_metadata({"camera": "north"})
        b'{"camera":"north"}'
    """
    if not isinstance(metadata, Mapping):
        raise InputError(f"metadata: got {type(metadata).__name__}, expected a mapping")
    try:
        content = json.dumps(
            dict(metadata), allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        ).encode("utf-8")
        if len(content) > MAX_METADATA:
            raise InputError(f"metadata: got {len(content)} bytes of JSON, expected at most {MAX_METADATA}")
        unchanged = parse_metadata(content, 0) == dict(metadata)
    except (TypeError, ValueError, RecursionError, MalformedError) as error:
        if isinstance(error, InputError):  # a ValueError, too
            raise
        raise InputError(f"metadata: {error}") from error
    if not unchanged:
        raise InputError("metadata: got values that JSON changes, expected str keys and no tuples")
    return content


def _bad_metadata(offset: int, got: str, expected: str) -> MalformedError:
    return MalformedError(f"section m, offset {offset}: got {got}, expected {expected}")
