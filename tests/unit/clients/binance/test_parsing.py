"""Answers about prices and orders: of our own making, and recorded where recordings are at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.exchanges.binance.parsing import (
    held_rows,
    parse_fill,
    parse_last_price,
    parse_order,
    parse_position,
    parse_quote,
    rows_of,
    server_time_ms,
    state_of,
)
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Instrument
from clients.exchanges.trading import EndedBy, OrderType, Side, TimeInForce, VenueState
from tests.support.contracts import Document, documents, made, over
from tests.support.fake_exchange import instrument

D = Decimal


def _named(market: str, exchange_symbol: str) -> Instrument:
    return instrument("binance", "A/B", market=market, exchange_symbol=exchange_symbol)


@pytest.mark.quick
@over("binance/spot/book_ticker")
def test_a_spot_quote_has_no_time_of_its_own(document: Document) -> None:
    row = document.exact

    quote = parse_quote(_named("spot", row["symbol"]), row, 77)

    assert (quote.bid_price, quote.bid_quantity) == (D(row["bidPrice"]), D(row["bidQty"]))
    assert (quote.ask_price, quote.ask_quantity) == (D(row["askPrice"]), D(row["askQty"]))
    assert (quote.event_time_ns, quote.receive_time_ns, quote.update_id) == (None, 77, None)


@over("binance/usdm/book_ticker")
def test_a_usdm_quote_has_time_and_update_id(document: Document) -> None:
    row = document.exact

    quote = parse_quote(_named("usdm", row["symbol"]), row, 77)

    assert (quote.event_time_ns, quote.update_id) == (row["time"] * 1_000_000, row["lastUpdateId"])


@over("binance/coinm/book_tickers")
def test_a_coinm_quote_comes_in_a_list(document: Document) -> None:
    (row,) = document.exact

    quote = parse_quote(_named("coinm", row["symbol"]), document.exact, 77)

    assert (quote.bid_price, quote.ask_quantity) == (D(row["bidPrice"]), D(row["askQty"]))
    assert quote.event_time_ns == row["time"] * 1_000_000


def test_the_figures_of_a_quote_are_the_made_ones() -> None:
    quote = parse_quote(_named("usdm", "BTCUSDT"), made("binance/usdm/book_ticker").exact, 77)

    assert (quote.bid_price, quote.bid_quantity) == (D("61250.4"), D("1.75"))
    assert (quote.ask_price, quote.ask_quantity) == (D("61250.5"), D("0.32"))


def test_an_answer_about_another_symbol_is_refused() -> None:
    with pytest.raises(MalformedAnswer, match="ETHUSDT"):
        parse_quote(_named("spot", "ETHUSDT"), made("binance/spot/book_ticker").exact, 77)


def test_an_empty_side_is_no_price() -> None:
    row = {"symbol": "X", "bidPrice": "0.00", "bidQty": "0", "askPrice": "1", "askQty": "2"}

    quote = parse_quote(_named("spot", "X"), row, 77)

    assert (quote.bid_price, quote.bid_quantity, quote.ask_price) == (None, None, D(1))


@over("binance/usdm/price")
def test_a_last_price_reads(document: Document) -> None:
    row = document.exact

    price = parse_last_price(_named("usdm", row["symbol"]), row, 77)

    assert (price.price, price.basis, price.event_time_ns) == (D(row["price"]), "last", row["time"] * 1_000_000)


@over("binance/spot/server_time", "binance/usdm/server_time", "binance/coinm/server_time")
def test_the_servers_time_reads(document: Document) -> None:
    assert server_time_ms(document.exact) == document.plain["serverTime"]


@over("binance/spot/order_placed")
def test_a_placed_spot_order_tells_its_fills_as_an_average(document: Document) -> None:
    row = document.exact

    report = parse_order("spot", "BTC/USDT", row)

    assert (report.exchange_order_id, report.client_order_id) == (str(row["orderId"]), row["clientOrderId"])
    assert (report.state, report.raw_state, report.side) == (VenueState.FILLED, "FILLED", Side.SELL)
    assert (report.quantity, report.filled_quantity) == (D(row["origQty"]), D(row["executedQty"]))
    assert report.average_price == D(row["cummulativeQuoteQty"]) / D(row["executedQty"])
    assert (report.price, report.update_time_ns) == (None, row["transactTime"] * 1_000_000)


def test_the_average_of_the_made_order_is_that_of_its_fills() -> None:
    """0.2 at 61250.50 and 0.3 at 61249.00."""
    assert parse_order("spot", "BTC/USDT", made("binance/spot/order_placed").exact).average_price == D("61249.6")


@over("binance/spot/order_canceled")
def test_a_spot_cancel_is_about_the_order_not_about_itself(document: Document) -> None:
    """`clientOrderId` is the cancel's own there."""
    row = document.exact

    report = parse_order("spot", "LTC/BTC", row, cancel=True)

    assert row["clientOrderId"] != row["origClientOrderId"]
    assert (report.client_order_id, report.exchange_order_id) == (row["origClientOrderId"], str(row["orderId"]))
    assert report.state is VenueState.CANCELED


