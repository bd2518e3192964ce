"""What is released is the tree: nothing that the product opens is missing, nothing that it does not need comes along."""

from __future__ import annotations

import re
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from tests.support.imports import PACKAGES, ROOT
from tests.support.packages import build, copy_tree, tree_files, unpack

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = {".pyx", ".pxd", ".hpp"}
"""What kernels are made of; who installs them has them compiled."""


@dataclass(frozen=True)
class Released:
    """A source archive, and the wheel that was built from it."""

    source: Path
    wheel: Path

    def source_files(self) -> set[str]:
        with tarfile.open(self.source) as archive:
            members = [member for member in archive.getmembers() if not member.isdir()]
        assert [member.name for member in members if not member.isfile()] == []
        return {member.name.partition("/")[2] for member in members}

    def wheel_files(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return {name for name in archive.namelist() if not name.endswith("/")}

    def metadata(self) -> Metadata:
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return Metadata.from_email(archive.read(name), validate=True)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    place = tmp_path_factory.mktemp("released")
    source = build("sdist", copy_tree(place / "tree"), place / "dist", kernels=False)
    return Released(source, build("wheel", unpack(source, place / "unpacked"), place / "dist", kernels=False))


def ours() -> set[str]:
    return {name for name in tree_files() if name.partition("/")[0] in PACKAGES}


def test_the_wheel_holds_every_file_of_the_product_and_nothing_else(released: Released) -> None:
    found = {name for name in released.wheel_files() if not name.partition("/")[0].endswith(".dist-info")}

    assert found == {name for name in ours() if Path(name).suffix not in SOURCES}


def test_the_source_archive_holds_every_file_of_the_product(released: Released) -> None:
    assert ours() - released.source_files() == set()


def test_the_source_archive_holds_what_building_reads_and_the_pages_that_the_readme_leads_to(
    released: Released,
) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    wanted = {"pyproject.toml", "setup.py", "README.md", "MANIFEST.in", *filter(None, links)}

    files = released.source_files()
    assert {name for name in wanted if not any(file == name or file.startswith(f"{name}/") for file in files)} == set()


def test_no_test_and_no_leavings_of_a_build_are_released(released: Released) -> None:
    allowed = {"deploy", "docs", "examples", "requirements", "midstream.egg-info", *PACKAGES}

    tops = {name.partition("/")[0] for name in released.source_files() if "/" in name}
    assert tops <= allowed
    assert [name for name in released.source_files() if name.endswith((".so", ".cpp", ".c", ".pyc", ".html"))] == []


def test_the_metadata_is_usable_and_says_what_the_project_says(released: Released) -> None:
    metadata = released.metadata()

    assert (metadata.name, str(metadata.version)) == ("midstream", PROJECT["version"])
    assert metadata.summary == PROJECT["description"]
    assert str(metadata.requires_python) == PROJECT["requires-python"]
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description == (ROOT / "README.md").read_text(encoding="utf-8")
    running = [each for each in metadata.requires_dist or () if "extra ==" not in str(each.marker)]
    assert sorted(map(str, running)) == sorted(str(Requirement(text)) for text in PROJECT["dependencies"])
    assert {"aws", "jwt", "tracing"} <= set(metadata.provides_extra or ())


def test_the_metadata_names_the_pythons_that_are_tested(released: Released) -> None:
    classifiers = released.metadata().classifiers or []
    named = [text.rpartition(" ")[2] for text in classifiers if re.fullmatch(r".*:: Python :: 3\.\d+", text)]

    assert named == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_the_wheel_brings_its_command_and_the_type_marks(released: Released) -> None:
    files = released.wheel_files()
    with zipfile.ZipFile(released.wheel) as archive:
        (name,) = (name for name in files if name.endswith("/entry_points.txt"))
        assert "midstream = services.cli.entry:main" in archive.read(name).decode()

    assert {f"{package}/py.typed" for package in PACKAGES} <= files


def test_the_sample_data_is_there_once() -> None:
    for name in ("historical_sample.csv", "live_sample.csv"):
        assert (ROOT / "data" / name).resolve() == ROOT / "services" / "samples" / name
