"""The simulator's own page of truth, under /sim: what really happened, and the levers. Faults never touch it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from services.simulators.venue.exchange import SimulatedVenue
from services.simulators.venue.faults import read_faults
from services.simulators.venue.messages import Request, Response, json_response
from services.simulators.venue.orders import Order, Refusal
from services.simulators.venue.prices import START_PRICES

HELP = {
    "GET /sim": "summary: clock, steps, faults, counts",
    "GET /sim/orders": "every order; ?client_id= &market= &symbol= &account= &open=true",
    "GET /sim/fills": "every fill; ?client_id= &market= &symbol=",
    "GET /sim/fills/by-client-id": "orders, fills and quantity per client id",
    "GET /sim/requests": "requests seen; ?method= &path= &limit=",
    "DELETE /sim/requests": "forget them",
    "GET /sim/accounts": "balances and positions",
    "GET|PUT|POST|DELETE /sim/faults": "the plan; PUT replaces, POST adds: text, object or list",
    "POST /sim/matching/hold|release": "stop and start the engine",
    "POST /sim/matching/advance": '{"steps": 10}',
    "PUT /sim/prices": '{"BTC": 70000}',
    "PUT /sim/clock": '{"skew_seconds": 2.5}',
    "POST /sim/orders/<id>/fill": '{"quantity": "0.1", "price": "65000"}',
    "POST /sim/streams/close": '{"code": 1001, "announce": true}, or {} to break them',
}


class Admin:
    """Answers /sim of a venue."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self._venue = venue
        self._routes: dict[tuple[str, str], Callable[[Mapping[str, str], Any], Any]] = {
            ("GET", "/sim"): self._summary,
            ("GET", "/sim/orders"): self._orders,
            ("GET", "/sim/fills"): self._fills,
            ("GET", "/sim/fills/by-client-id"): self._by_client_id,
            ("GET", "/sim/requests"): self._requests,
            ("DELETE", "/sim/requests"): self._forget_requests,
            ("GET", "/sim/accounts"): self._accounts,
            ("GET", "/sim/faults"): self._get_faults,
            ("PUT", "/sim/faults"): self._put_faults,
            ("POST", "/sim/faults"): self._add_faults,
            ("DELETE", "/sim/faults"): lambda query, body: self._put_faults(query, []),
            ("POST", "/sim/matching/hold"): self._hold,
            ("POST", "/sim/matching/release"): self._release,
            ("POST", "/sim/matching/advance"): self._advance,
            ("PUT", "/sim/prices"): self._set_prices,
            ("PUT", "/sim/clock"): self._set_clock,
            ("POST", "/sim/streams/close"): self._close_streams,
        }

    def handle(self, request: Request) -> Response:
        """Answer one request; what cannot be understood is a 400 that says so."""
        self._venue.advance()
        path = request.path.rstrip("/")
        try:
            body = _read_body(request.body)
            if request.method == "POST" and path.startswith("/sim/orders/") and path.endswith("/fill"):
                return json_response(200, self._fill(path.split("/")[3], body))
            route = self._routes.get((request.method, path))
            if route is None:
                return json_response(404, {"error": f"no {request.method} {path}", "routes": HELP})
            return json_response(200, route(dict(parse_qsl(request.query)), body))
        except (ValueError, TypeError, KeyError, InvalidOperation, Refusal) as exc:
            return json_response(400, {"error": str(exc) or type(exc).__name__})

    def _summary(self, query: Mapping[str, str], body: Any) -> Any:
        venue = self._venue
        return {
            "name": venue.name,
            "time_ns": venue.exchange_ns(),
            "step": venue.walk.step,
            "held": venue.engine.held,
            "faults": self._get_faults(query, body)["faults"],
            "requests": venue.request_log.total,
            "requests_by_route": venue.request_log.counts,
            "orders": sum(1 for _ in venue.engine.book.all()),
            "fills": len(venue.engine.book.fills),
            "sockets": [socket.path for socket in venue.sockets],
            "prices": {asset: round(venue.walk.price(asset), 6) for asset in START_PRICES},
            "routes": HELP,
        }

    def _orders(self, query: Mapping[str, str], body: Any) -> Any:
        found = [
            order
            for order in self._venue.engine.book.all()
            if query.get("client_id") in (None, order.client_id)
            and query.get("account") in (None, order.account)
            and query.get("market") in (None, order.listing.market)
            and query.get("symbol") in (None, order.listing.symbol)
            and (query.get("open") != "true" or order.status.is_open)
        ]
        return [_order_row(order) for order in found]

    def _fills(self, query: Mapping[str, str], body: Any) -> Any:
        return [
            {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(fill).items()}
            for fill in self._venue.engine.book.fills
            if query.get("client_id") in (None, fill.client_id)
            and query.get("market") in (None, fill.market)
            and query.get("symbol") in (None, fill.symbol)
        ]

    def _by_client_id(self, query: Mapping[str, str], body: Any) -> Any:
        found: dict[str, dict[str, Any]] = {}
        for order in self._venue.engine.book.all():
            row = found.setdefault(order.client_id, {"orders": 0, "filled_orders": 0, "quantity": Decimal(0)})
            row["orders"] += 1
            row["filled_orders"] += 1 if order.filled else 0
            row["quantity"] += order.filled
        return {client_id: {**row, "quantity": str(row["quantity"])} for client_id, row in found.items()}

    def _requests(self, query: Mapping[str, str], body: Any) -> Any:
        request_log = self._venue.request_log
        found = request_log.find(
            method=query.get("method"), path=query.get("path"), limit=int(query.get("limit", "1000"))
        )
        return {"total": request_log.total, "by_route": request_log.counts, "requests": list(request_log.rows(found))}

    def _forget_requests(self, query: Mapping[str, str], body: Any) -> Any:
        self._venue.request_log.clear()
        return {}

    def _accounts(self, query: Mapping[str, str], body: Any) -> Any:
        return {
            name: {
                "balances": {f"{wallet}:{asset}": str(amount) for (wallet, asset), amount in holdings.balances.items()},
                "positions": {
                    f"{market}:{symbol}": {"quantity": str(position.quantity), "entry": str(position.entry)}
                    for (market, symbol), position in holdings.positions.items()
                },
            }
            for name, holdings in self._venue.clearing.holdings.items()
        }

    def _get_faults(self, query: Mapping[str, str], body: Any) -> Any:
        return {
            "faults": [
                {"rule": rule.spelled(), "happened": rule.happened, "in_force": rule.in_force(self._venue.wall_ns())}
                for rule in self._venue.faults.rules
            ]
        }

    def _put_faults(self, query: Mapping[str, str], body: Any) -> Any:
        rules = read_faults(body or [], errors=self._venue.error_names)
        self._venue.faults.replace(rules, self._venue.wall_ns())
        return self._get_faults(query, body)

    def _add_faults(self, query: Mapping[str, str], body: Any) -> Any:
        rules = read_faults(body or [], errors=self._venue.error_names)
        self._venue.faults.add(rules, self._venue.wall_ns())
        return self._get_faults(query, body)

    def _hold(self, query: Mapping[str, str], body: Any) -> Any:
        self._venue.hold()
        return {"held": True}

    def _release(self, query: Mapping[str, str], body: Any) -> Any:
        self._venue.release()
        return {"held": False}

    def _advance(self, query: Mapping[str, str], body: Any) -> Any:
        steps = int((body or {}).get("steps", 1))
        if not 1 <= steps <= 10_000:
            raise ValueError("`steps` must be 1 to 10000")
        self._venue.walk.ahead(steps)
        self._venue.tick()
        return {"step": self._venue.walk.step}

    def _set_prices(self, query: Mapping[str, str], body: Any) -> Any:
        for asset, price in dict(body).items():
            if asset not in START_PRICES or not 0 < float(price) < 1e9:
                raise ValueError(f"`{asset}` must be one of {', '.join(START_PRICES)} with a positive price")
            self._venue.walk.set_price(asset, float(price))
        self._venue.liquidity.forget()
        self._venue.walk.ahead(1)
        self._venue.tick()
        return {asset: self._venue.walk.price(asset) for asset in START_PRICES}

    def _set_clock(self, query: Mapping[str, str], body: Any) -> Any:
        seconds = float(body["skew_seconds"])
        rules = [rule for rule in self._venue.faults.rules if rule.fault != "skew"]
        self._venue.faults.rules = rules
        self._venue.faults.add(read_faults(f"skew={seconds}"), self._venue.wall_ns())
        return {"time_ns": self._venue.exchange_ns()}

    def _close_streams(self, query: Mapping[str, str], body: Any) -> Any:
        if (body or {}).get("announce"):
            self._venue.announce_shutdown()
        sockets = list(self._venue.sockets)
        for socket in sockets:
            socket.close((body or {}).get("code"), "closed by hand")
        return {"closed": len(sockets)}

    def _fill(self, order_id: str, body: Any) -> Any:
        order = self._venue.engine.book.get(int(order_id))
        if order is None:
            raise ValueError(f"no order {order_id}")
        quantity = Decimal(str((body or {}).get("quantity", order.remaining)))
        price = (body or {}).get("price")
        self._venue.engine.fill_by_hand(
            order, quantity, None if price is None else Decimal(str(price)), self._venue.wall_ns()
        )
        return _order_row(order)


def _order_row(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "account": order.account,
        "market": order.listing.market,
        "symbol": order.listing.symbol,
        "client_id": order.client_id,
        "side": order.side,
        "type": order.type,
        "lifetime": order.lifetime,
        "status": order.status,
        "quantity": str(order.quantity),
        "price": None if order.price is None else str(order.price),
        "filled": str(order.filled),
        "average_price": str(order.average_price),
        "created_ns": order.created_ns,
        "updated_ns": order.updated_ns,
        "amends": order.amends,
        "why": order.why,
    }


def _read_body(body: bytes) -> Any:
    """Return JSON, or the text itself where it is none: a fault plan may be typed as it is."""
    text = body.decode("utf-8").strip()
    if not text:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
