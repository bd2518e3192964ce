"""One connection from its opening to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from clients.resilience.ports import MonotonicNs, WallNs
from clients.sockets.errors import NotConnected, SocketError
from clients.sockets.events import Message
from clients.sockets.link import Link
from clients.sockets.policy import SocketPolicy, TextPing

T = TypeVar("T")

EARLY_MESSAGES_MAX = 4096
"""Messages kept while the opening hook runs; then nothing more is read until it is done, which an answer behind them prevents."""


class Session:
    """What an opening hook talks to, and what a consumer may send on later. Also the handler of its link."""

    def __init__(
        self,
        number: int,
        policy: SocketPolicy,
        *,
        monotonic_ns: MonotonicNs,
        wall_ns: WallNs,
        deliver: Callable[[Message], None],
        wake: Callable[[], None],
    ) -> None:
        self.number = number
        """From 1, one more for each connection of the socket."""
        self._policy = policy
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._deliver = deliver
        self._wake = wake
        self._link: Link | None = None
        self._expected: list[tuple[Callable[[bytes], Any], asyncio.Future[Any]]] = []
        self._early: list[Message] | None = []
        self.opened_ns = monotonic_ns()
        self.traffic_ns = self.opened_ns
        self.message_ns = self.opened_ns
        self.pinged_ns: int | None = None
        """When the heartbeat was sent that nothing has come after yet."""
        self.beaten_ns = self.opened_ns
        self.closed: tuple[str, int | None] | None = None
        """Reason and close code, once it is over."""

    async def send(self, payload: str | bytes) -> None:
        """Send one message; raises NotConnected when the connection is over."""
        if self._link is None or self.closed is not None:
            raise NotConnected("the connection is not open; wait for `Connected`")
        await self._link.send(payload)

    async def expect(self, match: Callable[[bytes], T | None], *, timeout_s: float = 10.0) -> T:
        """Wait for a message for which `match` returns something and return that; the message is not handed on.

        Raises what `match` raises, TimeoutError, or NotConnected when the connection ends first.
        """
        return await self._settle(self._expect(match), timeout_s)

    async def request(self, payload: str | bytes, match: Callable[[bytes], T | None], *, timeout_s: float = 10.0) -> T:
        """Send, then `expect`; an answer that comes at once is not missed."""
        answer = self._expect(match)
        try:
            await self.send(payload)
        except BaseException:
            answer.cancel()
            self._forget(answer)
            raise
        return await self._settle(answer, timeout_s)

    # What follows is for the socket, not for hooks.

    def attach(self, link: Link) -> None:
        """Take over an open link."""
        self._link = link
        self._hold_early()

    def release(self) -> None:
        """Hand on what came while the hook ran, and everything from now on. Whether to go on reading is the caller's to say."""
        early, self._early = self._early or [], None
        for message in early:
            self._deliver(message)

    def complete_since(self, now_ns: int) -> int:
        """Return since when everything is handed on that comes: since now, or since the first message that `release` hands on."""
        return min(now_ns, self._early[0].receive_wall_ns) if self._early else now_ns

    @property
    def link(self) -> Link:
        """The open link."""
        assert self._link is not None
        return self._link

    async def beat(self) -> None:
        """Send one heartbeat."""
        self.pinged_ns = self.beaten_ns = self._monotonic_ns()
        if isinstance(self._policy.heartbeat, TextPing):
            await self.link.send(self._policy.heartbeat.ping)
        else:
            await self.link.ping()

    def reading_resumed(self) -> None:
        """Begin to count silence now: what came while nothing was read does not say when it came."""
        self.traffic_ns = self.message_ns = self._monotonic_ns()
        self.pinged_ns = None

    def on_traffic(self) -> None:
        self.traffic_ns = self._monotonic_ns()
        self.pinged_ns = None

    def on_messages(self, payloads: list[bytes], *, binary: bool) -> None:
        for payload in payloads:
            self._take(payload, binary)

    def _take(self, payload: bytes, binary: bool) -> None:
        heartbeat = self._policy.heartbeat
        if isinstance(heartbeat, TextPing) and heartbeat.answered_by(payload):
            return
        for match, answer in tuple(self._expected):
            if self._answers(match, answer, payload):
                return
        now_ns = self._monotonic_ns()
        self.message_ns = now_ns
        message = Message(payload, self._wall_ns(), now_ns, self.number, binary)
        if self._early is None:
            self._deliver(message)
        else:
            self._early.append(message)
            self._hold_early()

    def on_closed(self, reason: str, code: int | None) -> None:
        self.closed = (reason, code)
        for _, answer in self._expected:
            if not answer.done():
                answer.set_exception(NotConnected(f"the connection ended before the answer came: {reason}"))
        self._expected.clear()
        self._wake()

    def _expect(self, match: Callable[[bytes], T | None]) -> asyncio.Future[T]:
        if self.closed is not None:
            raise NotConnected(f"the connection is over: {self.closed[0]}")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        # What came before anybody waited for it, such as a greeting, counts too.
        for message in tuple(self._early or ()):
            if self._answers(match, answer, message.payload):
                assert self._early is not None
                self._early.remove(message)
                return answer
        self._expected.append((match, answer))
        return answer

    async def _settle(self, answer: asyncio.Future[T], timeout_s: float) -> T:
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            self._forget(answer)

    def _hold_early(self) -> None:
        # What the same read of the socket brought comes all the same: its size is the bound beyond this one.
        if self._link is not None and len(self._early or ()) >= EARLY_MESSAGES_MAX:
            self._link.pause_reading()

    def _forget(self, answer: asyncio.Future[Any]) -> None:
        self._expected = [pair for pair in self._expected if pair[1] is not answer]

    @staticmethod
    def _answers(match: Callable[[bytes], T | None], answer: asyncio.Future[T], payload: bytes) -> bool:
        if answer.done():
            return False
        try:
            value = match(payload)
        except SocketError as error:
            answer.set_exception(error)
            return True
        except Exception as error:  # noqa: BLE001
            # A bug in `match` belongs to whoever waits for it; the reader of the connection has to go on.
            answer.set_exception(error)
            return False
        if value is None:
            return False
        answer.set_result(value)
        return True
