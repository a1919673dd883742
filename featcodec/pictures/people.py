"""Who is on a picture, by the name of its file."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["person"]

_NUMBERED = re.compile(r"(.*[^\d_-])[_-]+\d+")


def person(path: Path) -> str:
    """Who or what is on a picture: its name without the number at its end, if there is more to it than that.

    Example:
        >>> person(Path("Lech_Walesa_0002.jpg")), person(Path("0002.jpg"))
        ('Lech_Walesa', '0002')
    """
    numbered = _NUMBERED.fullmatch(path.stem)
    return numbered[1] if numbered else path.stem
