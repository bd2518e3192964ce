"""Methods with a bounded line: who is known is told before anything of the call is read, who is not goes the usual way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.runtime.errors import MidstreamError, ResourceExhausted
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from tests.support.calls import NAME, TestServicer
from tests.support.log_records import said
from tests.support.waiting import until

PATH = f"/{NAME}/Unary"
KNOWN = (("authorization", "Bearer known"),)


class Line:
    """A room that a test fills."""

    full = True

    def __init__(self) -> None:
        self.told: list[MidstreamError] = []
        self.on_their_way: set[object] = set()
        self.came = 0

    def refusal(self) -> MidstreamError | None:
        return ResourceExhausted("41 are there", metadata=(("retry-after", "3"),)) if self.full else None

    def refused(self, error: MidstreamError) -> None:
        self.told.append(error)

    def coming(self) -> Callable[[], object]:
        self.came += 1
        ticket = object()
        self.on_their_way.add(ticket)
        return lambda: self.on_their_way.discard(ticket)


class Rig:
    """A server with one bounded method."""

    def __init__(self) -> None:
        self.line = Line()
        self.registry = CollectorRegistry()
        self.changes: list[str] = []
        self.interceptor = CallInterceptor(
            Metrics(self.registry),
            begin_change=self.changes.append,  # type: ignore[arg-type]  (None: no line)
            rooms={PATH: self.line},
            knows=lambda metadata, path: path == PATH and ("authorization", "Bearer known") in metadata,
        )
        self.server = grpc.aio.server(interceptors=(self.interceptor,))
        TestServicer().add_to(self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    def call(self, path: str = PATH, **options: Any) -> Any:
        return self.channel.unary_unary(path)(b"correlation", **options)

    def value(self, name: str, **labels: str) -> float | None:
        labels = {"grpc_type": "unary", "grpc_service": NAME, "grpc_method": "Unary"} | labels
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.server.start()
    yield rig
    await rig.channel.close()
    await rig.server.stop(0)


async def test_who_is_known_is_told_before_the_request_is_read(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(grpc.aio.AioRpcError) as refused:
        await rig.call(metadata=(*KNOWN, ("x-correlation-id", "order-7")))

    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "41 are there")
    trailing = dict(refused.value.trailing_metadata() or ())
    assert (trailing["retry-after"], trailing["x-correlation-id"]) == ("3", "order-7")
    assert [str(error) for error in rig.line.told] == ["41 are there"]
    await until(lambda: rig.value("grpc_server_handled_total", grpc_code="ResourceExhausted") == 1)
    assert rig.value("grpc_server_started_total") == 1
    assert rig.value("grpc_server_msg_received_total") == 0
    assert rig.changes == []
    ((event, values),) = said(caplog.records)
    assert (event, values["count"], values["most_from"], values["reason"]) == (
        "calls refused", 1, PATH, "41 are there",
    )  # fmt: skip


async def test_a_flood_is_summed_up_in_one_line(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError):
                await rig.call(metadata=KNOWN)

    assert len(rig.line.told) == 20
    assert len(said(caplog.records)) == 1


@pytest.mark.parametrize(
    ("path", "metadata", "full"),
    [(PATH, (), True), (PATH, KNOWN, False), (f"/{NAME}/Typed", KNOWN, True)],
    ids=["who-is-not-known", "with-room", "another-method"],
)
async def test_every_other_call_goes_its_way(
    rig: Rig, path: str, metadata: tuple[tuple[str, str], ...], full: bool
) -> None:
    rig.line.full = full

    with contextlib.suppress(grpc.aio.AioRpcError):
        await rig.call(path, metadata=metadata)

    assert rig.line.told == []
    assert rig.changes == [path]


@pytest.mark.parametrize("request_bytes", [b"correlation", b"NotFound"], ids=["answered", "refused"])
async def test_who_is_let_in_is_on_the_way_until_the_call_ends(rig: Rig, request_bytes: bytes) -> None:
    rig.line.full = False

    with contextlib.suppress(grpc.aio.AioRpcError):
        await rig.channel.unary_unary(PATH)(request_bytes, metadata=KNOWN)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await rig.call()

    await until(lambda: not rig.line.on_their_way)
    assert rig.line.came == 1


async def test_a_server_that_drains_says_so_and_not_that_it_is_full(rig: Rig) -> None:
    await rig.interceptor.refuse_new_calls(quiet_s=0.0, at_most_s=1.0)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rig.call(metadata=KNOWN)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert rig.line.told == []


@pytest.mark.parametrize("pauses", [1, 2, 3])
async def test_a_call_that_comes_while_the_process_pauses_is_told_that_the_server_drains(rig: Rig, pauses: int) -> None:
    rig.line.full = False
    paused = threading.Event()
    left = pauses
    target = f"127.0.0.1:{rig.port}"

    def call() -> grpc.StatusCode:
        with grpc.insecure_channel(target) as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
            asyncio.run_coroutine_threadsafe(refuse(), loop)
            assert paused.wait(10)
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(PATH)(b"correlation", timeout=10)
            return refused.value.code()

    def pause() -> None:
        nonlocal left
        left -= 1
        if left:
            # In the midst of the wait behind this one.
            loop.call_later(0.04, pause)
        else:
            paused.set()
        # No thread of the process gets a turn, for longer than it listens for calls that are still on their way.
        sum(range(20_000_000))

    async def refuse() -> None:
        loop.call_soon(pause)
        await rig.interceptor.refuse_new_calls(quiet_s=0.1, at_most_s=30.0)
        await rig.server.stop(0)

    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(call) is grpc.StatusCode.UNAVAILABLE
