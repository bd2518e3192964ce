"""Translate between protobuf messages and the desk's own types."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from clients.exchanges.endings import EndedBy
from clients.exchanges.model import Instrument
from clients.exchanges.trading import AmendWay, Capabilities, OrderType, Side, TimeInForce
from protos.orders.v1 import orders_pb2 as pb
from services.orders.domain import Order, OrderState
from services.orders.engine.changing import Cancelled
from services.orders.errors import Reason, denied
from services.orders.guards.positions import Held, Key
from services.orders.journal.codec import encode
from services.orders.journal.store import FillRow, Kept, SwitchRow
from services.orders.reconciliation.freshness import Freshness

KnownInstrument = Callable[[str, str], Instrument | None]
"""Instrument of an exchange by unified symbol, if it is known without asking anybody."""

SIDES = {pb.SIDE_BUY: Side.BUY, pb.SIDE_SELL: Side.SELL}
TYPES = {pb.ORDER_TYPE_MARKET: OrderType.MARKET, pb.ORDER_TYPE_LIMIT: OrderType.LIMIT}
TIMES = {
    pb.TIME_IN_FORCE_GTC: TimeInForce.GTC,
    pb.TIME_IN_FORCE_IOC: TimeInForce.IOC,
    pb.TIME_IN_FORCE_FOK: TimeInForce.FOK,
}
STATES = {getattr(pb, f"ORDER_STATE_{state.value}"): state for state in OrderState}

_AMEND_WAYS = {
    AmendWay.NONE: pb.AMEND_WAY_NONE,
    AmendWay.KEEPS_PLACE: pb.AMEND_WAY_KEEPS_PLACE,
    AmendWay.LOSES_PLACE: pb.AMEND_WAY_LOSES_PLACE,
    AmendWay.IN_PLACE: pb.AMEND_WAY_IN_PLACE,
    AmendWay.REPLACES: pb.AMEND_WAY_REPLACES,
}
_QUEUE_PLACES = {
    "": pb.QUEUE_PLACE_UNSPECIFIED,
    "kept": pb.QUEUE_PLACE_KEPT,
    "lost": pb.QUEUE_PLACE_LOST,
    "unknown": pb.QUEUE_PLACE_UNKNOWN,
}
_ENDED_BY = {cause: getattr(pb, f"ENDED_BY_{cause.name}") for cause in EndedBy}
_SIDE_OF = {value: key for key, value in SIDES.items()}
_TYPE_OF = {value: key for key, value in TYPES.items()}
_TIME_OF = {value: key for key, value in TIMES.items()}
_STATE_OF = {value: key for key, value in STATES.items()}


def text(value: Decimal | None) -> str:
    """Return a decimal as plain digits without trailing zeros; empty for None."""
    if value is None:
        return ""
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def states(values: list[int]) -> list[OrderState]:
    """Return the states of a filter; refuse what is none."""
    unknown = [value for value in values if value not in STATES]
    if unknown:
        legal = ", ".join(pb.OrderState.Name(value) for value in STATES)
        raise denied(Reason.BAD_FIELD, f"holds {unknown[0]}, legal are {legal}", field="states")
    return [STATES[pb.OrderState.ValueType(value)] for value in values]


def order_message(order: Order, known: KnownInstrument) -> pb.Order:
    """Return an order."""
    amending, instrument = order.amending, known(order.exchange, order.symbol)
    return pb.Order(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        exchange=order.exchange,
        market=order.market,
        symbol=order.symbol,
        exchange_symbol=order.exchange_symbol,
        side=_SIDE_OF[order.side],
        type=_TYPE_OF[order.type] if order.type is not None else pb.ORDER_TYPE_UNSPECIFIED,
        quantity=text(order.quantity),
        price=text(order.price),
        time_in_force=_TIME_OF[order.time_in_force]
        if order.time_in_force is not None
        else pb.TIME_IN_FORCE_UNSPECIFIED,
        post_only=order.post_only,
        reduce_only=order.reduce_only,
        state=_STATE_OF[order.state],
        filled_quantity=text(order.filled),
        average_price=text(order.average_price),
        exchange_order_id=order.exchange_order_id,
        venue_client_order_id=order.venue_client_order_id,
        venue_state=order.venue_state,
        reason=order.reason,
        create_time_ns=order.created_ns,
        update_time_ns=order.updated_ns,
        revision=order.revision,
        external=order.external,
        sending=order.sending,
        canceling=order.canceling,
        amending_quantity=text(amending.quantity) if amending is not None else "",
        amending_price=text(amending.price) if amending is not None else "",
        halted=order.halted,
        mode=order.mode.value,
        queue_place=_QUEUE_PLACES[order.queue_place],
        amend_problem=order.amend_problem,
        ended_by=_ENDED_BY[order.ended_by]
        if order.ended_by is not None and order.state.terminal
        else pb.ENDED_BY_UNSPECIFIED,
        quantity_base=_base(instrument, order.quantity, _order_price(order)),
        filled_quantity_base=_base(instrument, order.filled, order.average_price),
    )


def fill_message(fill: FillRow, known: KnownInstrument) -> pb.Fill:
    """Return an execution."""
    return pb.Fill(
        exchange=fill.exchange,
        market=fill.market,
        symbol=fill.symbol,
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        exchange_order_id=fill.exchange_order_id,
        side=_SIDE_OF[fill.side],
        quantity=text(fill.quantity),
        price=text(fill.price),
        fee=text(fill.fee),
        fee_currency=fill.fee_currency,
        trade_time_ns=fill.trade_time_ns,
        quantity_base=_base(known(fill.exchange, fill.symbol), fill.quantity, fill.price),
    )


def instrument_message(instrument: Instrument, capabilities: Capabilities) -> pb.Instrument:
    """Return an instrument with what its market can do to orders."""
    return pb.Instrument(
        exchange=instrument.exchange,
        market=instrument.market,
        symbol=instrument.symbol,
        exchange_symbol=instrument.exchange_symbol,
        kind=instrument.kind.value,
        payout=instrument.payout.value,
        base=instrument.base,
        quote=instrument.quote,
        settle=instrument.settle,
        price_tick=text(instrument.price_tick),
        lot_size=text(instrument.lot_size),
        quantity_min=text(instrument.quantity_min),
        quantity_max=text(instrument.quantity_max),
        notional_min=text(instrument.notional_min),
        contract_size=text(instrument.contract_size),
        expiry_time_ns=instrument.expiry_time_ns or 0,
        tradable=instrument.tradable,
        amend_price=_AMEND_WAYS[capabilities.amend_price],
        amend_quantity_up=_AMEND_WAYS[capabilities.amend_quantity_up],
        amend_quantity_down=_AMEND_WAYS[capabilities.amend_quantity_down],
        market_quantity_min=text(instrument.market_quantity_min),
        market_quantity_max=text(instrument.market_quantity_max),
        notional_max=text(instrument.notional_max),
        open_orders_max=instrument.open_orders_max or 0,
        lot_size_base=_base(instrument, instrument.lot_size, None),
        quantity_min_base=_base(instrument, instrument.quantity_min, None),
        quantity_max_base=_base(instrument, instrument.quantity_max, None),
    )


def cancel_message(cancelled: Cancelled, known: KnownInstrument) -> pb.CancelResult:
    """Return what became of a cancel."""
    return pb.CancelResult(
        order=order_message(cancelled.order, known) if cancelled.order is not None else None,
        confirmed=cancelled.confirmed,
        filled_during_cancel=text(cancelled.filled_during_cancel),
        order_id=cancelled.order_id,
        problem=cancelled.problem,
    )


def source_message(freshness: Freshness) -> pb.ActiveSource:
    """Return how fresh an exchange's orders are."""
    return pb.ActiveSource(
        exchange=freshness.exchange,
        source=freshness.source,
        age_ms=freshness.age_ms,
        reachable=freshness.reachable,
        problem=freshness.problem,
    )


