"""A result as plots: rate against accuracy, what attackers rebuild against accuracy, how attackers learn."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, get_args

from featcodec.errors import InputError, MissingExtraError
from featcodec.evaluation.results import Attacked, Entry, Result
from featcodec.files import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Form", "Panel", "draw", "form_of", "panels"]

Form = Literal["png", "svg"]

# that the colour-blind tell apart (Okabe and Ito 2008), without yellow and black; lighter on dark paper
_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#B0508A", "#56B4E9", "#E69F00")
_DARK = ("#4FA8E0", "#F08A4B", "#2FC79A", "#E08CC0", "#9AD4F7", "#F2BF4F")
_STYLES = {  # line, marker, and where in the colours the kind begins
    "codec": ("-", "o", 0),
    "features": ("--", "s", 2),
    "bottleneck": ("--", "^", 4),
    "image": (":", "D", 1),
}
_KIND_NAMES = {
    "codec": "codec",
    "features": "features coded",
    "bottleneck": "latents coded",
    "image": "picture sent",
}
_SIZE = (7.2, 5.6)  # inches of a panel
_PHONE = (3.9, 3.7, 0.165)  # inches of a panel for a phone: width, height, and that of a line of the legend
_BELOW: dict[str, Any] = {  # of a legend
    "loc": "upper left",
    "bbox_to_anchor": (-0.02, -0.13),
    "frameon": False,
    "fontsize": 9,
    "handlelength": 2.4,
    "columnspacing": 1.4,
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot of a result.

    Attributes:
        name: short, for file names: ``"rate"``, ``"privacy"`` or ``"learning"``.
        title: what it shows.
        caption: how to read it, and the figures' meaning.
    """

    name: str
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class _Look:
    """Colours of a plot, and whether it is for a phone."""

    ink: str
    faint: str
    paper: str
    colours: tuple[str, ...]
    narrow: bool = False


_LOOKS = {
    False: _Look("#1d2430", "#c9ced6", "#ffffff", _LIGHT),
    True: _Look("#e4e8ee", "#444c59", "#161a21", _DARK),
}


def panels(result: Result) -> tuple[Panel, ...]:
    """The plots that a result has figures for."""
    found = []
    if any(e.points for e in result.entries):
        found.append(
            Panel(
                "rate",
                "Rate against accuracy",
                "Up and to the left is better. The line across is the network without coding; bars are 95 % "
                "intervals of what is lost against it, pictures drawn alike for both. Open markers: another "
                "point of the entry has at least that accuracy for no more bytes.",
            )
        )
    if _attacked(result):
        found.append(
            Panel(
                "privacy",
                "What the strongest attacker rebuilds, against accuracy",
                "Down and to the right is better: the pictures harder to rebuild at more accuracy. Bars are "
                "95 % intervals; of attackers that were measured on all pictures. At a line across, an "
                "attacker does no better than what is written at it.",
            )
        )
    if any(len(one.readings) > 1 for one in result.learning):
        found.append(
            Panel(
                "learning",
                "Longer attacks",
                "PSNR of what an attacker rebuilds of held-out training photographs, by its training steps; "
                "dotted with a quarter of the budget and a schedule of its own. What the full budget "
                "adds to the shorter one says how much a longer attack would still add.",
            )
        )
    return tuple(found)


def form_of(path: str) -> Form:
    """The form that a file's ending stands for.

    Raises:
        InputError: neither ``.png`` nor ``.svg``.

    Example:
        >>> form_of("rd.PNG")
        'png'
    """
    ending = PurePath(path).suffix.lower().removeprefix(".")
    for form in get_args(Form):
        if ending == form:
            return form  # type: ignore[no-any-return]
    raise InputError(f"got the ending {ending!r}, expected .png or .svg", path=printable(path))


