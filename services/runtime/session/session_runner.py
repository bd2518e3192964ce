"""One created session on this server: its engine, for as long as no other server has it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import redis

from services.runtime.errors import MidstreamError
from services.runtime.log_fields import fields
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.keys import SessionKeys
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""How often to see whether another server's engine still has the session. Its lease outlives a killed one by nothing, a stopped one by
ten seconds."""

END_S: Final = 10.0
"""How long an end waits for an engine that is only starting: what it was told then is done once it runs, and takes up to four seconds."""


class Host(Protocol):
    """An engine in a process of its own."""

    @property
    def refusal(self) -> str | None: ...

    @property
    def silent_s(self) -> float: ...

    async def start(self) -> None: ...

    async def run(self) -> int: ...

    async def stop(self) -> None: ...


class Ending(Protocol):
    """What ran the session before."""

    async def stop(self) -> None: ...


class Queue(Protocol):
    """What the session's keys say."""

    async def holder(self, keys: SessionKeys) -> str:
        """Who produces the session, for people; empty when nobody does."""

    async def note_failure(self, keys: SessionKeys, error: str) -> None:
        """Report for an engine that cannot."""


def figure_name(keys: SessionKeys, partitions: int) -> str:
    """Return what figures call a session, or one of its several partitions."""
    return keys.session if partitions == 1 else f"{keys.session}/{keys.partition}"


class SessionRunner:
    """Runs a session until it is stopped. Whatever becomes of its engine stays here: it ends with `failure` set, never with an error."""

    def __init__(
        self,
        keys: SessionKeys,
        definition: SessionDefinition,
        *,
        make_host: Callable[[SessionDefinition, Callable[[str], None]], Host],
        prepare: Callable[[SessionKeys, SessionDefinition], Awaitable[None]],
        queue: Queue,
        after: Ending | None = None,
        look_s: float = LOOK_S,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`make_host` raises a MidstreamError where the definition is of no use here any more; `prepare` comes before each start; `after`
        ends first; `on_end` hears that its engine has ended.
        """
        self.keys = keys
        self.definition = definition
        self.failure = ""
        """Why its engine has ended for good; empty while one runs, or waits for another server's to end."""
        self.trouble = ""
        """What its engine suffers from at the moment."""
        self._make_host = make_host
        self._prepare = prepare
        self._queue = queue
        self._after = after
        self._look_s = look_s
        self._on_end = on_end
        self._host: Host | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> frozenset[str]:
        """Its name, as its figures have it, while its engine runs here; from any thread."""
        return frozenset((figure_name(self.keys, self.definition.partitions),)) if self.is_running else frozenset()

    @property
    def is_running(self) -> bool:
        """Whether the session's engine runs here."""
        return self._host is not None

    @property
    def silent_s(self) -> float:
        """For how long its engine here has said nothing; 0 while that is no longer than it may be, and without one."""
        return 0.0 if self._host is None else self._host.silent_s

    @property
    def is_ours(self) -> bool:
        """Whether this server runs the session's engine, or tried to."""
        return self._host is not None or bool(self.failure)

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name=f"session-{self.keys.session}")

    async def stop(self) -> None:
        """Have the engine drain, and wait for its end. Harmless when repeated."""
        self._stopping.set()
        if self._host is not None:
            await self._host.stop()
        if self._task is not None:
            # Without an engine there is nothing to wait for. Whoever is about to stop one is not to be interrupted: it would run on.
            is_busy = self._host is not None or self._after is not None
            await asyncio.wait((self._task,), timeout=END_S if is_busy else 1.0)
        await end_task(self._task)

    async def _run(self) -> None:
        if self._after is not None:
            await self._after.stop()
            self._after = None
        failure = ""
        while not self._stopping.is_set():
            try:
                if await self._wait_for_others():
                    return
                await self._prepare(self.keys, self.definition)
                if self._stopping.is_set():
                    return
                failure = await self._run_engine()
                if not self._stopping.is_set() and failure and await self._queue.holder(self.keys):
                    # It lost the session to another server, and waits for its turn.
                    failure = ""
                    continue
                self.failure = failure
                if self._stopping.is_set() or not failure:
                    return
                logger.error("session failed", extra=fields(session=self.keys.session, reason=self.failure))
                await self._queue.note_failure(self.keys, self.failure)
                return
            except (redis.RedisError, OSError) as exc:
                logger.warning(
                    "session waits for redis", extra=fields(session=self.keys.session, error=type(exc).__name__)
                )
                if failure:
                    self.failure = failure
                    return
                await self._pause()

    async def _wait_for_others(self) -> bool:
        """Wait until nobody else produces the session; True when stopped meanwhile."""
        said = ""
        while not self._stopping.is_set():
            holder = await self._queue.holder(self.keys)
            if not holder:
                return False
            if holder != said:
                said = holder
                logger.info("session is run elsewhere", extra=fields(session=self.keys.session, holder=holder))
            await self._pause()
        return True

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._look_s)

    async def _run_engine(self) -> str:
        """Run the engine until its end; return why it ended, or "" where it was asked to."""
        try:
            host = self._host = self._make_host(self.definition, self._note_trouble)
        except MidstreamError as exc:
            return str(exc)
        try:
            await host.start()
            if self._stopping.is_set():
                # Asked to end before there was an engine to tell.
                await host.stop()
            await host.run()
        finally:
            self._host = None
            self._on_end()
        if self._stopping.is_set():
            return ""
        return host.refusal or self.trouble or "the engine has ended"

    def _note_trouble(self, trouble: str) -> None:
        self.trouble = trouble
