"""Calls in progress by who makes them: whoever is revoked or has expired does not keep what was opened before."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from services.runtime.access.gate import AccessGate
from services.runtime.access.identity import OPEN, Identity
from services.runtime.errors import MidstreamError, Unauthenticated
from services.runtime.log_fields import fields
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

CHECK_S: Final = 1.0
"""Between two looks at everybody who has something open; with what an authenticator keeps in memory, streams end within five seconds."""


def no_longer_known(identity: Identity) -> Unauthenticated:
    """Return what a call is told whose caller does not hold any more."""
    return Unauthenticated(
        f"{identity.name} was revoked or has expired; what it had opened ends, come back with credentials that hold"
    )


class OpenCalls:
    """One task looks at everybody; a call costs an entry in a dictionary."""

    def __init__(self, gate: AccessGate, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._gate = gate
        self._sleep = sleep
        self._numbers = itertools.count()
        self._open: dict[Identity, dict[int, Callable[[], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """Callers who have something open."""
        return len(self._open)

    @contextlib.contextmanager
    def watched(self, identity: Identity, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` when `identity` ceases to hold while the block runs."""
        if identity.kind == OPEN.kind:
            yield
            return
        number = next(self._numbers)
        self._open.setdefault(identity, {})[number] = end
        try:
            yield
        finally:
            calls = self._open.get(identity, {})
            calls.pop(number, None)
            if not calls:
                self._open.pop(identity, None)

    async def check(self) -> None:
        """End the calls of everybody who does not hold any more."""
        for identity in tuple(self._open):
            if not await self._holds(identity):
                ends = tuple(self._open.get(identity, {}).values())
                logger.info(
                    "caller holds no more", extra=fields(name=identity.name, kind=identity.kind, calls=len(ends))
                )
                for end in ends:
                    end()

    def start(self) -> None:
        """Begin to look; without an authenticator nobody can cease to hold."""
        if not self._gate.is_open:
            self._task = asyncio.create_task(self._run(), name="open-calls")

    async def stop(self) -> None:
        """Look no more."""
        await end_task(self._task)

    async def _holds(self, identity: Identity) -> bool:
        try:
            return await self._gate.holds(identity)
        except MidstreamError as exc:
            # Whoever could not come in now does not stay in either; authenticators bear with a database that is away for a while.
            logger.warning("caller cannot be checked any more", extra=fields(name=identity.name, reason=exc))
            return False
        except Exception:  # everything: one caller's trouble must not keep what another one lost open for good
            logger.exception("caller not checked, tried again", extra=fields(name=identity.name))
            return True

    async def _run(self) -> None:
        while True:
            await self._sleep(CHECK_S)
            await self.check()
