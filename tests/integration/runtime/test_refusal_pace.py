"""A connection that floods a method without room is refused by the library; another one is told at once, and served when there is room."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.runtime.errors import MidstreamError, ResourceExhausted
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from tests.support.calls import NAME, TestServicer
from tests.support.refusal_paces import NeverYet

PATH = f"/{NAME}/Unary"
STREAMS = 8


class Line:
    """A room that a test fills, which counts who was told by our code."""

    full = True
    told = 0

    def refusal(self) -> MidstreamError | None:
        return ResourceExhausted("41 are there", metadata=(("retry-after", "3"),)) if self.full else None

    def refused(self, _error: MidstreamError) -> None:
        self.told += 1

    def coming(self) -> Callable[[], object]:
        return lambda: None


class Rig:
    """A server with one bounded method, and callers with a connection each."""

    def __init__(self) -> None:
        self.line = Line()
        self.pace = NeverYet()
        self.interceptor = CallInterceptor(
            Metrics(CollectorRegistry()), rooms={PATH: self.line}, knows=lambda _metadata, _path: True, pace=self.pace
        )
        self.server = grpc.aio.server(
            interceptors=(self.interceptor,), options=(("grpc.max_concurrent_streams", STREAMS),)
        )
        TestServicer().add_to(self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.channels: list[grpc.aio.Channel] = []

    def connection(self) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(self.address, options=(("grpc.use_local_subchannel_pool", 1),))
        self.channels.append(channel)
        return channel


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.server.start()
    yield rig
    for channel in rig.channels:
        await channel.close()
    rig.pace.end()
    await rig.server.stop(0)


async def call(channel: grpc.aio.Channel, path: str = PATH) -> tuple[str, dict[str, str | bytes]]:
    """Return the code and the metadata that a call ends with."""
    method: Any = channel.unary_unary(path)
    try:
        await method(b"correlation", timeout=30)
    except grpc.aio.AioRpcError as exc:
        return exc.code().name, dict(exc.trailing_metadata() or ())
    return "OK", {}


async def test_who_floods_is_refused_by_the_library_and_others_are_told(rig: Rig) -> None:
    flood, other = rig.connection(), rig.connection()

    answers = [await call(flood) for _ in range(60)]
    told = await call(other)

    # The library lets one more through than it says.
    codes = Counter(code for code, _ in answers)
    assert set(codes) == {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}
    assert STREAMS <= codes["RESOURCE_EXHAUSTED"] <= STREAMS + 1
    # Told at once although its place is kept, and all that it has to know.
    assert answers[0][1]["retry-after"] == told[1]["retry-after"] == "3"
    assert "x-correlation-id" in answers[0][1]
    assert told[0] == "RESOURCE_EXHAUSTED"
    assert rig.line.told == rig.pace.held == codes["RESOURCE_EXHAUSTED"] + 1

    rig.line.full = False
    assert (await call(other))[0] == "OK"


async def test_a_connection_has_its_places_again_when_their_turn_has_come(rig: Rig) -> None:
    flood = rig.connection()
    codes = [(await call(flood))[0] for _ in range(STREAMS + 2)]
    assert codes[-1] == "UNAVAILABLE"
    rig.line.full = False

    rig.pace.end()

    await until_served(flood)


async def test_other_methods_of_another_connection_never_wait(rig: Rig) -> None:
    flood, other = rig.connection(), rig.connection()
    await asyncio.gather(*(call(flood) for _ in range(100)))

    answers = Counter([(await call(other, f"/{NAME}/Collect"))[0] for _ in range(5 * STREAMS)])

    assert answers == {"OK": 5 * STREAMS}


async def test_a_server_ends_although_calls_keep_their_place_and_their_callers_have_left(rig: Rig) -> None:
    flood, gone = rig.connection(), rig.connection()
    await asyncio.gather(*(call(channel) for channel in (flood, gone) for _ in range(STREAMS)))
    await gone.close()
    assert rig.pace.held == 2 * STREAMS

    await rig.interceptor.refuse_new_calls(quiet_s=0.0, at_most_s=1.0)
    async with asyncio.timeout(10):
        await rig.server.stop(None)

    assert rig.pace.held == 0


async def until_served(channel: grpc.aio.Channel) -> None:
    async with asyncio.timeout(10):
        while (await call(channel))[0] != "OK":  # noqa: ASYNC110  (the library says nothing when there is room)
            await asyncio.sleep(0.005)
