"""ReplayService over a real channel, with a queue that the test fills itself."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from fastpath.frame import TickFrame
from protos.replay.v1 import replay_pb2 as pb
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.replay import sessions as sessions_module
from services.runtime import subscriptions
from services.runtime.metrics import Metrics
from services.runtime.session import ring
from services.runtime.session.keys import SESSIONS
from services.runtime.subscriptions import LAST_SEQUENCE_TRAILER
from tests.support.price_batches import TICKERS
from tests.support.replay_queue import Queue, numbers, read
from tests.support.waiting import wait_until

CALL_S = 20.0


async def stream(replay: ReplayServiceStub, *, to: int, **request: Any) -> list[TickFrame]:
    """Read StreamTicks up to the record `to`."""
    call = replay.StreamTicks(pb.StreamTicksRequest(**request), timeout=CALL_S)
    frames = await read(call, to=to)
    call.cancel()
    return frames


async def no_subscriber(metrics: Metrics) -> None:
    """Wait until the server has noticed that every subscriber left."""
    left = "midstream_subscribers"
    await asyncio.to_thread(wait_until, lambda: not metrics.registry.get_sample_value(left), what="the last to leave")


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_sessions_are_listed_even_when_the_report_of_one_has_expired(
    replay: ReplayServiceStub, queue: Queue
) -> None:
    old = Queue(queue.client, f"{queue.keys.session}-old")
    queue.report(state="BACKPRESSURED", last_sequence=7)
    old.report()
    old.append(200)
    queue.client.delete(old.keys.state)

    listed = (await replay.ListSessions(pb.ListSessionsRequest(), timeout=CALL_S)).sessions
    found = {session.name: session for session in listed if session.name.startswith(queue.keys.session)}
    asked = (await replay.GetSession(pb.GetSessionRequest(session=old.keys.session), timeout=CALL_S)).session
    queue.client.srem(SESSIONS, old.keys.session)
    queue.client.delete(old.keys.ticks)

    assert [session.name for session in listed] == sorted(session.name for session in listed)
    assert found[queue.keys.session].state == pb.SESSION_STATE_BACKPRESSURED
    assert found[queue.keys.session].last_sequence == 7
    assert asked == found[old.keys.session]
    assert (asked.state, asked.epoch, asked.last_sequence) == (pb.SESSION_STATE_UNSPECIFIED, "epoch-1", 200)
    assert "not reported" in asked.error


async def test_sessions_are_listed_by_pages(replay: ReplayServiceStub, queue: Queue) -> None:
    others = [Queue(queue.client, f"{queue.keys.session}-{number}") for number in range(4)]
    for other in others:
        other.report()
    found: list[str] = []
    sizes: list[int] = []
    token = ""

    while token or not sizes:
        request = pb.ListSessionsRequest(page_size=2, page_token=token)
        answer = await replay.ListSessions(request, timeout=CALL_S)
        sizes.append(len(answer.sessions))
        found += [session.name for session in answer.sessions]
        token = answer.next_page_token
    everything = await replay.ListSessions(pb.ListSessionsRequest(page_size=2**31 - 1), timeout=CALL_S)
    for other in others:
        queue.client.srem(SESSIONS, other.keys.session)

    assert found == [session.name for session in everything.sessions]
    assert {other.keys.session for other in others} <= set(found)
    assert set(sizes[:-1]) == {2}
    assert 1 <= sizes[-1] <= 2


@pytest.mark.parametrize(("field", "wrong"), [("page_size", -1), ("page_token", "no name"), ("page_token", "x" * 65)])
async def test_a_page_that_cannot_be_is_refused(replay: ReplayServiceStub, field: str, wrong: int | str) -> None:
    error = await refused(replay.ListSessions(pb.ListSessionsRequest(**{field: wrong}), timeout=CALL_S))  # type: ignore[arg-type]

    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"`{field}`" in str(error.details())


async def test_a_report_of_a_newer_release_hides_no_other_session(replay: ReplayServiceStub, queue: Queue) -> None:
    newer = Queue(queue.client, f"{queue.keys.session}-newer")
    newer.report(version=2)
    queue.report()

    listed = (await replay.ListSessions(pb.ListSessionsRequest(), timeout=CALL_S)).sessions
    queue.client.srem(SESSIONS, newer.keys.session)

    errors = {session.name: session.error for session in listed}
    assert "version 2" in errors[newer.keys.session]
    assert queue.keys.session in errors


async def test_what_cannot_be_read_of_one_session_hides_no_other_and_keeps_nobody_from_its_ticks(
    replay: ReplayServiceStub, queue: Queue
) -> None:
    queue.append(100)
    damaged, bare = Queue(queue.client, f"{queue.keys.session}-bad"), Queue(queue.client, f"{queue.keys.session}-bare")
    damaged.report()
    bare.append(100)
    bare.report()
    queue.client.delete(bare.keys.state)
    queue.client.xadd(bare.keys.ticks, {"other": b""}, id="0-101")
    queue.client.sadd(SESSIONS, b"no name", b"\xff")
    errors = {}
    for content in (b"", b"{", b"[]", b"null", b'{"version":"x"}', b'{"state":"DREAMING"}', b"\xff\x00"):
        for keys in (damaged.keys, queue.keys):
            queue.client.set(keys.state, content or b" ")

        listed = (await replay.ListSessions(pb.ListSessionsRequest(), timeout=CALL_S)).sessions
        asked = (await replay.GetSession(pb.GetSessionRequest(session=queue.keys.session), timeout=CALL_S)).session
        frames = await stream(replay, to=100, after_sequence=50, session=queue.keys.session)

        errors = {session.name: session.error for session in listed}
        assert "cannot be read" in errors[damaged.keys.session]
        assert "cannot be read" in asked.error
        assert frames[-1].last_sequence == 100
    for other in (damaged, bare):
        queue.client.srem(SESSIONS, other.keys.session)
    queue.client.srem(SESSIONS, b"no name", b"\xff")
    queue.client.delete(bare.keys.ticks)

    assert "the newest entry of" in errors[bare.keys.session]


async def test_unknown_session_is_not_found(replay: ReplayServiceStub) -> None:
    for call in (
        replay.GetSession(pb.GetSessionRequest(session="nobody"), timeout=CALL_S),
        stream(replay, to=1, session="nobody"),
    ):
        error = await refused(call)
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert "`nobody`" in str(error.details())


@pytest.mark.quick
@pytest.mark.parametrize(
    ("request_", "first"),
    [
        pytest.param({}, 101, id="oldest retained"),
        pytest.param({"from_now": False}, 101, id="not from now"),
        pytest.param({"after_sequence": 100}, 101, id="all that is retained"),
        pytest.param({"after_sequence": 150, "epoch": "epoch-1"}, 151, id="inside of a batch"),
        pytest.param({"after_sequence": 300}, 301, id="end"),
        pytest.param({"from_now": True}, 301, id="from now"),
    ],
)
async def test_stream_begins_with_the_very_record_asked_for(
    replay: ReplayServiceStub, queue: Queue, request_: dict[str, Any], first: int
) -> None:
    queue.append(300)
    queue.trim(101)
    call = replay.StreamTicks(pb.StreamTicksRequest(**request_), timeout=CALL_S)
    await call.initial_metadata()
    frames = []
    if first <= 300:
        frames = await read(call, to=300)
    else:
        # Nothing arrives that could be awaited, but the position is taken within this time.
        await asyncio.sleep(0.2)
    queue.append(100, first_sequence=301)
    frames += await read(call, to=400)
    call.cancel()

    assert numbers(frames) == list(range(first, 401))


async def test_filter_keeps_rejections_and_the_numbers_of_what_it_keeps(
    replay: ReplayServiceStub, queue: Queue
) -> None:
    queue.append(300)
    everything = await stream(replay, to=300)

    frames = await stream(replay, to=300, tickers=[TICKERS[0]], after_sequence=150)

    kept = [tick for frame in everything for tick in frame.ticks() if tick[1] == TICKERS[0] and tick[0] > 150]
    assert [tick[:4] for frame in frames for tick in frame.ticks()] == [tick[:4] for tick in kept]
    rejected = [record.sequence for frame in everything for record in frame.rejections if record.sequence > 150]
    assert [record.sequence for frame in frames for record in frame.rejections] == rejected


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        pytest.param({"after_sequence": 50}, "oldest retained is 101", id="trimmed"),
        pytest.param({"after_sequence": 0}, "oldest retained is 101", id="beginning"),
        pytest.param({"after_sequence": 301}, "300", id="beyond"),
        pytest.param({"after_sequence": 1 << 63}, "300", id="beyond int64"),
        pytest.param({"after_sequence": (1 << 64) - 1}, "300", id="largest"),
        pytest.param({"after_sequence": 200, "epoch": "old"}, "`epoch-1`", id="epoch"),
    ],
)
async def test_position_that_cannot_be_served_is_out_of_range(
    replay: ReplayServiceStub, queue: Queue, request_: dict[str, Any], part: str
) -> None:
    queue.append(300)
    queue.trim(101)

    error = await refused(stream(replay, to=300, **request_))

    assert error.code() == grpc.StatusCode.OUT_OF_RANGE
    assert part in str(error.details())


async def test_position_in_a_queue_without_records_is_out_of_range(replay: ReplayServiceStub) -> None:
    error = await refused(stream(replay, to=1, after_sequence=5))

    assert error.code() == grpc.StatusCode.OUT_OF_RANGE
    assert "nothing is retained" in str(error.details())


async def test_client_that_falls_behind_is_told_its_last_sequence_and_counted(
    replay: ReplayServiceStub, queue: Queue, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "RING_BATCHES_MAX", 1)
    queue.append(300)
    call = replay.StreamTicks(pb.StreamTicksRequest(), timeout=CALL_S)
    got = [(await anext(aiter(call))).last_sequence]
    queue.client.delete(queue.keys.ticks)
    queue.append(100, first_sequence=601)

    async def read_on() -> None:
        async for batch in call:
            got.append(batch.last_sequence)

    error = await refused(read_on())

    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(error.trailing_metadata())[LAST_SEQUENCE_TRAILER] == str(got[-1])
    assert metrics.registry.get_sample_value("midstream_subscribers_disconnected_total") == 1
    assert metrics.registry.get_sample_value("midstream_subscribers") == 0


async def test_subscribers_are_limited_and_leave_room_when_they_go(
    replay: ReplayServiceStub, queue: Queue, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "SUBSCRIBERS_MAX", 1)
    queue.append(100)
    first = replay.StreamTicks(pb.StreamTicksRequest(), timeout=CALL_S)
    await anext(aiter(first))
    assert metrics.registry.get_sample_value("midstream_subscribers") == 1

    assert (await refused(stream(replay, to=100))).code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    first.cancel()
    await no_subscriber(metrics)
    assert numbers(await stream(replay, to=100)) == list(range(1, 101))


async def test_other_sessions_can_be_streamed_and_cost_nothing_afterwards(
    replay: ReplayServiceStub, queue: Queue, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "TAILS_MAX", 1)
    names = [f"{queue.keys.session}-{letter}" for letter in "abc"]
    for name in names:
        other = Queue(queue.client, name)
        other.report()
        other.append(100)

        assert numbers(await stream(replay, to=100, session=name)) == list(range(1, 101))

        await no_subscriber(metrics)
        queue.client.srem(SESSIONS, name)
        queue.client.delete(other.keys.ticks, other.keys.state)
