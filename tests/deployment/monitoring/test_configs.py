"""Prometheus's and Alertmanager's own checkers take what is shipped, and refuse it with a fault in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.imports import ROOT
from tests.support.promtool import run_tool
from tests.support.rules import MONITORING, RULE_FILES, all_rules

PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The whole folder, to plant faults in."""
    return Path(shutil.copytree(MONITORING, tmp_path / "monitoring"))


def replace(path: Path, planted: str, instead: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert planted in text
    path.write_text(text.replace(planted, instead, 1), encoding="utf-8")


@pytest.mark.needs("promtool")
def test_promtool_takes_the_configuration_and_every_rule() -> None:
    done = run_tool("promtool", "check", "config", MONITORING / "prometheus.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULE_FILES)} rule files found" in done.stdout
    assert sum(map(int, re.findall(r"(\d+) rules found", done.stdout))) == len(all_rules())


@pytest.mark.needs("promtool")
def test_promtool_takes_what_surrounds_the_discovery_of_kubernetes(copied: Path) -> None:
    """Debian's Prometheus is built without that discovery, so it is taken out; tests of targets hold it to the pods."""
    path = copied / "prometheus.kubernetes.yml"
    text = path.read_text(encoding="utf-8")
    discovery = r"kubernetes_sd_configs:\n(?: +[#-].*\n| +\w+:.*\n)+?(?=    relabel)"
    other = re.sub(discovery, "static_configs:\n      - targets: [127.0.0.1:1]\n", text, count=1)
    assert other != text
    path.write_text(other, encoding="utf-8")

    # The files of keys are read when they are used.
    done = run_tool("promtool", "check", "config", "--syntax-only", path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_promtool_takes_what_the_page_adds_for_tls_and_keys(copied: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = copied / "prometheus.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["scrape_configs"][0] |= yaml.safe_load(text)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    (copied / "secrets").mkdir(exist_ok=True)
    for name in ("ca.pem", "read.key"):
        (copied / "secrets" / name).write_text("x", encoding="utf-8")

    # The files are read when they are used; that they are no certificate is not asked here.
    done = run_tool("promtool", "check", "config", "--syntax-only", path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("file", "planted", "instead"),
    [
        pytest.param("prometheus.yml", "sample_limit", "sampel_limit", id="a field"),
        pytest.param("prometheus.yml", "scrape_timeout: 10s", "scrape_timeout: 20s", id="a timeout above the interval"),
        pytest.param("rules/orders.yml", "> 90", ">> 90", id="an expression"),
        pytest.param("rules/orders.yml", "for: 30s", "for: 30 s", id="a duration"),
        pytest.param("rules/orders.yml", "{{ $labels.exchange }}", "{{ $lables.exchange }}", id="a template"),
        pytest.param("targets/serve.yml", "- targets: [127", "- targts: [127", id="a target"),
    ],
)
def test_promtool_finds_a_fault(file: str, planted: str, instead: str, copied: Path) -> None:
    replace(copied / file, planted, instead)

    assert run_tool("promtool", "check", "config", copied / "prometheus.yml").returncode != 0


@pytest.mark.needs("amtool")
def test_amtool_takes_the_configuration() -> None:
    done = run_tool("amtool", "check-config", MONITORING / "alertmanager.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


@pytest.mark.needs("amtool")
@pytest.mark.parametrize(
    ("planted", "instead"),
    [
        pytest.param("receiver: pages-desk", "receiver: pages-dsek", id="a receiver"),
        pytest.param("[severity = page]", "[severity page]", id="a matcher"),
        pytest.param("api_url_file", "api_url_flie", id="a field"),
    ],
)
def test_amtool_finds_a_fault(planted: str, instead: str, copied: Path) -> None:
    replace(copied / "alertmanager.yml", planted, instead)

    assert run_tool("amtool", "check-config", copied / "alertmanager.yml").returncode != 0


@pytest.mark.needs("amtool")
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        pytest.param(("severity=page", "team=ops", "alertname=ServerDown"), "pages-ops", id="page of ops"),
        pytest.param(("severity=page", "team=desk", "alertname=OrderHalted"), "pages-desk", id="page of the desk"),
        pytest.param(("severity=ticket", "team=ops", "alertname=BuildsDiffer"), "tickets-ops", id="ticket of ops"),
        pytest.param(
            ("severity=ticket", "team=desk", "alertname=RowsRejected"), "tickets-desk", id="ticket of the desk"
        ),
        pytest.param(("alertname=SomebodysOwn",), "tickets-ops", id="nobody's"),
    ],
)
def test_alertmanager_routes_by_severity_and_team(labels: tuple[str, ...], receiver: str) -> None:
    done = run_tool(
        "amtool", "config", "routes", "test", f"--config.file={MONITORING / 'alertmanager.yml'}",
        f"--verify.receivers={receiver}", *labels,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [receiver]


@pytest.mark.needs("amtool")
def test_a_route_that_leads_elsewhere_is_found(copied: Path) -> None:
    replace(copied / "alertmanager.yml", "matchers: [severity = page]\n", "matchers: [severity = pgae]\n")

    done = run_tool(
        "amtool", "config", "routes", "test", f"--config.file={copied / 'alertmanager.yml'}",
        "--verify.receivers=pages-ops", "severity=page", "team=ops",
    )  # fmt: skip

    assert done.returncode != 0
