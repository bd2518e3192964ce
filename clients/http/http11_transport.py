"""`HttpTransport` over connections of our own: an asyncio protocol each, h11 for what HTTP means, and no layer between.

Who asks whether an order was sent has to know the moment of the first byte, and that nothing is ever sent again. Client libraries
know it at best through hooks, repeat GET, PUT and DELETE by themselves where a kept connection has ended (a DELETE is a cancel here),
follow redirects, keep cookies, read proxies from the environment, and cost five times the work.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

import clients.tracing as tracing
from clients.http.connection import Received
from clients.http.outgoing import Outgoing, outgoing
from clients.http.pool import ConnectionPool
from clients.http.timeouts import Patience, Timeouts
from clients.http.transport import HttpRequest, HttpResponse, NotSent, ResponseLost
from clients.resilience.ports import MonotonicNs, WallNs

CONNECTIONS_MAX: Final = 64


class Http11Transport:
    """Implements HttpTransport with pooled HTTP/1.1 connections, verified TLS and bounded answers.

    An answer that is cut off, too large or cannot be decoded is ResponseLost: the request has been executed as far as anybody knows.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        connections_max: int = CONNECTIONS_MAX,
        tls: ssl.SSLContext | None = None,
        monotonic_ns: MonotonicNs = time.monotonic_ns,
        wall_ns: WallNs = time.time_ns,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._pool = ConnectionPool(connections_max=connections_max, timeouts=self._timeouts, tls=tls)
        self._closed = False

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        if self._closed:
            raise NotSent("the transport is closed")
        made = outgoing(request)
        if not tracing.is_on():
            return await self._exchange(request, made, timeout_s)
        # Never the query: exchanges want signatures and listen keys there.
        attributes = {
            "http.request.method": request.method,
            "server.address": made.origin.host,
            "url.path": urlsplit(request.url).path,
        }
        with tracing.span(f"HTTP {request.method}", "client", attributes=attributes) as span:
            answer = await self._exchange(request, made, timeout_s)
            span.set("http.response.status_code", answer.status)
            return answer

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await self._pool.aclose()

    async def _exchange(self, request: HttpRequest, made: Outgoing, timeout_s: float) -> HttpResponse:
        patience = Patience(timeout_s, asyncio.get_running_loop().time() + timeout_s)
        sent_ns = 0

        def on_write() -> None:
            nonlocal sent_ns
            sent_ns = self._monotonic_ns()

        # Texts say what kind of thing happened: an error's own text may hold parts of the URL or of the answer.
        try:
            async with self._pool.connection(made.origin, patience) as connection:
                received = await connection.exchange(
                    made,
                    bytes_max=request.answer_bytes_max,
                    limits=self._timeouts,
                    patience=patience,
                    on_write=on_write,
                )
        except NotSent as exc:
            raise NotSent(f"{made.origin.host}: nothing was sent: {exc}") from exc
        except ResponseLost as exc:
            raise ResponseLost(f"{made.origin.host}: the answer was lost: {exc}") from exc
        return self._answer(received, sent_ns)

    def _answer(self, received: Received, sent_ns: int) -> HttpResponse:
        return HttpResponse(
            status=received.status,
            headers=received.headers,
            body=received.body,
            sent_ns=sent_ns,
            received_ns=self._monotonic_ns(),
            received_wall_ns=self._wall_ns(),
        )
