"""Answers of Binance as our values. Fields are found by name; unknown ones are ignored, missing ones are MalformedAnswer."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.binance.endings import NO_REASON, ended_by
from clients.exchanges.binance.markets import NAME
from clients.exchanges.exact_json import MalformedAnswer, to_decimal, to_int
from clients.exchanges.model import Instrument, Price, Quote
from clients.exchanges.trading import Fill, OrderReport, OrderType, Position, Side, TimeInForce, VenueState

_STATES: Final[Mapping[str, VenueState]] = {
    "NEW": VenueState.NEW,
    "PENDING_NEW": VenueState.NEW,
    "PARTIALLY_FILLED": VenueState.PARTIALLY_FILLED,
    "FILLED": VenueState.FILLED,
    # Liquidation and auto-deleveraging orders of the futures stream: executions, under names of their own.
    "NEW_ADL": VenueState.FILLED,
    "NEW_INSURANCE": VenueState.FILLED,
    "CANCELED": VenueState.CANCELED,
    "PENDING_CANCEL": VenueState.NEW,
    "REJECTED": VenueState.REJECTED,
    "EXPIRED": VenueState.EXPIRED,
    "EXPIRED_IN_MATCH": VenueState.EXPIRED,
}
_TYPES: Final[Mapping[str, OrderType]] = {
    "LIMIT": OrderType.LIMIT,
    "LIMIT_MAKER": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
}
_TIMES_IN_FORCE: Final[Mapping[str, TimeInForce]] = {
    "GTC": TimeInForce.GTC,
    "GTX": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
}
_AT_ONCE_NS: Final = 1_000_000_000
"""An order that ended later after it was placed has rested."""


def state_of(raw: str, filled_quantity: Decimal | None = None) -> VenueState:
    """Return our word for the exchange's; a word nobody knows is MalformedAnswer, never a guess."""
    if raw not in _STATES:
        raise MalformedAnswer(f"an order's status is {raw[:32]!r}")
    state = _STATES[raw]
    if state is VenueState.NEW and filled_quantity is not None and filled_quantity > 0:
        return VenueState.PARTIALLY_FILLED
    return state


def order_type_of(raw: object) -> OrderType | None:
    """Return LIMIT or MARKET; None for the types that this API does not place."""
    return _TYPES.get(str(raw))


def time_in_force_of(raw: object) -> TimeInForce | None:
    """Return our word; None for what this API does not use. Post-only (GTX) rests like GTC."""
    return _TIMES_IN_FORCE.get(str(raw))


def parse_quote(instrument: Instrument, payload: Any, receive_time_ns: int) -> Quote:
    """Return best bid and ask from a bookTicker answer; COIN-M answers with a list."""
    row = _row(instrument, payload)
    bid_price, bid_quantity = _side(row, "bidPrice", "bidQty")
    ask_price, ask_quantity = _side(row, "askPrice", "askQty")
    return Quote(
        exchange=NAME,
        market=instrument.market,
        symbol=instrument.symbol,
        bid_price=bid_price,
        bid_quantity=bid_quantity,
        ask_price=ask_price,
        ask_quantity=ask_quantity,
        event_time_ns=_time_ns(row, "time"),
        receive_time_ns=receive_time_ns,
        update_id=to_int(row["lastUpdateId"], "lastUpdateId") if "lastUpdateId" in row else None,
    )


def parse_last_price(instrument: Instrument, payload: Any, receive_time_ns: int) -> Price:
    """Return the price of the last trade from a ticker/price answer."""
    row = _row(instrument, payload)
    return Price(
        exchange=NAME,
        market=instrument.market,
        symbol=instrument.symbol,
        price=to_decimal(field_of(row, "price"), "price"),
        basis="last",
        event_time_ns=_time_ns(row, "time"),
        receive_time_ns=receive_time_ns,
        source="rest",
    )


def parse_order(
    market: str, symbol: str, row: Any, *, source: str = "answer", cancel: bool = False, raw: bytes = b""
) -> OrderReport:
    """Return an order from the answer to placing, amending, cancelling or asking.

    `cancel`: a spot cancel answers with the cancel's own id in `clientOrderId` and the order's in `origClientOrderId`.
    Quantities that an acknowledgement leaves out stay None.
    """
    row = _mapping(row)
    filled = _optional(row, "executedQty")
    raw_state = str(field_of(row, "status"))
    client_id = row.get("origClientOrderId") if cancel and row.get("origClientOrderId") else row.get("clientOrderId")
    price = _optional(row, "price")
    update_time_ns, create_time_ns = _time_ns(row, "updateTime", "transactTime", "time"), _time_ns(row, "time")
    reason = str(row.get("expiryReason") or "")
    return OrderReport(
        exchange=NAME,
        market=market,
        symbol=symbol,
        exchange_order_id=str(to_int(field_of(row, "orderId"), "orderId")),
        client_order_id=str(client_id or ""),
        state=state_of(raw_state, filled),
        raw_state=raw_state,
        side=_side_of(row),
        type=order_type_of(row.get("origType", row.get("type"))),
        quantity=_optional(row, "origQty", "qty"),
        price=price if price else None,
        filled_quantity=filled,
        average_price=_average(row, filled),
        update_time_ns=update_time_ns,
        create_time_ns=create_time_ns,
        time_in_force=time_in_force_of(row.get("timeInForce")),
        reason="" if reason in NO_REASON else reason,
        source=source,
        raw=raw,
        ended_by=ended_by(
            raw_state,
            client_order_id=str(client_id or ""),
            reason=reason,
            time_in_force=row.get("timeInForce"),
            filled=filled,
            rested=update_time_ns is not None
            and create_time_ns is not None
            and update_time_ns - create_time_ns > _AT_ONCE_NS,
        ),
    )


