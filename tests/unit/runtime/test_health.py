"""What grpc.health.v1 answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from services.runtime.health import LIVE, HealthBoard
from services.runtime.metrics import Metrics

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Rig:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.board = HealthBoard(["a.A", "b.B"], Metrics(self.registry))
        self.server = grpc.aio.server()
        self.board.register(self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.stub = health_pb2_grpc.HealthStub(self.channel)

    def watch(self, service: str) -> grpc.aio.UnaryStreamCall:  # type: ignore[type-arg]
        return self.stub.Watch(health_pb2.HealthCheckRequest(service=service))

    async def check(self, service: str) -> int:
        response = await self.stub.Check(health_pb2.HealthCheckRequest(service=service))
        return int(response.status)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.server.start()
    await rig.board.start()
    yield rig
    await rig.board.drain()
    await rig.channel.close()
    await rig.server.stop(0)


async def test_service_and_overall_follow_the_board(rig: Rig) -> None:
    overall = rig.watch("")
    assert (await overall.read()).status == SERVING

    rig.board.set("a.A", False, "Redis is gone")

    assert (await overall.read()).status == NOT_SERVING
    assert await rig.check("a.A") == NOT_SERVING
    assert await rig.check("b.B") == SERVING
    assert rig.board.reason("a.A") == "Redis is gone"
    assert rig.registry.get_sample_value("midstream_serving") == 0

    rig.board.set("a.A", True)

    assert (await overall.read()).status == SERVING
    assert await rig.check("a.A") == SERVING
    assert rig.board.reason("a.A") == ""
    assert rig.registry.get_sample_value("midstream_serving") == 1
    overall.cancel()


async def test_draining_is_for_good(rig: Rig) -> None:
    watch = rig.watch("a.A")
    assert (await watch.read()).status == SERVING

    await rig.board.drain()
    rig.board.set("a.A", False)
    rig.board.set("a.A", True)

    assert (await watch.read()).status == NOT_SERVING
    assert [await rig.check(name) for name in ("", "a.A", "b.B")] == [NOT_SERVING] * 3
    assert not rig.board.serving()
    watch.cancel()


async def test_unknown_service_is_not_found_and_cannot_be_set(rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.check("c.C")
    with pytest.raises(KeyError, match="not a service"):
        rig.board.set("c.C", True)

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_list_says_how_every_service_is(rig: Rig) -> None:
    rig.board.set("b.B", False, "broken")

    async def all_known() -> dict[str, int]:
        response = await rig.stub.List(health_pb2.HealthListRequest())
        return {name: found.status for name, found in response.statuses.items()}

    while (found := await all_known())["b.B"] == SERVING:
        pass

    assert found == {"": NOT_SERVING, "a.A": SERVING, "b.B": NOT_SERVING, LIVE: SERVING}


async def test_whether_the_process_lives_is_watched_without_a_change(rig: Rig) -> None:
    watch = rig.watch(LIVE)
    assert (await watch.read()).status == SERVING

    rig.board.set("a.A", False, "Redis is gone")
    await rig.board.drain()

    assert await rig.check(LIVE) == SERVING
    watch.cancel()


async def test_the_whole_names_the_reasons_of_all_that_do_not_serve(rig: Rig) -> None:
    rig.board.set("a.A", False, "Redis is gone")
    rig.board.set("b.B", False, "the engine is starting")

    assert rig.board.reason() == "Redis is gone; the engine is starting"
