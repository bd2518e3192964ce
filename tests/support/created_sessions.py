"""Sessions as a test creates and follows them over gRPC."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import redis

from protos.common.v1.market_pb2 import TickBatch
from protos.price.v1.price_pb2_grpc import PriceServiceStub
from protos.replay.v1 import replay_pb2 as pb
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.runtime.session.keys import SessionKeys
from tests.support.cli import until
from tests.support.server_process import ServerProcess, server_process

CALL_S = 30.0
BEGIN_NS = 1_767_225_600_000_000_000
"""2026-01-01 00:00:00 UTC."""


def write_ticks(path: Path, rows: int, *, ticker: str = "BTC", step_ms: int = 10) -> Path:
    """Write a file of sorted ticks, 5 ms late each."""
    with path.open("w", encoding="ascii") as file:
        file.write("index,timestamp,ticker,bid_price,bid_amount,ask_price,ask_amount,latency\n")
        for row in range(rows):
            second, millisecond = divmod(row * step_ms, 1000)
            minute, second = divmod(second, 60)
            price = 100 + row % 50
            file.write(
                f"{row},2026-01-01 00:{minute:02}:{second:02}.{millisecond:03}000,{ticker},{price}.25,1.0,{price}.75,1.0,5\n"
            )
    return path


def reported(client: redis.Redis, session: str) -> dict[str, object]:
    """Return what a session's engine says of itself; nothing where it has not spoken."""
    found: dict[str, object] = json.loads(client.get(SessionKeys(session).state) or "{}")
    return found


class SessionCalls:
    """The session methods of one replay server."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = ReplayServiceStub(channel)

    def create(self, session: str = "", **definition: Any) -> pb.Session:
        if "files" in definition:
            definition["files"] = [os.fspath(path) for path in definition["files"]]
        request = pb.CreateSessionRequest(session=session, definition=pb.SessionDefinition(**definition))
        return self.stub.CreateSession(request, timeout=CALL_S).session

    def get(self, session: str) -> pb.Session:
        return self.stub.GetSession(pb.GetSessionRequest(session=session), timeout=CALL_S).session

    def names(self) -> list[str]:
        return [session.name for session in self.stub.ListSessions(pb.ListSessionsRequest(), timeout=CALL_S).sessions]

    def delete(self, session: str) -> dict[str, str]:
        answer = self.stub.DeleteSession(pb.DeleteSessionRequest(session=session), timeout=CALL_S)
        return {logs.sink: logs.directory for logs in answer.logs}

    def wait_state(self, session: str, state: pb.SessionState) -> pb.Session:
        """Wait until a session is in a state; return it."""
        until(lambda: self.get(session).state == state, what=f"session {session} {pb.SessionState.Name(state)}")
        return self.get(session)

    def wait_read(self, session: str, *, rows: int) -> None:
        """Wait until a session has published so many records and its sinks have them all, by one and the same report."""

        def is_read() -> bool:
            found = self.get(session)
            return found.last_sequence == rows and found.backlog_records == 0

        until(is_read, what=f"the sinks of {session}")

    def ticks(self, session: str, *, to: int) -> list[TickBatch]:
        """Read a session from its beginning up to the record `to`."""
        call = self.stub.StreamTicks(pb.StreamTicksRequest(session=session), timeout=CALL_S)
        batches = []
        for batch in call:
            batches.append(batch)
            if batch.last_sequence >= to:
                break
        call.cancel()
        return batches


class Servers:
    """A replay and a price server, started anew where a test wants it."""

    def __init__(self, redis_url: str, directory: Path, data: Path, settings: Mapping[str, str]) -> None:
        self.out = directory / "out"
        self._directory = directory
        self._settings = {
            "REDIS_URL": redis_url,
            "HISTORICAL": str(data / "own.csv"),
            "SESSION": "own",
            "PRICE_EXCHANGES": "",
            **settings,
        }
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Servers:
        self.replay = self.start("replay")
        self.price = self.start("price")
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def start(self, name: str, directory: Path | None = None, **settings: str) -> ServerProcess:
        """Start one (again), or another one in a directory of its own."""
        process = server_process(name, directory or self._directory, **{**self._settings, **settings})
        return self._stack.enter_context(process)

    def restart_replay(self) -> None:
        """Kill the replay server with all that it runs, and start it again."""
        self.replay.kill()
        # What it announced would be taken for its heir's.
        (self._directory / "replay.ready.json").unlink()
        self.replay = self.start("replay")

    @property
    def calls(self) -> SessionCalls:
        return SessionCalls(self.replay.channel)

    @property
    def mids(self) -> PriceServiceStub:
        return PriceServiceStub(self.price.channel)

    def log(self, session: str, name: str = "mid_prices.log") -> bytes:
        return (self.out / session / name).read_bytes()
