"""How a connection to a feed ended is told as it was, in the marker, in the report and in the log, with what to do."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from fastpath.frame import MARKER_DISCONNECTED
from tests.integration.replay.engine.harness import EngineChild, Session
from tests.support.waiting import wait_until

Start = Callable[..., EngineChild]
Behaviour = Callable[[ServerConnection], Awaitable[None]]
ROW = json.dumps(
    {
        "timestamp": "2025-10-02 23:59:57.29",
        "ticker": "A",
        "ask_amount": 1,
        "ask_price": 2,
        "bid_price": 1,
        "bid_amount": 1,
    }
)


async def too_large(connection: ServerConnection) -> None:
    await connection.send(ROW.replace('"A"', f'"{"A" * 5000}"'))
    await connection.wait_closed()


async def no_frame(connection: ServerConnection) -> None:
    connection.transport.write(b"\xff\xff\xff\xff")
    await connection.wait_closed()


def closing(code: int, reason: str) -> Behaviour:
    async def close(connection: ServerConnection) -> None:
        await connection.close(code, reason)

    return close


@contextmanager
def feed(behaviour: Behaviour) -> Iterator[str]:
    """A feed that sends one row and then behaves like that, every time."""
    started, stop = threading.Event(), threading.Event()
    port = 0

    async def handle(connection: ServerConnection) -> None:
        await connection.send(ROW)
        await behaviour(connection)

    async def run() -> None:
        nonlocal port
        async with serve(handle, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield f"ws://127.0.0.1:{port}"
    finally:
        stop.set()
        thread.join(10)


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("behaviour", "parts"),
    [
        pytest.param(too_large, ("more than 4,096 bytes", "MIDSTREAM_LIVE_MESSAGE_BYTES"), id="1009"),
        pytest.param(no_frame, ("breaks the websocket protocol", "1002", "MIDSTREAM_LIVE_URL"), id="1002"),
        pytest.param(closing(1003, "text only"), ("code 1003 (text only)", "whoever runs the feed"), id="closed 1003"),
        pytest.param(closing(1008, "no key"), ("code 1008 (no key)", "whoever runs the feed"), id="closed 1008"),
        pytest.param(closing(1001, ""), ("closed with code 1001",), id="closed 1001"),
    ],
)
def test_the_way_in_which_a_connection_ended_is_told(
    redis_aof_url: str, session_name: str, start_engine: Start, behaviour: Behaviour, parts: tuple[str, ...]
) -> None:
    session = Session(redis_aof_url, session_name)
    with feed(behaviour) as url:
        engine = start_engine(redis_aof_url, session_name, historical=[], live_url=url, live_message_bytes_max=4096)
        engine.wait_for(lambda state: parts[0] in state.get("error", ""))
        wait_until(
            lambda: any(marker.kind == MARKER_DISCONNECTED for frame in session.frames() for marker in frame.markers),
            timeout_s=20,
            what="the marker",
        )
        error = engine.last_state()["error"]
        engine.stop()

    markers = [marker for frame in session.frames() for marker in frame.markers]
    reason = next(marker.reason for marker in markers if marker.kind == MARKER_DISCONNECTED)
    log = "".join(engine.errors)
    for part in parts:
        assert part in error
        assert part in reason
        assert part in log
    assert "the connection broke" not in error + reason + log
