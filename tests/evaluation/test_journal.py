"""The journal of a run: what is finished survives whatever ended the run."""

from __future__ import annotations

import json
import os
import resource
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featcodec.errors import InputError
from featcodec.evaluation.box_metric import KEPT_BOXES, MeanAveragePrecision, boxes_of, rows_of
from featcodec.evaluation.journal import CodedPicture, Journal
from featcodec.evaluation.kept import picture_key
from featcodec.evaluation.provenance import origin
from featcodec.pictures.boxes import Boxes

NAMES = ("person", "car")
COLUMNS = MeanAveragePrecision().columns


def record(picture="a" * 20, size=1234, boxes=3):
    xyxy = torch.arange(4.0 * boxes).view(boxes, 4)
    scores = torch.linspace(0.9, 0.1, boxes)
    found = Boxes(xyxy, scores, torch.arange(boxes) % 2, NAMES)
    return CodedPicture(picture, size, 0.25, 0.5, 0.75, rows_of(found), origin())


@given(st.integers(0, 2**40), st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4), st.integers(0, 150))
def test_a_record_comes_back_as_it_was_written(size, encode_s, decode_s, cpu_s, boxes):
    before = replace(record(boxes=boxes), bytes=size, encode_s=encode_s, decode_s=decode_s, cpu_s=cpu_s)
    after = CodedPicture.from_row(json.loads(before.to_line(COLUMNS)), COLUMNS)
    assert (after.picture, after.bytes) == (before.picture, size)
    assert after.origin == before.origin == origin()
    times = (encode_s, decode_s, cpu_s)
    assert (after.encode_s, after.decode_s, after.cpu_s) == pytest.approx(times, abs=1e-5)
    assert after.found == pytest.approx(before.found, abs=5e-3)
    assert len(after.found) == min(boxes, KEPT_BOXES)
    assert boxes_of(after.found, NAMES).labels.tolist() == boxes_of(before.found, NAMES).labels.tolist()


def test_a_journal_opened_again_has_what_was_added(tmp_path):
    journal = Journal(tmp_path, "mine at 4", COLUMNS)
    journal.add(record("a"))
    journal.add(record("b", size=7))
    again = Journal(tmp_path, "mine at 4", COLUMNS)
    assert "a" in again
    assert again["b"].bytes == 7
    assert "c" not in again
    assert "a" not in Journal(tmp_path, "mine at 5", COLUMNS)


@pytest.mark.parametrize("torn", range(1, 40, 3))
def test_a_torn_line_is_left_out_and_swallows_none_that_follows(tmp_path, torn):
    journal = Journal(tmp_path, "x", COLUMNS)
    journal.add(record("a"))
    journal.add(record("b"))
    os.truncate(journal.path, journal.path.stat().st_size - torn)
    again = Journal(tmp_path, "x", COLUMNS)
    assert "a" in again
    again.add(record("c"))
    assert {"a", "c"} <= {key for key in "abc" if key in Journal(tmp_path, "x", COLUMNS)}


@given(junk=st.binary(max_size=200))
def test_junk_in_a_journal_is_left_out(tmp_path_factory, junk):
    journal = Journal(tmp_path_factory.mktemp("work"), "x", COLUMNS)
    journal.add(record("a"))
    with journal.path.open("ab") as file:
        file.write(b"\n{" + junk.replace(b"}", b"") + b"\nnu\n" + b"[" * 5000)
    assert "a" in Journal(journal.path.parent.parent, "x", COLUMNS)


def lacking(row, name):
    return {k: v for k, v in row.items() if k != name}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda row: [row["picture"], 1, 0.25, 0.5, []], r"got \[.*, expected an object"),
        (lambda row: lacking(row, "bytes"), "bytes: got no such field, expected an integer"),
        (lambda row: lacking(row, "found"), "found: got NoneType, expected x1, y1"),
        (lambda row: lacking(row, "origin"), "origin: got no such field"),
        (lambda row: row | {"psnr": 12.5}, "psnr: got an unknown field"),
        (lambda row: row | {"encode_s": "fast"}, 'encode_s: got "fast", expected a finite number'),
        (
            lambda row: row | {"found": lacking(row["found"], "score")},
            "found: got x1, y1, x2, y2, label, exp",
        ),
        (lambda row: row | {"found": row["found"] | {"area": [1]}}, "label, area, expected x1"),
        (lambda row: row | {"found": row["found"] | {"score": [0.5]}}, "found: got .*one as long as another"),
        (lambda row: row | {"found": row["found"] | {"x1": [float("nan")] * 3}}, "no finite number"),
        (lambda row: row | {"found": [[1, 2, 3, 4, 0.5, 1]]}, "found: got list"),
    ],
)
def test_a_whole_line_with_other_columns_is_refused_by_the_name_of_the_file(tmp_path, other, message):
    journal = Journal(tmp_path, "x", COLUMNS)
    journal.add(record("a"))
    row = json.loads(record("b").to_line(COLUMNS))
    assert set(row["found"]) == set(COLUMNS)
    with journal.path.open("a") as file:
        file.write(json.dumps(other(row)) + "\n")
    with pytest.raises(InputError, match=message) as refused:
        Journal(tmp_path, "x", COLUMNS)
    assert str(refused.value).startswith(f"{journal.path}: kept by another version, or damaged")
    assert str(refused.value).endswith("remove it or use another work folder")


def test_columns_are_read_by_name_in_whatever_order_they_stand(tmp_path):
    journal = Journal(tmp_path, "x", COLUMNS)
    row = json.loads(record("a").to_line(COLUMNS))
    turned = {k: row[k] for k in reversed(row)} | {"found": {k: row["found"][k] for k in reversed(COLUMNS)}}
    journal.path.write_text(json.dumps(turned))
    assert np.array_equal(
        Journal(tmp_path, "x", COLUMNS)["a"].found, CodedPicture.from_row(row, COLUMNS).found
    )


def test_two_runs_at_once_lose_nothing(tmp_path):
    one, other = Journal(tmp_path, "x", COLUMNS), Journal(tmp_path, "x", COLUMNS)
    for i in range(20):
        one.add(record(f"one{i}"))
        other.add(record(f"other{i}"))
    both = Journal(tmp_path, "x", COLUMNS)
    assert all(f"one{i}" in both and f"other{i}" in both for i in range(20))


def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path):
    journal = Journal(tmp_path, "x", COLUMNS)
    journal.add(record("a"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size + 20, before[1]))
        with pytest.raises(InputError, match="what was finished is kept"):
            journal.add(record("b"))
        with pytest.raises(InputError, match="what was finished is kept"):
            journal.add(record("c"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    again = Journal(tmp_path, "x", COLUMNS)
    assert "a" in again
    assert "b" not in again
    again.add(record("b"))
    assert np.array_equal(
        Journal(tmp_path, "x", COLUMNS)["b"].found, Journal(tmp_path, "x", COLUMNS)["a"].found
    )


def test_a_picture_goes_by_its_bytes(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (picture_key(tmp_path / name) for name in "abc")
    assert a == b != c
    with pytest.raises(InputError, match="missing"):
        picture_key(tmp_path / "missing")


def test_a_work_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "work").write_text("a file")
    with pytest.raises(InputError, match="work"):
        Journal(tmp_path / "work", "x", COLUMNS)
