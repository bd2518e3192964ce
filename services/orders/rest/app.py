"""The REST face: translates HTTP, decides nothing. The same desk as over gRPC, the same messages, the same errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRouter
from prometheus_client import CollectorRegistry

from clients.exchanges.trading import OrderType, Side, TimeInForce
from services.orders import messages
from services.orders.auth import SignedRequests
from services.orders.desk import Desk
from services.orders.domain import Order, OrderState
from services.orders.engine.commands import Caller, amend_command, place_command, settle_command
from services.orders.errors import Reason, denied
from services.orders.filters import exchange_filter, period, sequence_filter, symbol_filter
from services.orders.journal.store import FillFilter, OrderFilter
from services.orders.pages import fill_page, order_page
from services.orders.paging import PAGE, PAGE_MAX
from services.orders.ports import Ports
from services.orders.rest import models
from services.orders.rest.description import describe
from services.orders.rest.events import Reset, order_events
from services.orders.rest.gate import RequestGate
from services.orders.rest.plain import plain
from services.orders.rest.problems import RESPONSES, add_problems
from services.orders.rest.statuses import NOT_PLACED, PLACEMENT_RESPONSES, placement_status, retry_after
from services.runtime.access.http import HttpAccess
from services.runtime.errors import NotFound, Unavailable
from services.runtime.exposition import Exposition
from services.runtime.refusal_pace import RefusalPace
from services.runtime.web import stream_refusal

OrderId = Annotated[str, Path(max_length=64)]
Text = Annotated[str, Query(max_length=64)]
TimeNs = Annotated[int, Query(ge=0, lt=1 << 63)]
PageSize = Annotated[int, Query(ge=0, description=f"0 means {PAGE}; more than {PAGE_MAX} means {PAGE_MAX}")]
Token = Annotated[str, Query(max_length=512)]
Ids = Annotated[list[Annotated[str, Query(max_length=64)]], Query(max_length=500)]

VERSION: Final = "1"
ALREADY: Final = "Midstream-Already"
ALREADY_HEADER: Final = {
    "description": "`true`: the order had these terms before, for instance because this is a repetition; nothing was sent",
    "schema": {"type": "string", "enum": ["true", "false"]},
}


def orders_app(
    desk: Desk,
    access: HttpAccess,
    signatures: SignedRequests,
    ports: Ports,
    *,
    registry: CollectorRegistry,
    docs: bool = True,
    pace: RefusalPace | None = None,
) -> RequestGate:
    """Return the ASGI application. `pace` is that of placements which it refuses because there are too many."""
    app = FastAPI(
        title="Midstream orders",
        version=VERSION,
        description="Places, amends, cancels and lists orders. Send `authorization: Bearer mk_...` with every request.",
        openapi_url="/openapi.json" if docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_problems(app)
    app.include_router(_orders(desk), responses=RESPONSES)
    app.include_router(_lists(desk, ports), responses=RESPONSES)
    app.include_router(_operations(desk, Exposition(registry)), responses=RESPONSES)
    describe(app)
    return RequestGate(app, access, signatures, desk.line, pace or RefusalPace())


def _caller(request: Request) -> Caller:
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


def _orders(desk: Desk) -> APIRouter:
    """Routes that change or return single orders."""
    router = APIRouter(tags=["orders"])

    @router.post(
        "/v1/orders",
        status_code=201,
        response_model=models.OrderView,
        responses=PLACEMENT_RESPONSES,
    )
    async def place(
        body: models.PlaceBody,
        request: Request,
        response: Response,
        idempotency_key: Annotated[str, Header(pattern=r"^[!-~]{1,128}$", description="Kept 24 hours")],
    ) -> dict[str, Any]:
        """Place one order. It is journalled before anything is sent; a lost answer gives state UNKNOWN, which is resolved by asking.

        The status tells what became of it: 201 placed, 202 unknown yet, 422 rejected by the exchange, 503 certainly not placed. The body
        is the order each time; a problem (application/problem+json) means that there is no order.
        """
        command = place_command(
            idempotency_key=idempotency_key,
            exchange=body.exchange,
            symbol=body.symbol,
            side=Side(body.side),
            type_=OrderType(body.type),
            quantity=body.quantity,
            price=body.price or "",
            time_in_force=TimeInForce(body.time_in_force) if body.time_in_force else None,
            post_only=body.post_only,
            reduce_only=body.reduce_only,
            client_order_id=body.client_order_id,
            valid_for_ms=body.valid_for_ms,
            resend_if_not_placed=body.resend_if_not_placed,
        )
        placed = await desk.place(command, _caller(request))
        response.status_code = placement_status(placed.order, repeated=placed.repeated)
        if response.status_code == NOT_PLACED:
            response.headers["Retry-After"] = retry_after(desk.placer.free_in_s(placed.order.exchange))
        response.headers["Location"] = f"/v1/orders/{placed.order.order_id}"
        return _order(desk, placed.order)

    @router.post("/v1/orders/cancel", response_model=models.CancelResultsView)
    async def cancel_many(body: models.CancelBody, request: Request) -> dict[str, Any]:
        """Cancel several orders, or all open ones of the caller, and tell what each has become."""
        results = await desk.cancel_many(
            _caller(request), order_ids=body.order_ids, all_=body.all, exchange=body.exchange, symbol=body.symbol
        )
        return {"results": [plain(messages.cancel_message(result, desk.venues.known_instrument)) for result in results]}

    @router.get("/v1/orders/active", response_model=models.ActiveView)
    async def active(request: Request, exchange: Text = "", symbol: Text = "") -> dict[str, Any]:
        """List orders that are not terminal, from memory, with the age and the source of what is known per exchange."""
        return {
            "orders": [
                _order(desk, order) for order in desk.active(_caller(request), exchange=exchange, symbol=symbol)
            ],
            "sources": [plain(messages.source_message(freshness)) for freshness in desk.sources(exchange)],
        }

    @router.get(
        "/v1/orders/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def events(
        request: Request,
        exchange: Text = "",
        symbol: Text = "",
        after_sequence: TimeNs = 0,
        last_event_id: Annotated[str, Header(max_length=20)] = "",
    ) -> StreamingResponse:
        """Send every change of the caller's orders as server-sent events. `Last-Event-ID` continues behind an event.

        An id that the journal has not reached gets an event `reset`, and continues with what comes; `after_sequence` gets 422.
        """
        caller = _caller(request)
        if last_event_id:
            if not last_event_id.isascii() or not last_event_id.isdecimal():
                raise denied(Reason.BAD_FIELD, "must be the id of an event", field="last-event-id")
            after_sequence = int(last_event_id)
        exchange, symbol = exchange_filter(exchange), symbol_filter(symbol)

        def wanted(order: Order) -> bool:
            return caller.wants(order, exchange=exchange, symbol=symbol)

        reset = None
        if last_event_id and sequence_filter(after_sequence) > (newest := await desk.feed.newest_sequence()):
            # A reader that came back by itself goes on, and is told; one that asks is refused.
            reset = Reset(asked=after_sequence, newest=newest)
            after_sequence = newest
        await desk.feed.check_place(after_sequence)
        if (refusal := stream_refusal(request.scope)) is not None:
            raise Unavailable(refusal)
        stream = order_events(desk, after_sequence=after_sequence, wanted=wanted, reset=reset)
        # nginx otherwise keeps events until its buffer is full.
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @router.get("/v1/orders/{order_id}", response_model=models.OrderView)
    async def get(order_id: OrderId, request: Request, refresh: bool = False) -> dict[str, Any]:
        """Return one order; with `refresh` after asking the exchange, if that answers."""
        return _order(desk, await desk.get(_caller(request), order_id=order_id, refresh=refresh))

    @router.patch(
        "/v1/orders/{order_id}",
        response_model=models.OrderView,
        responses={200: {"headers": {ALREADY: ALREADY_HEADER}}},
    )
    async def amend(order_id: OrderId, body: models.AmendBody, request: Request, response: Response) -> dict[str, Any]:
        """Set absolute quantity and price of an open LIMIT order, and wait until that is confirmed. Safe to repeat."""
        command = amend_command(
            order_id=order_id, quantity=body.quantity or "", price=body.price or "", valid_for_ms=body.valid_for_ms
        )
        amended = await desk.amend(command, _caller(request))
        response.headers[ALREADY] = "true" if amended.already else "false"
        return _order(desk, amended.order)

    @router.delete("/v1/orders/{order_id}", response_model=models.CancelledView)
    async def cancel(order_id: OrderId, request: Request) -> dict[str, Any]:
        """Cancel one order and wait until a terminal state was seen. FILLED is an outcome, not an error."""
        cancelled = await desk.cancel(order_id, _caller(request))
        cancelled.check_confirmed()
        result = plain(messages.cancel_message(cancelled, desk.venues.known_instrument))
        return {"order": result["order"], "filled_during_cancel": result["filled_during_cancel"]}

    @router.post("/v1/orders/{order_id}/settle", response_model=models.OrderView)
    async def settle(
        order_id: OrderId, body: models.SettleBody, request: Request, response: Response
    ) -> dict[str, Any]:
        """Settle an order that is UNKNOWN by an operator's word. What the exchange shows counts more than the word."""
        command = settle_command(
            order_id=order_id,
            not_there=body.not_there,
            exchange_order_id=body.exchange_order_id,
            reason=body.reason,
            evidence=body.evidence,
        )
        settled = await desk.settle(command, _caller(request))
        response.headers[ALREADY] = "true" if settled.already else "false"
        return _order(desk, settled.order)

    return router


