"""The examples of docs/extending.md run as they stand: parts of one's own, without touching the package."""

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest

from featcodec.commands.bench import main as bench
from featcodec.commands.main import main

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)
COMMANDS = [shlex.split(line) for line in re.findall(r"^featcodec.*", TEXT, re.M)]


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


def test_a_callback_gets_the_figures_of_each_step(ran):
    assert list(ran["rates"]) == [1, 2, 3, 4]
    assert all(0 < rate < 100 for rate in ran["rates"].values())


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


@pytest.fixture
def parts(ran, monkeypatch):  # noqa: ARG001
    """The classes of the page as a module in the working folder."""
    nodes = [node for block in BLOCKS for node in ast.parse(block).body]
    code = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef)]
    Path("parts.py").write_text(ast.unparse(ast.Module(code, [])))
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("parts", None)


@pytest.mark.usefixtures("parts")
def test_the_commands_take_parts_of_one_s_own(capsys):
    attack, compare = COMMANDS
    assert main(attack[1:]) == 0
    shown = capsys.readouterr().out
    assert len(re.findall(r"^mine +[18] .* mean picture .* strongest$", shown, re.M)) == 2
    assert bench(compare[1:]) == 0
    assert {"mine", "coarse", "image-jpeg"} <= set(re.findall(r"^[\w-]+", capsys.readouterr().out, re.M))


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "parts:Network",
            "parts:Network: got Network without name, needs, missing, coder, expected an anchor",
        ),
        ("parts:Nobody", "parts:Nobody: AttributeError: module 'parts' has no attribute 'Nobody'"),
        ("no_such:Anchor", "no_such:Anchor: ModuleNotFoundError: No module named 'no_such'"),
    ],
)
def test_what_is_no_part_is_one_line(name, said, capsys):
    assert bench(["yolox-nano-open", "--images", "extending/eval", "--anchors", name]) == 1
    assert capsys.readouterr().err == f"featcodec-bench: {said}\n"


def test_a_callback_that_is_none_is_refused(ran):
    with pytest.raises(ran["featcodec"].InputError, match="callback: got 7, expected a function or None"):
        ran["featcodec"].fit(ran["network"], at="head", images=ran["training"], callback=7)
