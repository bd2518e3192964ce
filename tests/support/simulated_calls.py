"""A client of the simulated exchanges that knows nothing but how to sign: for tests that look at bare answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

from services.simulators.binance.exchange import DEMO_ACCOUNT as BINANCE_DEMO
from services.simulators.binance.exchange import DEMO_SEED
from services.simulators.binance.simulator import SimulatedBinance
from services.simulators.bitmex.exchange import DEMO_ACCOUNT as BITMEX_DEMO
from services.simulators.bitmex.simulator import SimulatedBitmex
from services.simulators.bybit.exchange import DEMO_ACCOUNT as BYBIT_DEMO
from services.simulators.bybit.simulator import SimulatedBybit
from services.simulators.venue.admin import Admin
from services.simulators.venue.clearing import Account
from services.simulators.venue.ed25519 import sign
from services.simulators.venue.exchange import SimulatedVenue, VenueOptions
from services.simulators.venue.faults import parse_faults
from services.simulators.venue.messages import Fate, Request, Response
from tests.support.virtual_time import VirtualLoop

CALM = VenueOptions(volatility=0.0, touch_chance=0.0)
"""Prices that stand still, so that nothing fills unless a test lets it."""


@dataclass(frozen=True)
class Reply:
    """A parsed answer."""

    status: int
    payload: Any
    headers: Mapping[str, str]
    fate: Fate = Fate.WHOLE

    @property
    def code(self) -> Any:
        """Binance's error number."""
        return self.payload.get("code") if isinstance(self.payload, dict) else None

    @property
    def message(self) -> str:
        """BitMEX's error text."""
        return str(self.payload["error"]["message"])

    @property
    def ret(self) -> tuple[int, str]:
        """Bybit's code and text."""
        return self.payload["retCode"], self.payload["retMsg"]

    @property
    def result(self) -> Any:
        """Bybit's result; the call went well."""
        assert self.payload["retCode"] == 0, self.payload
        return self.payload["result"]

    @property
    def rows(self) -> list[Any]:
        """The rows of Bybit's result."""
        found: list[Any] = self.result["list"]
        return found


def reply(response: Response) -> Reply:
    """Parse an answer where it is JSON."""
    try:
        payload = json.loads(response.body, parse_float=Decimal)
    except ValueError:
        payload = None
    return Reply(response.status, payload, response.headers, response.fate)


def set_faults(venue: SimulatedVenue, text: str) -> None:
    """Put a plan in force, now."""
    venue.faults.replace(parse_faults(text, errors=venue.error_names), venue.wall_ns())


def admin(venue: SimulatedVenue, method: str, path: str, payload: Any = None) -> Any:
    """Ask the simulator's own page."""
    body = b"" if payload is None else json.dumps(payload).encode()
    path, _, query = path.partition("?")
    return json.loads(Admin(venue).handle(Request(method, path, query, body=body)).body)


class BinanceCalls:
    """Calls of one account."""

    def __init__(self, venue: SimulatedBinance, account: Account = BINANCE_DEMO, address: str = "127.0.0.1") -> None:
        self.venue = venue
        self.account = account
        self.address = address

    async def get(self, path: str, **parameters: object) -> Reply:
        """Make a public call."""
        query = urlencode(parameters)
        return reply(await self.venue.handle(Request("GET", path, query, address=self.address)))

    async def keyed(self, method: str, path: str, **parameters: object) -> Reply:
        """Make a call that needs the key and no signature."""
        headers, query = {"x-mbx-apikey": self.account.api_key}, urlencode(parameters)
        return reply(await self.venue.handle(Request(method, path, query, headers, address=self.address)))

    async def signed(self, method: str, path: str, *, at_ms: int | None = None, **parameters: str | int) -> Reply:
        """Make a signed call; `at_ms` replaces the timestamp."""
        now_ms = self.venue.exchange_ns() // 1_000_000
        query = urlencode({**parameters, "timestamp": now_ms if at_ms is None else at_ms})
        headers = {"x-mbx-apikey": self.account.api_key}
        if self.account.public_key is None:
            signature = hmac.new(self.account.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        else:
            signature = quote(base64.b64encode(sign(DEMO_SEED, query.encode())).decode(), safe="")
        request = Request(method, path, f"{query}&signature={signature}", headers, address=self.address)
        return reply(await self.venue.handle(request))

    async def limit(self, path: str = "/api/v3/order", **parameters: str) -> Reply:
        """Place a resting buy of a thousandth BTC, or what is asked for instead."""
        usual: dict[str, str] = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.002",
        }
        return await self.signed("POST", path, at_ms=None, **{**usual, "price": "60000", **parameters})


