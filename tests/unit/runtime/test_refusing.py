"""Calls that are refused before their request is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.runtime.errors import ResourceExhausted, Unauthenticated
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from services.runtime.refusing import refusing
from tests.support.calls import NAME, TestServicer
from tests.support.waiting import until


class Gate(grpc.aio.ServerInterceptor):
    """Refuses everything."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        handler = await continuation(handler_call_details)
        return refusing(
            ResourceExhausted("too many calls", metadata=(("limit", "41"),)) if handler else Unauthenticated("who?"),
            handler,
        )


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def channel(registry: CollectorRegistry) -> AsyncIterator[Any]:
    server = grpc.aio.server(interceptors=(CallInterceptor(Metrics(registry)), Gate()))
    TestServicer().add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as connected:
        yield connected
    await server.stop(0)


async def _requests() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


CALLS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "Unary": ("unary", lambda channel, path: channel.unary_unary(path)(b"x")),
    "Stream": ("server_stream", lambda channel, path: channel.unary_stream(path)(b"x").read()),
    "Collect": ("client_stream", lambda channel, path: channel.stream_unary(path)(_requests())),
    # Says nothing itself: to a client of this library whose call ends while it writes, the library tells an error of its own.
    "Chat": ("bidi_stream", lambda channel, path: channel.stream_stream(path)().read()),
}


@pytest.mark.parametrize("method", CALLS)
async def test_clients_of_every_kind_are_told_and_the_call_counts_as_one_of_its_kind(
    channel: Any, registry: CollectorRegistry, method: str
) -> None:
    kind, call = CALLS[method]

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, f"/{NAME}/{method}")

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls")
    assert dict(caught.value.trailing_metadata() or ())["limit"] == "41"
    labels = {"grpc_type": kind, "grpc_service": NAME, "grpc_method": method}
    code = {"grpc_code": "ResourceExhausted"}
    await until(lambda: registry.get_sample_value("grpc_server_handled_total", labels | code) == 1)
    assert registry.get_sample_value("grpc_server_msg_received_total", labels) == 0


async def test_refused_calls_of_unknown_methods_share_one_series(channel: Any, registry: CollectorRegistry) -> None:
    for number in range(5):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{NAME}/Guess{number}")(b"")
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, "who?")

    methods = {s.labels["grpc_method"] for m in registry.collect() for s in m.samples if "grpc_method" in s.labels}
    assert methods == {"unknown"}
