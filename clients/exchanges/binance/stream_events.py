"""Frames of Binance's streams as our values. Key order and extra keys differ between products: everything is found by name."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.binance.endings import NO_REASON, ended_by
from clients.exchanges.binance.markets import NAME, SPOT
from clients.exchanges.binance.parsing import order_type_of, state_of, time_in_force_of
from clients.exchanges.exact_json import MalformedAnswer, parse_json, to_decimal, to_int, to_word
from clients.exchanges.model import Instrument, Quote
from clients.exchanges.trading import Fill, OrderReport, Side

SHUTDOWN: Final = "serverShutdown"
KEY_EXPIRED: Final = "listenKeyExpired"
_MILLISECOND_NS: Final = 1_000_000


def parse_event(payload: bytes) -> Mapping[str, Any] | None:
    """Return the event of a frame, whichever envelope it came in; None for an answer to a request; MalformedAnswer otherwise."""
    message = parse_json(payload)
    if not isinstance(message, Mapping):
        raise MalformedAnswer("the frame is not an object")
    # Combined streams wrap in `data`, the spot request API in `event`, raw streams not at all.
    event = message.get("data", message.get("event", message))
    if not isinstance(event, Mapping):
        raise MalformedAnswer("the event is not an object")
    if event is message and ("id" in message or "result" in message):
        return None
    return event


def kind(event: Mapping[str, Any]) -> str:
    """Return the event's own name; a spot book ticker has none and is known by its fields."""
    named = event.get("e")
    if isinstance(named, str):
        return named
    return "bookTicker" if "u" in event and "b" in event and "a" in event else ""


def parse_book_ticker(event: Mapping[str, Any], instrument: Instrument, *, receive_time_ns: int) -> Quote:
    """Return a book ticker. Spot gives no event time: its quotes are ordered by `u` and age from their receipt."""
    bid_price, bid_quantity = _level(event, "b", "B")
    ask_price, ask_quantity = _level(event, "a", "A")
    stamp = None if instrument.market == SPOT else event.get("E", event.get("T"))
    return Quote(
        exchange=NAME,
        market=instrument.market,
        symbol=instrument.symbol,
        bid_price=bid_price,
        bid_quantity=bid_quantity,
        ask_price=ask_price,
        ask_quantity=ask_quantity,
        event_time_ns=None if stamp is None else to_int(stamp, "E") * _MILLISECOND_NS,
        receive_time_ns=receive_time_ns,
        update_id=to_int(event.get("u"), "u"),
        source="stream",
    )


def parse_order_event(event: Mapping[str, Any], instrument: Instrument, *, raw: bytes) -> OrderReport:
    """Return an `executionReport` (spot) or the `o` of an `ORDER_TRADE_UPDATE` (futures): they name almost everything alike.

    On a spot cancel `c` is the cancel's own id and `C` the order's.
    """
    raw_state = to_word(event, "X")
    filled = _maybe(event, "z")
    client_id = event.get("C") or event.get("c") if instrument.market == SPOT else event.get("c")
    price = _maybe(event, "p")
    created = event.get("O") if instrument.market == SPOT else None
    fill = parse_fill_event(event, instrument)
    return OrderReport(
        exchange=NAME,
        market=instrument.market,
        symbol=instrument.symbol,
        exchange_order_id=str(to_int(event.get("i"), "i")),
        client_order_id=str(client_id or ""),
        state=state_of(raw_state, filled),
        raw_state=raw_state,
        side=_side(event),
        type=order_type_of(event.get("o")),
        quantity=_maybe(event, "q"),
        price=price if price else None,
        filled_quantity=filled,
        average_price=_average(event, filled),
        update_time_ns=to_int(event.get("T"), "T") * _MILLISECOND_NS,
        create_time_ns=None if created is None else to_int(created, "O") * _MILLISECOND_NS,
        time_in_force=time_in_force_of(event.get("f")),
        reason=_reason(event),
        fill=fill,
        source="stream",
        raw=raw,
        ended_by=ended_by(
            raw_state,
            client_order_id=str(client_id or ""),
            reason=_expiry_reason(event),
            execution=str(event.get("x") or ""),
            time_in_force=event.get("f"),
            filled=filled,
        ),
    )


def parse_fill_event(event: Mapping[str, Any], instrument: Instrument) -> Fill | None:
    """Return the execution that the event is about; None where it is about none."""
    quantity = _maybe(event, "l")
    if event.get("x") not in ("TRADE", "CALCULATED") or not quantity:
        return None
    fee = _maybe(event, "n")
    client_id = event.get("C") or event.get("c") if instrument.market == SPOT else event.get("c")
    return Fill(
        exchange=NAME,
        market=instrument.market,
        symbol=instrument.symbol,
        trade_id=str(to_int(event.get("t"), "t")),
        exchange_order_id=str(to_int(event.get("i"), "i")),
        client_order_id=str(client_id or ""),
        side=_side(event),
        quantity=quantity,
        price=to_decimal(event.get("L"), "L"),
        fee=fee,
        fee_currency=str(event.get("N") or ""),
        trade_time_ns=to_int(event.get("T"), "T") * _MILLISECOND_NS,
    )


def _average(event: Mapping[str, Any], filled: Decimal | None) -> Decimal | None:
    stated = _maybe(event, "ap")
    if stated:
        return stated
    value = _maybe(event, "Z")
    return value / filled if value and filled else None


def _reason(event: Mapping[str, Any]) -> str:
    refused, expired = event.get("r"), _expiry_reason(event)
    if isinstance(refused, str) and refused not in NO_REASON:
        return refused[:200]
    # Futures number their reasons: the bare digit would tell nobody anything.
    return f"expiry reason {expired}" if expired.isdecimal() else expired


def _expiry_reason(event: Mapping[str, Any]) -> str:
    """Return why it expired: `eR` of spot, `er` of futures, which sends 0 for none."""
    said = event.get("eR", event.get("er"))
    text = str(said)[:200] if isinstance(said, (str, int)) else ""
    return "" if text in NO_REASON else text


def _level(event: Mapping[str, Any], price_key: str, quantity_key: str) -> tuple[Decimal | None, Decimal | None]:
    price, quantity = to_decimal(event.get(price_key), price_key), to_decimal(event.get(quantity_key), quantity_key)
    return (price, quantity) if price or quantity else (None, None)


def _side(event: Mapping[str, Any]) -> Side:
    raw = to_word(event, "S")
    if raw not in ("BUY", "SELL"):
        raise MalformedAnswer(f"`S` is not known: {raw[:16]!r}")
    return Side(raw)


def _maybe(event: Mapping[str, Any], name: str) -> Decimal | None:
    value = event.get(name)
    return None if value is None else to_decimal(value, name)
