"""What Prometheus scrapes is where the servers have their figures, and no server is left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.serve_command import default_names
from services.cli.servers import SERVERS
from services.control.config import ControlSettings
from services.health.config import HealthSettings
from services.orders.config import OrdersSettings
from services.power.etl.config import EtlSettings
from services.power.listener.config import DealListenerSettings
from services.price.config import PriceSettings
from services.replay.config import ReplaySettings
from services.reporting.config import ReportingSettings
from tests.support.imports import ROOT
from tests.support.rules import MONITORING

SETTINGS = {
    "replay": ReplaySettings, "control": ControlSettings, "price": PriceSettings, "health": HealthSettings, "orders": OrdersSettings,
    "reporting": ReportingSettings, "power-listener": DealListenerSettings, "power-etl": EtlSettings,
}  # fmt: skip
PORTS = {name: settings.model_fields["metrics_port"].default for name, settings in SETTINGS.items()}
VARIANTS = ("prometheus.kubernetes.yml",)


def targets(path: Path) -> dict[str, str]:
    """Return address by server."""
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {group["labels"]["server"]: group["targets"][0] for group in groups}


def config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((MONITORING / name).read_text(encoding="utf-8"))
    return found


def job(name: str) -> dict[str, Any]:
    (found,) = [each for each in config(name)["scrape_configs"] if each["job_name"] == "midstream"]
    assert isinstance(found, dict)
    return found


def test_every_server_with_figures_has_its_settings_here() -> None:
    assert set(SETTINGS) == {name for name in SERVERS if not name.startswith("sim-")}


def test_serve_starts_what_its_targets_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIDSTREAM_LIVE_URL", raising=False)
    found = targets(MONITORING / "targets" / "serve.yml")

    assert set(found) == set(default_names()) & set(PORTS)
    assert found == {name: f"127.0.0.1:{PORTS[name]}" for name in found}


def test_the_power_desk_adds_what_serve_leaves_out() -> None:
    found = targets(MONITORING / "more_targets" / "power.yml")

    assert set(found) | set(targets(MONITORING / "targets" / "serve.yml")) == set(PORTS)
    assert found == {name: f"127.0.0.1:{PORTS[name]}" for name in found}


def test_cloud_map_is_asked_for_every_server_by_the_name_that_the_stack_gives_it() -> None:
    found = targets(MONITORING / "more_targets" / "cloud_map.yml")
    stack = (ROOT / "deploy" / "aws" / "cluster.yaml").read_text(encoding="utf-8")

    assert "Name: !Sub midstream-${Stage}.internal" in stack
    assert found == {name: f"{name}.midstream-prod.internal:{port}" for name, port in PORTS.items()}


def services_of_kubernetes() -> dict[str, dict[str, Any]]:
    """Return the services of deploy/kubernetes that have a port for metrics, by name."""
    documents = [
        document
        for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    services = [each for each in documents if each and each["kind"] == "Service"]
    return {
        each["metadata"]["name"]: each
        for each in services
        if any(port["name"] == "metrics" for port in each["spec"]["ports"])
    }


def test_services_of_kubernetes_are_found_by_label_and_port_and_tell_their_server() -> None:
    found = job("prometheus.kubernetes.yml")
    relabels = {each.get("target_label", each.get("action", "")): each for each in found["relabel_configs"]}
    selectors = [{"role": "service", "label": "app.kubernetes.io/name=midstream"}]

    assert found["kubernetes_sd_configs"] == [{"role": "service", "selectors": selectors}]
    assert relabels["keep"]["source_labels"] == ["__meta_kubernetes_service_port_name"]
    assert relabels["keep"]["regex"] == "metrics"
    assert relabels["server"]["source_labels"] == ["__meta_kubernetes_service_name"]
    services = services_of_kubernetes()
    assert all(each["metadata"]["labels"]["app.kubernetes.io/name"] == "midstream" for each in services.values())
    ports = {
        re.fullmatch(relabels["server"]["regex"], name)[1]: port["port"]  # type: ignore[index]
        for name, each in services.items()
        for port in each["spec"]["ports"]
        if port["name"] == "metrics"
    }
    assert ports == PORTS


def test_where_servers_speak_tls_the_job_does_what_the_page_says() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    assert yaml.safe_load(text).items() <= job("prometheus.kubernetes.yml").items()


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_differ_in_how_they_find_servers_and_in_nothing_else(name: str) -> None:
    def without_discovery(each: dict[str, Any]) -> dict[str, Any]:
        jobs = [
            {key: value for key, value in entry.items() if key in ("job_name", "sample_limit")}
            if entry["job_name"] == "midstream"
            else entry
            for entry in each["scrape_configs"]
        ]
        return {**each, "scrape_configs": jobs}

    assert without_discovery(config(name)) == without_discovery(config("prometheus.yml"))


def test_a_scrape_ends_before_the_next_and_sees_a_minute_several_times() -> None:
    times = config("prometheus.yml")["global"]

    assert int(times["scrape_timeout"][:-1]) < int(times["scrape_interval"][:-1]) <= 15
    # Windows of a minute and thresholds of 30 seconds need it.
    assert times["evaluation_interval"] == times["scrape_interval"]
