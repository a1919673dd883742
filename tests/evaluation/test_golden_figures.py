"""Whoever changes a figure raises the version of what measures it, so that kept ones do not come back."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import golden_figures
import pytest
from golden_figures import GOLDEN, MEASURES, changes

import featcodec
from featcodec.evaluation import closeness

PACKAGE = Path(featcodec.__file__).parent
RESUMING = {"FITTING_VERSION"}  # of checkpoints of fits, which are no figures


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", MEASURES)
def test_figures_of_made_up_data_are_those_of_the_version(name, golden):
    assert changes(name, golden, MEASURES[name].figures()) == ""


def test_every_version_of_measuring_code_has_golden_figures():
    there = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for target in node.targets if isinstance(node, ast.Assign) else ():
                if isinstance(target, ast.Name) and target.id.endswith("_VERSION"):
                    there.add(target.id)
    assert there - RESUMING == {measure.constant for measure in MEASURES.values()}


@pytest.mark.parametrize(
    ("attribute", "other"),
    [("CANNY", (90, 180)), ("EDGE", 4), ("LEAST_ERROR", 0.02)],
)
def test_a_changed_metric_without_a_new_version_is_red_and_says_what_to_do(
    attribute, other, golden, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(closeness, attribute, other)
    found = MEASURES["closeness"].figures()
    said = changes("closeness", golden, found)
    assert "raise CLOSENESS_VERSION of featcodec.evaluation.closeness, now 1" in said
    kept = tmp_path / "golden.json"
    kept.write_text(GOLDEN.read_text())
    monkeypatch.setattr(golden_figures, "GOLDEN", kept)
    monkeypatch.setattr(golden_figures, "MEASURES", {"closeness": MEASURES["closeness"]})
    assert golden_figures.main() == 1
    assert "raise CLOSENESS_VERSION" in capsys.readouterr().err
    assert kept.read_text() == GOLDEN.read_text()
    monkeypatch.setattr(closeness, "CLOSENESS_VERSION", 2)
    assert "CLOSENESS_VERSION of featcodec.evaluation.closeness is 2: run" in changes(
        "closeness", golden, found
    )
    assert golden_figures.main() == 0
    assert changes("closeness", json.loads(kept.read_text()), found) == ""
