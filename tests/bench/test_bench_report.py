"""What a run of the bench found, as a file, as text, as plots and as a page."""

from __future__ import annotations

import importlib.util
import io
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from featcodec.bench.gallery import GalleryRow, GalleryTarget, gallery
from featcodec.bench.html import to_html
from featcodec.bench.plots import draw, form_of, panels
from featcodec.bench.rows import facts, tables
from featcodec.bench.summary import summary
from featcodec.bench.table import WIDTH, to_markdown, to_text
from featcodec.errors import InputError, MissingExtraError
from featcodec.evaluation.results import (
    BD,
    Attacked,
    Effort,
    Entry,
    Identified,
    Learned,
    Made,
    Point,
    Reference,
    Result,
    from_json,
    to_json,
)

ROOT = Path(__file__).parents[2]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

MADE = Made(
    command="featcodec-bench --data val.json --images val/ --codec hidden --anchors raw-vvc,image-vvc",
    commit="0123456789abcdef",
    date="2025-11-21T10:00:00Z",
    versions={"python": "3.11.7", "torch": "2.9.0"},
    machine="x86_64, 2 cores",
    seeds={"bootstrap": 1},
)

PARETO = BD("hidden", "raw-vvc", "rate", "akima", -86.0, None, (33.1, 35.5), 0.5, None, ("raw-vvc@22",))
CUBIC = "constrained-cubic"


def point(at, size, accuracy, *, uncoded=35.7):
    lost = uncoded - accuracy
    spread = (accuracy - 2.4, accuracy + 2.5), (lost - 0.45, lost + 0.5)
    return Point(
        at, size, 8 * size / 256_000, accuracy, accuracy + 18, spread[0], lost, spread[1], 31.5, 40.25
    )


def attack(target, at, attacker, psnr, *, faces=None, strongest=True):
    interval = (psnr - 0.3, psnr + 0.35)
    figures = (0.41, psnr - 2.1, psnr + 1.4)
    size = 0.0 if target == "raw" else 3200.0
    return Attacked(
        target, at, size, attacker, 600, 280, psnr, interval, *figures, faces, faces and faces / 2, strongest
    )


def told(target, at, thief, way, photograph, file, *, strongest=False):
    spread = [(a - 2.0, a + 2.0) for a in (photograph, file)]
    learned = (0, "") if way == "rebuilds" else (1601, "gamma 1")
    figures = (photograph, spread[0], 40.0, file, spread[1], 30.0)
    return Identified(
        target, at, 0.0 if target == "raw" else 3315.2, thief, way, *learned, *figures, strongest
    )


def with_identities():
    """`small` with thieves that rebuild and thieves that infer."""
    rows = (
        told("hidden", 4, "unet", "rebuilds", 77.2, 74.0),
        told("hidden", 4, "kernel-ridge", "infers", 89.25, 85.5, strongest=True),
        told("raw", 0, "ridge", "infers", 96.0, 97.5, strongest=True),
    )
    return replace(small(), identified=rows)


def small():
    """A result with one of everything, for exact texts."""
    return Result(
        made=MADE,
        data="COCO val2017, 280-image subset",
        pictures=280,
        labelled=True,
        demo=False,
        network="YOLOv5s v6 at 448 px, cut after layer 4",
        uncoded_map=35.7,
        uncoded_ap50=53.9,
        entries=(
            Entry(
                "hidden",
                "codec",
                "against an adversary",
                (point(1, 1319, 33.1), replace(point(4, 4259, 35.52), dominated=True)),
            ),
            Entry("raw-vvc", "features", "", (point(44, 14_400, 32.2), point(40, 31_100.4, 35.8))),
        ),
        bd=(
            BD(
                "hidden",
                "raw-vvc",
                "rate",
                CUBIC,
                -87.25,
                (-89.1, -84.0),
                (33.1, 35.52),
                0.89,
                None,
                (),
                misfit=0.31,
            ),
            BD("hidden", "raw-vvc", "rate", "pchip", None, None, None, 0.0, "2 points, pchip needs 3", ()),
            BD("hidden", "raw-vvc", "rate", "akima", None, None, None, 0.0, "mAP falls", ()),
            replace(PARETO, refused_resamples=0.12),
        ),
        attacks=(
            attack("hidden", 4, "invnet", 14.91, faces=61.5, strongest=False),
            attack("hidden", 4, "unet", 15.2, faces=63.0),
            attack("raw", 0, "unet", 20.3),
        ),
        learning=(Learned("hidden", "unet", 600, ((200, 13.8), (600, 14.9))),),
        notes=("avif: this Pillow has no encoder for it",),
        reference=Reference(12.59, 99.2, 98.0),
    )


