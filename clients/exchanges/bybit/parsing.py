"""Rows about orders, executions and positions as our values, the same over REST and websocket."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from clients.exchanges.bybit.markets import NAME, Market
from clients.exchanges.bybit.rows import Row, number, positive, time_ns, word
from clients.exchanges.errors import Sent
from clients.exchanges.exact_json import MalformedAnswer, to_decimal, to_word
from clients.exchanges.model import Payout
from clients.exchanges.trading import EndedBy, Fill, OrderReport, OrderType, Position, Side, TimeInForce, VenueState

_SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
_TYPES: Final = {"Market": OrderType.MARKET, "Limit": OrderType.LIMIT}
_LIVES: Final = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    # They rest like GTC; the second is for makers whose orders only people see.
    "PostOnly": TimeInForce.GTC,
    "RPI": TimeInForce.GTC,
}
_OPEN: Final = frozenset({"New", "Untriggered", "Triggered", "Created", "Active", "PendingCancel", "PartiallyFilled"})
_CLOSED: Final = {
    "Filled": VenueState.FILLED,
    "Cancelled": VenueState.CANCELED,
    "PartiallyFilledCanceled": VenueState.CANCELED,
    "Deactivated": VenueState.CANCELED,
    "Rejected": VenueState.REJECTED,
}
_NO_REASON: Final = frozenset({"", "UNKNOWN", "EC_NoError"})
_CAUSES: Final = {
    "EC_PostOnlyWillTakeLiquidity": EndedBy.POST_ONLY,
    "EC_NoImmediateQtyToFill": EndedBy.TIME_IN_FORCE,
    "EC_CancelForNoFullFill": EndedBy.TIME_IN_FORCE,
    "EC_NoEnoughQtyToFill": EndedBy.TIME_IN_FORCE,
    "CancelByReduceOnly": EndedBy.REDUCE_ONLY,
    "CancelByPrepareLiq": EndedBy.LIQUIDATION,
    "CancelAllBeforeLiq": EndedBy.LIQUIDATION,
    "CancelByPrepareAdl": EndedBy.DELEVERAGING,
    "CancelAllBeforeAdl": EndedBy.DELEVERAGING,
    "CancelBySettle": EndedBy.DELISTING,
    "CancelBySmp": EndedBy.SELF_TRADE,
    "CancelByAdmin": EndedBy.EXCHANGE,
}
"""Words of `rejectReason` and `cancelType`, in this order."""
_CREATED: Final = {
    "CreateByLiq": EndedBy.LIQUIDATION,
    "CreateByTakeOver_PassThrough": EndedBy.LIQUIDATION,
    "CreateByAdl_PassThrough": EndedBy.DELEVERAGING,
    "CreateBySettle": EndedBy.DELISTING,
    "CreateByAdminClosing": EndedBy.EXCHANGE,
}
"""`createType` of the orders with which the exchange closes a position."""
_TRADES: Final = {
    "Trade": None,
    "AdlTrade": EndedBy.DELEVERAGING,
    "BustTrade": EndedBy.LIQUIDATION,
    "Delivery": EndedBy.DELISTING,
}
"""Executions of orders, the exchange's own among them. The list has funding, settlements and transfers, too, which are none.

What is delivered is among the executions alone: the exchange shows no order that it belongs to.
"""
OWN_EXECUTIONS: Final = tuple(type_ for type_, cause in _TRADES.items() if cause is not None)
"""Types of executions of the exchange's own orders, which may not be shown themselves."""

SIDE_WORDS: Final = {ours: theirs for theirs, ours in _SIDES.items()}
TYPE_WORDS: Final = {ours: theirs for theirs, ours in _TYPES.items()}


def parse_order(
    market: Market, symbol: str, row: Row, *, source: str, raw: bytes = b"", sent: Sent | None = None
) -> OrderReport:
    """Return a row as a statement. `symbol` is the unified one.

    What is executed stands in `cumExecQty`, whatever the state: one that was cancelled or rejected may have been executed in part.
    """
    raw_state = to_word(row, "orderStatus")
    filled = number(row, "cumExecQty")
    type_ = _TYPES.get(word(row, "orderType"))
    in_quote = _counts_quote(market, row)
    return OrderReport(
        exchange=NAME,
        market=market.name,
        symbol=symbol,
        exchange_order_id=to_word(row, "orderId"),
        client_order_id=word(row, "orderLinkId"),
        state=_state(raw_state, filled, word(row, "marketUnit") == "quoteCoin"),
        raw_state=raw_state,
        side=_side(row),
        type=type_,
        quantity=None if in_quote else positive(row, "qty"),
        # That of a market order is the bound that it was given.
        price=None if type_ is OrderType.MARKET else positive(row, "price"),
        filled_quantity=filled,
        average_price=_average(market, row, filled),
        update_time_ns=time_ns(row, "updatedTime"),
        create_time_ns=time_ns(row, "createdTime"),
        time_in_force=_LIVES.get(word(row, "timeInForce")),
        reason=_reason(row, raw_state),
        source=source,
        raw=raw,
        sent=sent,
        ended_by=_ended_by(row, raw_state),
        price_may_move=market.futures and type_ is OrderType.LIMIT,
    )


