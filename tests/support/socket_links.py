"""Websocket connections that a test plays the other side of, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from clients.resilience.ports import RandomSource
from clients.sockets import ConnectBudget, Event, Message, ResilientSocket, Session, SocketPolicy
from clients.sockets.link import Link, LinkHandler, Target
from tests.support.virtual_time import VirtualLoop


class ScriptedLink:
    """One connection. The test calls `receive`, `pong` and `drop`; what the socket did stands in the attributes."""

    def __init__(self, number: int, target: Target, handler: LinkHandler) -> None:
        self.number = number
        self.target = target
        self.handler = handler
        self.sent: list[str] = []
        self.pings = 0
        self.reading = True
        self.closed = False
        self.answers_pings = True
        self.answers: Callable[[str], list[str]] = lambda payload: []
        """What the other side says to a message, at once."""
        self.end = ""

    def receive(self, payload: str | bytes) -> None:
        """Let a message arrive; a socket that does not read must not get one."""
        assert self.reading, "delivered although nothing is being read"
        assert not self.closed, "delivered on a closed connection"
        self.handler.on_traffic()
        binary = isinstance(payload, bytes)
        self.handler.on_messages([payload if isinstance(payload, bytes) else payload.encode()], binary=binary)

    def drop(self, reason: str = "the connection broke", code: int | None = None) -> None:
        """End it from the other side."""
        if not self.closed:
            self.closed = True
            self.end = reason
            self.handler.on_closed(reason, code)

    async def send(self, payload: str | bytes) -> None:
        text = payload if isinstance(payload, str) else payload.decode()
        self.sent.append(text)
        for answer in self.answers(text):
            self.receive(answer)

    async def ping(self) -> None:
        self.pings += 1
        if self.answers_pings:
            self.handler.on_traffic()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self, reason: str) -> None:
        self.drop(reason)

    async def close(self) -> None:
        self.drop("closed by us")


class ScriptedDialer:
    """Opens scripted links; `plan` may prepare a link, or raise what an attempt raises."""

    def __init__(self, loop: VirtualLoop, plan: Callable[[ScriptedLink], None] = lambda link: None) -> None:
        self._loop = loop
        self.plan = plan
        self.links: list[ScriptedLink] = []
        self.attempts_ns: list[int] = []
        self._opened = asyncio.Event()

    async def __call__(self, target: Target, handler: LinkHandler) -> Link:
        self.attempts_ns.append(self._loop.monotonic_ns())
        link = ScriptedLink(len(self.attempts_ns), target, handler)
        self.plan(link)
        self.links.append(link)
        self._opened.set()
        return link

    async def link(self, number: int) -> ScriptedLink:
        """Return the nth link that was opened, from 1, waiting for it."""
        while len(self.links) < number:
            self._opened.clear()
            await self._opened.wait()
        return self.links[number - 1]

    def most_in(self, window_s: float) -> int:
        """Return the largest number of attempts that began within one window, wherever it begins."""
        window_ns = round(window_s * 1e9)
        return max(
            sum(1 for other in self.attempts_ns if begin <= other < begin + window_ns) for begin in self.attempts_ns
        )


class NoJitter:
    """Randomness at its worst for the other side: every delay is as short as it may be."""

    def uniform(self, a: float, b: float, /) -> float:
        return a

    def random(self) -> float:
        return 0.0


class FullDelay:
    """Every delay is as long as it may be."""

    def uniform(self, a: float, b: float, /) -> float:
        return b

    def random(self) -> float:
        return 1.0 - 2**-53


def scripted_socket(
    loop: VirtualLoop,
    dialer: ScriptedDialer,
    policy: SocketPolicy | None = None,
    *,
    random: RandomSource | None = None,
    on_open: Callable[[Session], Any] | None = None,
    budget: ConnectBudget | None = None,
    url: Any = "ws://exchange.invalid/feed?key=canary",
    **options: Any,
) -> ResilientSocket:
    """Return a socket over scripted links, in the loop's time."""
    return ResilientSocket(
        url,
        name="scripted",
        policy=policy,
        on_open=on_open,
        budget=budget,
        dial=dialer,
        sleep=asyncio.sleep,
        monotonic_ns=loop.monotonic_ns,
        wall_ns=loop.wall_ns,
        random=random if random is not None else Random(0),
        **options,
    )


class Reader:
    """Reads a socket in a task of its own and keeps what it read."""

    def __init__(self, socket: ResilientSocket) -> None:
        self._socket = socket
        self.events: list[Event] = []
        self._task = asyncio.create_task(self._read())

    @property
    def payloads(self) -> list[str]:
        """Texts of the messages."""
        return [event.payload.decode() for event in self.events if isinstance(event, Message)]

    def kinds(self) -> list[str]:
        """Names of the events."""
        return [type(event).__name__ for event in self.events]

    async def stop(self) -> None:
        """Close the socket and end."""
        await self._socket.close()
        await self._task

    async def _read(self) -> None:
        async for event in self._socket:
            self.events.append(event)
