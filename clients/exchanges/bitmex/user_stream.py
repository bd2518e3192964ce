"""Stream what happens to our orders on BitMEX."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from clients.exchanges.bitmex.client import BitMEXClient
from clients.exchanges.bitmex.instruments import MARKET
from clients.exchanges.bitmex.json_body import encode
from clients.exchanges.bitmex.parsing import parse_fill, parse_order
from clients.exchanges.bitmex.signing import STREAM_PATH, expiry_s, sign
from clients.exchanges.bitmex.stream_requests import TEXT_PING, acknowledged, greet, stream_url, subscribe
from clients.exchanges.bitmex.tables import KeyedTable, parse_frame
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Instrument
from clients.exchanges.streaming import Unusable
from clients.exchanges.trading import OrderReport, StreamGap
from clients.logs import fields
from clients.sockets import AuthRefused, Connected, Message, Session, SocketPolicy

logger = logging.getLogger(__name__)

USER_POLICY: Final = SocketPolicy(heartbeat=TEXT_PING)
"""Orders may be silent for days; the heartbeat alone says whether the stream lives."""


class UserStream:
    """Statements about our orders and fills. A gap comes first after every connect, and where an update is about an unknown order."""

    def __init__(self, client: BitMEXClient) -> None:
        self._client = client
        self.unusable = Unusable("bitmex user events")

    async def events(self) -> AsyncGenerator[OrderReport | StreamGap, None]:
        """Yield until closed. Nothing is dropped: a slow consumer makes the socket stop reading."""

        async def opened(session: Session) -> None:
            # Here, so that an exchange that is away is tried again like any connection.
            await self._client.instruments.ready(MARKET)
            await greet(session, self._client.streams.budget)
            await self._log_in(session)
            await subscribe(session, ["order", "execution"])

        url = stream_url(self._client.bases[MARKET].stream)
        socket = self._client.streams.open("user", url, USER_POLICY, opened)
        orders, executions = KeyedTable(), KeyedTable()
        alive_ns: int | None = None
        try:
            async for event in socket:
                if isinstance(event, Connected):
                    orders, executions = KeyedTable(), KeyedTable()
                    yield StreamGap(alive_ns)
                    alive_ns = event.wall_ns
                elif isinstance(event, Message):
                    for statement in self._statements(event, orders, executions, alive_ns):
                        yield statement
                    alive_ns = event.receive_wall_ns
        finally:
            await self._client.streams.release(socket)

    async def _log_in(self, session: Session) -> None:
        key = self._client.ports.key
        if key is None:
            raise AuthRefused("there is no API key for the user stream")
        expires_s = expiry_s(await self._client.signing_time_ns(MARKET))
        signature = sign(key.reveal(), "GET", STREAM_PATH, expires_s)
        login = {"op": "authKeyExpires", "args": [key.key_id, expires_s, signature]}
        await session.request(encode(login).decode(), acknowledged("authKeyExpires"))

    def _statements(
        self, message: Message, orders: KeyedTable, executions: KeyedTable, alive_ns: int | None
    ) -> list[OrderReport | StreamGap]:
        try:
            frame = parse_frame(message.payload)
            if frame is None or frame.table not in ("order", "execution"):
                return []
            if frame.table == "order":
                rows, unknown = orders.apply(frame)
                gap: list[OrderReport | StreamGap] = [StreamGap(alive_ns)] if unknown else []
                return gap + [made for row in rows if (made := self._order(row, message)) is not None]
            rows, _ = executions.apply(frame)
            return [made for row in rows if (made := self._execution(row, message)) is not None]
        except MalformedAnswer as error:
            self.unusable.note(error)
            # What it was about is not known, so it has to be asked for.
            return [StreamGap(alive_ns)]

    def _order(self, row: Mapping[str, Any], message: Message) -> OrderReport | None:
        instrument = self._instrument(row)
        if instrument is None:
            return None
        return parse_order(row, instrument, source="stream", raw=message.payload[:4096])

    def _execution(self, row: Mapping[str, Any], message: Message) -> OrderReport | None:
        instrument = self._instrument(row)
        if instrument is None or not row.get("orderID") or not row.get("ordStatus") or not row.get("side"):
            # Funding and settlements are executions, too.
            return None
        fill = parse_fill(row, instrument)
        return parse_order(row, instrument, source="stream", raw=message.payload[:4096], fill=fill)

    def _instrument(self, row: Mapping[str, Any]) -> Instrument | None:
        symbol = str(row.get("symbol"))
        instrument = self._client.instruments.known(MARKET, symbol)
        if instrument is None:
            logger.info(
                "statement about an instrument that is not mapped",
                extra=fields(exchange="bitmex", symbol=str(symbol)[:32]),
            )
        return instrument
