"""What is released works where there is no checkout: the wheel, built from the source archive, in folders of strangers."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.support.imports import PACKAGES, ROOT
from tests.support.installed import (
    Installed,
    replays_the_sample,
    serves_prices_orders_and_pages,
    serves_the_power_desk,
)
from tests.support.packages import BUILD_TIMEOUT_S, build, copy_tree, unpack
from tests.support.planted import PlantedFolder

# The kernels are compiled first.
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(BUILD_TIMEOUT_S + 300)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("installed")
    source = build("sdist", copy_tree(place / "tree"), place / "dist", kernels=False)
    wheel = build("wheel", unpack(source, place / "unpacked"), place / "dist", kernels=True)
    return Installed.beside(wheel, place / "environment")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_nothing_comes_from_the_checkout(installed: Installed, empty: Path) -> None:
    places = {installed.place(package, empty) for package in (*PACKAGES, "fastpath.merge", "services.samples")}

    assert [place for place in places if place.is_relative_to(ROOT)] == []


def test_it_knows_its_version(installed: Installed, empty: Path) -> None:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

    assert installed.run("--version", folder=empty) == f"midstream {written}\n"


def test_it_replays(installed: Installed, empty: Path) -> None:
    replays_the_sample(installed, empty)


def test_it_serves_prices_orders_and_pages(installed: Installed, empty: Path) -> None:
    serves_prices_orders_and_pages(installed, empty)


def test_it_serves_the_power_desk(installed: Installed, empty: Path) -> None:
    serves_the_power_desk(installed, empty)


def test_it_does_all_that_beside_files_of_the_same_names_and_runs_none_of_them(
    installed: Installed, tmp_path: Path
) -> None:
    planted = PlantedFolder(tmp_path / "downloads")

    replays_the_sample(installed, planted.path)
    serves_prices_orders_and_pages(installed, planted.path)

    assert planted.ran == []
