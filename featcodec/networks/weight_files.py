"""Network weights from files of others: safetensors, and PyTorch checkpoints of which nothing is executed.

    bytes ─┬─ safetensors ─────────────┬─▶ name: tensor ─▶ a network
           └─ zip ─▶ read_checkpoint ──┘

The first bytes tell the formats apart; what a network lacks, or has no place for, is refused by name.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from featcodec.errors import CodecFileError, InputError
from featcodec.files import printable, read_file
from featcodec.networks.pickle_records import Unusable, short
from featcodec.networks.safetensors_header import read_header, read_tensors
from featcodec.networks.torch_files import read_checkpoint

__all__ = ["fill", "load_weights", "read_state_dict", "refusal", "unwrapped"]

_MAX_FILE = 2**30  # bytes; YOLOv5x with its optimizer is 0.7 GB
# what DataParallel and its kin, torch.compile, and what holds a network as its `model` put before every name
_WRAPPERS = ("module.", "_orig_mod.", "model.")


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights in a safetensors file or a PyTorch checkpoint, executing nothing from it.

    A checkpoint may be a state dict, a whole pickled module, or a dictionary that holds either: a module
    under ``ema``, else what is under ``model`` or ``state_dict``. The classes of the module need not exist.

    Args:
        path: the file; what it is shows in its first bytes, not in its name.

    Returns:
        The tensors by name, on the CPU and with the dtypes of the file. Tensors that share memory in a
        checkpoint share it here.

    Raises:
        CodecFileError: the file is missing, unreadable, damaged, hostile, too large, in PyTorch's format
            from before 1.6, or holds no weights; one line that begins with the path.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "net.pt"
        ...     torch.save({"model": torch.nn.Linear(3, 2), "epoch": 7}, file)
        ...     {name: tuple(tensor.shape) for name, tensor in read_state_dict(file).items()}
        {'weight': (2, 3), 'bias': (2,)}
    """
    try:
        data = read_file(path, _MAX_FILE)
    except InputError as error:
        raise CodecFileError(str(error)) from error
    try:
        return _tensors(data)
    except Unusable as error:
        raise refusal(path, str(error)) from error


def load_weights(network: nn.Module, path: str | os.PathLike[str], *, name: str) -> None:
    """Fill a network from a file, every tensor by its name, in place.

    Before all names of the file ``module.``, ``_orig_mod.`` or ``model.`` may stand, also several of them.

    Args:
        network: any.
        path: safetensors or PyTorch checkpoint, as `read_state_dict` takes it.
        name: what messages call the network.

    Raises:
        CodecFileError: as `read_state_dict`; or the weights are of another network, and in what they differ;
            one line that begins with the path.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> net = nn.Linear(3, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "net.pt"
        ...     torch.save({f"module.{k}": torch.ones_like(v) for k, v in net.state_dict().items()}, file)
        ...     load_weights(net, file, name="net")
        >>> net.bias.tolist()
        [1.0, 1.0]
    """
    expected = {k: v for k, v in network.state_dict().items() if isinstance(v, Tensor)}
    try:
        tensors = unwrapped(read_state_dict(path), expected.keys())
        kinds = [
            f"{k} is {tensors[k].dtype}, expected {v.dtype}"
            for k, v in expected.items()
            if k in tensors and tensors[k].is_floating_point() != v.is_floating_point()
        ]
        if kinds:  # which torch would convert without a word
            raise Unusable(_listed(name, kinds))
        network.load_state_dict(tensors)
    except Unusable as error:
        raise refusal(path, str(error)) from error
    except RuntimeError as error:  # asked first: a network may translate names of its own older releases
        problems = list(_problems(expected, _counts(expected) | tensors))
        reason = _listed(name, problems or [" ".join(str(error).split())[:300]])
        raise refusal(path, reason) from error


def refusal(path: str | os.PathLike[str], reason: str) -> CodecFileError:
    """The error of a file of weights that cannot be used: one line that begins with its path."""
    return CodecFileError(f"{printable(path) or repr('')}: {printable(reason)}")


def _tensors(data: bytes) -> dict[str, Tensor]:
    """Tell the formats apart by their first bytes and read the one at hand."""
    if not data:
        raise Unusable("empty file, expected network weights")
    if data[8:9] == b"{":  # after the length of the header
        return _from_safetensors(data)
    if data.startswith(b"PK\3\4"):
        return read_checkpoint(data)
    if data[0] == 0x80 and data[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        raise Unusable(
            "PyTorch's legacy format from before 1.6, expected its zip format; if you trust where the file "
            "comes from, convert it with torch.save(torch.load(old, map_location='cpu'), new)"
        )
    raise Unusable(f"begins with {data[:4].hex(' ')}, expected safetensors or a PyTorch checkpoint")


def _from_safetensors(data: bytes) -> dict[str, Tensor]:
    try:
        read_header(data)
        tensors = read_tensors(data)
    except Unusable as error:
        raise Unusable(f"damaged safetensors file: {error}") from error
    if not tensors:
        raise Unusable("a safetensors file without tensors")
    return tensors


def fill(network: nn.Module, tensors: Mapping[str, Tensor], *, name: str) -> None:
    """Give a network on the meta device copies of its tensors, in its own types, and evaluation mode.

    Batch norm's counts of training steps may be missing.

    Args:
        network: without weights, on the meta device, so that hostile shapes cost no memory.
        tensors: by the network's names.
        name: what messages call the network.

    Raises:
        Unusable: they are not its own; says in what they differ.
    """
    expected = network.state_dict()
    tensors = _counts(expected) | dict(tensors)
    problems = list(_problems(expected, tensors))
    if problems:
        raise Unusable(_listed(name, problems))
    # copies, because the tensors may share memory, and in the layout of a new network
    layout = torch.contiguous_format
    own = {k: tensors[k].to(v.dtype, copy=True, memory_format=layout) for k, v in expected.items()}
    network.load_state_dict(own, assign=True)
    network.eval()


def unwrapped(tensors: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Take off what wrappers put before every name, until a name is one of those expected.

    Raises:
        Unusable: some names have it and some do not.
    """
    found = dict(tensors)
    while found and not any(name in found for name in expected):
        prefix = next((p for p in _WRAPPERS if all(name.startswith(p) for name in found)), None)
        if prefix is None:
            _check_unmixed(found, expected)
            return dict(tensors)
        found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def _check_unmixed(found: Mapping[str, Tensor], expected: Collection[str]) -> None:
    for prefix in _WRAPPERS:
        if any(prefix + name in found for name in expected):
            others = [name for name in found if not name.startswith(prefix)]
            raise Unusable(
                f"{len(found) - len(others)} of {len(found)} names begin with {prefix}, "
                f"expected all or none: {short(others[0])} does not"
            )


def _counts(expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Batch norm's counts of training steps, which a file may leave out."""
    return {
        name: torch.zeros(value.shape, dtype=value.dtype)
        for name, value in expected.items()
        if name.endswith("num_batches_tracked")
    }


def _listed(name: str, problems: Sequence[str]) -> str:
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    return f"not the weights of {name}: {'; '.join(problems[:3])}{more}"


def _problems(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield what is missing, what has another shape or kind, and what does not belong."""
    for name, want in expected.items():
        have = got.get(name)
        if have is None:
            yield f"{name} is missing"
        elif have.shape != want.shape:
            yield f"{name} is {tuple(have.shape)}, expected {tuple(want.shape)}"
        elif have.is_floating_point() != want.is_floating_point():
            yield f"{name} is {have.dtype}, expected {want.dtype}"
    yield from (f"{short(name)} is unexpected" for name in got if name not in expected)
