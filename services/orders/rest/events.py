"""Changes of orders as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final

from services.orders.desk import Desk
from services.orders.domain import Order
from services.orders.engine.feed import Seen
from services.orders.messages import order_message
from services.orders.rest.plain import plain
from services.runtime.errors import MidstreamError

HEARTBEAT_S: Final = 15.0
"""A comment now and then keeps proxies from closing a quiet stream, and finds out that the reader is gone."""


async def order_events(desk: Desk, *, after_sequence: int, wanted: Callable[[Order], bool]) -> AsyncIterator[bytes]:
    """Yield events for ever; the id of each is its place in the journal, so that `Last-Event-ID` continues behind it."""
    yield b": connected\n\n"
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
                yield _event(seen)
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait((coming,))


async def _next(changes: AsyncGenerator[Seen, None]) -> Seen:
    return await anext(changes)


def _event(seen: Seen) -> bytes:
    body = {
        "sequence": str(seen.sequence),
        "kind": seen.kind,
        "cause": seen.cause,
        "order": plain(order_message(seen.order)),
    }
    return f"id: {seen.sequence}\nevent: order\ndata: {json.dumps(body)}\n\n".encode()
