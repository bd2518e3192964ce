"""`exchangeInfo` as instruments: lists of our own making, recordings where they are at hand, and what may come one day."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.binance.instruments import parse_instruments
from clients.exchanges.binance.markets import MARKETS
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Instrument, InstrumentKind, Payout
from tests.support.binance_wire import INFO
from tests.support.contracts import Document, documents, made
from tests.support.log_records import said

D = Decimal


def _made(market: str) -> dict[str, Instrument]:
    payload = made(INFO[MARKETS[market].path("exchangeInfo")]).exact
    return {instrument.symbol: instrument for instrument in parse_instruments(MARKETS[market], payload)}


def _entry(market: str) -> dict[str, Any]:
    found: dict[str, Any] = made(INFO[MARKETS[market].path("exchangeInfo")]).exact["symbols"][0]
    return found


def _one(market: str, **changes: Any) -> Instrument:
    (instrument,) = parse_instruments(MARKETS[market], {"symbols": [{**_entry(market), **changes}]})
    return instrument


def _filters(market: str, **changes: dict[str, str] | None) -> list[dict[str, Any]]:
    """Return the entry's filters, some changed or removed."""
    kept = [found for found in _entry(market)["filters"] if found["filterType"] not in changes]
    return kept + [{"filterType": name, **change} for name, change in changes.items() if change is not None]


@pytest.mark.quick
def test_the_made_list_of_spot() -> None:
    found = _made("spot")

    assert list(found) == ["BTC/USDT", "ETH/USDT", "SOL/USDT"]
    assert found["BTC/USDT"] == Instrument(
        exchange="binance",
        market="spot",
        exchange_symbol="BTCUSDT",
        symbol="BTC/USDT",
        kind=InstrumentKind.SPOT,
        payout=Payout.SPOT,
        base="BTC",
        quote="USDT",
        settle="",
        price_tick=D("0.01"),
        lot_size=D("0.00001"),
        quantity_min=D("0.00001"),
        quantity_max=D("7300"),
        market_lot_size=None,
        price_min=D("0.01"),
        price_max=D("2500000"),
        notional_min=D("7.5"),
        contract_size=D(1),
        multiplier=D(1),
        expiry_time_ns=None,
        tradable=True,
        market_quantity_max=D("321.00"),
        open_orders_max=150,
    )


def test_the_made_list_of_usdm() -> None:
    """Perpetuals and a delivery contract, quantities in the base asset."""
    found = _made("usdm")

    assert list(found) == ["BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT:USDT-260327"]
    perpetual, delivery = found["BTC/USDT:USDT"], found["BTC/USDT:USDT-260327"]
    assert (perpetual.kind, perpetual.payout, perpetual.settle) == (InstrumentKind.PERPETUAL, Payout.LINEAR, "USDT")
    assert (perpetual.price_tick, perpetual.lot_size) == (D("0.1"), D("0.001"))
    assert (perpetual.notional_min, perpetual.price_min) == (D(50), D("0.1"))
    assert (perpetual.contract_size, perpetual.expiry_time_ns) == (D(1), None)
    assert (delivery.kind, delivery.exchange_symbol) == (InstrumentKind.DELIVERY, "BTCUSDT_260327")


def test_the_made_list_of_coinm() -> None:
    """Contracts of 100 USD, paid in the coin."""
    found = _made("coinm")

    assert list(found) == ["BTC/USD:BTC", "BTC/USD:BTC-260327", "BTC/USD:BTC-260626"]
    perpetual = found["BTC/USD:BTC"]
    assert (perpetual.exchange_symbol, perpetual.payout) == ("BTCUSD_PERP", Payout.INVERSE)
    assert (perpetual.price_tick, perpetual.lot_size, perpetual.contract_size) == (D("0.1"), D(1), D(100))
    assert perpetual.notional_min is None


@pytest.mark.parametrize(("market", "symbol"), [("usdm", "BTC/USDT:USDT-260327"), ("coinm", "BTC/USD:BTC-260626")])
def test_delivery_is_at_eight_utc_on_the_last_friday_of_its_month(market: str, symbol: str) -> None:
    expiry_ns = _made(market)[symbol].expiry_time_ns
    assert expiry_ns is not None
    expiry = datetime.fromtimestamp(expiry_ns / 1e9, UTC)

    assert (expiry.hour, expiry.minute, expiry.isoweekday()) == (8, 0, 5)
    assert (expiry.day + 7) > 30


def test_the_same_string_on_two_markets_is_two_instruments() -> None:
    assert _made("spot")["BTC/USDT"].exchange_symbol == _made("usdm")["BTC/USDT:USDT"].exchange_symbol


LISTS = [(market, document) for market in MARKETS for document in documents(INFO[MARKETS[market].path("exchangeInfo")])]


@pytest.mark.parametrize(("market", "document"), LISTS, ids=[f"{market}, {document}" for market, document in LISTS])
def test_every_list_reads_in_full_and_keeps_its_steps(market: str, document: Document) -> None:
    entries = document.exact["symbols"]

    found = parse_instruments(MARKETS[market], document.exact)

    assert [instrument.exchange_symbol for instrument in found] == [entry["symbol"] for entry in entries]
    for instrument, entry in zip(found, entries, strict=True):
        filters = {row["filterType"]: row for row in entry["filters"]}
        assert instrument.base == entry["baseAsset"]
        assert instrument.quote == entry["quoteAsset"]
        assert instrument.settle == entry.get("marginAsset", "")
        assert instrument.contract_size == entry.get("contractSize", 1)
        if "PRICE_FILTER" in filters:
            assert instrument.price_tick == D(filters["PRICE_FILTER"]["tickSize"])
            assert instrument.lot_size == D(filters["LOT_SIZE"]["stepSize"])
        dated = entry.get("contractType", "PERPETUAL") != "PERPETUAL"
        assert instrument.expiry_time_ns == (entry["deliveryDate"] * 1_000_000 if dated else None)


def test_a_zero_disables_its_part_of_a_filter() -> None:
    price = {"minPrice": "0.00", "maxPrice": "0.00", "tickSize": "0.00"}
    lot = {"minQty": "0.00", "maxQty": "0.00", "stepSize": "0.00"}

    instrument = _one("spot", filters=_filters("spot", PRICE_FILTER=price, LOT_SIZE=lot))

    assert (instrument.price_min, instrument.price_max, instrument.quantity_max) == (None, None, None)
    # Something has to be the step: the precision in which the exchange keeps the asset.
    assert (instrument.price_tick, instrument.lot_size, instrument.quantity_min) == (D("1E-8"), D("1E-8"), D("1E-8"))


def test_a_lot_of_market_orders_that_differs_is_kept() -> None:
    lot = {"minQty": "1", "maxQty": "9", "stepSize": "0.1"}

    assert _one("spot", filters=_filters("spot", MARKET_LOT_SIZE=lot)).market_lot_size == D("0.1")
    assert _one("usdm").market_lot_size is None


@pytest.mark.parametrize(
    ("filters", "notional"),
    [
        ({"NOTIONAL": {"minNotional": "5.00"}, "MIN_NOTIONAL": None}, D(5)),
        ({"NOTIONAL": {"minNotional": "5.00"}, "MIN_NOTIONAL": {"minNotional": "9"}}, D(5)),
        ({"NOTIONAL": None, "MIN_NOTIONAL": {"notional": "100"}}, D(100)),
        ({"NOTIONAL": None, "MIN_NOTIONAL": None}, None),
        ({"NOTIONAL": None, "MIN_NOTIONAL": {"minNotional": "0.0"}}, None),
    ],
)
def test_the_minimum_notional_has_three_spellings(
    filters: dict[str, dict[str, str] | None], notional: Decimal | None
) -> None:
    assert _one("spot", filters=_filters("spot", **filters)).notional_min == notional


@pytest.mark.parametrize(
    ("market", "changes", "tradable"),
    [
        ("spot", {}, True),
        *[("spot", {"status": status}, False) for status in ("HALT", "BREAK", "CANCEL_ONLY", "END_OF_DAY", "")],
        ("spot", {"isSpotTradingAllowed": False}, False),
        ("usdm", {"status": "SETTLING"}, False),
        ("usdm", {"status": "PENDING_TRADING"}, False),
        *[("coinm", {"contractStatus": status}, False) for status in ("PRE_DELIVERING", "DELIVERING", "DELIVERED")],
        # COIN-M has no `status`; one that appears there means nothing.
        ("coinm", {"status": "BREAK"}, True),
    ],
)
def test_only_what_trades_is_tradable(market: str, changes: dict[str, Any], tradable: bool) -> None:
    assert _one(market, **changes).tradable is tradable


def test_a_perpetual_that_is_taken_off_keeps_its_symbol() -> None:
    instrument = _one("usdm", contractType="PERPETUAL DELIVERING", deliveryDate=1790000000000, status="SETTLING")

    assert (instrument.symbol, instrument.kind) == ("BTC/USDT:USDT", InstrumentKind.PERPETUAL)
    assert (instrument.expiry_time_ns, instrument.tradable) == (None, False)


def test_usdc_margined_contracts_settle_in_usdc() -> None:
    instrument = _one("usdm", symbol="BTCUSDC", quoteAsset="USDC", marginAsset="USDC")

    assert instrument.symbol == "BTC/USDC:USDC"


def test_the_one_that_trades_keeps_a_symbol_that_two_claim() -> None:
    old = {**_entry("spot"), "symbol": "OLDBTC", "status": "BREAK"}

    for entries in ([old, _entry("spot")], [_entry("spot"), old]):
        (instrument,) = parse_instruments(MARKETS["spot"], {"symbols": entries})
        assert instrument.exchange_symbol == "BTCUSDT"


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": None},
        {"symbol": ""},
        {"symbol": "X" * 65},
        {"filters": "none"},
        {"filters": [{}]},
        {"baseAsset": 7},
        {"contractType": ""},
        {"contractType": "CURRENT_QUARTER", "deliveryDate": "soon"},
        {"contractType": "CURRENT_QUARTER", "deliveryDate": 10**19},
        {"filters": [{"filterType": "LOT_SIZE", "stepSize": "NaN"}]},
    ],
)
def test_an_entry_that_cannot_be_read_does_not_cost_the_others(
    changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    broken = {**_entry("usdm"), **changes}

    (instrument,) = parse_instruments(MARKETS["usdm"], {"symbols": [broken, _entry("usdm"), "nonsense"]})

    assert instrument.symbol == "BTC/USDT:USDT"
    assert said(caplog.records)[-1] == ("instruments left out", {"market": "usdm", "count": 2, "of": 3})


@pytest.mark.parametrize("payload", [None, [], {}, {"symbols": {}}, "text"])
def test_an_answer_without_a_list_is_malformed(payload: Any) -> None:
    with pytest.raises(MalformedAnswer):
        parse_instruments(MARKETS["spot"], payload)
