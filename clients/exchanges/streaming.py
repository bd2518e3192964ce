"""Parts that the streams of all exchanges share: their sockets, pumping quotes, counting what is unusable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from clients.exchanges.base import ClientPorts
from clients.exchanges.model import Quote
from clients.exchanges.quote_relay import QuoteRelay, QuoteSink
from clients.logs import fields
from clients.resilience.ports import RandomSource, Sleep, system_random
from clients.sockets import ConnectBudget, Dialer, ResilientSocket, SocketPolicy, SocketStatus
from clients.sockets.resilient import Headers, OpenHook, Url

logger = logging.getLogger(__name__)

T = TypeVar("T")

EVENTS_WAITING_MAX: Final = 1024
"""User events of several sockets that wait for one consumer; then the sockets stop reading."""
LOGGED_EACH: Final = 1000
"""Of the unusable frames of a stream, the first and every so many are logged."""


@dataclass(frozen=True)
class StreamPorts:
    """What tests decide about the sockets of a client."""

    dial: Dialer | None = None
    sleep: Sleep = asyncio.sleep
    random: RandomSource | None = None


class StreamHub:
    """Makes the sockets of one client and knows them, so that health can ask."""

    def __init__(self, exchange: str, ports: ClientPorts, stream_ports: StreamPorts, budget: ConnectBudget) -> None:
        self._exchange = exchange
        self._ports = ports
        self._stream_ports = stream_ports
        self._sockets: dict[str, ResilientSocket] = {}
        self._made = 0
        self.budget = budget
        """Shared by all sockets: exchanges count the connections of an address."""
        self.random = stream_ports.random or system_random()

    @property
    def sleep(self) -> Sleep:
        """How streams wait."""
        return self._stream_ports.sleep

    def open(
        self, kind: str, url: Url, policy: SocketPolicy, on_open: OpenHook, headers: Headers | None = None
    ) -> ResilientSocket:
        """Return a socket that is opened when it is iterated; `release` it afterwards."""
        self._made += 1
        name = f"{self._exchange} {kind} {self._made}"
        socket = ResilientSocket(
            url,
            name=name,
            policy=policy,
            headers=headers,
            on_open=on_open,
            budget=self.budget,
            dial=self._stream_ports.dial,
            sleep=self._stream_ports.sleep,
            monotonic_ns=self._ports.monotonic_ns,
            wall_ns=self._ports.wall_ns,
            random=self.random,
        )
        self._sockets[name] = socket
        return socket

    async def release(self, socket: ResilientSocket) -> None:
        """Close a socket and forget it."""
        self._sockets.pop(socket.status().name, None)
        await socket.close()

    def statuses(self) -> Sequence[SocketStatus]:
        """Return how every open stream is, for health."""
        return [socket.status() for socket in self._sockets.values()]

    async def close(self) -> None:
        """Close what is still open."""
        for socket in tuple(self._sockets.values()):
            await self.release(socket)


class Unusable:
    """Counts frames that could not be used; none of them may end a stream."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self.count = 0

    def note(self, error: Exception) -> None:
        """Count one; log some."""
        self.count += 1
        if self.count % LOGGED_EACH == 1:
            logger.warning("unusable frame", extra=fields(stream=self._stream, count=self.count, cause=error))


class Pump(Protocol):
    """Reads one socket into a sink until it is cancelled."""

    async def __call__(self, sink: QuoteSink) -> None: ...


async def relayed(pumps: Sequence[Pump]) -> AsyncGenerator[Quote, None]:
    """Yield the newest quotes that the pumps put into a relay; end them when closed."""
    relay = QuoteRelay()
    tasks = [asyncio.create_task(_guard(pump(relay), relay.fail)) for pump in pumps]
    try:
        while True:
            yield await relay.take()
    finally:
        await _end(tasks)


async def follow(pumps: Sequence[Pump], sink: QuoteSink) -> None:
    """Let the pumps put every quote into `sink`, none conflated, until cancelled; raises what one of them fails with."""
    tasks = [asyncio.create_task(_running(pump(sink))) for pump in pumps]
    try:
        await asyncio.gather(*tasks)
    finally:
        await _end(tasks)


async def _running(awaited: Awaitable[None]) -> None:
    await awaited


async def merged(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Yield what several generators yield, each in its order; close them when closed."""
    queue: asyncio.Queue[T | BaseException] = asyncio.Queue(EVENTS_WAITING_MAX)

    async def forward(stream: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(stream):
                async for item in stream:
                    await queue.put(item)
        except Exception as error:  # noqa: BLE001  whoever reads the merged stream has to see it
            await queue.put(error)

    tasks = [asyncio.create_task(forward(stream)) for stream in streams]
    try:
        while True:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        await _end(tasks)


async def _guard(running: Awaitable[None], fail: Callable[[BaseException], None]) -> None:
    try:
        await running
    except Exception as error:  # noqa: BLE001  a stream that ended by a bug must not look like a quiet one
        fail(error)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
