"""Server-sent events: one short signal per change. Pages then ask for what they show, and mostly share one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from services.reporting.engine.read_model import ReadModel
from services.reporting.web.http import ALWAYS, Answer, Receive, Scope, Send
from services.runtime.web import stream_refusal

__all__ = ["EventStreams"]

PACE_S: Final = 0.25
"""At most four signals a second to each page; whatever happens in between is in the next one."""
RETRY_MS: Final = 1_500
PLAIN: Final = b"text/plain; charset=utf-8"

_HEADERS: Final = (
    *ALWAYS,
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # nginx otherwise keeps events until its buffer is full.
    (b"x-accel-buffering", b"no"),
)


class EventStreams:
    """Serves as many streams as the listener lets in; a slow reader holds up nobody, it just hears of the newest change only."""

    def __init__(self, model: ReadModel, *, heartbeat_s: float, now_ms: Callable[[], int]) -> None:
        """`now_ms` is the server's clock, by which pages count ages, whatever their own says."""
        self._model = model
        self._heartbeat_s = heartbeat_s
        self._now_ms = now_ms
        self.open = 0

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the reader or the server leaves."""
        refusal = "the server is ending" if self._model.closed else stream_refusal(scope)
        if refusal is not None:
            body = f"{refusal}\n".encode()
            full = Answer(status=503, body=body, content_type=PLAIN, extra=((b"retry-after", b"5"),))
            await send(full.start(unchanged=False))
            await send({"type": "http.response.body", "body": full.body})
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
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await _write(send, f"retry: {RETRY_MS}\n\n{self._here()}")
        revision = -1
        while not self._model.closed:
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    view = await self._model.changed(revision)
            except TimeoutError:
                await _write(send, self._here())
                continue
            if view is None:
                break
            revision = view.revision
            await _write(send, f"event: changed\nid: {view.version}\ndata: {view.version}\n\n")
            await asyncio.sleep(PACE_S)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _here(self) -> str:
        """Return a sign of life: the time, and how long until the next one at the latest, in milliseconds."""
        return f"event: here\ndata: {self._now_ms()} {round(self._heartbeat_s * 1_000)}\n\n"


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, text: str) -> None:
    message: dict[str, Any] = {"type": "http.response.body", "body": text.encode(), "more_body": True}
    await send(message)
