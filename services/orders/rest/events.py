"""Changes of orders as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from services.orders.desk import Desk
from services.orders.domain import Order
from services.orders.engine.feed import Seen
from services.orders.messages import order_message
from services.orders.rest.plain import plain
from services.runtime.errors import MidstreamError

HEARTBEAT_S: Final = 15.0
"""A comment now and then keeps proxies from closing a quiet stream, and finds out that the reader is gone."""


@dataclass(frozen=True)
class Reset:
    """A reader's place is not of this journal: it was restored, or is another one."""

    asked: int
    newest: int


async def order_events(
    desk: Desk, *, after_sequence: int, wanted: Callable[[Order], bool], reset: Reset | None = None
) -> AsyncIterator[bytes]:
    """Yield events for ever; the id of each is its place in the journal, so that `Last-Event-ID` continues behind it."""
    yield b": connected\n\n"
    if reset is not None:
        yield _reset(reset)
    async with aclosing(desk.feed.watch(after_sequence=after_sequence, wanted=wanted)) as changes:
        coming: asyncio.Task[Seen] | None = None
        try:
            while True:
                coming = coming or asyncio.create_task(_next(changes))
                done, _ = await asyncio.wait((coming,), timeout=HEARTBEAT_S)
                if not done:
                    yield b": still here\n\n"
                    continue
                try:
                    seen = coming.result()
                except MidstreamError as exc:
                    yield f"event: end\ndata: {json.dumps({'detail': exc.message})}\n\n".encode()
                    return
                finally:
                    coming = None
                yield _event(seen, desk)
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait((coming,))


async def _next(changes: AsyncGenerator[Seen, None]) -> Seen:
    return await anext(changes)


def _reset(reset: Reset) -> bytes:
    body = {
        "asked": str(reset.asked),
        "newest": str(reset.newest),
        "detail": f"the journal ends at {reset.newest}: list the orders again; changes from now on follow",
    }
    return f"id: {reset.newest}\nevent: reset\ndata: {json.dumps(body)}\n\n".encode()


def _event(seen: Seen, desk: Desk) -> bytes:
    body = {
        "sequence": str(seen.sequence),
        "kind": seen.kind,
        "cause": seen.cause,
        "order": plain(order_message(seen.order, desk.venues.known_instrument)),
    }
    return f"id: {seen.sequence}\nevent: order\ndata: {json.dumps(body)}\n\n".encode()
