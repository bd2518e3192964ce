"""The websocket APIs: requests with answers, sessions, and the account's events of spot once subscribed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from services.runtime.json_text import read_json
from services.simulators.binance.call import Call, Reply, Route, Security
from services.simulators.binance.errors import BinanceError, missing
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.limits import rate_limits
from services.simulators.binance.listings import SPOT
from services.simulators.binance.signing import check_sorted_signature, check_time
from services.simulators.binance.ws_methods import METHODS
from services.simulators.venue.clearing import Account
from services.simulators.venue.messages import dump
from services.simulators.venue.sockets import SimSocket

NOT_OF_THE_ROUTE = ("apiKey", "signature", "returnRateLimits")
"""Parameters that the websocket API reads itself."""


@dataclass
class _Session:
    """What one connection has."""

    market: str
    shows_limits: bool
    subscriptions: dict[int, str] = field(default_factory=dict)
    """Subscription id to account."""
    opened: int = 0
    account: Account | None = None
    """Who logged on."""
    since_ns: int = 0


class WsApi:
    """All connections of the websocket APIs."""

    def __init__(self, venue: BinanceExchange, routes: Mapping[tuple[str, str], Route]) -> None:
        self._venue = venue
        self._routes = routes
        self._sessions: dict[SimSocket, _Session] = {}

    def open(self, socket: SimSocket, market: str, query: str) -> None:
        """Register a connection."""
        shown = parse_qs(query).get("returnRateLimits", ["true"])[0]
        self._sessions[socket] = _Session(market, shown.lower() != "false")

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
        session = self._sessions[socket]
        shows_limits = session.shows_limits
        status, error, result = 200, None, None
        try:
            request = read_json(text)
            number, method, parameters = request.get("id"), request["method"], dict(request.get("params") or {})
            shows_limits = bool(parameters.get("returnRateLimits", shows_limits))
            result = await self._do(socket, session, method, parameters)
        except BinanceError as exc:
            status, error = exc.status, exc.payload()
        except (ValueError, KeyError, AttributeError, TypeError):
            status, error = 400, {"code": -1135, "msg": "Invalid JSON Request"}
        answer: dict[str, Any] = {"id": number, "status": status}
        answer |= {"error": error} if error is not None else {"result": result}
        if shows_limits:
            answer["rateLimits"] = self._limits(socket, session.market)
        socket.send(dump(answer).decode())

    def _limits(self, socket: SimSocket, market: str) -> list[dict[str, Any]]:
        now_ns, limits = self._venue.wall_ns(), self._venue.limits
        used = limits.used(socket.address, market, now_ns)
        return [{**row, "count": used} for row in rate_limits(market, limits.options)[:1]]

    async def _do(self, socket: SimSocket, session: _Session, method: str, parameters: dict[str, Any]) -> Any:
        if method.startswith("session."):
            return self._session(socket, session, method, parameters)
        if session.market == SPOT and method.startswith("userDataStream."):
            return self._user_stream(session, method, parameters)
        if method not in METHODS[session.market]:
            raise BinanceError(400, -1020, f"Unknown method: {method}")
        return await self._as_route(socket, session, method, parameters)

    # -- sessions -------------------------------------------------------------------------------------------------

    def _session(self, socket: SimSocket, session: _Session, method: str, parameters: dict[str, Any]) -> Any:
        if method == "session.logon":
            account, _ = self._authenticate(session, parameters)
            if account.public_key is None:
                raise BinanceError(400, -4056, "HMAC_SHA256 API key is not supported.")
            session.account, session.since_ns = account, self._venue.wall_ns()
        elif method == "session.logout":
            session.account = None
            # What was subscribed by logging on ends with it.
            session.subscriptions.clear()
        elif method != "session.status":
            raise BinanceError(400, -1020, f"Unknown method: {method}")
        account_now = session.account
        told: dict[str, Any] = {
            "apiKey": account_now.api_key if account_now is not None else None,
            "authorizedSince": self._venue.shown_ms(session.since_ns) if account_now is not None else None,
            "connectedSince": self._venue.shown_ms(socket.opened_ns),
            "returnRateLimits": session.shows_limits,
            "serverTime": self._venue.shown_ms(self._venue.wall_ns()),
        }
        return {**told, "userDataStream": bool(session.subscriptions)} if session.market == SPOT else told

    def _user_stream(self, session: _Session, method: str, parameters: dict[str, Any]) -> Any:
        if method in ("userDataStream.subscribe", "userDataStream.subscribe.signature"):
            if method.endswith("signature"):
                account, _ = self._authenticate(session, parameters)
            elif session.account is None:
                raise BinanceError(401, -2015, "Invalid API-key, IP, or permissions for action.")
            else:
                account = session.account
            number, session.opened = session.opened, session.opened + 1
            session.subscriptions[number] = account.name
            return {"subscriptionId": number}
        if method == "userDataStream.unsubscribe":
            wanted = parameters.get("subscriptionId")
            # Some clients send the number as text.
            for named in [str(wanted)] if wanted is not None else [str(one) for one in session.subscriptions]:
                if not named.isdecimal() or session.subscriptions.pop(int(named), None) is None:
                    raise BinanceError(400, -1100, f"No subscription with id {named}.")
            return {}
        raise BinanceError(400, -1020, f"Unknown method: {method}")

    # -- requests -------------------------------------------------------------------------------------------------

    async def _as_route(self, socket: SimSocket, session: _Session, method: str, parameters: dict[str, Any]) -> Any:
        market, limits = session.market, self._venue.limits
        verb, path = METHODS[market][method]
        route = self._routes[verb, path]
        texts = {name: _text(value) for name, value in parameters.items() if name not in NOT_OF_THE_ROUTE}
        now_ns, weight = self._venue.wall_ns(), route.weight(texts)
        # What an address may use is one for this and for REST.
        limits.charge(socket.address, market, weight, now_ns)
        account, expires_ms = self._allowed(session, route, parameters)
        if route.counts_order:
            assert account is not None
            limits.count_order(account.name, market, now_ns)
        result = await route.handler(Call(market, f"{verb} {path}", texts, now_ns, account, expires_ms))
        if route.free_on_success:
            limits.give_back(socket.address, market, weight, now_ns)
        return result.payload if isinstance(result, Reply) else result

    def _allowed(
        self, session: _Session, route: Route, parameters: dict[str, Any]
    ) -> tuple[Account | None, int | None]:
        """Return who asks, and until when; raise what the exchange answers to who may not."""
        if route.security is Security.NONE and "signature" not in parameters:
            return None, None
        account: Account | None
        if route.security is Security.KEY:
            named = parameters.get("apiKey")
            account, expires_ms = session.account if named is None else self._venue.account(str(named)), None
            if account is None:
                raise missing("apiKey")
        else:
            account, expires_ms = self._authenticate(session, parameters)
        if route.right not in account.rights:
            raise BinanceError(401, -2015, "Invalid API-key, IP, or permissions for action.")
        return account, expires_ms

    def _authenticate(self, session: _Session, parameters: Mapping[str, Any]) -> tuple[Account, int]:
        account = session.account
        if account is None or "signature" in parameters or "apiKey" in parameters:
            if "apiKey" not in parameters:
                raise missing("apiKey")
            account = self._venue.account(str(parameters["apiKey"]))
            if "signature" not in parameters:
                raise missing("signature")
            check_sorted_signature(account, parameters)
        texts = {name: _text(value) for name, value in parameters.items()}
        return account, check_time(session.market, texts, self._venue.shown_ms(self._venue.wall_ns()))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, list) else str(value)