def parse_fill(market: str, symbol: str, row: Any) -> Fill:
    """Return one of our own trades; spot says `isBuyer`, futures `side`."""
    row = _mapping(row)
    side = _side_of(row) if "side" in row else (Side.BUY if field_of(row, "isBuyer") is True else Side.SELL)
    fee = _optional(row, "commission")
    return Fill(
        exchange=NAME,
        market=market,
        symbol=symbol,
        trade_id=str(to_int(field_of(row, "id"), "id")),
        exchange_order_id=str(to_int(field_of(row, "orderId"), "orderId")),
        client_order_id="",
        side=side,
        quantity=to_decimal(field_of(row, "qty"), "qty"),
        price=to_decimal(field_of(row, "price"), "price"),
        fee=fee,
        fee_currency=str(row.get("commissionAsset") or ""),
        trade_time_ns=to_int(field_of(row, "time"), "time") * 1_000_000,
    )


def parse_position(market: str, symbol: str, row: Any) -> Position:
    """Return one row of the position list; in hedge mode there is one per direction, signed already."""
    row = _mapping(row)
    entry = _optional(row, "entryPrice")
    return Position(
        exchange=NAME,
        market=market,
        symbol=symbol,
        quantity=to_decimal(field_of(row, "positionAmt"), "positionAmt"),
        entry_price=entry if entry else None,
    )


def held_rows(payload: Any) -> list[Mapping[str, Any]]:
    """Return the rows of a position list that hold something: it has one for every symbol."""
    return [row for row in rows_of(payload) if to_decimal(field_of(row, "positionAmt"), "positionAmt")]


def rows_of(payload: Any) -> list[Mapping[str, Any]]:
    """Return a list of objects."""
    if not isinstance(payload, list):
        raise MalformedAnswer("the answer is not a list")
    return [_mapping(row) for row in payload]


def server_time_ms(payload: Any) -> int:
    """Return the time of a `time` answer."""
    return to_int(field_of(_mapping(payload), "serverTime"), "serverTime")


def _average(row: Mapping[str, Any], filled: Decimal | None) -> Decimal | None:
    """Return the average price: futures state it (0 when unknown), spot gives the value that was traded."""
    stated = _optional(row, "avgPrice")
    if stated:
        return stated
    value = _optional(row, "cummulativeQuoteQty", "cumulativeQuoteQty")
    # A negative value is the exchange's way to say that it does not know (very old orders).
    return value / filled if value is not None and value > 0 and filled else None


def _row(instrument: Instrument, payload: Any) -> Mapping[str, Any]:
    rows = payload if isinstance(payload, list) else [payload]
    for row in rows:
        if _mapping(row).get("symbol") == instrument.exchange_symbol:
            return _mapping(row)
    raise MalformedAnswer(f"the answer does not speak of {instrument.exchange_symbol}")


def _side(row: Mapping[str, Any], price_key: str, quantity_key: str) -> tuple[Decimal | None, Decimal | None]:
    price = to_decimal(field_of(row, price_key), price_key)
    quantity = to_decimal(field_of(row, quantity_key), quantity_key)
    return (price, quantity) if price or quantity else (None, None)


def _side_of(row: Mapping[str, Any]) -> Side:
    raw = str(field_of(row, "side"))
    if raw not in ("BUY", "SELL"):
        raise MalformedAnswer(f"an order's side is {raw[:16]!r}")
    return Side(raw)


def _time_ns(row: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        if row.get(key) is not None:
            return to_int(row[key], key) * 1_000_000
    return None


def _optional(row: Mapping[str, Any], *keys: str) -> Decimal | None:
    for key in keys:
        if row.get(key) is not None:
            return to_decimal(row[key], key)
    return None


def field_of(row: Any, key: str) -> Any:
    """Return a field that has to be there."""
    if key not in _mapping(row):
        raise MalformedAnswer(f"`{key}` is missing")
    return row[key]


def _mapping(row: Any) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise MalformedAnswer("the answer is not an object")
    return row