EVIL = '<img src=x onerror=alert(1)>|*`\x1b[31m\n& "quoted" $x^2$ \udcff'


def evil():
    """Texts that would be markup, control or formulas anywhere else."""
    result = small()
    entry = replace(result.entries[0], name=EVIL, note=EVIL)
    delta = replace(result.bd[1], test=EVIL, refused=EVIL)
    attacked = replace(result.attacks[0], target=EVIL, attacker=EVIL)
    made = replace(MADE, command=EVIL, versions={EVIL: EVIL})
    parts = {"entries": (entry,), "bd": (delta,), "attacks": (attacked,), "made": made}
    return replace(result, data=EVIL, network=EVIL, notes=(EVIL,), **parts)


# ---- json


def test_a_result_survives_json():
    read = from_json(to_json(small()), "x.json")
    assert (read.made, read.bd, read.notes) == (small().made, small().bd, small().notes)
    assert from_json(to_json(read), "x.json") == read


numbers = st.floats(-1e6, 1e6).map(lambda v: round(v, 1))
intervals = st.tuples(numbers, numbers)
texts = st.text(max_size=20)
deltas = st.builds(
    BD,
    test=texts,
    anchor=texts,
    measure=texts,
    method=texts,
    value=st.none() | numbers,
    interval=st.none() | intervals,
    overlap=st.none() | intervals,
    fraction=numbers,
    refused=st.none() | texts,
    dropped=st.lists(texts, max_size=3).map(tuple),
    misfit=st.none() | numbers,
)
curves = st.lists(st.tuples(st.integers(0, 10**6), numbers), max_size=3).map(tuple)


@given(st.lists(deltas, max_size=3).map(tuple), curves, texts, st.dictionaries(texts, texts, max_size=3))
def test_whatever_texts_and_figures_are_in_it_a_result_survives_json(bd, curve, text, versions):
    made = replace(MADE, command=text, versions=versions)
    learning = (Learned(text, "unet", 600, curve),)
    result = replace(small(), made=made, bd=bd, learning=learning, notes=(text,))
    read = from_json(to_json(result), "x.json")
    assert (read.made, read.bd, read.notes) == (made, bd, (text,))
    assert read.learning == learning
    assert to_json(read) == to_json(result)


def test_fields_keep_their_order_and_an_interval_takes_one_line():
    text = to_json(small())
    assert list(json.loads(text)) == ["format", *(f.name for f in fields(Result))]
    assert '     "map_interval": [30.7, 35.6],\n' in text


