"""Replay servers that share a session, as processes: one comes, one goes, one is killed, and the records are the same."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from protos.common.v1.market_pb2 import TickBatch
from protos.replay.v1 import replay_pb2 as pb
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from tests.support.cli import until
from tests.support.created_sessions import CALL_S
from tests.support.redis_server import RedisForTests
from tests.support.server_process import ServerProcess

pytestmark = pytest.mark.long

PARTITIONS = 4
ROWS = 4_000
TICKERS = [f"T{number}" for number in range(13)]
STEP_MS = 5


class Fleet:
    """Replay servers over one Redis."""

    def __init__(self, url: str, directory: Path, file: Path) -> None:
        self._url, self._directory, self._file = url, directory, file
        self.servers: dict[str, ServerProcess] = {}

    def start(self, name: str, **settings: str) -> ServerProcess:
        folder = self._directory / name
        folder.mkdir()
        self.servers[name] = ServerProcess(
            "replay",
            folder,
            REDIS_URL=self._url,
            HISTORICAL=str(self._file),
            PARTITIONS=str(PARTITIONS),
            OWNER=name,
            SINKS="",
            **settings,
        )
        return self.servers[name]

    def partitions(self) -> list[pb.Partition]:
        server = next(server for server in self.servers.values() if not server.killed)
        stub = ReplayServiceStub(server.channel)
        return list(stub.ListPartitions(pb.ListPartitionsRequest(), timeout=CALL_S).partitions)

    def owners(self) -> list[str]:
        return sorted(partition.owner for partition in self.partitions())

    def wait_owners(self, *expected: str) -> None:
        until(lambda: self.owners() == sorted(expected), what=f"partitions at {expected}")

    def close(self) -> None:
        for server in self.servers.values():
            server.channel.close()
            server.kill()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """ROWS ticks of all tickers, STEP_MS apart."""
    path = tmp_path / "ticks.csv"
    with path.open("w", encoding="ascii") as rows:
        rows.write("index,timestamp,ticker,bid_price,bid_amount,ask_price,ask_amount,latency\n")
        for row in range(ROWS):
            second, millisecond = divmod(row * STEP_MS, 1000)
            stamp = f"2026-01-01 00:00:{second:02}.{millisecond:03}000"
            rows.write(f"{row},{stamp},{TICKERS[row * 7 % 13]},{100 + row}.25,1.0,{100 + row}.75,1.0,5\n")
    return path


@pytest.fixture
def fleet(own_redis: RedisForTests, tmp_path: Path, file: Path) -> Iterator[Fleet]:
    made = Fleet(own_redis.url, tmp_path, file)
    with contextlib.closing(made):
        yield made


def published(client: redis.Redis, partition: int) -> list[tuple[int, str, float]]:
    """Every tick of a partition: its number, ticker and bid."""
    found = []
    for _, fields in client.xrange(SessionKeys("default", partition).ticks):
        batch = TickBatch.FromString(fields[b"b"])
        assert not batch.markers
        numbers = range(batch.first_sequence, batch.last_sequence + 1)
        names = [batch.tickers[index] for index in batch.ticker_index]
        found += zip(numbers, names, batch.bid_price, strict=True)
    return found


def expected(partition: int) -> list[tuple[int, str, float]]:
    """The partition's ticks as the file has them."""
    spread = Partitioning(PARTITIONS)
    rows = [(TICKERS[row * 7 % 13], 100 + row + 0.25) for row in range(ROWS)]
    mine = [(ticker, bid) for ticker, bid in rows if spread.of_ticker(ticker) == partition]
    return [(number, ticker, bid) for number, (ticker, bid) in enumerate(mine, 1)]


def wait_complete(fleet: Fleet) -> None:
    until(
        lambda: all(each.state == pb.SESSION_STATE_COMPLETED for each in fleet.partitions()),
        what="the end of every partition",
    )


def test_servers_share_partitions_that_move_with_them_without_hole_or_repeat(
    fleet: Fleet, own_client: redis.Redis
) -> None:
    # Twenty seconds of data at twice their pace: everything below happens while records leave.
    fleet.start("a", SPEED="2")
    fleet.wait_owners("a", "a", "a", "a")
    fleet.start("b", SPEED="2")
    fleet.wait_owners("a", "a", "b", "b")
    fleet.servers["a"].kill()
    fleet.wait_owners("b", "b", "b", "b")
    fleet.start("c", SPEED="max")
    fleet.wait_owners("b", "b", "c", "c")
    assert fleet.servers["b"].stop() == 0
    fleet.servers["b"].killed = True
    fleet.wait_owners("c", "c", "c", "c")
    wait_complete(fleet)

    assert {each.watermark_time_ns for each in fleet.partitions()} == {2**63 - 1}
    for partition in range(PARTITIONS):
        assert published(own_client, partition) == expected(partition)


def test_an_engine_that_is_stopped_loses_its_partition_and_cannot_write_when_it_wakes(
    fleet: Fleet, own_client: redis.Redis
) -> None:
    fleet.start("a", SPEED="1")
    fleet.wait_owners("a", "a", "a", "a")
    [stopped] = [each for each in fleet.partitions() if each.partition == 2]
    os.kill(stopped.pid, signal.SIGSTOP)
    until(
        lambda: fleet.partitions()[2].pid not in (0, stopped.pid),
        what="another engine for the partition",
    )
    fleet.servers["a"].stop()
    fleet.servers["a"].killed = True
    fleet.start("d", SPEED="max")
    wait_complete(fleet)

    assert published(own_client, 2) == expected(2)
