"""What surrounds the code: one version, extras that mean what they say, documents that name what there is."""

from __future__ import annotations

import ast
import functools
import importlib
import io
import re
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path

import pytest

import featcodec
from featcodec import errors
from featcodec.commands.bench import main as bench
from featcodec.commands.main import main
from featcodec.commands.plf import main as plf

ROOT = Path(__file__).parents[1]
API = (ROOT / "docs/api.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(p.relative_to(ROOT).as_posix() for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))

GUIDES = [
    name for name in DOCUMENTS if name != "docs/benchmarks.md"
]  # whose commands are those of their time


@pytest.fixture(scope="module")
def project():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# ---- version


def test_the_version_has_one_home(project, capsys):
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "featcodec.__version__"}
    assert "version" in project["project"]["dynamic"]
    assert "version" not in project["project"]
    assert version("featcodec") == featcodec.__version__
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith(f"featcodec {featcodec.__version__}, ")


def test_the_version_stands_as_a_plain_value_that_packaging_reads_without_an_import():
    code = (ROOT / "featcodec/__init__.py").read_text(encoding="utf-8")
    assert re.findall(r'^__version__ = "(.+)"$', code, re.M) == [featcodec.__version__]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev0)?", featcodec.__version__)


def test_the_newest_changes_are_those_of_this_version():
    headings = re.findall(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[0][0] == featcodec.__version__.removesuffix(".dev0")


# ---- extras


def test_all_is_what_users_can_want_and_dev_adds_what_the_tests_need(project):
    extras = project["project"]["optional-dependencies"]
    assert extras["all"] == ["featcodec[fit,bench,demo,edge,tools]"]
    assert set(extras["all"]) < set(extras["dev"])
    assert any(name.startswith("pytest") for name in extras["dev"])


def test_an_extra_that_a_message_recommends_is_there(project):
    code = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "featcodec").rglob("*.py"))
    named = {name for found in re.findall(r"featcodec\[([\w,]+)\]", code) for name in found.split(",")}
    assert named
    assert named <= set(project["project"]["optional-dependencies"])


# ---- docs/api.md


def test_every_exported_name_is_documented_and_nothing_else():
    """After tests/test_exported_members.py of httpx."""
    documented = set(
        re.findall(r"\bfeatcodec\.(\w+)\b(?!\()", re.sub(r"`help\(.*?\)`|\[.*?\]\(.*?\)", "", API))
    )
    assert documented - {"__all__", "edge"} == set(featcodec.__all__)  # edge: a module of its own


def test_the_tree_of_errors_is_that_of_the_classes():
    lines = re.findall(r"^([\s│├└─]*)featcodec\.(\w+Error)\b", API, re.M)
    above: list[str] = []
    for indent, name in lines:
        del above[len(indent) // 4 :]
        parent = getattr(errors, above[-1]) if above else Exception
        assert getattr(errors, name).__bases__[0] is parent, name
        above.append(name)
    assert {name for _, name in lines} == set(errors.__all__)


def test_the_methods_of_a_codec_that_are_promised_are_there():
    (listed,) = re.findall(r"^A `FeatureCodec` has (.*?)\. The errors are$", API, re.M | re.S)
    names = re.findall(r"`(\w+)`", listed)
    assert len(names) == 12
    assert all(hasattr(featcodec.FeatureCodec, name) for name in names)


# ---- documents


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_files_that_a_document_links_to_exist(name):
    path = ROOT / name
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("name", [*GUIDES, "bitstreams/README.md"])
def test_the_files_of_the_repository_that_a_document_names_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w/])((?:tests|benchmarks|bitstreams|docs|featcodec)/[\w./-]*\w)", text)
    for path in {p for p in named if "NAME" not in p and "CODEC" not in p}:
        assert (ROOT / path).exists(), path


def test_the_modules_that_the_architecture_names_exist():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/[a-z_/0-9]*(?:\.py)?)`", text))
    assert len(named) > 20
    for path in named:
        assert (ROOT / path).exists() or (ROOT / "featcodec" / path).exists(), path


@functools.cache
def options_of(program, command):
    """What the help of a command lists."""
    run = {"featcodec": main, "featcodec-bench": bench, "plf": plf}[program]
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
        run([*command, "--help"])
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", out.getvalue()))


@pytest.mark.parametrize("name", GUIDES)
def test_the_commands_and_options_that_a_document_shows_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    shown = re.findall(r"(?:^|`|&& |-m )(featcodec-bench|featcodec|plf) ([^`&\n]*)", text, re.M)
    for program, words in shown:
        command = () if program == "featcodec-bench" else tuple(re.findall(r"^[a-z]+", words))
        typed = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", re.sub(r"\$\(.*?\)\)?", "", words)))
        assert typed <= options_of(program, command), (program, words)


def test_who_wants_to_cite_finds_the_papers_of_the_method():
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["cff-version"], cited["authors"]) == ("1.2.0", [{"name": "The featcodec developers"}])
    assert {"title", "message", "license"} <= set(cited)
    papers = {identifier["value"] for paper in cited["references"] for identifier in paper["identifiers"]}
    assert papers == {"arXiv:2402.18864", "arXiv:2210.00727", "arXiv:1809.02736"}
    assert "version" not in cited


# ---- scripts


SCRIPTS = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("benchmarks/**/*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_import_from_the_package_what_there_is(name):
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "featcodec":
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
