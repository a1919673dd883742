"""What networks return: tensors, in whatever they are wrapped in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

__all__ = ["tensors_of"]


def tensors_of(output: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in what a network returns: tuples, lists, dictionaries and dataclasses are opened.

    Yields:
        A name, such as ``"[0].boxes"`` (empty where the output is a tensor), and the tensor.

    Example:
        >>> import torch
        >>> [name for name, _ in tensors_of({"out": torch.zeros(1), "aux": [torch.zeros(2)]})]
        ['.out', '.aux[0]']
    """
    if isinstance(output, Tensor):
        yield name, output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from tensors_of(value, f"{name}.{key}")
    elif isinstance(output, list | tuple):
        for i, value in enumerate(output):
            yield from tensors_of(value, f"{name}[{i}]")
    elif is_dataclass(output) and not isinstance(output, type):
        for field in fields(output):
            yield from tensors_of(getattr(output, field.name), f"{name}.{field.name}")
