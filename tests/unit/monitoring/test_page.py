"""docs/monitoring.md has a runbook for every alert, and what it tells people to start, mount or read is there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.imports import ROOT
from tests.support.pages import shell_lines
from tests.support.rules import MONITORING, alerts

PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
RUNBOOKS = re.split(r"^### (\w+)\n", PAGE.split("\n## Runbooks\n")[1], flags=re.MULTILINE)[1:]
BY_NAME = dict(zip(RUNBOOKS[::2], RUNBOOKS[1::2], strict=True))


def test_every_alert_has_one_runbook_and_every_runbook_an_alert() -> None:
    assert sorted(BY_NAME) == sorted({rule.name for rule in alerts()})
    assert len(BY_NAME) == len(RUNBOOKS) // 2


@pytest.mark.parametrize("name", BY_NAME)
def test_a_runbook_says_what_it_means_where_to_look_what_to_do_and_when_it_ends(name: str) -> None:
    meaning, *steps = BY_NAME[name].strip().splitlines()

    assert len(meaning) > 20
    assert [re.split(r":", step)[0] for step in steps] == ["- See", "- Do", "- Ends"]
    assert all(len(step) > 16 for step in steps)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_runbook_names_alerts_that_exist(name: str) -> None:
    named = set(re.findall(r"\b(?:see|See:?|for) ([A-Z][a-z]+[A-Z]\w+)", BY_NAME[name]))

    assert named <= set(BY_NAME)


def test_links_of_runbooks_lead_to_anchors_of_the_operating_pages() -> None:
    for page, anchor in re.findall(r"\]\((operating_\w+\.md)#([\w-]+)\)", PAGE):
        assert f'<a id="{anchor}"></a>' in (ROOT / "docs" / page).read_text(encoding="utf-8"), anchor


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r"deploy/monitoring/[\w./-]+", PAGE)
    short = re.findall(r"`((?:targets|more_targets|prometheus\.)[\w./-]+)`", PAGE)

    assert len(named) > 12
    assert [path for path in named if "/secrets/" not in path and not (ROOT / path.rstrip(".")).exists()] == []
    assert [path for path in short if not (MONITORING / path).exists()] == []


def test_the_commands_start_what_is_shipped() -> None:
    prometheus, alertmanager, copy = shell_lines(PAGE)

    assert prometheus.split()[1] == "--config.file=deploy/monitoring/prometheus.yml"
    assert alertmanager.split()[1] == "--config.file=deploy/monitoring/alertmanager.yml"
    assert (ROOT / copy.split()[1]).is_file()
    assert (ROOT / copy.split()[2]).is_dir()


def test_the_keys_that_the_page_lists_are_those_of_the_receivers() -> None:
    files = set(re.findall(r"secrets/([\w-]+)$", (MONITORING / "alertmanager.yml").read_text(), re.MULTILINE))
    sentence = PAGE.split("**Keys of Alertmanager**")[1].split("\n\n")[0]

    assert files
    assert set(re.findall(r"`([a-z-]+)`", sentence)) == files


def test_the_tables_name_the_dashboards_that_there_are() -> None:
    named = re.findall(r"^\| `([a-z-]+)` \| ", PAGE, re.MULTILINE)

    assert sorted(named) == sorted(path.stem for path in (MONITORING / "grafana" / "dashboards").glob("*.json"))


def scrape_with_keys() -> dict[str, Any]:
    """What the page adds to the job with TLS and keys."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_what_is_added_for_tls_and_keys_is_what_the_servers_ask_for() -> None:
    assert set(scrape_with_keys()) == {"scheme", "tls_config", "authorization"}
