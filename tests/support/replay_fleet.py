"""Replay servers that share the partitions of a session, and what each partition is to hold in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from protos.common.v1.market_pb2 import TickBatch
from protos.replay.v1 import replay_pb2 as pb
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from tests.support.cli import until
from tests.support.created_sessions import CALL_S
from tests.support.server_process import ServerProcess

PARTITIONS = 4
ROWS = 4_000
TICKERS = [f"T{number}" for number in range(13)]
STEP_MS = 5


class Fleet:
    """Replay servers over one Redis."""

    def __init__(self, url: str, directory: Path, file: Path, *, session: str = "default") -> None:
        self._url, self._directory, self._file, self._session = url, directory, file, session
        self.servers: dict[str, ServerProcess] = {}

    def start(self, name: str, **settings: str) -> ServerProcess:
        """Start one; its name is that of the owner."""
        folder = self._directory / name
        folder.mkdir()
        self.servers[name] = ServerProcess(
            "replay",
            folder,
            open_files=0,
            REDIS_URL=self._url,
            SESSION=self._session,
            HISTORICAL=str(self._file),
            PARTITIONS=str(PARTITIONS),
            OWNER=name,
            SINKS="",
            **settings,
        )
        return self.servers[name]

    def partitions(self) -> list[pb.Partition]:
        """Ask one of them."""
        server = next(server for server in self.servers.values() if not server.killed)
        stub = ReplayServiceStub(server.channel)
        return list(stub.ListPartitions(pb.ListPartitionsRequest(), timeout=CALL_S).partitions)

    def owners(self) -> list[str]:
        """Name the owner of each partition, in the order of names."""
        return sorted(partition.owner for partition in self.partitions())

    def wait_owners(self, *expected: str) -> None:
        """Wait until these have the partitions; also through the change of a primary, when nobody can tell."""
        until(lambda: self._answers(lambda: self.owners() == sorted(expected)), what=f"partitions at {expected}")

    def is_complete(self) -> bool:
        """Tell whether every partition is at its end."""
        return self._answers(lambda: all(each.state == pb.SESSION_STATE_COMPLETED for each in self.partitions()))

    def wait_complete(self) -> None:
        """Wait for the end of every partition."""
        until(self.is_complete, what="the end of every partition", timeout_s=90.0)

    @staticmethod
    def _answers(asked: Callable[[], bool]) -> bool:
        try:
            return asked()
        except grpc.RpcError as exc:
            if not isinstance(exc, grpc.Call) or exc.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False

    def close(self) -> None:
        """Kill all."""
        for server in self.servers.values():
            server.channel.close()
            server.kill()


def write_file(path: Path) -> Path:
    """Write ROWS ticks of all tickers, STEP_MS apart."""
    with path.open("w", encoding="ascii") as rows:
        rows.write("index,timestamp,ticker,bid_price,bid_amount,ask_price,ask_amount,latency\n")
        for row in range(ROWS):
            second, millisecond = divmod(row * STEP_MS, 1000)
            stamp = f"2026-01-01 00:00:{second:02}.{millisecond:03}000"
            rows.write(f"{row},{stamp},{TICKERS[row * 7 % 13]},{100 + row}.25,1.0,{100 + row}.75,1.0,5\n")
    return path


def published(client: Any, partition: int, *, session: str = "default") -> list[tuple[int, str, float]]:
    """Every tick of a partition: its number, ticker and bid."""
    found: list[tuple[int, str, float]] = []
    for _, fields in client.xrange(SessionKeys(session, partition).ticks):
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
