"""A result as text: for the terminal, at most 100 columns wide, and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from featcodec.bench.cells import Group, Table
from featcodec.bench.rows import facts, tables
from featcodec.console import aligned
from featcodec.evaluation.results import Result
from featcodec.files import printable

__all__ = ["to_markdown", "to_text"]

WIDTH = 100
_NAME = 10  # columns of the facts' names


def to_text(result: Result) -> str:
    """The tables and notes of a result for the terminal; ends without a line end.

    Names and notes may come from files: control characters in them are escaped.
    """
    parts = ["\n".join(_hanging(f"{name:{_NAME}}", text, _NAME) for name, text in facts(result) if text)]
    parts += [_text_table(t) for t in tables(result)]
    if result.notes:
        parts.append("\n".join(["Notes", *(_hanging("- ", note, 2) for note in result.notes)]))
    return "\n\n".join(parts)


def _hanging(start: str, text: str, indent: int) -> str:
    return textwrap.fill(printable(text), WIDTH, initial_indent=start, subsequent_indent=" " * indent)


def _text_table(table: Table) -> str:
    groups = [Group(g.name, g.note, tuple(_printable(r) for r in g.rows)) for g in table.groups]
    rows = [tuple(c.head for c in table.columns), *(row for g in groups for row in g.rows)]
    laid_out = [f"  {line}" for line in aligned(rows, "".join("<" if c.left else ">" for c in table.columns))]
    lines = [table.title, *([_hanging("", table.lead, 0)] if table.lead else [])]
    rule = "-" * max(len(line) for line in laid_out)
    lines += ["", laid_out.pop(0), rule]
    for group in groups:
        lines.append(_hanging("", f"{group.name} ({group.note})" if group.note else group.name, 2))
        lines += [laid_out.pop(0) for _ in group.rows]
    return "\n".join([*lines, *(_hanging("", note, 4) for note in table.footnotes)])


def _printable(row: Iterable[str]) -> tuple[str, ...]:
    return tuple(printable(cell) for cell in row)


def to_markdown(result: Result, *, level: int = 3) -> str:
    """The tables and notes of a result as Markdown.

    Args:
        result: what to show.
        level: of the headings of the tables.
    """
    parts = [_markdown_table(t, "#" * level) for t in tables(result)]
    if result.notes:
        parts.append("\n".join([f"{'#' * level} Notes", "", *(f"- {escape(note)}" for note in result.notes)]))
    return "\n\n".join(parts)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in one line.

    Example:
        >>> escape("a|b <script>")
        'a\\\\|b &lt;script&gt;'
    """
    text = (
        printable(text).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    )
    for mark in "|*`_[]":
        text = text.replace(mark, f"\\{mark}")
    return text


def _markdown_table(table: Table, hashes: str) -> str:
    lines = [f"{hashes} {table.title}", "", *([escape(table.lead), ""] if table.lead else [])]
    lines.append(_cells((table.label, *(c.head for c in table.columns))))
    lines.append("|" + "|".join(["---", *("---" if c.left else "---:" for c in table.columns)]) + "|")
    for group in table.groups:
        for number, row in enumerate(group.rows):
            lines.append(_cells((group.name if number == 0 else "", *row)))
    under = [f"{g.name}: {g.note}." for g in table.groups if g.note] + list(table.footnotes)
    if under:
        lines += ["", *(f"- {escape(text)}" for text in under)]
    return "\n".join(lines)


def _cells(row: Iterable[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in row) + " |"
