"""A test module that cannot be imported without a third party is left out where that third party is not installed."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.conftest import THIRD_PARTIES
from tests.support.imports import ROOT, module_file

TESTS = ROOT / "tests"
LATER = ("requirements/extras.txt", "tests/third_parties.txt", "tests/deployment.txt")
"""What is pinned here is not installed for the quick suite."""


def third_parties() -> set[str]:
    """Name what can be imported only with that installed: what is installed of it."""
    pins = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in LATER)
    pinned = {_normal(name) for name in re.findall(r"^([\w.-]+)==", pins, re.MULTILINE)}
    return {
        package
        for package, distributions in packages_distributions().items()
        if pinned.issuperset(map(_normal, distributions))
    }


@cache
def imported_at_once(path: Path) -> frozenset[str]:
    """List the modules that a file imports while it is itself being imported, and those that modules of the tests import then."""
    found: set[str] = set()
    ahead: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"), str(path))]
    while ahead:
        node = ahead.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            ahead += ast.iter_child_nodes(node)
    ours = [module_file(name) for name in found if name.startswith("tests.")]
    # A module that is half imported asks no more: circles among the tests' own modules do not exist (they could not be imported).
    return frozenset(found).union(*(imported_at_once(file) for file in ours if file is not None and file.is_file()))


def test_no_module_needs_a_third_party_that_the_quick_suite_does_without() -> None:
    names = third_parties()

    needing = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("test_*.py")
        if any(module.partition(".")[0] in names for module in imported_at_once(path))
    }

    assert needing <= THIRD_PARTIES.keys()


def test_only_modules_that_exist_are_left_out() -> None:
    assert [path for path in THIRD_PARTIES if not (TESTS / path).is_file()] == []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
