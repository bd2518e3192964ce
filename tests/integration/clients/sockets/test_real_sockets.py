"""The socket over real TCP: half-open peers, resets, oversized and broken frames, refused handshakes, TLS."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from clients.sockets import (
    Connected,
    Disconnected,
    Event,
    Message,
    ProtocolPing,
    ResilientSocket,
    SocketPolicy,
    SocketState,
)
from tests.support.http_raw_server import RawServer, answering
from tests.support.proxy import TcpProxy

FAST = SocketPolicy(backoff_base_s=0.001, backoff_cap_s=0.002, attempts_max=100_000, close_timeout_s=0.2)
"""The same machinery with waits that a test can afford."""
IMPATIENT = replace(FAST, heartbeat=ProtocolPing(after_s=0.15, timeout_s=0.15))
"""Only where a dead peer is what the test is about: a busy machine looks like one."""

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler, **options: object) -> AsyncIterator[int]:
    """Run a websocket server; yield its port."""

    async def quietly(connection: ServerConnection) -> None:
        try:
            await handler(connection)
        except ConnectionClosed:
            return

    async with serve(quietly, "127.0.0.1", 0, **options) as running:  # type: ignore[arg-type]
        port: int = next(iter(running.sockets)).getsockname()[1]
        yield port


def feed(port: int, policy: SocketPolicy = FAST, **options: object) -> ResilientSocket:
    """Return a socket to that port."""
    return ResilientSocket(f"ws://127.0.0.1:{port}/", name="feed", policy=policy, **options)  # type: ignore[arg-type]


async def until(socket: ResilientSocket, kind: type[Event], count: int = 1) -> list[Event]:
    """Read up to the nth event of a kind; return all that was read."""
    events: list[Event] = []
    async with asyncio.timeout(20):
        async for event in socket:
            events.append(event)
            count -= isinstance(event, kind)
            if not count:
                break
    return events


async def condition(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  what is waited for is the state of the code under test, which announces nothing
            await asyncio.sleep(0.002)


async def refused(socket: ResilientSocket) -> None:
    """Wait until it has tried several times and is between two attempts: one under way would meet a server that is closing."""
    await condition(lambda: socket.status().attempts >= 3 and socket.status().state is SocketState.WAITING)


async def silent(connection: ServerConnection) -> None:
    """Accept and say nothing."""
    await connection.wait_closed()


async def test_w02_a_half_open_connection_is_noticed_and_replaced() -> None:
    async with server(silent) as port:
        with TcpProxy(("127.0.0.1", port)) as proxy:
            async with feed(proxy.port, IMPATIENT) as socket:
                await until(socket, Connected)

                proxy.blackhole()
                gone = await until(socket, Disconnected)
                proxy.restore()
                await until(socket, Connected)

    assert isinstance(gone[-1], Disconnected)
    assert gone[-1].reason == "no sign of life for 0.3 s"


async def test_a_handshake_that_is_never_answered_times_out() -> None:
    async with server(silent) as port:
        with TcpProxy(("127.0.0.1", port)) as proxy:
            proxy.blackhole()
            policy = SocketPolicy(open_timeout_s=0.1, backoff_base_s=0.001, backoff_cap_s=0.002, attempts_max=1000)
            async with feed(proxy.port, policy) as socket:
                opening = asyncio.create_task(until(socket, Connected))
                await refused(socket)
                assert socket.status().last_error == "no answer in time"

                proxy.restore()
                await opening


async def test_messages_carry_the_time_at_which_they_arrived() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send("tick")
        await connection.wait_closed()

    async with server(handler) as port, feed(port) as socket:
        before_ns = time.time_ns()
        await until(socket, Connected)
        await condition(lambda: socket.status().waiting > 0)
        arrived_ns = time.time_ns()
        await asyncio.sleep(0.05)
        message = await anext(socket)

    assert isinstance(message, Message)
    assert before_ns <= message.receive_wall_ns <= arrived_ns


async def test_w06_frames_that_are_odd_are_handed_on_as_they_are() -> None:
    odd = [b"\xff\xfe invalid UTF-8", b"\x00\x00", b"[" * 10_000, b'{"price": NaN}', b""]

    async def handler(connection: ServerConnection) -> None:
        for payload in odd:
            await connection.send(payload, text=True)
        await connection.send(odd[1])
        await connection.send(["a message ", "in three ", "fragments"])
        await connection.wait_closed()

    async with server(handler) as port, feed(port) as socket:
        events = await until(socket, Message, len(odd) + 2)

    messages = [event for event in events if isinstance(event, Message)]
    assert [message.payload for message in messages] == [*odd, odd[1], b"a message in three fragments"]
    assert [message.binary for message in messages] == [False] * len(odd) + [True, False]


@pytest.mark.parametrize("fragments", [1, 40], ids=["one frame", "many fragments"])
async def test_w07_an_oversized_message_is_refused_and_the_socket_comes_back(fragments: int) -> None:
    closes: list[int | None] = []

    async def handler(connection: ServerConnection) -> None:
        if not closes:
            huge = "x" * (10 << 20)
            step = len(huge) // fragments
            try:
                await connection.send([huge[at : at + step] for at in range(0, len(huge), step)])
                await connection.wait_closed()
            finally:
                closes.append(connection.close_code)
        else:
            await connection.send("fine again")
            await connection.wait_closed()

    async with server(handler) as port, feed(port) as socket:
        events = await until(socket, Message)

    refused = next(event for event in events if isinstance(event, Disconnected))
    assert refused.reason.startswith("refused with code 1009")
    assert closes == [1009]
    assert [event.payload for event in events if isinstance(event, Message)] == [b"fine again"]


async def test_w07_compression_is_never_agreed_on() -> None:
    offered: list[str] = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        offered.extend(connection.request.headers.get_all("Sec-WebSocket-Extensions"))
        await connection.send("x" * 1000)
        await connection.wait_closed()

    async with server(handler, compression="deflate") as port, feed(port) as socket:
        await until(socket, Message)

    assert offered == []


async def test_w11_a_refused_key_names_the_status_and_waits() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "who are you?")

    async with server(silent, process_request=refuse) as port:
        async with feed(port) as socket:
            reading = asyncio.create_task(until(socket, Connected))
            await condition(lambda: socket.status().state is SocketState.WAITING)
            await asyncio.sleep(0.1)

            status = socket.status()
            reading.cancel()
            assert status.attempts == 1
            assert "HTTP 401" in status.last_error


async def test_s23_a_redirect_is_not_followed_so_keys_go_to_nobody_else() -> None:
    elsewhere: list[str] = []

    def note(connection: ServerConnection, request: Request) -> None:
        elsewhere.append(str(request.headers.get("api-key")))

    async with server(silent, process_request=note) as other:

        def redirect(connection: ServerConnection, request: Request) -> Response:
            response = connection.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = f"ws://localhost:{other}/"
            return response

        async with server(silent, process_request=redirect) as port:
            async with feed(port, headers={"api-key": "canary"}) as socket:
                reading = asyncio.create_task(until(socket, Connected))
                await refused(socket)
                assert "HTTP 302" in socket.status().last_error
                reading.cancel()

    assert elsewhere == []


async def test_a_server_that_speaks_no_websocket_is_a_failed_attempt() -> None:
    async with RawServer(answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", keep=False)) as other:
        async with feed(other.port) as socket:
            reading = asyncio.create_task(until(socket, Connected))
            await refused(socket)
            assert "did not complete the handshake" in socket.status().last_error
            reading.cancel()


async def test_a_url_that_is_none_is_named_without_showing_it() -> None:
    async with ResilientSocket("http://127.0.0.1/?key=canary", name="feed", policy=FAST) as socket:
        reading = asyncio.create_task(until(socket, Connected))
        await condition(lambda: bool(socket.status().last_error))
        reading.cancel()
        assert "no websocket URL" in socket.status().last_error
        assert "canary" not in socket.status().last_error


async def test_a_server_that_is_killed_and_comes_back_on_its_port_is_found_again() -> None:
    async with server(silent) as port:
        with TcpProxy(("127.0.0.1", port)) as proxy:
            async with feed(proxy.port) as socket:
                await until(socket, Connected)
                for _ in range(3):
                    proxy.refuse()
                    broken = await until(socket, Disconnected)
                    assert isinstance(broken[-1], Disconnected)
                    assert "the connection broke" in broken[-1].reason
                    proxy.restore()
                    await until(socket, Connected)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that nobody has signed, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made = (folder / "cert.pem", folder / "key.pem")
    subprocess.run(
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost".split()
        + f"-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out {made[0]} -keyout {made[1]}".split(),
        check=True,
        capture_output=True,
    )
    return made


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown authority", "trusted"])
async def test_certificates_are_checked(certificate: tuple[Path, Path], trusted: bool) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*certificate)
    from clients.sockets.dial import WebsocketDialer

    ours = ssl.create_default_context(cafile=str(certificate[0]) if trusted else None)
    async with server(silent, ssl=served) as port:
        url = f"wss://127.0.0.1:{port}/"
        dial = WebsocketDialer(FAST, ssl=ours)
        async with ResilientSocket(url, name="feed", policy=FAST, dial=dial) as socket:
            reading = asyncio.create_task(until(socket, Connected))
            if trusted:
                await reading
            else:
                await refused(socket)
                reading.cancel()
                assert socket.status().connections == 0
                assert "certificate" in socket.status().last_error.lower()


async def test_w08_a_flood_is_held_back_at_the_sender() -> None:
    sent = 0

    async def flood(connection: ServerConnection) -> None:
        nonlocal sent
        while True:
            await connection.send("x" * 1000)
            sent += 1

    policy = SocketPolicy(queue_messages_max=200, heartbeat=ProtocolPing(after_s=0.5, timeout_s=0.5))
    async with server(flood) as port, feed(port, policy) as socket:
        await until(socket, Connected)
        seen = -1
        while seen != sent:
            seen = sent
            await asyncio.sleep(1.2)
        status = socket.status()

        assert status.state is SocketState.OPEN
        # One read of the socket, 256 KiB, may exceed the bound.
        assert status.waiting <= 200 + 262
        more = await until(socket, Message, 3 * status.waiting)
        assert all(isinstance(event, Message) for event in more)


async def test_pausing_and_resuming_under_load_keeps_every_message_in_order() -> None:
    total = 20_000

    async def count(connection: ServerConnection) -> None:
        for number in range(total):
            await connection.send(str(number))
        await connection.wait_closed()

    policy = SocketPolicy(queue_messages_max=50)
    async with server(count) as port, feed(port, policy) as socket:
        events = await until(socket, Message, total)

    assert [int(event.payload) for event in events if isinstance(event, Message)] == list(range(total))
