"""What one web face does with clients that are slow, large, many or rude, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from services.runtime.web import WebFace, WebLimits, stream_refusal
from services.runtime.web.acceptor import Acceptor
from services.runtime.web.limits import HEADER_BYTES_MAX, HEADERS_MAX
from services.runtime.web.table import Phase
from tests.support.log_records import said
from tests.support.tls import Authority
from tests.support.waiting import until

LIMITS: Final = WebLimits(
    connections=8, connections_per_address=8, streams=2, streams_per_address=2, requests=4,
    header_s=0.5, idle_s=0.5, grace_s=0.5, rate=1_000,
)  # fmt: skip
PATIENT: Final = replace(LIMITS, header_s=60.0, idle_s=60.0, grace_s=60.0)
PATIENCE_S: Final = 20.0
HEAD: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
UPGRADE: Final = (
    HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
LARGE: Final = 64 << 20
PART: Final = 1 << 20


@dataclass
class App:
    """Answers what the path says; holds `/wait` until it is let go."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    left: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
        else:
            await getattr(self, scope["path"].strip("/") or "whole")(scope, receive, send)

    async def whole(self, scope: Any, receive: Any, send: Any) -> None:
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
            if not message["more_body"]:
                await answer(send, str(size).encode())
                return
        self.left += 1

    async def wait(self, scope: Any, receive: Any, send: Any) -> None:
        await self.go.wait()
        await answer(send, b"at last")

    async def large(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(LARGE // PART):
            await send({"type": "http.response.body", "body": bytes(PART), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def stream(self, scope: Any, receive: Any, send: Any) -> None:
        if (refusal := stream_refusal(scope)) is not None:
            await answer(send, refusal.encode(), 503)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await self.go.wait()
        await send({"type": "http.response.body", "body": b""})


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Client:
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, words: bytes) -> None:
        self.writer.write(words)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def hear(self) -> bytes:
        """Return the head of an answer and the body that belongs to it."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
            return head + await self.reader.readexactly(size)

    async def ended(self) -> bytes:
        """Return whatever comes until the other side ends the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@dataclass
class Served:
    """A face, and who calls it."""

    face: WebFace
    port: int
    app: App
    clients: list[Client] = field(default_factory=list)

    async def client(self, words: bytes = b"", *, receive_bytes: int = 0) -> Client:
        connection = socket.socket()
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        client = Client(*await asyncio.open_connection(sock=connection, limit=1 << 14))
        self.clients.append(client)
        await client.say(words)
        return client


@contextlib.asynccontextmanager
async def served(limits: WebLimits, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    app = App()
    face = WebFace(app, host="127.0.0.1", port=0, setting="TEST", limits=limits, first=("/stop",), tls=tls)
    here = Served(face, await face.start(), app)
    try:
        yield here
    finally:
        app.go.set()
        for client in here.clients:
            client.writer.close()
        await face.stop()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (b"", b""),
        (HEAD, b"HTTP/1.1 408 "),
        (HEAD + b"Content-Length: 10\r\n\r\n12345", b"HTTP/1.1 408 "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n123", b"HTTP/1.1 408 "),
    ],
    ids=["nothing", "header", "body", "chunk"],
)
async def test_what_does_not_arrive_in_time_is_over_and_says_so(words: bytes, expected: bytes) -> None:
    async with served(LIMITS) as here:
        client = await here.client(words)

        said = await client.ended()

        assert said.startswith(expected)
        assert bool(said) == bool(expected)
        await until(lambda: len(here.face.table) == 0)


async def test_a_connection_between_requests_ends_after_its_time() -> None:
    async with served(LIMITS) as here:
        client = await here.client(HEAD + b"\r\n")

        assert (await client.hear()).startswith(b"HTTP/1.1 200 ")
        assert here.face.table.count(Phase.IDLE) == 1
        assert await client.ended() == b""


async def test_an_application_that_takes_its_time_is_not_hurried() -> None:
    async with served(LIMITS) as here:
        client = await here.client(HEAD.replace(b" / ", b" /wait ") + b"\r\n")
        slow = await here.client(HEAD)

        # By then the time of everything has passed.
        await slow.ended()
        here.app.go.set()

        assert (await client.hear()).endswith(b"at last")


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"x" * HEADER_BYTES_MAX + b"\r\n",
        b"".join(b"X-%d: %s\r\n" % (number, b"x" * 400) for number in range(60)),
        b"".join(b"X-%d: x\r\n" % number for number in range(HEADERS_MAX + 1)),
    ],
    ids=["one", "many", "too-many"],
)
async def test_headers_are_bounded_although_they_arrive_in_one_piece(headers: bytes) -> None:
    async with served(PATIENT) as here:
        client = await here.client(HEAD + headers + b"\r\n")

        said = await client.ended()

        assert said.startswith(b"HTTP/1.1 431 ")
        assert str(HEADERS_MAX).encode() in said


async def test_a_reader_that_takes_nothing_is_cut_and_costs_a_bounded_buffer() -> None:
    async with served(LIMITS) as here:
        client = await here.client(HEAD.replace(b" / ", b" /large ") + b"\r\n", receive_bytes=4096)
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]

        largest = await largest_buffer(here)

        assert 0 < largest < 4 * PART


async def largest_buffer(here: Served) -> int:
    """Return the most that waited for a reader until every connection had ended."""
    largest = 0
    await until(lambda: len(here.face.table) > 0)
    async with asyncio.timeout(PATIENCE_S):
        while len(here.face.table):
            largest = max([largest, *(row.wire.unsent() for row in here.face.table.rows())])
            await asyncio.sleep(0)
    return largest


