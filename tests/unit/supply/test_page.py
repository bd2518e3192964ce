"""docs/supply_chain.md says what the commands do."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from supply.audit import AGE_DAYS_MAX, CLEAN, NAMED, NO_VERDICT
from tests.support.imports import ROOT
from tests.support.pages import shell_lines

PAGE = (ROOT / "docs" / "supply_chain.md").read_text(encoding="utf-8")


def commands_of(line: str, venv: Path) -> list[str]:
    """Return what make would run last, out of this environment: what it installs first is there."""
    asked = ["make", "--dry-run", "--always-make", f"VENV={venv}", *shlex.split(line)[1:]]
    shown = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [each for each in shown.splitlines() if "-m supply." in each]


def run(line: str) -> subprocess.CompletedProcess[str]:
    (command,) = commands_of(line, ROOT / ".venv")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    return subprocess.run(
        shlex.split(command), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_the_page_names_every_command_once() -> None:
    assert shell_lines(PAGE) == ["make lock", "make sbom", "make audit", "make audit STRICT=1", "make audit-refresh"]


@pytest.mark.skipif(not (ROOT / ".venv/bin/python").exists(), reason="no virtual environment here: make build-ext")
def test_the_bill_is_written_where_the_page_says() -> None:
    done = run("make sbom")

    assert done.returncode == 0, done.stderr
    (named,) = re.findall(r"`(build/\S+\.json)`", PAGE)
    bill = json.loads((ROOT / named).read_text(encoding="utf-8"))
    assert f"CycloneDX {bill['specVersion']}" in PAGE


@pytest.mark.skipif(not (ROOT / ".venv/bin/python").exists(), reason="no virtual environment here: make build-ext")
def test_the_audit_ends_as_the_page_says() -> None:
    plain, strict = run("make audit"), run("make audit STRICT=1")

    # How old the list is depends on the day: past its time there is no verdict.
    assert plain.returncode in (CLEAN, NO_VERDICT), plain.stderr
    assert "advisories of " in plain.stdout
    assert strict.returncode in (CLEAN, NO_VERDICT), strict.stderr
    if "by hand" in plain.stdout:
        assert strict.returncode == NO_VERDICT


def test_the_codes_and_the_days_are_the_ones_of_the_program() -> None:
    rows = [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]

    assert rows == [CLEAN, NAMED, NO_VERDICT]
    assert f"more than {AGE_DAYS_MAX} days old" in PAGE


def test_there_are_no_actions_of_third_parties_to_pin() -> None:
    assert not (ROOT / ".github").exists()
