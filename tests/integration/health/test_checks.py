"""The checks against a real Redis whose content is known."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import redis
import redis.asyncio
from prometheus_client import CollectorRegistry

from fastpath.frame import MARKER_DISCONNECTED, TickFrame, peek
from fastpath.records import Marker
from protos.health.v1.health_pb2 import STATUS_DEGRADED, STATUS_DOWN, STATUS_OK, QueueLag
from services.health.checks import LATE_S_MAX, ServerCheck, feed_check, queue_check, redis_check
from services.health.lag import GroupActivity, measure_lag
from services.health.metrics import HealthMetrics
from services.runtime.connection import connect_async
from services.runtime.health import HealthBoard
from services.runtime.metrics import Metrics
from services.runtime.session import partitions_stored
from services.runtime.session.keys import SESSIONS, SessionKeys
from services.runtime.session.partitions import Partitioning
from tests.support.clock import FakeClock
from tests.support.ports import free_port
from tests.support.price_batches import Batch, make_batches, marker_batch


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with connect_async(redis_url, client_name="test-health") as connected:
        yield connected


@pytest.fixture
def keys(session_name: str) -> SessionKeys:
    return SessionKeys(session_name)


@pytest.fixture
def batches(redis_client: redis.Redis, keys: SessionKeys) -> list[Batch]:
    """1,000 records in ten entries, in the queue of a session."""
    made = make_batches(1_000)
    redis_client.sadd(SESSIONS, keys.session)
    for batch in made:
        redis_client.xadd(keys.ticks, {"b": batch.payload}, id=f"0-{batch.first_sequence}")
    return made


def activity(clock: FakeClock) -> GroupActivity:
    return GroupActivity(clock, lease_s=3600)


def read(client: redis.Redis, keys: SessionKeys, group: str, entries: int, *, acknowledge: int) -> None:
    """Make a group, read some entries and acknowledge the first of them."""
    with contextlib.suppress(redis.ResponseError):
        client.xgroup_create(keys.ticks, group, id="0")
    answer: Any = client.xreadgroup(group, "one", {keys.ticks: ">"}, count=entries)
    ids = [entry_id for entry_id, _ in answer[0][1]]
    if ids[:acknowledge]:
        client.xack(keys.ticks, group, *ids[:acknowledge])


def arrival(batch: Batch) -> int:
    return peek(batch.payload).last_arrival_time_ns


@pytest.mark.quick
async def test_lag_is_what_lies_between_the_committed_and_the_newest_record(
    client: redis.asyncio.Redis,
    redis_client: redis.Redis,
    keys: SessionKeys,
    batches: list[Batch],
    fake_clock: FakeClock,
) -> None:
    read(redis_client, keys, "acknowledged", 4, acknowledge=4)
    read(redis_client, keys, "pending", 6, acknowledge=2)
    read(redis_client, keys, "done", 10, acknowledge=10)
    redis_client.xgroup_create(keys.ticks, "fresh", id="0")

    lags = {lag.queue.group: lag.queue for lag in await measure_lag(client, keys, activity(fake_clock))}

    newest = batches[-1]
    per_record = len(newest.payload) / 100
    first = TickFrame(batches[0].payload).ticks()[0][3]
    for group, records, behind in (
        ("acknowledged", 600, arrival(batches[3])),
        ("pending", 800, arrival(batches[1])),
        ("done", 0, arrival(newest)),
        ("fresh", 1_000, first),
    ):
        assert lags[group] == QueueLag(
            session=keys.session,
            group=group,
            lag_records=records,
            lag_bytes=round(records * per_record),
            lag_data_time_ns=arrival(newest) - behind,
            active=True,
        )


async def test_group_whose_committed_entries_are_trimmed_is_measured_from_the_oldest_one(
    client: redis.asyncio.Redis,
    redis_client: redis.Redis,
    keys: SessionKeys,
    batches: list[Batch],
    fake_clock: FakeClock,
) -> None:
    read(redis_client, keys, "slow", 3, acknowledge=3)
    redis_client.xtrim(keys.ticks, minid="0-301", approximate=False)

    ((lag, _),) = await measure_lag(client, keys, activity(fake_clock))

    assert lag.lag_records == 700


async def test_batches_without_ticks_have_no_data_time(
    client: redis.asyncio.Redis, redis_client: redis.Redis, keys: SessionKeys, fake_clock: FakeClock
) -> None:
    alone = marker_batch(Marker(kind=MARKER_DISCONNECTED, mode=2, previous_mode=2), sequence=1)
    redis_client.xadd(keys.ticks, {"b": alone.payload}, id="0-1")
    read(redis_client, keys, "price", 1, acknowledge=1)
    for batch in make_batches(10, first_sequence=2):
        redis_client.xadd(keys.ticks, {"b": batch.payload}, id=f"0-{batch.first_sequence}")

    ((lag, _),) = await measure_lag(client, keys, activity(fake_clock))

    assert (lag.lag_records, lag.lag_data_time_ns) == (10, 0)


def test_group_without_calls_beyond_the_lease_is_inactive_until_it_calls_again(fake_clock: FakeClock) -> None:
    groups = activity(fake_clock)

    def active(**state: Any) -> bool:
        return groups.is_active(("s", "g", 0), **state)

    assert active(position=1, idle_ms=[3_600_000, 9_000_000])
    assert not active(position=1, idle_ms=[3_600_001, 9_000_000])
    assert active(position=1, idle_ms=[0])
    # Without consumers: as long as its position stands still.
    assert active(position=2, idle_ms=[])
    fake_clock.advance(3600)
    assert active(position=2, idle_ms=[])
    fake_clock.advance(1)
    assert not active(position=2, idle_ms=[])
    assert active(position=3, idle_ms=[])


async def test_queue_check_names_lost_groups_and_exports_the_largest_lag(
    client: redis.asyncio.Redis,
    redis_client: redis.Redis,
    keys: SessionKeys,
    batches: list[Batch],
    fake_clock: FakeClock,
) -> None:
    read(redis_client, keys, "price", 4, acknowledge=4)
    redis_client.xgroup_create(keys.ticks, "lost", id="0")
    metrics = Metrics(CollectorRegistry())
    check = queue_check(client, activity(fake_clock), HealthMetrics(metrics))

    before = await check()
    fake_clock.advance(3601)
    after = await check()

    assert before.status == STATUS_OK
    assert after.status == STATUS_DEGRADED
    assert f"{keys.session}/lost" in after.detail
    assert {lag.group: lag.active for lag in after.queues if lag.session == keys.session} == {
        "lost": False,
        "price": True,
    }
    price = {"session": keys.session, "group": "price"}
    assert metrics.registry.get_sample_value("midstream_group_lag_records", price) == 600
    assert metrics.registry.get_sample_value("midstream_group_lag_records", price | {"group": "lost"}) is None
    seconds = (arrival(batches[-1]) - arrival(batches[3])) / 1e9
    assert metrics.registry.get_sample_value("midstream_group_lag_seconds", price) == pytest.approx(seconds)


async def test_queue_check_measures_every_partition_and_names_it(
    client: redis.asyncio.Redis,
    redis_client: redis.Redis,
    keys: SessionKeys,
    batches: list[Batch],
    fake_clock: FakeClock,
) -> None:
    redis_client.set(keys.partitions, partitions_stored.encode(Partitioning(2)))
    second = SessionKeys(keys.session, 1)
    for batch in batches:
        redis_client.xadd(second.ticks, {"b": batch.payload}, id=f"0-{batch.first_sequence}")
    read(redis_client, keys, "price", 4, acknowledge=4)
    read(redis_client, second, "price", 1, acknowledge=1)
    redis_client.hset(second.sinks, "price", "not an announcement")
    metrics = Metrics(CollectorRegistry())
    check = queue_check(client, activity(fake_clock), HealthMetrics(metrics))

    await check()
    fake_clock.advance(11)
    read(redis_client, keys, "price", 1, acknowledge=1)
    outcome = await check()

    lags = {lag.partition: lag.lag_records for lag in outcome.queues if lag.session == keys.session}
    assert lags == {0: 500, 1: 900}
    assert f"{keys.session}/price (partition 1) has not moved for 11 s" in outcome.detail
    assert "partition 0" not in outcome.detail
    assert [(sink.sink, sink.partition) for sink in outcome.sinks if sink.session == keys.session] == [("price", 1)]
    price = {"session": keys.session, "group": "price"}
    assert metrics.registry.get_sample_value("midstream_group_lag_records", price) == 1_400
    seconds = (arrival(batches[-1]) - arrival(batches[0])) / 1e9
    assert metrics.registry.get_sample_value("midstream_group_lag_seconds", price) == pytest.approx(seconds)


async def test_queue_check_names_a_group_that_has_something_to_read_and_does_not_move(
    client: redis.asyncio.Redis,
    redis_client: redis.Redis,
    keys: SessionKeys,
    batches: list[Batch],
    fake_clock: FakeClock,
) -> None:
    read(redis_client, keys, "idle", len(batches), acknowledge=len(batches))
    read(redis_client, keys, "slow", 1, acknowledge=1)
    read(redis_client, keys, "stuck", 4, acknowledge=0)
    check = queue_check(client, activity(fake_clock), HealthMetrics(Metrics(CollectorRegistry())))

    assert (await check()).status == STATUS_OK
    for _ in range(3):
        fake_clock.advance(4)
        read(redis_client, keys, "slow", 1, acknowledge=1)
        outcome = await check()

    assert outcome.status == STATUS_DEGRADED
    assert f"{keys.session}/stuck has not moved for 12 s" in outcome.detail
    assert "/idle" not in outcome.detail
    assert "/slow" not in outcome.detail


class Reports:
    """Writes reports of sessions."""

    def __init__(self, client: redis.Redis, clock: FakeClock) -> None:
        self._client = client
        self._clock = clock

    def put(self, session: str, **changes: Any) -> None:
        report = {"state": "RUNNING", "mode": 1, "live_connected": False, "error": ""} | changes
        report["reported_time_ns"] = self._clock.time_ns()
        self._client.sadd(SESSIONS, session)
        self._client.set(SessionKeys(session).state, json.dumps(report))


class Parts:
    """Writes reports of a session of two partitions."""

    def __init__(self, client: redis.Redis, clock: FakeClock, session: str) -> None:
        self._client = client
        self._clock = clock
        self._keys = [SessionKeys(session, partition) for partition in (0, 1)]
        client.set(self._keys[0].partitions, partitions_stored.encode(Partitioning(2)))
        client.sadd(SESSIONS, session)

    def put(self, partition: int, **changes: Any) -> None:
        said = {"mode": 1, "state": "RUNNING", "partition": partition, "partitions": 2} | changes
        said["reported_time_ns"] = self._clock.time_ns()
        self._client.set(self._keys[partition].partition_state, json.dumps(said))


@pytest.mark.parametrize(
    ("changes", "age_s", "status", "part"),
    [
        pytest.param({}, 1.0, STATUS_OK, "running, historical, reported 1.0 s ago", id="runs"),
        pytest.param({}, 5.1, STATUS_DOWN, "5.1 s ago", id="engine gone"),
        pytest.param({"state": "FAILED", "error": "disk full"}, 0.1, STATUS_DOWN, "disk full", id="failed"),
        pytest.param({"mode": 2}, 0.1, STATUS_DEGRADED, "live feed not connected", id="feed gone"),
        pytest.param({"mode": 2, "live_connected": True}, 0.1, STATUS_OK, "live feed connected", id="feed there"),
    ],
)
async def test_feed_check_tells_how_the_own_session_is(
    client: redis.asyncio.Redis,
    redis_client: redis.Redis,
    session_name: str,
    fake_clock: FakeClock,
    changes: dict[str, Any],
    age_s: float,
    status: int,
    part: str,
) -> None:
    Reports(redis_client, fake_clock).put(session_name, **changes)
    fake_clock.advance(age_s)

    outcome = await feed_check(client, fake_clock, own_session=session_name)()

    assert outcome.status == status
    assert f"{session_name}: " in outcome.detail
    assert part in outcome.detail


async def test_feed_check_names_another_session_that_failed_and_is_not_down_for_it(
    client: redis.asyncio.Redis, redis_client: redis.Redis, session_name: str, fake_clock: FakeClock
) -> None:
    reports, other = Reports(redis_client, fake_clock), f"{session_name}-other"
    reports.put(session_name)
    reports.put(other, state="FAILED", error="a.csv is missing")

    outcome = await feed_check(client, fake_clock, own_session=session_name)()
    redis_client.srem(SESSIONS, other)

    assert outcome.status == STATUS_DEGRADED
    assert f"{other}: failed" in outcome.detail
    assert "a.csv is missing" in outcome.detail


async def test_feed_check_names_a_report_of_a_newer_release(
    client: redis.asyncio.Redis, redis_client: redis.Redis, session_name: str, fake_clock: FakeClock
) -> None:
    Reports(redis_client, fake_clock).put(session_name, version=2)

    outcome = await feed_check(client, fake_clock, own_session=session_name)()

    assert outcome.status == STATUS_DOWN
    assert "version 2" in outcome.detail


@pytest.mark.parametrize("where", ["newest", "committed", "oldest"])
@pytest.mark.parametrize(
    "entry", [{"other": b"1"}, {"b": b""}, {"b": b"what is this?"}], ids=["field", "empty", "text"]
)
async def test_an_entry_that_cannot_be_read_is_named_and_other_sessions_are_measured(
    client: redis.asyncio.Redis,
    redis_client: redis.Redis,
    keys: SessionKeys,
    batches: list[Batch],
    fake_clock: FakeClock,
    where: str,
    entry: dict[str, bytes],
) -> None:
    other = SessionKeys(f"{keys.session}-other")
    redis_client.sadd(SESSIONS, other.session, b"no name", b"\xff")
    last = batches[-1].last_sequence
    made = make_batches(1_000)
    if where != "newest":
        redis_client.xadd(other.ticks, entry, id="0-1")  # type: ignore[arg-type]
    for batch in made[1:]:
        redis_client.xadd(other.ticks, {"b": batch.payload}, id=f"0-{batch.first_sequence}")
    if where == "newest":
        redis_client.xadd(other.ticks, entry, id=f"0-{last + 1}")  # type: ignore[arg-type]
    read(redis_client, other, "sink", 1, acknowledge=1 if where == "committed" else 0)
    read(redis_client, keys, "sink", 2, acknowledge=2)

    finding = await queue_check(client, activity(fake_clock), HealthMetrics(Metrics(CollectorRegistry())))()
    redis_client.srem(SESSIONS, other.session, b"no name", b"\xff")
    redis_client.delete(other.ticks)

    assert finding.status == STATUS_DEGRADED
    assert f"of {other.ticks} cannot be read" in finding.detail
    assert keys.session in {queue.session for queue in finding.queues}


async def test_feed_check_names_the_partition_whose_engine_is_silent(
    client: redis.asyncio.Redis, redis_client: redis.Redis, session_name: str, fake_clock: FakeClock
) -> None:
    parts = Parts(redis_client, fake_clock, session_name)
    parts.put(0)
    parts.put(1)
    check = feed_check(client, fake_clock, own_session=session_name)

    assert (await check()).status == STATUS_OK
    fake_clock.advance(11)
    parts.put(0)
    outcome = await check()

    assert outcome.status == STATUS_DOWN
    assert "reported 11.0 s ago (partition 1)" in outcome.detail


async def test_feed_check_misses_the_partition_that_says_nothing_any_more(
    client: redis.asyncio.Redis, redis_client: redis.Redis, session_name: str, fake_clock: FakeClock
) -> None:
    parts = Parts(redis_client, fake_clock, session_name)
    check = feed_check(client, fake_clock, own_session=session_name)

    parts.put(0)

    outcome = await check()
    assert outcome.status == STATUS_DEGRADED
    assert "partition 1: nobody has reported yet" in outcome.detail


async def test_feed_check_names_the_partition_that_waits_for_room_while_the_others_publish(
    client: redis.asyncio.Redis, redis_client: redis.Redis, session_name: str, fake_clock: FakeClock
) -> None:
    parts = Parts(redis_client, fake_clock, session_name)
    check = feed_check(client, fake_clock, own_session=session_name)
    outcomes = []

    for sequence in (1, 2, 3, 4):
        parts.put(0, last_sequence=sequence)
        parts.put(1, state="BACKPRESSURED", last_sequence=7)
        outcomes.append(await check())
        fake_clock.advance(4)

    assert [outcome.status for outcome in outcomes] == [STATUS_OK] * 3 + [STATUS_DEGRADED]
    assert "partition 1 has waited for room in the queue for 12 s" in outcomes[-1].detail
    assert "partition 0" not in outcomes[-1].detail


async def test_feed_check_tells_about_every_session(
    client: redis.asyncio.Redis, redis_client: redis.Redis, session_name: str, fake_clock: FakeClock
) -> None:
    reports = Reports(redis_client, fake_clock)
    ended, expired = f"{session_name}-ended", f"{session_name}-expired"
    reports.put(ended, state="COMPLETED")
    reports.put(expired)
    redis_client.delete(SessionKeys(expired).state)
    fake_clock.advance(60)
    reports.put(session_name)
    check = feed_check(client, fake_clock, own_session=session_name)

    well = await check()
    reports.put(ended, state="RUNNING")
    fake_clock.advance(60)
    reports.put(session_name)
    stopped = await check()
    redis_client.srem(SESSIONS, ended, expired)
    redis_client.delete(SessionKeys(ended).state)

    assert well.status == STATUS_OK
    for name, part in ((session_name, "running"), (ended, "completed"), (expired, "not reported for an hour")):
        assert f"{name}: {part}" in well.detail or f"{name}: has {part}" in well.detail
    assert stopped.status == STATUS_DEGRADED


async def test_own_session_that_never_reported_is_named(
    client: redis.asyncio.Redis, session_name: str, fake_clock: FakeClock
) -> None:
    outcome = await feed_check(client, fake_clock, own_session=session_name)()

    assert outcome.status == STATUS_DEGRADED
    assert f"{session_name}: has not reported yet" in outcome.detail


async def test_redis_check_tells_version_and_memory(client: redis.asyncio.Redis) -> None:
    outcome = await redis_check(client)()

    assert outcome.status == STATUS_OK
    assert "MiB used" in outcome.detail


async def test_server_that_nobody_runs_is_down_naming_its_address() -> None:
    address = f"127.0.0.1:{free_port()}"
    check = ServerCheck(address)

    outcome = await check()
    await check.close()

    assert outcome.status == STATUS_DOWN
    assert outcome.detail == f"{address}: unavailable"


async def test_feed_check_names_an_engine_that_waits_for_room_and_publishes_nothing(
    client: redis.asyncio.Redis, redis_client: redis.Redis, session_name: str, fake_clock: FakeClock
) -> None:
    reports = Reports(redis_client, fake_clock)
    check = feed_check(client, fake_clock, own_session=session_name)
    statuses = []
    # It moves, it stands, it moves again.
    for sequence in (1, 2, 3, 3, 3, 3, 4):
        reports.put(session_name, state="BACKPRESSURED", last_sequence=sequence)
        outcome = await check()
        statuses.append(outcome.status)
        if sequence == 3 and outcome.status == STATUS_DEGRADED:
            assert "has waited for room in the queue for 1" in outcome.detail
        fake_clock.advance(4)

    assert statuses == [STATUS_OK] * 5 + [STATUS_DEGRADED, STATUS_OK]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"mode": 2}, STATUS_DEGRADED, id="live"),
        pytest.param({"mode": 1, "speed": 1.0}, STATUS_DEGRADED, id="paced"),
        pytest.param({"mode": 1, "speed": 1e9}, STATUS_OK, id="so fast that it is no time"),
        pytest.param({"mode": 1, "speed": 0.0}, STATUS_OK, id="as fast as possible"),
        pytest.param({"mode": 1, "speed": 1.0, "paused": True}, STATUS_OK, id="paused"),
    ],
)
async def test_queue_check_names_a_group_that_is_too_slow_for_the_pace(
    client: redis.asyncio.Redis,
    redis_client: redis.Redis,
    keys: SessionKeys,
    batches: list[Batch],
    fake_clock: FakeClock,
    changes: dict[str, Any],
    status: int,
) -> None:
    Reports(redis_client, fake_clock).put(keys.session, **changes)
    read(redis_client, keys, "slow", 1, acknowledge=1)
    check = queue_check(client, activity(fake_clock), HealthMetrics(Metrics(CollectorRegistry())), lag_s_max=1e-6)

    # For a moment a group may be as late as a switch of mode makes it.
    assert (await check()).status == STATUS_OK
    fake_clock.advance(LATE_S_MAX + 0.1)
    outcome = await check()

    assert outcome.status == status
    assert (f"{keys.session}/slow is " in outcome.detail) == (status == STATUS_DEGRADED)


async def test_a_server_that_does_not_serve_is_named_with_its_reason() -> None:
    board = HealthBoard(["a.A"])
    server = grpc.aio.server()
    board.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await board.start()
    await server.start()
    check = ServerCheck(f"127.0.0.1:{port}")
    board.set("a.A", False, "the engine has said nothing for 4 s")

    async def until_told() -> Any:
        while (finding := await check()).status == STATUS_OK:
            pass
        return finding

    finding = await until_told()

    assert (finding.status, finding.detail) == (
        STATUS_DEGRADED,
        f"127.0.0.1:{port}: not serving (the engine has said nothing for 4 s)",
    )
    await check.close()
    await board.drain()
    await server.stop(0)
