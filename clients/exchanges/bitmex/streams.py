"""BitMEX's websocket: quotes, and what happens to our orders."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from clients.exchanges.bitmex.instruments import MARKET
from clients.exchanges.bitmex.json_body import encode
from clients.exchanges.bitmex.parsing import parse_fill, parse_order, parse_quote
from clients.exchanges.bitmex.signing import STREAM_PATH, expiry_s, sign
from clients.exchanges.bitmex.tables import KeyedTable, SnapshotGate, parse_frame
from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.exchanges.model import Instrument, Quote
from clients.exchanges.quote_relay import QuoteSink
from clients.exchanges.streaming import Pump, Unusable, follow, relayed
from clients.exchanges.trading import OrderReport, StreamGap
from clients.sockets import (
    AuthRefused,
    Connected,
    Disconnected,
    Message,
    OpenFailed,
    Session,
    SocketPolicy,
    SubscriptionRefused,
    TextPing,
)

if TYPE_CHECKING:
    from clients.exchanges.bitmex.client import BitMEXClient

logger = logging.getLogger(__name__)

CONNECTIONS_PER_HOUR: Final = 40
"""The lowest of the announced limits that may still hold."""
_SPARE_CONNECTIONS: Final = 2
"""Left in the account's hour, as the greeting says, below which nothing new is opened for a while."""
_HOLD_S: Final = 120.0
TOPICS_PER_MESSAGE: Final = 50

_TEXT_PING: Final = TextPing(after_s=5.0, timeout_s=5.0)
QUOTE_POLICY: Final = SocketPolicy(heartbeat=_TEXT_PING, stale_after_s=30.0, reconnect_after_silence_s=300.0)
"""Every reconnect costs one of few per hour, so a quiet instrument must not cause many."""
USER_POLICY: Final = SocketPolicy(heartbeat=_TEXT_PING)
"""Orders may be silent for days; the heartbeat alone says whether the stream lives."""


class QuoteStream:
    """Quotes of some instruments over one connection."""

    def __init__(self, client: BitMEXClient, symbols: Sequence[str]) -> None:
        self._client = client
        self._symbols = symbols
        self.unusable = Unusable("bitmex quotes")

    async def quotes(self) -> AsyncGenerator[Quote, None]:
        """Yield quotes until closed; a slow consumer gets the newest of each symbol."""
        async with aclosing(relayed([await self._pump()])) as quotes:
            async for quote in quotes:
                yield quote

    async def follow(self, sink: QuoteSink) -> None:
        """Put every quote into `sink` until cancelled."""
        await follow([await self._pump()], sink)

    async def _pump(self) -> Pump:
        found = [await self._client.instruments.by_symbol(symbol) for symbol in dict.fromkeys(self._symbols)]
        instruments = {instrument.exchange_symbol: instrument for instrument in found}

        async def pump(sink: QuoteSink) -> None:
            await self._read(instruments, sink)

        return pump

    async def _read(self, instruments: Mapping[str, Instrument], sink: QuoteSink) -> None:
        topics = [f"quote:{symbol}" for symbol in instruments]

        async def opened(session: Session) -> None:
            await greet(self._client, session)
            await subscribe(session, topics)

        socket = self._client.streams.open("quotes", _url(self._client.bases[MARKET].stream), QUOTE_POLICY, opened)
        gate = SnapshotGate()
        try:
            async for event in socket:
                if isinstance(event, Connected):
                    gate = SnapshotGate()
                    sink.connected()
                elif isinstance(event, Message):
                    self._take(event, gate, instruments, sink)
                elif isinstance(event, Disconnected) and not event.planned:
                    sink.lost(event.reason)
        finally:
            await self._client.streams.release(socket)

    def _take(
        self, message: Message, gate: SnapshotGate, instruments: Mapping[str, Instrument], sink: QuoteSink
    ) -> None:
        try:
            frame = parse_frame(message.payload)
            if frame is None or frame.table != "quote":
                return
            for row in gate.admit(frame):
                instrument = instruments.get(str(row.get("symbol")))
                if instrument is not None:
                    sink.put(parse_quote(row, instrument, receive_time_ns=message.receive_wall_ns, source="stream"))
        except MalformedAnswer as error:
            self.unusable.note(error)


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
            await greet(self._client, session)
            await self._log_in(session)
            await subscribe(session, ["order", "execution"])

        url = _url(self._client.bases[MARKET].stream)
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
        await session.request(encode(login).decode(), _acknowledged("authKeyExpires"))

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
            logger.info("statement about an instrument that is not mapped: exchange=bitmex symbol=%.32s", symbol)
        return instrument


async def greet(client: BitMEXClient, session: Session) -> None:
    """Wait for the greeting, which says how many connections are left; hold further ones back when few are."""
    remaining = await session.expect(_greeting)
    if remaining <= _SPARE_CONNECTIONS:
        client.streams.budget.hold(_HOLD_S)


async def subscribe(session: Session, topics: Sequence[str]) -> None:
    """Subscribe and wait until every topic has been acknowledged."""
    for start in range(0, len(topics), TOPICS_PER_MESSAGE):
        some = list(topics[start : start + TOPICS_PER_MESSAGE])
        request = encode({"op": "subscribe", "args": some}).decode()
        await session.request(request, _subscribed(set(some)))


def _subscribed(missing: set[str]) -> Callable[[bytes], bool | None]:
    def match(payload: bytes) -> bool | None:
        message = _control(payload)
        if message is None:
            return None
        _raise_refusal(message, "subscribe")
        if message.get("success") is True:
            missing.discard(str(message.get("subscribe")))
        return not missing or None

    return match


def _acknowledged(operation: str) -> Callable[[bytes], bool | None]:
    def match(payload: bytes) -> bool | None:
        message = _control(payload)
        if message is None:
            return None
        _raise_refusal(message, operation)
        request = message.get("request")
        told = isinstance(request, Mapping) and request.get("op") == operation
        return True if told and message.get("success") is True else None

    return match


def _greeting(payload: bytes) -> int | None:
    message = _control(payload)
    if message is None:
        return None
    _raise_refusal(message, "connect")
    if "info" not in message:
        return None
    limit = message.get("limit")
    remaining = limit.get("remaining") if isinstance(limit, Mapping) else None
    return remaining if isinstance(remaining, int) else CONNECTIONS_PER_HOUR


def _control(payload: bytes) -> Mapping[str, Any] | None:
    """Return a message that is no table frame; None for those, and for what cannot be read."""
    try:
        message = parse_json(payload)
    except MalformedAnswer:
        return None
    return message if isinstance(message, Mapping) and "table" not in message else None


def _raise_refusal(message: Mapping[str, Any], operation: str) -> None:
    if "error" not in message:
        return
    text = "".join(character for character in str(message["error"]) if character.isprintable())[:200]
    status = message.get("status")
    if status in (401, 403):
        raise AuthRefused(f"{operation} was refused: {text}", status=status)
    if status == 429:
        meta = message.get("meta")
        wait_s = meta.get("retryAfter") if isinstance(meta, Mapping) else None
        raise OpenFailed(
            f"{operation} was refused: {text}",
            status=429,
            retry_after_s=float(wait_s) if isinstance(wait_s, int) else 60.0,
        )
    raise SubscriptionRefused(f"{operation} was refused: {text}")


def _url(base: str) -> str:
    """Return the websocket's URL; a base without a path gets the usual one."""
    return base if urlsplit(base).path.strip("/") else base.rstrip("/") + STREAM_PATH
