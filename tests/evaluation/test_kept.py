"""Keys of kept figures, kept rows, and what a result says of their origin."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from featcodec.errors import InputError
from featcodec.evaluation import provenance
from featcodec.evaluation.kept import keep, key, recall
from featcodec.evaluation.plain_json import from_plain
from featcodec.evaluation.provenance import foreign, made, origin, origin_notes
from featcodec.evaluation.results import Made, Origin, Point, from_json

RESULTS = sorted((Path(__file__).parents[2] / "benchmarks/results").glob("bench-*.json"))
BEFORE = [path for path in RESULTS if not json.loads(path.read_text())["made"].get("origins")]
ELSEWHERE = Origin("1f0c2a9", "featcodec 0.0.9", "aarch64, 4 cores")


@dataclass(frozen=True, slots=True)
class Row:
    steps: int
    psnr: float
    origin: Origin


@dataclass(frozen=True, slots=True)
class Other:
    steps: int
    psnr: float
    origin: Origin


ROW = Row(7, 12.5, ELSEWHERE)


def test_a_key_changes_with_every_version_and_every_fact_and_with_nothing_else():
    facts = {"row": ROW, "points": (1, 2.5), "known": np.arange(3), "options": {"iou": 0.6}, "none": None}
    same = key({"a": 1, "b": 2}, **facts)
    assert same == key({"b": 2, "a": 1}, **dict(reversed(facts.items())))
    assert same == key({"a": 1, "b": 2}, **facts | {"points": [1.0, 2.5], "known": np.arange(3)})
    others = [
        key({"a": 2, "b": 2}, **facts),
        key({"a": 1}, **facts),
        key({"a": 1, "b": 2, "c": 1}, **facts),
        *(
            key({"a": 1, "b": 2}, **facts | other)
            for other in (
                {"row": replace(ROW, psnr=12.500001)},
                {"row": Other(7, 12.5, ELSEWHERE)},
                {"row": replace(ROW, origin=replace(ELSEWHERE, commit="2"))},
                {"points": (1, 2.5000001)},
                {"points": (1,)},
                {"points": (True, 2.5)},
                {"known": np.arange(3.0)},
                {"known": np.arange(3)[None]},
                {"options": {"iou": 0.5}},
                {"none": ""},
                {"more": None},
            )
        ),
    ]
    assert len({same, *others}) == 1 + len(others)


def test_a_fact_without_a_text_is_refused():
    with pytest.raises(TypeError, match="got object"):
        key({}, thing=object())


def test_a_row_comes_back_and_the_first_one_stays(tmp_path):
    path = tmp_path / "new" / "row.json"
    assert recall(Row, path) is None
    assert keep(path, ROW) == ROW
    assert keep(path, replace(ROW, steps=8)) == ROW
    assert recall(Row, path) == ROW
    assert [p.name for p in path.parent.iterdir()] == ["row.json"]


def test_of_many_at_once_all_get_the_same_row(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: keep(tmp_path / "row.json", replace(ROW, steps=i)), range(24)))
    assert len(set(got)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["row.json"]


def test_where_there_are_no_hard_links_rows_are_kept_all_the_same(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError

    monkeypatch.setattr("os.link", link)
    assert keep(tmp_path / "row.json", ROW) == ROW == recall(Row, tmp_path / "row.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "JSONDecodeError"),
        (b"[7, 12.5]", r"got \[7, 12.5\], expected an object"),
        (b'{"steps": 7}', "psnr: got no such field"),
        (b'{"steps": 7, "psnr": 1, "origin": {}, "more": 1}', "origin.commit: got no such field"),
        (b'{"steps": true, "psnr": 1}', "steps: got true, expected an integer"),
        (b"[" * 100_000, "RecursionError"),
        (b"\xff\xfe\xfa", "Unicode|JSON"),
        (b" " * (1 << 21), "expected at most 1,048,576 bytes"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_the_name_of_the_file(tmp_path, content, message):
    path = tmp_path / "row\n.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        recall(Row, path)
    assert str(refused.value).startswith(f"{tmp_path}/row\\n.json: kept by another version, or damaged (")
    assert "\n" not in str(refused.value)


# ---- origins


def test_what_was_made_here_needs_no_word():
    assert origin_notes([origin()] * 3) == origin_notes([]) == ()
    assert made(["x"], seeds={}, kept=[origin()]).origins == ()


def test_what_was_made_elsewhere_is_counted_and_named():
    other = replace(ELSEWHERE, commit="unknown")
    notes = origin_notes([origin(), ELSEWHERE, other, ELSEWHERE])
    assert [note[:40] for note in notes] == [
        "Of mixed origin: 2 of 4 kept pieces were",
        "Of mixed origin: 1 of 4 kept pieces was ",
    ]
    assert "commit 1f0c2a9 (featcodec 0.0.9) on aarch64, 4 cores." in notes[0]
    about = made(["x"], seeds={}, measures={"metrics": 3}, kept=[ELSEWHERE, origin(), other, ELSEWHERE])
    assert about.origins == (origin(), ELSEWHERE, other)
    assert about.measures == {"metrics": 3}
    assert foreign([ELSEWHERE] * 2) == {ELSEWHERE: 2}


def test_an_origin_tells_code_packages_and_processor():
    here = origin()
    assert here is origin()
    assert here.commit == "unknown" or len(here.commit.rstrip("+")) == 40
    assert "torch " in here.packages
    assert " cores" in here.machine
    assert made(["x"], seeds={}).machine == here.machine


def test_outside_a_repository_the_commit_is_unknown(monkeypatch):
    monkeypatch.setattr(provenance, "_git", lambda *_: "")
    origin.cache_clear()
    try:
        assert origin().commit == "unknown"
    finally:
        origin.cache_clear()


@pytest.mark.parametrize("path", BEFORE, ids=lambda path: path.stem)
def test_results_from_before_origins_are_still_read(path):
    content = json.loads(path.read_text())
    assert from_json(path.read_text(), str(path)).made.origins == ()
    content["made"].pop("origins", None)  # as those that were not computed again since are
    for entry in content["entries"]:
        for point in entry["points"]:
            point.pop("timed_on", None)
    got = from_json(json.dumps(content), str(path))
    assert got.made.origins == ()
    assert all(p.timed_on is None for e in got.entries for p in e.points)


def test_only_fields_that_were_added_later_may_be_absent():
    row = {"command": "x", "commit": "1", "date": "", "versions": {}, "machine": "", "seeds": {}}
    assert from_plain(Made, row) == Made("x", "1", "", {}, "", {})
    assert len(RESULTS) > 1
    with pytest.raises(InputError, match="seeds: got no such field"):
        from_plain(Made, {name: value for name, value in row.items() if name != "seeds"})
    with pytest.raises(InputError, match="map: got no such field"):
        from_plain(Point, {"point": 1.0, "bytes": 1.0, "bpp": 1.0})
