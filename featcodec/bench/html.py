"""A result as one page that needs nothing else: no request leaves it, and it reads without its script."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from featcodec.bench.cells import Column, Table
from featcodec.bench.gallery import GalleryRow, gallery
from featcodec.bench.plots import Panel, draw, panels
from featcodec.bench.rows import facts, tables
from featcodec.bench.summary import summary
from featcodec.evaluation.results import Result

__all__ = ["to_html"]

_MOST_GALLERY = 3_500_000  # characters, so that the page stays below 5 million
_FIRST_FACTS = ("Demo", "Times", "Data", "Network", "Uncoded")  # the others are folded
_PHONE = "(max-width: 600px)"
# "none" for everything that is not named: the browser itself refuses requests
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --line: #dfe3e9; --paper: #ffffff;
  --panel: #f5f7f9; --mark: #e3effa; --accent: #0060a0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa5b4; --line: #333b47;
  --paper: #161a21; --panel: #1e242d; --mark: #1d3448; --accent: #7cc0f2; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 72px; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .3em; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.4em 0 .3em; padding-top: 1.1em; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8em 0 .3em; overflow-wrap: anywhere; }
h4 { font-size: .85rem; font-weight: 600; color: var(--soft); margin: 1em 0 .4em; overflow-wrap: anywhere; }
p { margin: .4em 0 .9em; max-width: 72ch; }
.lead, figcaption, .notes { color: var(--soft); font-size: .9rem; }
nav { margin: 1.2em 0 0; display: flex; flex-wrap: wrap; gap: .3em 1.3em; font-size: .92rem; }
a { color: var(--accent); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25em 1.2em; margin: .8em 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.demo { background: var(--mark); border-radius: 8px; padding: .7em 1em; }
details { background: var(--panel); border-radius: 8px; padding: .55em 1em; font-size: .92rem; }
summary { cursor: pointer; font-weight: 600; }
.wide { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { padding: .32em .7em; text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; white-space: normal;
  border-bottom: 2px solid var(--line); vertical-align: bottom; }
th[role] { cursor: pointer; }
th[aria-sort]::after { content: " \\2191"; }
th[aria-sort=descending]::after { content: " \\2193"; }
.left { text-align: left; }
tr.first td { border-top: 1px solid var(--line); }
tbody tr:hover { background: var(--panel); }
td:first-child { font-weight: 600; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); }
tr.counts td:first-child, tbody tr:hover td:first-child { background: inherit; }
tr.again td:first-child { color: transparent; }
table.sorted tr.again td:first-child, tr:hover td:first-child { color: inherit; }
tr.counts { background: var(--mark); }
td span { color: var(--soft); }
.notes { padding-left: 1.2em; max-width: 76ch; }
.plot { margin: 1em 0 2em; }
.plot img { display: block; width: 100%; max-width: 860px; height: auto; }
.photo { margin-bottom: 2.4em; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(46%, 230px), 1fr)); gap: 10px; }
figure { margin: 0; }
.strip img { display: block; width: 100%; height: auto; border-radius: 4px; background: var(--panel); }
@media (max-width: 600px) { td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 8em; }
  table:not(.sorted) tr.again td:first-child { font-size: 0; }
  th, td { padding: .3em .45em; } main { padding: 18px 14px 48px; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .6em; } h1 { font-size: 1.4rem; } }
""".strip()

