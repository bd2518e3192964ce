"""Feeds with a past in a thread of a test: one sends by itself, one sends, and breaks its connections, when the test says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection

from services.simulators.feed import SimFeed
from services.simulators.feed_past import Past
from services.simulators.feed_script import FeedRow, load_script


class FeedInThread(SimFeed):
    """Sends its script by itself, at its own pace, from `open` on, whether or not somebody listens."""

    def __init__(self, script: list[FeedRow], past: Past) -> None:
        super().__init__(script, past=past)
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def open(self) -> None:
        """Listen, from a thread."""
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._run_there(self.start('127.0.0.1', 0))}"

    def hush(self) -> None:
        """Send nothing more by itself; connections stay open."""

        async def now() -> None:
            if self._running is not None:
                self._running.cancel()

        self._run_there(now())

    def close(self) -> None:
        """End everything."""
        self._run_there(self.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run_there(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


class DrivenFeed(FeedInThread):
    """Sends its script bit by bit: to the file, and to who listens."""

    def __init__(self, script: list[FeedRow], past: Past) -> None:
        super().__init__([], past=past)
        self.sent = 0
        """Records so far."""
        self.sent_before = 0
        """What of these was sent before the newest connection."""
        self._script = script
        self._to = past
        self._connections: list[ServerConnection] = []

    async def _serve_client(self, connection: ServerConnection) -> None:
        self._connections.append(connection)
        self.sent_before = self.sent
        await super()._serve_client(connection)

    def send(self, count: int) -> None:
        """Send the next records; returns when they are in the file and on their way. The script must have as many."""
        assert self.sent + count <= len(self._script), "the script is over"

        async def now() -> None:
            rows = self._script[self.sent : self.sent + count]
            self._to.send([row.message() for row in rows], time_ns=None)
            self.sent += count

        self._run_there(now())

    def drop(self) -> None:
        """Break every connection without a word."""

        async def now() -> None:
            while self._connections:
                self._connections.pop().transport.abort()

        self._run_there(now())


@contextmanager
def driven_feed(script: Path, recorded: Path, *, resend: int) -> Iterator[DrivenFeed]:
    """Serve `script`; what was sent lies in `recorded`, and who connects gets the last `resend` records again."""
    feed = DrivenFeed(load_script(script), Past(recorded, resend=resend))
    feed.open()
    try:
        yield feed
    finally:
        feed.close()


@contextmanager
def running_feed(script: Path, recorded: Path) -> Iterator[FeedInThread]:
    """Serve `script` at its own pace; what was sent lies in `recorded`."""
    feed = FeedInThread(load_script(script), Past(recorded))
    feed.open()
    try:
        yield feed
    finally:
        feed.close()
