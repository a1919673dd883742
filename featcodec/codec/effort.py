"""How hard the encoder searches: 0 to 3. Standard library only, for command lines to know it at once."""

from __future__ import annotations

from featcodec.errors import InputError

__all__ = ["DEFAULT_EFFORT", "EFFORTS", "REFINEMENTS", "check_effort"]

EFFORTS = range(4)
DEFAULT_EFFORT = 0  # 1 gives fewer bytes and more error, as a lower quality does; see docs/encoding.md
REFINEMENTS = {2: 8, 3: 40}  # passes through decoder and tail, there and back, by effort


def check_effort(effort: object) -> int:
    """The effort, if it is one.

    Raises:
        InputError: it is no whole number from 0 to 3.

    Example:
        >>> check_effort(2)
        2
    """
    if not isinstance(effort, int) or isinstance(effort, bool) or effort not in EFFORTS:
        raise InputError(f"effort: got {effort!r:.40}, expected 0, 1, 2 or 3")
    return effort
