"""Frozen dataclasses to plain JSON values and back, checked against their type hints."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from featcodec.errors import InputError

__all__ = ["ADDED", "from_plain", "to_plain"]

T = TypeVar("T")

_KINDS = {str: "a string", bool: "true or false", int: "an integer", float: "a finite number"}
ADDED = {"added": True}  # metadata of a field that earlier files lack: it takes its default there
_SHOWN = 40  # characters of a wrong value in a message


def to_plain(value: Any, decimals: Mapping[str, int], name: str = "") -> Any:
    """What `json.dumps` takes: dataclasses become objects and tuples lists, fields in their order.

    Args:
        value: a dataclass, or what may be inside one.
        decimals: digits after the point of the floats in fields of these names; others stay as they are.
        name: of the field that `value` is in.

    Example:
        >>> from featcodec.evaluation.results import Reference
        >>> to_plain(Reference(blind_psnr=12.594), {"blind_psnr": 2})["blind_psnr"]
        12.59
    """
    if is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name), decimals, f.name) for f in fields(value)}
    if isinstance(value, tuple):
        return [to_plain(v, decimals, name) for v in value]
    if isinstance(value, Mapping):
        return {k: to_plain(v, decimals, name) for k, v in value.items()}
    if isinstance(value, float) and name in decimals:
        return round(value, decimals[name]) + 0.0  # + 0.0: no minus zero
    return value


def from_plain(kind: type[T], value: object, where: str = "") -> T:
    """A JSON value as the dataclass `kind`: every field has to be there, and of the type that its hint says.

    Only fields whose metadata is `ADDED` may be absent, from files that were written before there were such.

    Args:
        kind: a dataclass of str, bool, int, float, Literal, tuple, dict[str, ...], other such dataclasses,
            and unions of one of these with None.
        value: as `json.loads` gives it.
        where: the field that it is in; messages begin with it.

    Raises:
        InputError: a field is missing, unknown, of another type or not finite; the message names it.

    Example:
        >>> from featcodec.evaluation.results import BD
        >>> from_plain(BD, {"test": 5})
        Traceback (most recent call last):
        featcodec.errors.InputError: test: got 5, expected a string
    """
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    hints, added = _fields(kind)  # type: ignore[arg-type]
    found = {}
    for name, hint in hints.items():
        if name not in value:
            if name in added:
                continue
            raise InputError(f"{_inside(where, name)}: got no such field, expected {_expected(hint)}")
        found[name] = _read(hint, value[name], _inside(where, name))
    for name in value:
        if name not in hints:
            raise InputError(f"{_inside(where, name)}: got an unknown field, expected {', '.join(hints)}")
    return kind(**found)


@lru_cache
def _fields(kind: type[Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The type hint of each field, and the names of those that may be absent."""
    return get_type_hints(kind), frozenset(f.name for f in fields(kind) if "added" in f.metadata)


def _read(hint: Any, value: object, where: str) -> Any:
    if is_dataclass(hint):
        return from_plain(hint, value, where)  # type: ignore[arg-type]
    origin, inner = get_origin(hint), get_args(hint)
    if NoneType in inner:
        return None if value is None else _read(inner[0], value, where)
    if origin is tuple:
        return _read_tuple(inner, value, where)
    if origin is dict and isinstance(value, dict):
        return {k: _read(inner[1], v, _inside(where, k)) for k, v in value.items()}
    if origin is Literal and value in inner and isinstance(value, str):
        return value
    if hint is float and type(value) in (int, float):
        with_point = _float(value)
        if math.isfinite(with_point):
            return with_point
    elif hint in (str, bool, int) and type(value) is hint:  # not isinstance: True would be an integer
        return value
    raise _wrong(where, value, _expected(hint))


def _read_tuple(inner: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(where, value, "a list")
    if inner[-1] is ...:
        inner = (inner[0],) * len(value)
    if len(inner) != len(value):
        raise InputError(f"{where}: got a list of {len(value)}, expected {len(inner)}")
    return tuple(_read(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(inner, value, strict=True)))


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _expected(hint: Any) -> str:
    inner = get_args(hint)
    if NoneType in inner:
        return f"{_expected(inner[0])} or null"
    if get_origin(hint) is Literal:
        return f"one of {', '.join(inner)}"
    return _KINDS.get(hint, "a list" if get_origin(hint) is tuple else "an object")


def _wrong(where: str, value: object, expected: str) -> InputError:
    text = json.dumps(value)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return InputError(f"{where or 'the whole'}: got {shown}, expected {expected}")
