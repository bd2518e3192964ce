"""A flood of placements over REST is refused at a pace; what stops trading passes over the same connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.orders.guards.limits import Limits
from tests.support.order_faces import Faces, key_of, rest_order, serving_faces
from tests.support.refusal_paces import NeverYet

PLENTY = Limits(open_orders_max=100_000, orders_per_second=1e9)


class Connection:
    """One connection to the REST face, byte by byte: a client library would open another while one waits."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = "", times: int = 1
    ) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key_of('trade')}\r\n"
            f"idempotency-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
        )
        self._writer.write((head.encode() + text) * times)

    def place(self, *, times: int = 1) -> None:
        order = rest_order()
        self.send("POST", "/v1/orders", order, key=order.pop("idempotency_key"), times=times)

    async def answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        async with asyncio.timeout(20):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = json.loads(await self._reader.readexactly(int(headers["content-length"])))
        return int(head[0].split()[1]), headers, body

    async def ended(self) -> bool:
        async with asyncio.timeout(20):
            return await self._reader.read() == b""

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connection(faces: Faces) -> AsyncIterator[Connection]:
    url = urlsplit(faces.rest_url)
    made = Connection(*await asyncio.open_connection(url.hostname, url.port))
    try:
        yield made
    finally:
        made.close()


async def let_it_be_read(other: Connection) -> None:
    """Return once the server has read what was sent before: it reads every connection in each turn of its loop."""
    for _ in range(5):
        other.send("GET", "/v1/kill-switch")
        assert (await other.answer())[0] == 200


def denied(faces: Faces) -> float | None:
    labels = {"operation": "place", "reason": "overloaded"}
    return faces.registry.get_sample_value("midstream_orders_denied_total", labels)


async def test_the_next_placement_of_a_refused_connection_waits_unread_for_its_turn() -> None:
    pace = NeverYet()
    async with serving_faces(limits=PLENTY, pace=pace) as faces, connection(faces) as flood, connection(faces) as other:
        flood.place()
        assert (await flood.answer())[0] == 201
        places, faces.trading.desk.line.places = faces.trading.desk.line.places, 0

        flood.place()
        status, headers, _ = await flood.answer()
        flood.place()
        await let_it_be_read(other)

        assert (status, headers["retry-after"]) == (429, "1")
        assert denied(faces) == 1

        faces.trading.desk.line.places = places
        pace.end()
        assert (await flood.answer())[0] == 201


async def test_cancels_pass_over_a_connection_whose_placements_wait() -> None:
    async with (
        serving_faces(limits=PLENTY, pace=NeverYet()) as faces,
        connection(faces) as flood,
    ):
        flood.place()
        _, _, placed = await flood.answer()
        faces.trading.desk.line.places = 0
        flood.place()
        assert (await flood.answer())[0] == 429

        flood.send("DELETE", f"/v1/orders/{placed['order_id']}")
        cancelled = await flood.answer()
        flood.send("POST", "/v1/orders/cancel", {"all": True})
        all_cancelled = await flood.answer()

        assert cancelled[0] == all_cancelled[0] == 200
        assert len(faces.trading.venue.sent("cancel")) >= 1


async def test_placements_beyond_what_a_key_may_send_wait_too() -> None:
    pace = NeverYet()
    async with serving_faces(limits=PLENTY, per_second=1.0, pace=pace) as faces, connection(faces) as flood:
        statuses = []
        while 429 not in statuses:
            flood.place()
            statuses.append((await flood.answer())[0])

        assert set(statuses[:-1]) == {201}
        assert pace.held == 1


@pytest.mark.parametrize("times", [2, 50])
async def test_whoever_does_not_wait_for_answers_is_ended(times: int) -> None:
    pace = NeverYet()
    async with serving_faces(limits=PLENTY, pace=pace) as faces, connection(faces) as flood:
        flood.place()
        assert (await flood.answer())[0] == 201
        faces.trading.desk.line.places = 0

        flood.place(times=times)

        assert (await flood.answer())[0] == 429
        assert await flood.ended()
        assert denied(faces) == 1
