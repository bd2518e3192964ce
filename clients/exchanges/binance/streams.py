"""Binance's websockets: quotes of the three markets, and what happens to our orders."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from clients.exchanges.binance.markets import COINM, MARKETS, SPOT, USDM
from clients.exchanges.binance.signing import encode, signature
from clients.exchanges.binance.stream_events import (
    KEY_EXPIRED,
    SHUTDOWN,
    kind,
    parse_book_ticker,
    parse_event,
    parse_order_event,
)
from clients.exchanges.binance.weights import costs
from clients.exchanges.client import ExchangeRequest
from clients.exchanges.errors import ExchangeError, OperatorMustAct
from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.exchanges.model import Instrument, Quote
from clients.exchanges.quote_relay import QuoteSink
from clients.exchanges.streaming import Pump, StreamHub, Unusable, follow, merged, relayed
from clients.exchanges.trading import OrderReport, StreamGap
from clients.resilience.call import CallSpec
from clients.resilience.errors import ResilienceError
from clients.sockets import (
    AuthRefused,
    Connected,
    Disconnected,
    Message,
    OpenFailed,
    ResilientSocket,
    Session,
    SocketPolicy,
    SubscriptionRefused,
)

if TYPE_CHECKING:
    from clients.exchanges.binance.client import BinanceClient

logger = logging.getLogger(__name__)

STREAMS_PER_CONNECTION: Final = 200
STREAMS_PER_MESSAGE: Final = 100
CONTROL_GAP_S: Final = 0.25
"""Between control messages: at most 5 a second, pongs and pings included."""
ROTATE_AFTER_S: Final = 23 * 3600.0
ROTATE_SPREAD_S: Final = 1800.0
"""Connections that were opened together are not replaced together, and none reaches the exchange's 24 hours."""
KEEP_ALIVE_S: Final = 1800.0
"""A listen key lives for 60 minutes."""
KEEP_ALIVE_RETRY_S: Final = 60.0
USER_MARKETS: Final = (SPOT, USDM, COINM)

_NO_SUCH_KEY: Final = "-1125"
_AUTH_CODES: Final = frozenset({-1002, -1022, -2014, -2015})

QUOTE_POLICY: Final = SocketPolicy(stale_after_s=30.0, reconnect_after_silence_s=120.0)
"""A subscription that went to the wrong route is silent, not refused; so is one that the exchange lost."""
USER_POLICY: Final = SocketPolicy()
"""Orders may be silent for days; the heartbeat alone says whether the stream lives."""


class QuoteStream:
    """Best bid and ask of instruments of any of the markets: one connection per market and 200 streams."""

    def __init__(self, client: BinanceClient, symbols: Sequence[str]) -> None:
        self._client = client
        self._symbols = symbols
        self.unusable = Unusable("binance quotes")

    async def quotes(self) -> AsyncGenerator[Quote, None]:
        """Yield quotes until closed; a slow consumer gets the newest of each symbol."""
        async with aclosing(relayed(await self._pumps())) as quotes:
            async for quote in quotes:
                yield quote

    async def follow(self, sink: QuoteSink) -> None:
        """Put every quote into `sink` until cancelled."""
        await follow(await self._pumps(), sink)

    async def _pumps(self) -> list[Pump]:
        instruments = [await self._client.instruments.by_symbol(symbol) for symbol in dict.fromkeys(self._symbols)]
        groups = [
            chosen[start : start + STREAMS_PER_CONNECTION]
            for market in MARKETS
            if (chosen := [instrument for instrument in instruments if instrument.market == market])
            for start in range(0, len(chosen), STREAMS_PER_CONNECTION)
        ]
        return [self._pump(group) for group in groups]

    def _pump(self, instruments: Sequence[Instrument]) -> Pump:
        async def pump(sink: QuoteSink) -> None:
            await self._read(instruments, sink)

        return pump

    async def _read(self, instruments: Sequence[Instrument], sink: QuoteSink) -> None:
        hub, market = self._client.streams, instruments[0].market
        names = [f"{instrument.exchange_symbol.lower()}@bookTicker" for instrument in instruments]
        by_name = {instrument.exchange_symbol: instrument for instrument in instruments}

        async def opened(session: Session) -> None:
            await subscribe(session, names, hub)

        url = quote_url(market, self._client.bases[market].stream)
        socket = hub.open(f"{market} quotes", url, _rotating(QUOTE_POLICY, hub), opened)
        try:
            async for event in socket:
                if isinstance(event, Connected) and not event.planned:
                    sink.forget_order({instrument.symbol for instrument in instruments})
                    sink.connected()
                elif isinstance(event, Message):
                    self._take(event, by_name, sink, socket)
                elif isinstance(event, Disconnected) and not event.planned:
                    sink.lost(event.reason)
        finally:
            await hub.release(socket)

    def _take(
        self, message: Message, by_name: Mapping[str, Instrument], sink: QuoteSink, socket: ResilientSocket
    ) -> None:
        try:
            event = parse_event(message.payload)
            if event is None:
                return
            if kind(event) == SHUTDOWN:
                socket.reconnect("the exchange said that this server is about to stop")
                return
            instrument = by_name.get(str(event.get("s")))
            if instrument is not None and kind(event) == "bookTicker":
                sink.put(parse_book_ticker(event, instrument, receive_time_ns=message.receive_wall_ns))
        except MalformedAnswer as error:
            self.unusable.note(error)