def changed(*keys, to):
    content = json.loads(to_json(small()))
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON, got Expecting value: line 1 column 1 (char 0)"),
        ("[" * 100_000, "expected JSON, got "),
        ("[]", "format: got no such field, expected a result of featcodec-bench"),
        (changed("format", to=2), "format: got 2, expected 1"),
        (changed("format", to=True), "format: got True, expected 1"),
        (changed("demo", to=1), "demo: got 1, expected true or false"),
        (changed("pictures", to=True), "pictures: got true, expected an integer"),
        (changed("pictures", to=2.0), "pictures: got 2.0, expected an integer"),
        (changed("uncoded_map", to="x"), 'uncoded_map: got "x", expected a finite number'),
        (changed("uncoded_map", to=math.nan), "uncoded_map: got NaN, expected a finite number"),
        (changed("uncoded_map", to=-math.inf), "uncoded_map: got -Infinity, expected a finite number"),
        (changed("uncoded_map", to=10**400), "uncoded_map: got 1000"),
        (changed("made", to=[]), "made: got [], expected an object"),
        (changed("made", "seeds", "a", to="1"), 'made.seeds.a: got "1", expected an integer'),
        (changed("made", "host", to=""), "made.host: got an unknown field, expected command, commit,"),
        (changed("entries", to={}), "entries: got {}, expected a list"),
        (changed("entries", 1, "kind", to="x"), 'kind: got "x", expected one of codec, features,'),
        (changed("entries", 1, "kind", to=[]), "entries[1].kind: got [], expected one of codec"),
        (changed("entries", 1, "points", 0, "lost_interval", to=[1]), "got a list of 1, expected 2"),
        (changed("entries", 1, "points", 0, "map", to=None), "entries[1].points[0].map: got null, expected"),
        (
            changed("learning", 0, "readings", 1, 0, to=0.5),
            "learning[0].readings[1][0]: got 0.5, expected an integer",
        ),
        (
            to_json(small()).replace('"lost":', '"last":', 1),
            "lost: got no such field, expected a finite number",
        ),
        (to_json(small()).replace('"reference"', '"r"'), "reference: got no such field, expected an object"),
    ],
)
def test_what_is_no_result_is_refused_by_the_name_of_the_field(text, message):
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        from_json(text, "run\n.json")
    assert str(refused.value).startswith("run\\n.json: ")


def test_results_of_releases_that_did_not_measure_the_effort_are_read():
    assert from_json(to_json(replace(small(), effort=Effort(3.0, 4.0))), "x").effort == Effort(3.0, 4.0)
    content = json.loads(to_json(small()))
    assert content.pop("effort") is None
    assert from_json(json.dumps(content), "x.json") == from_json(to_json(small()), "x.json")


def test_a_figure_that_is_none_is_not_written():
    with pytest.raises(InputError, match=r"uncoded_map: got NaN, expected a finite number"):
        to_json(replace(small(), uncoded_map=math.nan))


# ---- text


def test_the_tables_of_a_small_result_have_this_text():
    assert to_text(small()) == GOLDEN.strip("\n")


def test_the_tables_fit_100_columns_with_the_longest_names_and_figures_of_the_bench():
    wide = replace(small().bd[0], anchor="bottleneck-hevc", interval=(-100.0, -100.0))
    entry = Entry("x" * 63, "codec", "a note of many words " * 9, (point(44, 1_000_000, 12.1, uncoded=99.9),))
    attacks = (replace(small().attacks[0], budget=100_000, bytes=999_999.0, attacker="as decoded"),)
    notes = ("many words " * 30,)
    result = replace(small(), entries=(entry,), bd=(wide,), attacks=attacks, notes=notes)
    assert max(map(len, to_text(result).split("\n"))) <= WIDTH


def test_the_table_of_identities_says_what_each_thief_tells_apart():
    text = to_text(with_identities())
    assert "having learned from 1,601 portraits of other people" in " ".join(text.split())
    table = text[text.index("\nIdentity\n") : text.index("\nNotes\n")]
    lines = [" ".join(line.split()) for line in table.split("\n")]
    assert "4 3,315 unet rebuilds 77.2 [75.2, 79.2] 40.0 74.0 [72.0, 76.0] 30.0" in lines
    assert "* 4 3,315 kernel-ridge infers 89.2 [87.2, 91.2] 40.0 85.5 [83.5, 87.5] 30.0" in lines
    assert "* ridge infers 96.0 [94.0, 98.0] 40.0 97.5 [95.5, 99.5] 30.0" in lines
    assert "none 99.2 98.0" in lines
    assert max(map(len, text.split("\n"))) <= WIDTH
    assert "kernel-ridge" in to_markdown(with_identities())
    assert "kernel-ridge" in to_html(with_identities(), photographs())


def test_identities_survive_json_and_results_of_releases_without_them_are_read():
    text = to_json(with_identities())
    assert from_json(text, "x.json").identified == with_identities().identified
    content = json.loads(text)
    del content["identified"]
    assert from_json(json.dumps(content), "x.json").identified == ()
    content["identified"] = [json.loads(text)["identified"][0] | {"way": "guesses"}]
    with pytest.raises(InputError, match=r'way: got "guesses", expected one of rebuilds, infers'):
        from_json(json.dumps(content), "x.json")


