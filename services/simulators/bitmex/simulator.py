"""The simulated BitMEX as a whole: its routes and streams wired up, each request authenticated, counted and answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from services.runtime.json_text import read_json
from services.simulators.bitmex.account_routes import AccountRoutes
from services.simulators.bitmex.call import Call, Route
from services.simulators.bitmex.errors import PLANNED, BitmexError, not_found
from services.simulators.bitmex.exchange import DEMO_ACCOUNT, BitmexExchange
from services.simulators.bitmex.limits import LimitOptions
from services.simulators.bitmex.order_routes import OrderRoutes
from services.simulators.bitmex.public_routes import PublicRoutes
from services.simulators.bitmex.realtime import PATH, Realtime
from services.simulators.bitmex.render import execution_row
from services.simulators.bitmex.signing import check_expiry, check_signature
from services.simulators.bitmex.welcome import welcome_text
from services.simulators.venue.clearing import Account
from services.simulators.venue.exchange import VenueOptions
from services.simulators.venue.faults import Rule
from services.simulators.venue.messages import Request, Response, json_response
from services.simulators.venue.orders import Event
from services.simulators.venue.sockets import SimSocket


class SimulatedBitmex(BitmexExchange):
    """BitMEX: one market with spot, linear, inverse and quanto instruments."""

    name = "bitmex"
    error_names = tuple(PLANNED)

    def __init__(
        self,
        *,
        options: VenueOptions | None = None,
        limits: LimitOptions | None = None,
        accounts: Iterable[Account] = (DEMO_ACCOUNT,),
        faults: Iterable[Rule] = (),
        wall_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            options=VenueOptions() if options is None else options,
            limits=LimitOptions() if limits is None else limits,
            accounts=accounts,
            faults=faults,
            wall_ns=wall_ns,
            sleep=sleep,
        )
        public, orders, account = PublicRoutes(self), OrderRoutes(self), AccountRoutes(self)
        self.realtime = Realtime(self, public=public, account=account, orders=orders)
        self.routes: Mapping[tuple[str, str], Route] = {**public.routes(), **orders.routes(), **account.routes()}

    # -- requests -------------------------------------------------------------------------------------------------

    def parameters(self, request: Request) -> Mapping[str, str]:
        try:
            merged = self._read(request)
        except BitmexError:
            return {}
        return {
            name: value if isinstance(value, str) else json.dumps(value, default=str) for name, value in merged.items()
        }

    async def answer(self, request: Request) -> Response:
        now_ns = self.wall_ns()
        headers = self._headers()
        try:
            self.limits.check_ban(request.address, now_ns)
            route = self.routes.get((request.method, request.path.rstrip("/") or "/"))
            account = self._authenticate(request, route)
            is_order = route is not None and route.is_order
            headers |= self.limits.admit(
                account=account.name if account else None, address=request.address, is_order=is_order, now_ns=now_ns
            )
            if route is None:
                raise not_found()
            payload = await route.handler(Call(request.route, self._read(request), now_ns, account))
            return json_response(200, payload, headers)
        except BitmexError as exc:
            if not self.limits.is_banned(request.address, now_ns):
                self.limits.count_error(request.address, now_ns)
            return json_response(exc.status, exc.payload(), {**headers, **exc.headers})

    def error_response(self, name: str, request: Request) -> Response:
        error = PLANNED.get(name) or BitmexError(int(name), "planned error")
        headers = self._headers()
        if error.status >= 500 and request.method != "WS":
            # Even a shed request has been counted.
            api_key = request.headers.get("api-key", "")
            account = self.clearing.by_key(api_key)
            is_order = request.path.startswith("/api/v1/order") and request.method != "GET"
            try:
                headers |= self.limits.admit(
                    account=account.name if account else None,
                    address=request.address,
                    is_order=is_order,
                    now_ns=self.wall_ns(),
                )
            except BitmexError as exc:
                return json_response(exc.status, exc.payload(), {**headers, **exc.headers})
        return json_response(error.status, error.payload(), {**headers, **error.headers})

    def _headers(self) -> dict[str, str]:
        return {
            "date": formatdate(self.exchange_ns() / 1e9, usegmt=True),
            "x-request-id": str(UUID(int=self.random.getrandbits(128), version=4)),
        }

    def _authenticate(self, request: Request, route: Route | None) -> Account | None:
        api_key = request.headers.get("api-key")
        if api_key is None:
            if route is not None and route.signed:
                raise BitmexError(401, "Authorization Required")
            return None
        account = self.account(api_key)
        expires = request.headers.get("api-expires", "")
        check_expiry(expires, self.shown_ms(self.wall_ns()) // 1000)
        check_signature(
            account.secret,
            verb=request.method,
            target=request.path + (f"?{request.query}" if request.query else ""),
            expires=expires,
            body=request.body,
            signature=request.headers.get("api-signature", ""),
        )
        if route is not None and route.right not in account.rights:
            raise BitmexError(403, "Access Denied")
        return account

    def _read(self, request: Request) -> dict[str, Any]:
        parameters: dict[str, Any] = dict(parse_qsl(request.query, keep_blank_values=True))
        if not request.body:
            return parameters
        try:
            text = request.body.decode("utf-8")
            if text.lstrip().startswith("{"):
                body = read_json(text, parse_float=Decimal, parse_int=Decimal)
            else:
                body = {name: _form_value(value) for name, value in parse_qsl(text, keep_blank_values=True)}
        except (ValueError, ArithmeticError):
            raise BitmexError(400, "Unexpected token in JSON", name="SyntaxError") from None
        return {**parameters, **body}

    # -- streams --------------------------------------------------------------------------------------------------

    def connect(self, path: str, query: str, headers: Mapping[str, str]) -> SimSocket | Response:
        if path.rstrip("/") != PATH:
            return Response(404, b"no such stream path")
        refusal = self.refuse_socket(path)
        if refusal is not None:
            return refusal
        remaining = self.limits.admit_socket(self.wall_ns())
        if remaining is None:
            error = BitmexError(429, "Rate limit exceeded, retry in 60 seconds.", headers={"retry-after": "60"})
            return json_response(error.status, error.payload(), {**self._headers(), **error.headers})
        socket = self.open_socket(path)
        self.realtime.open(socket, query, headers, remaining)
        return socket

    async def receive(self, socket: SimSocket, text: str) -> None:
        if socket.closed is None:
            self.realtime.receive(socket, text)

    def socket_closed(self, socket: SimSocket) -> None:
        self.realtime.close(socket)

    def publish(self, now_ns: int) -> None:
        self.realtime.publish(now_ns)

    def _on_event(self, event: Event) -> None:
        row = execution_row(event, self._execution_id(event), self.shown_ms)
        self.keep_execution(event.order.account, row)
        super()._on_event(event)

    def send_event(self, event: Event) -> None:
        self.realtime.send_event(event, execution_row(event, self._execution_id(event), self.shown_ms))

    def _execution_id(self, event: Event) -> str:
        return f"00000000-006d-1000-0000-{event.number:012x}"

    def announce_shutdown(self) -> None:
        """BitMEX says nothing before it closes."""

    def welcome(self, base_url: str) -> str:
        return welcome_text(base_url, next(iter(self.clearing.accounts), DEMO_ACCOUNT))


def _form_value(text: str) -> Any:
    """Return a form's value; lists and objects stand in it as JSON."""
    if text.startswith(("[", "{")):
        try:
            return read_json(text)
        except ValueError:
            return text
    return text
