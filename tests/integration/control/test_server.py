"""`python -m services.control` while Redis comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import ControlServiceStub
from tests.integration.control.harness import CALL_S, EngineStandIn
from tests.support.redis_server import RedisForTests
from tests.support.server_process import NOT_SERVING, SERVING, server_process


@pytest.mark.quick
def test_redis_that_goes_is_unavailable_and_not_serving_until_it_is_back(
    new_redis: Callable[..., RedisForTests], tmp_path: Path
) -> None:
    redis = new_redis(append_only=True, extra=("--appendfsync", "always"))
    engine = EngineStandIn(redis.url, "default")
    engine.publish(paused=True)
    with server_process("control", tmp_path, REDIS_URL=redis.url) as server:
        stub = ControlServiceStub(server.channel)
        server.wait_health(SERVING)
        assert stub.GetState(pb.GetStateRequest(), timeout=CALL_S).state.paused

        redis.kill()
        server.wait_health(NOT_SERVING)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Pause(pb.PauseRequest(), timeout=CALL_S)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "Redis is not reachable" in caught.value.details()
        assert "sock" not in caught.value.details()

        redis.restart()
        server.wait_health(SERVING)
        assert stub.GetState(pb.GetStateRequest(), timeout=CALL_S).state.paused
        assert stub.Pause(pb.PauseRequest(), timeout=CALL_S).revision == 0
    engine.close()


def test_server_starts_without_its_redis_and_says_so(tmp_path: Path) -> None:
    with server_process("control", tmp_path, REDIS_URL=f"unix://{tmp_path}/nobody.sock") as server:
        assert server.health() == NOT_SERVING
