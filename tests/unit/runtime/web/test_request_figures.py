"""Figures about HTTP requests: templates, statuses, streams, and what callers cannot make of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.runtime.access.http import ANYONE, Routes
from services.runtime.metrics import Metrics
from services.runtime.web.request_figures import BORN, CountedRequests

ROUTES = Routes({("GET", "/orders/{order_id}"): ANYONE, ("POST", "/orders"): ANYONE, ("GET", "/events"): ANYONE})


class Stage:
    """A counted application that answers as it is told."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.status = 200
        self.content_type = b"application/json"
        self.error: BaseException | None = None
        self.during: list[float | None] = []
        self.app = CountedRequests(self._answer, Metrics(self.registry), ROUTES)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if self.error is not None:
            raise self.error
        self.during.append(self.value("in_flight"))
        headers = [(b"Content-Type", self.content_type)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        self.during.append(self.value("in_flight"))
        await send({"type": "http.response.body", "body": b""})

    async def ask(self, method: str, path: str, kind: str = "http") -> None:
        async def send(message: Any) -> None:
            pass

        await self.app({"type": kind, "method": method, "path": path}, None, send)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"midstream_http_requests_{name}", labels)

    def seconds(self, **labels: str) -> float | None:
        return self.registry.get_sample_value("midstream_http_request_seconds_count", labels)

    def routes(self) -> set[tuple[str, str]]:
        samples = [sample for metric in self.registry.collect() for sample in metric.samples]
        return {(sample.labels["method"], sample.labels["route"]) for sample in samples if "route" in sample.labels}


@pytest.mark.parametrize(("method", "route"), sorted(ROUTES.known))
@pytest.mark.parametrize("status", BORN)
def test_every_route_has_its_series_before_its_first_request(method: str, route: str, status: str) -> None:
    stage = Stage()

    assert stage.value("total", method=method, route=route, status=status) == 0
    assert stage.seconds(method=method, route=route) == 0


async def test_requests_are_counted_by_template_and_status() -> None:
    stage = Stage()
    for order in ("a", "b"):
        await stage.ask("GET", f"/orders/{order}")
    stage.status = 503
    await stage.ask("GET", "/orders/c")

    labels = {"method": "GET", "route": "/orders/{order_id}"}
    assert stage.value("total", **labels, status="200") == 2
    assert stage.value("total", **labels, status="503") == 1
    assert stage.seconds(**labels) == 3
    assert (stage.during[:2], stage.value("in_flight")) == ([1, 1], 0)


async def test_whoever_tries_names_gets_one_series() -> None:
    stage = Stage()
    stage.status = 404
    before = stage.routes()

    for number in range(50):
        await stage.ask(f"VERB{number}", f"/guess/{number}")

    assert stage.routes() - before == {("other", "unmatched")}
    assert stage.value("total", method="other", route="unmatched", status="404") == 50


async def test_a_stream_counts_and_is_neither_slow_nor_in_flight() -> None:
    stage = Stage()
    stage.content_type = b"text/event-stream; charset=utf-8"

    await stage.ask("GET", "/events")

    assert stage.value("total", method="GET", route="/events", status="200") == 1
    assert stage.seconds(method="GET", route="/events") == 0
    assert (stage.during, stage.value("in_flight")) == ([1, 0], 0)


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("ours"), "500"), (asyncio.CancelledError(), "499")], ids=["failed", "left"]
)
async def test_a_request_without_an_answer_counts_as_what_became_of_it(error: BaseException, status: str) -> None:
    stage = Stage()
    stage.error = error

    with pytest.raises(type(error)):
        await stage.ask("POST", "/orders")

    assert stage.value("total", method="POST", route="/orders", status=status) == 1
    assert stage.value("in_flight") == 0


async def test_a_request_that_there_was_no_room_for_counts_too() -> None:
    stage = Stage()

    stage.app.refused("POST", "/orders", 503)

    assert stage.value("total", method="POST", route="/orders", status="503") == 1


async def test_other_kinds_of_connections_are_not_requests() -> None:
    stage = Stage()

    await stage.ask("GET", "/events", kind="websocket")

    assert stage.value("total", method="GET", route="/events", status="200") == 0
