"""Which files a created session may name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.replay.allowed_files import FILES_MAX, AllowedFiles, directories_of
from services.runtime.errors import InvalidRequest, PermissionDenied


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "day").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "day/c.csv"):
        (folder / name).touch()
    (tmp_path / "secret.csv").touch()
    return folder


def resolve(data: Path, *names: str) -> list[str]:
    return AllowedFiles([data]).resolve(names, field="files")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["b.csv", "a.csv"], ["b.csv", "a.csv"]),
        (["*.csv"], ["a.csv", "b.csv"]),
        (["**/*.csv"], ["a.csv", "b.csv", "day/c.csv"]),
        (["day/c.csv"], ["day/c.csv"]),
        (["./day//c.csv"], ["day/c.csv"]),
        (["not-there.csv"], ["not-there.csv"]),
        (["no-*.csv"], ["no-*.csv"]),
    ],
    ids=["as named", "pattern", "below", "folder", "spelt oddly", "not there yet", "pattern of nothing"],
)
def test_names_are_found_below_the_allowed_directory(data: Path, names: list[str], found: list[str]) -> None:
    assert resolve(data, *names) == [str(data / name) for name in found]


def test_absolute_names_below_it_are_taken(data: Path) -> None:
    assert resolve(data, str(data / "a.csv"), str(data / "d*" / "*.csv")) == [
        str(data / "a.csv"),
        str(data / "day/c.csv"),
    ]


def test_a_relative_name_is_looked_for_in_every_directory_in_turn(data: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "d.csv").touch()
    (tmp_path / "more" / "a.csv").touch()
    files = AllowedFiles([data, tmp_path / "more"])

    assert files.resolve(["a.csv", "d.csv"], field="files") == [str(data / "a.csv"), str(tmp_path / "more" / "d.csv")]


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "/dev/zero", "/proc/self/environ", "/etc/*", "/", "{tmp}/secret.csv", "{tmp}/data-of-others/x"],
)
def test_what_lies_elsewhere_is_refused(data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(PermissionDenied, match="MIDSTREAM_DATA"):
        resolve(data, name.format(tmp=tmp_path))


@pytest.mark.parametrize(
    "name", ["../secret.csv", "day/../../secret.csv", "..", "{tmp}/data/../secret.csv", "a/../a.csv"]
)
def test_nothing_leads_upwards(data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="upwards"):
        resolve(data, name.format(tmp=tmp_path))


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5_000, "ü" * 2_049], ids=["empty", "NUL", "long", "long in bytes"])
def test_what_can_be_no_name_is_refused(data: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="files"):
        resolve(data, name)


def test_a_link_counts_where_it_leads(data: Path, tmp_path: Path) -> None:
    (data / "inside.csv").symlink_to(data / "a.csv")
    (data / "outside.csv").symlink_to(tmp_path / "secret.csv")
    (data / "up").symlink_to(tmp_path)
    (data / "loop").symlink_to(data / "loop")

    assert resolve(data, "inside.csv") == [str(data / "inside.csv")]
    assert resolve(data, "loop") == [str(data / "loop")]
    for name in ("outside.csv", "out*.csv", "up/secret.csv", "up/*.csv"):
        with pytest.raises(PermissionDenied):
            resolve(data, name)


def test_an_allowed_directory_may_be_a_link_itself(data: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(data)

    assert AllowedFiles([tmp_path / "current"]).resolve(["a.csv"], field="files") == [
        str(tmp_path / "current" / "a.csv")
    ]


def test_without_directories_no_file_may_be_named() -> None:
    with pytest.raises(PermissionDenied, match="no directory is allowed"):
        AllowedFiles([]).resolve(["a.csv"], field="files")


def test_files_are_counted_behind_their_patterns(data: Path) -> None:
    for number in range(FILES_MAX):
        (data / f"many-{number}.csv").touch()

    with pytest.raises(InvalidRequest, match=f"at most {FILES_MAX}"):
        resolve(data, "*.csv")


def test_the_directories_of_files_and_patterns_are_those_above_the_first_wildcard() -> None:
    assert [os.fspath(found) for found in directories_of(["/d/a.csv", "/d/2026-*/x/*.csv", "b.csv"])] == [
        "/d",
        "/d",
        ".",
    ]
