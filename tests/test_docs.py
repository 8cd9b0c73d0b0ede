"""What the documents say of the tree is so."""

from __future__ import annotations

import ast
import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "hpdist"
PATHS = re.compile(r"``((?:[a-z_]+/)+[a-z_]*(?:\.py)?|[a-z_]+\.py)``")


@pytest.mark.parametrize("name", ["docs/architecture.rst", "CONTRIBUTING.rst"])
def test_every_file_and_folder_that_is_named_exists(name: str) -> None:
    named = PATHS.findall((ROOT / name).read_text())
    assert named
    gone = [each for each in named if not (PACKAGE / each).exists() and not (ROOT / each).exists()]
    assert gone == []


def test_the_architecture_lists_the_packages_in_the_order_that_is_kept() -> None:
    from test_layers import ORDER

    text = (ROOT / "docs/architecture.rst").read_text()
    table = text.split("The packages, lowest first")[1].split("Two machines")[0]
    listed = [each.replace("/", ".") for each in re.findall(r"^``([a-z_/]+)``", table, re.M)]
    inner = {"core", "executors.backends", "executors.registry", "cluster.transport", "hpdist"}
    assert listed == [each for each in ORDER if each not in inner]


PAGES = sorted([*ROOT.glob("*.rst"), *ROOT.glob("docs/*.rst"), *ROOT.glob("benchmarks/*.rst")])
PAGES.remove(ROOT / "CHANGELOG.rst")  # tells of names that went, too


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_dotted_name_can_be_imported(page: Path) -> None:
    named = set(re.findall(r"``(hpdist(?:\.\w+)+)", page.read_text()))
    assert [name for name in sorted(named) if not exists(name)] == []


def exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_a_name_that_is_gone_would_be_found() -> None:
    assert exists("hpdist.optimizers.GaussianProcess")
    assert not exists("hpdist.optimizers.Oracle")


def names_of(init: Path) -> set[str]:
    """The modules that a package's docstring names in single backticks."""
    text = ast.get_docstring(ast.parse(init.read_text())) or ""
    return set(re.findall(r"(?<!`)`([a-z_.]+)`(?!`)", text))


def test_the_modules_that_a_package_names_exist() -> None:
    gone = {
        (str(init.parent.relative_to(PACKAGE)), name)
        for init in PACKAGE.rglob("__init__.py")
        for name in names_of(init)
        if not any(
            (base / name.replace(".", "/")).with_suffix(suffix).exists()
            for base in (init.parent, PACKAGE, PACKAGE / "core")
            for suffix in (".py", "")
        )
    }
    assert gone == set()
