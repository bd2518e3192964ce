"""Pages name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.runtime.known_settings import unknown_settings
from tests.support.imports import ROOT
from tests.support.pages import PAGES, wrong_names

# This page builds an exchange of that name, and a test of its own runs it.
MADE_BY_THE_PAGE = {"adding_an_exchange.md": "toy"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_paths_modules_and_types_that_exist(page: Path) -> None:
    wrong = wrong_names(page.read_text(encoding="utf-8"))

    assert [name for name in wrong if MADE_BY_THE_PAGE.get(page.name, "none") not in name.lower()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_settings_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = [(match[0], text[match.end() :]) for match in re.finditer(r"\bMIDSTREAM_[A-Z_]+", text)]
    # What goes on with a placeholder or with dots is the beginning of several names.
    named = [name for name, rest in found if not name.endswith("_") and not rest.startswith(("<", "*", "..."))]

    wrong = unknown_settings(dict.fromkeys(named, ""))
    assert [name for name in wrong if MADE_BY_THE_PAGE.get(page.name, "none") not in name.lower()] == []


def index() -> dict[str, list[str]]:
    """Return what docs/index.md lists: the page, and the tests that hold it."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    return {re.findall(r"\]\(([^)]*)\)", row)[0]: re.findall(r"`(tests/[^`]*)`", row) for row in rows}


def test_every_page_stands_in_the_index() -> None:
    pages = {page for page in PAGES if page.name != "index.md"}

    assert {(ROOT / "docs" / page).resolve() for page in index()} == pages


@pytest.mark.parametrize(("page", "tests"), index().items(), ids=list(index()))
def test_every_page_is_held_by_a_test_that_reads_it(page: str, tests: list[str]) -> None:
    texts = [(ROOT / test).read_text(encoding="utf-8") for test in tests]

    assert texts != []
    # Those about everything go through `PAGES`.
    assert all(
        Path(page).name in text or "PAGES" in text or "readme" in text.lower() or "CLAIMING" in text for text in texts
    )


def glossary() -> list[tuple[str, str]]:
    """Return the words of ARCHITECTURE.md, each with the place that it is used in."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("\n## Words\n")[1].split("\n## ")[0]
    return re.findall(r"^\| ([a-z ]+) \| .+ \| `([^`]+)` \|$", text, re.MULTILINE)


@pytest.mark.parametrize(("word", "place"), glossary(), ids=[word for word, _ in glossary()])
def test_a_word_of_the_glossary_is_used_where_it_says(word: str, place: str) -> None:
    spelled = re.compile(word.replace(" ", "[ _]"), re.IGNORECASE)

    assert spelled.search(Path(place).name) or spelled.search((ROOT / place).read_text(encoding="utf-8"))


def test_the_glossary_is_sorted_and_explains_each_word_once() -> None:
    words = [word for word, _ in glossary()]

    assert len(words) > 25
    assert words == sorted(set(words))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        pytest.param("see `services/gone/main.py`.", "services/gone/main.py", id="a path"),
        pytest.param("see `clients/{http,gone}/`", "clients/gone/", id="one of several"),
        pytest.param("run services.gone.main now", "services.gone.main", id="a module"),
        pytest.param(
            "calls `services.runtime.settings.gone`", "services.runtime.settings.gone", id="a part of a module"
        ),
        pytest.param("`gonefolder/` does it", "gonefolder/", id="a bare folder"),
        pytest.param("`gone_file.py` does it", "gone_file.py", id="a bare file"),
        pytest.param("a `GoneClass` does it", "GoneClass", id="a type"),
    ],
)
def test_what_does_not_exist_is_found(text: str, wrong: str) -> None:
    assert wrong_names(text) == [wrong]


def test_what_exists_passes() -> None:
    text = """`services/cli/`, clients/{http,sockets}, tests/unit/fastpath/test_merge*.py, services.runtime.settings.load,
    services.simulators.*, midstream.control.v1.ControlService, `merge.pyx`, `sources/`, `ExchangeClient`, `SetModeRequest`"""

    assert wrong_names(text) == []
