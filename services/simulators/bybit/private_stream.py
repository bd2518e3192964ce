"""The private websocket: /v5/private. No snapshot after subscribing; orders and executions come in no promised order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from services.simulators.bybit.account_routes import AccountRoutes
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.funding import EXECUTION_TYPE
from services.simulators.bybit.listings import CATEGORIES, SPOT
from services.simulators.bybit.render import (
    fast_execution_row,
    streamed_execution_row,
    streamed_order_row,
    streamed_position_row,
)
from services.simulators.bybit.sessions import Command, Session, is_over, login, open_session, read_command, reply
from services.simulators.bybit.sightings import Execution, Sighting
from services.simulators.bybit.wallets import wallet_row
from services.simulators.venue.messages import dump
from services.simulators.venue.orders import Event
from services.simulators.venue.sockets import SimSocket

PATH: Final = "/v5/private"
BY_CATEGORY: Final = ("order", "execution", "execution.fast", "position")
WHOLE: Final = (*BY_CATEGORY, "wallet", "greeks", "dcp.future", "dcp.spot", "dcp.option")
PARTS: Final = {f"{kind}.{category}": (kind, category) for kind in BY_CATEGORY for category in CATEGORIES}


@dataclass
class _Listener:
    session: Session
    topics: list[str] = field(default_factory=list)


class PrivateStream:
    """All private sockets."""

    def __init__(self, venue: BybitExchange, account: AccountRoutes) -> None:
        self._venue = venue
        self._account = account
        self._listeners: dict[SimSocket, _Listener] = {}
        self._random = Random(f"{venue.options.seed}:frames")

    def open(self, socket: SimSocket, query: str) -> None:
        """Register a socket."""
        self._listeners[socket] = _Listener(open_session(self._venue, query, lasting=True))

    def close(self, socket: SimSocket) -> None:
        """Forget a socket."""
        self._listeners.pop(socket, None)

    def has(self, socket: SimSocket) -> bool:
        """Whether the socket is one of these."""
        return socket in self._listeners

    def receive(self, socket: SimSocket, text: str) -> None:
        """Take a command."""
        listener = self._listeners[socket]
        session = listener.session
        session.heard_ns = self._venue.wall_ns()
        command = read_command(text)
        if command is None:
            self._answer(socket, session, Command("", [], None), "error:invalid json or op", success=False)
        elif command.op == "ping":
            now = str(self._venue.shown_ms(session.heard_ns))
            reply(socket, {**command.echo, "op": "pong", "args": [now], "conn_id": session.conn_id})
        elif command.op == "auth":
            self._login(socket, session, command)
        elif session.account is None:
            self._answer(socket, session, command, "Request not authorized", success=False)
        elif command.op == "subscribe":
            problem = _problem(command, listener.topics)
            if not problem:
                listener.topics.extend(str(name) for name in command.args)
            self._answer(socket, session, command, problem, success=not problem)
        elif command.op == "unsubscribe":
            listener.topics = [name for name in listener.topics if name not in command.args]
            self._answer(socket, session, command, "")
        else:
            self._answer(socket, session, command, f"error:unknown op {command.op[:32]}", success=False)

    def _login(self, socket: SimSocket, session: Session, command: Command) -> None:
        account, code, text = login(self._venue, command.args)
        if account is None:
            # A refusal spells its names as the trade stream does.
            refusal = {"success": False, "retCode": code, "retMsg": text, "connId": session.conn_id}
            reply(socket, {**command.echo, "op": "auth", **refusal})
            return
        session.account = account
        self._answer(socket, session, command, "")

    def _answer(
        self, socket: SimSocket, session: Session, command: Command, text: str, *, success: bool = True
    ) -> None:
        answer = {"success": success, "ret_msg": text, "op": command.op, "conn_id": session.conn_id}
        reply(socket, {**command.echo, **answer})

    # -- sending --------------------------------------------------------------------------------------------------

    def send_event(self, event: Event, execution: Execution | None) -> None:
        """Send what happened to an order to the sockets of its account."""
        for socket, listener in list(self._listeners.items()):
            owner = listener.session.account
            if owner is None or owner.name != event.order.account:
                continue
            frames = [frame for topic in listener.topics if (frame := self._frame(topic, event, execution))]
            if self._random.random() < 0.5:
                frames.reverse()
            for frame in frames:
                self._venue.emit(socket, dump(frame).decode())

    def _frame(self, topic: str, event: Event, execution: Execution | None) -> dict[str, Any] | None:
        kind, category = PARTS.get(topic, (topic, None))
        order, venue = event.order, self._venue
        if category not in (None, order.listing.market):
            return None
        rows = list(self._rows(kind, event, execution))
        if not rows:
            return None
        frame = {"topic": topic, "creationTime": venue.shown_ms(venue.wall_ns()), "data": rows}
        if kind == "execution.fast":
            return frame
        symbol, number = order.listing.symbol, venue.sightings.number
        return {"id": f"{symbol}_{kind}_{number}", **frame}

    def _rows(self, kind: str, event: Event, execution: Execution | None) -> Iterator[dict[str, Any]]:
        venue, order = self._venue, event.order
        if EXECUTION_TYPE in order.marks and kind in ("order", "execution.fast"):
            return
        if kind == "order":
            seen = venue.sightings.of(order)
            yield streamed_order_row(Sighting(order, fees={} if seen is None else dict(seen.fees)), venue.shown_ms)
        elif kind == "execution" and execution is not None:
            yield streamed_execution_row(execution, venue.shown_ms)
        elif kind == "execution.fast" and execution is not None:
            yield fast_execution_row(execution, venue.shown_ms)
        elif kind == "position" and order.listing.market != SPOT:
            # After every change of an order there is one, whether the position changed or not.
            for row in self._account.position_rows(order.account, order.listing):
                yield streamed_position_row(row, order.listing.market)
        elif kind == "wallet":
            yield wallet_row(venue, order.account)

    def beat(self, now_ns: int) -> None:
        """Leave clients that have been silent for too long."""
        for socket, listener in list(self._listeners.items()):
            if is_over(listener.session, now_ns):
                socket.close(1000, "no ping")


def _problem(command: Command, topics: list[str]) -> str:
    names = [str(name) for name in command.args]
    for name in names:
        if name not in WHOLE and name not in PARTS:
            return f"error:handler not found,topic:{name[:64]}"
        if name in topics:
            return f"error:already subscribed,topic:{name}"
    for kind in BY_CATEGORY:
        if kind in names and any(PARTS.get(name, ("", ""))[0] == kind for name in names):
            return f"error:{kind} is asked for in all and by category in one request"
    return "" if names else "error:args is empty"
