"""The examples of docs/extending.md run as they stand: parts of one's own, without touching the package."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The names that the page defines."""
    pytest.importorskip("compressai")
    pytest.importorskip("pycocotools")
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("extending"))
    names = {"__name__": "extending"}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    yield names
    patch.undo()


def test_a_task_of_one_s_own_gives_a_codec(ran):
    codec, picture = ran["codec"], ran["evaluation"][0]
    assert codec.tail(codec.decode(codec.encode(picture))).shape == (1, 5)


def test_an_attacker_of_one_s_own_stands_beside_the_built_in_ones(ran):
    rows = ran["report"].rows
    assert [(r.attacker, r.point) for r in rows] == [
        (name, point) for point in (1.0, 8.0) for name in ("mean picture", "invnet")
    ]
    assert {r.point for r in rows if r.strongest} == {1.0, 8.0}
    blind = ran["report"].outcomes[0].blind
    assert all(5 < r.psnr < blind for r in rows if r.attacker == "mean picture")


def test_an_anchor_of_one_s_own_is_measured_by_a_metric_of_one_s_own(ran):
    result = ran["compared"].result
    assert (result.metric, result.detail) == ("top class", "fidelity")
    assert {e.name for e in result.entries} == {"mine", "coarse", "image-jpeg"}
    (coarse,) = (e for e in result.entries if e.name == "coarse")
    assert [p.ap50 for p in coarse.points] == sorted(p.ap50 for p in coarse.points)
    assert coarse.points[-1].ap50 > 99
    assert coarse.points[0].bytes == 29 + 16 * 16 * 16 * 1
