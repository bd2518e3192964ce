"""Runs a sink for every created session that names this one: started and ended by what the definitions in Redis say."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import redis
import redis.asyncio

from services.price.config import PriceSettings
from services.price.followed_sinks import FollowedSinks
from services.price.log_folders import log_folder
from services.price.metrics import CREATED_FIGURES
from services.price.priced_sessions import PricedSessions
from services.runtime.errors import MidstreamError
from services.runtime.log_fields import fields
from services.runtime.logs import REPEAT_S, LogLimit
from services.runtime.metrics import Metrics
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.definitions import Definitions, SinkLogs
from services.runtime.session.keys import SessionKeys
from services.runtime.session_figures import SessionFigures
from services.runtime.tasks import end_task
from services.runtime.unreadable import Unreadable

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.25
"""How often to see which sessions there are: a session waits for its sink, so this is what it costs before its first mid."""
SUBSCRIBED_EVERY_S: Final = 10.0


class CreatedSinks:
    """Keeps `sessions.created` to what is there. Whatever becomes of one sink, the others and the server go on."""

    def __init__(
        self,
        settings: PriceSettings,
        client: redis.asyncio.Redis,
        sessions: PricedSessions,
        *,
        unreadable: Unreadable,
        metrics: Metrics,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._client = client
        self._sessions = sessions
        self._unreadable = unreadable
        self._monotonic_s = monotonic_s
        self._definitions = Definitions(client)
        self._sinks: dict[str, _CreatedSink] = {}
        self._figures = SessionFigures(metrics, CREATED_FIGURES, running=lambda: frozenset(self._sinks))
        self._told_s = -SUBSCRIBED_EVERY_S
        self._complaint = LogLimit(REPEAT_S)
        self._full = LogLimit(REPEAT_S)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow the definitions; needs a running event loop."""
        self._task = asyncio.create_task(self._follow(), name="created-sinks")

    async def stop(self) -> None:
        """Let every sink commit what it has; the sessions stay."""
        await end_task(self._task)
        await asyncio.gather(*(sink.stop() for sink in self._sinks.values()))

    async def look(self) -> None:
        """Start the sinks of sessions that are new, end those of sessions that are gone."""
        defined = await self._definitions.all()
        if defined is None:
            # Redis has lost them; the replay server knows them, and puts them back.
            return
        wanted = {name: definition for name, definition in defined.items() if self._is_wanted(name, definition)}
        gone = [name for name, sink in self._sinks.items() if wanted.get(name) != sink.definition]
        await asyncio.gather(*(self._end(name) for name in gone))
        for name in sorted(wanted.keys() - self._sinks.keys(), key=lambda name: wanted[name].created_time_ns):
            if len(self._sinks) >= self._settings.sessions_max:
                if self._full.passes() is not None:
                    logger.warning("session not priced: MIDSTREAM_SESSIONS_MAX is reached", extra=fields(session=name))
                break
            await self._begin(name, wanted[name])
        now_s = self._monotonic_s()
        if now_s - self._told_s >= SUBSCRIBED_EVERY_S:
            self._told_s = now_s
            await self._definitions.note_subscribed(self._sessions.streamed.names & self._sinks.keys())

    def _is_wanted(self, name: str, definition: SessionDefinition) -> bool:
        return self._settings.sink in definition.sinks and name != self._settings.session

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
                self._complaint.over()
            except (redis.RedisError, OSError) as exc:
                if self._complaint.passes() is not None:
                    logger.warning("created sessions not read", extra=fields(error=type(exc).__name__))
            await asyncio.sleep(LOOK_S)

    async def _begin(self, name: str, definition: SessionDefinition) -> None:
        keys = SessionKeys(name)
        sink = self._sinks[name] = _CreatedSink(
            self._settings,
            self._client,
            keys,
            definition,
            self._unreadable,
            self._figures,
            on_several=lambda why: self._sessions.streamed.end(name, why),
        )
        try:
            folder = log_folder(self._settings.out, name, definition.created_time_ns)
        except (MidstreamError, OSError) as exc:
            sink.note_trouble(f"its logs have no place: {exc}")
            return
        host = socket.gethostname() if definition.partitions > 1 else ""
        sink.logs = SinkLogs(self._settings.sink, str(folder.absolute()), host)
        await self._definitions.note_logs(keys, sink.logs)
        await sink.start(folder)
        self._sessions.created[name] = sink.priced

    async def _end(self, name: str) -> None:
        self._sessions.created.pop(name, None)
        self._sessions.streamed.end(name)
        sink = self._sinks.pop(name)
        await sink.stop()
        keys = SessionKeys(name)
        if sink.logs is not None:
            await self._definitions.let_go(keys, sink.logs)
        await self._definitions.remove_leftovers(keys, partitions=sink.definition.partitions)


class _CreatedSink:
    """The engine and the mids of one session."""

    def __init__(
        self,
        settings: PriceSettings,
        client: redis.asyncio.Redis,
        keys: SessionKeys,
        definition: SessionDefinition,
        unreadable: Unreadable,
        figures: SessionFigures,
        *,
        on_several: Callable[[MidstreamError], None],
    ) -> None:
        self.definition = definition
        self.logs: SinkLogs | None = None
        """Where it writes; None where it has no place."""
        self._keys = keys
        self._trouble = ""
        self._sinks = FollowedSinks(
            settings,
            client,
            keys.session,
            metrics=figures.of(keys.session),
            unreadable=unreadable,
            on_trouble=self.note_trouble,
            on_several=on_several,
        )
        self.priced = self._sinks.priced
        self._run: asyncio.Task[int] | None = None

    async def start(self, folder: Path) -> None:
        await self._sinks.start(folder)
        self._run = asyncio.create_task(self._sinks.run(), name=f"sink-{self._keys.session}")

    async def stop(self) -> None:
        await self._sinks.stop()
        if self._run is not None:
            await asyncio.wait((self._run,), timeout=1.0)
        await end_task(self._run)

    def note_trouble(self, trouble: str) -> None:
        """What keeps it from working, or ""; told when it changes, and in the health report by its announcement."""
        if trouble and trouble != self._trouble:
            logger.warning("sink of a created session", extra=fields(session=self._keys.session, reason=trouble))
        self._trouble = trouble
