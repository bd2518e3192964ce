"""The gRPC face: translates messages, decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc

from clients.exchanges.model import Instrument
from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceServicer
from services.orders import messages
from services.orders.auth import current_caller
from services.orders.desk import Desk
from services.orders.domain import Order
from services.orders.engine.changing import WAIT_S
from services.orders.engine.commands import amend_command, place_command, settle_command
from services.orders.errors import Reason, denied
from services.orders.filters import exchange_filter, period, symbol_filter
from services.orders.journal.store import FillFilter, OrderFilter
from services.orders.pages import fill_page, order_page
from services.orders.ports import Ports
from services.runtime.errors import DeadlineExceeded, MidstreamError, Unavailable

Context = grpc.aio.ServicerContext[Any, Any]

IDS_MAX: Final = 500
REASON_CHARACTERS_MAX: Final = 500
ANSWER_MARGIN_S: Final = 0.1
"""What is left of a caller's deadline for the answer itself."""
LEFT_S_MIN: Final = 0.005
"""Work for a caller with less time than this is not begun."""


class OrdersServicer(OrderServiceServicer):
    """One per server. `desk` is set once it has started; calls before that are told to come again."""

    def __init__(self, ports: Ports) -> None:
        self.desk: Desk | None = None
        self._ports = ports

    @property
    def _desk(self) -> Desk:
        if self.desk is None:
            raise Unavailable("the desk is starting; try again")
        return self.desk

    def _known(self, exchange: str, symbol: str) -> Instrument | None:
        return self._desk.venues.known_instrument(exchange, symbol)

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: Context) -> pb.PlaceOrderResponse:
        _check_deadline(context)
        command = place_command(
            idempotency_key=request.idempotency_key,
            exchange=request.exchange,
            symbol=request.symbol,
            side=messages.SIDES.get(request.side),
            type_=messages.TYPES.get(request.type),
            quantity=request.quantity,
            price=request.price,
            time_in_force=messages.TIMES.get(request.time_in_force),
            post_only=request.post_only,
            reduce_only=request.reduce_only,
            client_order_id=request.client_order_id,
            valid_for_ms=request.valid_for_ms,
            resend_if_not_placed=request.resend_if_not_placed,
        )
        if request.time_in_force not in (pb.TIME_IN_FORCE_UNSPECIFIED, *messages.TIMES):
            raise denied(
                Reason.BAD_FIELD, f"is {request.time_in_force}, legal are GTC, IOC, FOK", field="time_in_force"
            )
        left_s = context.time_remaining()
        deadline_ns = None if left_s is None else self._ports.monotonic_ns() + round(left_s * 1e9)
        placed = await self._desk.place(command, current_caller(), deadline_ns=deadline_ns)
        return pb.PlaceOrderResponse(order=messages.order_message(placed.order, self._known), repeated=placed.repeated)

    async def AmendOrder(self, request: pb.AmendOrderRequest, context: Context) -> pb.AmendOrderResponse:
        _check_deadline(context)
        command = amend_command(
            order_id=request.order_id,
            quantity=request.quantity,
            price=request.price,
            valid_for_ms=request.valid_for_ms,
        )
        amended = await self._desk.amend(command, current_caller(), wait_s=_wait_s(context))
        return pb.AmendOrderResponse(order=messages.order_message(amended.order, self._known), already=amended.already)

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Context) -> pb.CancelOrderResponse:
        _check_deadline(context)
        cancelled = await self._desk.cancel(request.order_id, current_caller(), wait_s=_wait_s(context))
        cancelled.check_confirmed()
        result = messages.cancel_message(cancelled, self._known)
        return pb.CancelOrderResponse(order=result.order, filled_during_cancel=result.filled_during_cancel)

    async def CancelOrders(self, request: pb.CancelOrdersRequest, context: Context) -> pb.CancelOrdersResponse:
        _check_deadline(context)
        _check_count("order_ids", len(request.order_ids))
        results = await self._desk.cancel_many(
            current_caller(),
            order_ids=tuple(request.order_ids),
            all_=request.all,
            exchange=request.exchange,
            symbol=request.symbol,
            wait_s=_wait_s(context),
        )
        return pb.CancelOrdersResponse(results=[messages.cancel_message(result, self._known) for result in results])

    async def SettleOrder(self, request: pb.SettleOrderRequest, context: Context) -> pb.SettleOrderResponse:
        command = settle_command(
            order_id=request.order_id,
            not_there=request.not_there,
            exchange_order_id=request.exchange_order_id,
            reason=request.reason,
            evidence=request.evidence,
        )
        settled = await self._desk.settle(command, current_caller())
        return pb.SettleOrderResponse(order=messages.order_message(settled.order, self._known), already=settled.already)

    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.GetOrderResponse:
        order = await self._desk.get(
            current_caller(),
            order_id=request.order_id,
            client_order_id=request.client_order_id,
            exchange_order_id=request.exchange_order_id,
            exchange=request.exchange,
            refresh=request.refresh,
        )
        return pb.GetOrderResponse(order=messages.order_message(order, self._known))

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        for field in ("order_ids", "client_order_ids", "exchange_order_ids"):
            _check_count(field, len(getattr(request, field)))
        created_from_ns, created_to_ns = period(
            "created_from_time_ns", request.created_from_time_ns, "created_to_time_ns", request.created_to_time_ns
        )
        wanted = OrderFilter(
            order_ids=tuple(request.order_ids),
            client_order_ids=tuple(request.client_order_ids),
            exchange_order_ids=tuple(request.exchange_order_ids),
            created_from_ns=created_from_ns,
            created_to_ns=created_to_ns,
            states=messages.states(list(request.states)),
            exchange=request.exchange,
            symbol=request.symbol,
        )
        page, more = await order_page(
            self._desk, current_caller(), wanted, size=request.page_size, token=request.page_token
        )
        return pb.ListOrdersResponse(
            orders=[messages.order_message(order, self._known) for order in page], next_page_token=more
        )

    async def ListActiveOrders(
        self, request: pb.ListActiveOrdersRequest, context: Context
    ) -> pb.ListActiveOrdersResponse:
        orders = self._desk.active(current_caller(), exchange=request.exchange, symbol=request.symbol)
        return pb.ListActiveOrdersResponse(
            orders=[messages.order_message(order, self._known) for order in orders],
            sources=[messages.source_message(freshness) for freshness in self._desk.sources(request.exchange)],
        )

    async def WatchOrders(
        self, request: pb.WatchOrdersRequest, context: Context
    ) -> AsyncIterator[pb.WatchOrdersResponse]:
        caller = current_caller()
        exchange, symbol = exchange_filter(request.exchange), symbol_filter(request.symbol)

        def wanted(order: Order) -> bool:
            return caller.wants(order, exchange=exchange, symbol=symbol)

        await self._desk.feed.check_place(request.after_sequence)
        async for seen in self._desk.feed.watch(after_sequence=request.after_sequence, wanted=wanted):
            yield pb.WatchOrdersResponse(
                sequence=seen.sequence,
                order=messages.order_message(seen.order, self._known),
                kind=seen.kind,
                cause=seen.cause,
            )

    async def ListInstruments(self, request: pb.ListInstrumentsRequest, context: Context) -> pb.ListInstrumentsResponse:
        found = await self._desk.instruments(exchange=request.exchange, base=request.base, kind=request.kind)
        return pb.ListInstrumentsResponse(instruments=[messages.instrument_message(*one) for one in found])

    async def ListPositions(self, request: pb.ListPositionsRequest, context: Context) -> pb.ListPositionsResponse:
        now_ns = self._ports.wall_ns()
        held = self._desk.held(request.exchange)
        return pb.ListPositionsResponse(
            positions=[messages.position_message(key, one, now_ns, self._known) for key, one in held]
        )

    async def ListFills(self, request: pb.ListFillsRequest, context: Context) -> pb.ListFillsResponse:
        from_ns, to_ns = period("from_time_ns", request.from_time_ns, "to_time_ns", request.to_time_ns)
        wanted = FillFilter(
            order_id=request.order_id,
            exchange=request.exchange,
            symbol=request.symbol,
            from_ns=from_ns,
            to_ns=to_ns,
        )
        page, more = await fill_page(
            self._desk, current_caller(), wanted, size=request.page_size, token=request.page_token
        )
        return pb.ListFillsResponse(
            fills=[messages.fill_message(fill, self._known) for fill in page], next_page_token=more
        )

    async def SetKillSwitch(self, request: pb.SetKillSwitchRequest, context: Context) -> pb.SetKillSwitchResponse:
        if len(request.reason) > REASON_CHARACTERS_MAX:
            raise denied(Reason.BAD_FIELD, f"must have at most {REASON_CHARACTERS_MAX} characters", field="reason")
        row = await self._desk.set_switch(request.engaged, request.reason, current_caller())
        return pb.SetKillSwitchResponse(kill_switch=messages.switch_message(row))

    async def GetKillSwitch(self, request: pb.GetKillSwitchRequest, context: Context) -> pb.GetKillSwitchResponse:
        return pb.GetKillSwitchResponse(
            kill_switch=messages.switch_message(self._desk.switch.row),
            mode=self._desk.options.mode.value,
            blocked=self._desk.blocked(),
        )

    async def ExportAudit(
        self, request: pb.ExportAuditRequest, context: Context
    ) -> AsyncIterator[pb.ExportAuditResponse]:
        async for kept in self._desk.audit(after_sequence=request.after_sequence, order_id=request.order_id):
            yield pb.ExportAuditResponse(event=messages.audit_message(kept))