def test_control_characters_never_reach_the_terminal():
    assert all(line.isprintable() for line in to_text(evil()).split("\n"))


def test_markdown_has_the_same_cells_and_as_many_in_every_row():
    text = to_markdown(small())
    assert "| hidden | 1 | 1,319 | 0.041 | 33.1 \\[30.7, 35.6\\] |" in text
    for table in text.split("### ")[1:]:
        rows = [line for line in table.split("\n") if line.startswith("|")]
        assert len({row.count("|") - row.count("\\|") for row in rows}) <= 1


def test_markdown_escapes_what_would_be_markup():
    assert "<" not in to_markdown(evil())
    assert "\x1b" not in to_markdown(evil())


def test_without_labels_the_text_says_what_accuracy_means():
    assert "as there are no labels" in " ".join(to_text(replace(small(), labelled=False)).split())
    assert to_text(replace(small(), demo=True)).startswith("Demo      a quick run")


# ---- what is said once, and what comes first


def refused(test, anchor, method, why, dropped=()):
    return BD(test, anchor, "rate", method, None, None, None, 0.0, why, dropped)


def falling(test, anchor):
    """What `deltas_of` gives for a curve that falls: a refusal, and the delta of the Pareto fronts."""
    for method in ("pchip", "akima"):
        yield refused(test, anchor, method, f"{test}: mAP does not rise with the bytes: 64 at 2, 60 at 3")
        yield replace(PARETO, test=test, anchor=anchor, method=method, dropped=(f"{test}@3", "raw-vvc@22"))


def bd_table(*deltas):
    return next(t for t in tables(replace(small(), bd=deltas)) if t.title == "BD-rate")


def test_the_delta_of_all_points_comes_first_and_what_fronts_leave_out_is_counted_and_named():
    cubic = [replace(small().bd[0], anchor=a, value=v) for a, v in (("raw-vvc", -71.0), ("image-vvc", -62.0))]
    table = bd_table(*falling("hidden", "raw-vvc"), *falling("hidden", "image-vvc"), *cubic)
    (group,) = table.groups
    assert [row[:2] for row in group.rows] == [
        (anchor, by) for anchor in ("raw-vvc", "image-vvc") for by in ("cubic", "pchip", "akima")
    ]
    assert [row[2].split(" ")[0] for row in group.rows] == [
        "-71.0",
        "-86.0",
        "-86.0",
        "-62.0",
        "-86.0",
        "-86.0",
    ]
    assert [row[-1] for row in group.rows] == ["all, within 0.3", *["2 left out [1][2]"] * 2] * 2
    assert table.footnotes == ("[1] hidden without 3", "[2] raw-vvc without 22")
    assert "which flatters the entry" in table.lead


def test_a_curve_that_no_method_takes_says_why_and_a_dominated_point_is_marked_wherever_it_is_shown():
    flat = "hidden: the fitted curve is flat at 35.00 mAP"
    table = bd_table(refused("hidden", "raw-vvc", CUBIC, flat), *falling("hidden", "raw-vvc"))
    assert table.groups[0].rows[0][:3] == ("raw-vvc", "cubic", "refused [1]")
    assert table.footnotes[0] == f"[1] {flat}"
    assert "| 4 \u2020 | 4,259 |" in to_markdown(small())
    assert "<td>4 \u2020</td>" in to_html(small())
    assert '"dominated": true' in to_json(small())
    plain = replace(small(), entries=small().entries[1:])
    assert "for no more bytes" not in to_text(plain)


def test_an_entry_that_is_refused_everywhere_for_one_reason_has_one_row():
    anchors = ("raw-vvc", "image-vvc", "image-jpeg")
    few = "raw-zstd: 1 point, {} takes at least {}"
    deltas = [
        refused("raw-zstd", a, m, few.format(m, n)) for a in anchors for m, n in (("pchip", 3), ("akima", 4))
    ]
    table = bd_table(*deltas)
    assert table.groups[0].rows == (("each of 3", "pchip, akima", "refused [1]", "", "", ""),)
    assert table.footnotes == ("[1] raw-zstd: 1 point, pchip takes at least 3, akima takes at least 4",)