class BitmexCalls:
    """Calls of one account."""

    def __init__(self, venue: SimulatedBitmex, account: Account = BITMEX_DEMO, address: str = "127.0.0.1") -> None:
        self.venue = venue
        self.account = account
        self.address = address

    async def get(self, path: str, **parameters: object) -> Reply:
        """Make a public call."""
        return reply(await self.venue.handle(Request("GET", path, urlencode(parameters), address=self.address)))

    async def signed(
        self, method: str, path: str, payload: Any = None, *, expires_in_s: int = 60, **query: object
    ) -> Reply:
        """Make a signed call with a JSON body."""
        body = b"" if payload is None else json.dumps(payload).encode()
        text = urlencode(query)
        expires = str(self.venue.exchange_ns() // 1_000_000_000 + expires_in_s)
        target = path + (f"?{text}" if text else "")
        message = f"{method}{target}{expires}".encode() + body
        headers = {
            "api-key": self.account.api_key,
            "api-expires": expires,
            "api-signature": hmac.new(self.account.secret.encode(), message, hashlib.sha256).hexdigest(),
        }
        return reply(await self.venue.handle(Request(method, path, text, headers, body, self.address)))

    async def limit(self, **parameters: object) -> Reply:
        """Place a resting buy of 100 XBTUSD, or what is asked for instead."""
        usual = {"symbol": "XBTUSD", "side": "Buy", "orderQty": 100, "price": 60000}
        return await self.signed("POST", "/api/v1/order", {**usual, **parameters})


class BybitCalls:
    """Calls of one account."""

    def __init__(self, venue: SimulatedBybit, account: Account = BYBIT_DEMO, address: str = "127.0.0.1") -> None:
        self.venue = venue
        self.account = account
        self.address = address

    async def get(self, path: str, **parameters: object) -> Reply:
        """Make a public call."""
        return reply(await self.venue.handle(Request("GET", path, urlencode(parameters), address=self.address)))

    async def signed(
        self,
        method: str,
        path: str,
        payload: Any = None,
        *,
        late_ms: int = 0,
        window: str = "5000",
        query: str | None = None,
        **parameters: object,
    ) -> Reply:
        """Make a signed call; `query` is sent as it stands."""
        body = b"" if payload is None else json.dumps(payload).encode()
        text = urlencode(parameters) if query is None else query
        timestamp = str(self.venue.exchange_ns() // 1_000_000 - late_ms)
        message = f"{timestamp}{self.account.api_key}{window}{text}".encode() + body
        headers = {
            "x-bapi-api-key": self.account.api_key,
            "x-bapi-timestamp": timestamp,
            "x-bapi-recv-window": window,
            "x-bapi-sign": hmac.new(self.account.secret.encode(), message, hashlib.sha256).hexdigest(),
        }
        return reply(await self.venue.handle(Request(method, path, text, headers, body, self.address)))

    async def create(self, **parameters: object) -> Reply:
        """Place a resting buy of a thousandth BTC, or what is asked for instead."""
        usual = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001"}
        price = {} if parameters.get("orderType") == "Market" else {"price": "60000"}
        return await self.signed("POST", "/v5/order/create", {**usual, **price, **parameters})

    async def named(self, action: str, link_id: str, **parameters: object) -> Reply:
        """Cancel or amend an order by its client's id."""
        usual = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": link_id}
        return await self.signed("POST", f"/v5/order/{action}", {**usual, **parameters})

    async def orders(self, where: str = "realtime", **parameters: object) -> list[Any]:
        """Ask for orders of BTCUSDT, or of what is named instead."""
        query = urlencode({"category": "linear", "symbol": "BTCUSDT", **parameters})
        return (await self.signed("GET", f"/v5/order/{where}", query=query)).rows


def virtual_binance(loop: VirtualLoop, options: VenueOptions = CALM, **more: Any) -> BinanceCalls:
    """Return a calm Binance in virtual time."""
    return BinanceCalls(SimulatedBinance(options=options, wall_ns=loop.wall_ns, **more))


def virtual_bitmex(loop: VirtualLoop, options: VenueOptions = CALM, **more: Any) -> BitmexCalls:
    """Return a calm BitMEX in virtual time."""
    return BitmexCalls(SimulatedBitmex(options=options, wall_ns=loop.wall_ns, **more))


def virtual_bybit(loop: VirtualLoop, options: VenueOptions = CALM, **more: Any) -> BybitCalls:
    """Return a calm Bybit in virtual time."""
    return BybitCalls(SimulatedBybit(options=options, wall_ns=loop.wall_ns, **more))
