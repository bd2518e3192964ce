"""Figures about HTTP requests: how many, with which status, how long, how many at once; by template of a route, never by path."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any, Final, Protocol

from services.runtime.figures import Figure
from services.runtime.metrics import Metrics

__all__ = ["REQUEST_FIGURES", "CountedRequests", "KnownRoutes"]

_ROUTE: Final = ("method", "route")
REQUESTS: Final = Figure(
    "midstream_http_requests_total", "counter",
    "HTTP requests by the status that they got; 499: the caller left before", (*_ROUTE, "status"),
)  # fmt: skip
SECONDS: Final = Figure(
    "midstream_http_request_seconds", "histogram", "Time until an HTTP request was answered, event streams left out", _ROUTE,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)  # fmt: skip
IN_FLIGHT: Final = Figure(
    "midstream_http_requests_in_flight", "gauge", "HTTP requests being answered, event streams left out"
)
REQUEST_FIGURES: Final = (REQUESTS, SECONDS, IN_FLIGHT)

UNMATCHED: Final = "unmatched"
"""The route of everything that there is not: a scanner must not create a series per path that it tries."""
OTHER: Final = "other"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BORN: Final = ("200", "400", "401", "403", "404", "409", "422", "429", "499", "500", "503")
"""Statuses that every route begins with at 0, so that the first of them is an increase; others appear with their first."""
LEFT: Final = "499"
_EVENTS: Final = b"text/event-stream"


class KnownRoutes(Protocol):
    """A table of routes."""

    @property
    def known(self) -> Collection[tuple[str, str]]:
        """Every method with the template that it is known for."""

    def template(self, path: str) -> str | None:
        """Return the template that a path matches."""


class CountedRequests:
    """An ASGI application that counts what the one inside answers. Websockets are counted where connections are."""

    def __init__(self, app: Any, metrics: Metrics, routes: KnownRoutes) -> None:
        self._app = app
        self._routes = routes
        self._requests = metrics.counter(REQUESTS)
        self._seconds = metrics.histogram(SECONDS)
        self._in_flight = metrics.gauge(IN_FLIGHT)
        for method, route in routes.known:
            self._seconds.labels(method, route)
            for status in BORN:
                self._requests.labels(method, route, status)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        labels = self._labels(scope["method"], scope["path"])
        begun_s = time.perf_counter()
        status, streams, failed = "", False, LEFT
        self._in_flight.inc()

        async def tell(message: Any) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = str(message["status"])
                streams = any(
                    bytes(name).lower() == b"content-type" and bytes(value).startswith(_EVENTS)
                    for name, value in message.get("headers", ())
                )
                self._requests.labels(*labels, status).inc()
                if streams:
                    self._in_flight.dec()
            await send(message)

        try:
            await self._app(scope, receive, tell)
        except asyncio.CancelledError:
            raise
        except BaseException:
            # The server answers for an application that failed.
            failed = "500"
            raise
        finally:
            if not status:
                self._requests.labels(*labels, failed).inc()
            if not streams:
                self._in_flight.dec()
                self._seconds.labels(*labels).observe(time.perf_counter() - begun_s)

    def refused(self, method: str, path: str, status: int) -> None:
        """Count a request that never reached the application: there were too many."""
        self._requests.labels(*self._labels(method, path), str(status)).inc()

    def _labels(self, method: str, path: str) -> tuple[str, str]:
        return (method if method in METHODS else OTHER), self._routes.template(path) or UNMATCHED