def _lists(desk: Desk, ports: Ports) -> APIRouter:
    """Routes that return many of something."""
    router = APIRouter(tags=["lists"])

    @router.get("/v1/orders", response_model=models.OrderPage)
    async def orders(
        request: Request,
        order_id: Ids = [],  # noqa: B006  (read, never changed)
        client_order_id: Ids = [],  # noqa: B006
        exchange_order_id: Ids = [],  # noqa: B006
        state: Annotated[list[models.State], Query(max_length=8)] = [],  # noqa: B006
        created_from_time_ns: TimeNs = 0,
        created_to_time_ns: TimeNs = 0,
        exchange: Text = "",
        symbol: Text = "",
        page_size: PageSize = 0,
        page_token: Token = "",
    ) -> dict[str, Any]:
        """List orders that match everything given, oldest first, by pages."""
        created_from_ns, created_to_ns = period(
            "created_from_time_ns", created_from_time_ns, "created_to_time_ns", created_to_time_ns
        )
        wanted = OrderFilter(
            order_ids=order_id,
            client_order_ids=client_order_id,
            exchange_order_ids=exchange_order_id,
            created_from_ns=created_from_ns,
            created_to_ns=created_to_ns,
            states=[OrderState(one) for one in state],
            exchange=exchange,
            symbol=symbol,
        )
        page, more = await order_page(desk, _caller(request), wanted, size=page_size, token=page_token)
        return {"orders": [_order(desk, order) for order in page], "next_page_token": more}

    @router.get("/v1/fills", response_model=models.FillPage)
    async def fills(
        request: Request,
        order_id: Text = "",
        exchange: Text = "",
        symbol: Text = "",
        from_time_ns: TimeNs = 0,
        to_time_ns: TimeNs = 0,
        page_size: PageSize = 0,
        page_token: Token = "",
    ) -> dict[str, Any]:
        """List executions, oldest first, by pages."""
        from_ns, to_ns = period("from_time_ns", from_time_ns, "to_time_ns", to_time_ns)
        wanted = FillFilter(
            order_id=order_id,
            exchange=exchange,
            symbol=symbol,
            from_ns=from_ns,
            to_ns=to_ns,
        )
        page, more = await fill_page(desk, _caller(request), wanted, size=page_size, token=page_token)
        return {
            "fills": [plain(messages.fill_message(fill, desk.venues.known_instrument)) for fill in page],
            "next_page_token": more,
        }

    @router.get("/v1/positions", response_model=models.PositionsView)
    async def positions(exchange: Text = "") -> dict[str, Any]:
        """Return the positions that the exchanges last stated, with their age."""
        now_ns = ports.wall_ns()
        return {
            "positions": [
                plain(messages.position_message(key, held, now_ns, desk.venues.known_instrument))
                for key, held in desk.held(exchange)
            ]
        }

    @router.get("/v1/instruments", response_model=models.InstrumentsView)
    async def instruments(exchange: Text = "", base: Text = "", kind: Text = "") -> dict[str, Any]:
        """List what can be traded."""
        found = await desk.instruments(exchange=exchange, base=base, kind=kind)
        return {"instruments": [plain(messages.instrument_message(*one)) for one in found]}

    @router.get("/v1/prices/{symbol:path}", response_model=models.PriceView)
    async def price(symbol: Annotated[str, Path(max_length=64)], exchange: Text = "") -> dict[str, Any]:
        """Return the price of a symbol, by default of the first exchange that has it."""
        found = await desk.price(exchange, symbol)
        return {
            "exchange": found.exchange,
            "market": found.market,
            "symbol": found.symbol,
            "price": messages.text(found.price),
            "basis": found.basis,
            "source": found.source,
            "stale": found.stale,
            "event_time_ns": str(found.event_time_ns or 0),
            "receive_time_ns": str(found.receive_time_ns),
        }

    return router


