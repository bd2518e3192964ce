"""The simulator's own page of truth, under /sim: what really happened, and the levers. Faults never touch it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from services.simulators.venue.end_levers import EndLevers
from services.simulators.venue.exchange import SimulatedVenue
from services.simulators.venue.faults import read_faults
from services.simulators.venue.levers import Lever, amount, json_or_text, whole
from services.simulators.venue.messages import Request, Response, json_response
from services.simulators.venue.orders import Order, Refusal
from services.simulators.venue.prices import START_PRICES
from services.simulators.venue.pullers import why_not

TRAVEL_NS_MAX = 10 * 366 * 86_400 * 1_000_000_000

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
    "PUT /sim/clock": '{"skew_seconds": 2.5}, {"forward_seconds": 86400} or {"to": "2027-03-26T08:00:01Z"}',
    "POST /sim/orders/<id>/fill": '{"quantity": "0.1", "price": "65000"}',
    "POST /sim/streams/close": '{"code": 1001, "announce": true}, or {} to break them',
}


class Admin:
    """Answers /sim of a venue."""

    def __init__(self, venue: SimulatedVenue, *, from_anywhere: bool = False) -> None:
        self._venue = venue
        self._from_anywhere = from_anywhere
        own = {**EndLevers(venue).table(), **venue.levers()}
        orders = ("client_id", "market", "symbol", "account", "open")
        self._routes: dict[tuple[str, str], Lever] = {
            ("GET", "/sim"): Lever(self._summary),
            ("GET", "/sim/orders"): Lever(self._orders, query=orders),
            ("GET", "/sim/fills"): Lever(self._fills, query=("client_id", "market", "symbol")),
            ("GET", "/sim/fills/by-client-id"): Lever(self._by_client_id),
            ("GET", "/sim/requests"): Lever(self._requests, query=("method", "path", "limit")),
            ("DELETE", "/sim/requests"): Lever(self._forget_requests),
            ("GET", "/sim/accounts"): Lever(self._accounts),
            ("GET", "/sim/faults"): Lever(self._get_faults),
            ("PUT", "/sim/faults"): Lever(self._put_faults, body=None),
            ("POST", "/sim/faults"): Lever(self._add_faults, body=None),
            ("DELETE", "/sim/faults"): Lever(lambda query, body: self._put_faults(query, [])),
            ("POST", "/sim/matching/hold"): Lever(self._hold),
            ("POST", "/sim/matching/release"): Lever(self._release),
            ("POST", "/sim/matching/advance"): Lever(self._advance, body=("steps",)),
            ("PUT", "/sim/prices"): Lever(self._set_prices, body=tuple(START_PRICES)),
            ("PUT", "/sim/clock"): Lever(self._set_clock, body=("skew_seconds", "forward_seconds", "to")),
            ("POST", "/sim/streams/close"): Lever(self._close_streams, body=("code", "announce")),
            **own,
        }
        self._help = HELP | {f"{method} {path}": lever.help for (method, path), lever in own.items()}

    def handle(self, request: Request) -> Response:
        """Answer one request; who may not ask gets a 403, what cannot be understood a 400, each saying so."""
        if reason := why_not(
            request, from_anywhere=self._from_anywhere, setting=f"MIDSTREAM_SIM_{self._venue.name.upper()}_LEVERS"
        ):
            return json_response(403, {"error": reason})
        self._venue.advance()
        path = request.path.rstrip("/")
        try:
            body = json_or_text(request.body)
            if request.method == "POST" and path.startswith("/sim/orders/") and path.endswith("/fill"):
                name = unquote(path.removeprefix("/sim/orders/").removesuffix("/fill"))
                lever = Lever(lambda query, body: self._fill(name, body), body=("quantity", "price"))
            else:
                found = self._routes.get((request.method, path))
                if found is None:
                    return json_response(404, {"error": f"no {request.method} {path}", "routes": self._help})
                lever = found
            return json_response(200, lever.work(lever.read_query(request.query), lever.read_body(body)))
        except Refusal as exc:
            return json_response(400, {"error": f"the engine refuses: {exc.reason}"})
        except (ValueError, TypeError) as exc:
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
            "routes": self._help,
        }

    def _orders(self, query: Mapping[str, str], body: Any) -> Any:
        if query.get("open", "true") not in ("true", "false"):
            raise ValueError("`open` must be true or false")
        wanted = query["open"] == "true" if "open" in query else None
        found = [
            order
            for order in self._venue.engine.book.all()
            if query.get("client_id") in (None, order.client_id)
            and query.get("account") in (None, order.account)
            and query.get("market") in (None, order.listing.market)
            and query.get("symbol") in (None, order.listing.symbol)
            and (wanted is None or order.status.is_open is wanted)
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
            method=query.get("method"), path=query.get("path"), limit=whole("limit", query.get("limit", "1000"))
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
                    ":".join(place): {"quantity": str(position.quantity), "entry": str(position.entry)}
                    for place, position in (*holdings.positions.items(), *holdings.legs.items())
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
        steps = whole("steps", (body or {}).get("steps", 1))
        if not 1 <= steps <= 10_000:
            raise ValueError("`steps` must be 1 to 10000")
        self._venue.walk.ahead(steps)
        self._venue.tick()
        return {"step": self._venue.walk.step}

    def _set_prices(self, query: Mapping[str, str], body: Any) -> Any:
        prices = {asset: amount(asset, price) for asset, price in (body or {}).items()}
        if not prices or not all(0 < price < 1_000_000_000 for price in prices.values()):
            raise ValueError(f"the body must give positive prices of {', '.join(START_PRICES)}")
        for asset, price in prices.items():
            self._venue.walk.set_price(asset, float(price))
        self._venue.liquidity.forget()
        self._venue.walk.ahead(1)
        self._venue.tick()
        return {asset: self._venue.walk.price(asset) for asset in START_PRICES}

    def _set_clock(self, query: Mapping[str, str], body: Any) -> Any:
        if not body or len(body) != 1:
            raise ValueError(
                "one of `skew_seconds` (how far the clock is ahead), `forward_seconds` (how much time passes at once) "
                "and `to` (when it is then) is required"
            )
        if "skew_seconds" not in body:
            return self._travel(body)
        seconds = float(amount("skew_seconds", body["skew_seconds"]))
        rules = [rule for rule in self._venue.faults.rules if rule.fault != "skew"]
        self._venue.faults.rules = rules
        self._venue.faults.add(read_faults(f"skew={seconds}"), self._venue.wall_ns())
        return {"time_ns": self._venue.exchange_ns()}

    def _travel(self, body: Mapping[str, Any]) -> Any:
        venue = self._venue
        if "to" in body:
            moment = datetime.fromisoformat(str(body["to"]))
            if moment.tzinfo is None:
                raise ValueError("`to` must say its zone, such as 2027-03-26T08:00:01Z")
            forward_ns = round(moment.timestamp()) * 1_000_000_000 - venue.wall_ns()
        else:
            forward_ns = int(amount("forward_seconds", body["forward_seconds"]) * 1_000_000_000)
        if not 0 <= forward_ns <= TRAVEL_NS_MAX:
            raise ValueError("time goes forward only, and ten years at most")
        venue.travel(forward_ns)
        return {"time_ns": venue.exchange_ns()}

    def _close_streams(self, query: Mapping[str, str], body: Any) -> Any:
        if (body or {}).get("announce"):
            self._venue.announce_shutdown()
        sockets = list(self._venue.sockets)
        for socket in sockets:
            socket.close((body or {}).get("code"), "closed by hand")
        return {"closed": len(sockets)}

    def _fill(self, order_id: str, body: Any) -> Any:
        order = self._venue.engine.book.named(order_id)
        given = {name: amount(name, value) for name, value in (body or {}).items() if value is not None}
        if any(value <= 0 for value in given.values()):
            raise ValueError("`quantity` and `price` must be above zero")
        self._venue.engine.fill_by_hand(
            order, given.get("quantity", order.remaining), given.get("price"), self._venue.wall_ns()
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
        "trigger": None if order.trigger is None else str(order.trigger.price),
        "waiting": order.waiting,
        "filled": str(order.filled),
        "average_price": str(order.average_price),
        "created_ns": order.created_ns,
        "updated_ns": order.updated_ns,
        "amends": order.amends,
        "why": order.why,
    }