def position_message(key: Key, held: Held, now_ns: int, known: KnownInstrument) -> pb.Position:
    """Return a position."""
    exchange, market, symbol = key
    return pb.Position(
        exchange=exchange,
        market=market,
        symbol=symbol,
        quantity=text(held.quantity),
        entry_price=text(held.entry_price),
        age_ms=(now_ns - held.stated_ns) // 1_000_000 if held.stated_ns else -1,
        quantity_base=_base(known(exchange, symbol), held.quantity, held.entry_price),
    )


def switch_message(row: SwitchRow) -> pb.KillSwitch:
    """Return the kill switch."""
    return pb.KillSwitch(engaged=row.engaged, reason=row.reason, actor=row.actor, changed_time_ns=row.at_ns)


def audit_message(kept: Kept) -> pb.AuditEvent:
    """Return a journal event."""
    event = kept.event
    return pb.AuditEvent(
        sequence=kept.sequence,
        order_id=event.order_id,
        revision=event.revision,
        time_ns=event.at_ns,
        kind=event.kind,
        cause=event.cause.value,
        correlation_id=event.correlation_id,
        actor=event.actor,
        body_json=encode(event.body),
        raw=event.raw,
    )


def _order_price(order: Order) -> Decimal | None:
    """Return the price at which an order is worth its quantity; of a MARKET order that is known when all of it is executed."""
    if order.price is not None:
        return order.price
    return order.average_price if order.state is OrderState.FILLED else None


def _base(instrument: Instrument | None, quantity: Decimal | None, price: Decimal | None) -> str:
    if instrument is None or quantity is None:
        return ""
    return text(instrument.base_quantity(quantity, price))
