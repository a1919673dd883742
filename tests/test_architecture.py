"""The house: packages import downwards only, so that each can be read without those above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "featcodec"
# from top to bottom; a name imports names that stand below it, and its own package
ORDER = [
    "__init__", "__main__", "commands", "demo", "bench", "inspect", "api", "shards", "attacks", "fitting",
    "training", "evaluation", "zoo", "edge", "codec", "networks", "pictures", "plf", "console", "clocks",
    "hub", "files", "unreadable", "user_code", "errors",
]  # fmt: skip


def home(module: str) -> str:
    """The package or module at the top of the house that a dotted name belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path) -> set[str]:
    """The modules of featcodec that a file imports when it runs, wherever in it that stands."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "featcodec":
            found |= {f"featcodec.{alias.name}" for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.startswith("featcodec.")}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_package_has_its_place_in_the_order():
    there = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert there == set(ORDER)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_look_down(path):
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if here == "__init__":
        return  # its names are the public ones, from every floor
    upwards = {
        name for name in imports(path) if home(name) != here and ORDER.index(home(name)) < ORDER.index(here)
    }
    assert not upwards
