"""A websocket that comes back by itself."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from clients.logs import fields
from clients.resilience.ports import MonotonicNs, RandomSource, Sleep, WallNs, system_random
from clients.sockets.budget import ConnectBudget
from clients.sockets.dial import WebsocketDialer
from clients.sockets.errors import NotConnected
from clients.sockets.events import Connected, Disconnected, Event, Message
from clients.sockets.link import Dialer, Target
from clients.sockets.pace import ReconnectPace
from clients.sockets.policy import SocketPolicy
from clients.sockets.queue import EventQueue
from clients.sockets.seam import Seam
from clients.sockets.session import Session
from clients.sockets.status import SocketState, SocketStatus
from clients.sockets.watch import Watch

logger = logging.getLogger(__name__)

ROTATION_RETRY_S = 60.0
"""Wait after a successor that could not be opened; the old connection goes on meanwhile."""

Url = str | Callable[[], str | Awaitable[str]]
Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]
OpenHook = Callable[[Session], Awaitable[None]]


class ResilientSocket:
    """Async iterator of what happens on a websocket, over all reconnects, until `close`.

    `url` and `headers` may be callables: they are asked before every attempt (fresh signatures, listen keys, resume cursors).
    `on_open` runs on every new connection before `Connected` is handed out: it subscribes and checks the answers; whatever it raises ends
    that connection and counts as a failed attempt (AuthRefused: the next one waits at least `policy.auth_delay_s`).
    `seam_key` says what makes two messages of an overlap the same; by default their bytes.
    One consumer at a time. It never gives up: `status()` says what is wrong while it tries.
    """

    def __init__(
        self,
        url: Url,
        *,
        name: str,
        policy: SocketPolicy | None = None,
        headers: Headers | None = None,
        on_open: OpenHook | None = None,
        seam_key: Callable[[bytes], Hashable] | None = None,
        budget: ConnectBudget | None = None,
        dial: Dialer | None = None,
        sleep: Sleep = asyncio.sleep,
        monotonic_ns: MonotonicNs = time.monotonic_ns,
        wall_ns: WallNs = time.time_ns,
        random: RandomSource | None = None,
    ) -> None:
        self._url = url
        self._headers: Headers = {} if headers is None else headers
        self._name = name
        self._policy = SocketPolicy() if policy is None else policy
        self._on_open = on_open
        self._seam_key: Callable[[bytes], Hashable] = seam_key or bytes
        self._dial: Dialer = dial or WebsocketDialer(self._policy)
        self._sleep = sleep
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._pace = ReconnectPace(self._policy, random or system_random())
        own = ConnectBudget(self._policy.attempts_max, self._policy.attempts_window_s, monotonic_ns=monotonic_ns)
        self._budgets = (own,) if budget is None else (own, budget)
        self._queue = EventQueue(
            messages_max=self._policy.queue_messages_max,
            bytes_max=self._policy.queue_bytes_max,
            overflow=self._policy.overflow,
            on_full=self._pause,
            on_room=self._resume,
        )
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._state = SocketState.IDLE
        self._sessions: list[Session] = []
        """Open ones: one, or two in an overlap; the last is current."""
        self._seam: Seam | None = None
        self._restart: str | None = None
        self._attempts = self._connections = self._messages = 0
        self._message_ns: int | None = None
        self._last_error = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._task is None and self._state is SocketState.IDLE:
            self._task = asyncio.create_task(self._run(), name=f"socket {self._name}")
        event = await self._queue.get()
        if event is None:
            if self._task is not None and self._task.done() and not self._task.cancelled():
                # Only a bug ends the task by itself; it must not look like a quiet feed.
                self._task.result()
            raise StopAsyncIteration
        return event

    async def send(self, payload: str | bytes) -> None:
        """Send on the current connection; raises NotConnected without one."""
        await self.session.send(payload)

    @property
    def session(self) -> Session:
        """The current connection; raises NotConnected without one."""
        if not self._sessions:
            raise NotConnected(f"{self._name} is not connected: {self._last_error or 'it has not been opened yet'}")
        return self._sessions[-1]

    def reconnect(self, reason: str) -> None:
        """End the current connection and open the next one at once, within the attempts that the policy allows."""
        self._restart = reason
        self._wake.set()

    def status(self) -> SocketStatus:
        """Return a snapshot for health checks."""
        now_ns = self._monotonic_ns()
        session = self._sessions[-1] if self._sessions else None
        limit_s = self._policy.stale_after_s
        silent_s = 0.0 if session is None or self._queue.full else (now_ns - session.message_ns) / 1e9
        return SocketStatus(
            name=self._name,
            state=self._state,
            stale=limit_s is not None and silent_s >= limit_s,
            message_age_s=None if self._message_ns is None else (now_ns - self._message_ns) / 1e9,
            connected_s=None if session is None else (now_ns - session.opened_ns) / 1e9,
            attempts=self._attempts,
            connections=self._connections,
            messages=self._messages,
            dropped=self._queue.dropped,
            waiting=len(self._queue),
            last_error=self._last_error,
        )

    async def close(self) -> None:
        """End everything; what has not been read is thrown away. Safe to call twice."""
        self._state = SocketState.CLOSED
        self._queue.close(discard=True)
        if self._task is not None:
            self._task.cancel()
            try:
                await self._task
            except asyncio.CancelledError:
                pass
            except Exception:
                # Only a bug gets here; whoever iterates gets it raised, and closing has to go on.
                logger.exception("socket ended by a bug", extra=fields(name=self._name))
        while self._sessions:
            await self._close_session(self._sessions.pop())

    async def _run(self) -> None:
        try:
            while True:
                await self._queue.room_for_notices()
                session = await self._open_next()
                while session is not None:
                    session = await self._run_session(session)
        finally:
            # Also after a bug: a consumer has to see the end instead of waiting for ever.
            self._queue.close(discard=False)

    async def _open_next(self) -> Session | None:
        """Make one attempt; after a failure, wait and return None."""
        try:
            session = await self._open()
        except Exception as error:  # noqa: BLE001
            # Whatever a dialer, a callable or a hook raises means the same: no connection this time. Cancellation passes.
            self._note(_describe(error))
            self._state = SocketState.WAITING
            await self._sleep(self._pace.after_failure(error))
            return None
        self._add(session, planned=False)
        return session

    async def _open(self) -> Session:
        await self._take_attempt()
        self._attempts += 1
        if not self._sessions:
            self._state = SocketState.CONNECTING
        session = Session(
            self._attempts,
            self._policy,
            monotonic_ns=self._monotonic_ns,
            wall_ns=self._wall_ns,
            deliver=self._deliver,
            wake=self._wake.set,
        )
        url = self._url if isinstance(self._url, str) else self._url()
        headers = self._headers() if callable(self._headers) else self._headers
        async with asyncio.timeout(self._policy.open_timeout_s):
            target = Target(await url if inspect.isawaitable(url) else url, headers)
        async with asyncio.timeout(self._policy.open_timeout_s):
            link = await self._dial(target, session)
        session.attach(link)
        try:
            if self._on_open is not None:
                async with asyncio.timeout(self._policy.open_timeout_s):
                    await self._on_open(session)
            if session.closed is not None:
                raise NotConnected(session.closed[0])
        except BaseException:
            link.abort("the opening hook failed")
            raise
        session.opened_ns = self._monotonic_ns()
        return session

    async def _take_attempt(self) -> None:
        while wait_s := max(budget.wait_s() for budget in self._budgets):
            if not self._sessions:
                self._state = SocketState.WAITING
            await self._sleep(wait_s)
        for budget in self._budgets:
            budget.take()

    def _add(self, session: Session, *, planned: bool) -> None:
        self._connections += 1
        self._sessions.append(session)
        self._state = SocketState.OPEN
        self._restart = None
        self._queue.put(Connected(session.number, session.complete_since(self._wall_ns()), planned))
        session.release()
        if self._queue.full:
            session.link.pause_reading()
        else:
            session.link.resume_reading()

    async def _run_session(self, session: Session) -> Session | None:
        """Stay with a connection until it is over; return its successor where there is one already."""
        watch = Watch(session, self._policy, monotonic_ns=self._monotonic_ns, emit=self._queue.put)
        rotate_ns = self._rotation_ns(session)
        while session.closed is None:
            if self._restart is not None:
                reason, self._restart = self._restart, None
                await self._end(session, reason)
                return None
            if rotate_ns is not None and self._monotonic_ns() >= rotate_ns:
                successor = await self._rotate(session, watch)
                if successor is not None or session.closed is not None:
                    return successor
                rotate_ns = self._monotonic_ns() + round(ROTATION_RETRY_S * 1e9)
            await self._idle(await watch.check(reading=not self._queue.full), rotate_ns)
        await self._wait_to_reconnect(session)
        return None

    async def _idle(self, due_ns: int | None, rotate_ns: int | None) -> None:
        """Wait until something happens or one of the times is reached."""
        moments = [moment for moment in (due_ns, rotate_ns) if moment is not None]
        wait_s = max(0, min(moments) - self._monotonic_ns()) / 1e9 if moments else None
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._wake.clear()

    async def _rotate(self, old: Session, watch: Watch) -> Session | None:
        """Open a successor beside `old`, read both for a while, then drop `old`."""
        self._seam = Seam(self._seam_key)
        opening = asyncio.create_task(self._open(), name=f"socket {self._name}, next")
        opening.add_done_callback(lambda _: self._wake.set())
        try:
            while not opening.done() and old.closed is None:
                await self._idle(await watch.check(reading=not self._queue.full), None)
            lost = old.closed is not None
            if lost:
                self._remove(old, planned=False)
            try:
                successor = await opening
            except Exception as error:  # noqa: BLE001
                # As for any attempt: the old connection, if there is one, goes on.
                self._note(_describe(error))
                if lost:
                    await self._sleep(self._pace.after_connection((self._monotonic_ns() - old.opened_ns) / 1e9))
                return None
            self._add(successor, planned=not lost)
            if not lost:
                await self._overlap(old, successor)
            return successor
        finally:
            self._seam = None
            if not opening.done():
                opening.cancel()
                with suppress(asyncio.CancelledError):
                    await opening

    async def _overlap(self, old: Session, successor: Session) -> None:
        end_ns = self._monotonic_ns() + round(self._policy.overlap_s * 1e9)
        assert self._seam is not None
        while old.closed is None and successor.closed is None and self._monotonic_ns() < end_ns:
            if self._restart is not None or self._seam.full:
                break
            await self._idle(end_ns, None)
        if old.closed is None:
            await self._close_session(old)
        self._remove(old, planned=True)

    async def _wait_to_reconnect(self, session: Session) -> None:
        """Tell that a connection is over and wait before the next one."""
        lived_s = (self._monotonic_ns() - session.opened_ns) / 1e9
        self._remove(session, planned=False)
        await self._sleep(self._pace.after_connection(lived_s))

    async def _end(self, session: Session, reason: str) -> None:
        session.link.abort(reason)
        while session.closed is None:
            await self._idle(None, None)
        self._remove(session, planned=False)

    def _remove(self, session: Session, *, planned: bool) -> None:
        reason, code = session.closed or ("closed by us", None)
        if session in self._sessions:
            self._sessions.remove(session)
        if not self._sessions:
            self._state = SocketState.WAITING
        if not planned:
            self._note(reason)
        self._queue.put(Disconnected(session.number, reason, code, planned))

    async def _close_session(self, session: Session) -> None:
        try:
            await session.link.close()
        except Exception:
            # It is over either way, and the reason has been told.
            logger.debug("connection did not close", exc_info=True, extra=fields(socket=self._name))
            session.link.abort("it did not close")

    def _rotation_ns(self, session: Session) -> int | None:
        after_s = self._policy.rotate_after_s
        return None if after_s is None else session.opened_ns + round(after_s * 1e9)

    def _deliver(self, message: Message) -> None:
        self._message_ns = message.receive_monotonic_ns
        if self._seam is not None and not self._seam.first(message.connection, message.payload):
            return
        self._messages += 1
        self._queue.put(message)

    def _pause(self) -> None:
        for session in self._sessions:
            session.link.pause_reading()

    def _resume(self) -> None:
        for session in self._sessions:
            session.reading_resumed()
            session.link.resume_reading()
        self._wake.set()

    def _note(self, reason: str) -> None:
        """Keep a reason for the status; log only a new one, so that an outage is one line."""
        if reason != self._last_error:
            logger.warning("socket is down", extra=fields(name=self._name, reason=reason))
        self._last_error = reason


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return f"no connection: {error.strerror or type(error).__name__}"
    return f"{type(error).__name__}: {error}"