class UserStream:
    """Statements about our orders and fills of all markets that have a stream configured; a gap comes first after every connect."""

    def __init__(self, client: BinanceClient, markets: Sequence[str] = USER_MARKETS) -> None:
        self._client = client
        self._markets = [market for market in markets if market in client.bases]
        self.unusable = Unusable("binance user events")

    async def events(self) -> AsyncGenerator[OrderReport | StreamGap, None]:
        """Yield until closed. Nothing is dropped: a slow consumer makes the sockets stop reading."""
        streams = [self._spot() if market == SPOT else self._futures(market) for market in self._markets]
        async with aclosing(merged(streams)) as events:
            async for event in events:
                yield event

    async def _spot(self) -> AsyncGenerator[OrderReport | StreamGap, None]:
        hub = self._client.streams

        async def opened(session: Session) -> None:
            # Here, so that an exchange that is away is tried again like any connection.
            await self._client.instruments.ready(SPOT)
            await self._subscribe_spot(session)

        url = self._client.bases[SPOT].websocket_api
        socket = hub.open("spot user", url, _rotating(USER_POLICY, hub), opened)
        async with aclosing(self._read(SPOT, socket)) as events:
            async for event in events:
                yield event

    async def _futures(self, market: str) -> AsyncGenerator[OrderReport | StreamGap, None]:
        hub = self._client.streams
        base = self._client.bases[market].stream

        async def url() -> str:
            # Asking again for a key that lives returns that key and extends it.
            return user_url(market, base, await self._listen_key("POST", market))

        async def opened(session: Session) -> None:
            await self._client.instruments.ready(market)

        socket = hub.open(f"{market} user", url, _rotating(USER_POLICY, hub), opened)
        keeper = asyncio.create_task(self._keep_alive(market, socket))
        try:
            async with aclosing(self._read(market, socket)) as events:
                async for event in events:
                    yield event
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _read(self, market: str, socket: ResilientSocket) -> AsyncGenerator[OrderReport | StreamGap, None]:
        alive_ns: int | None = None
        try:
            async for event in socket:
                if isinstance(event, Connected):
                    if not event.planned:
                        yield StreamGap(alive_ns)
                        alive_ns = event.wall_ns
                elif isinstance(event, Message):
                    statement = self._statement(market, event, socket, alive_ns)
                    if statement is not None:
                        yield statement
                    alive_ns = event.receive_wall_ns
        finally:
            await self._client.streams.release(socket)

    def _statement(
        self, market: str, message: Message, socket: ResilientSocket, alive_ns: int | None
    ) -> OrderReport | StreamGap | None:
        try:
            event = parse_event(message.payload)
            if event is None:
                return None
            match kind(event):
                case "executionReport" if market == SPOT:
                    order: Any = event
                case "ORDER_TRADE_UPDATE":
                    order = event.get("o")
                case name if name in (SHUTDOWN, KEY_EXPIRED, "eventStreamTerminated"):
                    socket.reconnect(f"the exchange ended the stream: {name}")
                    return None
                case _:
                    # TRADE_LITE among them: it says less than the update that follows, and nothing else.
                    return None
            if not isinstance(order, Mapping):
                raise MalformedAnswer("the order's update holds no order")
            instrument = self._client.instruments.known(market, str(order.get("s")))
            if instrument is None:
                logger.info(
                    "statement about an instrument that is not mapped: exchange=binance market=%s symbol=%.32s",
                    market,
                    order.get("s"),
                )
                return None
            return parse_order_event(order, instrument, raw=message.payload[:4096])
        except MalformedAnswer as error:
            self.unusable.note(error)
            # What it was about is not known, so it has to be asked for.
            return StreamGap(alive_ns)

    async def _subscribe_spot(self, session: Session) -> None:
        key = self._client.ports.key
        if key is None:
            raise AuthRefused("there is no API key for the user stream")
        now_ms = await self._client.signing_time_ns(SPOT) // 1_000_000
        parameters = [("apiKey", key.key_id), ("timestamp", str(now_ms))]
        # Signed in alphabetical order; the key is a parameter here.
        signed = {"apiKey": key.key_id, "timestamp": now_ms, "signature": signature(key.reveal(), encode(parameters))}
        request = {"id": "user", "method": "userDataStream.subscribe.signature", "params": signed}
        await session.request(_json(request), _api_answer("user"))

    async def _listen_key(self, method: str, market: str) -> str:
        path = MARKETS[market].path("listenKey")
        spec = CallSpec(
            target=f"binance:{market}",
            group="account",
            operation="listen_key",
            costs=costs(MARKETS[market], 1),
        )
        request = ExchangeRequest(market=market, method=method, path=path, spec=spec)
        if self._client.ports.key is None:
            raise AuthRefused("there is no API key for the user stream")
        try:
            response = await self._client.request(request)
        except OperatorMustAct as error:
            raise AuthRefused(str(error)) from error
        except ExchangeError as error:
            if method == "PUT":
                raise
            raise OpenFailed(str(error), status=error.http_status, retry_after_s=error.retry_after_s) from error
        except ResilienceError as error:
            raise OpenFailed(error.message, retry_after_s=error.retry_after_s) from error
        key = response.payload.get("listenKey") if isinstance(response.payload, Mapping) else None
        if method == "POST" and (not isinstance(key, str) or not key.isalnum()):
            raise OpenFailed("the answer holds no listen key")
        return str(key)

    async def _keep_alive(self, market: str, socket: ResilientSocket) -> None:
        wait_s = KEEP_ALIVE_S
        while True:
            await self._client.streams.sleep(wait_s)
            wait_s = KEEP_ALIVE_S
            try:
                await self._listen_key("PUT", market)
            except ExchangeError as error:
                if error.code == _NO_SUCH_KEY:
                    socket.reconnect("the listen key has expired")
                else:
                    wait_s = self._soon(market, error)
            except (AuthRefused, OpenFailed) as error:
                wait_s = self._soon(market, error)

    @staticmethod
    def _soon(market: str, error: Exception) -> float:
        logger.warning("listen key not extended, trying again: market=%s cause=%s", market, error)
        return KEEP_ALIVE_RETRY_S