def _operations(desk: Desk, exposition: Exposition) -> APIRouter:
    """Routes for whoever operates it."""
    router = APIRouter(tags=["operations"])

    @router.get("/v1/kill-switch", response_model=models.KillSwitchState)
    async def kill_switch() -> dict[str, Any]:
        """Tell whether trading is stopped, and what else keeps orders from going out."""
        return {
            "kill_switch": plain(messages.switch_message(desk.switch.row)),
            "mode": desk.options.mode.value,
            "blocked": desk.blocked(),
        }

    @router.put("/v1/kill-switch", response_model=models.KillSwitchView)
    async def set_kill_switch(body: models.SwitchBody, request: Request) -> dict[str, Any]:
        """Stop all new orders and amends, or allow them again. Cancels still pass."""
        return plain(messages.switch_message(await desk.set_switch(body.engaged, body.reason, _caller(request))))

    @router.get(
        "/v1/audit",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
    )
    async def audit(after_sequence: TimeNs = 0, order_id: Text = "") -> StreamingResponse:
        """Send journal events in order, one JSON object per line, up to the newest one."""

        # Before the status is sent.
        await desk.feed.check_place(after_sequence)

        async def lines() -> AsyncIterator[bytes]:
            async for kept in desk.audit(after_sequence=after_sequence, order_id=order_id):
                yield json.dumps(plain(messages.audit_message(kept))).encode() + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    @router.get("/health", response_model=models.HealthView)
    async def health(response: Response) -> dict[str, Any]:
        """Tell how the server is; 503 when it cannot do its work."""
        exchanges = [_exchange_health(desk, name) for name in desk.venues.names]
        trouble = desk.ledger.trouble
        well = all(one["reachable"] and not one["blocked"] for one in exchanges)
        response.status_code = 503 if trouble else 200
        return {
            "status": "down" if trouble else "ok" if well else "degraded",
            "mode": desk.options.mode.value,
            "kill_switch": desk.switch.engaged,
            "journal": trouble or "ok",
            "exchanges": exchanges,
        }

    @router.get("/health/{exchange}", response_model=models.ExchangeHealthView)
    async def exchange_health(exchange: Annotated[str, Path(max_length=32)]) -> dict[str, Any]:
        """Tell how one exchange is, as orders see it; reaches no exchange."""
        if exchange not in desk.venues.names:
            raise NotFound(f"there is no exchange {exchange[:32]!r}; there are {', '.join(desk.venues.names)}")
        return _exchange_health(desk, exchange)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics(accept: Annotated[str, Header(include_in_schema=False)] = "") -> Response:
        """Return the figures for Prometheus."""
        text, content_type = await exposition.text(accept)
        return Response(text, headers={"content-type": content_type})

    return router


def _exchange_health(desk: Desk, exchange: str) -> dict[str, Any]:
    freshness = plain(messages.source_message(desk.freshness.of(exchange)))
    return {**freshness, "blocked": desk.gate.blocked(exchange)}


def _order(desk: Desk, order: Order) -> dict[str, Any]:
    return plain(messages.order_message(order, desk.venues.known_instrument))
