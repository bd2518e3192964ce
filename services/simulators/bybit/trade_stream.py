"""The websocket that takes orders: /v5/trade. Its commands are the routes of orders, under the same limits and the same plan of faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from services.runtime.json_text import read_json
from services.simulators.bybit.call import Route
from services.simulators.bybit.errors import BybitError, EdgeError, parameter
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.limited_calls import Limited, carry_out
from services.simulators.bybit.sessions import Session, is_over, login, open_session, reply
from services.simulators.bybit.signing import check_window
from services.simulators.venue.clearing import Account
from services.simulators.venue.messages import Fate, Request, Response, dump
from services.simulators.venue.sockets import SimSocket

PATH: Final = "/v5/trade"
COMMANDS: Final = {
    f"order.{name}": ("POST", f"/v5/order/{name}")
    for name in ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")
}
REQUEST_ID_MAX: Final = 36
SESSION: Final = "x-session"
"""Header that a command carries through the plan of faults: whose it is."""


@dataclass(frozen=True)
class _Order:
    """A command about orders."""

    op: str
    req_id: str
    header: Mapping[str, Any]
    args: Mapping[str, Any]


class TradeStream:
    """All sockets that take orders."""

    def __init__(self, venue: BybitExchange, routes: Mapping[tuple[str, str], Route]) -> None:
        self._venue = venue
        self._routes = routes
        self._sessions: dict[SimSocket, Session] = {}

    def open(self, socket: SimSocket, query: str) -> None:
        """Register a socket."""
        self._sessions[socket] = open_session(self._venue, query, lasting=True)

    def close(self, socket: SimSocket) -> None:
        """Forget a socket."""
        self._sessions.pop(socket, None)

    def has(self, socket: SimSocket) -> bool:
        """Whether the socket is one of these."""
        return socket in self._sessions

    def beat(self, now_ns: int) -> None:
        """Leave clients that have been silent for too long."""
        for socket, session in list(self._sessions.items()):
            if is_over(session, now_ns):
                socket.close(1000, "no ping")

    async def receive(self, socket: SimSocket, text: str) -> None:
        """Answer one command."""
        session = self._sessions[socket]
        session.heard_ns = self._venue.wall_ns()
        message = _message(text)
        op, req_id = str(message.get("op", ""))[:32], str(message.get("reqId") or "")
        known: dict[str, Any] = {"reqId": req_id} if req_id else {}
        if op == "ping":
            data = [str(self._venue.shown_ms(session.heard_ns))]
            reply(
                socket, {**known, "retCode": 0, "retMsg": "OK", "op": "pong", "data": data, "connId": session.conn_id}
            )
        elif op == "auth":
            code, words = self._login(session, message.get("args"))
            reply(socket, {**known, "retCode": code, "retMsg": words, "op": "auth", "connId": session.conn_id})
        elif op not in COMMANDS:
            words = "op type is not found" if op else "Param error"
            code = 10404 if op else 10001
            reply(socket, {**known, "retCode": code, "retMsg": words, "op": op, "connId": session.conn_id})
        else:
            body = json.dumps(message, default=str).encode()
            request = Request("WS", f"{PATH}/{op}", headers={SESSION: session.conn_id}, body=body)
            self._deliver(socket, await self._venue.handle(request))

    def _login(self, session: Session, args: Any) -> tuple[int, str]:
        if session.account is not None:
            return 20001, "Repeat auth"
        account, code, words = login(self._venue, args if isinstance(args, list) else [])
        session.account = account
        return code, words or "OK"

    def _deliver(self, socket: SimSocket, response: Response) -> None:
        if response.fate in (Fate.CUT, Fate.REFUSED):
            socket.close(None, "planned")
        elif response.fate is Fate.TRUNCATED:
            socket.send(response.body[: len(response.body) // 2].decode("utf-8", "replace"))
            socket.close(None, "planned")
        elif response.fate is Fate.WHOLE:
            socket.send(response.body.decode("utf-8", "replace"))

    # -- behind the plan ------------------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Response:
        """Return the answer of a command that meets no fault."""
        session = next((one for one in self._sessions.values() if one.conn_id == request.headers.get(SESSION)), None)
        if session is None:
            return Response(404, b"404 page not found")
        message = _message(request.body.decode("utf-8", "replace"))
        header: dict[str, str] = {}
        try:
            order = _order(message)
            account = self._admit(session, order)
            route = self._routes[COMMANDS[order.op]]
            limited = Limited(self._venue, account, COMMANDS[order.op][1], route)
            result, header = await carry_out(limited, order.args)
            return self._answered(session, message, 0, result.message, result.result, result.extra, header)
        except BybitError as exc:
            header = header or exc.headers
            return self._answered(session, message, exc.code, exc.message, {}, {}, header)

    def error_response(self, error: BybitError | EdgeError, request: Request) -> Response:
        """Return a planned error: the edge has no frame for one, it hangs up."""
        session = next((one for one in self._sessions.values() if one.conn_id == request.headers.get(SESSION)), None)
        if isinstance(error, EdgeError) or session is None:
            return Response(0, fate=Fate.CUT)
        message = _message(request.body.decode("utf-8", "replace"))
        return self._answered(session, message, error.code, error.message, {}, {}, {})

    def _admit(self, session: Session, order: _Order) -> Account:
        if session.account is None:
            raise BybitError(10003, "User needs to be logged in")
        if order.req_id:
            if order.req_id in session.request_ids:
                raise BybitError(20006, "Duplicate reqId")
            session.request_ids.add(order.req_id)
        window = str(order.header.get("X-BAPI-RECV-WINDOW") or "")
        now_ms = self._venue.shown_ms(self._venue.wall_ns())
        check_window(str(order.header.get("X-BAPI-TIMESTAMP", "")), window, now_ms)
        return session.account

    def _answered(
        self, session: Session, message: Any, code: int, words: str, data: Any, extra: Any, header: Mapping[str, str]
    ) -> Response:
        now = str(self._venue.shown_ms(self._venue.wall_ns()))
        answer = {
            "reqId": str(message.get("reqId") or ""),
            "retCode": code,
            "retMsg": words,
            "op": str(message.get("op", "")),
            "data": data,
            "retExtInfo": extra,
            "header": {**header, "Traceid": self._venue.made_uuid().replace("-", ""), "Timenow": now},
            "connId": session.conn_id,
        }
        return Response(200, dump(answer))


def _message(text: str) -> dict[str, Any]:
    try:
        message = read_json(text, parse_float=Decimal)
    except (ValueError, ArithmeticError):
        return {}
    return message if isinstance(message, dict) else {}


def _order(message: Mapping[str, Any]) -> _Order:
    header, args, req_id = message.get("header"), message.get("args"), str(message.get("reqId") or "")
    if not isinstance(header, dict) or not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
        raise parameter("Param error: header and one object in args are required")
    if len(req_id) > REQUEST_ID_MAX:
        raise parameter(f"Param error: reqId is longer than {REQUEST_ID_MAX}")
    return _Order(str(message["op"]), req_id, header, args[0])
