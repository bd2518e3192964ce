"""`HttpTransport` over httpx2's connection pool.

The pool is used without httpx2's client above it: that layer follows redirects, keeps cookies, reads proxies from the environment and
logs whole URLs, signatures included. Whether a request was sent is not guessed from the kind of an error: the pool reports the moment
before the first byte goes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
import zlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

import clients.tracing as tracing
from clients.http.transport import HttpRequest, HttpResponse, NotSent, ResponseLost
from clients.resilience.ports import MonotonicNs, WallNs

CONNECTIONS_MAX: Final = 64
KEEPALIVE_S: Final = 20.0
"""Shorter than any exchange's own limit, so that a request rarely meets a connection that is being closed."""

_FIRST_BYTE: Final = "http11.send_request_headers.started"
_HEAD_SENT: Final = "http11.send_request_headers.complete"
_CONNECTED: Final = "connection.connect_tcp.complete"
_SECURED: Final = "connection.start_tls.complete"
_USER_AGENT: Final = "midstream"


@dataclass(frozen=True)
class Timeouts:
    """Limits of single phases, in seconds. The timeout of the whole exchange is an argument of `send` and cuts all of them."""

    connect_s: float = 5.0
    """TCP and TLS handshake, each."""
    write_s: float = 5.0
    read_s: float = 15.0
    """Between two pieces of an answer. Above 10 s: Binance itself gives up only then, with an answer that says so."""
    pool_s: float = 2.0
    """For a free connection."""


@dataclass
class _Progress:
    """What the pool has reported about one request."""

    monotonic_ns: MonotonicNs
    sent_ns: int | None = None
    head_sent: bool = False
    unsecured: Any = None
    """The connection, while it is open and nothing of the request may go out yet."""

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event == _FIRST_BYTE and self.sent_ns is None:
            self.sent_ns = self.monotonic_ns()
            self.unsecured = None
        elif event == _HEAD_SENT:
            self.head_sent = True
        elif event == _CONNECTED:
            self.unsecured = info["return_value"]
        elif event == _SECURED:
            self.unsecured = None


class HttpxTransport:
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
        self._pool = httpx2.AsyncHTTPTransport(
            verify=True if tls is None else tls,
            trust_env=False,
            http2=False,
            retries=0,
            limits=httpx2.Limits(
                max_connections=connections_max, max_keepalive_connections=connections_max, keepalive_expiry=KEEPALIVE_S
            ),
        )
        self._closed = False

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        if self._closed:
            raise NotSent("the transport is closed")
        progress = _Progress(self._monotonic_ns)
        try:
            async with asyncio.timeout(timeout_s):
                if not tracing.is_on():
                    return await self._exchange(request, progress, timeout_s)
                place = urlsplit(request.url)
                # Never the query: exchanges want signatures and listen keys there.
                attributes = {
                    "http.request.method": request.method,
                    "server.address": place.hostname or "",
                    "url.path": place.path,
                }
                with tracing.span(f"HTTP {request.method}", "client", attributes=attributes) as span:
                    answer = await self._exchange(request, progress, timeout_s)
                    span.set("http.response.status_code", answer.status)
                    return answer
        except ResponseLost:
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as exc:
            # OSError includes the TimeoutError of the whole exchange.
            raise _judged(exc, request, progress, timeout_s) from exc
        finally:
            if progress.unsecured is not None:
                # The pool forgets a connection whose handshake is cancelled, and the event loop would keep it open for good.
                await progress.unsecured.aclose()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await self._pool.aclose()

    async def _exchange(self, request: HttpRequest, progress: _Progress, timeout_s: float) -> HttpResponse:
        limits = self._timeouts
        outgoing = httpx2.Request(
            request.method,
            _origin(request.url),
            headers=_headers(request),
            content=request.body,
            extensions={
                "target": _target(request.url),
                "trace": progress,
                "timeout": {
                    "connect": min(limits.connect_s, timeout_s),
                    "write": min(limits.write_s, timeout_s),
                    "read": min(limits.read_s, timeout_s),
                    "pool": min(limits.pool_s, timeout_s),
                },
            },
        )
        response = await self._pool.handle_async_request(outgoing)
        try:
            body = await _body(response, request.answer_bytes_max)
        finally:
            await response.aclose()
        assert progress.sent_ns is not None
        return HttpResponse(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            sent_ns=progress.sent_ns,
            received_ns=self._monotonic_ns(),
            received_wall_ns=self._wall_ns(),
        )


