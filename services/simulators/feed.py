"""Serve a recorded live file as a websocket feed: `python -m services.simulators.feed`."""

from __future__ import annotations

import asyncio
import dataclasses
import http
import logging
import os
import sys
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field, field_validator
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from services.runtime.clock import Clock, SystemClock
from services.runtime.descriptors import announce_budget, descriptor_budget
from services.runtime.errors import StartRefused
from services.runtime.listening import run_listener, stop_on_signals
from services.runtime.log_fields import fields
from services.runtime.ready import ready_file
from services.runtime.settings import ProcessSettings, Switch, load
from services.runtime.web import WebLimits, WebsocketServer
from services.samples import LIVE
from services.simulators.feed_past import RESEND_MAX, Past
from services.simulators.feed_script import FeedRow, join_messages, load_script, spell_time

logger = logging.getLogger(__name__)

DEFAULT_FILE: Final = LIVE
PORT: Final = 5040
CLIENTS_MAX: Final = 64
YIELD_MESSAGES: Final = 64
"""At full speed, messages sent before other clients and pings get their turn."""
LATENCY_MEDIAN_S: Final = 0.005
SEED: Final = 20251002
GARBAGE: Final = (b"not json at all", b'{"index":1,"timestamp":', b"[1,2,3]", b'{"ticker":"X"}', b"\xff\xfe")


@dataclass(frozen=True)
class FeedFaults:
    """What goes wrong, for tests; 0 is never. Counts are messages of one connection."""

    drop_after: int = 0
    """Break the connection without a word."""
    close_after: int = 0
    """Close the connection in order."""
    stall_after: int = 0
    """Send nothing more, but keep answering pings."""
    garbage_every: int = 0
    """Send a message that cannot be used before every n-th one."""
    refuse: int = 0
    """Answer the first n handshakes with 503."""
    drops: int = 1_000_000
    """How many connections are dropped or closed before they are left alone."""


def parse_faults(text: str) -> FeedFaults:
    """Return the plan of `name=n,name=n`; raise ValueError naming what is wrong."""
    known = {field.name for field in dataclasses.fields(FeedFaults)}
    values: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, count = part.partition("=")
        if name not in known or not count.isdecimal():
            raise ValueError(f"must be name=count,... with the names {', '.join(sorted(known))}")
        values[name] = int(count)
    return FeedFaults(**values)