@over("binance/usdm/order_canceled", "binance/coinm/order_canceled")
def test_a_futures_cancel_is_about_the_order(document: Document) -> None:
    row = document.exact

    report = parse_order("coinm" if "pair" in row else "usdm", "A/B:B", row, cancel=True)

    assert (report.client_order_id, report.state) == (row["clientOrderId"], VenueState.CANCELED)


@over("binance/spot/order")
def test_a_queried_spot_order_has_its_times(document: Document) -> None:
    row = document.exact

    report = parse_order("spot", "LTC/BTC", row, source="query")

    assert (report.state, report.type, report.time_in_force) == (VenueState.NEW, OrderType.LIMIT, TimeInForce.GTC)
    assert report.create_time_ns == row["time"] * 1_000_000
    assert report.update_time_ns == row["updateTime"] * 1_000_000
    assert (report.filled_quantity, report.average_price, report.source) == (D(0), None, "query")


@over("binance/spot/order_amended")
def test_an_amended_spot_order_reads(document: Document) -> None:
    row = document.exact["amendedOrder"]

    report = parse_order("spot", "BTC/USDT", row)

    assert (report.exchange_order_id, report.quantity) == (str(row["orderId"]), D(row["qty"]))
    assert report.price == D(row["price"])


@over("binance/usdm/order_amended")
def test_an_amended_futures_order_reads(document: Document) -> None:
    row = document.exact

    report = parse_order("usdm", "BTC/USDT:USDT", row)

    assert (report.price, report.quantity, report.average_price) == (D(row["price"]), D(row["origQty"]), None)
    assert report.update_time_ns == row["updateTime"] * 1_000_000


@over("binance/usdm/order_amended")
def test_an_acknowledgement_leaves_open_what_it_does_not_say(document: Document) -> None:
    """Futures acknowledgements carry neither `avgPrice` nor `cumQuote` since July 2026 (sheet 3)."""
    thin = {
        name: value
        for name, value in document.exact.items()
        if name not in ("avgPrice", "cumQty", "cumBase", "cumQuote", "executedQty")
    }

    report = parse_order("usdm", "BTC/USDT:USDT", thin)

    assert (report.filled_quantity, report.average_price, report.state) == (None, None, VenueState.NEW)


@over("binance/spot/order_as_texts")
def test_a_raw_answer_with_numbers_as_text_reads_as_the_expected_order(document: Document) -> None:
    """A raw answer and the normalised order that it means."""
    case = document.plain
    expected = case["expected"]

    report = parse_order("spot", "SOL/USDT", case["httpResponse"])

    assert report.price == D(str(expected["price"]))
    assert report.quantity == D(str(expected["amount"]))
    assert report.filled_quantity == expected["filled"]
    assert (report.state, report.side.value.lower()) == (VenueState.NEW, expected["side"])
    assert report.update_time_ns == expected["timestamp"] * 1_000_000


ORDERS = {
    "spot": ("orders", "order", "order_placed", "order_canceled"),
    "usdm": ("orders", "order", "order_placed"),
    "coinm": ("orders", "order", "order_placed"),
}
EVERY_ORDER = [
    (market, document)
    for market, names in ORDERS.items()
    for name in names
    for document in documents(f"binance/{market}/{name}")
]


@pytest.mark.parametrize(
    ("market", "document"), EVERY_ORDER, ids=[f"{market}, {document}" for market, document in EVERY_ORDER]
)
def test_every_order_reads(market: str, document: Document) -> None:
    payload = document.exact

    for row in payload if isinstance(payload, list) else [payload]:
        report = parse_order(market, "A/B", row)
        assert report.exchange_order_id == str(row["orderId"])
        assert report.quantity == D(row["origQty"])
        assert report.side is Side(row["side"])


@over("binance/spot/trades")
def test_a_trade_of_ours_reads_on_spot(document: Document) -> None:
    row = document.exact[0]

    fill = parse_fill("spot", "BNB/BTC", row)

    assert (fill.trade_id, fill.exchange_order_id) == (str(row["id"]), str(row["orderId"]))
    assert fill.side is (Side.BUY if row["isBuyer"] else Side.SELL)
    assert (fill.quantity, fill.price) == (D(row["qty"]), D(row["price"]))
    assert (fill.fee, fill.fee_currency) == (D(row["commission"]), row["commissionAsset"])


def test_a_trade_of_ours_reads_on_futures() -> None:
    row = {"id": 7, "orderId": 9, "side": "SELL", "qty": "0.002", "price": "7819.01", "commission": "-0.07", "time": 5}

    fill = parse_fill("usdm", "BTC/USDT:USDT", row)

    assert (fill.side, fill.fee, fill.fee_currency, fill.trade_time_ns) == (Side.SELL, D("-0.07"), "", 5_000_000)


