"""Servers that share a session's partitions, over engines and keys that are made up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from services.runtime.errors import FailedPrecondition
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partition_runners import SILENT_LOOKS, SILENT_START_S, UNFIT_S, PartitionRunners
from services.runtime.session.session_runner import SessionRunner
from services.runtime.session.shares import Member


@dataclass
class World:
    """What all servers see."""

    partitions: int
    producers: dict[int, str] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    now_s: float = 1_000.0
    fails: set[str] = field(default_factory=set)
    """Servers whose engines fail."""
    hangs: set[int] = field(default_factory=set)
    refuses: str = ""


class Runner:
    def __init__(self, world: World, owner: str, partition: int) -> None:
        self._world, self._owner, self._partition = world, owner, partition
        self.failure = self.trouble = ""
        self.stopped = False
        self.silent_s = 0.0

    @property
    def is_ours(self) -> bool:
        return self._world.producers.get(self._partition) == self._owner

    def start(self) -> None:
        if self._owner in self._world.fails:
            self.failure = "a.csv is not there"
        else:
            self._world.producers.setdefault(self._partition, self._owner)

    async def stop(self) -> None:
        self.stopped = True
        if self.is_ours:
            del self._world.producers[self._partition]


class Server:
    """One server's end of it."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self.name = world, name
        self.beat = 0
        self.made: list[Runner] = []
        self.runners = PartitionRunners(
            "s",
            SessionDefinition(partitions=world.partitions),
            make_runner=self._make,
            settle=self._settle,
            owners=self,
            queue=self,
            monotonic_s=lambda: world.now_s,
        )

    async def _settle(self) -> None:
        if self._world.refuses:
            raise FailedPrecondition(self._world.refuses)

    def _make(self, keys: SessionKeys) -> SessionRunner:
        self.made.append(Runner(self._world, self.name, keys.partition))
        return cast("SessionRunner", self.made[-1])

    async def producers(self, session: str, partitions: int) -> dict[int, str]:
        return {each: owner for each, owner in self._world.producers.items() if each not in self._world.hangs}

    async def meet(self, *, held: frozenset[int], fit: bool) -> list[Member]:
        self.beat += 1
        self._world.members[self.name] = Member(self.name, "h", 1, self.beat, tuple(sorted(held)), fit)
        return sorted(self._world.members.values(), key=lambda member: member.name)

    async def leave(self) -> None:
        self._world.members.pop(self.name, None)

    def look(self) -> None:
        asyncio.run(cast("Any", self.runners.look()))


def look_round(*servers: Server, times: int = 6) -> None:
    for _ in range(times):
        for server in servers:
            server.look()


def test_a_server_alone_produces_everything() -> None:
    world = World(4)
    a = Server(world, "a")
    a.look()
    assert world.producers == dict.fromkeys(range(4), "a")


def test_a_session_that_is_published_in_another_way_is_left_alone_until_it_is_not() -> None:
    world = World(2, refuses="it has 3 partitions")
    a = Server(world, "a")
    a.look()
    assert (a.runners.trouble, world.producers, world.members) == ("it has 3 partitions", {}, {})
    world.refuses = ""
    a.look()
    assert a.runners.trouble == ""
    assert world.producers == {0: "a", 1: "a"}


def test_a_server_that_comes_gets_its_share_and_one_that_goes_leaves_it() -> None:
    world = World(4)
    a, b = Server(world, "a"), Server(world, "b")
    a.look()
    look_round(b, a)
    assert sorted(world.producers.values()) == ["a", "a", "b", "b"]
    assert sum(runner.stopped for runner in a.made) == 2
    asyncio.run(a.runners.stop())
    b.look()
    assert world.producers == dict.fromkeys(range(4), "b")


def test_the_partitions_of_a_dead_server_are_taken_over() -> None:
    world = World(3)
    a, b = Server(world, "a"), Server(world, "b")
    look_round(a, b)
    del world.members["a"]
    world.producers = {each: owner for each, owner in world.producers.items() if owner != "a"}
    b.look()
    assert world.producers == dict.fromkeys(range(3), "b")


def test_a_partition_that_a_stranger_produces_is_left_to_it() -> None:
    world = World(2, producers={0: ""})
    a = Server(world, "a")
    look_round(a)
    assert world.producers == {0: "", 1: "a"}
    del world.producers[0]
    a.look()
    assert world.producers == {0: "a", 1: "a"}


def test_who_lost_the_race_for_a_partition_lets_go_of_it() -> None:
    world = World(2)
    a, b = Server(world, "a"), Server(world, "b")
    a.look()
    world.producers[1] = "b"
    a.look()
    assert a.runners.held == {0, 1}
    a.look()
    assert a.runners.held == {0}
    assert b.runners.held == frozenset()