def parse_execution(
    market: Market, symbol: str, settle: str, row: Row, *, source: str = "stream", raw: bytes = b""
) -> OrderReport | None:
    """Return a row of executions as a statement about its order; None where it is none of an order.

    It does not say what state the order is in: the order's own row does, before or after it. Of the exchange's own orders there may be
    no other row, so one that leaves nothing open is their end.
    """
    fill = parse_fill(market, symbol, settle, row)
    if fill is None:
        return None
    type_ = _TYPES.get(word(row, "orderType"))
    cause = _TRADES[word(row, "execType")] or _CREATED.get(word(row, "createType"))
    over = cause is not None and number(row, "leavesQty") == 0
    return OrderReport(
        exchange=NAME,
        market=market.name,
        symbol=symbol,
        exchange_order_id=fill.exchange_order_id,
        client_order_id=fill.client_order_id,
        state=VenueState.FILLED if over else VenueState.PARTIALLY_FILLED,
        raw_state=word(row, "execType"),
        side=fill.side,
        type=type_,
        quantity=None if _counts_quote(market, row) else positive(row, "orderQty"),
        price=None if type_ is OrderType.MARKET else positive(row, "orderPrice"),
        filled_quantity=None,
        average_price=None,
        update_time_ns=fill.trade_time_ns,
        fill=fill,
        source=source,
        raw=raw,
        ended_by=cause if over else None,
        price_may_move=market.futures and type_ is OrderType.LIMIT,
    )


def is_own(row: Row) -> bool:
    """Whether a row is an execution of an order that nobody but the exchange has placed."""
    return row.get("execType") in OWN_EXECUTIONS


def parse_fill(market: Market, symbol: str, settle: str, row: Row) -> Fill | None:
    """Return an execution; None for a row that is none of an order. A fee that was received is negative."""
    if row.get("execType") not in _TRADES or (is_own(row) and word(row, "side") not in _SIDES):
        return None
    executed_ns = time_ns(row, "execTime")
    if executed_ns is None:
        raise MalformedAnswer("`execTime` is missing")
    return Fill(
        exchange=NAME,
        market=market.name,
        symbol=symbol,
        trade_id=to_word(row, "execId"),
        exchange_order_id=to_word(row, "orderId"),
        client_order_id=word(row, "orderLinkId"),
        side=_side(row),
        quantity=to_decimal(row.get("execQty"), "execQty"),
        price=to_decimal(row.get("execPrice"), "execPrice"),
        fee=number(row, "execFee"),
        # Contracts pay in what they settle in; spot pays in what it buys, or not: only the row knows.
        fee_currency=word(row, "feeCurrency") or settle,
        trade_time_ns=executed_ns,
    )


def parse_position(market: Market, symbol: str, row: Row) -> Position | None:
    """Return a row of positions; None where nothing is held. Sizes have no sign, and a flat one no side."""
    size = number(row, "size")
    if not size:
        return None
    return Position(
        exchange=NAME,
        market=market.name,
        symbol=symbol,
        quantity=size if _side(row) is Side.BUY else -size,
        entry_price=positive(row, "avgPrice"),
    )


def newest(reports: Iterable[OrderReport]) -> OrderReport | None:
    """Return the statement to believe of several about one order: the later one, then the one with more executed, then the end."""
    return max(
        reports,
        key=lambda report: (report.update_time_ns or 0, report.filled_quantity or Decimal(0), report.state.terminal),
        default=None,
    )


def _state(raw: str, filled: Decimal | None, in_quote: bool) -> VenueState:
    if raw == "PartiallyFilledCanceled" and in_quote:
        # An amount of money was spent but for some cents: that is all that was wanted.
        return VenueState.FILLED
    if raw in _CLOSED:
        return _CLOSED[raw]
    if raw not in _OPEN:
        raise MalformedAnswer(f"`orderStatus` is not known: {raw[:32]!r}")
    return VenueState.PARTIALLY_FILLED if raw == "PartiallyFilled" or filled else VenueState.NEW


def _counts_quote(market: Market, row: Row) -> bool:
    """Whether a quantity may be an amount of the quote currency: market buys of spot are, unless they say otherwise."""
    if market.futures or word(row, "orderType") != "Market":
        return False
    unit = word(row, "marketUnit")
    return unit == "quoteCoin" or (unit != "baseCoin" and word(row, "side") == "Buy")


def _average(market: Market, row: Row, filled: Decimal | None) -> Decimal | None:
    stated, value = positive(row, "avgPrice"), positive(row, "cumExecValue")
    if stated is not None or value is None or not filled:
        return stated
    # The value of inverse contracts is in coins.
    return filled / value if market.payout is Payout.INVERSE else value / filled


def _reason(row: Row, raw_state: str) -> str:
    """Return why it ended without being filled. Of an order that a cancel came too late for, the words are about that cancel."""
    if _CLOSED.get(raw_state) in (None, VenueState.FILLED):
        return ""
    words = [said for name in ("rejectReason", "cancelType") if (said := word(row, name)) not in _NO_REASON]
    return ", ".join(words)[:200]


def _ended_by(row: Row, raw_state: str) -> EndedBy | None:
    if raw_state not in _CLOSED:
        return None
    cause = _CREATED.get(word(row, "createType"))
    if cause is not None or _CLOSED[raw_state] is VenueState.FILLED:
        # One that was executed completely has a cause where it is the exchange's own; of others, the words are about a late cancel.
        return cause
    said = [_CAUSES.get(word(row, name)) for name in ("rejectReason", "cancelType")]
    return next((cause for cause in said if cause is not None), None)


def _side(row: Row) -> Side:
    side = _SIDES.get(word(row, "side"))
    if side is None:
        raise MalformedAnswer(f"`side` is not known: {str(row.get('side'))[:16]!r}")
    return side