def draw(
    result: Result, which: Sequence[Panel], form: Form, *, dark: bool = False, narrow: bool = False
) -> bytes:
    """Draw plots, one above the other.

    Args:
        result: what to draw.
        which: of `panels`, at least one.
        form: of the file.
        dark: light ink on dark paper.
        narrow: for the width of a phone: letters keep their size, the legend has fewer columns.

    Returns:
        A PNG or SVG file. The same result gives the same SVG with the same release of matplotlib.

    Raises:
        InputError: there is nothing to draw.
        MissingExtraError: matplotlib is not installed.
    """
    if not which:
        raise InputError("plot: got a result without figures, expected at least one entry")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", "bench") from error
    look = replace(_LOOKS[dark], narrow=narrow)
    with matplotlib.rc_context(_settings(look)):
        figure = Figure((_SIZE[0], _SIZE[1] * len(which)), layout="constrained", facecolor=look.paper)
        figure.get_layout_engine().set(h_pad=0.12, w_pad=0.08)  # type: ignore[union-attr,call-arg]
        for panel, axes in zip(which, figure.subplots(len(which), squeeze=False)[:, 0], strict=True):
            _frame(axes, look)
            _PAINTERS[panel.name](axes, result, look)
            title = textwrap.fill(panel.title, 36) if narrow else panel.title
            axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=10)
        if narrow:
            lines = sum(len(legend.get_texts()) for axes in figure.axes if (legend := axes.get_legend()))
            figure.set_size_inches(_PHONE[0], _PHONE[1] * len(which) + _PHONE[2] * lines)
        return _saved(figure, form)


def _settings(look: _Look) -> Any:
    ink = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    font = {"font.family": "DejaVu Sans", "font.size": 9.5, "text.parse_math": False}  # names may have a $
    return {"svg.hashsalt": "featcodec", **font, **dict.fromkeys(ink, look.ink)}


def _saved(figure: Figure, form: Form) -> bytes:
    file = io.BytesIO()
    unchanging: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
    figure.savefig(file, format=form, dpi=150, metadata=unchanging)
    return file.getvalue()


