"""Parts of the user's own on a command line, by MODULE:CALLABLE: attackers and anchors."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featcodec.errors import InputError
from featcodec.user_code import running

__all__ = ["OWN_HELP", "is_own", "own_anchor", "own_attacker"]

OWN_HELP = "MODULE:CALLABLE is one of your own, which imports and thereby runs MODULE (docs/extending.md)"


def is_own(name: str) -> bool:
    """Whether a name is that of the user's own code.

    Example:
        >>> is_own("parts:Coarse"), is_own("image-jpeg")
        (True, False)
    """
    return ":" in name


def own_attacker(name: str) -> Any:
    """What `featcodec.attacks.attacker.Attacker` describes.

    Raises:
        InputError: the user's code fails, or gives something else.
    """
    return _own(name, "an attacker", ("name", "follows", "pictures", "fits", "prepare"))


def own_anchor(name: str) -> Any:
    """What `featcodec.bench.anchors.anchor.Anchor` describes; errors as `own_attacker`."""
    return _own(name, "an anchor", ("name", "needs", "missing", "coder"))


def _own(name: str, what: str, parts: Sequence[str]) -> Any:
    """What the user's callable gives when it is called without arguments; or it, if that has all parts."""
    module, _, attribute = name.partition(":")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)  # for good: worker processes look for the module, too
    with running(name, what):
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, type) or not all(hasattr(found, part) for part in parts):
            found = found()
    if lacking := [part for part in parts if not hasattr(found, part)]:
        got = f"{type(found).__name__} without {', '.join(lacking)}"
        raise InputError(f"{name}: got {got}, expected {what}")
    return found
