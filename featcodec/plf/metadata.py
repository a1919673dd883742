"""The ``m`` section of a ``.plf`` file: a JSON object, untrusted when read. Standard library only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import NoReturn

from featcodec.errors import InputError, MalformedError

__all__ = ["MAX_METADATA", "parse_metadata", "serialize_metadata"]

MAX_METADATA = 65_536

_MAX_JSON_DEPTH = 32
_MAX_JSON_INTEGER = 2**53 - 1  # what every JSON reader keeps exactly (RFC 7493, section 2.2)


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
    _check_depth(content, start)
    try:
        text = content.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_exact,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # finds halves of surrogate pairs
    except UnicodeDecodeError as error:
        raise _bad_metadata(start + error.start, error.reason, "UTF-8") from error
    except UnicodeEncodeError as error:
        raise _bad_metadata(start, "half of a surrogate pair", "Unicode text") from error
    except json.JSONDecodeError as error:
        raise _bad_metadata(start + len(text[: error.pos].encode()), error.msg, "JSON") from error
    except _JsonError as error:
        raise _bad_metadata(start, *error.args) from error
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


class _JsonError(Exception):
    """What was got and expected, from inside the JSON reader, where no offset is known."""


def _bad_metadata(offset: int, got: str, expected: str) -> MalformedError:
    return MalformedError(f"section m, offset {offset}: got {got}, expected {expected}")


def _check_depth(content: bytes, start: int) -> None:
    """Refuse deep nesting before the JSON reader recurses into it."""
    depth = 0
    in_string = escaped = False
    for position, byte in enumerate(content, start):
        if escaped:
            escaped = False
        elif in_string:
            escaped, in_string = byte == ord("\\"), byte != ord('"')
        elif byte == ord('"'):
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > _MAX_JSON_DEPTH:
                raise _bad_metadata(position, f"level {depth} of nesting", f"at most {_MAX_JSON_DEPTH}")
        elif byte in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _JsonError(f"key {key[:40]!r} twice", "unique keys")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise _JsonError(name, "a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _JsonError(f"number {digits[:40]}", "one that fits a double")
    return number


def _exact(digits: str) -> int:
    # The length first: converting thousands of digits takes quadratic time, or is refused by Python.
    if len(digits) > len(str(-_MAX_JSON_INTEGER)) or abs(int(digits)) > _MAX_JSON_INTEGER:
        raise _JsonError(f"integer {digits[:40]}", "one within 2**53 - 1")
    return int(digits)
