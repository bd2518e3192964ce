"""The exchange on a port: a websocket that sends every deal to everybody, and the list of deals over HTTP."""

from __future__ import annotations

import asyncio
import http
import json
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from clients.resilience.ports import Sleep, WallNs
from services.runtime.web import WebLimits, WebsocketServer
from services.simulators.power_exchange.deal_list import DealList
from services.simulators.power_exchange.faults import GARBAGE, ExchangeFaults
from services.simulators.power_exchange.script import Kind, PowerExchangeScript, ScriptedDeal

__all__ = ["PowerExchange"]

CLIENTS_MAX: Final = 256
CHUNK: Final = 64
"""Messages sent before other clients and pings get their turn."""
PAGE_MAX: Final = 1_000


class PowerExchange:
    """Publishes a script (and whatever a test publishes) to all clients.

    A slow client is waited for on its own; it holds up nobody, and one that falls behind the list is disconnected.
    """

    def __init__(
        self,
        script: PowerExchangeScript | None = None,
        *,
        replay: bool = True,
        kind: Kind = "deal_confirmation",
        faults: ExchangeFaults | None = None,
        deals: DealList | None = None,
        sleep: Sleep = asyncio.sleep,
        wall_ns: WallNs = time.time_ns,
        limits: WebLimits | None = None,
        hosts: Collection[str] = (),
    ) -> None:
        self._script = script
        self._replay = replay
        self._kind: Kind = kind
        self._faults = ExchangeFaults() if faults is None else faults
        self._sleep = sleep
        self._wall_ns = wall_ns
        self.deals = DealList() if deals is None else deals
        self._server = WebsocketServer(
            self._serve_client, self._admit, streams_max=CLIENTS_MAX, limits=limits, hosts=hosts
        )
        self._publishing: asyncio.Task[None] | None = None
        self._refused = 0
        self._unauthorised = 0
        self._dropped = 0
        self.handshakes = 0
        self.clients = 0

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port. Raises OSError."""
        bound = await self._server.start(host, port)
        if self._script is not None:
            self._publishing = asyncio.create_task(self._run_script(self._script), name="exchange-script")
        return bound

    async def stop(self) -> None:
        """Close every connection and the port; the list stays."""
        if self._publishing is not None:
            self._publishing.cancel()
            with suppress(asyncio.CancelledError):
                await self._publishing
        await self._server.stop()

    def publish(self, deal: ScriptedDeal) -> None:
        """Send a deal to everybody."""
        self.deals.post(deal.key, deal.message(self._kind))

    async def _run_script(self, script: PowerExchangeScript) -> None:
        for posted, deal in enumerate(script):
            wait_s = (deal.time_ns - self._wall_ns()) / 1e9
            if wait_s > 0:
                await self._sleep(wait_s)
            elif posted % CHUNK == 0:
                await asyncio.sleep(0)
            self.publish(deal)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        target = urlsplit(request.path)
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            return self._answer(connection, target.path, parse_qs(target.query, keep_blank_values=True))
        self.handshakes += 1
        faults = self._faults
        if self._unauthorised < faults.unauthorised:
            self._unauthorised += 1
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "who are you?\n")
        if self._refused < faults.refuse:
            self._refused += 1
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "try again later\n")
        after = self._asked_after(target.query)
        if after is not None and self.deals.place_after(after) is None:
            return connection.respond(http.HTTPStatus.GONE, "this deal is not on the list\n")
        return None

    def _asked_after(self, query: str) -> str | None:
        values = parse_qs(query, keep_blank_values=True).get("after")
        return values[0] if values and self._replay else None

    async def _serve_client(self, connection: ServerConnection) -> None:
        self.clients += 1
        request = connection.request
        after = self._asked_after(urlsplit(request.path).query) if request is not None else None
        place = None if after is None else self.deals.place_after(after)
        sending = asyncio.create_task(self._send_all(connection, self.deals.end if place is None else place))
        try:
            # What clients say is read, so that pings behind it are answered, and ignored.
            async for _ in connection:
                pass
        except ConnectionClosed:
            pass  # A client may leave without a word; that is no trouble of ours.
        finally:
            self.clients -= 1
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self, connection: ServerConnection, place: int) -> None:
        sent = 0
        try:
            while not await self._end(connection, sent):
                await self.deals.wait_beyond(place)
                if place < self.deals.first:
                    await connection.close(1013, "too slow: the list has moved on")
                    return
                messages = self.deals.read(place, CHUNK)
                for number, message in enumerate(messages, place):
                    if await self._end(connection, sent):
                        return
                    for payload in self._disturbed(number, message):
                        await connection.send(payload, text=payload.isascii())
                    sent += 1
                place += len(messages)
                await asyncio.sleep(0)
        except ConnectionClosed:
            return

    def _disturbed(self, place: int, message: str) -> Iterator[bytes]:
        """Yield what is sent in the place of a message."""
        faults, number, payload = self._faults, place + 1, message.encode()
        if faults.garbage_every and number % faults.garbage_every == 0:
            yield GARBAGE[number // faults.garbage_every % len(GARBAGE)]
        if faults.skip_every and number % faults.skip_every == 0:
            return
        if faults.swap_every and number % faults.swap_every == 0:
            return
        yield payload
        if faults.repeat_every and number % faults.repeat_every == 0:
            yield payload
        if faults.swap_every and place and (number - 1) % faults.swap_every == 0:
            yield self.deals.read(place - 1, 1)[0].encode()

    async def _end(self, connection: ServerConnection, sent: int) -> bool:
        """End the connection, or its messages, where the plan says so."""
        faults = self._faults
        if faults.stall_after and sent >= faults.stall_after:
            return True
        if self._dropped >= faults.drops:
            return False
        if faults.drop_after and sent >= faults.drop_after:
            self._dropped += 1
            connection.transport.abort()
            return True
        if faults.close_after and sent >= faults.close_after:
            self._dropped += 1
            await connection.close(1001, "planned")
            return True
        return False

    def _answer(self, connection: ServerConnection, path: str, query: dict[str, list[str]]) -> Response:
        """Answer plain HTTP."""
        if path == "/":
            return connection.respond(http.HTTPStatus.OK, self._introduction())
        if path != "/deals" or not self._replay:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "not here\n")
        limit_text = query.get("limit", [str(PAGE_MAX)])[0]
        if not (limit_text.isascii() and limit_text.isdecimal()):
            return connection.respond(http.HTTPStatus.BAD_REQUEST, "limit: a whole number\n")
        place = self.deals.place_after(query.get("after", [""])[0])
        if place is None:
            return connection.respond(http.HTTPStatus.GONE, "this deal is not on the list\n")
        messages = self.deals.read(place, min(int(limit_text[:6]), PAGE_MAX))
        more = place + len(messages) < self.deals.end
        body = "".join(f"{message}\n" for message in messages).encode()
        headers = Headers(
            {
                "Connection": "close",
                "Content-Type": "application/x-ndjson",
                "Content-Length": str(len(body)),
                "X-Last-Id": self.deals.last_id,
                "X-More": json.dumps(more),
            }
        )
        return Response(200, "OK", headers, body)

    def _introduction(self) -> str:
        lines = [
            "Power exchange (simulator)",
            "",
            f"  websocket /          every deal from now on; {self.deals.end} so far",
        ]
        if self._replay:
            lines += [
                "  websocket /?after=ID every deal behind that one, then from now on; no ID: from the beginning",
                "  GET /deals?after=ID  the list, one message per line",
            ]
        return "\n".join((*lines, ""))
