"""Calls that arrive while a server ends get an answer or UNAVAILABLE, never CANCELLED, which nobody did."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from services.runtime.health import HealthBoard
from services.runtime.interceptors import SHUTTING_DOWN, CallInterceptor
from services.runtime.metrics import Metrics
from services.runtime.server import SERVER_OPTIONS, Service, run_until_end

CALLS = 1_000
CONNECTIONS = 4
CALL_S = 30.0


class Answering(Service):
    """A service whose calls take a little of the event loop each, as real ones do."""

    names = ("many.Calls",)

    def __init__(self) -> None:
        self.begun = 0
        self.busy = asyncio.Event()

    def register(self, server: grpc.aio.Server) -> None:
        handlers = {"Ask": grpc.unary_unary_rpc_method_handler(self._ask)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("many.Calls", handlers),))

    async def _ask(self, request: bytes, context: Any) -> bytes:
        self.begun += 1
        if self.begun == CALLS // 20:
            self.busy.set()
        sum(range(20_000))
        return b"answered"

    async def start(self, health: HealthBoard) -> None:
        pass

    async def run(self) -> int:
        await asyncio.Event().wait()
        return 0

    async def stop(self) -> None:
        pass


async def test_calls_that_come_while_a_server_ends_are_told_so() -> None:
    metrics = Metrics(CollectorRegistry())
    interceptor, service = CallInterceptor(metrics), Answering()
    server = grpc.aio.server(interceptors=(interceptor,), options=SERVER_OPTIONS)
    service.register(server)
    health = HealthBoard(service.names, metrics)
    health.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await health.start()
    await server.start()
    ending = asyncio.create_task(run_until_end(service, service.busy, health, interceptor, server))
    # Connections of their own: channels to one address would share one.
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(CONNECTIONS)]

    async def ask(number: int) -> str:
        call = channels[number % CONNECTIONS].unary_unary("/many.Calls/Ask")
        try:
            return (await call(b"", timeout=CALL_S)).decode()
        except grpc.aio.AioRpcError as exc:
            return exc.code().name if exc.details() == SHUTTING_DOWN else f"{exc.code().name}: {exc.details()}"

    told = Counter(await asyncio.gather(*(ask(number) for number in range(CALLS))))
    code = await ending
    for channel in channels:
        await channel.close()

    assert code == 0
    assert told["answered"] >= CALLS // 20
    assert told["UNAVAILABLE"] > 0
    assert set(told) == {"answered", "UNAVAILABLE"}
