"""torch's global settings, set aside: what the caller chose for other work must not change what we compute.

The same picture gives the same bytes under another default device or dtype, inference mode and autocast.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["flushing", "inference", "training"]

_lock = threading.Lock()
# the default dtype holds for all threads: the first that needs float32 sets it, the last restores the other
_inside = 0
_callers = torch.float32


@contextmanager
def inference() -> Iterator[None]:
    """No gradients, float32 on the CPU; whatever mode the caller is in. Also a decorator.

    Example:
        >>> with torch.device("meta"), inference():
        ...     torch.zeros(2).device
        device(type='cpu')
    """
    with _plain(), torch.no_grad():
        yield


@contextmanager
def training() -> Iterator[None]:
    """As `inference`, with gradients."""
    with _plain(), torch.enable_grad():
        yield


@contextmanager
def flushing() -> Iterator[None]:
    """Numbers below the normal range of float32 count as 0 in this thread, on processors that can do so.

    A network that has learned for a while has gradients down there, and arithmetic with them is many times
    slower: without this, a step of a private fit took two and a half times as long after 1,200 steps as at
    its start. It has to begin after other libraries are set up; onnxruntime resets it with each session.

    Example:
        >>> with flushing():
        ...     float(torch.tensor(1e-30) * 1e-10) < 1e-39
        True
    """
    before = float(torch.tensor(1e-30) * 1e-10) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def _plain() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if torch.cuda.is_available():
            stack.enter_context(torch.autocast("cuda", enabled=False))
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.get_default_dtype() != torch.float32 or _inside:
            stack.enter_context(_float32())
        yield


@contextmanager
def _float32() -> Iterator[None]:
    global _inside, _callers
    with _lock:
        if not _inside:
            _callers = torch.get_default_dtype()
            torch.set_default_dtype(torch.float32)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                torch.set_default_dtype(_callers)
