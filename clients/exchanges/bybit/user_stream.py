"""Stream what happens to our orders on Bybit, in all of its markets over one connection."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from clients.exchanges.bybit.client import BybitClient
from clients.exchanges.bybit.lookup import OrderLookup
from clients.exchanges.bybit.markets import MARKETS, NAME, SPOT
from clients.exchanges.bybit.parsing import parse_execution, parse_order
from clients.exchanges.bybit.rows import MILLISECOND_NS
from clients.exchanges.bybit.signing import STREAM_LOGIN, signature
from clients.exchanges.bybit.stream_requests import acknowledged, request_text, subscribe, text_ping
from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.exchanges.streaming import Unusable
from clients.exchanges.trading import OrderReport, StreamGap
from clients.logs import fields
from clients.sockets import AuthRefused, Connected, Message, Session, SocketPolicy

logger = logging.getLogger(__name__)

TOPICS: Final = ("order", "execution")
"""Of all markets; never together with those of one, such as `order.spot`."""
LOGIN_LIFE_MS: Final = 10_000
RAW_BYTES_MAX: Final = 4096

USER_POLICY: Final = SocketPolicy(heartbeat=text_ping(every_s=10.0, timeout_s=5.0))
"""Orders may be silent for days; the heartbeat alone says whether the stream lives."""


class UserStream:
    """Statements about our orders and fills. A gap comes first after every connect, because nothing is repeated then."""

    def __init__(self, client: BybitClient, lookup: OrderLookup) -> None:
        self._client = client
        self._lookup = lookup
        self.unusable = Unusable("bybit user events")

    async def events(self) -> AsyncGenerator[OrderReport | StreamGap, None]:
        """Yield until closed. Nothing is dropped: a slow consumer makes the socket stop reading."""

        async def opened(session: Session) -> None:
            # Here, so that an exchange that is away is tried again like any connection.
            for market in MARKETS:
                await self._client.instruments.ready(market)
            await self._log_in(session)
            await subscribe(session, TOPICS)

        url = private_url(self._client.bases[SPOT].stream)
        socket = self._client.streams.open("user", url, USER_POLICY, opened)
        alive_ns: int | None = None
        self._lookup.streams += 1
        try:
            async for event in socket:
                if isinstance(event, Connected):
                    yield StreamGap(alive_ns)
                    alive_ns = event.wall_ns
                elif isinstance(event, Message):
                    for statement in self._statements(event, alive_ns):
                        if isinstance(statement, OrderReport):
                            self._lookup.note(statement)
                        yield statement
                    alive_ns = event.receive_wall_ns
        finally:
            self._lookup.streams -= 1
            await self._client.streams.release(socket)

    async def _log_in(self, session: Session) -> None:
        key = self._client.ports.key
        if key is None:
            raise AuthRefused("there is no API key for the user stream")
        expires_ms = await self._client.signing_time_ns(SPOT) // MILLISECOND_NS + LOGIN_LIFE_MS
        signed = signature(key.reveal(), f"{STREAM_LOGIN}{expires_ms}")
        login = {"req_id": "auth", "op": "auth", "args": [key.key_id, expires_ms, signed]}
        await session.request(request_text(login), acknowledged("auth"))

    def _statements(self, message: Message, alive_ns: int | None) -> Sequence[OrderReport | StreamGap]:
        try:
            frame = parse_json(message.payload)
            if not isinstance(frame, Mapping):
                raise MalformedAnswer("the frame is not an object")
            topic = frame.get("topic")
            if topic not in TOPICS:
                return []
            rows = frame.get("data")
            if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
                raise MalformedAnswer("`data` is not a list of rows")
            raw = message.payload[:RAW_BYTES_MAX]
            return [made for row in rows if (made := self._statement(str(topic), row, raw)) is not None]
        except MalformedAnswer as error:
            self.unusable.note(error)
            # What it was about is not known, so it has to be asked for.
            return [StreamGap(alive_ns)]

    def _statement(self, topic: str, row: Mapping[str, Any], raw: bytes) -> OrderReport | None:
        market = MARKETS.get(str(row.get("category")))
        instrument = None if market is None else self._client.instruments.known(market.name, str(row.get("symbol")))
        if market is None or instrument is None:
            # Options, which are not traded here, and what is not listed any more.
            logger.info(
                "statement about an instrument that is not mapped",
                extra=fields(exchange=NAME, market=str(row.get("category"))[:16], symbol=str(row.get("symbol"))[:32]),
            )
            return None
        if topic == "order":
            return parse_order(market, instrument.symbol, row, source="stream", raw=raw)
        return parse_execution(market, instrument.symbol, instrument.settle if market.futures else "", row, raw=raw)


def private_url(base: str) -> str:
    """Return where the account's own topics are."""
    return f"{base}/v5/private"
