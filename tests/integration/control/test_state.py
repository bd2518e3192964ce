"""GetState and WatchState."""

from __future__ import annotations

import asyncio

import grpc
import pytest
import redis

from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import ControlServiceStub
from services.control import servicer
from tests.integration.control.harness import CALL_S, HISTORICAL, LIVE, EngineStandIn


async def next_state(call: grpc.aio.UnaryStreamCall[pb.WatchStateRequest, pb.WatchStateResponse]) -> pb.ControlState:
    async with asyncio.timeout(CALL_S):
        return (await anext(aiter(call))).state


async def test_state_tells_what_was_asked_for_and_what_is_in_effect(
    control: ControlServiceStub, engine: EngineStandIn, redis_url: str
) -> None:
    call = asyncio.ensure_future(control.SetMode(pb.SetModeRequest(mode="MODE_LIVE"), timeout=CALL_S))
    await asyncio.to_thread(engine.wait_journalled, 1)

    pending = (await control.GetState(pb.GetStateRequest(), timeout=CALL_S)).state
    engine.apply()
    await call
    done = (await control.GetState(pb.GetStateRequest(), timeout=CALL_S)).state

    assert (pending.intended_mode, pending.mode) == (LIVE, HISTORICAL)
    assert (pending.intended_revision, pending.revision) == (1, 0)
    assert (done.intended_mode, done.mode, done.revision) == (LIVE, LIVE, 1)
    assert (done.speed, done.state, done.last_sequence) == (4.0, "RUNNING", 17)
    assert done.redis_url == redis_url


async def test_a_join_tells_live_as_asked_for_from_the_request_on(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    async def modes() -> tuple[int, int]:
        state = (await control.GetState(pb.GetStateRequest(), timeout=CALL_S)).state
        return state.intended_mode, state.mode

    async with engine.running():
        for mode in ("MODE_LIVE", "MODE_HISTORICAL"):
            await control.SetMode(pb.SetModeRequest(mode=mode), timeout=CALL_S)
    call = asyncio.ensure_future(
        control.SetMode(pb.SetModeRequest(mode="MODE_LIVE", hand_over="KIND_JOIN"), timeout=CALL_S)
    )
    await asyncio.to_thread(engine.wait_journalled, 3)
    asked = await modes()
    engine.publish(revision=3, joining={"kind": 3, "phase": 1})
    under_way = await modes()
    engine.publish(mode=LIVE, joining={"kind": 3, "phase": 3})
    joined = await modes()
    engine.publish(mode=HISTORICAL, joining={"kind": 3, "phase": 0})
    given_up = await modes()
    call.cancel()

    assert asked == (LIVE, HISTORICAL)
    assert under_way == (LIVE, HISTORICAL)
    assert joined == (LIVE, LIVE)
    assert given_up == (HISTORICAL, HISTORICAL)


@pytest.mark.parametrize("joining", [{"kind": 3, "phase": 1}, {"kind": 2, "phase": 2}], ids=["catching up", "meeting"])
async def test_historical_asked_for_during_a_hand_over_gives_it_up_and_is_not_so_already(
    control: ControlServiceStub, engine: EngineStandIn, joining: dict[str, int]
) -> None:
    engine.publish(joining=joining)
    call = asyncio.ensure_future(control.SetMode(pb.SetModeRequest(mode="MODE_HISTORICAL"), timeout=CALL_S))
    await asyncio.to_thread(engine.wait_journalled, 1)
    engine.publish(joining={"kind": 3, "phase": 0})
    engine.apply()

    assert (await call).revision == 1


async def test_watcher_gets_the_first_state_and_then_changes_only(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    call = control.WatchState(pb.WatchStateRequest())
    first = await next_state(call)
    for sequence in range(18, 30):
        engine.publish(last_sequence=sequence)
        await asyncio.sleep(0.02)
    engine.publish(paused=True, state="PAUSED")
    second = await next_state(call)
    call.cancel()

    assert (first.paused, second.paused) == (False, True)
    assert second.last_sequence == 29


async def test_any_number_of_watchers_costs_redis_as_much_as_one(
    control: ControlServiceStub, engine: EngineStandIn, redis_client: redis.Redis
) -> None:
    calls = [control.WatchState(pb.WatchStateRequest()) for _ in range(100)]
    await asyncio.gather(*(next_state(call) for call in calls))

    before = redis_client.info("commandstats")["cmdstat_hgetall"]["calls"]
    await asyncio.sleep(0.5)
    spent = redis_client.info("commandstats")["cmdstat_hgetall"]["calls"] - before
    engine.publish(paused=True)
    changed = await asyncio.gather(*(next_state(call) for call in calls))
    for call in calls:
        call.cancel()

    assert spent <= 10
    assert all(state.paused for state in changed)


async def test_watchers_are_limited_and_leave_room_when_they_go(
    control: ControlServiceStub, engine: EngineStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer, "WATCHERS_MAX", 1)
    first = control.WatchState(pb.WatchStateRequest())
    await next_state(first)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await next_state(control.WatchState(pb.WatchStateRequest()))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    first.cancel()
    async with asyncio.timeout(CALL_S):
        while True:
            try:
                await next_state(control.WatchState(pb.WatchStateRequest()))
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.01)


async def test_a_report_of_a_newer_release_is_refused_with_the_fix(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    engine.publish(version=2)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await control.GetState(pb.GetStateRequest(), timeout=CALL_S)

    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "version 2" in (caught.value.details() or "")
    assert "start all processes of this Redis from that release" in (caught.value.details() or "")


@pytest.mark.parametrize(
    "content", [b" ", b"{", b"[]", b"null", b'{"state":"DREAMING"}', b"\xff\x00", b'{"version":"x"}']
)
async def test_a_report_that_cannot_be_read_counts_as_none_until_the_next(
    control: ControlServiceStub, engine: EngineStandIn, redis_client: redis.Redis, content: bytes
) -> None:
    redis_client.set(engine.keys.state, content)

    damaged = (await control.GetState(pb.GetStateRequest(), timeout=CALL_S)).state
    engine.publish()
    after = (await control.GetState(pb.GetStateRequest(), timeout=CALL_S)).state

    assert (damaged.mode, damaged.state) == (0, "")
    assert (after.mode, after.state) == (HISTORICAL, "RUNNING")


@pytest.mark.parametrize(
    "fields",
    [{b"mode": b"x"}, {b"version": b"x"}, {b"speed": b""}, {b"\xff": b"1"}, {b"revision": b"\x00"}],
    ids=["mode", "version", "speed", "name", "revision"],
)
async def test_a_sum_of_the_journal_that_cannot_be_read_is_refused_with_the_fix(
    control: ControlServiceStub, engine: EngineStandIn, redis_client: redis.Redis, fields: dict[bytes, bytes]
) -> None:
    redis_client.hset(engine.keys.intended, mapping=fields)  # type: ignore[arg-type]

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await control.GetState(pb.GetStateRequest(), timeout=CALL_S)

    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert f"find out who wrote to {engine.keys.intended}; delete that key" in (caught.value.details() or "")