async def test_streams_beyond_their_number_are_told_and_a_place_comes_free() -> None:
    async with served(PATIENT) as here:
        ask = HEAD.replace(b" / ", b" /stream ") + b"\r\n"
        first, second = await here.client(ask), await here.client(ask)
        for client in (first, second):
            assert (await client.hear()).startswith(b"HTTP/1.1 200 ")

        third = await (await here.client(ask)).hear()
        websocket = await (await here.client(UPGRADE)).ended()
        first.writer.close()
        await until(lambda: here.face.table.count(Phase.STREAM) == 1)
        fourth = await (await here.client(UPGRADE)).hear()

        assert third.startswith(b"HTTP/1.1 503 ")
        assert b"2 streams are open" in third
        assert websocket.startswith(b"HTTP/1.1 503 ")
        assert b"2 streams are open" in websocket
        assert fourth.startswith(b"HTTP/1.1 101 ")


async def test_too_many_requests_are_told_but_for_the_paths_that_come_first() -> None:
    async with served(PATIENT) as here:
        for _ in range(LIMITS.requests):
            await here.client(HEAD.replace(b" / ", b" /wait ") + b"\r\n")
        await until(lambda: here.face.table.count(Phase.ANSWER) == LIMITS.requests)

        said = await (await here.client(HEAD + b"\r\n")).hear()
        here.app.stop = here.app.whole  # type: ignore[attr-defined]
        first = await (await here.client(HEAD.replace(b" / ", b" /stop ") + b"\r\n")).hear()

        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"4 requests are under way" in said
        assert first.startswith(b"HTTP/1.1 200 ")


async def test_a_full_house_lets_a_request_in_at_the_cost_of_the_oldest_silent_one() -> None:
    async with served(PATIENT) as here:
        silent = [await here.client(HEAD) for _ in range(LIMITS.connections)]
        await until(lambda: len(here.face.table) == LIMITS.connections)

        said = await (await here.client(HEAD + b"\r\n")).hear()
        await silent[0].ended()

        assert said.startswith(b"HTTP/1.1 200 ")
        assert not any(client.reader.at_eof() for client in silent[1:])


async def test_a_websocket_that_pings_and_does_not_read_is_not_read_from_either() -> None:
    async with served(LIMITS) as here:
        client = await here.client(UPGRADE, receive_bytes=4096)
        assert (await client.hear()).startswith(b"HTTP/1.1 101 ")
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        ping = b"\x89\xfd\x00\x00\x00\x00" + b"p" * 125
        largest = 0

        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while len(here.face.table):
                    client.writer.write(ping * 500)
                    await asyncio.sleep(0)
                    largest = max([largest, *(row.wire.unsent() for row in here.face.table.rows())])

        assert 0 < largest < 1 << 20


async def test_a_handshake_that_does_not_come_holds_a_place_no_longer_than_a_header(tmp_path: Path) -> None:
    authority = Authority()
    cert, key = authority.pair("localhost").write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cadata=authority.pem.decode())

    async with served(LIMITS, tls=context) as here:
        silent = [await here.client() for _ in range(LIMITS.connections)]
        await until(lambda: len(here.face.table) == LIMITS.connections)

        reader, writer = await asyncio.open_connection(
            "127.0.0.1", here.port, ssl=trusting, server_hostname="localhost"
        )
        client = Client(reader, writer)
        here.clients.append(client)
        await client.say(HEAD + b"\r\n")

        assert (await client.hear()).startswith(b"HTTP/1.1 200 ")
        for each in silent:
            assert await each.ended() == b""


async def test_without_a_free_descriptor_silent_connections_go_and_accepting_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(PATIENT) as here:
        silent = await here.client(HEAD)
        await until(lambda: len(here.face.table) == 1)
        real, refusals = socket.socket.accept, iter([OSError(errno.EMFILE, "Too many open files")] * 2)

        def accept(listener: socket.socket) -> Any:
            refusal = next(refusals, None)
            if refusal is not None:
                raise refusal
            return real(listener)

        monkeypatch.setattr(socket.socket, "accept", accept)

        heard = await (await here.client(HEAD + b"\r\n")).hear()

        assert heard.startswith(b"HTTP/1.1 200 ")
        assert await silent.ended() == b""
        assert said(record for record in caplog.records if record.name == Acceptor.__module__) == [
            ("no room for a connection", {"reason": "Too many open files", "ended": ended}) for ended in (1, 0)
        ]


async def test_the_application_hears_that_a_slow_body_is_over() -> None:
    async with served(LIMITS) as here:
        client = await here.client(HEAD + b"Content-Length: 10\r\n\r\n12345")

        await client.ended()

        await until(lambda: here.app.left == 1)


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1.evil.example"])
@pytest.mark.parametrize("words", [HEAD + b"\r\n", UPGRADE], ids=["http", "websocket"])
async def test_a_foreign_name_is_refused_before_the_application(host: bytes, words: bytes) -> None:
    async with served(PATIENT) as here:
        said = await (await here.client(words.replace(b"localhost", host))).hear()

        assert said.startswith(b"HTTP/1.1 421 ")
        assert b"MIDSTREAM_WEB_HOSTS" in said


async def test_a_burst_of_connections_is_let_go_without_a_word_in_the_log() -> None:
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
    async with served(PATIENT) as here:
        for _ in range(20):
            held = [socket.socket() for _ in range(100)]
            for connection in held:
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    connection.connect(("127.0.0.1", here.port))
            asked = await here.client(HEAD + b"\r\n")

            assert (await asked.hear()).startswith(b"HTTP/1.1 200 ")
            for connection in held:
                connection.close()
        await until(lambda: len(here.face.table) <= LIMITS.connections)

    assert troubles == []
