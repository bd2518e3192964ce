"""One connection carries every subscriber that a server takes, and the calls beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from services.runtime.server import SERVER_OPTIONS
from services.runtime.subscriptions import SUBSCRIBERS_MAX, Subscribers

CALL_S = 30.0


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    """A connection to a server with a stream that takes subscribers, and a call that answers."""
    metrics = Metrics(CollectorRegistry())
    subscribers = Subscribers(metrics, advice="")

    async def subscribe(request: bytes, context: Any) -> AsyncIterator[bytes]:
        with subscribers.admitted():
            yield b"subscribed"
            await asyncio.Event().wait()

    async def ask(request: bytes, context: Any) -> bytes:
        return b"answered"

    server = grpc.aio.server(interceptors=(CallInterceptor(metrics),), options=SERVER_OPTIONS)
    handlers = {
        "Subscribe": grpc.unary_stream_rpc_method_handler(subscribe),
        "Ask": grpc.unary_unary_rpc_method_handler(ask),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("many.Calls", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as connected:
        yield connected
    await server.stop(0)


async def test_as_many_subscribers_as_there_may_be_leave_room_for_calls_and_refusals(
    channel: grpc.aio.Channel,
) -> None:
    subscribe = channel.unary_stream("/many.Calls/Subscribe")
    ask = channel.unary_unary("/many.Calls/Ask")
    streams = [subscribe(b"", timeout=CALL_S * 2) for _ in range(SUBSCRIBERS_MAX)]
    assert await asyncio.gather(*(stream.read() for stream in streams)) == [b"subscribed"] * SUBSCRIBERS_MAX

    answers = await asyncio.gather(*(ask(b"", timeout=CALL_S) for _ in range(500)))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await subscribe(b"", timeout=CALL_S).read()
    for stream in streams:
        stream.cancel()

    assert answers == [b"answered"] * 500
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "1000 subscribers are connected already" in str(caught.value.details())