def test_what_methods_refuse_alike_is_said_once_whatever_another_one_says():
    flat, few = "hidden: the fitted curve is flat at 35.00 mAP", "hidden: 2 points, {} takes at least {}"
    deltas = [refused("hidden", "raw-vvc", CUBIC, flat)]
    deltas += [refused("hidden", "raw-vvc", m, few.format(m, n)) for m, n in (("pchip", 3), ("akima", 4))]
    (note,) = bd_table(*deltas).footnotes
    assert note == f"[1] {flat}; hidden: 2 points, pchip takes at least 3, akima takes at least 4"


def test_reasons_that_differ_keep_their_rows():
    table = bd_table(
        *(refused("hidden", a, "pchip", f"no overlap with {a}") for a in ("raw-vvc", "image-vvc"))
    )
    assert [row[2] for row in table.groups[0].rows] == ["refused [1]", "refused [2]"]


def test_what_two_tables_have_to_say_stands_with_the_first():
    again = [replace(d, measure="map") for d in falling("hidden", "raw-vvc")]
    found = tables(replace(small(), bd=(*falling("hidden", "raw-vvc"), *again)))
    rate, accuracy = (next(t for t in found if t.title == title) for title in ("BD-rate", "BD-mAP"))
    assert [row[-1] for t in (rate, accuracy) for row in t.groups[0].rows] == ["2 left out [1][2]"] * 4
    assert (len(rate.footnotes), accuracy.footnotes) == (2, ())
    assert "Left out: " in rate.lead
    assert "Left out: " not in accuracy.lead
    assert "Footnotes that are not here stand under an earlier table." in accuracy.lead


def test_figures_of_another_metric_are_called_by_its_name_and_never_map():
    other = {"metric": "fidelity", "detail": "agreement", "labelled": False}
    text = to_text(replace(small(), bd=tuple(falling("hidden", "raw-vvc")), **other))
    assert "at least this fidelity for no more bytes" in " ".join(text.split())
    assert "no curve on which fidelity falls" in " ".join(text.split())
    assert "fidelity is against what the network itself gives uncoded" in " ".join(text.split())
    assert "mAP" not in text
    assert "detections" not in text


def test_what_several_entries_say_of_their_encoder_stands_once():
    encoder = "an encoder of a long name, version 12.34.56, with many options"
    entries = [replace(e, note=f"tiled; {encoder}") for e in small().entries]
    text = to_text(replace(small(), entries=tuple(entries)))
    assert text.count(encoder) == 1
    assert "hidden (codec; tiled; [1])" in text


@pytest.mark.parametrize(("cpu", "wall", "said"), [(3.0, 3.1, None), (3.5, 3.1, None), (3.0, 4.0, "25 %")])
def test_times_of_a_busy_machine_are_marked_as_that(cpu, wall, said):
    result = replace(small(), effort=Effort(cpu, wall))
    times = dict(facts(result)).get("Times")
    assert (times is None) if said is None else (said in times)
    assert ("busy machine" in to_html(result).split("<details")[0]) == (said is not None)
    assert "took 3." in str(result.effort)


def test_the_page_begins_with_the_figures_and_the_pictures():
    page = to_html(small(), photographs())
    places = [
        page.index(f'<section id="{name}"') for name in ("short", "plots", "gallery", "table-0", "notes")
    ]
    assert places == sorted(places)


def test_in_short_a_codec_has_its_sizes_accuracy_deltas_and_attack():
    table = summary(small())
    assert [c.head for c in table.columns] == ["bytes", "mAP", "against raw-vvc", "attack, dB"]
    assert [(g.name, g.rows) for g in table.groups] == [
        ("hidden", (("1,319\u20134,259", "33.1\u201335.5", "-87 % [-89, -84]", "15.2"),))
    ]
    flat = replace(small().bd[0], value=None, interval=None, refused="flat")
    assert summary(replace(small(), bd=(flat,))).groups[0].rows[0][2] == "none"
    assert "of all points" in table.lead
    assert summary(replace(small(), entries=small().entries[1:])) is None
    table = summary(with_identities())
    assert table.columns[-1].head == "identity, %"
    assert table.groups[0].rows[0][-1] == "89.2"
    assert "pairs of people that the strongest thief tells apart" in table.lead


