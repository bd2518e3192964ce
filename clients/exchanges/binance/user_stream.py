"""Stream what happens to our orders on Binance's three markets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from clients.exchanges.binance.client import BinanceClient
from clients.exchanges.binance.endpoints import ENDPOINTS
from clients.exchanges.binance.markets import COINM, MARKETS, SPOT, USDM
from clients.exchanges.binance.signing import encode, signature
from clients.exchanges.binance.stream_events import KEY_EXPIRED, SHUTDOWN, kind, parse_event, parse_order_event
from clients.exchanges.binance.stream_requests import api_answer, request_text, rotating
from clients.exchanges.binance.weights import costs
from clients.exchanges.client import ExchangeRequest
from clients.exchanges.errors import ExchangeError, OperatorMustAct
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.streaming import Unusable, merged
from clients.exchanges.trading import OrderReport, StreamGap
from clients.logs import fields
from clients.resilience.call import CallSpec
from clients.resilience.errors import ResilienceError
from clients.sockets import (
    AuthRefused,
    Connected,
    Message,
    OpenFailed,
    ResilientSocket,
    Session,
    SocketPolicy,
)

logger = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 1800.0
"""A listen key lives for 60 minutes."""
KEEP_ALIVE_RETRY_S: Final = 60.0
USER_MARKETS: Final = (SPOT, USDM, COINM)

_NO_SUCH_KEY: Final = "-1125"

USER_POLICY: Final = SocketPolicy()
"""Orders may be silent for days; the heartbeat alone says whether the stream lives."""


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
        socket = hub.open("spot user", url, rotating(USER_POLICY, hub), opened)
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

        socket = hub.open(f"{market} user", url, rotating(USER_POLICY, hub), opened)
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
                    "statement about an instrument that is not mapped",
                    extra=fields(exchange="binance", market=market, symbol=str(order.get("s"))[:32]),
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
        await session.request(request_text(request), api_answer("user"))

    async def _listen_key(self, method: str, market: str) -> str:
        path = MARKETS[market].path("listenKey")
        spec = CallSpec(
            target=f"binance:{market}",
            group=ENDPOINTS.group_of("listen_key"),
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
        logger.warning("listen key not extended, trying again", extra=fields(market=market, cause=error))
        return KEEP_ALIVE_RETRY_S


def user_url(market: str, base: str, listen_key: str) -> str:
    """Return where the user data of a futures market is."""
    return f"{base}/private/ws/{listen_key}" if market == USDM else f"{base}/ws/{listen_key}"