def _frame(axes: Axes, look: _Look) -> None:
    axes.set_facecolor(look.paper)
    axes.grid(color=look.faint, linewidth=0.6, alpha=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(look.faint)
    axes.tick_params(which="both", length=0)


# ---- rate


def _rate(axes: Axes, result: Result, look: _Look) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for entry in (e for e in result.entries if e.points):
        x, y = [p.bytes for p in entry.points], [p.map for p in entry.points]
        low = [max(0.0, p.lost_interval[1] - p.lost) for p in entry.points]
        high = [max(0.0, p.lost - p.lost_interval[0]) for p in entry.points]
        _curve(axes, x, y, (low, high), paint := _paint(result, entry, look), entry.name)
        outdone = [(p.bytes, p.map) for p in entry.points if p.dominated]
        open_marker = {**paint, "linestyle": "none", "markerfacecolor": look.paper, "zorder": 5}
        axes.plot([at for at, _ in outdone], [value for _, value in outdone], **open_marker)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if look.narrow else (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _across(axes, look, result.uncoded_map, "uncoded")
    axes.set_xlabel("bytes a picture (whole files)")
    axes.set_ylabel(f"{result.metric}, %" if result.labelled else f"{result.metric} against the uncoded, %")
    _legend(axes, result.entries, look)


def _paint(result: Result, entry: Entry, look: _Look) -> dict[str, Any]:
    """Line, marker and colour of an entry: the kind says the style, the place among its kind the colour."""
    line, marker, first = _STYLES[entry.kind]
    place = [e.name for e in result.entries if e.kind == entry.kind].index(entry.name)
    colour = look.colours[(first + place) % len(look.colours)]
    width = 2.2 if entry.kind == "codec" else 1.5
    return {"linestyle": line, "marker": marker, "color": colour, "linewidth": width, "markersize": 4.5}


def _curve(
    axes: Axes, x: Sequence[float], y: Sequence[float], spread: tuple[list[float], list[float]],
    paint: dict[str, Any], label: str,
) -> None:  # fmt: skip
    above = 4 if paint["linestyle"] == "-" else 3  # codecs on top of what they are compared with
    axes.errorbar(
        x, y, yerr=spread, fmt="none", ecolor=paint["color"], elinewidth=1, alpha=0.45, zorder=above - 2
    )
    axes.plot(x, y, label=_shown(label), zorder=above, **paint)


def _shown(name: str) -> str:
    """What the font has; matplotlib leaves names that begin with _ out of legends."""
    text = "".join(c if " " <= c <= "~" else "?" for c in name)
    return f" {text}" if text.startswith("_") else text


def _across(axes: Axes, look: _Look, height: float, text: str) -> None:
    axes.axhline(height, color=look.ink, linewidth=0.9, zorder=1)
    at = axes.get_yaxis_transform()
    axes.text(0.005, height, text, transform=at, ha="left", va="bottom", fontsize=8.5, color=look.ink)


def _legend(axes: Axes, entries: Sequence[Entry], look: _Look) -> None:
    """Entries below the plot, under a heading for each kind; side by side where there is room."""
    from matplotlib.lines import Line2D

    drawn = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    kinds = {_shown(e.name): e.kind for e in entries}
    columns = []
    for kind, heading in (*_KIND_NAMES.items(), (None, "not coded")):
        names = [name for name in drawn if kinds.get(name) == kind]
        if names:
            columns.append([heading, *names])
    if look.narrow:
        columns = [[name for column in columns for name in column]]
    rows = max(map(len, columns))
    labels = [label for column in columns for label in column + [""] * (rows - len(column))]
    nothing = Line2D([], [], linestyle="none")
    legend = axes.legend([drawn.get(n, nothing) for n in labels], labels, ncols=len(columns), **_BELOW)
    for text in legend.get_texts():
        text.set_color(look.ink)
        text.set_fontweight("normal" if text.get_text() in drawn else "bold")


# ---- privacy


def _attacked(result: Result) -> dict[str, list[tuple[float, tuple[float, float], Attacked]]]:
    """By target: accuracy, its interval and the strongest attack, from little accuracy to much.

    Attackers that were measured on some of the pictures only are left out: their PSNR is that of others.
    """
    accuracy = {
        (e.name, p.point): (
            p.map,
            (result.uncoded_map - p.lost_interval[1], result.uncoded_map - p.lost_interval[0]),
        )
        for e in result.entries
        for p in e.points
    }
    found: dict[str, list[tuple[float, tuple[float, float], Attacked]]] = {}
    best: dict[tuple[str, float], Attacked] = {}
    for a in result.attacks:
        key = a.target, a.point
        if a.pictures == result.pictures and (key not in best or a.psnr > best[key].psnr):
            best[key] = a
    for (target, point), attack in best.items():
        uncoded = (result.uncoded_map, (result.uncoded_map,) * 2) if target == "raw" else None
        known = uncoded or accuracy.get((target, point))
        if known is not None:
            found.setdefault(target, []).append((*known, attack))
    return {target: sorted(points, key=lambda p: p[0]) for target, points in found.items()}


def _privacy(axes: Axes, result: Result, look: _Look) -> None:
    entries = {e.name: e for e in result.entries}
    for target, points in _attacked(result).items():
        raw: dict[str, Any] = {"linestyle": "none", "marker": "*", "color": look.ink, "markersize": 11}
        paint = _paint(result, entries[target], look) if target in entries else raw
        x, y = [p[0] for p in points], [p[2].psnr for p in points]
        sides = [(max(0.0, p[0] - p[1][0]), max(0.0, p[1][1] - p[0])) for p in points]
        bars: dict[str, Any] = {"fmt": "none", "ecolor": paint["color"], "elinewidth": 1, "alpha": 0.3}
        axes.errorbar(x, y, xerr=list(zip(*sides, strict=True)), **bars)
        low = [max(0.0, p[2].psnr - p[2].psnr_interval[0]) for p in points]
        high = [max(0.0, p[2].psnr_interval[1] - p[2].psnr) for p in points]
        _curve(axes, x, y, (low, high), paint, target)
    if result.reference.blind_psnr is not None:
        _across(axes, look, result.reference.blind_psnr, "each in its mean colour")
    axes.set_xlabel(f"{result.metric}, %" if result.labelled else f"{result.metric} against the uncoded, %")
    axes.set_ylabel("rebuilt, PSNR in dB" if look.narrow else "PSNR of the rebuilt pictures, dB")
    _legend(axes, result.entries, look)


# ---- learning


def _learning(axes: Axes, result: Result, look: _Look) -> None:
    from matplotlib.ticker import FuncFormatter

    full: dict[tuple[str, str], int] = {}
    for one in result.learning:
        key = one.target, one.attacker
        full[key] = max(one.budget, full.get(key, 0))
    for one in result.learning:
        number = list(full).index((one.target, one.attacker))
        longest = one.budget == full[one.target, one.attacker]
        label = _shown(f"{one.target}, {one.attacker}") if longest else None
        line = "-" if longest else ":"
        paint: dict[str, Any] = {"color": look.colours[number % len(look.colours)], "linestyle": line}
        axes.plot(*zip(*one.readings, strict=True), label=label, marker="o", markersize=3.5, **paint)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    axes.set_xlabel("steps")
    axes.set_ylabel("PSNR, dB")
    axes.legend(ncols=1 if look.narrow else 2, labelcolor=look.ink, **_BELOW)


_PAINTERS: dict[str, Callable[[Axes, Result, _Look], None]] = {
    "rate": _rate,
    "privacy": _privacy,
    "learning": _learning,
}
