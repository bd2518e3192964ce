"""Rows of BitMEX's tables, the same over REST and websocket, as ours."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.bitmex.instruments import EXCHANGE, MARKET
from clients.exchanges.bitmex.units import currency, money, time_ns
from clients.exchanges.endings import EndedBy
from clients.exchanges.errors import Sent
from clients.exchanges.exact_json import MalformedAnswer, to_decimal, to_word
from clients.exchanges.model import Instrument, Quote
from clients.exchanges.trading import Fill, OrderReport, OrderType, Position, Side, TimeInForce, VenueState

_SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
_TYPES: Final = {"Market": OrderType.MARKET, "Limit": OrderType.LIMIT}
_LIVES: Final = {
    "GoodTillCancel": TimeInForce.GTC,
    "ImmediateOrCancel": TimeInForce.IOC,
    "FillOrKill": TimeInForce.FOK,
}
_OPEN: Final = frozenset(
    {"New", "PendingNew", "PendingReplace", "PendingCancel", "Untriggered", "Triggered", "PartiallyFilled"}
)
_CLOSED: Final = {
    "Filled": VenueState.FILLED,
    "Canceled": VenueState.CANCELED,
    "Rejected": VenueState.REJECTED,
    "Expired": VenueState.EXPIRED,
    "Stopped": VenueState.EXPIRED,
    "DoneForDay": VenueState.EXPIRED,
}
"""The last two stand in the vocabulary only; nobody has seen them."""

_CAUSES: Final = {
    "timeInForce": EndedBy.TIME_IN_FORCE,
    "no more liquidity": EndedBy.TIME_IN_FORCE,
    "ParticipateDoNotInitiate": EndedBy.POST_ONLY,
    "ReduceOnly": EndedBy.REDUCE_ONLY,
    "Close": EndedBy.REDUCE_ONLY,
}
"""Words of `text` behind "Canceled: Order had", in the order in which they are looked for; only the post-only one is documented."""
_ENDS: Final = {
    "Canceled: Liquidat": EndedBy.LIQUIDATION,
    "Canceled: Deleverag": EndedBy.DELEVERAGING,
    "Canceled: Self-trade": EndedBy.SELF_TRADE,
    "Canceled: Instrument": EndedBy.DELISTING,
    "Canceled: Administrator": EndedBy.EXCHANGE,
    "Liquidation": EndedBy.LIQUIDATION,
    "Deleverage": EndedBy.DELEVERAGING,
    "Settlement": EndedBy.DELISTING,
}
"""How `text` begins, of other orders that the exchange ended and of those with which it closed a position. Its own words are on no
record, and it has closed: these are the simulator's."""

SIDE_WORDS: Final = {ours: theirs for theirs, ours in _SIDES.items()}
TYPE_WORDS: Final = {ours: theirs for theirs, ours in _TYPES.items()}
LIFE_WORDS: Final = {ours: theirs for theirs, ours in _LIVES.items()}

TEXT_CHARACTERS_MAX: Final = 200


def parse_quote(row: Mapping[str, Any], instrument: Instrument, *, receive_time_ns: int, source: str) -> Quote:
    """Return a row of the `quote` table. Its sizes are in contracts, or in the smallest unit for spot."""
    scale = instrument.exchange_quantity_scale
    if row.get("symbol") != instrument.exchange_symbol:
        raise MalformedAnswer("the quote is not about this instrument")
    bid_size, ask_size = _maybe(row, "bidSize"), _maybe(row, "askSize")
    return Quote(
        exchange=EXCHANGE,
        market=MARKET,
        symbol=instrument.symbol,
        bid_price=_maybe(row, "bidPrice"),
        bid_quantity=None if bid_size is None else bid_size / scale,
        ask_price=_maybe(row, "askPrice"),
        ask_quantity=None if ask_size is None else ask_size / scale,
        event_time_ns=time_ns(row.get("timestamp"), "timestamp"),
        receive_time_ns=receive_time_ns,
        source=source,
    )


