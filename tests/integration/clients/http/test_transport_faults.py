"""Whether a request was sent, decided over real sockets that fail in every way there is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clients.http import Http11Transport, HttpRequest, NotSent, ResponseLost, Timeouts
from tests.support.http_certificates import make_certificate
from tests.support.http_raw_server import RawServer, answering, resetting, response, silent

ANSWER = response(b'{"orderId":28}', headers="X-MBX-USED-WEIGHT-1M: 7\r\n")


@pytest.fixture
async def transport() -> AsyncIterator[Http11Transport]:
    made = Http11Transport()
    yield made
    await made.aclose()


async def _order(transport: Http11Transport, url: str, *, timeout_s: float = 5.0) -> bytes:
    return (await transport.send(HttpRequest("POST", url + "/order", body=b"a=1"), timeout_s=timeout_s)).body


@pytest.mark.quick
async def test_a_refused_connection_means_that_nothing_was_sent(transport: Http11Transport) -> None:
    with pytest.raises(NotSent):
        await _order(transport, "http://127.0.0.1:1")


async def test_a_black_holed_connection_means_that_nothing_was_sent() -> None:
    transport = Http11Transport(timeouts=Timeouts(connect_s=0.3))
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        # A full accept queue drops further handshakes, as a network without a way back does.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        with pytest.raises(NotSent):
            await _order(transport, f"http://127.0.0.1:{listener.getsockname()[1]}")
    await transport.aclose()


async def test_an_unknown_host_means_that_nothing_was_sent(
    transport: Http11Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*args: object, **more: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(NotSent):
        await _order(transport, "http://exchange.invalid")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http:///x",
        "127.0.0.1/x",
        "http://127.0.0.1:99999/x",
        "http://[::1/x",
    ],
)
async def test_only_http_urls_with_a_host_are_sent_anywhere(transport: Http11Transport, url: str) -> None:
    with pytest.raises(NotSent):
        await transport.send(HttpRequest("GET", url), timeout_s=1)


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", "/x?a=\u00e4"),
        HttpRequest("GET", "/x", {"A": "b\r\nInjected: yes"}),
        HttpRequest("GET", "/x\r\nInjected: yes"),
    ],
    ids=["not-encoded", "header-with-a-line", "target-with-a-line"],
)
async def test_what_http_cannot_express_is_not_sent(transport: Http11Transport, request_: HttpRequest) -> None:
    async with RawServer(answering(ANSWER)) as server:
        bad = HttpRequest(request_.method, server.url + request_.url, request_.headers)
        with pytest.raises(NotSent):
            await transport.send(bad, timeout_s=1)

    assert server.requests == []


async def test_no_free_connection_means_that_nothing_was_sent() -> None:
    transport = Http11Transport(connections_max=1, timeouts=Timeouts(pool_s=0.2))
    async with RawServer(silent) as server:
        first = asyncio.create_task(_order(transport, server.url, timeout_s=30))
        await server.wait_requests(1)
        with pytest.raises(NotSent, match="as many requests as there are connections"):
            await _order(transport, server.url)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    await transport.aclose()

    assert len(server.requests) == 1


async def test_a_certificate_nobody_vouches_for_means_that_nothing_was_sent(
    transport: Http11Transport, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path)
    async with RawServer(answering(ANSWER), tls=certificate.server_context()) as server:
        with pytest.raises(NotSent):
            await _order(transport, server.url)

    assert server.requests == []


async def test_an_authority_named_by_the_environment_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    transport = Http11Transport()
    async with RawServer(answering(ANSWER), tls=certificate.server_context()) as server:
        with pytest.raises(NotSent):
            await _order(transport, server.url)
    await transport.aclose()


async def test_a_certificate_that_is_vouched_for_is_accepted(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    transport = Http11Transport(tls=ssl.create_default_context(cafile=str(certificate.path)))
    async with RawServer(answering(ANSWER), tls=certificate.server_context()) as server:
        body = await _order(transport, server.url)
    await transport.aclose()

    assert body == b'{"orderId":28}'


async def test_a_peer_that_does_not_speak_tls_means_that_nothing_was_sent(transport: Http11Transport) -> None:
    async with RawServer(answering(b"nonsense\r\n\r\n", keep=False)) as server:
        with pytest.raises(NotSent):
            await transport.send(HttpRequest("POST", f"https://127.0.0.1:{server.port}/x"), timeout_s=0.5)


async def test_a_handshake_that_takes_too_long_leaves_no_connection_open(transport: Http11Transport) -> None:
    ended = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()
        ended.set()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        # Long enough to read the system's authorities and to connect, on a busy machine too.
        with pytest.raises(NotSent):
            await transport.send(HttpRequest("POST", url), timeout_s=2.0)
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_half_open_peer_means_that_the_answer_is_lost(transport: Http11Transport) -> None:
    async with RawServer(silent) as server:
        with pytest.raises(ResponseLost):
            await _order(transport, server.url, timeout_s=0.3)

    assert len(server.requests) == 1


async def test_a_peer_that_stops_reading_means_that_the_answer_is_lost() -> None:
    transport = Http11Transport(timeouts=Timeouts(write_s=0.3, read_s=0.3))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(ResponseLost):
            await transport.send(HttpRequest("POST", url, body=bytes(32 * 1024 * 1024)), timeout_s=5)
    await transport.aclose()


@pytest.mark.parametrize("end", ["reset", "close"])
async def test_an_answer_cut_at_any_byte_is_lost_and_the_order_was_executed_once(
    transport: Http11Transport, end: str
) -> None:
    """R18 and resets at each byte: whatever the cut, one request reached the server, and nobody sends it again."""
    for size in range(len(ANSWER)):
        cut = ANSWER[:size]
        async with RawServer(resetting(cut) if end == "reset" else answering(cut, keep=False)) as server:
            with pytest.raises(ResponseLost):
                await _order(transport, server.url)
        assert len(server.requests) == 1, f"cut at byte {size}"


async def test_a_reply_dropped_on_a_kept_connection_is_one_execution(transport: Http11Transport) -> None:
    """R18: the pool must not take a connection that ended for one that was never used, and send again."""
    seen = 0

    async def second_time_drop(request: bytes, writer: asyncio.StreamWriter) -> bool:
        nonlocal seen
        seen += 1
        if seen == 2:
            return False
        writer.write(ANSWER)
        return True

    async with RawServer(second_time_drop) as server:
        await _order(transport, server.url)
        with pytest.raises(ResponseLost):
            await _order(transport, server.url)

    assert len(server.requests) == 2
    assert server.connections == 1


async def test_an_idle_connection_that_was_closed_is_not_used(transport: Http11Transport) -> None:
    async with RawServer(answering(ANSWER, keep=False)) as server:
        await _order(transport, server.url)
        # The close has to arrive before the next request, or its fate would be unknown, rightly.
        await asyncio.sleep(0.05)
        await _order(transport, server.url)

    assert len(server.requests) == 2
    assert server.connections == 2


async def test_a_cancelled_request_leaves_the_pool_usable(transport: Http11Transport) -> None:
    slow = True

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> bool:
        if slow:
            return await silent(request, writer)
        writer.write(ANSWER)
        return True

    async with RawServer(answer) as server:
        task = asyncio.create_task(_order(transport, server.url))
        await server.wait_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        slow = False
        body = await _order(transport, server.url)

    assert body == b'{"orderId":28}'
    assert len(server.requests) == 2
