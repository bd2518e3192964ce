"""Ask started servers whether they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

POLL_S: Final = 0.02


async def not_serving(addresses: Mapping[str, str], *, wait_s: float, engine: Callable[[], bool]) -> Sequence[str]:
    """Return the names of the servers that do not say SERVING within `wait_s`. `engine` tells whether the replay engine has reported."""
    async with asyncio.TaskGroup() as group:
        asked = {name: group.create_task(_serves(address, wait_s)) for name, address in addresses.items()}
        reported = group.create_task(_comes_true(engine, wait_s))
    idle = [name for name, answer in asked.items() if not answer.result()]
    return idle if reported.result() or "replay" in idle else [*idle, "replay"]


async def _serves(address: str, wait_s: float) -> bool:
    """Follow the health of one server until it serves."""
    async with grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=wait_s)
        try:
            async for answer in watch:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return True
        except grpc.aio.AioRpcError:
            # Not in time, or ended meanwhile: the supervisor says so.
            return False
    return False


async def _comes_true(condition: Callable[[], bool], wait_s: float) -> bool:
    try:
        async with asyncio.timeout(wait_s):
            # The engine writes into Redis, so there is nothing to await but time.
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
    return True
