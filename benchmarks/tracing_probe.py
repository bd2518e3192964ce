"""What the seam of tracing costs a call while tracing is off: `python -m benchmarks.tracing_probe CALLS`.

Prints {"call_us", "seam_us", "ratio"}: processor time of one call of a gRPC server with its interceptor, of what the call does for
tracing while that is off, and a call as it is over one without the seam (1.0 is nothing).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from clients import tracing
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics

METHOD = "midstream.probe.v1.ProbeService/Ask"


def main() -> None:
    """Measure one after the other, in one process."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    call_us, seam_us = asyncio.run(_call_us(calls)), _seam_us(calls * 10)
    print(
        json.dumps(
            {
                "call_us": round(call_us, 1),
                "seam_us": round(seam_us, 3),
                "ratio": round(call_us / (call_us - seam_us), 4),
            }
        )
    )


async def _call_us(calls: int) -> float:
    server = grpc.aio.server(interceptors=(CallInterceptor(Metrics(CollectorRegistry())),))
    service, _, method = METHOD.partition("/")
    handlers: dict[str, Any] = {method: grpc.unary_unary_rpc_method_handler(_answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask: Any = channel.unary_unary(f"/{METHOD}")
        for _ in range(calls // 10):
            await ask(b"")
        begun_ns = time.process_time_ns()
        for _ in range(calls):
            await ask(b"")
        spent_ns = time.process_time_ns() - begun_ns
    await server.stop(0)
    return spent_ns / calls / 1e3


async def _answer(request: bytes, context: Any) -> bytes:
    return request


def _seam_us(rounds: int) -> float:
    """What one call does: ask whether to trace, name itself, take an id, an exemplar, say its code."""
    begun_ns = time.process_time_ns()
    for _ in range(rounds):
        tracing.is_on()
        tracing.ids()
        tracing.exemplar()
        tracing.annotate("rpc.grpc.status_code", 0)
        with tracing.span("place order"):
            pass
    return (time.process_time_ns() - begun_ns) / rounds / 1e3


if __name__ == "__main__":
    main()
