"""Many calls at once share a bounded number of connections: they wait, and nobody is told that Redis is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import ControlServiceStub
from services.runtime import connection
from services.runtime.connection import CONNECTIONS_MAX, ConnectionsBusy, connect_async
from services.runtime.statuses import REDIS_GONE, abort
from tests.integration.control.harness import EngineStandIn, serving

CALLS = 1_000


async def test_more_commands_than_connections_wait_for_one(redis_url: str) -> None:
    client = connect_async(redis_url, client_name="crowd", timeout_s=30.0)

    answers = await asyncio.gather(*(client.ping() for _ in range(CALLS)))

    others = connect_async(redis_url, client_name="observer")
    names = [found["name"] for found in await others.client_list()]
    await client.aclose()
    await others.aclose()
    assert answers == [True] * CALLS
    assert 0 < names.count("crowd") <= CONNECTIONS_MAX


async def test_calls_that_wait_too_long_are_told_the_truth(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 1)
    client = connect_async(redis_url, client_name="one", timeout_s=0.5)
    held = await client.connection_pool.get_connection()

    with pytest.raises(ConnectionsBusy, match="1 calls are waiting for Redis already; retry") as caught:
        await client.ping()

    await client.connection_pool.release(held)
    assert await client.ping() is True
    await client.aclose()
    context = _Context()
    with pytest.raises(_Ended):
        await abort(context, caught.value, "id", "/a/b")  # type: ignore[arg-type]
    assert context.code_given is grpc.StatusCode.UNAVAILABLE
    assert context.text == str(caught.value)
    assert context.text != REDIS_GONE


async def test_redis_that_is_gone_is_not_called_busy(tmp_path: Path) -> None:
    client = connect_async(f"unix://{tmp_path / 'nobody.sock'}", client_name="lonely", timeout_s=0.5)

    outcomes = await asyncio.gather(*(client.ping() for _ in range(CALLS)), return_exceptions=True)

    await client.aclose()
    assert {type(outcome).__name__ for outcome in outcomes} == {"ConnectionError"}


async def test_a_thousand_unary_calls_at_once_are_all_answered(
    redis_url: str, session_name: str, tmp_path: Path
) -> None:
    engine = EngineStandIn(redis_url, session_name)
    engine.publish(paused=True)

    async with serving(redis_url, session_name, tmp_path / "journal") as stub:
        answers = await asyncio.gather(*(_state(stub, session_name) for _ in range(CALLS)))

    engine.close()
    assert answers == [True] * CALLS


async def _state(stub: ControlServiceStub, session: str) -> bool:
    answer = await stub.GetState(pb.GetStateRequest(session=session), timeout=60.0)
    return bool(answer.state.paused)


class _Ended(Exception):
    """What `abort` raises in gRPC."""


class _Context:
    """The part of a call's context that `abort` uses."""

    code_given: grpc.StatusCode | None = None
    text = ""

    def trailing_metadata(self) -> tuple[()]:
        return ()

    async def abort(self, code: grpc.StatusCode, text: str, _: object) -> None:
        self.code_given, self.text = code, text
        raise _Ended