def test_a_server_whose_engines_fail_leaves_them_to_the_others_for_a_while() -> None:
    world = World(2, fails={"a"})
    a, b = Server(world, "a"), Server(world, "b")
    a.look()
    a.look()
    assert a.runners.held == frozenset()
    assert a.runners.failure == "partition 0: a.csv is not there; partition 1: a.csv is not there"
    assert a.runners.trouble == a.runners.failure
    look_round(b, a)
    assert world.producers == {0: "b", 1: "b"}
    world.fails.clear()
    world.now_s += UNFIT_S
    look_round(a, b)
    assert sorted(world.producers.values()) == ["a", "b"]
    assert a.runners.failure == ""


def test_an_engine_that_hangs_is_ended_and_its_partition_taken_again() -> None:
    world = World(1)
    a = Server(world, "a")
    look_round(a, times=2)
    world.hangs.add(0)
    look_round(a, times=SILENT_LOOKS - 1)
    assert not a.made[0].stopped
    world.hangs.clear()
    a.look()
    world.hangs.add(0)
    look_round(a, times=SILENT_LOOKS - 1)
    assert not a.made[0].stopped
    a.look()
    assert a.made[0].stopped
    assert len(a.made) == 2


@pytest.mark.parametrize("looks", [1, 50])
def test_an_engine_that_is_still_starting_does_not_hang(looks: int) -> None:
    world = World(1, hangs={0})
    a = Server(world, "a")
    look_round(a, times=looks)
    assert len(a.made) == 1


def test_an_engine_that_says_nothing_and_never_took_its_partition_is_ended() -> None:
    world = World(1, hangs={0})
    a = Server(world, "a")
    a.look()
    a.made[0].silent_s = SILENT_START_S - 0.1
    look_round(a, times=SILENT_LOOKS + 1)
    assert not a.made[0].stopped
    a.made[0].silent_s = SILENT_START_S
    a.look()
    assert a.made[0].stopped
    assert len(a.made) == 2


class _Slow(Runner):
    """Its engine takes its time to drain, and runs on where nobody waits for that."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner._world, runner._owner, runner._partition)
        self.stopping, self.may_end = asyncio.Event(), asyncio.Event()

    async def stop(self) -> None:
        self.stopping.set()
        await self.may_end.wait()
        await super().stop()


async def test_an_end_that_comes_while_a_partition_moves_ends_that_engine_too() -> None:
    world = World(2)
    server, other = Server(world, "a"), Server(world, "b")
    slow: list[_Slow] = []

    def make(keys: SessionKeys) -> SessionRunner:
        slow.append(_Slow(Runner(world, "a", keys.partition)))
        return cast("SessionRunner", slow[-1])

    server.runners._make_runner = make
    await server.runners.look()
    await server.runners.look()
    assert set(world.producers.values()) == {"a"}
    await other.runners.look()
    server.runners.start()
    tasks = [asyncio.create_task(each.stopping.wait()) for each in slow]
    await asyncio.wait(tasks, timeout=10.0, return_when=asyncio.FIRST_COMPLETED)

    ending = asyncio.create_task(server.runners.stop())
    await asyncio.sleep(0)
    for each in slow:
        each.may_end.set()
    await asyncio.wait_for(ending, 10.0)
    for task in tasks:
        task.cancel()

    assert all(each.stopped for each in slow)
    assert "a" not in world.producers.values()


async def test_an_end_before_the_one_that_came_before_has_ended_ends_both() -> None:
    world = World(2)
    before = _Slow(Runner(world, "a", 0))
    server = Server(world, "a")
    server.runners._after = before
    server.runners.start()
    await asyncio.wait_for(before.stopping.wait(), 10.0)

    ending = asyncio.create_task(server.runners.stop())
    await asyncio.sleep(0)
    before.may_end.set()
    await asyncio.wait_for(ending, 10.0)

    assert before.stopped


async def test_two_that_end_it_at_once_both_come_through() -> None:
    world = World(2)
    server = Server(world, "a")
    slow = [_Slow(Runner(world, "a", partition)) for partition in range(2)]
    server.runners._make_runner = lambda keys: cast("SessionRunner", slow[keys.partition])
    await server.runners.look()

    endings = [asyncio.create_task(server.runners.stop()) for _ in range(2)]
    await asyncio.wait_for(slow[0].stopping.wait(), 10.0)
    await asyncio.sleep(0)
    for each in slow:
        each.may_end.set()

    await asyncio.wait_for(asyncio.gather(*endings), 10.0)
    assert all(each.stopped for each in slow)
    assert not server.runners.held
