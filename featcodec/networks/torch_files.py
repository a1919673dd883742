"""PyTorch checkpoints: from the zip's bytes to tensors by name, executing nothing.

    zip ─┬─ data.pkl ─▶ Machine ─▶ records ─▶ module tree ─▶ name: record ─┬─▶ name: tensor
         └─ data/0, data/1, … (raw storages) ──────────────────────────────┘

Whatever a file claims is compared with its length, or with the limits below, before memory is taken for it.
"""

from __future__ import annotations

import io
import math
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from featcodec.networks.pickle_records import BIG, Global, Machine, Object, Record, Unusable, short

__all__ = ["read_checkpoint"]

_MAX_PICKLE = 2**22  # bytes; an opcode may cost 100 times its size, and YOLOv5n needs 83 kB
_MAX_NAMES = 50_000  # tensors, modules and zip entries; a module tree may be a cycle
_MAX_NAME = 1024  # characters
_MAX_DIMENSIONS = 16

_DTYPES = {
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.BoolStorage": torch.bool,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.ShortStorage": torch.int16,
}


def read_checkpoint(data: bytes) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint in PyTorch's zip format.

    Args:
        data: the whole file.

    Returns:
        The tensors by name, on the CPU; those that share memory in the checkpoint share it here.

    Raises:
        Unusable: the file is damaged, hostile, compressed, of another byte order, or holds no weights.
    """
    archive = _Archive(data)
    size = archive.size("data.pkl")
    if size > _MAX_PICKLE:
        raise Unusable(f"data.pkl: got {size:,} bytes, expected at most {_MAX_PICKLE:,}")
    order = archive.read("byteorder").decode("latin-1") if archive.size("byteorder") >= 0 else "little"
    if order != sys.byteorder:
        raise Unusable(f"byte order: got {short(order)}, expected {sys.byteorder}")
    records = _named_records(Machine().run(archive.read("data.pkl")))
    storages: dict[str, bytearray] = {}  # shared, as the tensors of a checkpoint may be
    return {name: _tensor(name, record, archive, storages) for name, record in records.items()}


# ---- from records to names


def _named_records(root: object) -> dict[str, Record]:
    """Find the network in what a checkpoint holds: see `read_state_dict` for the order."""
    held = [root[k] for k in ("model", "state_dict") if k in root] if isinstance(root, dict) else []
    ema = [root["ema"]] if isinstance(root, dict) and _is_module(root.get("ema")) else []
    for candidate in (*ema, *held, root):
        if _is_module(candidate):
            return _collect(_walk(candidate))
        if isinstance(candidate, dict) and any(isinstance(v, Record) for v in candidate.values()):
            return _collect(candidate.items())
    raise Unusable("no weights, expected a module or a state dict, by itself or as ema, model or state_dict")


def _collect(entries: Iterable[tuple[str, object]]) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for name, value in entries:
        if not isinstance(value, Record):
            raise Unusable(f"{short(name)}: got {_what(value)}, expected a tensor")
        if name in records or len(name) > _MAX_NAME or len(records) >= _MAX_NAMES:
            raise Unusable(
                f"{short(name)}: expected at most {_MAX_NAMES:,} distinct names of {_MAX_NAME:,} characters"
            )
        records[name] = value
    if not records:
        raise Unusable("a module without weights")
    return records


def _what(value: object) -> str:
    """Return what stands in a tensor's place, for a message."""
    made_by = value.made_by if isinstance(value, Object) else value
    return short(str(made_by)) if isinstance(made_by, Global) else type(made_by).__name__.strip("_").lower()


def _fields(value: object) -> dict[str, object]:
    """Return the attributes that the pickle gave an object, none for anything else."""
    return value.state if isinstance(value, Object) and isinstance(value.state, dict) else {}


def _is_module(value: object) -> bool:
    return isinstance(_fields(value).get("_modules"), dict)


def _walk(root: object) -> Iterator[tuple[str, object]]:
    """Yield the parameters and buffers of a module tree as `nn.Module.state_dict` names and orders them."""
    todo = [("", root)]
    seen = 0
    while todo:
        prefix, module = todo.pop()
        fields = _fields(module)
        parts = (fields.get(part) for part in ("_parameters", "_buffers", "_modules"))
        parameters, buffers, children = (part if isinstance(part, dict) else {} for part in parts)
        unsaved = fields.get("_non_persistent_buffers_set")
        unsaved = unsaved if isinstance(unsaved, list) else []
        # a module may hold itself, or the same children over and over: names and their number are bounded
        seen += 1 + len(parameters) + len(buffers) + len(children) + len(unsaved)
        if seen > _MAX_NAMES or len(prefix) > _MAX_NAME:
            raise Unusable(f"more than {_MAX_NAMES:,} modules and tensors, or too deep: is the tree a cycle?")
        left_out = {name for name in unsaved if isinstance(name, str)}
        saved = {name: value for name, value in buffers.items() if name not in left_out}
        for name, value in (*parameters.items(), *saved.items()):
            if value is not None:
                yield prefix + name, value
        for name, child in reversed(children.items()):
            if child is not None and not _is_module(child):
                raise Unusable(f"{short(prefix + name)}: got {_what(child)}, expected a module")
            if child is not None:
                todo.append((f"{prefix}{name}.", child))