# ---- plots


def test_a_plot_for_a_phone_is_as_wide_as_one_and_its_letters_keep_their_size():
    drawn = [
        Image.open(io.BytesIO(draw(small(), panels(small())[:1], "png", narrow=n))) for n in (False, True)
    ]
    assert [picture.width for picture in drawn] == [round(7.2 * 150), round(3.9 * 150)]
    assert drawn[1].height > drawn[1].width


def test_a_dominated_point_has_an_open_marker():
    entry = small().entries[0]
    for dominated, open_ones in ((True, 1), (False, 0)):
        points = (entry.points[0], replace(entry.points[1], dominated=dominated))
        result = replace(small(), entries=(replace(entry, points=points),))
        svg = draw(result, panels(result)[:1], "svg").decode()
        assert len(re.findall(r"<use [^>]*fill: #ffffff[^>]*stroke: #0072b2", svg)) == open_ones


def test_a_result_is_drawn_as_far_as_it_has_figures():
    assert [p.name for p in panels(small())] == ["rate", "privacy", "learning"]
    assert [p.name for p in panels(replace(small(), attacks=(), learning=()))] == ["rate"]
    with pytest.raises(InputError, match="without figures"):
        draw(small(), (), "png")


@pytest.mark.parametrize("dark", [False, True])
def test_plots_are_pictures_of_every_panel(dark):
    drawn = Image.open(io.BytesIO(draw(small(), panels(small()), "png", dark=dark)))
    shades = np.asarray(drawn.convert("L"))
    assert drawn.height > 2 * drawn.width
    assert (shades[0, 0] < 40) == dark
    for panel in np.split(shades[: len(shades) // 3 * 3], 3):
        assert panel.std() > 8


@pytest.mark.parametrize("name", [EVIL, "_first", "\u7d42"])
def test_the_same_result_gives_the_same_svg_and_any_name_can_be_drawn(name):
    result = replace(evil(), entries=(replace(small().entries[0], name=name),))
    once, again = (draw(result, panels(result), "svg") for _ in range(2))
    assert once == again
    assert once.startswith(b"<?xml")


def test_the_ending_says_the_form():
    assert form_of("a/rd.SVG") == "svg"
    with pytest.raises(InputError, match=r"rd.pdf: got the ending 'pdf', expected .png or .svg"):
        form_of("rd.pdf")


def test_without_matplotlib_the_command_that_brings_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'featcodec\[bench\]'"):
        draw(small(), panels(small()), "png")


# ---- page


def photographs(count=2, side=300):
    """Rows of noise, which JPEG cannot make small."""
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    target = GalleryTarget("hidden at 4", noise, (("invnet", noise), ("unet", noise)))
    return [GalleryRow(f"{i}.jpg {EVIL}", noise, noise, (target,)) for i in range(count)]


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_a_page_asks_nothing_of_the_network_and_shows_texts_as_texts():
    page = to_html(evil(), photographs())
    assert page.encode().count(b"\\udcff") > 5  # a byte that is no text, escaped
    tags = Tags(page).tags
    for _, attributes in tags:
        for name in {"src", "srcset", "href", "data", "action"} & set(attributes):
            assert attributes[name].startswith(("data:image/", "#"))
        assert not any(name.startswith("on") for name in attributes)
    assert [name for name, _ in tags].count("script") == 1
    assert not {"link", "iframe", "object"} & {name for name, _ in tags}
    assert "url(" not in page
    assert "@import" not in page


def test_pictures_are_reduced_and_at_last_left_out_until_the_gallery_fits():
    rows = photographs(3)
    whole, smaller, fewer = (gallery(rows, most) for most in (10**7, 400_000, 40_000))
    assert len(whole) > 400_000 >= len(smaller)
    assert (whole.count("<img"), smaller.count("<img"), fewer.count("<img")) == (15, 15, 5)
    assert "2 more pictures are left out" in fewer


# what a reader's browser makes of the page, written where --dump-dom shows it
PROBE = """<script>addEventListener("load", () => {
  const images = [...document.images];
  const rates = document.querySelector("#table-0 table");
  for (let i = 0; i < 2; i++) rates.querySelectorAll("th")[2].click();  // bytes, the most first
  document.body.dataset.found = JSON.stringify({
    tables: document.querySelectorAll("table").length,
    broken: images.filter(i => !i.naturalWidth).length,
    photographs: document.querySelectorAll(".strip img").length,
    first: rates.querySelector("tbody tr").cells[2].textContent,
    plots: Math.max(...[...document.querySelectorAll(".plot img")].map(i => i.getBoundingClientRect().right)),
    overflow: document.documentElement.scrollWidth > innerWidth,
    requests: performance.getEntriesByType("resource").filter(r => !r.name.startsWith("data:")).length,
  });
})</script></body>"""


def browse(tmp_path, page, *options):
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=5000"]
    command = [BROWSER, *flags, f"--user-data-dir={tmp_path / 'profile'}", *options, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
def test_a_browser_shows_tables_plots_and_gallery(tmp_path):
    page = to_html(small(), photographs()).replace("</body>", PROBE)
    dom = browse(tmp_path, page, "--window-size=500,900", "--dump-dom")
    found = json.loads(re.search(r'data-found="(.*?)"', dom)[1].replace("&quot;", '"'))
    rows = {"tables": 4, "photographs": 10, "broken": 0, "first": "31,100"}
    assert found.pop("plots") <= 500
    assert found == {**rows, "overflow": False, "requests": 0}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
def test_a_screenshot_of_the_page_is_not_blank(tmp_path):
    browse(tmp_path, to_html(small()), "--window-size=900,1400", f"--screenshot={tmp_path / 'shot.png'}")
    shades = np.asarray(Image.open(tmp_path / "shot.png").convert("L"))
    assert shades.shape == (1400, 900)
    assert shades[0, 0] == 255
    assert 0.01 < (shades < 200).mean() < 0.5


# ---- docs/benchmarks.md


def script(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as for a script that is run there
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_docs(monkeypatch):
    return script("make_docs", monkeypatch)


def test_kept_results_have_what_this_code_says_of_their_points(make_docs, monkeypatch):
    recompute = script("recompute_bd", monkeypatch)
    runs = dict(make_docs.results(ROOT / "benchmarks/results"))
    for name, kept in runs.items():
        assert from_json(to_json(recompute.recomputed(kept)), name) == kept
        for entry in kept.entries:
            assert all(p.dominated is not None for p in entry.points)
    rates = {
        (d.test, d.anchor): d for d in runs["bench-yolov5s-p3"].bd if (d.measure, d.method) == ("rate", CUBIC)
    }
    assert rates["yolov5s-p3", "raw-vvc"].value == pytest.approx(-76.8, abs=0.05)
    assert rates["yolov5s-p3", "image-vvc"].value == pytest.approx(-65.6, abs=0.05)
    assert not any(d.dropped for d in rates.values())


def test_deltas_that_a_run_computed_keep_their_intervals_and_old_notes_say_whose_minutes_they_are(
    monkeypatch,
):
    recompute = script("recompute_bd", monkeypatch)
    took = "Encoding and decoding all of it took 3.0 minutes of one core, the network included."
    old = replace(small(), notes=(took,))
    new = recompute.recomputed(old)
    assert new.bd == old.bd
    assert new.notes == (took.replace("of one core", "on the clock, one thread at a time"),)
    assert recompute.recomputed(replace(old, effort=Effort(3.0, 3.0))).notes == (took,)
    without = recompute.recomputed(replace(old, bd=old.bd[1:2], attacks=()))
    assert [(d.method, d.value is None) for d in without.bd] == [(CUBIC, False), ("pchip", True)]
    assert without.notes[-1] == recompute.NOTE


def test_the_committed_document_is_what_the_committed_results_give(make_docs):
    runs = make_docs.results(ROOT / "benchmarks/results")
    text = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert text == make_docs.document(runs), "run python benchmarks/make_docs.py"
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target


def test_the_committed_page_of_speed_is_what_the_committed_run_gives(make_docs):
    text = (ROOT / "docs/speed.md").read_text(encoding="utf-8")
    assert text == make_docs.speed_page.to_markdown(make_docs.speed()), "run python benchmarks/make_docs.py"


def test_the_document_takes_results_in_the_order_of_their_names(make_docs, tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"bench-{name}.json").write_text(to_json(replace(small(), network=name)))
    (tmp_path / "speed.json").write_text("[]")
    runs = make_docs.results(tmp_path)
    assert [name for name, _ in runs] == ["bench-a", "bench-b"]
    text = make_docs.document(runs)
    assert text.index(": a\n") < text.index(": b\n")
    assert "![Rate against accuracy](benchmarks-a-rate.png)" in text
    assert "No run has been committed" in make_docs.document([])


GOLDEN = """
Data      COCO val2017, 280-image subset; 280 pictures
Network   YOLOv5s v6 at 448 px, cut after layer 4
Uncoded   mAP 35.7, AP50 53.9
Command   featcodec-bench --data val.json --images val/ --codec hidden --anchors raw-vvc,image-vvc
Commit    0123456789abcdef
Date      2025-11-21T10:00:00Z
Machine   x86_64, 2 cores
Versions  python 3.11.7, torch 2.9.0
Seeds     bootstrap 1

Rate and accuracy
Means over 280 pictures; bytes and bpp are of whole files, decoded again from nothing else. Lost:
mAP below the uncoded 35.7, the same pictures drawn for both. Times are medians and include the
network's halves. †: another point of the entry has at least this mAP for no more bytes.

  point   bytes    bpp         mAP [95 %]  AP50          lost [95 %]  encode ms  decode ms
------------------------------------------------------------------------------------------
hidden (codec; against an adversary)
      1   1,319  0.041  33.1 [30.7, 35.6]  51.1    2.60 [2.15, 3.10]       31.5       40.2
    4 †   4,259  0.133  35.5 [33.1, 38.0]  53.5   0.18 [-0.27, 0.68]       31.5       40.2
raw-vvc (features)
     44  14,400  0.450  32.2 [29.8, 34.7]  50.2    3.50 [3.05, 4.00]       31.5       40.2
     40  31,100  0.972  35.8 [33.4, 38.3]  53.8  -0.10 [-0.55, 0.40]       31.5       40.2

BD-rate
Percent of bytes at equal mAP; negative: the entry needs fewer than its anchor. Cubic, the headline:
a curve that neither falls nor bends upwards (Wang et al. 2024), fitted to all points of an entry;
within: how far from it the farthest one is, in points of mAP. pchip and akima go through the
points, and take no curve on which mAP falls. Left out: the row lacks so many points that others of
their entry outdo, which flatters the entry. None: so much of the bootstrap was refused that there
is no interval.

  anchor   by                 % [95 %]       overlap  covers  points
-----------------------------------------------------------------------------
hidden
  raw-vvc  cubic  -87.2 [-89.1, -84.0]  33.1 to 35.5    89 %  all, within 0.3
  raw-vvc  pchip           refused [1]          none     0 %  all
  raw-vvc  akima    -86.0 [none: 12 %]  33.1 to 35.5    50 %  1 left out [2]
[1] 2 points, pchip needs 3
[2] raw-vvc without 22

Privacy
What attackers trained on other pictures rebuild from the decoded files, PSNR in dB: lower is harder
to rebuild. The strongest of a target and point counts, and is marked *. Edges: within 3 px of the
picture's edges; flat: elsewhere. Faces: accuracy of verification on what was rebuilt, and TAR at
FAR 1 %, in percent; a thief that infers reaches more.

     point  bytes  attacker  steps           PSNR [95 %]  MS-SSIM  edges  flat  faces   TAR
-------------------------------------------------------------------------------------------
hidden
         4  3,200  invnet      600  14.91 [14.61, 15.26]    0.410   12.8  16.3   61.5  30.8
  *      4  3,200  unet        600  15.20 [14.90, 15.55]    0.410   13.1  16.6   63.0  31.5
raw (features as they are)
  *                unet        600  20.30 [20.00, 20.65]    0.410   18.2  21.7
to compare with (blind paints each picture in its mean colour, none is the photograph)
                   blind                           12.59
                   none                                                          99.2  98.0

Notes
- avif: this Pillow has no encoder for it
"""
