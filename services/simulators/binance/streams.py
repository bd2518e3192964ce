"""Market streams and the futures' user streams: /ws and /stream (spot), /fstream/{public,market,private,all}, /dstream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from services.runtime.json_text import read_json
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import COINM, SPOT, USDM
from services.simulators.binance.stream_feeds import Feed, Feeds
from services.simulators.binance.stream_names import Stream, find_stream, refusal
from services.simulators.venue.messages import dump
from services.simulators.venue.sockets import SimSocket

STREAMS_MAX: Final = {SPOT: 1024, USDM: 200, COINM: 200}
MESSAGES_PER_S: Final = {SPOT: 5, USDM: 10, COINM: 10}


@dataclass
class Subscriber:
    """What one socket listens to."""

    market: str
    category: str
    """`all`, or the part of the USD-M split: `public`, `market`, `private`."""
    combined: bool
    routed: bool = True
    """Whether the address names the part. The retired one without a part takes every stream, and carries public ones."""
    streams: dict[str, Stream | None] = field(default_factory=dict)
    """By name, in the order of asking; None for listen keys and what stays silent."""
    listen_key: str = ""
    messages: list[int] = field(default_factory=list)
    """Arrival times of the control messages of the last second."""


@dataclass(frozen=True)
class Place:
    """What an address of streams means."""

    market: str
    category: str
    routed: bool
    head: str
    """`ws` or `stream`."""
    name: str
    """What stands behind it: a stream, a listen key, or nothing."""


def locate(path: str) -> Place | None:
    """Return what a path means; None when it is no path of streams."""
    parts = [part for part in path.split("/") if part]
    market, category, routed = SPOT, "all", True
    if parts and parts[0] in ("fstream", "dstream"):
        market = USDM if parts[0] == "fstream" else COINM
        parts = parts[1:]
        if market == USDM:
            # The unrouted addresses still open, and bring public streams only.
            category, routed = "public", False
            # `all` is the simulator's own, for clients that split the streams by the exchange's host name alone.
            if parts and parts[0] in ("public", "market", "private", "all"):
                category, routed, parts = parts[0], True, parts[1:]
    if not parts or parts[0] not in ("ws", "stream"):
        return None
    return Place(market, category, routed, parts[0], "/".join(parts[1:]))


class Streams:
    """All sockets that listen to market data or listen keys."""

    def __init__(self, venue: BinanceExchange, feeds: Feeds) -> None:
        self._venue = venue
        self._subscribers: dict[SimSocket, Subscriber] = {}
        self._open = feeds
        self._feeds: dict[tuple[str, str], Feed] = {}
        """By market and name: what somebody subscribed to."""

    def open(self, socket: SimSocket, place: Place, query: str) -> None:
        """Register a socket with the streams that its address names; an error frame names those that there are not."""
        parameters = parse_qs(query)
        combined = place.head == "stream"
        subscriber = Subscriber(place.market, place.category, combined=combined, routed=place.routed)
        names = parameters.get("streams", [""])[0] if combined else place.name
        keys = parameters.get("listenKey", [""])
        self._subscribers[socket] = subscriber
        for one in filter(None, [*names.split("/"), keys[0]]):
            # What has no `@` may be a key, or a number that a client puts there to tell its connections apart.
            problem = self._problem(subscriber, one) if _is_stream(one) else ""
            if problem:
                socket.send(dump({"error": {"code": 2, "msg": f"Invalid request: {problem}"}}).decode())
            else:
                self._subscribe(subscriber, one)

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
            message = read_json(text)
        except ValueError as exc:
            return {"error": {"code": 3, "msg": f"Invalid JSON: {getattr(exc, 'msg', exc)}"}}
        if not isinstance(message, dict):
            return {"error": {"code": 2, "msg": "Invalid request: request must be an object"}}
        number, method, names = message.get("id"), message.get("method"), message.get("params", [])
        legal_id = number is None or isinstance(number, int) or (isinstance(number, str) and len(number) <= 36)
        if not legal_id or isinstance(number, bool):
            return {"error": {"code": 2, "msg": "Invalid request: request ID must be an integer, a string or null"}}
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(subscriber.streams), "id": number}
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return {"error": {"code": 2, "msg": f"Invalid request: unknown variant `{method}`"}, "id": number}
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            return {"error": {"code": 2, "msg": "Invalid request: params must be a list of strings"}, "id": number}
        if method == "SUBSCRIBE" and len(subscriber.streams) + len(names) > STREAMS_MAX[subscriber.market]:
            return {"error": {"code": 2, "msg": "Invalid request: too many streams"}, "id": number}
        if method == "SUBSCRIBE":
            problems = [problem for one in names if (problem := self._problem(subscriber, one))]
            if problems:
                return {"error": {"code": 2, "msg": f"Invalid request: {'; '.join(problems)}"}, "id": number}
        for one in names:
            if method == "SUBSCRIBE":
                self._subscribe(subscriber, one)
            else:
                subscriber.streams.pop(one, None)
        return {"result": None, "id": number}

    def _problem(self, subscriber: Subscriber, name: str) -> str:
        """Say why a stream will bring nothing; empty when it will. What is acknowledged is served."""
        market, now_ns = subscriber.market, self._venue.wall_ns()
        if not _is_stream(name):
            # Spot's user events come over the websocket API; a key of the futures is good where private streams are.
            private = subscriber.category in ("all", "private") and market != SPOT
            if private and self._venue.listen_keys.owner(name, market, now_ns) is not None:
                return ""
            return f"`{name}` is neither a stream nor a listen key that is valid here"
        listings = self._venue.listings(market)
        stream = find_stream(market, name, listings)
        if stream is None:
            return refusal(market, name, listings)
        if subscriber.routed and not stream.part_of(subscriber.category):
            other = "/public" if stream.part_of("public") else "/market"
            return f"`{name}` belongs to the address with {other}, not to /{subscriber.category}"
        return ""

    def _subscribe(self, subscriber: Subscriber, name: str) -> None:
        if not _is_stream(name):
            subscriber.listen_key = name
        stream = find_stream(subscriber.market, name, self._venue.listings(subscriber.market))
        # A stream of another part stays silent on the retired address: the exchange's own trap.
        if stream is not None and not stream.part_of(subscriber.category):
            stream = None
        subscriber.streams.setdefault(name, stream)
        key = (subscriber.market, name)
        if stream is not None and key not in self._feeds:
            self._feeds[key] = self._open.open(subscriber.market, stream)

    # -- sending --------------------------------------------------------------------------------------------------

    def publish(self, now_ns: int) -> None:
        """Send every subscribed stream that has something new."""
        frames: dict[tuple[str, str], list[Any]] = {}
        for socket, subscriber in list(self._subscribers.items()):
            for name, stream in list(subscriber.streams.items()):
                listed = self._venue.listings(subscriber.market)
                if stream is None or (stream.symbol is not None and stream.listing(listed) is None):
                    continue
                key = (subscriber.market, name)
                if key not in frames:
                    frames[key] = self._feeds[key].messages(now_ns)
                for payload in frames[key]:
                    self._send(socket, subscriber, name, payload)
        for key in [key for key in self._feeds if key not in frames]:
            self._feeds.pop(key).close()

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


def _is_stream(name: str) -> bool:
    return "@" in name or name.startswith("!")
