"""The pins of `requirements.txt` are what running needs: nothing is missing, nothing more comes along."""

from __future__ import annotations

import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.imports import PACKAGES, ROOT, imports_of, modules_below

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = ("requirements.txt", "requirements/build.txt", "requirements/check.txt", "tests/requirements.txt")


def pins(file: str) -> dict[str, str]:
    lines = [line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    named = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(each.name): str(each.specifier) for each in named}


def needed(requirements: list[str]) -> set[str]:
    """Return everything that installing these brings on this Python, as the installed packages say."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        if (name, frozenset(each.extras)) in found:
            continue
        found.add((name, frozenset(each.extras)))
        for text in metadata.distribution(name).requires or ():
            more = Requirement(text)
            if more.marker is None or any(more.marker.evaluate({"extra": extra}) for extra in each.extras | {""}):
                waiting.append(more)
    return {name for name, _ in found}


def test_running_is_pinned_whole_and_brings_nothing_else() -> None:
    assert set(pins("requirements.txt")) == needed(PROJECT["project"]["dependencies"])


def test_the_product_imports_nothing_that_running_does_not_bring() -> None:
    installed = metadata.packages_distributions()
    # The extra `aws`, imported where a key lies in Parameter Store.
    brought = {*pins("requirements.txt"), "boto3", "botocore"}

    tops = {each.module.split(".")[0] for path in modules_below(ROOT).values() for each in imports_of(path)}
    others = tops - sys.stdlib_module_names - set(PACKAGES)
    assert {
        top for top in others if not brought & {canonicalize_name(name) for name in installed.get(top, ())}
    } == set()
    assert len(others) > 20


def test_building_is_pinned_whole() -> None:
    assert set(pins("requirements/build.txt")) == needed(PROJECT["build-system"]["requires"])


def test_checking_is_pinned_whole() -> None:
    pinned = {name for file in FILES for name in pins(file)}

    assert needed(PROJECT["project"]["optional-dependencies"]["dev"]) <= pinned


@pytest.mark.parametrize("file", [*FILES, "tests/third_parties.txt", "benchmarks/requirements.txt"])
def test_every_pin_is_exact_and_sorted(file: str) -> None:
    lines = [line for line in Path(ROOT / file).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]

    assert lines == sorted(lines, key=str.lower)
    assert all(specifier.startswith("==") and "," not in specifier for specifier in pins(file).values())


def test_nothing_is_pinned_twice() -> None:
    names = [name for file in (*FILES, "tests/third_parties.txt") for name in pins(file)]

    assert len(names) == len(set(names))


def test_every_range_of_the_project_holds_its_pin() -> None:
    pinned = {
        name: text.removeprefix("==")
        for file in (*FILES, "tests/third_parties.txt")
        for name, text in pins(file).items()
    }
    extras = PROJECT["project"]["optional-dependencies"]
    ranges = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["build-system"]["requires"],
        *extras["dev"],
        *extras["test"],
    ]

    outside = [
        text
        for text in ranges
        if pinned.get(canonicalize_name(Requirement(text).name), "0") not in Requirement(text).specifier
    ]
    assert outside == []
