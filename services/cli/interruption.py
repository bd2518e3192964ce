"""Ctrl-C and SIGTERM while a command works: waited for, never raised."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType
from typing import Any

from services.cli.signals import SIGNALS


class Interruption:
    """Signals while a command works in an event loop, and on its way out of it: they raise nothing, they are waited for."""

    def __init__(self) -> None:
        self.number = 0
        """The first signal; 0 while there was none."""
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()
        self._asked_again = asyncio.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attach(self) -> None:
        """Wake the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._tell()

    async def asked(self) -> None:
        """Return when the end was asked for."""
        await self._asked.wait()

    async def asked_again(self) -> None:
        """Return when it was asked for once more."""
        await self._asked_again.wait()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.number = self.number or number
        self._count += 1
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._count > 0:
            self._asked.set()
        if self._count > 1:
            self._asked_again.set()