# ---- from the zip's bytes to tensors


@contextmanager
def _zip_complaints() -> Iterator[None]:
    """Give one error to damage: zipfile lets through whatever it runs into."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, OSError) as error:
        raise Unusable(f"damaged zip: {short(str(error))}") from error
    except (OverflowError, RuntimeError, ValueError) as error:  # encrypted, unknown version, seeks, names
        raise Unusable(f"damaged zip: {short(str(error))}") from error


class _Archive:
    """The entries of a PyTorch zip, which together are no longer than the file.

    Args:
        data: the whole file.
    """

    def __init__(self, data: bytes):
        # zipfile lists the whole directory first, at some 20 bytes of memory for each of the file
        if data.count(b"PK\1\2") > _MAX_NAMES:
            raise Unusable(f"a zip of more than {_MAX_NAMES:,} entries")
        with _zip_complaints():
            self.zip = zipfile.ZipFile(io.BytesIO(data))
        entries = self.zip.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise Unusable(f"zip entry {short(entry.filename)} is compressed, expected it stored")
        claimed = sum(entry.file_size for entry in entries)
        self.entries = {entry.filename: entry for entry in entries}
        if claimed > len(data) or len(self.entries) < len(entries):
            raise Unusable(f"a zip of {len(data):,} bytes whose entries claim {claimed:,} or share names")
        pickles = [name for name in self.entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Unusable(f"a zip with {len(pickles)} entries named */data.pkl, expected one")
        self.root = pickles[0].removesuffix("data.pkl")

    def size(self, name: str) -> int:
        """Bytes of an entry, or -1 where there is none."""
        entry = self.entries.get(self.root + name)
        return -1 if entry is None else entry.file_size

    def read(self, name: str) -> bytes:
        """Return an entry whole, its checksum verified."""
        with _zip_complaints():
            return self.zip.read(self.entries[self.root + name])


def _tensor(name: str, record: Record, archive: _Archive, storages: dict[str, bytearray]) -> Tensor:
    """Build one tensor as a view of its storage."""
    storage, entry = record.storage, f"data/{record.storage.key}"
    dtype = _DTYPES.get(storage.kind)
    if dtype is None:
        raise Unusable(f"{short(name)}: got {short(storage.kind)}, expected one of {', '.join(_DTYPES)}")
    if archive.size(entry) != storage.length * dtype.itemsize:
        got = f"{archive.size(entry):,} bytes" if archive.size(entry) >= 0 else "no entry"
        raise Unusable(
            f"{short(name)}: got {got} in the zip for storage {short(storage.key)}, "
            f"expected {storage.length:,} x {dtype.itemsize}"
        )
    size, stride = _layout(name, record)
    if 0 in size:  # frombuffer takes no empty storage
        return torch.empty(size, dtype=dtype)
    if storage.key not in storages:
        storages[storage.key] = bytearray(archive.read(entry))
    return torch.frombuffer(storages[storage.key], dtype=dtype).as_strided(size, stride, record.offset)


def _layout(name: str, record: Record) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return size and stride of a tensor that lies within its storage and is no larger than it."""
    size = tuple(n for n in record.size if type(n) is int and 0 <= n < BIG)
    stride = tuple(n for n in record.stride if type(n) is int and 0 <= n < BIG)
    whole = len(size) == len(record.size) == len(record.stride) == len(stride) <= _MAX_DIMENSIONS
    if not whole or not 0 <= record.offset < BIG:
        raise Unusable(f"{short(name)}: its sizes, strides or offset are none that a tensor can have")
    length = record.storage.length
    if 0 in size:  # it takes no storage, but PyTorch multiplies its other sizes all the same
        fits = math.prod(max(n, 1) for n in size) < BIG
    else:  # the number of elements counts, too: with stride 0, a copy could grow to any size
        last = record.offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        fits = math.prod(size) <= length and last < length
    if not fits:
        raise Unusable(f"{short(name)}: reaches beyond its storage of {length:,} numbers")
    return size, stride
