"""`exchangeInfo` as instruments: captures of 2021, documented examples, and what may come one day."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.binance.instruments import parse_instruments
from clients.exchanges.binance.markets import MARKETS
from clients.exchanges.exact_json import MalformedAnswer, parse_json
from clients.exchanges.model import Instrument, InstrumentKind, Payout
from tests.support.binance_wire import INFO
from tests.support.exchange_wire import documented
from tests.support.recorded_payloads import recorded, recorded_bytes

D = Decimal


def _captured(market: str) -> dict[str, Instrument]:
    """Captured 2021 (provenance `captured`)."""
    payload = recorded(INFO[MARKETS[market].path("exchangeInfo")], provenance="captured")
    return {instrument.symbol: instrument for instrument in parse_instruments(MARKETS[market], payload)}


def _entry(market: str) -> dict[str, Any]:
    payload = parse_json(recorded_bytes(INFO[MARKETS[market].path("exchangeInfo")], provenance="captured"))
    found: dict[str, Any] = copy.deepcopy(payload["symbols"][0])
    return found


def _one(market: str, **changes: Any) -> Instrument:
    (instrument,) = parse_instruments(MARKETS[market], {"symbols": [{**_entry(market), **changes}]})
    return instrument


def _filters(market: str, **changes: dict[str, str] | None) -> list[dict[str, Any]]:
    """Return the entry's filters, some changed or removed."""
    kept = [found for found in _entry(market)["filters"] if found["filterType"] not in changes]
    return kept + [{"filterType": name, **change} for name, change in changes.items() if change is not None]


@pytest.mark.quick
def test_spot_of_the_2021_capture() -> None:
    """captured, 2021"""
    found = _captured("spot")

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
        quantity_max=D("9000"),
        market_lot_size=None,
        price_min=D("0.01"),
        price_max=D("1000000"),
        notional_min=D("10"),
        contract_size=D(1),
        multiplier=D(1),
        expiry_time_ns=None,
        tradable=True,
    )


def test_usdm_of_the_2021_capture() -> None:
    """captured, 2021: perpetuals and a delivery contract, quantities in the base asset"""
    found = _captured("usdm")

    assert list(found) == ["BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT:USDT-210924"]
    perpetual, delivery = found["BTC/USDT:USDT"], found["BTC/USDT:USDT-210924"]
    assert (perpetual.kind, perpetual.payout, perpetual.settle) == (InstrumentKind.PERPETUAL, Payout.LINEAR, "USDT")
    assert (perpetual.price_tick, perpetual.lot_size) == (D("0.01"), D("0.001"))
    assert (perpetual.notional_min, perpetual.price_min) == (D(5), D("556.72"))
    assert (perpetual.contract_size, perpetual.expiry_time_ns) == (D(1), None)
    assert (delivery.kind, delivery.exchange_symbol) == (InstrumentKind.DELIVERY, "BTCUSDT_210924")


def test_coinm_of_the_2021_capture() -> None:
    """captured, 2021: contracts of 100 USD, paid in the coin"""
    found = _captured("coinm")

    assert list(found) == ["BTC/USD:BTC", "BTC/USD:BTC-210924", "BTC/USD:BTC-211231"]
    perpetual = found["BTC/USD:BTC"]
    assert (perpetual.exchange_symbol, perpetual.payout) == ("BTCUSD_PERP", Payout.INVERSE)
    assert (perpetual.price_tick, perpetual.lot_size, perpetual.contract_size) == (D("0.1"), D(1), D(100))
    assert perpetual.notional_min is None


@pytest.mark.parametrize(("market", "symbol"), [("usdm", "BTC/USDT:USDT-210924"), ("coinm", "BTC/USD:BTC-211231")])
def test_delivery_is_at_eight_utc_on_the_last_friday_of_its_month(market: str, symbol: str) -> None:
    """captured, 2021"""
    expiry_ns = _captured(market)[symbol].expiry_time_ns
    assert expiry_ns is not None
    expiry = datetime.fromtimestamp(expiry_ns / 1e9, UTC)

    assert (expiry.hour, expiry.minute, expiry.isoweekday()) == (8, 0, 5)
    assert (expiry.day + 7) > 30


def test_the_same_string_on_two_markets_is_two_instruments() -> None:
    """captured, 2021"""
    assert _captured("spot")["BTC/USDT"].exchange_symbol == _captured("usdm")["BTC/USDT:USDT"].exchange_symbol


@pytest.mark.parametrize(
    ("market", "symbol"), [("usdm", "BLZ/USDT:USDT"), ("coinm", "BTC/USD:BTC-200925")], ids=["usdm", "coinm"]
)
def test_the_documented_examples_read(market: str, symbol: str) -> None:
    """docs-example"""
    payload = documented(f"binance/{market}/rest/binancenet/GetExchangeInfo.json")

    assert [found.symbol for found in parse_instruments(MARKETS[market], payload)] == [symbol]


@pytest.mark.parametrize(
    ("market", "name", "provenance"),
    [
        ("spot", "binance/spot/rest/nautilus/exchange_info_response.json", "docs-example"),
        ("spot", "binance/spot/rest/nautilus/http_spot_market_exchange_info.json", "edited-capture"),
        ("usdm", "binance/usdm/rest/nautilus/http_futures_market_exchange_info.json", "edited-capture"),
    ],
    ids=["spot-docs-example", "spot-edited-capture", "usdm-edited-capture"],
)
def test_other_lists_read_in_full(market: str, name: str, provenance: str) -> None:
    payload = recorded(name, provenance=provenance)

    found = parse_instruments(MARKETS[market], payload)

    assert len(found) == len(payload["symbols"]) > 0


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
        ({"MIN_NOTIONAL": {"notional": "100"}}, D(100)),
        ({"MIN_NOTIONAL": None}, None),
        ({"MIN_NOTIONAL": {"minNotional": "0.0"}}, None),
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
    assert "count=2 of 3" in caplog.text


@pytest.mark.parametrize("payload", [None, [], {}, {"symbols": {}}, "text"])
def test_an_answer_without_a_list_is_malformed(payload: Any) -> None:
    with pytest.raises(MalformedAnswer):
        parse_instruments(MARKETS["spot"], payload)
