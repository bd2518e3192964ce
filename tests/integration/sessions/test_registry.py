"""Which sessions there are, over several servers: quotas, expiry, take-over, on a real Redis and without engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis
import redis.asyncio

from protos.replay.v1.replay_pb2 import SESSION_STATE_STARTING, SESSION_STATE_UNSPECIFIED
from services.replay.created_sessions import CreatedSessions, Limits
from services.replay.partition_listing import PartitionListing
from services.replay.session_queue import SessionQueue
from services.replay.sessions import NO_REPORT, Sessions
from services.runtime.connection import connect_async
from services.runtime.errors import AlreadyExists, FailedPrecondition, NotFound, ResourceExhausted
from services.runtime.session import partitions_stored
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.definitions import Definitions
from services.runtime.session.keys import DEFINED, SESSIONS, SessionKeys
from services.runtime.session.partition_runners import PartitionRunners
from services.runtime.session.partitions import Partitioning
from services.runtime.session.report import EngineReport, EngineState
from tests.support.price_batches import make_batches
from tests.support.redis_server import RedisForTests

DEFINITION = SessionDefinition(files=("a.csv",), mode=1, sinks=("price",), created_time_ns=7)
PATIENCE_S = 10.0


class Engine:
    refusal = None

    def __init__(self, tell: Callable[[], Awaitable[None]]) -> None:
        self.ended = asyncio.Event()
        self._tell = tell

    async def start(self) -> None:
        await self._tell()

    async def run(self) -> int:
        await self.ended.wait()
        return 0

    async def stop(self) -> None:
        self.ended.set()


class Server:
    """The sessions of one server; its clock is the test's."""

    def __init__(self, client: redis.asyncio.Redis, *, sessions_max: int = 3, idle_s: float = 100.0) -> None:
        self.now_s = 0.0
        self.engines: dict[str, Engine] = {}
        self.streamed: set[str] = set()
        self.ended: list[str] = []
        self._changed = asyncio.Condition()
        self.sessions = CreatedSessions(
            Definitions(client),
            SessionQueue(client),
            make_host=self._host,
            share=self._share,
            limits=Limits(sessions_max=sessions_max, idle_s=idle_s),
            subscribed=lambda: self.streamed,
            end_streams=self.ended.append,
            monotonic_s=lambda: self.now_s,
            own_session="own",
        )

    def _host(self, keys: SessionKeys, definition: SessionDefinition, on_trouble: Callable[[str], None]) -> Engine:
        self.engines[keys.session] = Engine(self._tell)
        return self.engines[keys.session]

    def _share(self, *_: object) -> PartitionRunners:
        raise AssertionError("these sessions have one partition")

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def create(self, name: str, definition: SessionDefinition = DEFINITION) -> SessionDefinition:
        created = await self.sessions.create(SessionKeys(name), definition)
        await self.begun(name)
        return created

    async def begun(self, name: str) -> None:
        """Wait until a session has an engine here."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: name in self.engines), PATIENCE_S)

    async def look(self, after_s: float = 0.0) -> None:
        self.now_s += after_s
        await self.sessions.look()


@pytest.fixture
async def client(own_redis: RedisForTests) -> AsyncIterator[redis.asyncio.Redis]:
    made = connect_async(own_redis.url, client_name="test-sessions")
    yield made
    await made.aclose()


@pytest.fixture
async def server(client: redis.asyncio.Redis) -> AsyncIterator[Server]:
    made = Server(client)
    yield made
    await made.sessions.stop()


@pytest.fixture
async def second(client: redis.asyncio.Redis) -> AsyncIterator[Server]:
    made = Server(client)
    yield made
    await made.sessions.stop()


def report(client: redis.Redis, name: str, state: EngineState) -> None:
    client.set(SessionKeys(name).state, EngineReport(name, state, last_sequence=5).encode())


async def test_the_quota_holds_and_says_which_are_idle(server: Server, own_client: redis.Redis) -> None:
    for name in ("a", "b", "c"):
        await server.create(name)
        report(own_client, name, EngineState.COMPLETED if name == "b" else EngineState.RUNNING)
    with pytest.raises(ResourceExhausted, match="none of them is idle"):
        await server.create("d")
    await server.look()
    await server.look(90)

    with pytest.raises(ResourceExhausted, match=r"MIDSTREAM_SESSIONS_MAX.*idle are `b` for 90 s"):
        await server.create("d")

    assert not own_client.sismember(DEFINED, "d")
    assert not own_client.exists(*SessionKeys("d").everything)
    await server.sessions.delete(SessionKeys("b"))
    await server.create("d")


async def test_what_is_there_already_is_answered_as_the_first_time_and_nothing_else_takes_its_name(
    server: Server, own_client: redis.Redis
) -> None:
    await server.create("a")

    again = await server.create("a", SessionDefinition(files=("a.csv",), mode=1, sinks=("price",), created_time_ns=9))
    assert again.created_time_ns == 7
    with pytest.raises(AlreadyExists, match="another definition"):
        await server.create("a", SessionDefinition(files=("b.csv",), mode=1))
    own_client.xadd(SessionKeys("one-shot").ticks, {"b": b"x"})
    with pytest.raises(AlreadyExists, match="another program"):
        await server.create("one-shot")


async def test_an_idle_session_expires_and_one_in_use_does_not(server: Server, own_client: redis.Redis) -> None:
    for name in ("idle", "streamed", "busy"):
        await server.create(name)
        report(own_client, name, EngineState.RUNNING if name == "busy" else EngineState.PAUSED)
    server.streamed.add("streamed")
    await server.look()
    await server.look(99)
    assert own_client.exists(SessionKeys("idle").definition)

    await server.look(1)

    assert not own_client.exists(*SessionKeys("idle").everything)
    assert server.ended == ["idle"]
    assert own_client.exists(SessionKeys("streamed").definition, SessionKeys("busy").definition) == 2


async def test_who_streams_from_another_server_keeps_a_session_too(
    server: Server, second: Server, own_client: redis.Redis
) -> None:
    await server.create("a")
    report(own_client, "a", EngineState.COMPLETED)
    await server.look()
    second.streamed.add("a")
    await second.look()

    await server.look(1_000)

    assert own_client.exists(SessionKeys("a").definition)


async def test_what_an_engine_writes_behind_the_deletion_on_another_server_is_removed_with_it(
    server: Server, second: Server, own_client: redis.Redis
) -> None:
    await server.create("a")
    await second.look()
    await second.begun("a")
    await server.sessions.delete(SessionKeys("a"))
    keys = SessionKeys("a")
    # It had no lease yet, so that nobody waited for it.
    own_client.xadd(keys.ticks, {"b": b"x"})
    own_client.hset(keys.checkpoint, "epoch", "e")
    own_client.sadd(SESSIONS, "a")

    await second.look()

    assert second.engines["a"].ended.is_set()
    assert not own_client.exists(*keys.everything)
    assert not own_client.sismember(SESSIONS, "a")


async def test_a_deletion_goes_on_when_nobody_waits_for_it_any_more(server: Server, own_client: redis.Redis) -> None:
    await server.create("a")
    draining, drained = asyncio.Event(), asyncio.Event()
    engine, end = server.engines["a"], server.engines["a"].stop

    async def drain() -> None:
        draining.set()
        await drained.wait()
        await end()

    engine.stop = drain  # type: ignore[method-assign]
    asked = asyncio.create_task(server.sessions.delete(SessionKeys("a")))
    await asyncio.wait_for(draining.wait(), PATIENCE_S)

    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    drained.set()
    [deletion] = server.sessions._deletions
    await asyncio.wait_for(asyncio.shield(deletion), PATIENCE_S)

    assert engine.ended.is_set()
    assert not own_client.exists(*SessionKeys("a").everything)
    await server.create("a")


async def test_what_is_left_of_any_partition_keeps_the_name_until_it_is_deleted(
    server: Server, own_client: redis.Redis
) -> None:
    left = SessionKeys("a", 1)
    own_client.xadd(left.ticks, {"b": b"x"})
    definition = SessionDefinition(files=("a.csv",), mode=1, partitions=2, created_time_ns=7)

    with pytest.raises(AlreadyExists, match="delete it"):
        await server.sessions.create(left, definition)
    own_client.delete(left.ticks)
    # Of the session alone, which ListSessions knows nothing of.
    own_client.set(left.partitions, partitions_stored.encode(Partitioning(2)))
    with pytest.raises(AlreadyExists, match="delete it"):
        await server.sessions.create(left, definition)
    await server.sessions.delete(left)

    assert not own_client.exists(left.partitions)


async def test_a_server_finds_what_others_created_and_lets_go_of_what_they_deleted(
    server: Server, second: Server, own_client: redis.Redis
) -> None:
    await server.create("a")
    await second.look()
    await second.begun("a")

    await server.sessions.delete(SessionKeys("a"))
    await second.look()

    assert second.engines["a"].ended.is_set()
    assert second.ended == ["a"]
    assert not own_client.sismember(SESSIONS, "a")
    with pytest.raises(NotFound):
        await second.sessions.delete(SessionKeys("a"))


async def test_a_restarted_server_has_its_sessions_again(
    server: Server, second: Server, own_client: redis.Redis
) -> None:
    await server.create("a")
    await server.sessions.stop()

    await second.look()
    await second.begun("a")

    assert second.sessions.failure("a") == ""


async def test_the_own_session_cannot_be_deleted(server: Server) -> None:
    with pytest.raises(FailedPrecondition, match="environment"):
        await server.sessions.delete(SessionKeys("own"))


async def test_a_redis_that_lost_everything_is_told_again_and_nothing_is_taken_for_deleted(
    server: Server, own_client: redis.Redis
) -> None:
    await server.create("a")
    own_client.flushall()

    await server.look()

    assert SessionDefinition.decode("a", own_client.get(SessionKeys("a").definition)) == DEFINITION  # type: ignore[arg-type]
    assert not server.engines["a"].ended.is_set()
    await server.look()
    assert not server.engines["a"].ended.is_set()


async def test_a_session_that_was_created_a_moment_ago_is_starting_and_not_silent(
    client: redis.asyncio.Redis, server: Server
) -> None:
    now_ns = DEFINITION.created_time_ns
    sessions = Sessions(client, default_session="own", time_ns=lambda: now_ns)
    await server.create("a")

    begun = await sessions.describe(SessionKeys("a"))
    now_ns += 3600 * 10**9
    silent = await sessions.describe(SessionKeys("a"))

    assert (begun.state, begun.error) == (SESSION_STATE_STARTING, "")
    assert (silent.state, silent.error) == (SESSION_STATE_UNSPECIFIED, NO_REPORT)


async def test_a_session_of_several_partitions_whose_reports_expired_is_described_by_all_its_queues(
    client: redis.asyncio.Redis, own_client: redis.Redis
) -> None:
    keys = [SessionKeys("own", partition) for partition in (0, 1)]
    own_client.set(keys[0].partitions, partitions_stored.encode(Partitioning(2)))
    own_client.sadd(SESSIONS, "own")
    for partition, records in zip(keys, (300, 200), strict=True):
        for batch in make_batches(records):
            own_client.xadd(partition.ticks, {"b": batch.payload}, id=f"0-{batch.first_sequence}")

    session = await Sessions(client, default_session="own").describe(keys[0])
    partitions = await PartitionListing(client, SessionQueue(client)).describe("own", 2)

    assert (session.partitions, session.epoch, session.last_sequence, session.error) == (2, "", 500, NO_REPORT)
    assert [(each.last_sequence, each.error) for each in partitions] == [(300, NO_REPORT), (200, NO_REPORT)]
    assert all(each.epoch for each in partitions)