async def _body(response: httpx2.Response, bytes_max: int) -> bytes:
    """Read the answer within the limit, decompressing it piece by piece so that a bomb stops there too."""
    decoder = _decoder(response.headers.get("content-encoding", "identity"))
    pieces: list[bytes] = []
    room = bytes_max
    async with contextlib.aclosing(_raw(response)) as raw:
        async for piece in raw:
            decoded = decoder.feed(piece, room + 1)
            room -= len(decoded)
            if room < 0:
                raise ResponseLost(f"the answer has more than {bytes_max} bytes")
            pieces.append(decoded)
    decoder.finish()
    return b"".join(pieces)


class _Identity:
    def feed(self, piece: bytes, limit: int) -> bytes:
        return piece

    def finish(self) -> None:
        pass


class _Gzip:
    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)

    def feed(self, piece: bytes, limit: int) -> bytes:
        try:
            return self._inflate.decompress(piece, limit)
        except zlib.error as exc:
            raise ResponseLost("the answer is not the gzip it says it is") from exc

    def finish(self) -> None:
        if not self._inflate.eof:
            raise ResponseLost("the answer's gzip stream is cut off")
        if self._inflate.unused_data:
            raise ResponseLost("the answer goes on behind its gzip stream")


def _decoder(encoding: str) -> _Identity | _Gzip:
    match encoding.strip().lower():
        case "identity" | "":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Gzip()
        case _:
            raise ResponseLost("the answer has a content encoding that was not asked for")


async def _raw(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    async for piece in response.aiter_raw():
        yield piece


def _headers(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the caller's headers and what goes with every request; Content-Length follows from the body."""
    parts = urlsplit(request.url)
    given = {name.lower() for name in request.headers}
    headers = [("Host", parts.netloc.rpartition("@")[2])]
    headers += [
        (name, value)
        for name, value in (("User-Agent", _USER_AGENT), ("Accept-Encoding", "gzip"), ("Accept", "application/json"))
        if name.lower() not in given
    ]
    return headers + list(request.headers.items())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotSent("the URL needs http:// or https:// and a host")
    return f"{parts.scheme}://{parts.netloc}/"


def _target(url: str) -> bytes:
    """Return path and query as the bytes that were signed; a URL library would normalise them."""
    parts = urlsplit(url)
    target = url[url.index(parts.netloc, len(parts.scheme)) + len(parts.netloc) :].partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target
    try:
        return target.encode("ascii")
    except UnicodeEncodeError:
        raise NotSent("the URL has characters that must be percent-encoded") from None


def _judged(exc: Exception, request: HttpRequest, progress: _Progress, timeout_s: float) -> NotSent | ResponseLost:
    # The error's own text may hold parts of the URL or of the answer: its kind says enough.
    if isinstance(exc, httpx2.PoolTimeout):
        kind = "as many requests as there are connections are under way already"
    else:
        kind = f"no answer within {timeout_s:g} s" if isinstance(exc, TimeoutError) else type(exc).__name__
    where = urlsplit(request.url).hostname or "?"
    # A request that HTTP cannot express is refused when its head would be written.
    unspeakable = isinstance(exc, httpx2.LocalProtocolError) and not progress.head_sent
    if progress.sent_ns is None or unspeakable:
        return NotSent(f"{where}: nothing was sent: {kind}")
    return ResponseLost(f"{where}: the answer was lost: {kind}")
