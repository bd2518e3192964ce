"""StreamTicks over the partitions of real engines, read by the Python client: record by record what one partition publishes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from clients.rpc.control import ControlClient
from clients.rpc.following import Start
from clients.rpc.replay import ReplayClient
from protos.common.v1.market_pb2 import PartitionPosition
from protos.replay.v1 import replay_pb2 as pb
from services.runtime.session.partitions import Partitioning
from tests.support.cli import ROOT, clean_environment, command, until
from tests.support.one_order import Reader, partition_of, reading, write_files
from tests.support.ports import free_port
from tests.support.redis_server import RedisForTests
from tests.support.server_process import ServerProcess

pytestmark = pytest.mark.long

SPREAD = Partitioning(4)
Told = list[tuple[int, str]]


class Desk:
    """Replay servers that share the session `default`, and readers."""

    def __init__(self, url: str, directory: Path, files: list[Path]) -> None:
        self.files = files
        self._url, self._directory = url, directory
        self._stack = contextlib.ExitStack()
        self._started = 0

    def start(self, owner: str, *, port: str = "0", **settings: str) -> ServerProcess:
        """Start a server, which ends with the test."""
        self._started += 1
        folder = self._directory / f"{self._started}-{owner}"
        folder.mkdir()
        wanted = {
            "REDIS_URL": self._url,
            "HISTORICAL": ",".join(map(str, self.files)),
            "PARTITIONS": str(SPREAD.count),
            "SINKS": "",
        }
        server = ServerProcess("replay", folder, open_files=0, port=port, **{**wanted, **settings, "OWNER": owner})
        self._stack.callback(self._end, server)
        return server

    def control(self) -> ControlClient:
        server = ServerProcess("control", self._directory, REDIS_URL=self._url)
        self._stack.callback(self._end, server)
        return self._stack.enter_context(ControlClient(_address(server)))

    def read(self, server: ServerProcess, start: Start, *, session: str = "") -> Reader:
        return self._stack.enter_context(reading(_address(server), start, session=session))

    def of_one_partition(self, server: ServerProcess) -> Told:
        """Replay the same files as one partition."""
        definition = pb.SessionDefinition(files=[str(path) for path in self.files])
        with ReplayClient(_address(server)) as client:
            client.create_session(definition, name="one")
            until(
                lambda: client.session("one").state == pb.SESSION_STATE_COMPLETED,
                what="the end of the one partition",
                timeout_s=100,
            )
            count = client.session("one").last_sequence
        with reading(_address(server), Start(oldest=True), session="one") as reader:
            told = reader.wait(count)
        assert [number for number, _ in told] == list(range(1, count + 1))
        assert any(value.startswith("rejected") for _, value in told)
        return told

    def close(self) -> None:
        self._stack.close()

    @staticmethod
    def _end(server: ServerProcess) -> None:
        server.channel.close()
        server.kill()


def _address(server: ServerProcess) -> str:
    return f"127.0.0.1:{server.announcement['port']}"


def partitions(server: ServerProcess) -> list[pb.Partition]:
    """Ask; none while channels to its address, which gRPC has in common, wait after a refusal."""
    try:
        with ReplayClient(_address(server)) as client:
            return client.partitions()
    except grpc.RpcError as exc:
        if exc.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return []


def wait_owners(server: ServerProcess, *owners: str) -> None:
    until(
        lambda: sorted(each.owner for each in partitions(server)) == sorted(owners),
        what=f"partitions at {owners}",
        timeout_s=60,
    )


def wait_completed(server: ServerProcess) -> None:
    until(
        lambda: {each.state for each in partitions(server)} == {pb.SESSION_STATE_COMPLETED},
        what="the end of every partition",
        timeout_s=100,
    )


@pytest.fixture
def seed() -> int:
    chosen = random.SystemRandom().randrange(2**32)
    print(f"seed {chosen}")  # noqa: T201  shown when it fails
    return chosen


@pytest.fixture
def desk(own_redis: RedisForTests, tmp_path: Path, seed: int) -> Iterator[Desk]:
    made = Desk(own_redis.url, tmp_path, write_files(tmp_path, SPREAD, seed=seed))
    with contextlib.closing(made):
        yield made


def test_a_reader_sees_one_partition_from_the_beginning_and_from_any_place(desk: Desk, seed: int) -> None:
    server = desk.start("a")
    whole = desk.of_one_partition(server)
    assert desk.read(server, Start(oldest=True)).wait(len(whole)) == whole

    wait_completed(server)
    epochs = {each.partition: each.epoch for each in partitions(server)}
    for place in random.Random(seed).sample(range(len(whole)), 6):
        behind = [0] * SPREAD.count
        for _, value in whole[:place]:
            behind[partition_of(value, SPREAD, desk.files)] += 1
        after = [
            PartitionPosition(partition=each, epoch=epochs[each], sequence=sequence)
            for each, sequence in enumerate(behind)
        ]
        reader = desk.read(server, Start(positions=tuple(after)))
        assert reader.wait(len(whole) - place) == whole[place:]


def test_tail_shows_the_last_ones_of_all_partitions_and_what_comes_then(desk: Desk, seed: int) -> None:
    server = desk.start("a")
    whole = desk.of_one_partition(server)
    wait_completed(server)
    port = {"MIDSTREAM_REPLAY_PORT": str(server.announcement["port"])}
    last = random.Random(seed).randrange(2, 500)

    shown = midstream("tail", "--last", str(last), "-n", str(last), "--json", environment=port)
    with started("tail", "-n", "1", "--json", environment=port) as tail:
        assert tail.stderr is not None
        assert tail.stdout is not None
        assert "nothing new comes" in tail.stderr.readline()
        desk.control().seek(begin=True)
        first = json.loads(tail.stdout.readline())
        assert tail.wait(timeout=60) == 0

    assert [json.loads(line)["sequence"] for line in shown.splitlines()] == [number for number, _ in whole[-last:]]
    tickers = [json.loads(line).get("ticker") for line in shown.splitlines()]
    assert tickers == [None if value.startswith("rejected") else value.split(" ")[1] for _, value in whole[-last:]]
    assert (first["type"], first["sequence"]) == ("marker", len(whole) + 1)


def started(*typed: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*typed),
        cwd=ROOT,
        env=clean_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def midstream(*typed: str, environment: dict[str, str]) -> str:
    """Run a command; return what it printed."""
    with started(*typed, environment=environment) as process:
        printed, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return printed


def test_a_reader_sees_one_partition_while_engines_are_killed_and_the_session_is_paused(desk: Desk, seed: int) -> None:
    a = desk.start("a", SPEED="1.5")
    b = desk.start("b", SPEED="1.5")
    readers = [desk.read(server, Start(oldest=True)) for server in (a, b)]
    control = desk.control()
    wait_owners(a, "a", "a", "b", "b")

    readers[0].wait(300)
    victim = random.Random(seed).choice(partitions(a))
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: partitions(a)[victim.partition].pid not in (0, victim.pid), what="another engine")
    readers[0].wait(len(readers[0].records) + 300)
    control.pause()
    until(
        lambda: {each.state for each in partitions(a)} == {pb.SESSION_STATE_PAUSED},
        what="the pause of every partition",
        timeout_s=60,
    )
    paused = len(readers[0].records)
    control.resume()
    readers[0].wait(paused + 300)
    control.set_speed(0)

    whole = desk.of_one_partition(a)
    for reader in readers:
        assert reader.wait(len(whole)) == whole
        assert not reader.missed


def test_a_reader_sees_one_barrier_where_replay_time_is_moved(desk: Desk, seed: int) -> None:
    server = desk.start("a", SPEED="2")
    whole = desk.of_one_partition(server)
    reader = desk.read(server, Start(oldest=True))
    control = desk.control()
    wait_owners(server, "a", "a", "a", "a")
    reader.wait(1_000)

    ticks = [(place, int(value.split(" ")[3])) for place, (_, value) in enumerate(whole) if value[0] != "r"]
    arrival_ns = random.Random(seed).choice(ticks)[1]
    # Rejections have the arrival time of the row before them.
    times = [int(value.split(" ")[1 if value[0] == "r" else 3]) for _, value in whole]
    first = next(place for place, time_ns in enumerate(times) if time_ns >= arrival_ns)
    control.seek(arrival_time_ns=arrival_ns)
    control.set_speed(0)
    behind = [value for _, value in whole[first:]]
    reader.wait_until(lambda: reader.values[-len(behind) :] == behind, what=f"the rest from {arrival_ns}")

    barriers = [place for place, value in enumerate(reader.values) if value.startswith("marker")]
    assert [reader.values[place] for place in barriers] == ["marker KIND_DISCONTINUITY"]
    assert reader.values[barriers[0] + 1 :] == behind
    # Before it: of every partition what it had published by then, in the one order.
    before = reader.values[: barriers[0]]
    counts = [sum(partition_of(value, SPREAD, desk.files) == each for value in before) for each in range(SPREAD.count)]
    assert before == _prefixes(whole, counts, desk.files)
    numbers = [number for number, _ in reader.records]
    assert numbers[: len(before)] == list(range(1, len(before) + 1))
    assert numbers == sorted(set(numbers))
    assert not reader.missed


def _prefixes(whole: Told, counts: list[int], files: list[Path]) -> list[str]:
    left, found = list(counts), []
    for _, value in whole:
        partition = partition_of(value, SPREAD, files)
        if left[partition]:
            left[partition] -= 1
            found.append(value)
    return found


@pytest.mark.timeout(300)
def test_every_process_is_restarted_one_after_another_and_readers_miss_nothing(desk: Desk) -> None:
    ports = {name: str(free_port()) for name in "ab"}
    # The replay lasts longer than the restarts, and is hurried at their end.
    servers = {name: desk.start(name, port=port, SPEED="0.3") for name, port in ports.items()}
    readers = {name: desk.read(server, Start(oldest=True)) for name, server in servers.items()}
    wait_owners(servers["a"], "a", "a", "b", "b")
    for name, other in ("ab", "ba"):
        readers[other].longest_s = 0.0
        assert servers[name].stop() == 0
        servers[name] = desk.start(name, port=ports[name], SPEED="0.3")
        wait_owners(servers[name], "a", "a", "b", "b")
        readers[name].wait(len(readers[name].records) + 100)
        print(f"longest delay elsewhere while {name} was restarted: {readers[other].longest_s:.2f} s")  # noqa: T201
    desk.control().set_speed(0)

    whole = desk.of_one_partition(servers["b"])
    for name, reader in readers.items():
        assert reader.wait(len(whole)) == whole
        assert not reader.missed
        assert reader.troubles, "its server was never away"
        print(f"longest delay of who reads at {name}, in all: {reader.longest_s:.2f} s")  # noqa: T201
