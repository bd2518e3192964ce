"""The websocket at /realtime: tables that begin with a `partial`, and change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from services.runtime.json_text import read_json
from services.simulators.bitmex.account_routes import AccountRoutes
from services.simulators.bitmex.errors import BitmexError
from services.simulators.bitmex.exchange import BitmexExchange
from services.simulators.bitmex.listings import MARKET
from services.simulators.bitmex.order_routes import OrderRoutes
from services.simulators.bitmex.public_routes import PublicRoutes
from services.simulators.bitmex.render import ACCOUNT_NUMBER, iso, level_rows, order_row, quote_row
from services.simulators.bitmex.signing import check_expiry, check_signature
from services.simulators.venue.clearing import Account
from services.simulators.venue.messages import dump
from services.simulators.venue.orders import Event, EventKind
from services.simulators.venue.sockets import SimSocket

PATH: Final = "/realtime"
PUBLIC: Final = ("quote", "trade", "instrument", "orderBookL2", "orderBookL2_25", "orderBook10")
PRIVATE: Final = ("order", "execution", "position", "margin", "wallet")
KEYS: Final[Mapping[str, list[str]]] = {
    "quote": [],
    "trade": [],
    "instrument": ["symbol"],
    "orderBookL2": ["symbol", "id", "side"],
    "orderBookL2_25": ["symbol", "id", "side"],
    "orderBook10": ["symbol"],
    "order": ["orderID"],
    "execution": ["execID"],
    "position": ["account", "symbol"],
    "margin": ["account", "currency"],
    "wallet": ["account", "currency"],
}
DEPTHS: Final = {"orderBookL2": 1000, "orderBookL2_25": 25}


@dataclass
class Listener:
    """One socket."""

    account: str | None = None
    topics: list[str] = field(default_factory=list)
    books: dict[str, dict[tuple[int, str], dict[str, Any]]] = field(default_factory=dict)
    """What the client has of each book, by topic."""
    instruments: dict[str, dict[str, Any]] = field(default_factory=dict)


class Realtime:
    """All sockets."""

    def __init__(
        self, venue: BitmexExchange, *, public: PublicRoutes, account: AccountRoutes, orders: OrderRoutes
    ) -> None:
        self._venue = venue
        self._public = public
        self._account = account
        self._order_routes = orders
        self._listeners: dict[SimSocket, Listener] = {}
        self._orders: dict[str, dict[str, Any]] = {}

    def open(self, socket: SimSocket, query: str, headers: Mapping[str, str], remaining: int) -> None:
        """Welcome a client, and do what its address asks for."""
        self._listeners[socket] = listener = Listener()
        now_ns = self._venue.wall_ns()
        self._reply(
            socket,
            {
                "info": "Welcome to the BitMEX Realtime API.",
                "version": "2026-09-01T00:00:00.000Z",
                "timestamp": iso(self._venue.shown_ms(now_ns)),
                "docs": "https://www.bitmex.com/app/wsAPI",
                "heartbeatEnabled": False,
                "limit": {"remaining": remaining},
            },
        )
        parameters = {name: values[0] for name, values in parse_qs(query).items()}
        given = {
            name: headers.get(name) or parameters.get(name, "") for name in ("api-key", "api-expires", "api-signature")
        }
        if given["api-key"]:
            try:
                account = self._authenticate(given["api-key"], given["api-expires"], given["api-signature"])
                listener.account = account.name
            except BitmexError as exc:
                self._reply(socket, {"status": exc.status, "error": exc.message, "meta": {}, "request": {}})
                socket.close(1008, exc.message)
                return
        topics = [one for one in parameters.get("subscribe", "").split(",") if one]
        if topics:
            self._subscribe(socket, listener, topics, {"op": "subscribe", "args": topics})

    def close(self, socket: SimSocket) -> None:
        """Forget a socket."""
        self._listeners.pop(socket, None)

    def receive(self, socket: SimSocket, text: str) -> None:
        """Take a command."""
        if text == "ping":
            socket.send("pong")
            return
        listener = self._listeners[socket]
        request: Any = None
        try:
            request = read_json(text)
            command, arguments = request["op"], request.get("args", [])
            self._do(socket, listener, command, arguments, request)
        except BitmexError as exc:
            self._refuse(socket, exc.status, exc.message, request)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._refuse(socket, 400, "Unrecognized request. See the docs.", request)

    def _do(self, socket: SimSocket, listener: Listener, command: str, arguments: Any, request: Any) -> None:
        topics = [arguments] if isinstance(arguments, str) else arguments
        if command == "subscribe":
            self._subscribe(socket, listener, topics, request)
        elif command == "unsubscribe":
            for topic in topics:
                if topic in listener.topics:
                    listener.topics.remove(topic)
                self._reply(socket, {"success": True, "unsubscribe": topic, "request": request})
        elif command == "authKeyExpires":
            if listener.account is not None:
                raise BitmexError(400, "You are already authenticated on this connection.")
            api_key, expires, signature = arguments
            listener.account = self._authenticate(str(api_key), str(expires), str(signature)).name
            self._reply(socket, {"success": True, "request": request})
        elif command == "cancelAllAfter":
            if listener.account is None:
                raise BitmexError(401, "Not authenticated.")
            timeout = int(arguments[0] if isinstance(arguments, list) else arguments)
            now_ns = self._venue.wall_ns()
            self._reply(socket, {**self._order_routes.arm(listener.account, timeout, now_ns), "request": request})
        else:
            raise BitmexError(400, f"Unknown or expired op: {command}")

    def _authenticate(self, api_key: str, expires: str, signature: str) -> Account:
        account = self._venue.account(api_key)
        check_signature(account.secret, verb="GET", target=PATH, expires=expires, body=b"", signature=signature)
        check_expiry(expires, self._venue.shown_ms(self._venue.wall_ns()) // 1000)
        return account

    # -- subscriptions --------------------------------------------------------------------------------------------

    def _subscribe(self, socket: SimSocket, listener: Listener, topics: list[str], request: Any) -> None:
        for topic in topics:
            table, _, symbol = topic.partition(":")
            if table not in KEYS:
                self._refuse(socket, 400, f"Unknown table: {table}", request)
            elif table in PRIVATE and listener.account is None:
                text = "User requested an account-locked subscription but no authorization was provided."
                self._refuse(socket, 401, text, request)
            elif symbol and symbol not in self._venue.listings:
                self._refuse(socket, 400, f"Unknown or expired symbol: {symbol}", request)
            elif topic in listener.topics:
                self._refuse(socket, 400, f"You are already subscribed to this topic: {topic}", request)
            else:
                listener.topics.append(topic)
                self._reply(socket, {"success": True, "subscribe": topic, "request": request})
                self._send_partial(socket, listener, topic)

    def _send_partial(self, socket: SimSocket, listener: Listener, topic: str) -> None:
        table, _, symbol = topic.partition(":")
        rows = self._rows(listener, table, symbol or None)
        condition: dict[str, Any] = {"symbol": symbol} if symbol else {}
        if table in PRIVATE:
            condition["account"] = ACCOUNT_NUMBER
        if table in DEPTHS:
            listener.books[topic] = {(row["id"], row["side"]): row for row in rows}
        if table == "instrument":
            listener.instruments.update({row["symbol"]: row for row in rows})
        self._venue.emit(
            socket,
            dump(
                {
                    "table": table,
                    "action": "partial",
                    "keys": KEYS[table],
                    "types": {},
                    "foreignKeys": {},
                    "attributes": {},
                    "filter": condition,
                    "data": rows,
                }
            ).decode(),
        )

    def _rows(self, listener: Listener, table: str, symbol: str | None) -> list[dict[str, Any]]:
        venue, now_ns = self._venue, self._venue.wall_ns()
        now_ms = venue.shown_ms(now_ns)
        listings = [one for name, one in venue.listings.items() if symbol in (None, name)]
        if table == "quote":
            return [quote_row(one, venue.liquidity.book(one), now_ms) for one in listings]
        if table == "trade":
            return [self._public.trade_row(one, now_ns) for one in listings]
        if table == "instrument":
            return [self._public.instrument(one, now_ns) for one in listings]
        if table in DEPTHS:
            return [
                row for one in listings for row in level_rows(one, venue.liquidity.book(one), DEPTHS[table], now_ms)
            ]
        if table == "orderBook10":
            return [self._ten(one.symbol, now_ms) for one in listings]
        owner = listener.account or ""
        if table == "order":
            return [order_row(order, venue.shown_ms) for order in venue.engine.book.open_of(owner, MARKET, symbol)]
        if table == "execution":
            return [row for row in venue.executions(owner) if symbol in (None, row["symbol"])][-10:]
        if table == "position":
            return self._account.position_rows(owner, now_ns, symbol)
        rows = self._account.margin_rows if table == "margin" else self._account.wallet_rows
        return rows(owner, now_ns)

    def _ten(self, symbol: str, now_ms: int) -> dict[str, Any]:
        book = self._venue.liquidity.book(self._venue.listings[symbol])
        return {
            "symbol": symbol,
            "bids": [[level.price, level.quantity] for level in book.bids[:10]],
            "asks": [[level.price, level.quantity] for level in book.asks[:10]],
            "timestamp": iso(now_ms),
        }

    # -- changes --------------------------------------------------------------------------------------------------

    def publish(self, now_ns: int) -> None:
        """Send what changed with the step."""
        made: dict[str, list[dict[str, Any]]] = {}
        for socket, listener in list(self._listeners.items()):
            for topic in list(listener.topics):
                table, _, symbol = topic.partition(":")
                if table not in PUBLIC:
                    continue
                if topic not in made:
                    made[topic] = self._rows(listener, table, symbol or None)
                rows = made[topic]
                if not rows and table not in DEPTHS:
                    continue  # Settled.
                if table in ("quote", "trade"):
                    self._table(socket, table, "insert", rows)
                elif table == "orderBook10":
                    self._table(socket, table, "update", rows)
                elif table == "instrument":
                    self._send_instruments(socket, listener, rows)
                else:
                    self._send_book(socket, listener, topic, rows)

    def _send_instruments(self, socket: SimSocket, listener: Listener, rows: list[dict[str, Any]]) -> None:
        changed = []
        for row in rows:
            before = listener.instruments.get(row["symbol"], {})
            difference = {name: value for name, value in row.items() if before.get(name) != value}
            listener.instruments[row["symbol"]] = row
            changed.append({"symbol": row["symbol"], **difference})
        self._table(socket, "instrument", "update", changed)

    def _send_book(self, socket: SimSocket, listener: Listener, topic: str, rows: list[dict[str, Any]]) -> None:
        table = topic.partition(":")[0]
        now = {(row["id"], row["side"]): row for row in rows}
        before = listener.books.get(topic, {})
        gone = [
            {"symbol": row["symbol"], "id": row["id"], "side": row["side"]}
            for key, row in before.items()
            if key not in now
        ]
        updated = [
            {name: row[name] for name in ("symbol", "id", "side", "size", "timestamp")}
            for key, row in now.items()
            if key in before and before[key]["size"] != row["size"]
        ]
        fresh = [row for key, row in now.items() if key not in before]
        listener.books[topic] = now
        for action, changed in (("delete", gone), ("update", updated), ("insert", fresh)):
            if changed:
                self._table(socket, table, action, changed)

    def send_event(self, event: Event, execution: dict[str, Any]) -> None:
        """Send what happened to an order to the sockets of its account."""
        order = event.order
        row = order_row(order, self._venue.shown_ms)
        action, change = self._order_change(event, row)
        now_ns = self._venue.wall_ns()
        for socket, listener in list(self._listeners.items()):
            if listener.account != order.account:
                continue
            for topic in listener.topics:
                table, _, symbol = topic.partition(":")
                if symbol not in ("", order.listing.symbol):
                    continue
                if table == "order":
                    self._table(socket, "order", action, [change])
                elif table == "execution":
                    self._table(socket, "execution", "insert", [execution])
                elif table == "position" and event.kind is EventKind.TRADE:
                    rows = self._account.position_rows(order.account, now_ns, order.listing.symbol)
                    self._table(socket, "position", "update", rows)
                elif table == "margin":
                    self._table(socket, "margin", "update", self._account.margin_rows(order.account, now_ns))
                elif table == "wallet" and event.kind is EventKind.TRADE:
                    self._table(socket, "wallet", "update", self._account.wallet_rows(order.account, now_ns))

    def _order_change(self, event: Event, row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return an insert for a new order, else what changed since the last event about it."""
        name = row["orderID"]
        before = self._orders.pop(name, None)
        if event.order.status.is_open:
            self._orders[name] = row
        if event.kind is EventKind.NEW:
            return "insert", row
        identity: dict[str, Any] = {key: row[key] for key in ("orderID", "clOrdID", "account", "symbol") if key in row}
        if before is None:
            return "update", row
        return "update", {**{key: value for key, value in row.items() if before.get(key) != value}, **identity}

    def _table(self, socket: SimSocket, table: str, action: str, rows: list[dict[str, Any]]) -> None:
        self._venue.emit(socket, dump({"table": table, "action": action, "data": rows}).decode())

    def _refuse(self, socket: SimSocket, status: int, text: str, request: Any) -> None:
        self._reply(socket, {"status": status, "error": text, "meta": {}, "request": request})

    def _reply(self, socket: SimSocket, payload: Any) -> None:
        socket.send(dump(payload).decode())
