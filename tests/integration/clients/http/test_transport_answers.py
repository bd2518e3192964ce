"""What the transport makes of answers, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextvars import ContextVar

import pytest

from clients.http import Http11Transport, HttpRequest, NotSent, ResponseLost
from clients.http.connection import Connection
from tests.support.http_raw_server import RawServer, answering, response, silent

_ASKED_BY: ContextVar[str] = ContextVar("asked_by", default="nobody")


@pytest.fixture
async def transport() -> AsyncIterator[Http11Transport]:
    made = Http11Transport()
    yield made
    await made.aclose()


@pytest.mark.quick
async def test_target_body_and_headers_go_out_byte_by_byte_as_signed(transport: Http11Transport) -> None:
    async with RawServer(answering(response())) as server:
        target = "/a/../b//c?x=%7b1%7D+2&empty=&sig=a%2Cb"
        body = b"quantity=1&price=0.1&timestamp=1"
        await transport.send(HttpRequest("POST", server.url + target, {"X-MBX-APIKEY": "k"}, body), timeout_s=5)

    head, _, sent = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a/../b//c?x=%7b1%7D+2&empty=&sig=a%2Cb HTTP/1.1"
    assert b"X-MBX-APIKEY: k" in lines
    assert b"Content-Length: 32" in lines
    assert len([line for line in lines if line.lower().startswith(b"host:")]) == 1
    assert sent == body


async def test_an_answer_has_lower_case_headers_and_its_times(transport: Http11Transport) -> None:
    ticks = iter(range(100, 1000, 100))
    clocked = Http11Transport(monotonic_ns=lambda: next(ticks), wall_ns=lambda: 77)
    async with RawServer(answering(response(b"[1]", headers="X-MBX-USED-WEIGHT-1M: 7\r\n"))) as server:
        answer = await clocked.send(HttpRequest("GET", server.url + "/x"), timeout_s=5)
    await clocked.aclose()

    assert answer.status == 200
    assert answer.body == b"[1]"
    assert answer.headers["x-mbx-used-weight-1m"] == "7"
    assert (answer.sent_ns, answer.received_ns, answer.received_wall_ns) == (100, 200, 77)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "418 Teapot", "503 Busy"])
async def test_any_status_is_an_answer_and_no_redirect_is_followed(transport: Http11Transport, status: str) -> None:
    async with RawServer(answering(response(status=status, headers="Location: /elsewhere\r\n"))) as server:
        answer = await transport.send(HttpRequest("GET", server.url + "/x"), timeout_s=5)

    assert answer.status == int(status[:3])
    assert len(server.requests) == 1


async def test_cookies_are_not_kept(transport: Http11Transport) -> None:
    async with RawServer(answering(response(headers="Set-Cookie: a=b\r\n"))) as server:
        await transport.send(HttpRequest("GET", server.url + "/x"), timeout_s=5)
        await transport.send(HttpRequest("GET", server.url + "/x"), timeout_s=5)

    assert b"cookie" not in server.requests[1].lower()


async def test_what_reads_answers_has_nothing_of_the_request_that_opened_the_connection(
    transport: Http11Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Watched(Connection):
        def data_received(self, data: bytes) -> None:
            seen.append(_ASKED_BY.get())
            super().data_received(data)

    monkeypatch.setattr("clients.http.pool.Connection", Watched)
    _ASKED_BY.set("the first request")
    async with RawServer(answering(response())) as server:
        await transport.send(HttpRequest("GET", server.url + "/x"), timeout_s=5)

    assert seen == ["nobody"] * len(seen)
    assert seen


async def test_connections_are_used_again(transport: Http11Transport) -> None:
    async with RawServer(answering(response())) as server:
        for _ in range(3):
            await transport.send(HttpRequest("GET", server.url + "/x"), timeout_s=5)

    assert server.connections == 1


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    transport = Http11Transport()
    async with RawServer(answering(response())) as server:
        answer = await transport.send(HttpRequest("GET", server.url + "/x"), timeout_s=5)
    await transport.aclose()

    assert answer.status == 200


async def test_a_gzip_answer_is_decompressed(transport: Http11Transport) -> None:
    packed = gzip.compress(b'{"a":1}')
    async with RawServer(answering(response(packed, headers="Content-Encoding: gzip\r\n"))) as server:
        answer = await transport.send(HttpRequest("GET", server.url + "/x"), timeout_s=5)

    assert answer.body == b'{"a":1}'


_PACKED = gzip.compress(b"x" * 1000)
_BOMB = gzip.compress(bytes(1 << 20), compresslevel=9)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(response(b"x" * 2001), id="longer-than-allowed"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", id="says-it-is-huge"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"x" * 1000 + b"\r\n" + b"5dc\r\n",
            id="chunks-without-end",
        ),
        pytest.param(response(_BOMB, headers="Content-Encoding: gzip\r\n"), id="gzip-bomb"),
        pytest.param(response(_PACKED[:-9], headers="Content-Encoding: gzip\r\n"), id="gzip-cut-off"),
        pytest.param(response(_PACKED + b"more", headers="Content-Encoding: gzip\r\n"), id="gzip-goes-on"),
        pytest.param(response(b"not gzip", headers="Content-Encoding: gzip\r\n"), id="no-gzip"),
        pytest.param(response(zlib.compress(b"x"), headers="Content-Encoding: deflate\r\n"), id="encoding-not-asked"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="no-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="negative-length"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n", id="endless-header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", id="shorter-than-said"),
    ],
)
async def test_an_answer_that_cannot_be_read_in_full_is_lost(transport: Http11Transport, data: bytes) -> None:
    async with RawServer(answering(data, keep=False)) as server:
        with pytest.raises(ResponseLost):
            await transport.send(HttpRequest("POST", server.url + "/x", answer_bytes_max=2000), timeout_s=5)

    assert len(server.requests) == 1


async def test_an_answer_of_exactly_the_limit_is_kept(transport: Http11Transport) -> None:
    async with RawServer(answering(response(b"x" * 2000))) as server:
        answer = await transport.send(HttpRequest("GET", server.url + "/x", answer_bytes_max=2000), timeout_s=5)

    assert len(answer.body) == 2000


async def test_a_slow_body_counts_as_lost_when_the_time_is_over(transport: Http11Transport) -> None:
    async def dripping(request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with RawServer(dripping) as server:
        with pytest.raises(ResponseLost, match="no answer within"):
            await transport.send(HttpRequest("GET", server.url + "/x"), timeout_s=0.3)


async def test_no_text_of_an_error_holds_query_headers_or_body(transport: Http11Transport) -> None:
    secret = HttpRequest("POST", "http://127.0.0.1:1/x?signature=CANARY1", {"K": "CANARY2"}, b"CANARY3")
    async with RawServer(silent) as server:
        late = HttpRequest("POST", server.url + "/x?signature=CANARY1", {"K": "CANARY2"}, b"CANARY3")
        with pytest.raises(ResponseLost) as lost:
            await transport.send(late, timeout_s=0.2)
    with pytest.raises(NotSent) as unsent:
        await transport.send(secret, timeout_s=1)

    for text in (repr(secret), str(secret), str(lost.value), str(unsent.value)):
        assert "CANARY" not in text


async def test_a_closed_transport_sends_nothing(transport: Http11Transport) -> None:
    await transport.aclose()
    await transport.aclose()

    async with RawServer(answering(response())) as server:
        with pytest.raises(NotSent, match="closed"):
            await transport.send(HttpRequest("GET", server.url + "/x"), timeout_s=1)

    assert server.requests == []