def test_positions_that_hold_nothing_are_left_out() -> None:
    rows = [
        {"symbol": "A", "positionAmt": "0.000", "entryPrice": "0.0"},
        {"symbol": "B", "positionAmt": "-0.5", "entryPrice": "10.5"},
        {"symbol": "C", "positionAmt": "3", "entryPrice": "0.0"},
    ]

    held = [parse_position("usdm", row["symbol"], row) for row in held_rows(rows)]

    assert [(found.symbol, found.quantity, found.entry_price) for found in held] == [
        ("B", D("-0.5"), D("10.5")),
        ("C", D(3), None),
    ]


@pytest.mark.parametrize(
    ("raw", "filled", "state"),
    [
        ("NEW", None, VenueState.NEW),
        ("NEW", "0", VenueState.NEW),
        ("NEW", "0.1", VenueState.PARTIALLY_FILLED),
        ("PENDING_NEW", None, VenueState.NEW),
        ("PARTIALLY_FILLED", "0.1", VenueState.PARTIALLY_FILLED),
        ("FILLED", "1", VenueState.FILLED),
        ("NEW_ADL", "1", VenueState.FILLED),
        ("NEW_INSURANCE", "1", VenueState.FILLED),
        # A terminal order may have executed in part: that is its quantity's business, not its state's.
        ("CANCELED", "0.1", VenueState.CANCELED),
        ("REJECTED", None, VenueState.REJECTED),
        ("EXPIRED", "0.1", VenueState.EXPIRED),
        ("EXPIRED_IN_MATCH", "0.1", VenueState.EXPIRED),
    ],
)
def test_states_map_as_the_facts_say(raw: str, filled: str | None, state: VenueState) -> None:
    assert state_of(raw, None if filled is None else D(filled)) is state


@pytest.mark.parametrize("raw", ["", "new", "DONE", "None"])
def test_a_state_nobody_knows_is_not_guessed(raw: str) -> None:
    with pytest.raises(MalformedAnswer, match="status"):
        state_of(raw)


def test_types_and_times_in_force_that_are_not_ours_read_as_unsaid() -> None:
    base = made("binance/usdm/order").plain

    stop = parse_order("usdm", "A/B", {**base, "type": "STOP", "origType": "STOP", "timeInForce": "GTD"})
    maker = parse_order("spot", "A/B", {**base, "type": "LIMIT_MAKER", "origType": "LIMIT_MAKER", "timeInForce": "GTX"})

    assert (stop.type, stop.time_in_force) == (None, None)
    assert (maker.type, maker.time_in_force) == (OrderType.LIMIT, TimeInForce.GTC)


def test_an_expiry_says_why() -> None:
    """`expiryReason` appears in spot queries since 2026-05-08 (sheet 3)."""
    base = made("binance/spot/order").plain

    report = parse_order("spot", "A/B", {**base, "status": "EXPIRED", "expiryReason": "INSUFFICIENT_LIQUIDITY"})

    assert report.reason == "INSUFFICIENT_LIQUIDITY"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["BUY", "NEW", "1", "symbol"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["symbol", "orderId", "status", "side", "price", "time", "positionAmt"]), inner
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "parse",
    [
        lambda payload: parse_order("spot", "A/B", payload),
        lambda payload: parse_fill("spot", "A/B", payload),
        lambda payload: parse_position("usdm", "A/B", payload),
        lambda payload: parse_quote(_named("spot", "1"), payload, 1),
        lambda payload: parse_last_price(_named("spot", "1"), payload, 1),
        server_time_ms,
        rows_of,
        held_rows,
    ],
    ids=["order", "fill", "position", "quote", "price", "time", "rows", "held"],
)
@settings(max_examples=40)
@given(payload=_JSON)
def test_any_document_reads_or_is_malformed(parse: Callable[[Any], object], payload: Any) -> None:
    """No third way: every other exception would get past whoever treats a bad answer as a lost one."""
    with contextlib.suppress(MalformedAnswer):
        parse(payload)


@pytest.mark.parametrize(
    ("status", "time_in_force", "filled", "cause"),
    [
        ("EXPIRED", "GTX", "0", EndedBy.POST_ONLY),
        ("EXPIRED", "GTX", "1", None),
        ("CANCELED", "GTX", "0", None),
        ("EXPIRED", "GTC", "0", None),
        ("NEW", "GTX", "0", None),
    ],
)
def test_a_post_only_order_that_would_have_taken_is_told_from_others(
    status: str, time_in_force: str, filled: str, cause: EndedBy | None
) -> None:
    row = {
        "orderId": 7, "status": status, "timeInForce": time_in_force, "executedQty": filled, "origQty": "2", "side": "BUY",
        "price": "50", "type": "LIMIT", "updateTime": 5, "clientOrderId": "mine",
    }  # fmt: skip

    assert parse_order("coinm", "BTC/USD:BTC", row).ended_by is cause
