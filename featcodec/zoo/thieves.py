"""Where the thieves of the embedded codecs lie; `featcodec.attacks.thieves` reads them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["names", "path"]

_FOLDER = Path(__file__).parent / "thieves"


def names() -> tuple[str, ...]:
    """Names of the embedded codecs that have a thief with them; none in a package without thieves."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.safetensors")))


def path(name: str) -> Path:
    """Where the thief of an embedded codec lies.

    Example:
        >>> path("mine").parts[-3:]
        ('zoo', 'thieves', 'mine.safetensors')
    """
    return _FOLDER / f"{name}.safetensors"
