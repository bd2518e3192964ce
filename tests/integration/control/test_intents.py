"""What SetMode, Pause, Resume and SetSpeed promise, with an engine that can be held back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis

from protos.common.v1.market_pb2 import TimeRange
from protos.control.v1 import control_pb2 as pb
from protos.control.v1.control_pb2_grpc import ControlServiceStub
from services.control import servicer
from services.runtime.logs import CORRELATION_ID_KEY
from services.runtime.session.events import Seek
from services.runtime.session.keys import SessionKeys
from tests.integration.control.harness import CALL_S, HISTORICAL, LIVE, EngineStandIn, serving
from tests.support.redis_server import RedisForTests
from tests.support.waiting import wait_until


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Code and message of a call that has to fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), str(caught.value.details())


def answer(previous: int, mode: int, revision: int) -> pb.SetModeResponse:
    return pb.SetModeResponse(previous_mode=previous, mode=mode, revision=revision)  # type: ignore[arg-type]


def mode(to: int, request_id: str = "", session: str = "") -> pb.SetModeRequest:
    return pb.SetModeRequest(mode=to, request_id=request_id, session=session)  # type: ignore[arg-type]


@pytest.mark.quick
async def test_switch_answers_with_both_modes_and_the_revision(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    async with engine.running():
        there = await control.SetMode(mode(LIVE), timeout=CALL_S)
        again = await control.SetMode(mode(LIVE), timeout=CALL_S)
        back = await control.SetMode(mode(HISTORICAL), timeout=CALL_S)

    assert there == answer(HISTORICAL, LIVE, 1)
    assert again == answer(LIVE, LIVE, 1)
    assert back == answer(LIVE, HISTORICAL, 2)
    assert [entry.intent.change.mode for entry in engine.applied] == [LIVE, HISTORICAL]


async def test_answer_waits_until_the_engine_has_applied_the_intent(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    call = asyncio.ensure_future(control.SetMode(mode(LIVE), timeout=CALL_S))
    await asyncio.to_thread(engine.wait_journalled, 1)
    assert not call.done()

    engine.apply()

    assert (await call).mode == LIVE


@pytest.mark.quick
async def test_request_id_never_switches_twice_and_repeats_its_first_answer(
    redis_url: str, session_name: str, tmp_path: Path, engine: EngineStandIn
) -> None:
    async with engine.running():
        async with serving(redis_url, session_name, tmp_path) as control:
            first = await control.SetMode(mode(LIVE, "one"), timeout=CALL_S)
            await control.SetMode(mode(HISTORICAL, "two"), timeout=CALL_S)
        # Another server: nothing is remembered but what is in Redis.
        async with serving(redis_url, session_name, tmp_path) as control:
            again = await control.SetMode(mode(LIVE, "one"), timeout=CALL_S)

    assert first == answer(HISTORICAL, LIVE, 1)
    assert (again.previous_mode, again.revision) == (HISTORICAL, 1)
    assert again.mode == HISTORICAL  # what is in effect: somebody switched back since
    assert [entry.intent.change.mode for entry in engine.applied] == [LIVE, HISTORICAL]


async def test_request_id_of_a_request_that_changed_nothing_is_remembered_too(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    async with engine.running():
        nothing = await control.SetMode(mode(HISTORICAL, "nothing"), timeout=CALL_S)
        await control.SetMode(mode(LIVE), timeout=CALL_S)
        again = await control.SetMode(mode(HISTORICAL, "nothing"), timeout=CALL_S)

    assert nothing == answer(HISTORICAL, HISTORICAL, 0)
    assert (again.previous_mode, again.revision) == (HISTORICAL, 0)
    assert [entry.intent.change.mode for entry in engine.applied] == [LIVE]


async def test_many_callers_of_two_servers_with_one_request_id_cause_one_intent(
    redis_url: str, session_name: str, tmp_path: Path, engine: EngineStandIn
) -> None:
    async with engine.running(), serving(redis_url, session_name, tmp_path) as one:
        async with serving(redis_url, session_name, tmp_path) as other:
            calls = [stub.SetMode(mode(LIVE, "same"), timeout=CALL_S) for stub in (one, other) * 20]
            answers = await asyncio.gather(*calls)

    assert {given.revision for given in answers} == {1}
    assert len(engine.journal()) == 1


async def test_two_servers_number_their_intents_in_one_order(
    redis_url: str, session_name: str, tmp_path: Path, engine: EngineStandIn
) -> None:
    async with engine.running(), serving(redis_url, session_name, tmp_path) as one:
        async with serving(redis_url, session_name, tmp_path) as other:
            calls = [
                (one, other)[speed % 2].SetSpeed(pb.SetSpeedRequest(speed=speed), timeout=CALL_S)
                for speed in range(10, 30)
            ]
            answers = await asyncio.gather(*calls)

    assert sorted(given.revision for given in answers) == list(range(1, 21))
    assert [intent.revision for intent in engine.applied] == list(range(1, 21))


async def test_source_that_is_not_configured_is_a_failed_precondition_and_nothing_is_journalled(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    engine.publish(live_configured=False)
    code, details = await refused(control.SetMode(mode(LIVE), timeout=CALL_S))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "MIDSTREAM_LIVE_URL" in details

    engine.publish(live_configured=True, historical_configured=False, mode=LIVE)
    code, details = await refused(control.SetMode(mode(HISTORICAL), timeout=CALL_S))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "MIDSTREAM_HISTORICAL" in details
    assert engine.journal() == []


async def test_intent_that_the_engine_refuses_is_a_failed_precondition_and_can_be_asked_for_again(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    engine.refuses = "no live source"
    async with engine.running():
        code, details = await refused(control.SetMode(mode(LIVE), timeout=CALL_S))
        assert (code, "no live source" in details) == (grpc.StatusCode.FAILED_PRECONDITION, True)

        engine.refuses = ""
        assert await control.SetMode(mode(LIVE), timeout=CALL_S) == answer(HISTORICAL, LIVE, 2)


async def test_deadline_ends_the_wait_but_not_the_intent(control: ControlServiceStub, engine: EngineStandIn) -> None:
    code, details = await refused(control.SetMode(mode(LIVE, "late"), timeout=1.5))

    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "journalled" in details, "the server's own words have to arrive before the deadline"
    engine.apply()
    assert (await control.SetMode(mode(LIVE, "late"), timeout=CALL_S)) == answer(HISTORICAL, LIVE, 1)


@pytest.mark.parametrize("deadline_s", [None, 3600.0], ids=["no deadline", "an hour"])
async def test_wait_is_capped_by_the_server(
    control: ControlServiceStub, engine: EngineStandIn, monkeypatch: pytest.MonkeyPatch, deadline_s: float | None
) -> None:
    assert servicer.WAIT_MAX_S == 30.0
    monkeypatch.setattr(servicer, "WAIT_MAX_S", 0.1)

    code, _ = await refused(control.SetMode(mode(LIVE), timeout=deadline_s))

    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(engine.journal()) == 1


async def test_default_session_takes_intents_before_its_engine_has_ever_reported(
    redis_url: str, redis_client: redis.Redis, session_name: str, control: ControlServiceStub
) -> None:
    call = asyncio.ensure_future(control.SetMode(mode(LIVE), timeout=CALL_S))
    journal = SessionKeys(session_name).control
    await asyncio.to_thread(wait_until, lambda: bool(redis_client.xlen(journal)), what="the intent")
    engine = EngineStandIn(redis_url, session_name)
    async with engine.running():
        done = await call
    engine.close()

    # What was in effect before the first report nobody can tell.
    assert (done.mode, done.revision) == (LIVE, 1)
    assert done.previous_mode in (0, HISTORICAL)


async def test_unknown_session_is_not_found_but_one_with_an_expired_report_is_known(
    redis_url: str, tmp_path: Path, engine: EngineStandIn
) -> None:
    session = engine.keys.session
    engine.expire()
    async with serving(redis_url, "default-of-this-test", tmp_path) as control:
        for call in (
            control.SetMode(mode(LIVE, session="nobody"), timeout=CALL_S),
            control.GetState(pb.GetStateRequest(session="nobody"), timeout=CALL_S),
            control.Pause(pb.PauseRequest(session="nobody"), timeout=CALL_S),
            control.Resume(pb.ResumeRequest(session="nobody"), timeout=CALL_S),
            control.SetSpeed(pb.SetSpeedRequest(session="nobody", speed=1), timeout=CALL_S),
        ):
            code, details = await refused(call)
            assert (code, "nobody" in details) == (grpc.StatusCode.NOT_FOUND, True), details

        state = (await control.GetState(pb.GetStateRequest(session=session), timeout=CALL_S)).state
        assert (state.session, state.reported_time_ns) == (session, 0)


@pytest.mark.parametrize(
    ("method", "request_", "field", "part"),
    [
        pytest.param("SetMode", pb.SetModeRequest(), "mode", "MODE_LIVE", id="no mode"),
        pytest.param("SetMode", mode(7), "mode", "MODE_LIVE", id="no such mode"),
        pytest.param("SetMode", mode(LIVE, "x" * 129), "request_id", "128", id="long request id"),
        pytest.param("SetMode", mode(LIVE, session="no/body"), "session", "A-Z", id="session"),
        pytest.param("SetSpeed", pb.SetSpeedRequest(speed=-1), "speed", "-1", id="negative speed"),
        pytest.param("SetSpeed", pb.SetSpeedRequest(speed=math.nan), "speed", "nan", id="NaN"),
        pytest.param("SetSpeed", pb.SetSpeedRequest(speed=math.inf), "speed", "inf", id="infinite"),
        pytest.param("SetSpeed", pb.SetSpeedRequest(speed=1.1e6), "speed", "1e+06", id="too fast"),
        pytest.param("Pause", pb.PauseRequest(request_id="x" * 129), "request_id", "128", id="pause"),
    ],
)
async def test_unusable_field_is_named_with_what_is_legal(
    control: ControlServiceStub, engine: EngineStandIn, method: str, request_: Any, field: str, part: str
) -> None:
    code, details = await refused(getattr(control, method)(request_, timeout=CALL_S))

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert f"`{field}`" in details
    assert part in details
    assert engine.journal() == []


@pytest.mark.quick
async def test_pause_resume_and_speed_are_effective_when_answered(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    async with engine.running():
        assert (await control.Resume(pb.ResumeRequest(), timeout=CALL_S)).revision == 0
        assert (await control.Pause(pb.PauseRequest(), timeout=CALL_S)).revision == 1
        assert engine.report["paused"]
        assert (await control.Pause(pb.PauseRequest(), timeout=CALL_S)).revision == 1
        assert (await control.Resume(pb.ResumeRequest(request_id="go"), timeout=CALL_S)).revision == 2
        assert (await control.Resume(pb.ResumeRequest(request_id="go"), timeout=CALL_S)).revision == 2
        assert not engine.report["paused"]
        fast = await control.SetSpeed(pb.SetSpeedRequest(speed=0), timeout=CALL_S)
        assert (fast.speed, fast.revision) == (0.0, 3)
        same = await control.SetSpeed(pb.SetSpeedRequest(speed=-0.0), timeout=CALL_S)
        assert (same.speed, same.revision) == (0.0, 3)


async def test_report_of_an_engine_that_is_starting_is_not_taken_for_what_is_in_effect(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    engine.publish(state="STARTING", mode=0, speed=0.0)

    call = asyncio.ensure_future(control.SetSpeed(pb.SetSpeedRequest(speed=0), timeout=CALL_S))
    await asyncio.to_thread(engine.wait_journalled, 1)
    engine.publish(state="RUNNING", mode=HISTORICAL, speed=4.0)
    engine.apply()

    assert (await call).speed == 0.0


async def test_engine_that_remembers_more_than_an_emptied_redis_gets_numbers_above_its_own(
    control: ControlServiceStub, engine: EngineStandIn, redis_client: redis.Redis
) -> None:
    async with engine.running():
        for to in (LIVE, HISTORICAL, LIVE):
            await control.SetMode(mode(to), timeout=CALL_S)
        redis_client.delete(engine.keys.control, engine.keys.intended, engine.keys.requests)

        back = await control.SetMode(mode(HISTORICAL), timeout=CALL_S)

    assert back == answer(LIVE, HISTORICAL, 4)


async def test_correlation_id_of_the_call_is_in_the_journal(control: ControlServiceStub, engine: EngineStandIn) -> None:
    async with engine.running():
        await control.SetMode(mode(LIVE, "mine"), metadata=((CORRELATION_ID_KEY, "trace-4711"),), timeout=CALL_S)

    (intent,) = engine.journal()
    assert (intent["correlation_id"], intent["request_id"], intent["mode"]) == ("trace-4711", "mine", LIVE)
    assert intent["time_ns"] > 0


@pytest.mark.parametrize(
    ("trouble", "cure", "sentence"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "no memory left"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "become a replica"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "without its replicas"),
    ],
)
async def test_redis_that_takes_no_writes_is_unavailable_with_the_reason_and_nothing_is_journalled(
    new_redis: Callable[..., RedisForTests], session_name: str, tmp_path: Path, trouble: str, cure: str, sentence: str
) -> None:
    server = new_redis()
    engine = EngineStandIn(server.url, session_name)
    engine.publish()
    operator = server.client()
    async with serving(server.url, session_name, tmp_path) as control:
        operator.execute_command(*trouble.split())
        code, details = await refused(control.Pause(pb.PauseRequest(), timeout=CALL_S))
        assert (code, sentence in details) == (grpc.StatusCode.UNAVAILABLE, True), details

        operator.execute_command(*cure.split())
        async with engine.running():
            assert (await control.Pause(pb.PauseRequest(), timeout=CALL_S)).revision == 1
    operator.close()
    engine.close()


async def test_seek_answers_with_where_it_took_effect_each_time(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    async with engine.running():
        first = await control.Seek(pb.SeekRequest(begin=True), timeout=CALL_S)
        again = await control.Seek(pb.SeekRequest(begin=True), timeout=CALL_S)

    assert first == pb.SeekResponse(revision=1, position_arrival_time_ns=99, sequence=18)
    assert again.revision == 2
    assert [entry.intent.change for entry in engine.applied if entry.intent] == [Seek("begin"), Seek("begin")]


async def test_seek_with_a_known_request_id_moves_nothing_again(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    request = pb.SeekRequest(arrival_time_ns=5, request_id="one")
    async with engine.running():
        first = await control.Seek(request, timeout=CALL_S)
        await control.Pause(pb.PauseRequest(), timeout=CALL_S)
        again = await control.Seek(request, timeout=CALL_S)

    assert again == first
    assert [intent["kind"] for intent in engine.journal()] == ["seek", "pause"]


async def test_seek_that_is_journalled_is_no_setting_to_restore(
    control: ControlServiceStub, engine: EngineStandIn, redis_client: redis.Redis, session_name: str
) -> None:
    async with engine.running():
        await control.Seek(pb.SeekRequest(by_ns=-5), timeout=CALL_S)

    assert redis_client.hgetall(SessionKeys(session_name).intended) == {b"version": b"1", b"revision": b"1"}


async def test_seek_that_the_engine_refused_is_refused_with_its_reason(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    engine.refuses = "the session is live"
    async with engine.running():
        code, text = await refused(control.Seek(pb.SeekRequest(end=True), timeout=CALL_S))

    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "the session is live" in text


@pytest.mark.parametrize("request_", [pb.SeekRequest(), pb.SeekRequest(begin=False)], ids=["nothing", "false"])
async def test_seek_to_nowhere_names_the_places(
    control: ControlServiceStub, engine: EngineStandIn, request_: pb.SeekRequest
) -> None:
    code, text = await refused(control.Seek(request_, timeout=CALL_S))

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "arrival_time_ns" in text
    assert engine.journal() == []


async def test_scheduled_commands_are_answered_when_they_are_on_the_list_and_listed(
    control: ControlServiceStub, engine: EngineStandIn
) -> None:
    async with engine.running():
        at_time = await control.Pause(pb.PauseRequest(when=pb.When(at_arrival_time_ns=5)), timeout=CALL_S)
        after = await control.SetSpeed(pb.SetSpeedRequest(speed=9, when=pb.When(after_sequence=7)), timeout=CALL_S)
        listed = await control.ListScheduled(pb.ListScheduledRequest(), timeout=CALL_S)
        state = await control.GetState(pb.GetStateRequest(), timeout=CALL_S)

    assert (at_time.revision, after.revision) == (1, 2)
    assert (
        list(listed.scheduled)
        == list(state.state.scheduled)
        == [
            pb.ScheduledCommand(revision=1, kind="pause", when=pb.When(at_arrival_time_ns=5)),
            pb.ScheduledCommand(revision=2, kind="speed", when=pb.When(after_sequence=7), what="9.0"),
        ]
    )
    assert not state.state.paused


async def test_a_scheduled_command_is_no_setting_that_was_asked_for(
    control: ControlServiceStub, engine: EngineStandIn, redis_client: redis.Redis, session_name: str
) -> None:
    async with engine.running():
        await control.Pause(pb.PauseRequest(when=pb.When(at_end=True)), timeout=CALL_S)
        again = await control.Pause(pb.PauseRequest(when=pb.When(at_end=True)), timeout=CALL_S)

    assert again.revision == 2
    assert b"paused" not in redis_client.hgetall(SessionKeys(session_name).intended)


@pytest.mark.parametrize("when", [pb.When(), pb.When(at_end=False)], ids=["nothing", "false"])
async def test_a_command_for_no_place_names_the_places(
    control: ControlServiceStub, engine: EngineStandIn, when: pb.When
) -> None:
    code, text = await refused(control.Pause(pb.PauseRequest(when=when), timeout=CALL_S))

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "at_arrival_time_ns, after_sequence and at_end: true" in text


async def test_step_and_cancel_answer_from_their_effects(control: ControlServiceStub, engine: EngineStandIn) -> None:
    async with engine.running():
        stepped = await control.Step(pb.StepRequest(ticks=4), timeout=CALL_S)
        cancelled = await control.CancelScheduled(pb.CancelScheduledRequest(revision=1), timeout=CALL_S)

    assert stepped == pb.StepResponse(revision=1, ticks=4, position_arrival_time_ns=99)
    assert cancelled.revision == 2


async def test_a_range_is_a_setting(control: ControlServiceStub, engine: EngineStandIn) -> None:
    request = pb.SetRangeRequest(range=TimeRange(start_arrival_time_ns=1, end_arrival_time_ns=9), loop=True)
    async with engine.running():
        first = await control.SetRange(request, timeout=CALL_S)
        again = await control.SetRange(request, timeout=CALL_S)
        state = (await control.GetState(pb.GetStateRequest(), timeout=CALL_S)).state

    assert (first.revision, again.revision) == (1, 1)
    assert (state.range, state.loop) == (request.range, True)


@pytest.mark.parametrize(
    ("call", "request_", "field"),
    [
        ("Step", pb.StepRequest(ticks=2, ticker="A"), "ticks"),
        ("Step", pb.StepRequest(ticks=1_000_001), "ticks"),
        ("SetRange", pb.SetRangeRequest(range=TimeRange(start_arrival_time_ns=2, end_arrival_time_ns=2)), "range"),
    ],
    ids=["both", "too far", "empty"],
)
async def test_what_cannot_be_meant_names_its_field(
    control: ControlServiceStub, engine: EngineStandIn, call: str, request_: Any, field: str
) -> None:
    code, text = await refused(getattr(control, call)(request_, timeout=CALL_S))

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert f"`{field}`" in text
