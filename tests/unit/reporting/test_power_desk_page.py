"""What docs/power_desk.md names exists, and what exists is named: states, signs, alerts, flags, columns, settings, commands."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clients.power.deals.model import Flag
from services.reporting.engine.alerts import AlertKind
from services.reporting.engine.deals import DealStatus
from services.reporting.engine.listener_standing import ListenerState
from services.reporting.engine.report import ReferenceState
from services.reporting.web.exports.columns import DEALS, PERFORMANCE
from services.reporting.web.exports.sending import DEALS_PATHS
from services.reporting.web.notices import FEEDS
from services.runtime.setting_problems import environment_names
from services.simulators.market_data.config import ProviderSettings
from services.simulators.power_exchange.config import PowerExchangeSettings
from tests.support.imports import ROOT
from tests.support.pages import shell_lines

PAGE = (ROOT / "docs" / "power_desk.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def named(heading: str) -> list[str]:
    """Every name in the first column of the table with this heading."""
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    rows = [line for line in table.splitlines()[2:] if line.startswith("| ")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("state of a price", ReferenceState),
        ("alert", AlertKind),
        ("status of a deal", DealStatus),
        ("flag of a deal", Flag),
    ],
    ids=["states", "alerts", "statuses", "flags"],
)
def test_every_value_that_people_meet_is_explained(heading: str, known: type) -> None:
    assert sorted(named(heading)) == sorted(str(each) for each in known)  # type: ignore[var-annotated, attr-defined]


def test_every_sign_is_explained() -> None:
    signs = {text for state, text in FEEDS.items() if state is not ListenerState.RECEIVING}

    assert signs <= set(named("sign in the corner"))


@pytest.mark.parametrize(
    ("of", "columns"), [("deals", DEALS), ("performance", PERFORMANCE)], ids=["deals", "performance"]
)
def test_the_columns_are_these_in_this_order(of: str, columns: object) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {of} | `"))

    assert re.findall(r"`(\w+)`", row) == [column.name for column in columns]  # type: ignore[attr-defined]


def test_every_address_of_an_export_is_there() -> None:
    assert {name for name in named("address") if name.startswith("/deals")} == set(DEALS_PATHS)


def test_every_setting_of_the_simulators_is_listed() -> None:
    known = {
        variable
        for settings, own in ((PowerExchangeSettings, "POWER_EXCHANGE"), (ProviderSettings, "MARKET_DATA"))
        for name, field in settings.model_fields.items()
        for variable in environment_names(name, field)
        if own in variable
    }

    assert known <= set(named("variable of the simulators"))


def test_the_backup_command_copies_a_database_that_is_in_use(tmp_path: Path) -> None:
    (command,) = [line for line in shell_lines(PAGE) if "backup" in line]
    script = re.search(r"-c '(.*)'", command)
    assert script is not None
    (tmp_path / "var").mkdir()
    with closing(sqlite3.connect(tmp_path / "var" / "power.db")) as held:
        held.execute("CREATE TABLE deals (id TEXT)")
        held.execute("INSERT INTO deals VALUES ('a')")
        held.commit()
        held.execute("BEGIN")
        held.execute("SELECT * FROM deals").fetchall()

        subprocess.run([sys.executable, "-c", script[1]], cwd=tmp_path, check=True, timeout=60)

    with closing(sqlite3.connect(tmp_path / "power-backup.db")) as copy:
        assert copy.execute("SELECT id FROM deals").fetchall() == [("a",)]


def test_the_readme_leads_here() -> None:
    assert "(docs/power_desk.md)" in README.split("## The power desk", 1)[1].split("\n## ", 1)[0]
    assert "docs/power_desk.md" in (ROOT / "build.sh").read_text(encoding="utf-8")
