"""The kill switch: no new order and no amend goes out while it is engaged. Cancels pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.orders.journal.store import JournalStore, JournalUnavailable, SwitchRow
from services.orders.ports import Ports
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

FILE_POLL_S: Final = 0.04
"""The file has to be noticed well within the 100 ms that the switch has."""
PERSIST_RETRY_S: Final = 0.5


class KillSwitch:
    """Engaging takes effect at once and becomes durable right after; releasing takes effect once it is durable.

    So a switch that was thrown survives everything but a crash within a failed write, and in doubt it is engaged.
    """

    def __init__(self, store: JournalStore, ports: Ports, *, file: Path | None = None) -> None:
        self._store = store
        self._ports = ports
        self._file = file
        self._row = SwitchRow(False, "", "", 0)
        self._listeners: list[Callable[[], None]] = []
        self._unwritten: SwitchRow | None = None
        self._tripped = asyncio.Event()
        self._lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Load the last state; then follow the file, if there is one."""
        self._row = await self._store.switch() or self._row
        if self._file is not None:
            self._look_at_file()
            self._tasks.append(asyncio.create_task(self._watch_file(), name="kill-file"))
        self._tasks.append(asyncio.create_task(self._persist_on(), name="kill-persist"))

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()

    @property
    def engaged(self) -> bool:
        """Whether nothing goes out."""
        return self._row.engaged

    @property
    def row(self) -> SwitchRow:
        """The last change."""
        return self._row

    def on_engage(self, listener: Callable[[], None]) -> None:
        """Call `listener` the moment it is engaged."""
        self._listeners.append(listener)

    def trip(self, reason: str, actor: str) -> None:
        """Engage it now; it becomes durable in the background. Safe to call from a signal handler of the event loop."""
        if self._row.engaged:
            return
        self._row = self._unwritten = SwitchRow(True, reason[:500], actor, self._ports.wall_ns())
        logger.error("kill switch engaged", extra=fields(actor=actor, reason=reason))
        self._tripped.set()
        for listener in self._listeners:
            listener()

    async def set(self, engaged: bool, reason: str, actor: str) -> SwitchRow:
        """Engage or release it; durable when this returns. Raises JournalUnavailable; an engaged switch stays engaged even then."""
        if engaged:
            self.trip(reason, actor)
            await self._persist()
            return self._row
        async with self._lock:
            if (self._row.engaged, self._row.reason, self._row.actor) == (False, reason[:500], actor):
                # A repetition: it was released so already.
                return self._row
            row = SwitchRow(False, reason[:500], actor, self._ports.wall_ns())
            await self._store.set_switch(row)
            self._unwritten = None
            self._row = row
        logger.warning("kill switch released", extra=fields(actor=actor, reason=reason))
        # A file that is still there engages it again.
        self._look_at_file()
        return self._row

    async def _persist(self) -> None:
        async with self._lock:
            row = self._unwritten
            if row is not None:
                await self._store.set_switch(row)
                if self._unwritten is row:
                    self._unwritten = None

    async def _persist_on(self) -> None:
        while True:
            if self._unwritten is not None:
                try:
                    await self._persist()
                except JournalUnavailable:
                    logger.warning("kill switch is engaged but not durable yet")
                    await self._ports.sleep(PERSIST_RETRY_S)
                    continue
            self._tripped.clear()
            if self._unwritten is None:
                await self._tripped.wait()

    async def _watch_file(self) -> None:
        while True:
            self._look_at_file()
            await self._ports.sleep(FILE_POLL_S)

    def _look_at_file(self) -> None:
        if self._file is not None and not self._row.engaged and self._file.exists():
            self.trip(f"the file {self._file.name} exists", "file")