# sorts a table by a column whose head is clicked, or chosen by Enter; what is no number comes last
_SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, i) => row.cells[i].textContent.trim();
  heads.forEach((head, i) => {
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const rows = [...table.tBodies[0].rows];
      const compare = (a, b) => {
        const [s, t] = [value(a, i), value(b, i)];
        const [x, y] = [parseFloat(s.replace(/,/g, "")), parseFloat(t.replace(/,/g, ""))];
        if (isNaN(x) && isNaN(y)) return (down ? -1 : 1) * s.localeCompare(t);
        return isNaN(x) ? 1 : isNaN(y) ? -1 : down ? y - x : x - y;
      };
      rows.sort(compare).forEach(row => table.tBodies[0].append(row));
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      table.classList.add("sorted");
    };
    head.setAttribute("role", "button");
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}
""".strip()


def to_html(result: Result, pictures: Sequence[GalleryRow] = ()) -> str:
    """A whole page of a result: what was measured and how, plots, tables, notes, and a gallery.

    Args:
        result: what to show; every text of it is shown as text.
        pictures: for the gallery; reduced until the page is smaller than 5 MB.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    title = f"featcodec-bench: {result.data}"
    plots, short = panels(result), summary(result)
    parts = [("short", short.title, _table(short))] if short else []
    parts += [("plots", "Plots", "\n".join(_plot(result, p) for p in plots))] if plots else []
    if pictures:
        parts.append(("gallery", "Gallery", gallery(pictures, _MOST_GALLERY)))
    parts += [(f"table-{i}", t.title, _table(t)) for i, t in enumerate(tables(result))]
    if result.notes:
        parts.append(("notes", "Notes", _list(result.notes)))
    links = "\n".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in parts)
    body = "\n".join(
        f'<section id="{name}"><h2>{escape(heading)}</h2>\n{content}\n</section>'
        for name, heading, content in parts
    )
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{_facts(result)}
<nav>
{links}
</nav>
{body}
</main>
<script>
{_SCRIPT}
</script>
</body>
</html>
"""
    # names of files may hold bytes that are no text; UTF-8 has no place for what Python makes of them
    return page.encode(errors="backslashreplace").decode()


def _facts(result: Result) -> str:
    def listed(rows: Sequence[tuple[str, str]]) -> str:
        return "<dl>" + "".join(f"<dt>{escape(n)}</dt><dd>{escape(t)}</dd>" for n, t in rows if t) + "</dl>"

    found = facts(result)
    first = listed([f for f in found if f[0] in _FIRST_FACTS])
    rest = listed([f for f in found if f[0] not in _FIRST_FACTS])
    kind = ' class="demo"' if result.demo else ""
    return f"<div{kind}>{first}</div>\n<details><summary>How it was made</summary>{rest}</details>"


def _plot(result: Result, panel: Panel) -> str:
    def drawn(dark: bool, narrow: bool) -> str:
        svg = draw(result, [panel], "svg", dark=dark, narrow=narrow)
        return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()

    dark = "(prefers-color-scheme: dark)"
    sources = (
        (f"{_PHONE} and {dark}", drawn(True, True)),
        (_PHONE, drawn(False, True)),
        (dark, drawn(True, False)),
    )
    listed = "".join(f'<source media="{media}" srcset="{data}">' for media, data in sources)
    return (
        f'<figure class="plot"><picture>{listed}'
        f'<img src="{drawn(False, False)}" alt="{escape(panel.title)}"></picture>'
        f"<figcaption>{escape(panel.caption)}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    columns = (Column(table.label, left=True), *table.columns)
    heads = "".join(f"<th{_left(c)}>{escape(c.head)}</th>" for c in columns)
    rows = []
    for group in table.groups:
        for number, row in enumerate(group.rows):
            kinds = "again" if number else "first"
            kinds += " counts" if "*" in row else ""
            name = f'<td class="left">{escape(group.name).replace("/", "/<wbr>")}</td>'
            cells = "".join(_cell(text, c) for text, c in zip(row, table.columns, strict=True))
            rows.append(f'<tr class="{kinds}">{name}{cells}</tr>')
    lead = f'<p class="lead">{escape(table.lead)}</p>\n' if table.lead else ""
    abouts = [f"{g.name}: {g.note}" for g in table.groups if g.note]
    under = _list(table.footnotes)
    if abouts:  # of people who want to know how, and long
        told = f"What is compared here: {len(abouts)} lines"
        under = f"<details><summary>{told}</summary>{_list(abouts)}{under}</details>"
    body = "\n".join(rows)
    return (
        f'{lead}<div class="wide"><table><thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'
        f"</div>\n{under}"
    )


def _cell(text: str, column: Column) -> str:
    value, bracket, rest = text.partition(" [")  # an interval, or the number of a footnote
    soft = f" <span>{escape(bracket.strip() + rest)}</span>" if bracket else ""
    return f"<td{_left(column)}>{escape(value)}{soft}</td>"


def _left(column: Column) -> str:
    return ' class="left"' if column.left else ""


def _list(texts: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(t)}</li>" for t in texts)}</ul>' if texts else ""
