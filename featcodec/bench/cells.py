"""What tables of a result are made of: columns, groups of rows, and how numbers look in their cells."""

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
    """A number of things: ``1 picture``, ``1,200 pictures``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def with_interval(value: float, interval: Interval, digits: int) -> str:
    """A value, and its interval in brackets."""
    low, high = interval
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def signed(value: float, interval: Interval | None, digits: int) -> str:
    """The same with signs; without an interval where there is none."""
    shown = f"{value:+.{digits}f}"
    return shown if interval is None else f"{shown} [{interval[0]:+.{digits}f}, {interval[1]:+.{digits}f}]"


def span(interval: Interval, digits: int) -> str:
    """From the lower end to the upper one."""
    return " to ".join(f"{v:,.{digits}f}" for v in interval)


def optional(percent: float | None) -> str:
    """Percent, to a tenth; nothing where it was not measured."""
    return "" if percent is None else f"{percent:.1f}"
