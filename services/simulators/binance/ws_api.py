"""The spot websocket API: requests with answers, and the account's events once subscribed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.runtime.json_text import read_json
from services.simulators.binance.call import Call, Reply, Route
from services.simulators.binance.errors import BinanceError, missing
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.limits import rate_limits
from services.simulators.binance.listings import SPOT
from services.simulators.binance.signing import check_sorted_signature, check_time
from services.simulators.venue.clearing import Account
from services.simulators.venue.messages import dump
from services.simulators.venue.sockets import SimSocket

PATH: Final = "/ws-api/v3"

ROUTES: Final[Mapping[str, tuple[str, str]]] = {
    "ping": ("GET", "/api/v3/ping"),
    "time": ("GET", "/api/v3/time"),
    "exchangeInfo": ("GET", "/api/v3/exchangeInfo"),
    "ticker.book": ("GET", "/api/v3/ticker/bookTicker"),
    "ticker.price": ("GET", "/api/v3/ticker/price"),
    "order.place": ("POST", "/api/v3/order"),
    "order.test": ("POST", "/api/v3/order/test"),
    "order.status": ("GET", "/api/v3/order"),
    "order.cancel": ("DELETE", "/api/v3/order"),
    "order.cancelReplace": ("POST", "/api/v3/order/cancelReplace"),
    "order.amend.keepPriority": ("PUT", "/api/v3/order/amend/keepPriority"),
    "openOrders.status": ("GET", "/api/v3/openOrders"),
    "openOrders.cancelAll": ("DELETE", "/api/v3/openOrders"),
    "allOrders": ("GET", "/api/v3/allOrders"),
    "myTrades": ("GET", "/api/v3/myTrades"),
    "account.status": ("GET", "/api/v3/account"),
    "account.rateLimits.orders": ("GET", "/api/v3/rateLimit/order"),
}
"""Methods that do what a REST route does."""


@dataclass
class _Session:
    """What one connection subscribed to."""

    subscriptions: dict[int, str] = field(default_factory=dict)
    """Subscription id to account."""
    opened: int = 0


class WsApi:
    """All connections of the websocket API."""

    def __init__(self, venue: BinanceExchange, routes: Mapping[tuple[str, str], Route]) -> None:
        self._venue = venue
        self._routes = routes
        self._sessions: dict[SimSocket, _Session] = {}

    def open(self, socket: SimSocket) -> None:
        """Register a connection."""
        self._sessions[socket] = _Session()

    def close(self, socket: SimSocket) -> None:
        """Forget a connection."""
        self._sessions.pop(socket, None)

    def has(self, socket: SimSocket) -> bool:
        """Whether the connection is one of these."""
        return socket in self._sessions

    def send_user(self, account: str, payload: Any) -> None:
        """Send an event to everybody who subscribed to the account."""
        for socket, session in list(self._sessions.items()):
            for number, owner in session.subscriptions.items():
                if owner == account:
                    self._venue.emit(socket, dump({"subscriptionId": number, "event": payload}).decode())

    def announce_shutdown(self) -> None:
        """Tell every connection that maintenance is near."""
        payload = {"event": {"e": "serverShutdown", "E": self._venue.shown_ms(self._venue.wall_ns())}}
        for socket in list(self._sessions):
            self._venue.emit(socket, dump(payload).decode())

    async def receive(self, socket: SimSocket, text: str) -> None:
        """Answer one request."""
        number: Any = None
        status, error, result = 200, None, None
        try:
            request = read_json(text)
            number, method, parameters = request.get("id"), request["method"], request.get("params") or {}
            result = await self._do(socket, method, dict(parameters))
        except BinanceError as exc:
            status, error = exc.status, exc.payload()
        except (ValueError, KeyError, AttributeError, TypeError):
            status, error = 400, {"code": -1135, "msg": "Invalid JSON Request"}
        now_ns = self._venue.wall_ns()
        options = self._venue.limits.options
        limits = [
            {**row, "count": self._venue.limits.used(socket.path, SPOT, now_ns)}
            for row in rate_limits(SPOT, options)[:1]
        ]
        answer: dict[str, Any] = {"id": number, "status": status}
        answer |= {"error": error} if error is not None else {"result": result}
        socket.send(dump({**answer, "rateLimits": limits}).decode())

    async def _do(self, socket: SimSocket, method: str, parameters: dict[str, Any]) -> Any:
        session = self._sessions[socket]
        if method == "userDataStream.subscribe.signature":
            account, _ = self._authenticate(parameters)
            number, session.opened = session.opened, session.opened + 1
            session.subscriptions[number] = account.name
            return {"subscriptionId": number}
        if method == "userDataStream.unsubscribe":
            wanted = parameters.get("subscriptionId")
            for number in [wanted] if wanted is not None else list(session.subscriptions):
                if session.subscriptions.pop(number, None) is None:
                    raise BinanceError(400, -1100, f"No subscription with id {number}.")
            return {}
        if method not in ROUTES:
            raise BinanceError(400, -1020, f"Unknown method: {method}")
        return await self._as_route(method, parameters)

    async def _as_route(self, method: str, parameters: dict[str, Any]) -> Any:
        verb, path = ROUTES[method]
        route = self._routes[verb, path]
        account, expires_ms = (None, None)
        if "signature" in parameters or "apiKey" in parameters:
            account, expires_ms = self._authenticate(parameters)
        elif route.security.value:
            raise missing("apiKey")
        texts = {name: _text(value) for name, value in parameters.items() if name not in ("apiKey", "signature")}
        now_ns = self._venue.wall_ns()
        if route.counts_order:
            assert account is not None
            self._venue.limits.count_order(account.name, SPOT, now_ns)
        result = await route.handler(Call(SPOT, f"{verb} {path}", texts, now_ns, account, expires_ms))
        return result.payload if isinstance(result, Reply) else result

    def _authenticate(self, parameters: Mapping[str, Any]) -> tuple[Account, int]:
        account = self._venue.account(str(parameters.get("apiKey", "")))
        if "signature" not in parameters:
            raise missing("signature")
        check_sorted_signature(account.secret, parameters)
        texts = {name: _text(value) for name, value in parameters.items()}
        return account, check_time(SPOT, texts, self._venue.shown_ms(self._venue.wall_ns()))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, list) else str(value)
