"""JSON of untrusted origin: keys once, numbers that every reader keeps, real text. Standard library only.

What Python's reader takes beyond RFC 8259 (``NaN``, ``Infinity``), silently changes (a key twice, numbers
beyond a double) or cannot write again (half of a surrogate pair) is refused by name.
"""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn

__all__ = ["MAX_DEPTH", "JsonProblem", "decode_json"]

MAX_DEPTH = 32  # levels of nesting, the outermost value being the first
# A string that never ends matches, too: the search never backtracks, its time is in proportion to the text.
_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)|[\[{\]}]', re.DOTALL)
_MAX_INTEGER = 2**53 - 1  # what every JSON reader keeps exactly (RFC 7493, section 2.2)


class JsonProblem(Exception):
    """What was got and expected, and where.

    Attributes:
        got, expected: words for a message.
        offset: byte of the text at which it was found; 0 where only the whole text is to blame.
    """

    def __init__(self, got: str, expected: str, offset: int = 0):
        super().__init__(f"got {got}, expected {expected}")
        self.got, self.expected, self.offset = got, expected, offset


def decode_json(content: bytes) -> object:
    """Read untrusted JSON in time that its length bounds.

    Args:
        content: the text, as UTF-8 without byte order mark.

    Returns:
        The value.

    Raises:
        JsonProblem: no UTF-8 or no JSON, nested deeper than `MAX_DEPTH`, a key twice in an object, ``NaN`` or
            ``Infinity``, an integer beyond 2**53 - 1, a number beyond a double, or half of a surrogate pair.

    Example:
        >>> decode_json(b'{"camera": "north"}')
        {'camera': 'north'}
        >>> decode_json(b'{"camera": 1, "camera": 2}')
        Traceback (most recent call last):
        featcodec.plf.strict_json.JsonProblem: got key 'camera' twice, expected unique keys
    """
    _check_depth(content)
    try:
        text = content.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_exact,
        )
        if "\\u" in text:  # only an escape can make one
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonProblem(error.reason, "UTF-8", error.start) from error
    except UnicodeEncodeError as error:
        raise JsonProblem("half of a surrogate pair", "Unicode text") from error
    except json.JSONDecodeError as error:
        raise JsonProblem(error.msg, "JSON", len(text[: error.pos].encode())) from error
    return value


def _check_depth(content: bytes) -> None:
    """Refuse deep nesting before the JSON reader recurses into it."""
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(content):
        first = content[found.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise JsonProblem(f"level {depth} of nesting", f"at most {MAX_DEPTH}", found.start())
        elif first in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise JsonProblem(f"key {key[:40]!r} twice", "unique keys")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise JsonProblem(name, "a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise JsonProblem(f"number {digits[:40]}", "one that fits a double")
    return number


def _exact(digits: str) -> int:
    # The length first: converting thousands of digits takes quadratic time, or is refused by Python.
    if len(digits) > len(str(-_MAX_INTEGER)) or abs(int(digits)) > _MAX_INTEGER:
        raise JsonProblem(f"integer {digits[:40]}", "one within 2**53 - 1")
    return int(digits)
