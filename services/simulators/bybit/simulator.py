"""The simulated Bybit as a whole: its routes and streams wired up, each request counted, authenticated and answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import parse_qsl

from services.runtime.json_text import read_json
from services.simulators.bybit.account_routes import AccountRoutes
from services.simulators.bybit.books import Books
from services.simulators.bybit.call import Reply, Route
from services.simulators.bybit.candle_routes import CandleRoutes
from services.simulators.bybit.errors import PLANNED, BybitError, EdgeError, parameter
from services.simulators.bybit.exchange import DEMO_ACCOUNT, BybitExchange
from services.simulators.bybit.limited_calls import Limited, carry_out
from services.simulators.bybit.limits import LimitOptions, RollingCount
from services.simulators.bybit.listings import CATEGORIES
from services.simulators.bybit.market_routes import MarketRoutes
from services.simulators.bybit.order_routes import OrderRoutes
from services.simulators.bybit.own_levers import OwnLevers
from services.simulators.bybit.private_stream import PATH as PRIVATE_PATH
from services.simulators.bybit.private_stream import PrivateStream
from services.simulators.bybit.public_stream import PREFIX, STATUS, PublicStream
from services.simulators.bybit.query_routes import QueryRoutes
from services.simulators.bybit.sightings import RowDelays
from services.simulators.bybit.signing import check_signature, check_window
from services.simulators.bybit.trade_stream import PATH as TRADE_PATH
from services.simulators.bybit.trade_stream import TradeStream
from services.simulators.bybit.welcome import welcome_text
from services.simulators.venue.clearing import Account
from services.simulators.venue.exchange import VenueOptions
from services.simulators.venue.faults import Fault, Rule
from services.simulators.venue.levers import Lever
from services.simulators.venue.messages import Request, Response, json_response
from services.simulators.venue.orders import Event
from services.simulators.venue.sockets import SimSocket

SOCKETS_MAX: Final = 500
SOCKETS_WINDOW_NS: Final = 300 * 1_000_000_000
BEAT_S: Final = 0.25
HTML: Final = {"content-type": "text/html"}


class SimulatedBybit(BybitExchange):
    """Bybit: spot, linear and inverse behind one unified account."""

    name = "bybit"
    error_names = tuple(PLANNED)

    def __init__(
        self,
        *,
        options: VenueOptions | None = None,
        limits: LimitOptions | None = None,
        delays: RowDelays | None = None,
        accounts: Iterable[Account] = (DEMO_ACCOUNT,),
        faults: Iterable[Rule] = (),
        wall_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            options=VenueOptions() if options is None else options,
            limits=LimitOptions() if limits is None else limits,
            delays=RowDelays() if delays is None else delays,
            accounts=accounts,
            faults=faults,
            wall_ns=wall_ns,
            sleep=sleep,
        )
        books = Books(self.liquidity)
        account, orders = AccountRoutes(self), OrderRoutes(self)
        self.routes: Mapping[tuple[str, str], Route] = {
            **MarketRoutes(self, books).routes(),
            **CandleRoutes(self).routes(),
            **orders.routes(),
            **QueryRoutes(self).routes(),
            **account.routes(),
        }
        self.public = PublicStream(self, books)
        self.private = PrivateStream(self, account)
        self.trade = TradeStream(self, orders.routes())
        self._handshakes = RollingCount(size=SOCKETS_MAX, window_ns=SOCKETS_WINDOW_NS)

    # -- requests -------------------------------------------------------------------------------------------------

    def parameters(self, request: Request) -> Mapping[str, str]:
        try:
            read = self._read(request)
        except BybitError:
            return {}
        return {
            name: value if isinstance(value, str) else json.dumps(value, default=str) for name, value in read.items()
        }

    async def answer(self, request: Request) -> Response:
        if request.method == "WS":
            return await self.trade.answer(request)
        headers = self._headers()
        try:
            self.limits.admit_address(request.address, self.wall_ns())
            if request.method == "GET" and request.body:
                raise EdgeError(403, "<html><body><h1>403 Forbidden</h1></body></html>")
            route = self.routes.get((request.method, request.path))
            if route is None:
                raise EdgeError(404, "404 page not found")
            account = self._authenticate(request) if route.signed else None
            reply, told = await carry_out(Limited(self, account, request.path, route), self._read(request))
            return self._envelope(0, reply, {**headers, **told})
        except BybitError as exc:
            return self._refusal(exc, {**headers, **exc.headers})
        except EdgeError as exc:
            return Response(exc.status, exc.text.encode(), {**headers, **HTML})

    def error_response(self, name: str, request: Request) -> Response:
        error = PLANNED.get(name) or EdgeError(int(name), "planned error")
        if request.method == "WS" and request.path.startswith(TRADE_PATH + "/"):
            return self.trade.error_response(error, request)
        if isinstance(error, EdgeError):
            return Response(error.status, error.text.encode(), {**self._headers(), **HTML})
        return self._refusal(error, self._headers())

    def _refusal(self, error: BybitError, headers: Mapping[str, str]) -> Response:
        return self._envelope(error.code, Reply(error.result, message=error.message), headers, status=error.status)

    def _envelope(self, code: int, reply: Reply, headers: Mapping[str, str], *, status: int = 200) -> Response:
        payload = {
            "retCode": code,
            "retMsg": reply.message,
            "result": reply.result,
            "retExtInfo": reply.extra,
            "time": self.shown_ms(self.wall_ns()),
        }
        return json_response(status, payload, {**headers, "Ret_code": str(code)})

    def _headers(self) -> dict[str, str]:
        now_ns = self.exchange_ns()
        return {
            "date": formatdate(now_ns / 1e9, usegmt=True),
            "Traceid": self.made_uuid().replace("-", ""),
            "Timenow": str(now_ns // 1_000_000),
        }

    def _authenticate(self, request: Request) -> Account:
        given = {name: request.headers.get(f"x-bapi-{name}", "") for name in ("api-key", "timestamp", "sign")}
        if not all(given.values()):
            raise BybitError(10003, "API key, timestamp and signature are required.", status=401)
        window = request.headers.get("x-bapi-recv-window", "")
        account = self.account(given["api-key"])
        check_window(given["timestamp"], window, self.shown_ms(self.wall_ns()))
        check_signature(
            account.secret,
            timestamp=given["timestamp"],
            api_key=given["api-key"],
            window=window,
            payload=request.query.encode("latin-1", "replace") if request.method == "GET" else request.body,
            signature=given["sign"],
        )
        return account

    def _read(self, request: Request) -> dict[str, Any]:
        if request.method == "GET":
            return dict(parse_qsl(request.query, keep_blank_values=True))
        try:
            body = read_json(request.body.decode("utf-8") or "{}", parse_float=Decimal)
        except (ValueError, ArithmeticError):
            raise parameter("Request parameter error: the body is no JSON") from None
        if not isinstance(body, dict):
            raise parameter("Request parameter error: the body is no object")
        return body

    # -- streams --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        beating = asyncio.create_task(self._beat())
        try:
            await super().run()
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        while True:
            await self._sleep(BEAT_S)
            now_ns = self.wall_ns()
            for stream in (self.public, self.private, self.trade):
                stream.beat(now_ns)

    def connect(self, path: str, query: str, headers: Mapping[str, str]) -> SimSocket | Response:
        path = path.rstrip("/")
        category = path.removeprefix(PREFIX) if path.startswith(PREFIX) else ""
        if category not in (*CATEGORIES, STATUS) and path not in (PRIVATE_PATH, TRADE_PATH):
            return Response(404, b"404 page not found")
        refusal = self.refuse_socket(path)
        if refusal is not None:
            return refusal
        if not self._handshakes.take(1, self.wall_ns()):
            return Response(403, b"access too frequent")
        socket = self.open_socket(path)
        if path == PRIVATE_PATH:
            self.private.open(socket, query)
        elif path == TRADE_PATH:
            self.trade.open(socket, query)
        else:
            self.public.open(socket, category)
        return socket

    async def receive(self, socket: SimSocket, text: str) -> None:
        await self._pause(self.faults.seconds(Fault.LATENCY, f"WS {socket.path}", self.wall_ns()))
        if socket.closed is not None:
            return
        if self.trade.has(socket):
            await self.trade.receive(socket, text)
        elif self.private.has(socket):
            self.private.receive(socket, text)
        else:
            self.public.receive(socket, text)

    def socket_closed(self, socket: SimSocket) -> None:
        for stream in (self.public, self.private, self.trade):
            stream.close(socket)

    def publish(self, now_ns: int) -> None:
        self.public.publish(now_ns)

    def send_event(self, event: Event) -> None:
        self.private.send_event(event, self.execution_of(event))

    def announce_shutdown(self) -> None:
        """Bybit says nothing on these streams before it closes; incidents have a route and a topic of their own."""

    def levers(self) -> Mapping[tuple[str, str], Lever]:
        return OwnLevers(self, lambda: self.public.send_status(self.wall_ns())).table()

    def welcome(self, base_url: str) -> str:
        return welcome_text(base_url, next(iter(self.clearing.accounts), DEMO_ACCOUNT))
