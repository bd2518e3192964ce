"""A control server inside the test, and an engine that does nothing but apply intents."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import redis

from protos.control.v1.control_pb2_grpc import ControlServiceStub, add_ControlServiceServicer_to_server
from services.control.journal import ControlJournal
from services.control.servicer import ControlServicer
from services.control.sessions import SessionReports
from services.replay.engine.journal import JournalEntry, parse_entry
from services.runtime.clock import SystemClock
from services.runtime.connection import connect, connect_async, redacted
from services.runtime.interceptors import CallInterceptor
from services.runtime.server import process_metrics
from services.runtime.session.effects import Effect
from services.runtime.session.events import Cancel, Seek, Step
from services.runtime.session.intents import Pause, Resume, SetMode, SetRange, SetSpeed
from services.runtime.session.keys import SESSIONS, SessionKeys
from tests.support.waiting import wait_until

HISTORICAL, LIVE = 1, 2
CALL_S = 20.0


class EngineStandIn:
    """Applies intents when it is told to, as the engine does, and reports."""

    def __init__(self, url: str, session: str, *, live: bool = True, historical: bool = True) -> None:
        self._client: redis.Redis = connect(url, client_name="test-engine")
        self.keys = SessionKeys(session)
        self.applied: list[JournalEntry] = []
        self.report: dict[str, Any] = {
            "state": "RUNNING",
            "mode": HISTORICAL,
            "revision": 0,
            "paused": False,
            "speed": 4.0,
            "last_sequence": 17,
            "live_configured": live,
            "historical_configured": historical,
            "live_connected": False,
            "error": "",
            "refused": None,
            "scheduled": [],
        }
        self.refuses = ""
        self.effects = 0
        self.publish()

    def publish(self, **changes: Any) -> None:
        """Report, with changes."""
        self.report |= changes
        self._client.sadd(SESSIONS, self.keys.session)
        self._client.set(self.keys.state, json.dumps({"reported_time_ns": time.time_ns(), **self.report}))

    def expire(self) -> None:
        """Let the report expire, as it does an hour after an engine has ended."""
        self._client.delete(self.keys.state)

    def journal(self) -> list[dict[str, Any]]:
        """Every intent in the journal."""
        entries: Any = self._client.xrange(self.keys.control)
        return [json.loads(fields[b"intent"]) for _, fields in entries]

    def apply(self) -> None:
        """Apply what is in the journal."""
        entries: Any = self._client.xrange(self.keys.control, f"0-{self.report['revision'] + 1}")
        for entry_id, fields in entries:
            entry = parse_entry(int(entry_id.split(b"-")[1]), fields[b"intent"])
            self.applied.append(entry)
            changes: dict[str, Any] = {"revision": entry.revision}
            if entry.intent is not None and entry.intent.when is not None:
                self._note_effect(entry)
                self.publish(**changes, scheduled=[*self.report["scheduled"], entry.fields()])
                continue
            match entry.intent.change if entry.intent is not None else None:
                case SetMode() if self.refuses:
                    changes["refused"] = {"revision": entry.revision, "reason": self.refuses}
                case SetMode(mode=mode):
                    changes["mode"] = mode
                case SetSpeed(speed=speed):
                    changes["speed"] = speed
                case Pause():
                    changes["paused"] = True
                case Resume():
                    changes["paused"] = False
                case SetRange(range=played):
                    changes["range"] = str(played)
                case Seek() | Step() | Cancel():
                    self._note_effect(entry)
            self.publish(**changes)

    def _note_effect(self, entry: JournalEntry) -> None:
        self.effects += 1
        effect = Effect(
            number=self.effects,
            revision=entry.revision,
            intent=entry.intent,
            epoch="e",
            sequence=17,
            mode=HISTORICAL,
            refused=self.refuses,
            marker_sequence=18,
            steps=4,
            position_arrival_time_ns=99,
        )
        self._client.xadd(self.keys.effects, {"effect": effect.encode()}, id=f"0-{self.effects}")

    def wait_journalled(self, count: int) -> None:
        """Wait until the journal has `count` intents."""
        wait_until(lambda: self._client.xlen(self.keys.control) >= count, what=f"{count} intents")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Apply intents as they come."""

        async def follow() -> None:
            while True:
                await asyncio.to_thread(self.apply)
                await asyncio.sleep(0.005)

        task = asyncio.create_task(follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def close(self) -> None:
        self._client.close()


@contextlib.asynccontextmanager
async def serving(url: str, session: str, archive: Path) -> AsyncIterator[ControlServiceStub]:
    """A control server in this process and a stub of it."""
    client = connect_async(url, client_name="midstream-control")
    journal = ControlJournal(client, clock=SystemClock(), archive_directory=archive)
    reports = SessionReports(journal, default_session=session, redis_url=redacted(url))
    server = grpc.aio.server(interceptors=(CallInterceptor(process_metrics()),))
    add_ControlServiceServicer_to_server(ControlServicer(journal, reports, default_session=session), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield ControlServiceStub(channel)
    finally:
        await server.stop(0)
        await client.aclose()
