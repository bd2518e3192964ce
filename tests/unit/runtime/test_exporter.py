"""Metrics are served by the process's own loop, once for all who ask at the same moment."""

from __future__ import annotations

import asyncio
import gzip
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from services.runtime.errors import StartRefused
from services.runtime.exporter import start_exporter
from services.runtime.exposition import FRESH_S, Exposition
from services.runtime.metrics import Metrics
from tests.support.clock import FakeClock
from tests.support.ports import taken_port

SETTING = "MIDSTREAM_X_METRICS_PORT"


class Counted(Collector):
    """Counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        self.reads += 1
        return iter(())


def counted() -> tuple[Counted, CollectorRegistry]:
    registry = CollectorRegistry()
    collector = Counted()
    registry.register(collector)
    Metrics(registry).set("midstream_access_troubles", 3)
    return collector, registry


def ask(url: str, *, method: str = "GET", **headers: str) -> tuple[int, bytes, str]:
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read(), response.headers["content-type"]
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read(), exc.headers["content-type"]


async def test_exporter_answers_on_a_free_port_of_loopback() -> None:
    _, registry = counted()
    exporter = await start_exporter(registry, host="127.0.0.1", port=0, setting=SETTING)
    base = f"http://127.0.0.1:{exporter.port}"
    try:
        plain = await asyncio.to_thread(ask, f"{base}/metrics")
        packed = await asyncio.to_thread(ask, f"{base}/metrics", **{"accept-encoding": "gzip"})
        open_text = await asyncio.to_thread(
            ask, f"{base}/metrics", accept="application/openmetrics-text; version=1.0.0"
        )
        one = await asyncio.to_thread(ask, f"{base}/metrics?name[]=midstream_access_troubles")
        posted = await asyncio.to_thread(ask, f"{base}/metrics", method="POST")
        elsewhere = [await asyncio.to_thread(ask, f"{base}{path}") for path in ("/", "/healthz", "/metrics/more")]
    finally:
        await exporter.close()

    assert (plain[0], b"midstream_access_troubles 3.0" in plain[1]) == (200, True)
    assert b"midstream_access_troubles 3.0" in gzip.decompress(packed[1])
    assert open_text[2].startswith("application/openmetrics-text")
    assert open_text[1].endswith(b"# EOF\n")
    assert one[1].count(b"# HELP") == 1
    assert posted[0] == 405
    assert [(code, b"/metrics" in body) for code, body, _ in elsewhere] == [(200, True), (404, True), (404, True)]


async def test_figures_are_given_under_our_own_names_only() -> None:
    exporter = await start_exporter(
        counted()[1], host="127.0.0.1", port=0, setting=SETTING, hosts=("prometheus.example",)
    )
    url = f"http://127.0.0.1:{exporter.port}/metrics"
    try:
        answers = [
            await asyncio.to_thread(ask, url, host=host)
            for host in ("evil.example", "prometheus.example", "localhost:1")
        ]
    finally:
        await exporter.close()

    assert [status for status, _, _ in answers] == [421, 200, 200]
    assert b"MIDSTREAM_WEB_HOSTS" in answers[0][1]


async def test_exporter_refuses_a_taken_port_in_one_line() -> None:
    with taken_port() as port, pytest.raises(StartRefused) as caught:
        await start_exporter(CollectorRegistry(), host="127.0.0.1", port=port, setting=SETTING)

    assert str(caught.value) == f"port {port} on 127.0.0.1 is already in use: stop the other process or set {SETTING}"


async def test_a_hundred_who_ask_at_once_are_one_reading() -> None:
    clock = FakeClock()
    collector, registry = counted()
    exposition = Exposition(registry, clock_s=lambda: clock.monotonic_ns() / 1e9)

    texts = await asyncio.gather(*(exposition.text() for _ in range(100)))
    clock.advance(2 * FRESH_S)
    await exposition.text()

    assert len(set(texts)) == 1
    assert collector.reads == 2
