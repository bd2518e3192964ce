"""The dashboard without a port: requests in, answers out, on a read model whose clock stands where the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.reporting.engine.deals import DealReader
from services.reporting.engine.history import HistoryReader
from services.reporting.engine.read_model import ReadModel
from services.reporting.engine.snapshot import SnapshotReader
from services.reporting.web.app import Dashboard, dashboard
from services.runtime.access.build import Access
from services.runtime.access.http import HttpAccess
from tests.support.reporting_desk import Desk


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class DeskApp:
    """A read model and its dashboard over a desk's database."""

    def __init__(self, desk: Desk, *, now_ns: int, heartbeat_s: float = 10.0, access: HttpAccess | None = None) -> None:
        self.now_ns = now_ns
        self.monotonic_ns = 1
        self.reader = SnapshotReader(desk.engine, wall_ns=lambda: self.now_ns, monotonic_ns=lambda: self.monotonic_ns)
        self.model = ReadModel(
            self.reader,
            wall_ns=lambda: self.now_ns,
            monotonic_ns=lambda: self.monotonic_ns,
            sleep=asyncio.sleep,
        )
        self.deals = DealReader(desk.engine)
        self.event_headers: dict[bytes, bytes] = {}
        """Of the newest event stream."""
        self.app: Dashboard = dashboard(
            self.model,
            self.deals,
            HistoryReader(desk.engine),
            access=access or Access({}).http,
            hosts=(),
            bound_host="127.0.0.1",
            heartbeat_s=heartbeat_s,
            wall_ns=lambda: self.now_ns,
        )

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1e9)
        self.monotonic_ns += round(seconds * 1e9)

    async def get(self, target: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> Got:
        """Ask for one thing."""
        path, _, query = target.partition("?")
        scope = _scope(path, query, method, headers or {})
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        start = messages[0]
        body = b"".join(message.get("body", b"") for message in messages[1:])
        return Got(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[asyncio.Queue[str]]:
        """Open an event stream; the queue gets what is sent."""
        received: asyncio.Queue[str] = asyncio.Queue()
        leaving = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await leaving.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if "status" in message:
                self.event_headers = dict(message["headers"])
            text = message["type"] if "status" in message else message["body"].decode()
            await received.put(text)

        task = asyncio.create_task(self.app(_scope("/events", "", "GET", {}), receive, send))
        try:
            yield received
        finally:
            leaving.set()
            await task


def _scope(path: str, query: str, method: str, headers: dict[str, str]) -> dict[str, Any]:
    sent = {"host": "localhost:8081"} | headers
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }
