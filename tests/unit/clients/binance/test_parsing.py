"""Answers about prices and orders: documented examples and captures, each test names its provenance."""

from __future__ import annotations

import contextlib
import json
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
from clients.exchanges.trading import OrderType, Side, TimeInForce, VenueState
from tests.support.exchange_wire import documented
from tests.support.fake_exchange import instrument
from tests.support.recorded_payloads import recorded, recorded_bytes

D = Decimal


def _named(market: str, exchange_symbol: str) -> Instrument:
    return instrument("binance", "A/B", market=market, exchange_symbol=exchange_symbol)


@pytest.mark.quick
def test_a_spot_quote_has_no_time_of_its_own() -> None:
    """docs-example"""
    payload = documented("binance/spot/rest/binancenet/GetBookPrice.json")

    quote = parse_quote(_named("spot", "LTCBTC"), payload, 77)

    assert (quote.bid_price, quote.bid_quantity) == (D("4.00000000"), D(431))
    assert (quote.ask_price, quote.ask_quantity) == (D("4.00000200"), D(9))
    assert (quote.event_time_ns, quote.receive_time_ns, quote.update_id) == (None, 77, None)


def test_a_usdm_quote_has_time_and_update_id() -> None:
    """docs-example"""
    quote = parse_quote(_named("usdm", "BTCUSDT"), documented("binance/usdm/rest/binancenet/GetBookPrice.json"), 77)

    assert (quote.event_time_ns, quote.update_id) == (1589437530011_000_000, 1027024)


def test_a_coinm_quote_comes_in_a_list() -> None:
    """docs-example"""
    payload = documented("binance/coinm/rest/binancenet/GetBookPrices.json")

    quote = parse_quote(_named("coinm", "BTCUSD_200626"), payload, 77)

    assert (quote.bid_price, quote.ask_quantity, quote.event_time_ns) == (D("9650.1"), D(7), 1591257300345_000_000)


def test_an_edited_capture_of_a_book_ticker_reads() -> None:
    """edited-capture"""
    payload = recorded("binance/spot/rest/nautilus/http_spot_market_book_ticker.json", provenance="edited-capture")
    symbol = (payload[0] if isinstance(payload, list) else payload)["symbol"]

    assert parse_quote(_named("spot", symbol), payload, 1).bid_price is not None


def test_an_answer_about_another_symbol_is_refused() -> None:
    """docs-example"""
    with pytest.raises(MalformedAnswer, match="BTCUSDT"):
        parse_quote(_named("spot", "BTCUSDT"), documented("binance/spot/rest/binancenet/GetBookPrice.json"), 77)


def test_an_empty_side_is_no_price() -> None:
    row = {"symbol": "X", "bidPrice": "0.00", "bidQty": "0", "askPrice": "1", "askQty": "2"}

    quote = parse_quote(_named("spot", "X"), row, 77)

    assert (quote.bid_price, quote.bid_quantity, quote.ask_price) == (None, None, D(1))


def test_a_last_price_reads() -> None:
    """docs-example"""
    price = parse_last_price(_named("usdm", "BTCUSDT"), documented("binance/usdm/rest/binancenet/GetPrice.json"), 77)

    assert (price.price, price.basis, price.event_time_ns) == (D("6000.01"), "last", 1589437530011_000_000)


@pytest.mark.parametrize("market", ["spot", "usdm", "coinm"])
def test_the_servers_time_reads(market: str) -> None:
    """docs-example"""
    assert server_time_ms(documented(f"binance/{market}/rest/binancenet/GetServerTime.json")) == 1499827319559


def test_a_placed_spot_order_tells_its_fills_as_an_average() -> None:
    """docs-example"""
    report = parse_order("spot", "BTC/USDT", documented("binance/spot/rest/binancenet/PlaceOrder.json"))

    assert (report.exchange_order_id, report.client_order_id) == ("28", "6gCrw2kRUAF9CvJDGP16IP")
    assert (report.state, report.raw_state, report.side) == (VenueState.FILLED, "FILLED", Side.SELL)
    assert (report.quantity, report.filled_quantity, report.average_price) == (D(10), D(10), D(1))
    assert (report.price, report.update_time_ns) == (None, 1507725176595_000_000)


def test_a_spot_cancel_is_about_the_order_not_about_itself() -> None:
    """docs-example: `clientOrderId` is the cancel's own there"""
    payload = documented("binance/spot/rest/binancenet/CancelOrder.json")

    report = parse_order("spot", "LTC/BTC", payload, cancel=True)

    assert payload["clientOrderId"] == "cancelMyOrder1"
    assert (report.client_order_id, report.exchange_order_id) == ("myOrder1", "4")
    assert report.state is VenueState.CANCELED


@pytest.mark.parametrize(("market", "symbol"), [("usdm", "BTC/USDT:USDT"), ("coinm", "BTC/USD:BTC-200925")])
def test_a_futures_cancel_is_about_the_order(market: str, symbol: str) -> None:
    """docs-example"""
    report = parse_order(market, symbol, documented(f"binance/{market}/rest/binancenet/CancelOrder.json"), cancel=True)

    assert (report.client_order_id, report.state) == ("myOrder1", VenueState.CANCELED)


def test_a_queried_spot_order_has_its_times() -> None:
    """docs-example"""
    report = parse_order("spot", "LTC/BTC", documented("binance/spot/rest/binancenet/GetOrder.json"), source="query")

    assert (report.state, report.type, report.time_in_force) == (VenueState.NEW, OrderType.LIMIT, TimeInForce.GTC)
    assert report.create_time_ns == report.update_time_ns == 1499827319559_000_000
    assert (report.filled_quantity, report.average_price, report.source) == (D(0), None, "query")


def test_an_amended_spot_order_reads() -> None:
    """docs-example"""
    payload = documented("binance/spot/rest/docs/amendKeepPriority.single.json")["amendedOrder"]

    report = parse_order("spot", "BTC/USDT", payload)

    assert (report.exchange_order_id, report.quantity, report.price) == ("33", D(5), D(6))


def test_an_amended_futures_order_reads() -> None:
    """docs-example"""
    report = parse_order("usdm", "BTC/USDT:USDT", documented("binance/usdm/rest/binancenet/EditOrder.json"))

    assert (report.price, report.quantity, report.average_price) == (D(30005), D(1), None)
    assert report.update_time_ns == 1629182711600_000_000


def test_an_acknowledgement_leaves_open_what_it_does_not_say() -> None:
    """Futures acknowledgements carry neither `avgPrice` nor `cumQuote` since July 2026 (sheet 3)."""
    payload = documented("binance/usdm/rest/binancenet/EditOrder.json")
    for name in ("avgPrice", "cumQty", "cumBase", "executedQty"):
        del payload[name]

    report = parse_order("usdm", "BTC/USDT:USDT", payload)

    assert (report.filled_quantity, report.average_price, report.state) == (None, None, VenueState.NEW)


def test_a_raw_answer_with_numbers_as_text_reads_as_the_expected_order() -> None:
    """contract-case: a raw answer and the normalised order that ccxt makes of it"""
    case = json.loads(recorded_bytes("binance/spot/rest/ccxt/createOrder.sol.json", provenance="contract-case"))
    expected = case["expected"]

    report = parse_order("spot", "SOL/USDT", case["httpResponse"])

    assert report.price == expected["price"]
    assert report.quantity == D(str(expected["amount"]))
    assert report.filled_quantity == expected["filled"]
    assert (report.state, report.side.value.lower()) == (VenueState.NEW, expected["side"])
    assert report.update_time_ns == expected["timestamp"] * 1_000_000


LISTS = [
    ("spot", "binance/spot/rest/binancenet/GetOpenOrders.json", "docs-example"),
    ("spot", "binance/spot/rest/binancenet/GetOrders.json", "docs-example"),
    ("spot", "binance/spot/rest/nautilus/all_orders_response.json", "docs-example"),
    ("spot", "binance/spot/rest/xchange/open-orders.json", "docs-example"),
    ("usdm", "binance/usdm/rest/binancenet/GetOpenOrders.json", "docs-example"),
    ("usdm", "binance/usdm/rest/binancenet/GetOrders.json", "docs-example"),
    ("usdm", "binance/usdm/rest/nautilus/http_futures_account_orders.json", "edited-capture"),
    ("coinm", "binance/coinm/rest/binancenet/GetOpenOrders.json", "docs-example"),
    ("coinm", "binance/coinm/rest/binancenet/GetOrders.json", "docs-example"),
]
SINGLE = [
    ("usdm", "binance/usdm/rest/binancenet/GetOrder.json", "docs-example"),
    ("usdm", "binance/usdm/rest/binancenet/GetOpenOrder.json", "docs-example"),
    ("usdm", "binance/usdm/rest/binancenet/PlaceOrder.json", "docs-example"),
    ("usdm", "binance/usdm/rest/nautilus/order_response.json", "docs-example"),
    ("coinm", "binance/coinm/rest/binancenet/GetOrder.json", "docs-example"),
    ("coinm", "binance/coinm/rest/binancenet/GetOpenOrder.json", "docs-example"),
    ("coinm", "binance/coinm/rest/binancenet/PlaceOrder.json", "docs-example"),
    ("spot", "binance/spot/rest/nautilus/new_order_full_response.json", "docs-example"),
    ("spot", "binance/spot/rest/nautilus/cancel_order_response.json", "docs-example"),
]


@pytest.mark.parametrize(
    ("market", "name", "provenance"), LISTS + SINGLE, ids=[f"{n}-{p}" for _, n, p in LISTS + SINGLE]
)
def test_every_recorded_order_reads(market: str, name: str, provenance: str) -> None:
    payload = documented(name, provenance=provenance)

    for row in payload if isinstance(payload, list) else [payload]:
        report = parse_order(market, "A/B", row)
        assert report.exchange_order_id.isdecimal()
        assert report.quantity is not None


def test_a_trade_of_ours_reads_on_spot() -> None:
    """docs-example"""
    fill = parse_fill("spot", "BNB/BTC", documented("binance/spot/rest/binancenet/GetUserTrades.json")[0])

    assert (fill.trade_id, fill.exchange_order_id, fill.side) == ("28457", "100234", Side.BUY)
    assert (fill.quantity, fill.price, fill.fee, fill.fee_currency) == (D(12), D("4.000001"), D("10.1"), "BNB")


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
    base = documented("binance/usdm/rest/nautilus/order_response.json")

    stop = parse_order("usdm", "A/B", {**base, "type": "STOP", "origType": "STOP", "timeInForce": "GTD"})
    maker = parse_order("spot", "A/B", {**base, "type": "LIMIT_MAKER", "origType": "LIMIT_MAKER", "timeInForce": "GTX"})

    assert (stop.type, stop.time_in_force) == (None, None)
    assert (maker.type, maker.time_in_force) == (OrderType.LIMIT, TimeInForce.GTC)


def test_an_expiry_says_why() -> None:
    """`expiryReason` appears in spot queries since 2026-05-08 (sheet 3)."""
    base = documented("binance/spot/rest/binancenet/GetOrder.json")

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
