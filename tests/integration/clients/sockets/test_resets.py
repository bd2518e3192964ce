"""W04, the transport's half: a connection that is reset at any byte costs no deal and delivers none twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from clients.sockets import Message, ResilientSocket, SocketPolicy
from tests.support.proxy import TcpProxy

MESSAGES = 50
FAST = SocketPolicy(backoff_base_s=0.001, backoff_cap_s=0.002, attempts_max=100_000, close_timeout_s=0.1)


async def _deals(connection: ServerConnection) -> None:
    """Send the deals after the one that the client has."""
    assert connection.request is not None
    after = int(parse_qs(urlsplit(connection.request.path).query)["after"][0])
    try:
        for number in range(after + 1, MESSAGES + 1):
            await connection.send(json.dumps({"id": number}))
        await connection.wait_closed()
    except ConnectionClosed:
        return


async def _collect(cuts: Iterable[int]) -> dict[int, list[int]]:
    """Read the whole script once per cut, with the first connections reset after that many bytes; return what came."""
    outcome: dict[int, list[int]] = {}
    async with serve(_deals, "127.0.0.1", 0) as running:
        with TcpProxy(("127.0.0.1", next(iter(running.sockets)).getsockname()[1])) as proxy:
            for cut in cuts:
                outcome[cut] = await _read_script(proxy, cut)
    return outcome


async def _read_script(proxy: TcpProxy, cut: int) -> list[int]:
    got: list[int] = []
    proxy.cut_at_byte(cut)
    tries = 0

    def url() -> str:
        nonlocal tries
        tries += 1
        if tries > 2:
            proxy.restore()
        return f"ws://127.0.0.1:{proxy.port}/?after={got[-1] if got else 0}"

    async with asyncio.timeout(20):
        async with ResilientSocket(url, name="deals", policy=FAST) as socket:
            async for event in socket:
                if isinstance(event, Message):
                    got.append(json.loads(event.payload)["id"])
                if len(got) == MESSAGES:
                    break
    proxy.restore()
    return got


SCRIPT_BYTES = 129 + sum(len(json.dumps({"id": number})) + 2 for number in range(1, MESSAGES + 1))
"""At least the handshake's answer and all frames."""


async def test_w04_a_reset_at_any_of_many_bytes_loses_and_doubles_nothing() -> None:
    outcome = await _collect(range(1, SCRIPT_BYTES, 23))

    assert {cut for cut, got in outcome.items() if got != list(range(1, MESSAGES + 1))} == set()


@pytest.mark.nightly
async def test_w04_a_reset_at_every_byte_loses_and_doubles_nothing() -> None:
    outcome = await _collect(range(1, SCRIPT_BYTES + 200))

    assert {cut for cut, got in outcome.items() if got != list(range(1, MESSAGES + 1))} == set()
