"""Owners that meet in a real Redis, and the leases by which they see who produces what."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import redis

from services.replay.partition_listing import PartitionListing
from services.replay.session_queue import SessionQueue
from services.runtime.connection import connect_async
from services.runtime.session.announcement import SinkAnnouncement, SinkPosition
from services.runtime.session.holders import Holder, living_holders
from services.runtime.session.keys import SessionKeys
from services.runtime.session.owners import DEAD_S, FORGOTTEN_S, Owners


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_owners_see_each_other_until_one_says_nothing_more(
    redis_url: str, redis_client: redis.Redis, session_name: str, clock: Clock
) -> None:
    client = connect_async(redis_url, client_name="test-owners")
    keys = SessionKeys(session_name)

    def owner(name: str, role: str = "replay") -> Owners:
        return Owners(client, keys, role=role, name=name, host="h", pid=7, monotonic_s=clock)

    a, b, sink = owner("a"), owner("b"), owner("a", role="price/x")
    await sink.meet(held=frozenset({9}))
    assert [member.name for member in await a.meet(held=frozenset({2, 0}))] == ["a"]
    seen = await b.meet(held=frozenset(), fit=False)
    assert [(member.name, member.held, member.fit) for member in seen] == [("a", (0, 2), True), ("b", (), False)]
    clock.now_s = DEAD_S
    assert [member.name for member in await b.meet(held=frozenset())] == ["a", "b"]
    clock.now_s += 0.1
    assert [member.name for member in await b.meet(held=frozenset())] == ["b"]
    # It was stopped, not dead.
    await a.meet(held=frozenset())
    assert [member.name for member in await b.meet(held=frozenset())] == ["a", "b"]
    clock.now_s += FORGOTTEN_S + 0.1
    await b.meet(held=frozenset())
    assert [member.name for member in await b.told()] == ["b"]
    redis_client.hset(keys.owners, "replay c", b"\xff{")
    assert [member.name for member in await b.meet(held=frozenset())] == ["b"]
    await b.leave()
    assert [member.name for member in await a.meet(held=frozenset())] == ["a"]
    await client.aclose()


async def test_producers_are_those_whose_lease_and_connection_are_there(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    client = connect_async(redis_url, client_name="test-owners")

    def lease(partition: int, client_name: str, owner: str) -> None:
        holder = Holder(token="t", host="h", pid=1, client_name=client_name, owner=owner)
        redis_client.set(SessionKeys(session_name, partition).lease, holder.encode())

    lease(0, "test-owners", "a")
    lease(1, "test-owners", "")
    lease(2, "gone", "b")
    assert await SessionQueue(client).producers(session_name, 4) == {0: "a", 1: ""}
    assert await SessionQueue(client).producers(session_name + "-other", 4) == {}
    await client.aclose()


class Counted:
    """A Redis that counts what it is asked."""

    def __init__(self, leases: dict[str, bytes]) -> None:
        self._leases, self._asked = leases, list[str]()
        self.trips: list[str] = []

    def pipeline(self, *, transaction: bool) -> Counted:
        assert not transaction
        return self

    def get(self, key: str) -> None:
        self._asked.append(key)

    async def execute(self) -> list[bytes | None]:
        self.trips.append(f"{len(self._asked)} leases")
        return [self._leases.get(key) for key in self._asked]

    async def client_list(self) -> list[dict[str, str]]:
        self.trips.append("connections")
        return [{"name": "there"}]


async def test_all_leases_are_asked_for_in_one_round_trip() -> None:
    there, gone = (
        Holder(token="t", host="h", pid=1, client_name=name, owner="a").encode() for name in ("there", "gone")
    )
    leases = {partition: SessionKeys("s", partition).lease for partition in range(1_024)}
    redis_ = Counted({leases[0]: there.encode(), leases[1_023]: gone.encode(), leases[700]: there.encode()})

    found = await living_holders(redis_, leases)

    assert sorted(found) == [0, 700]
    assert redis_.trips == ["1024 leases", "connections"]


async def test_partitions_are_listed_with_the_sinks_that_live(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    client = connect_async(redis_url, client_name="test-owners")
    for partition, client_name in enumerate(("test-owners", "gone")):
        keys = SessionKeys(session_name, partition)
        position = SinkPosition(name="x", epoch="e", sequence=7, live_sequence=0, cursor=b"", run_id="r")
        redis_client.hset(keys.sinks, "x", SinkAnnouncement(position).encode())
        holder = Holder(token="t", host="h", pid=3, client_name=client_name, owner="a")
        redis_client.set(keys.sink_lease("x"), holder.encode())

    found = await PartitionListing(client, SessionQueue(client)).describe(session_name, 3)

    sinks = [[(sink.sink, sink.sequence, sink.owner, sink.host, sink.pid) for sink in each.sinks] for each in found]
    assert sinks == [[("x", 7, "a", "h", 3)], [("x", 7, "", "", 0)], []]
    await client.aclose()
