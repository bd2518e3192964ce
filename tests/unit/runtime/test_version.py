"""The version stands in pyproject.toml, and is told from there or from what installing noted."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from services.runtime.version import version
from tests.support.cli import midstream_here
from tests.support.imports import ROOT

WRITTEN = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_a_checkout_tells_what_its_own_file_says_whatever_was_noted_at_installing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.0")
    version.cache_clear()

    assert version() == WRITTEN


@pytest.mark.parametrize("text", [None, "[project]\nname = 'other'\nversion = '9'\n", "[build-system]\n", "= broken"])
def test_what_is_installed_elsewhere_tells_what_was_noted_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.setattr(metadata, "version", {"midstream": "3.2.1"}.__getitem__)
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")

    assert version(tmp_path) == "3.2.1"


def test_the_command_tells_it() -> None:
    assert midstream_here("--version").stdout == f"midstream {WRITTEN}\n"
