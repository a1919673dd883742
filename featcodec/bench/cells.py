"""What a table of a result is made of: columns, groups of rows, and figures as text."""

from __future__ import annotations

from dataclasses import dataclass

from featcodec.evaluation.results import Interval

__all__ = ["Column", "Group", "Table", "count", "optional", "signed", "span", "with_interval"]


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column; `left`: of text, not of numbers."""

    head: str
    left: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong to one name, each with a cell a column."""

    name: str
    note: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table; `label` is the head of the column of the groups' names, where there is one."""

    title: str
    lead: str
    label: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    footnotes: tuple[str, ...] = ()


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def with_interval(value: float, interval: Interval, digits: int) -> str:
    low, high = interval
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def signed(value: float, interval: Interval | None, digits: int) -> str:
    shown = f"{value:+.{digits}f}"
    return shown if interval is None else f"{shown} [{interval[0]:+.{digits}f}, {interval[1]:+.{digits}f}]"


def span(interval: Interval, digits: int) -> str:
    return " to ".join(f"{v:,.{digits}f}" for v in interval)


def optional(percent: float | None) -> str:
    return "" if percent is None else f"{percent:.1f}"
