"""Texts under a table that its cells point at by number, each of them once."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Footnotes", "shared"]

_SHORT = 40  # characters; what is shorter may stand as often as it likes


class Footnotes:
    """Numbers texts as they come, the same text only once.

    Example:
        >>> notes = Footnotes()
        >>> notes.mark("too few points"), notes.mark("no overlap"), notes.mark("too few points")
        ('[1]', '[2]', '[1]')
        >>> notes.new()
        ('[1] too few points', '[2] no overlap')
        >>> notes.mark("no overlap"), notes.new()
        ('[2]', ())
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._given = 0

    def __len__(self) -> int:
        return len(self._texts)

    def mark(self, text: str) -> str:
        """The number of a text, in brackets."""
        if text not in self._texts:
            self._texts.append(text)
        return f"[{self._texts.index(text) + 1}]"

    def new(self) -> tuple[str, ...]:
        """The numbered texts that no earlier call gave: several tables may share the numbers."""
        lines = tuple(f"[{i}] {text}" for i, text in enumerate(self._texts, 1))
        fresh, self._given = lines[self._given :], len(lines)
        return fresh


def shared(notes: Iterable[str], footnotes: Footnotes) -> tuple[str, ...]:
    """Notes of parts joined by ``"; "``, long parts that several of them have replaced by their footnotes.

    Example:
        >>> encoder = "ffmpeg version 9, libvvenc version 1.15, preset faster"
        >>> shared([f"features; {encoder}", f"picture; {encoder}", "picture"], Footnotes())
        ('features; [1]', 'picture; [1]', 'picture')
    """
    split = [note.split("; ") for note in notes]

    def shown(part: str) -> str:
        several = sum(part in parts for parts in split) > 1
        return footnotes.mark(part) if several and len(part) > _SHORT else part

    return tuple("; ".join(map(shown, parts)) for parts in split)
