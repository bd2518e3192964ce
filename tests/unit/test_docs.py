"""README and the pages about the queue, assumptions and limits: what they claim is held by something that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from services.cli.main import app
from tests.support.imports import ROOT
from tests.support.pages import shell_lines

README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS_MAX = 120
CLAIMING = ("queue.md", "assumptions.md", "limits.md")


def claims(page: str) -> list[str]:
    """Return the rows of a page's tables."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    return [row for row in rows if not re.search(r"\| (held|measured) by \|$", row)]


@pytest.mark.parametrize("claim", [claim for page in CLAIMING for claim in claims(page)], ids=lambda text: text[2:50])
def test_a_claim_names_what_holds_it(claim: str) -> None:
    held_by = claim.rstrip("| ").rsplit("|", 1)[1].strip().strip("`")
    file, _, test = held_by.partition("::")

    assert (ROOT / file).exists(), file
    assert not test or re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", CLAIMING)
def test_a_page_that_claims_has_claims_to_check(page: str) -> None:
    assert len(claims(page)) >= 4


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_a_line_fits_on_a_terminal(page: str) -> None:
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if len(line) > COLUMNS_MAX] == []


def test_the_table_of_servers_names_every_method_or_where_they_stand() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d{5})[^|]*\| (.*) \|$", README, re.MULTILINE)

    assert len(rows) == 6
    for server, _, cell in rows:
        link = re.search(r"\(((protos/[^)]*))\)", cell)
        [proto] = [path for path in (ROOT / "protos" / server / "v1").glob("*.proto") if "service " in path.read_text()]
        methods = re.findall(r"^  rpc (\w+)\(", proto.read_text(encoding="utf-8"), re.MULTILINE)
        named = re.findall(r"`(\w+)`", cell)
        assert set(named) <= set(methods)
        assert link is not None or set(named) == set(methods)
        if link is not None:
            word = {7: "seven", 13: "thirteen"}[len(methods) - len(named)]
            assert ROOT / link[1] == proto
            assert f"[{word} more]" in cell


def test_every_command_of_the_readme_is_one() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = set(re.findall(r"(?:\.venv/bin/|`)midstream ([a-z]+)", README))

    assert {"inspect", "replay", "price", "settings", "mode", "status"} <= named <= set(commands)


def test_every_option_of_the_readme_is_one_of_its_command() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {text for command in commands.values() for each in command.params for text in each.opts}

    assert set(re.findall(r"`(--[a-z-]+)", README)) <= options


def test_every_link_of_a_page_leads_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
        headings = {
            re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.*)", text, re.M)
        }
        anchors = headings | set(re.findall(r'<a id="([^"]+)"', text))
        assert [link for link in links if link.startswith("#") and link[1:] not in anchors] == [], page
        files = [link.partition("#")[0] for link in links if not link.startswith("#")]
        assert [link for link in files if not (page.parent / link).exists()] == [], page


def test_a_command_over_several_lines_is_read_as_one() -> None:
    page = """Text
```
one --a  # remark
two \\
    --b '{"x":1,
          "y":2}'
```
"""

    assert shell_lines(page) == ["one --a", """two --b '{"x":1, "y":2}'"""]


def test_what_moved_out_of_the_readme_is_one_link_away() -> None:
    assert set(re.findall(r"\(docs/(\w+\.md)\)", README)) >= {*CLAIMING, "index.md", "settings.md"}
    assert Path(ROOT / "docs" / "index.md").exists()