def parse_order(
    row: Mapping[str, Any],
    instrument: Instrument,
    *,
    source: str,
    raw: bytes = b"",
    sent: Sent | None = None,
    fill: Fill | None = None,
) -> OrderReport:
    """Return a row of the `order` or `execution` table as a statement. Fields may be missing or null (spot leaves many out)."""
    raw_state = to_word(row, "ordStatus")
    scale = instrument.exchange_quantity_scale
    quantity, filled = _maybe(row, "orderQty"), _maybe(row, "cumQty")
    average = _maybe(row, "avgPx")
    stamp, created = row.get("timestamp"), row.get("transactTime")
    return OrderReport(
        exchange=EXCHANGE,
        market=MARKET,
        symbol=instrument.symbol,
        exchange_order_id=to_word(row, "orderID"),
        client_order_id=str(row.get("clOrdID") or ""),
        state=_state(raw_state, quantity, filled),
        raw_state=raw_state,
        side=_side(row),
        type=_TYPES.get(str(row.get("ordType"))),
        quantity=None if quantity is None else quantity / scale,
        # A market order's row repeats the price it was filled at, or one that it never had.
        price=None if row.get("ordType") == "Market" else _maybe(row, "price"),
        filled_quantity=None if filled is None else filled / scale,
        average_price=average if average else None,
        update_time_ns=None if stamp is None else time_ns(stamp, "timestamp"),
        create_time_ns=None if created is None else time_ns(created, "transactTime"),
        time_in_force=_LIVES.get(str(row.get("timeInForce"))),
        reason=_reason(row, raw_state),
        ended_by=_ended_by(row, raw_state),
        fill=fill,
        source=source,
        raw=raw,
        sent=sent,
    )


def parse_fill(row: Mapping[str, Any], instrument: Instrument) -> Fill | None:
    """Return a row of the `execution` table as a fill; None where it is about something else (a new order, funding)."""
    if row.get("execType") != "Trade":
        return None
    # A row says what its fee is paid in; a spot row that does not means the quote currency (as captured in 2025).
    stated = row.get("settlCurrency")
    paid_in = currency(stated) if isinstance(stated, str) and stated else instrument.settle
    fee = _maybe(row, "execComm")
    return Fill(
        exchange=EXCHANGE,
        market=MARKET,
        symbol=instrument.symbol,
        trade_id=to_word(row, "execID"),
        exchange_order_id=to_word(row, "orderID"),
        client_order_id=str(row.get("clOrdID") or ""),
        side=_side(row),
        quantity=to_decimal(row.get("lastQty"), "lastQty") / instrument.exchange_quantity_scale,
        price=to_decimal(row.get("lastPx"), "lastPx"),
        fee=None if fee is None else money(fee, paid_in),
        fee_currency=paid_in,
        trade_time_ns=time_ns(row.get("transactTime", row.get("timestamp")), "transactTime"),
    )


def parse_position(row: Mapping[str, Any], instrument: Instrument) -> Position | None:
    """Return a row of the `position` table; None where nothing is held."""
    quantity = _maybe(row, "currentQty")
    if not quantity:
        return None
    return Position(
        exchange=EXCHANGE,
        market=MARKET,
        symbol=instrument.symbol,
        quantity=quantity / instrument.exchange_quantity_scale,
        entry_price=_maybe(row, "avgEntryPrice"),
    )


def _state(raw: str, quantity: Decimal | None, filled: Decimal | None) -> VenueState:
    closed = _CLOSED.get(raw)
    if closed is not None:
        return closed
    if raw not in _OPEN:
        raise MalformedAnswer(f"`ordStatus` is not known: {raw[:32]!r}")
    # A pending or triggered state hides whether something was filled; the quantities tell.
    if raw == "PartiallyFilled" or (filled is not None and filled > 0 and (quantity is None or filled < quantity)):
        return VenueState.PARTIALLY_FILLED
    return VenueState.NEW


def _ended_by(row: Mapping[str, Any], raw_state: str) -> EndedBy | None:
    """Return why BitMEX ended an order by itself: it has one word for that and for a cancel, and says the difference in `text`."""
    if raw_state not in _CLOSED:
        return None
    # What stands behind the first line is the sender's own annotation; of an order of the sender's there is nothing before it.
    said, more, _ = str(row.get("text") or "").partition("\n")
    if said.startswith("Canceled: Order had "):
        return next((cause for words, cause in _CAUSES.items() if words in said), None)
    if raw_state == "Canceled" or not (more or row.get("clOrdID")):
        return next((cause for words, cause in _ENDS.items() if said.startswith(words)), None)
    return None


def _reason(row: Mapping[str, Any], raw_state: str) -> str:
    """Return why it was cancelled or rejected; `text` of a living order is only an annotation."""
    if raw_state not in ("Canceled", "Rejected", "Expired"):
        return ""
    words = [str(row.get("ordRejReason") or ""), str(row.get("text") or "")]
    text = ": ".join(word for word in words if word)
    return "".join(character if character.isprintable() else " " for character in text)[:TEXT_CHARACTERS_MAX]


def _side(row: Mapping[str, Any]) -> Side:
    side = _SIDES.get(str(row.get("side")))
    if side is None:
        raise MalformedAnswer(f"`side` is not known: {str(row.get('side'))[:16]!r}")
    return side


def _maybe(row: Mapping[str, Any], name: str) -> Decimal | None:
    value = row.get(name)
    return None if value is None or value == "" else to_decimal(value, name)
