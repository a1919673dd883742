"""Code of the user's own: found in the working folder, too, and its errors in one line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featcodec.errors import InputError, one_line

__all__ = ["running", "working_folder"]


@contextmanager
def running(name: str, expected: str) -> Iterator[None]:
    """Somebody else's code runs inside: its warnings are not the user's, its errors get a name.

    Args:
        name: of the code, that messages begin with.
        expected: what it is to give.

    Example:
        >>> with running("mine:net", "a torch.nn.Module"):
        ...     raise SystemExit(3)
        Traceback (most recent call last):
        featcodec.errors.InputError: mine:net: it asked to exit with 3, expected it to give a torch.nn.Module
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too: it would end the program, and say nothing
        reason = one_line(error)
        if isinstance(error, SystemExit):
            reason = f"it asked to exit with {error.code!r}, expected it to give {expected}"
        raise InputError(f"{name}: {reason}") from error


@contextmanager
def working_folder() -> Iterator[None]:
    """Modules are looked for in the working folder first, as by ``python -m``."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