async def subscribe(session: Session, streams: Sequence[str], hub: StreamHub) -> None:
    """Subscribe in as many messages as it takes, each acknowledged before the next one goes out."""
    numbers = count(1)
    for start in range(0, len(streams), STREAMS_PER_MESSAGE):
        if start:
            await hub.sleep(CONTROL_GAP_S)
        number = next(numbers)
        request = {"method": "SUBSCRIBE", "params": list(streams[start : start + STREAMS_PER_MESSAGE]), "id": number}
        await session.request(_json(request), _stream_answer(number))


def quote_url(market: str, base: str) -> str:
    """Return where book tickers are: USD-M has a route of its own for them, and the wrong one stays silent."""
    return f"{base}/public/ws" if market == USDM else f"{base}/ws"


def user_url(market: str, base: str, listen_key: str) -> str:
    """Return where the user data of a futures market is."""
    return f"{base}/private/ws/{listen_key}" if market == USDM else f"{base}/ws/{listen_key}"


def _stream_answer(number: int) -> Callable[[bytes], bool | None]:
    def match(payload: bytes) -> bool | None:
        message = _answer(payload, number)
        if message is None:
            return None
        error = message.get("error", message if "code" in message else None)
        if error is not None:
            raise SubscriptionRefused(_refusal(error))
        return True if "result" in message and message["result"] is None else None

    return match


def _api_answer(identifier: str) -> Callable[[bytes], bool | None]:
    def match(payload: bytes) -> bool | None:
        message = _answer(payload, identifier)
        if message is None:
            return None
        if message.get("status") == 200:
            return True
        error = message.get("error")
        code = error.get("code") if isinstance(error, Mapping) else None
        if message.get("status") == 401 or code in _AUTH_CODES:
            raise AuthRefused(_refusal(error))
        raise SubscriptionRefused(_refusal(error))

    return match


def _answer(payload: bytes, identifier: int | str) -> Mapping[str, Any] | None:
    try:
        message = parse_json(payload)
    except MalformedAnswer:
        return None
    if not isinstance(message, Mapping) or "e" in message or "stream" in message or "event" in message:
        return None
    # An error about a request that could not be read comes without its id.
    named = message.get("id")
    return message if named == identifier or (named is None and ("error" in message or "code" in message)) else None


def _refusal(error: object) -> str:
    if isinstance(error, Mapping):
        text = "".join(c for c in str(error.get("msg", "")) if c.isprintable())[:200]
        return f"the subscription was refused: {error.get('code')}: {text}"
    return "the subscription was refused"


def _rotating(policy: SocketPolicy, hub: StreamHub) -> SocketPolicy:
    return replace(policy, rotate_after_s=ROTATE_AFTER_S - hub.random.uniform(0.0, ROTATE_SPREAD_S))


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