class DeskRoom:
    """Whether another placement has room; before the desk has started, its servicer tells so."""

    def __init__(self, servicer: OrdersServicer) -> None:
        self._servicer = servicer

    def refusal(self) -> MidstreamError | None:
        """Return what a placement is told for which there is no place; None while there is one."""
        desk = self._servicer.desk
        return None if desk is None else desk.line.refusal()

    def refused(self, error: MidstreamError) -> None:
        """Count a call that was told so."""
        if self._servicer.desk is not None:
            self._servicer.desk.line.refused(error)

    def coming(self) -> Callable[[], object]:
        """Count a call that is on its way to a place; return what ends that."""
        desk = self._servicer.desk
        return (lambda: None) if desk is None else desk.line.coming()


def _check_count(field: str, count: int) -> None:
    if count > IDS_MAX:
        raise denied(Reason.BAD_FIELD, f"must hold at most {IDS_MAX} ids (got {count})", field=field)


def _check_deadline(context: Context) -> None:
    """Begin nothing for a caller who is gone by the time it is done."""
    left_s = context.time_remaining()
    if left_s is not None and left_s < LEFT_S_MIN:
        raise DeadlineExceeded("the deadline has passed; nothing was done")


def _wait_s(context: Context) -> float:
    left_s = context.time_remaining()
    return WAIT_S if left_s is None else max(min(left_s - ANSWER_MARGIN_S, WAIT_S), 0.0)
