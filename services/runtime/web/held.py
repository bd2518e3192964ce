"""Requests of one kind for which a connection is not read until their turn has come: how a flood over HTTP is paced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["HOLD_EXTENSION", "HeldRequests", "hold"]

HOLD_EXTENSION: Final = "midstream.hold"
"""In a request's scope: a call that has its connection wait before the next request of a kind."""
KEPT_BYTES_MAX: Final = 16 * 1024
"""Of a request that waits: a placement has less than 4 KiB. More is read as it comes, and meets the limits of bodies."""


def hold(scope: Mapping[str, Any], begins: tuple[bytes, ...], turn: asyncio.Future[None]) -> None:
    """Leave requests that begin with one of `begins` unread on the connection of a request, until `turn` is done; others pass.

    Behind a server that cannot, nothing happens.
    """
    until = scope.get("extensions", {}).get(HOLD_EXTENSION)
    if until is not None:
        until(begins, turn)


class HeldRequests:
    """What one connection holds back. Bytes alone are looked at: parsing a request costs as much as refusing it."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        """`take` is given what was kept, once its turn has come."""
        self._take = take
        self._begins: tuple[bytes, ...] = ()
        self._turn: asyncio.Future[None] | None = None
        self._kept = b""

    @property
    def holding(self) -> bool:
        """Whether a turn is still to come."""
        return self._turn is not None

    def until(self, begins: tuple[bytes, ...], turn: asyncio.Future[None]) -> None:
        """Keep requests that begin so until `turn` is done."""
        self._begins, self._turn = begins, turn
        turn.add_done_callback(self._release)

    def keep(self, part: bytes) -> bool:
        """Keep what has arrived between two requests if it has to wait. Otherwise the caller gets what was kept of it before, too."""
        if self._turn is None or len(self._kept) + len(part) > KEPT_BYTES_MAX:
            return False
        kept = self._kept + part
        if not any(kept.startswith(begin) or begin.startswith(kept) for begin in self._begins):
            return False
        self._kept = kept
        return True

    def give(self) -> bytes:
        """Return what was kept, and keep it no longer."""
        kept, self._kept = self._kept, b""
        return kept

    def _release(self, turn: asyncio.Future[None]) -> None:
        if turn is not self._turn:
            return
        self._turn = None
        if self._kept:
            self._take(self.give())
