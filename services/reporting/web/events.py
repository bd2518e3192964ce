"""Server-sent events: one short signal per change. Pages then ask for what they show, and mostly share one answer."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from services.reporting.engine.board import Board
from services.reporting.web.http import ALWAYS, Answer, Receive, Send

__all__ = ["EventStreams"]

STREAMS_MAX: Final = 2_000
HEARTBEAT_S: Final = 15.0
"""Proxies close what is silent, and a page notices within this that the server is gone."""
PACE_S: Final = 0.25
"""At most four signals a second to each page; whatever happens in between is in the next one."""
RETRY_MS: Final = 1_500


class EventStreams:
    """Serves any number of streams up to a bound; a slow reader holds up nobody, it just hears of the newest change only."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.open = 0

    async def serve(self, receive: Receive, send: Send) -> None:
        """Stream until the reader or the server leaves."""
        if self.open >= STREAMS_MAX or self._board.closed:
            full = Answer(status=503, body=b"", content_type=b"text/plain", extra=((b"retry-after", b"5"),))
            await send(full.start(unchanged=False))
            await send({"type": "http.response.body", "body": b""})
            return
        self.open += 1
        left = asyncio.create_task(_left(receive), name="page-left")
        signals = asyncio.create_task(self._signals(send), name="page-signals")
        try:
            await asyncio.wait((left, signals), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.open -= 1
            for task in (left, signals):
                task.cancel()
            await asyncio.wait((left, signals))
            if (
                not signals.cancelled()
                and (error := signals.exception()) is not None
                and not isinstance(error, OSError)
            ):
                raise error

    async def _signals(self, send: Send) -> None:
        headers = [*ALWAYS, (b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _write(send, f"retry: {RETRY_MS}\n\n")
        revision = -1
        while not self._board.closed:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    view = await self._board.changed(revision)
            except TimeoutError:
                await _write(send, ": here\n\n")
                continue
            if view is None:
                break
            revision = view.revision
            await _write(send, f"event: changed\nid: {view.version}\ndata: {view.version}\n\n")
            await asyncio.sleep(PACE_S)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, text: str) -> None:
    message: dict[str, Any] = {"type": "http.response.body", "body": text.encode(), "more_body": True}
    await send(message)
