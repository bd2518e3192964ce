"""Which sessions are streamed from a server, and the end of their streams when a session is deleted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.runtime.errors import MidstreamError, NotFound


class StreamedSessions:
    """Counts the streams of each session. For one event loop; a stream is served by one task."""

    def __init__(self) -> None:
        self._streams: dict[str, set[asyncio.Timeout]] = {}
        self._why: dict[asyncio.Timeout, MidstreamError] = {}

    @property
    def names(self) -> frozenset[str]:
        """Sessions that somebody streams."""
        return frozenset(self._streams)

    @contextlib.asynccontextmanager
    async def streaming(self, session: str) -> AsyncIterator[None]:
        """Count a stream for the block. Raises NotFound when the session is deleted meanwhile, or why else its streams end."""
        # A time limit that is only set when the session ends: it tells its own cancellation from that of a client that left.
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._streams.setdefault(session, set()).add(limit)
                yield
        except TimeoutError as exc:
            if limit.expired():
                raise self._why.get(limit) or NotFound(f"session `{session}` was deleted") from exc
            raise
        finally:
            streams = self._streams.get(session, set())
            streams.discard(limit)
            self._why.pop(limit, None)
            if not streams:
                self._streams.pop(session, None)

    def end(self, session: str, why: MidstreamError | None = None) -> None:
        """End the streams of a session that has been deleted, or whose streams have to begin anew for the reason that is given."""
        for limit in self._streams.get(session, ()):
            if why is not None:
                self._why[limit] = why
            limit.reschedule(asyncio.get_running_loop().time())
