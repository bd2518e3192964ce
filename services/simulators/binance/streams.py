"""Market streams and the futures' user streams: /ws and /stream (spot), /fstream/{public,market,private}, /dstream."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import COINM, SPOT, USDM
from services.simulators.binance.market_data import price_text, size_text
from services.simulators.venue.listing import Listing
from services.simulators.venue.messages import dump
from services.simulators.venue.sockets import SimSocket

PUBLIC_KINDS: Final = ("bookTicker", "depth")
MARKET_KINDS: Final = ("aggTrade", "markPrice", "ticker", "miniTicker", "trade")
STREAMS_MAX: Final = {SPOT: 1024, USDM: 200, COINM: 200}
MESSAGES_PER_S: Final = {SPOT: 5, USDM: 10, COINM: 10}


@dataclass
class Subscriber:
    """What one socket listens to."""

    market: str
    category: str
    """`all`, or the part of the USD-M split: `public`, `market`, `private`. A stream of another part stays silent."""
    combined: bool
    streams: list[str] = field(default_factory=list)
    listen_key: str = ""
    messages: list[int] = field(default_factory=list)
    """Arrival times of the control messages of the last second."""


def locate(path: str) -> tuple[str, str, str] | None:
    """Return (market, category, rest) of a stream path, rest beginning with `ws` or `stream`; None for other paths."""
    parts = [part for part in path.split("/") if part]
    market, category = SPOT, "all"
    if parts and parts[0] in ("fstream", "dstream"):
        market = USDM if parts[0] == "fstream" else COINM
        parts = parts[1:]
        if market == USDM:
            # The unrouted addresses still open, and bring public streams only.
            category = "public"
            if parts and parts[0] in ("public", "market", "private"):
                category, parts = parts[0], parts[1:]
    if not parts or parts[0] not in ("ws", "stream"):
        return None
    return market, category, "/".join(parts)


class Streams:
    """All sockets that listen to market data or listen keys."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue
        self._subscribers: dict[SimSocket, Subscriber] = {}
        self._makers: Mapping[str, Callable[[Listing, int], Any]] = {
            "bookTicker": self._book_ticker,
            "depth": self._depth,
            "aggTrade": self._agg_trade,
            "trade": self._trade,
            "markPrice": self._mark_price,
            "ticker": self._ticker,
        }

    def open(self, socket: SimSocket, place: tuple[str, str, str], query: str) -> None:
        """Register a socket with the streams that its address names."""
        market, category, rest = place
        head, _, name = rest.partition("/")
        parameters = parse_qs(query)
        subscriber = Subscriber(market, category, combined=head == "stream")
        names = parameters.get("streams", [""])[0] if head == "stream" else name
        keys = parameters.get("listenKey", [""])
        for one in filter(None, [*names.split("/"), keys[0]]):
            self._subscribe(subscriber, one)
        self._subscribers[socket] = subscriber

    def close(self, socket: SimSocket) -> None:
        """Forget a socket."""
        self._subscribers.pop(socket, None)

    def receive(self, socket: SimSocket, text: str) -> None:
        """Take a control message."""
        subscriber = self._subscribers[socket]
        now_ns = self._venue.wall_ns()
        subscriber.messages = [at for at in subscriber.messages if now_ns - at < 1_000_000_000]
        subscriber.messages.append(now_ns)
        if len(subscriber.messages) > MESSAGES_PER_S[subscriber.market]:
            socket.close(1008, "Too many requests")
            return
        socket.send(dump(self._control(subscriber, text)).decode())

    def _control(self, subscriber: Subscriber, text: str) -> Any:
        try:
            message = json.loads(text)
        except json.JSONDecodeError as exc:
            return {"error": {"code": 3, "msg": f"Invalid JSON: {exc.msg}"}}
        if not isinstance(message, dict):
            return {"error": {"code": 2, "msg": "Invalid request: request must be an object"}}
        number, method, names = message.get("id"), message.get("method"), message.get("params", [])
        legal_id = number is None or isinstance(number, int) or (isinstance(number, str) and len(number) <= 36)
        if not legal_id or isinstance(number, bool):
            return {"error": {"code": 2, "msg": "Invalid request: request ID must be an integer, a string or null"}}
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": subscriber.streams, "id": number}
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return {"error": {"code": 2, "msg": f"Invalid request: unknown variant `{method}`"}, "id": number}
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            return {"error": {"code": 2, "msg": "Invalid request: params must be a list of strings"}, "id": number}
        if method == "SUBSCRIBE" and len(subscriber.streams) + len(names) > STREAMS_MAX[subscriber.market]:
            return {"error": {"code": 2, "msg": "Invalid request: too many streams"}, "id": number}
        for one in names:
            if method == "SUBSCRIBE":
                self._subscribe(subscriber, one)
            elif one in subscriber.streams:
                subscriber.streams.remove(one)
        return {"result": None, "id": number}

    def _subscribe(self, subscriber: Subscriber, name: str) -> None:
        # Whatever is asked for is acknowledged; what does not exist, or belongs elsewhere, is silent.
        if "@" not in name and not name.startswith("!"):
            subscriber.listen_key = name
        if name not in subscriber.streams:
            subscriber.streams.append(name)

    # -- sending --------------------------------------------------------------------------------------------------

    def publish(self, now_ns: int) -> None:
        """Send every subscribed stream that has something new."""
        frames: dict[tuple[str, str], list[Any]] = {}
        for socket, subscriber in list(self._subscribers.items()):
            for name in list(subscriber.streams):
                key = (subscriber.market, name)
                if not _carried(subscriber.category, name):
                    continue
                if key not in frames:
                    frames[key] = self._payloads(subscriber.market, name, now_ns)
                for payload in frames[key]:
                    self._send(socket, subscriber, name, payload)

    def send_user(self, account: str, market: str, payload: Any) -> None:
        """Send an event to the sockets that opened the account's listen key."""
        now_ns = self._venue.wall_ns()
        for socket, subscriber in list(self._subscribers.items()):
            private = subscriber.category in ("all", "private")
            if subscriber.market != market or not subscriber.listen_key or not private:
                continue
            if self._venue.listen_keys.owner(subscriber.listen_key, market, now_ns) == account:
                self._send(socket, subscriber, subscriber.listen_key, payload)

    def announce_shutdown(self) -> None:
        """Tell spot sockets that maintenance is near."""
        payload = {"e": "serverShutdown", "E": self._venue.shown_ms(self._venue.wall_ns())}
        for socket, subscriber in list(self._subscribers.items()):
            if subscriber.market == SPOT:
                self._send(socket, subscriber, "!serverShutdown", payload)

    def expire_keys(self, now_ns: int) -> None:
        """Tell sockets whose listen key has expired."""
        for key in self._venue.listen_keys.expired(now_ns):
            for socket, subscriber in list(self._subscribers.items()):
                if subscriber.listen_key == key:
                    payload = {"e": "listenKeyExpired", "E": self._venue.shown_ms(now_ns), "listenKey": key}
                    self._send(socket, subscriber, key, payload)

    def _send(self, socket: SimSocket, subscriber: Subscriber, name: str, payload: Any) -> None:
        frame = {"stream": name, "data": payload} if subscriber.combined else payload
        self._venue.emit(socket, dump(frame).decode())

    def _payloads(self, market: str, name: str, now_ns: int) -> list[Any]:
        symbol, _, kind = name.partition("@")
        if name.startswith("!"):
            kind = name[1:].partition("@")[0]
            if kind != "bookTicker" or market == SPOT:
                return []
            return [self._book_ticker(listing, now_ns) for listing in self._venue.listings(market).values()]
        listing = self._venue.listings(market).get(symbol.upper())
        # Stream names are lower case; another spelling is another stream, one that does not exist.
        if listing is None or symbol != symbol.lower():
            return []
        maker = self._makers.get(_kind(kind))
        if maker is None or (market == SPOT and kind.startswith("markPrice")):
            return []
        if _kind(kind) == "depth" and not kind.removeprefix("depth").partition("@")[0].isdecimal():
            return []  # Differences of the book are not simulated; its snapshots are.
        return [maker(listing, now_ns)]

    def _book_ticker(self, listing: Listing, now_ns: int) -> Any:
        book, now_ms = self._venue.liquidity.book(listing), self._venue.shown_ms(now_ns)
        row: dict[str, Any] = {
            "u": self._venue.liquidity.update_id(listing),
            "s": listing.symbol,
            "b": price_text(listing, book.bids[0].price) if book.bids else "0",
            "B": size_text(listing, book.bids[0].quantity) if book.bids else "0",
            "a": price_text(listing, book.asks[0].price) if book.asks else "0",
            "A": size_text(listing, book.asks[0].quantity) if book.asks else "0",
        }
        if listing.market == SPOT:
            return row
        pair = listing.base + listing.quote
        own = {"st": 1 if listing.market == USDM else 2, "ps": pair}
        return {"e": "bookTicker", **row, **own, "T": now_ms - 1, "E": now_ms}

    def _depth(self, listing: Listing, now_ns: int) -> Any:
        book, now_ms = self._venue.liquidity.book(listing), self._venue.shown_ms(now_ns)
        bids = [[price_text(listing, one.price), size_text(listing, one.quantity)] for one in book.bids]
        asks = [[price_text(listing, one.price), size_text(listing, one.quantity)] for one in book.asks]
        number = self._venue.liquidity.update_id(listing)
        if listing.market == SPOT:
            return {"lastUpdateId": number, "bids": bids, "asks": asks}
        return {
            "e": "depthUpdate",
            "E": now_ms,
            "T": now_ms,
            "s": listing.symbol,
            "U": number - 999,
            "u": number,
            "pu": number - 1000,
            "b": bids,
            "a": asks,
        }

    def _agg_trade(self, listing: Listing, now_ns: int) -> Any:
        step, now_ms = self._venue.walk.step, self._venue.shown_ms(now_ns)
        return {
            "e": "aggTrade",
            "E": now_ms,
            "s": listing.symbol,
            "a": step,
            "p": price_text(listing, self._venue.liquidity.last_price(listing)),
            "q": size_text(listing, listing.lot),
            "f": step,
            "l": step,
            "T": now_ms,
            "m": step % 2 == 0,
        }

    def _trade(self, listing: Listing, now_ns: int) -> Any:
        step, now_ms = self._venue.walk.step, self._venue.shown_ms(now_ns)
        return {
            "e": "trade",
            "E": now_ms,
            "s": listing.symbol,
            "t": step,
            "p": price_text(listing, self._venue.liquidity.last_price(listing)),
            "q": size_text(listing, listing.lot),
            "T": now_ms,
            "m": step % 2 == 0,
            "M": True,
        }

    def _mark_price(self, listing: Listing, now_ns: int) -> Any:
        mark = f"{self._venue.liquidity.mark(listing):.8f}"
        return {
            "e": "markPriceUpdate",
            "E": self._venue.shown_ms(now_ns),
            "s": listing.symbol,
            "p": mark,
            "i": mark,
            "P": mark,
            "r": "0.00010000",
            "T": 0,
        }

    def _ticker(self, listing: Listing, now_ns: int) -> Any:
        price = price_text(listing, self._venue.liquidity.last_price(listing))
        book = self._book_ticker(listing, now_ns)
        row = {"e": "24hrTicker", "E": self._venue.shown_ms(now_ns), "s": listing.symbol, "c": price, "o": price}
        if listing.market == SPOT:
            row |= {name: book[name] for name in "bBaA"}
        return row


def _kind(text: str) -> str:
    """Return `depth5@100ms` as `depth`, `markPrice@1s` as `markPrice`."""
    return text.partition("@")[0].rstrip("0123456789")


def _carried(category: str, name: str) -> bool:
    kind = _kind(name[1:] if name.startswith("!") else name.partition("@")[2])
    if category == "all":
        return True
    if category == "public":
        return kind in PUBLIC_KINDS
    return category == "market" and kind in MARKET_KINDS
