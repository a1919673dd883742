"""What a training needs to go on after a kill, in a file that is written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from featcodec.errors import FeatcodecError
from featcodec.files import make_folder, write_atomic

__all__ = ["load_state", "save_state"]


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors, numbers and texts, in dictionaries and lists; the folder is made."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    make_folder(str(path.parent), parents=True)
    write_atomic(path, buffer.getvalue())


def load_state(
    path: Path,
    needed: set[str],
    *,
    of: str,
    error: type[FeatcodecError],
    where: torch.device | str = "cpu",
) -> dict[str, Any]:
    """What `save_state` wrote.

    Args:
        path: of the file.
        needed: names that have to be in it.
        of: what it is a state of, in words.
        error: what is raised.
        where: the device that tensors go to.

    Raises:
        FeatcodecError: `error`: it is damaged, or something else.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=where)
        missing = sorted(needed - set(state))
    except Exception as cause:  # torch.load names a damaged file in many ways
        raise error(f"no checkpoint of {of}: {type(cause).__name__}; remove it", path=str(path)) from cause
    if missing:
        raise error(f"no checkpoint of {of}: {', '.join(missing)} missing; remove it", path=str(path))
    return state
