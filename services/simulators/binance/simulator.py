"""The simulated Binance as a whole: its routes and streams wired up, each request authenticated, charged and answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from email.utils import formatdate
from typing import Final

from services.simulators.binance.account_config import AccountConfig
from services.simulators.binance.account_events import AccountEvents
from services.simulators.binance.batch_orders import BatchOrders
from services.simulators.binance.call import Call, Reply, Route, Security
from services.simulators.binance.errors import PLANNED, BinanceError
from services.simulators.binance.exchange import DEMO_ACCOUNT, DEMO_ED25519, BinanceExchange
from services.simulators.binance.funding import Funding, Payment
from services.simulators.binance.futures_account import FuturesAccount
from services.simulators.binance.futures_routes import FuturesRoutes
from services.simulators.binance.income import Income
from services.simulators.binance.klines import Klines
from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.listings import COINM, SPOT, USDM
from services.simulators.binance.market_data import MarketData
from services.simulators.binance.not_simulated import NotSimulated
from services.simulators.binance.orders import OrderDesk
from services.simulators.binance.prevented import Prevented
from services.simulators.binance.render import execution_report, order_trade_update, trade_lite
from services.simulators.binance.signing import check_signature, check_time, merged
from services.simulators.binance.spot_fees import SpotFees
from services.simulators.binance.spot_routes import SpotRoutes
from services.simulators.binance.stream_feeds import Feeds
from services.simulators.binance.streams import Streams, locate
from services.simulators.binance.trade_routes import TradeRoutes
from services.simulators.binance.welcome import welcome_text
from services.simulators.binance.window_ticker import WindowTickers
from services.simulators.binance.ws_api import WsApi
from services.simulators.binance.ws_methods import WS_API_PATHS
from services.simulators.venue.clearing import Account
from services.simulators.venue.exchange import VenueOptions
from services.simulators.venue.faults import Rule
from services.simulators.venue.messages import Request, Response, json_response
from services.simulators.venue.orders import Event, EventKind, Status
from services.simulators.venue.sockets import SimSocket

LIFETIME_S: Final = 86_400.0


class SimulatedBinance(BinanceExchange):
    """Binance spot, USD-M and COIN-M."""

    name = "binance"
    error_names = tuple(PLANNED)

    def __init__(
        self,
        *,
        options: VenueOptions | None = None,
        limits: LimitOptions | None = None,
        accounts: Iterable[Account] = (DEMO_ACCOUNT, DEMO_ED25519),
        faults: Iterable[Rule] = (),
        socket_lifetime_s: float = LIFETIME_S,
        wall_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            options=VenueOptions() if options is None else options,
            limits=LimitOptions() if limits is None else limits,
            accounts=accounts,
            faults=faults,
            wall_ns=wall_ns,
            sleep=sleep,
        )
        self._socket_lifetime_s = socket_lifetime_s
        self._account_events = AccountEvents(self)
        desk, trades = OrderDesk(self), TradeRoutes(self)
        usdm, coinm = FuturesRoutes(self, desk, USDM), FuturesRoutes(self, desk, COINM)
        self.streams = Streams(self, Feeds(self, trades))
        self._funding = Funding(self, self._send_funding)
        self.routes: Mapping[tuple[str, str], Route] = {
            **MarketData(self).routes(),
            **trades.routes(),
            **WindowTickers(self).routes(),
            **Klines(self).routes(),
            **SpotRoutes(self, desk).routes(),
            **usdm.routes(),
            **coinm.routes(),
            **BatchOrders(usdm, USDM).routes(),
            **BatchOrders(coinm, COINM).routes(),
            **Prevented(self).routes(),
            **NotSimulated(self).routes(),
            **FuturesAccount(self, USDM).routes(),
            **FuturesAccount(self, COINM).routes(),
            **AccountConfig(self, USDM, self.streams.send_user).routes(),
            **AccountConfig(self, COINM, self.streams.send_user).routes(),
            **SpotFees(self).routes(),
            **self._funding.routes(),
            **Income(self, self._funding).routes(),
        }
        self.ws_api = WsApi(self, self.routes)

    # -- requests -------------------------------------------------------------------------------------------------

    def parameters(self, request: Request) -> Mapping[str, str]:
        return merged(request.query, request.body.decode("utf-8", "replace"))

    async def answer(self, request: Request) -> Response:
        now_ns = self.wall_ns()
        route = self.routes.get((request.method, request.path))
        headers = {"date": formatdate(self.exchange_ns() / 1e9, usegmt=True)}
        if route is None:
            known = any(path == request.path for _, path in self.routes)
            error = BinanceError(
                405 if known else 404, -5000, f"Path {request.path}, Method {request.method} is invalid"
            )
            return json_response(error.status, error.payload(), headers)
        parameters = self.parameters(request)
        weight = route.weight(parameters)
        account: Account | None = None
        try:
            self.limits.charge(request.address, route.market, weight, now_ns)
            account, expires_ms = self._authenticate(request, route, parameters)
            if route.counts_order:
                assert account is not None
                self.limits.count_order(account.name, route.market, now_ns)
            call = Call(route.market, request.route, parameters, now_ns, account, expires_ms)
            result = await route.handler(call)
            status, payload = (result.status, result.payload) if isinstance(result, Reply) else (200, result)
            if route.free_on_success:
                self.limits.give_back(request.address, route.market, weight, now_ns)
            if route.counts_order and account is not None:
                headers |= self.limits.order_headers(account.name, route.market, now_ns)
        except BinanceError as exc:
            status, payload = exc.status, exc.payload()
            headers |= exc.headers
        used = str(self.limits.used(request.address, route.market, self.wall_ns()))
        headers["x-mbx-used-weight-1m"] = used
        if route.market == SPOT:
            headers["x-mbx-used-weight"] = used
        return json_response(status, payload, headers)

    def error_response(self, name: str, request: Request) -> Response:
        error = PLANNED.get(name) or BinanceError(int(name), -1000, "planned error")
        headers = {**error.headers, "date": formatdate(self.exchange_ns() / 1e9, usegmt=True)}
        if error.code == 0:
            return Response(
                error.status, b"<html><h1>403 Forbidden</h1></html>", {**headers, "content-type": "text/html"}
            )
        return json_response(error.status, error.payload(), headers)

    def _authenticate(
        self, request: Request, route: Route, parameters: Mapping[str, str]
    ) -> tuple[Account | None, int | None]:
        if route.security is Security.NONE:
            return None, None
        account = self.account(request.headers.get("x-mbx-apikey", ""))
        if route.right not in account.rights:
            raise BinanceError(401, -2015, "Invalid API-key, IP, or permissions for action.")
        if route.security is Security.KEY:
            return account, None
        check_signature(account, request.query, request.body.decode("utf-8", "surrogateescape"))
        return account, check_time(route.market, parameters, self.shown_ms(self.wall_ns()))

    # -- streams --------------------------------------------------------------------------------------------------

    def connect(self, path: str, query: str, headers: Mapping[str, str]) -> SimSocket | Response:
        place = locate(path)
        market = WS_API_PATHS.get(path.rstrip("/"))
        if place is None and market is None:
            return Response(404, b"no such stream path")
        refusal = self.refuse_socket(path)
        if refusal is not None:
            return refusal
        socket = self.open_socket(path)
        if market is not None:
            self.ws_api.open(socket, market, query)
        elif place is not None:
            self.streams.open(socket, place, query)
        return socket

    async def receive(self, socket: SimSocket, text: str) -> None:
        if socket.closed is not None:
            return
        if self.ws_api.has(socket):
            await self.ws_api.receive(socket, text)
        else:
            self.streams.receive(socket, text)

    def socket_closed(self, socket: SimSocket) -> None:
        self.streams.close(socket)
        self.ws_api.close(socket)

    def publish(self, now_ns: int) -> None:
        for socket in list(self.sockets):
            if now_ns - socket.opened_ns > self._socket_lifetime_s * 1e9:
                socket.close(1001, "connection lifetime is over")
        self.streams.expire_keys(now_ns)
        self.streams.publish(now_ns)

    def send_event(self, event: Event) -> None:
        order, market = event.order, event.order.listing.market
        if market == SPOT:
            self.ws_api.send_user(order.account, execution_report(event, self.shown_ms))
            self.ws_api.send_user(order.account, self._account_events.balances(event))
            return
        if event.kind is EventKind.TRADE:
            self.streams.send_user(order.account, market, trade_lite(event, self.shown_ms))
            self.streams.send_user(order.account, market, self._account_events.update(event))
        resting = self._account_events.resting_values(event)
        self.streams.send_user(order.account, market, order_trade_update(event, self.shown_ms, resting))

    def advance(self) -> None:
        super().advance()
        self._funding.pay(self.wall_ns())

    def _send_funding(self, payment: Payment) -> None:
        update = self._account_events.funded(
            payment.account, payment.listing, payment.leg, payment.amount, payment.time_ns
        )
        self.streams.send_user(payment.account, payment.listing.market, update)

    def _on_event(self, event: Event) -> None:
        order = event.order
        if order.listing.market == SPOT and event.kind is EventKind.TRADE and order.status is Status.FILLED:
            self.limits.filled(order.account, event.time_ns)
        super()._on_event(event)

    def announce_shutdown(self) -> None:
        self.streams.announce_shutdown()
        self.ws_api.announce_shutdown()

    def welcome(self, base_url: str) -> str:
        return welcome_text(base_url, next(iter(self.clearing.accounts), DEMO_ACCOUNT))
