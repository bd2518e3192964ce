"""A stream goes to the server of its URL: redirects are not followed, proxies of the environment not asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from clients.sockets.dial import WebsocketDialer
from clients.sockets.link import Target
from clients.sockets.policy import SocketPolicy
from services.replay.engine.feed_connection import ReceiveClock, WebsocketFeedDialer

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY", "SOCKS_PROXY")
Dial = Callable[[str], Awaitable[Any]]


class _Handler:
    def on_traffic(self) -> None: ...
    def on_messages(self, payloads: list[bytes], *, binary: bool) -> None: ...
    def on_closed(self, reason: str, code: int | None) -> None: ...


async def _exchange_stream(url: str) -> Any:
    return await WebsocketDialer(SocketPolicy(open_timeout_s=5.0))(Target(url, {"api-key": "canary"}), _Handler())


async def _live_feed(url: str) -> Any:
    clock = ReceiveClock(time_ns=lambda: 1, monotonic_ns=lambda: 1)
    return await WebsocketFeedDialer(url, clock)(lambda _time_ns, _payloads: None)


DIALERS = pytest.mark.parametrize("dial", [_exchange_stream, _live_feed], ids=["exchange-stream", "live-feed"])


@asynccontextmanager
async def _listener(seen: list[bytes]) -> AsyncIterator[int]:
    """Note what anybody who connects says first."""

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(4096))
        writer.close()

    async with await asyncio.start_server(note, "127.0.0.1", 0) as running:
        yield running.sockets[0].getsockname()[1]


@DIALERS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_s23_a_redirect_leads_nowhere(dial: Dial, status: int) -> None:
    seen: list[bytes] = []
    async with _listener(seen) as inner:

        def redirect(connection: ServerConnection, _request: Request) -> Response:
            response = connection.respond(HTTPStatus(status), "")
            response.headers["Location"] = f"ws://127.0.0.1:{inner}/secret-internal"
            return response

        async def never(_connection: ServerConnection) -> None: ...

        async with serve(never, "127.0.0.1", 0, process_request=redirect) as running:
            port = next(iter(running.sockets)).getsockname()[1]
            with pytest.raises(Exception, match=str(status)):
                await dial(f"ws://127.0.0.1:{port}/")

    assert seen == []


@DIALERS
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_proxies_of_the_environment_are_not_asked(
    dial: Dial, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    async with _listener(seen) as proxy:
        for name in PROXIES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)

        with pytest.raises(Exception):  # noqa: B017  (the name leads nowhere, however that is said)
            await dial(f"{scheme}://feed.invalid/")

    assert seen == []
