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
from tests.support.rules import MONITORING

SETTINGS = {
    "replay": ReplaySettings, "control": ControlSettings, "price": PriceSettings, "health": HealthSettings, "orders": OrdersSettings,
    "reporting": ReportingSettings, "power-listener": DealListenerSettings, "power-etl": EtlSettings,
}  # fmt: skip
PORTS = {name: settings.model_fields["metrics_port"].default for name, settings in SETTINGS.items()}
VARIANTS = ("prometheus.kubernetes.yml", "prometheus.cloud_map.yml")


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


def test_services_of_compose_are_asked_under_their_names() -> None:
    assert targets(MONITORING / "more_targets" / "compose.yml") == {
        name: f"{name}:{port}" for name, port in PORTS.items()
    }


def test_cloud_map_is_asked_for_every_server_at_its_port() -> None:
    entries = job("prometheus.cloud_map.yml")["dns_sd_configs"]

    assert {entry["names"][0].partition(".")[0]: entry["port"] for entry in entries} == PORTS
    assert all(entry["type"] == "A" and len(entry["names"]) == 1 for entry in entries)
    (relabel,) = job("prometheus.cloud_map.yml")["relabel_configs"]
    assert re.fullmatch(relabel["regex"], "power-etl.midstream.local")[1] == "power-etl"  # type: ignore[index]


def test_pods_are_found_by_labels_and_the_name_of_their_port() -> None:
    discovery = job("prometheus.kubernetes.yml")["kubernetes_sd_configs"]
    relabels = {
        each.get("target_label", each.get("action")): each
        for each in job("prometheus.kubernetes.yml")["relabel_configs"]
    }

    assert discovery == [{"role": "pod", "selectors": [{"role": "pod", "label": "app.kubernetes.io/name=midstream"}]}]
    # Prometheus spells every character of a label's name that is no letter, digit or underscore as an underscore.
    assert relabels["server"]["source_labels"] == [
        "__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", "app.kubernetes.io/component")
    ]
    assert relabels["keep"]["source_labels"] == ["__meta_kubernetes_pod_container_port_name"]


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_differ_in_how_they_find_servers_and_in_nothing_else(name: str) -> None:
    def without_discovery(each: dict[str, Any]) -> dict[str, Any]:
        jobs = [
            {key: value for key, value in entry.items() if not key.endswith("sd_configs") and key != "relabel_configs"}
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
