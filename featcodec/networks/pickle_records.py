"""A pickle interpreted without importing or calling anything.

A pickle is a program for a stack machine, and what makes it dangerous is that it may call anything that can
be imported. The machine here has no import and no call: a global is its two names, a call is a record of
what would have been called, and the few records that mean something (tensors, dictionaries, sets) are
recognised by name. A hostile pickle can therefore build nothing but inert records; what PyTorch never
writes is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["BIG", "Global", "Machine", "Object", "Record", "Storage", "Unusable", "short"]

BIG = 2**62  # sizes and strides below this fit the 64-bit integers of PyTorch
MAX_OPCODES = (
    2**19
)  # half a second; YOLOv5x as a pickled module needs 83,000, with its average and optimizer 250,000
_MAX_TEXT = 1024  # characters of a global's or a storage's name, which the memo can repeat at two bytes each


class Unusable(Exception):
    """Why a file cannot be used; the public functions add which file."""


def short(text: str) -> str:
    """Return text from an untrusted file at a length that a message can hold."""
    return text if len(text) <= 80 else f"{text[:77]}..."


@dataclass(frozen=True, slots=True)
class Global:
    """What a pickle would import, by name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Object:
    """What a call in a pickle would return: inert, with the state that the pickle would give it."""

    made_by: object
    state: object = None


@dataclass(frozen=True, eq=False, slots=True)
class Storage:
    """An entry of the zip: `length` numbers of the kind that `kind` names."""

    kind: str
    key: str
    length: int


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """A tensor as the pickle describes it, checked only when it is built."""

    storage: Storage
    offset: int
    size: tuple[object, ...]
    stride: tuple[object, ...]


# Opcodes that push their argument. PyTorch writes binary protocols: those that spell numbers out are refused.
_ATOMS = frozenset(
    (
        *("BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1", "LONG4"),
        *("BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE"),
        *("BINBYTES", "BINBYTES8", "BYTEARRAY8", "SHORT_BINBYTES"),
    )
)
_FRESH: dict[str, Callable[[], object]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,  # nothing is ever hashed but text
    "EMPTY_TUPLE": tuple,
    "NEWFALSE": lambda: False,
    "NEWTRUE": lambda: True,
    "NONE": lambda: None,
}


class Machine:
    """The stack machine of the pickle format, with records in place of imports and calls.

    Dictionaries keep the entries named by text only: hashing what a file nests can overflow the C stack,
    and numbers can be chosen to collide.

    Source of the opcodes: CPython, Lib/pickletools.py.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def run(self, pickle: bytes) -> object:
        """Interpret a whole pickle and return what it leaves on the stack."""
        try:
            for number, (opcode, arg, _) in enumerate(pickletools.genops(pickle)):
                if number >= MAX_OPCODES:
                    raise Unusable(f"data.pkl: got more opcodes than the {MAX_OPCODES:,} expected at most")
                if opcode.name in _ATOMS:
                    self.stack.append(arg)
                elif opcode.name in _FRESH:
                    self.stack.append(_FRESH[opcode.name]())
                else:
                    self._step(opcode.name, arg)
            return self.stack.pop()
        except LookupError as error:
            raise Unusable("damaged pickle: it takes what it never put on its stack or memo") from error
        except (ValueError, Warning) as error:  # Warning: of an escape in text, where warnings are errors
            raise Unusable(f"damaged pickle: {short(str(error))}") from error

    def _step(self, opcode: str, arg: Any) -> None:
        stack, pop = self.stack, self.stack.pop
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[arg])
            case "BINPUT" | "LONG_BINPUT":
                self.memo[arg] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "POP":
                pop()
            case "TUPLE1":
                stack[-1] = (stack[-1],)
            case "TUPLE2" | "TUPLE3":
                count = int(opcode[-1])
                if len(stack) < count:
                    raise LookupError
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND":
                item = pop()
                _extend(stack[-1], [item])
            case "SETITEM":
                value, key = pop(), pop()
                _update(stack[-1], [key, value])
            case "MARK" | "POP_MARK" | "TUPLE" | "APPENDS" | "ADDITEMS" | "SETITEMS":
                self._marked(opcode)
            case _:
                self._record(opcode, arg)

    def _marked(self, opcode: str) -> None:
        """Open a mark, or take what was pushed since the last one."""
        if opcode == "MARK":
            self.below.append(self.stack)
            self.stack = []
            return
        items, self.stack = self.stack, self.below.pop()
        match opcode:
            case "TUPLE":
                self.stack.append(tuple(items))
            case "APPENDS" | "ADDITEMS":
                _extend(self.stack[-1], items)
            case "SETITEMS":
                _update(self.stack[-1], items)

    def _record(self, opcode: str, arg: Any) -> None:
        """Note what a pickle would import, call, fetch or fill."""
        stack, pop = self.stack, self.stack.pop
        match opcode:
            case "GLOBAL":
                module, _, name = arg.partition(" ")
                stack.append(_global(module, name))
            case "STACK_GLOBAL":
                name, module = pop(), pop()
                if not (isinstance(module, str) and isinstance(name, str)):
                    raise Unusable("damaged pickle: a global that is not named by text")
                stack.append(_global(module, name))
            case "REDUCE" | "NEWOBJ":
                args, made_by = pop(), pop()
                stack.append(_called(made_by, args))
            case "NEWOBJ_EX":
                _, args, made_by = pop(), pop(), pop()
                stack.append(_called(made_by, args))
            case "BUILD":
                state = pop()
                if isinstance(stack[-1], Object):
                    # a class with slots gives a pair, the slots second
                    stack[-1].state = state[0] if isinstance(state, tuple) and state else state
            case "BINPERSID":
                stack.append(_storage(pop()))
            case _:
                raise Unusable(f"pickle opcode {opcode}, which PyTorch checkpoints do not use")


def _extend(target: object, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)


def _update(target: object, items: list[Any]) -> None:
    if len(items) % 2:
        raise Unusable("damaged pickle: a key without a value")
    if isinstance(target, dict):
        pairs = zip(items[::2], items[1::2], strict=True)
        target.update((key, value) for key, value in pairs if isinstance(key, str))


def _global(module: str, name: str) -> Global:
    if len(module) + len(name) > _MAX_TEXT:
        raise Unusable(f"damaged pickle: a global of more than {_MAX_TEXT:,} characters: {short(name)}")
    return Global(module, name)


def _called(made_by: object, args: object) -> object:
    """Return the record of a call; the few calls that checkpoints are made of give what they stand for."""
    match str(made_by) if isinstance(made_by, Global) else "", args:
        case (
            "torch._utils._rebuild_tensor_v2",
            (Storage() as storage, int(offset), tuple(size), tuple(stride), *_),
        ):
            return Record(storage, offset, size, stride)
        case "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", (tensor, *_):
            return tensor
        case "collections.OrderedDict", ():
            return {}
        case "builtins.set" | "__builtin__.set", (list(items),):
            return items
        case _:
            return Object(made_by)


def _storage(identity: object) -> Storage:
    match identity:
        case ("storage", Global() as kind, str(key), _, int(length)) if (
            0 <= length < BIG and len(key) <= _MAX_TEXT
        ):
            return Storage(str(kind), key, length)
        case _:
            raise Unusable("damaged pickle: a persistent id that is not a storage of PyTorch")
