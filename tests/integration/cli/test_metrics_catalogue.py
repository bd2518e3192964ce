"""The catalogue of metrics against servers that run: what is exposed, under which names and labels, from the first scrape on."""

from __future__ import annotations

import platform
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from services.cli.metrics_catalogue import Series, catalogue
from services.runtime.version import version
from tests.support.cli import PATIENCE_S, ROOT, until
from tests.support.redis_server import RedisForTests
from tests.support.server_process import ServerProcess

SERVERS = ("replay", "control", "price", "health", "orders", "reporting", "power-listener", "power-etl")
NOBODY = "127.0.0.1:1"


def settings(directory: Path, redis_url: str) -> dict[str, str]:
    """What any server starts with; nobody is at the other end of anything but Redis."""
    power = f"sqlite:///{directory / 'power.db'}"
    return {
        "REDIS_URL": redis_url,
        "SESSION": f"catalogue-{directory.name}",
        "HISTORICAL": str(ROOT / "data" / "historical_sample.csv"),
        "PRICE_EXCHANGES": "binance",
        "BINANCE_URL": f"http://{NOBODY}",
        "BYBIT_URL": f"http://{NOBODY}",
        "BITMEX_URL": f"http://{NOBODY}",
        "ORDERS_DATABASE_URL": f"sqlite:///{directory / 'orders.db'}",
        "ORDERS_EXCHANGES": "binance,bybit,bitmex",
        "ORDERS_WEB_PORT": "0",
        "DATABASE_URL": power,
        "REPORTING_DATABASE_URL": power,
        "REPORTING_WEB_PORT": "0",
        "POWER_URL": f"ws://{NOBODY}",
        "POWER_SPOOL": str(directory / "spool"),
        "REFERENCE_URL": f"http://{NOBODY}",
        "REVISION": "0123abc",
    }


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_redis_aof: RedisForTests
) -> Iterator[ServerProcess]:
    """Each server in its turn."""
    name: str = request.param
    directory = tmp_path_factory.mktemp(name)
    running = ServerProcess(name.replace("-", "."), directory, **settings(directory, shared_redis_aof.url))
    yield running
    running.channel.close()
    running.kill()


def scrape(server: ServerProcess) -> dict[str, Metric]:
    """The families that a server exposes, by name."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.announcement['metrics_port']}/metrics",
        headers={"Accept": "application/openmetrics-text; version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        found = text_string_to_metric_families(answer.read().decode())
        return {exposed_name(family): family for family in found}


def exposed_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def labels_of(family: Metric, series: Series) -> set[str]:
    """Every label that a sample of the family has, without those that its kind brings."""
    return {label for sample in family.samples for label in sample.labels} - (
        {"le"} if series.kind == "histogram" else set()
    )


@pytest.mark.cases(3)
def test_a_server_exposes_what_the_catalogue_says_and_nothing_else(server: ServerProcess) -> None:
    name = server.name.replace(".", "-")
    expected = {series.name: series for series in catalogue() if name in series.servers}

    found = scrape(server)

    assert found.keys() == expected.keys()
    for series in expected.values():
        family = found[series.name]
        assert (family.type, family.documentation) == (series.kind, series.help), series.name
        if family.samples:
            assert labels_of(family, series) == set(series.labels), series.name


def test_what_is_known_from_the_start_is_there_at_the_first_scrape(server: ServerProcess) -> None:
    name = server.name.replace(".", "-")
    declared = {series.name: series for series in catalogue() if name in series.servers}

    found = scrape(server)

    # Whoever counts events of a kind that is known beforehand has their series at 0: an alert sees the first of them.
    empty = {one for one, family in found.items() if not family.samples and declared[one].kind != "gauge"}
    assert {one for one in empty if "session" not in declared[one].labels} <= {"midstream_engine_cpu_seconds_total"}
    (build,) = found["midstream_build_info"].samples
    assert build.value == 1
    assert build.labels == {"version": version(), "python": platform.python_version(), "revision": "0123abc"}
    if "midstream_engine_cpu_seconds_total" in found and sys.platform.startswith("linux"):
        until(lambda: scrape(server)["midstream_engine_memory_bytes"].samples, what="the engine's memory")
        assert scrape(server)["midstream_engine_cpu_seconds_total"].samples


@pytest.mark.parametrize("server", ["orders", "reporting"], indirect=True)
def test_requests_of_the_web_port_are_counted(server: ServerProcess) -> None:
    for path in ("/nothing/here", "/nothing/there"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{server.announcement['web_port']}{path}", timeout=PATIENCE_S)

    def unmatched() -> list[tuple[str, str, float]]:
        samples = scrape(server)["midstream_http_requests_total"].samples
        counts = [one for one in samples if one.labels["route"] == "unmatched" and one.name.endswith("_total")]
        return [(one.labels["method"], one.labels["status"], one.value) for one in counts]

    # A text of the figures is kept for a moment.
    until(lambda: unmatched() == [("GET", "404", 2)], what="both requests")


def test_every_server_is_in_the_catalogue() -> None:
    assert {server for series in catalogue() for server in series.servers} == set(SERVERS)
