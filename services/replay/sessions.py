"""What is known about sessions: the engines' reports in Redis, and the retained ticks."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, cast

import redis.asyncio

from fastpath.frame import MARKER_GAP, TickFrame, peek
from protos.replay.v1.replay_pb2 import Session
from services.runtime.errors import NotFound, ResourceExhausted
from services.runtime.keys import SESSIONS, SessionKeys
from services.runtime.stream_tail import Batch, StreamTail

TAILS_MAX = 64
"""Sessions that can be streamed at the same time; each costs one connection and one ring of memory."""


def batch_head(payload: bytes) -> Batch:
    """Read epoch and sequences out of an encoded TickBatch."""
    head = peek(payload)
    return Batch(head.epoch, head.first_sequence, head.last_sequence, payload)


def explains_hole(payload: bytes, next_sequence: int) -> bool:
    """Tell whether a gap marker in the batch says that `next_sequence` follows it."""
    return any(
        marker.kind == MARKER_GAP and marker.next_sequence == next_sequence for marker in TickFrame(payload).markers
    )


class Sessions:
    """Reads reports and keeps one tail per session that somebody streams."""

    def __init__(self, client: redis.asyncio.Redis, *, default_session: str) -> None:
        self._client = client
        self._default_session = default_session
        self._tails: dict[str, StreamTail] = {}

    async def names(self) -> list[str]:
        found = await cast("Awaitable[set[bytes]]", self._client.smembers(SESSIONS))
        return sorted(name.decode() for name in found)

    async def describe(self, keys: SessionKeys) -> Session:
        """Put the engine's report into a message. Raises NotFound."""
        found = await self._client.get(keys.state)
        if not found:
            raise NotFound(f"session `{keys.session}` is not known; ListSessions lists those that are")
        report: dict[str, Any] = json.loads(found)
        session = Session(state=f"SESSION_STATE_{report['state']}", mode=report["mode"])
        for field in Session.DESCRIPTOR.fields:
            if field.name not in ("state", "mode") and report.get(field.name) is not None:
                setattr(session, field.name, report[field.name])
        session.name = keys.session
        return session

    async def tail(self, keys: SessionKeys) -> StreamTail:
        """The tail of a known session, started at its first use. Raises NotFound, ResourceExhausted."""
        tail = self._tails.get(keys.session)
        if tail is not None:
            return tail
        if keys.session != self._default_session:
            await self.describe(keys)
        if len(self._tails) >= TAILS_MAX:
            raise ResourceExhausted(f"{TAILS_MAX} sessions are streamed already")
        # No await between the look-up above and this: two first subscribers share one tail.
        tail = self._tails.setdefault(
            keys.session, StreamTail(self._client, keys.ticks, head=batch_head, explains=explains_hole)
        )
        await tail.start()
        return tail

    async def close(self) -> None:
        for tail in self._tails.values():
            await tail.stop()