class SimFeed:
    """A feed that gives every client all rows from the first one, at their own pace, and is silent afterwards.

    With a `past` it runs by itself: a client gets what is sent from its connection on, and the file has what was sent.
    """

    def __init__(
        self,
        rows: list[FeedRow],
        *,
        speed: float = 1.0,
        restamp: bool = False,
        batch: int = 1,
        faults: FeedFaults | None = None,
        clock: Clock | None = None,
        seed: int = SEED,
        limits: WebLimits | None = None,
        hosts: Collection[str] = (),
        past: Past | None = None,
    ) -> None:
        self._past = past
        self._running: asyncio.Task[None] | None = None
        self._rows = rows
        self._speed = speed
        self._restamp = restamp
        self._batch = batch
        self._faults = FeedFaults() if faults is None else faults
        self._clock: Clock = SystemClock() if clock is None else clock
        self._seed = seed
        self._server = WebsocketServer(
            self._serve_client, self._admit, streams_max=CLIENTS_MAX, limits=limits, hosts=hosts
        )
        self._refused = 0
        self._dropped = 0
        self.handshakes = 0
        self.clients = 0

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port. Raises OSError."""
        started = await self._server.start(host, port)
        if self._past is not None:
            self._past.open()
            self._running = asyncio.create_task(self._run(self._past))
        return started

    async def stop(self) -> None:
        """Close every connection and the port."""
        if self._running is not None and self._past is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._past.close()
        await self._server.stop()

    def _admit(self, connection: ServerConnection, request: Any) -> Any:
        self.handshakes += 1
        if self._refused < self._faults.refuse:
            self._refused += 1
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "try again later\n")
        return None

    async def _serve_client(self, connection: ServerConnection) -> None:
        self.clients += 1
        sending = asyncio.create_task(self._send_all(connection))
        try:
            # Subscriptions and whatever else clients say is read, so that pings behind it are answered, and ignored.
            async for _ in connection:
                pass
        except ConnectionClosed:
            pass  # A client may leave without a word; that is no trouble of ours.
        finally:
            self.clients -= 1
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self, connection: ServerConnection) -> None:
        faults = self._faults
        sent = 0
        try:
            async for messages in self._own_messages() if self._past is None else self._past.listen():
                for start in range(0, len(messages), self._batch):
                    if faults.stall_after and sent >= faults.stall_after:
                        return
                    if await self._end(connection, sent):
                        return
                    if faults.garbage_every and sent % faults.garbage_every == 0:
                        garbage = GARBAGE[sent // faults.garbage_every % len(GARBAGE)]
                        await connection.send(garbage, text=garbage.isascii())
                    batch = messages[start : start + self._batch]
                    await connection.send(batch[0] if self._batch == 1 else join_messages(batch), text=True)
                    sent += 1
                    if sent % YIELD_MESSAGES == 0:
                        await asyncio.sleep(0)
            await self._end(connection, sent)
        except ConnectionClosed:
            return

    async def _end(self, connection: ServerConnection, sent: int) -> bool:
        """End the connection where the plan says so."""
        faults = self._faults
        if self._dropped >= faults.drops:
            return False
        if faults.drop_after and sent >= faults.drop_after:
            self._dropped += 1
            connection.transport.abort()
            return True
        if faults.close_after and sent >= faults.close_after:
            self._dropped += 1
            await connection.close(1001, "planned")
            return True
        return False

    async def _own_messages(self) -> AsyncIterator[list[bytes]]:
        """Yield the messages of one client."""
        random = Random(self._seed)
        async for rows in self._paced():
            yield self._messages(rows, random)

    async def _run(self, past: Past) -> None:
        """Send everything once, to the file and to all."""
        random = Random(self._seed)
        async for rows in self._paced():
            past.send(self._messages(rows, random), time_ns=self._clock.time_ns() if self._restamp else None)

    async def _paced(self) -> Any:
        """Yield runs of rows when they are due."""
        rows, position = self._rows, 0
        if self._speed == 0:
            for position in range(0, len(rows), 1024):
                yield rows[position : position + 1024]
            return
        started_ns = self._clock.monotonic_ns()
        while position < len(rows):
            now_ns = self._clock.monotonic_ns()
            due_ns = (now_ns - started_ns) * self._speed
            end = position
            while end < len(rows) and rows[end].offset_ns <= due_ns:
                end += 1
            if end > position:
                yield rows[position:end]
                position = end
            else:
                await asyncio.sleep((rows[position].offset_ns - due_ns) / self._speed / 1e9)

    def _messages(self, rows: list[FeedRow], random: Random) -> list[bytes]:
        if not self._restamp:
            return [row.message() for row in rows]
        now_ns = self._clock.time_ns()
        return [
            row.message(spell_time(now_ns - round(random.lognormvariate(0, 1) * LATENCY_MEDIAN_S * 1e9)))
            for row in rows
        ]


def _read_speed(value: object) -> object:
    return 0.0 if isinstance(value, str) and value.strip().lower() == "max" else value


class FeedSettings(ProcessSettings):
    """Settings of the simulator."""

    simulates: ClassVar[bool] = True

    port: int = Field(default=PORT, ge=0, le=65535, validation_alias="MIDSTREAM_SIM_FEED_PORT")
    file: Path = Field(default=DEFAULT_FILE, validation_alias="MIDSTREAM_SIM_FEED_FILE")
    """Rows to send, in the quotes layout; by default the sample that is installed with the servers."""
    speed: Annotated[float, BeforeValidator(_read_speed)] = Field(
        default=1.0, ge=0, le=1e6, validation_alias="MIDSTREAM_SIM_FEED_SPEED"
    )
    """Factor of the pace of the timestamps; 0 (spelt `max`) is as fast as possible."""
    restamp: Switch = Field(default=False, validation_alias="MIDSTREAM_SIM_FEED_RESTAMP")
    """On: timestamps are now minus a few milliseconds, so that latencies look like those of a real feed."""
    batch: int = Field(default=1, ge=1, le=1000, validation_alias="MIDSTREAM_SIM_FEED_BATCH")
    """Rows per message; more than one are sent as an array."""
    faults: str = Field(default="", validation_alias="MIDSTREAM_SIM_FEED_FAULTS")
    """What goes wrong, for tests: name=count,..."""

    past: Path | None = Field(default=None, validation_alias="MIDSTREAM_SIM_FEED_PAST")
    """File in the recorded layout to which everything that is sent is written; the feed then runs by itself, and a client gets what is sent
    from its connection on. Empty: every client gets all rows, and nothing is written."""
    resend: int = Field(default=0, ge=0, le=RESEND_MAX, validation_alias="MIDSTREAM_SIM_FEED_RESEND")
    """With a past: how many of the last rows a client is sent again when it connects."""

    @field_validator("past", mode="before")
    @classmethod
    def _read_empty(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("faults")
    @classmethod
    def _check_faults(cls, value: str) -> str:
        parse_faults(value)
        return value


async def run(settings: FeedSettings) -> int:
    """Serve until SIGTERM or SIGINT."""
    feed = SimFeed(
        load_script(settings.file),
        speed=settings.speed,
        restamp=settings.restamp,
        batch=settings.batch,
        faults=parse_faults(settings.faults),
        limits=WebLimits.of(settings, descriptor_budget().alone),
        hosts=settings.web_hosts,
        past=None if settings.past is None else Past(settings.past, resend=settings.resend),
    )
    try:
        port = await feed.start(settings.host, settings.port)
    except OSError as exc:
        raise StartRefused(
            f"cannot listen on {settings.host}:{settings.port} ({os.strerror(exc.errno or 0)}): "
            "stop the other process or set MIDSTREAM_SIM_FEED_PORT"
        ) from exc
    stopping = stop_on_signals()
    announce_budget()
    logger.info("serving", extra=fields(url=f"ws://{settings.host}:{port}", file=settings.file))
    with ready_file(settings.ready_file, "sim-feed", port=port):
        await stopping.wait()
    await feed.stop()
    return 0


def main() -> int:
    """Start the simulator; returns the exit code."""
    settings = load(FeedSettings)
    return run_listener("sim-feed", settings, run(settings))


if __name__ == "__main__":
    sys.exit(main())
