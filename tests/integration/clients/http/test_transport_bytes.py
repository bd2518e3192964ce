"""What is known about an order when its connection fails, for every byte at which it can: the table that order safety rests on.

NotSent means that not a byte of the request left. Everything else is ResponseLost, and nothing is ever sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import clients.http.pool as pool
from clients.http import Http11Transport, HttpRequest, HttpResponse, NotSent, ResponseLost, Timeouts, TransportError
from tests.support.http_certificates import make_certificate
from tests.support.http_cut import CutWay, End
from tests.support.http_raw_server import RawServer, answering, response, silent

ANSWER = response(b'{"orderId":28}', headers="X-MBX-USED-WEIGHT-1M: 7\r\n")
BODY = b"symbol=BTCUSDT&side=BUY&quantity=0.1&signature=abc"
ENDS: tuple[End, ...] = ("close", "reset")


@pytest.fixture
async def transport() -> AsyncIterator[Http11Transport]:
    made = Http11Transport()
    yield made
    await made.aclose()


async def _order(transport: Http11Transport, url: str, *, timeout_s: float = 5.0) -> HttpResponse:
    return await transport.send(HttpRequest("POST", url + "/order", body=BODY), timeout_s=timeout_s)


async def _written() -> bytes:
    """Return the bytes of the order as they go out."""
    transport = Http11Transport()
    async with RawServer(answering(ANSWER)) as server:
        await _order(transport, server.url)
    await transport.aclose()
    return server.requests[0]


@pytest.mark.parametrize("end", ENDS)
async def test_a_request_cut_at_any_byte_is_lost_and_goes_out_once(transport: Http11Transport, end: End) -> None:
    whole = await _written()
    async with RawServer(answering(ANSWER)) as server:
        for size in range(len(whole)):
            async with CutWay(server.port, request=size, end=end) as way:
                with pytest.raises(ResponseLost) as lost:
                    await _order(transport, f"http://127.0.0.1:{way.port}")
            assert way.connections == 1, f"sent again when cut at byte {size}"
            assert len(way.forwarded) <= size, f"sent again when cut at byte {size}"
            assert "signature" not in str(lost.value)

    assert server.requests == []


@pytest.mark.parametrize("size", range(len(ANSWER)))
async def test_an_answer_that_stops_at_any_byte_is_lost(size: int) -> None:
    transport = Http11Transport(timeouts=Timeouts(read_s=0.02))

    async def stops(request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(ANSWER[:size])
        return await silent(request, writer)

    async with RawServer(stops) as server:
        with pytest.raises(ResponseLost, match=r"nothing moved for 0\.02 s"):
            await _order(transport, server.url)
    await transport.aclose()

    assert len(server.requests) == 1


async def test_an_answer_that_comes_byte_by_byte_is_whole(transport: Http11Transport) -> None:
    async def dripping(request: bytes, writer: asyncio.StreamWriter) -> bool:
        for byte in ANSWER:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        return True

    async with RawServer(dripping) as server:
        assert (await _order(transport, server.url)).body == b'{"orderId":28}'


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
async def test_an_answer_with_any_byte_damaged_is_an_answer_or_lost(flip: int) -> None:
    """Whatever a broken peer says, it has the request: what it says may be unusable, but never proof that nothing was sent."""
    transport = Http11Transport(timeouts=Timeouts(read_s=0.05))
    answers = 0
    for place in range(len(ANSWER)):
        damaged = ANSWER[:place] + bytes([ANSWER[place] ^ flip]) + ANSWER[place + 1 :]
        async with RawServer(answering(damaged)) as server:
            with contextlib.suppress(ResponseLost):
                answers += (await _order(transport, server.url)).status >= 100
        assert len(server.requests) == 1, f"byte {place}"
    await transport.aclose()

    assert answers >= len(b'{"orderId":28}'), "the body is nothing that the transport reads"


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", id="two-lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n{}", id="length-in-hex"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2,3\r\n\r\n{}", id="lengths-in-a-list"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="coded-twice"
        ),
        pytest.param(_CHUNKED + b"2\r\n{}", id="chunk-without-end"),
        pytest.param(_CHUNKED + b"x\r\n{}\r\n0\r\n\r\n", id="chunk-size-no-number"),
        pytest.param(_CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", id="chunk-size-negative"),
        pytest.param(_CHUNKED + b"2\r\n{}xx0\r\n\r\n", id="chunk-longer-than-said"),
        pytest.param(_CHUNKED + b"2\r\n{}\r\n0\r\n", id="no-last-line"),
        pytest.param(_CHUNKED + b"f" * 40 + b"\r\n", id="chunk-size-endless"),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="other-protocol"
        ),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, id="only-promises"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2"),
        pytest.param(b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\n{}", id="no-status"),
        pytest.param(b"HTTP/1.1 200 OK\r\n Folded: x\r\nContent-Length: 2\r\n\r\n{}", id="folded-before-a-header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA b: x\r\nContent-Length: 2\r\n\r\n{}", id="name-with-a-space"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 2\r\n\r\n{}", id="value-with-a-zero"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", id="alert-of-tls"),
        pytest.param(b"\r\n\r\n", id="empty-lines"),
    ],
)
async def test_an_answer_that_is_framed_wrongly_is_lost(transport: Http11Transport, data: bytes) -> None:
    async with RawServer(answering(data, keep=False)) as server:
        with pytest.raises(ResponseLost):
            await _order(transport, server.url)

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ANSWER, id="behind-a-hint"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER, id="behind-a-promise"),
        pytest.param(_CHUNKED + b"7;a=b\r\n" + b'{"order\r\n7\r\nId":28}\r\n0\r\nTrailer: x\r\n\r\n', id="in-chunks"),
        pytest.param(b'HTTP/1.1 200 OK\r\n\r\n{"orderId":28}', id="until-the-end"),
        pytest.param(b'HTTP/1.0 200 OK\r\nContent-Length: 14\r\n\r\n{"orderId":28}', id="older-version"),
    ],
)
async def test_every_framing_that_http_has_is_read(transport: Http11Transport, data: bytes) -> None:
    async with RawServer(answering(data, keep=False)) as server:
        answer = await _order(transport, server.url)

    assert answer.body == b'{"orderId":28}'
    assert len(server.requests) == 1


@pytest.mark.parametrize("extra", [b"x", b"\r\n", response(b'{"orderId":"forged"}')], ids=["byte", "line", "answer"])
async def test_what_comes_behind_an_answer_is_no_answer_to_the_next_request(
    transport: Http11Transport, extra: bytes
) -> None:
    async with RawServer(answering(ANSWER + extra)) as server:
        first = await _order(transport, server.url)
        second = await _order(transport, server.url)

    assert first.body == second.body == b'{"orderId":28}'
    assert server.connections == 2


async def test_what_an_idle_connection_says_unasked_is_no_answer_to_the_next_request(
    transport: Http11Transport,
) -> None:
    answered = asyncio.Event()

    async def talks_on(request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(ANSWER)
        await answered.wait()
        writer.write(response(b'{"orderId":"forged"}'))
        await writer.drain()
        return True

    async with RawServer(talks_on) as server:
        await _order(transport, server.url)
        answered.set()
        # The loop reads it, so that it no longer lies in the socket when the connection is asked for.
        for _ in range(10):
            await asyncio.sleep(0)
        answer = await _order(transport, server.url)

    assert answer.body == b'{"orderId":28}'
    assert server.connections == 2


async def test_an_end_that_the_loop_has_not_seen_yet_is_seen_before_anything_is_written(
    transport: Http11Transport,
) -> None:
    """The loop is busy while the other side closes: nothing was written yet, so a new connection does no harm."""
    ended = threading.Event()
    server = _ThreadedServer(ended)
    try:
        await _order(transport, server.url)
        server.end_first.set()
        assert ended.wait(5)
        answer = await _order(transport, server.url)
    finally:
        server.close()

    assert answer.body == b'{"orderId":28}'
    assert server.requests == 2


async def test_a_connection_that_ends_while_its_request_is_written_is_no_reason_to_send_again(
    transport: Http11Transport,
) -> None:
    async def second_time_end(request: bytes, writer: asyncio.StreamWriter) -> bool:
        if len(server.requests) == 2:
            return False
        writer.write(ANSWER)
        return True

    for method in ("GET", "PUT", "DELETE", "POST"):
        async with RawServer(second_time_end) as server:
            await _order(transport, server.url)
            with pytest.raises(ResponseLost):
                await transport.send(HttpRequest(method, server.url + "/order"), timeout_s=5)
        assert len(server.requests) == 2
        assert server.connections == 1


async def test_an_answer_before_the_request_was_read_is_the_answer_and_ends_the_connection(
    transport: Http11Transport,
) -> None:
    early = response(b'{"code":-1}', status="413 Too Large")
    held: list[asyncio.StreamWriter] = []

    async def early_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(early)
        held.append(writer)

    async with await asyncio.start_server(early_answer, "127.0.0.1", 0, limit=2**16) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        huge = HttpRequest("POST", url + "/order", body=bytes(64 * 1024 * 1024))
        answers = [await transport.send(huge, timeout_s=5) for _ in range(2)]
        for writer in held:
            writer.transport.abort()

    assert [answer.status for answer in answers] == [413, 413]
    assert len(held) == 2


async def test_a_connection_unused_for_too_long_is_not_used(
    transport: Http11Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "KEEPALIVE_S", 0.0)
    async with RawServer(answering(ANSWER)) as server:
        for _ in range(3):
            await _order(transport, server.url)

    assert server.connections == 3


async def test_kept_connections_count_as_connections() -> None:
    transport = Http11Transport(connections_max=2)
    async with RawServer(answering(ANSWER)) as one, RawServer(answering(ANSWER)) as two, RawServer(silent) as three:
        for server in (one, two, one):
            await _order(transport, server.url)
        with pytest.raises(ResponseLost):
            await _order(transport, three.url, timeout_s=0.1)
        # Of the two that were kept, the one unused for longest made room.
        for server in (one, two):
            await _order(transport, server.url)
    await transport.aclose()

    assert (one.connections, two.connections) == (1, 2)


async def test_closing_ends_what_is_under_way_and_waits_for_its_sockets() -> None:
    transport = Http11Transport()
    async with RawServer(silent) as server:
        under_way = asyncio.create_task(_order(transport, server.url, timeout_s=30))
        await server.wait_requests(1)
        await transport.aclose()
        with pytest.raises(ResponseLost):
            await asyncio.wait_for(under_way, 5)


async def test_no_time_left_means_that_nothing_was_sent(transport: Http11Transport) -> None:
    async with RawServer(answering(ANSWER)) as server:
        await _order(transport, server.url)
        with pytest.raises(NotSent):
            await _order(transport, server.url, timeout_s=0)

    assert len(server.requests) == 1


@pytest.mark.parametrize("end", ENDS)
async def test_a_handshake_cut_at_any_byte_means_that_nothing_was_sent(tmp_path: Path, end: End) -> None:
    """Up to the last byte of the handshake nothing of the request leaves; behind it, it may have."""
    certificate = make_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate.path))
    transport = Http11Transport(tls=trusting)
    async with RawServer(answering(ANSWER), tls=certificate.server_context()) as server:
        async with CutWay(server.port) as way:
            await _order(transport, f"https://127.0.0.1:{way.port}")
        whole = len(way.returned)
        seen: list[type[TransportError]] = []
        for size in range(0, whole, 7):
            before = len(server.requests)
            async with CutWay(server.port, answer=size, end=end) as cut:
                with pytest.raises(TransportError) as failed:
                    await _order(transport, f"https://127.0.0.1:{cut.port}")
            if isinstance(failed.value, NotSent):
                assert len(server.requests) == before, f"cut at byte {size}: it was sent"
            assert cut.connections == 1
            seen.append(failed.type)
    await transport.aclose()

    assert seen[0] is NotSent
    assert seen[-1] is ResponseLost
    assert seen == sorted(seen, key=lambda kind: kind is ResponseLost), "once the handshake is over it stays unknown"


class _ThreadedServer:
    """Answers one request per connection and ends the first connection when told to, whatever the event loop is doing."""

    def __init__(self, ended: threading.Event) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = ended
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.end_first = threading.Event()
        self.requests = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        for number in range(2):
            link, _ = self._listener.accept()
            with link:
                received = b""
                while BODY not in received:
                    received += link.recv(65536)
                self.requests += 1
                link.sendall(ANSWER)
                if number == 0:
                    self.end_first.wait(5)
            self._ended.set()
