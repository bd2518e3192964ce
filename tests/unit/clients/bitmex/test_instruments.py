"""BitMEX's instruments as ours: symbols, units, limits."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.bitmex.instruments import parse_instruments
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Instrument, InstrumentKind, Payout
from tests.support.recorded_payloads import recorded
from tests.unit.clients.bitmex.stage import ROWS, XBT_USDT, XBTUSD, XBTUSDT, instrument, on_stage


def _by_symbol(payload: Any) -> dict[str, Instrument]:
    return {made.symbol: made for made in parse_instruments(payload)}


@pytest.mark.quick
def test_the_spot_instruments_of_the_testnet_capture_of_2024() -> None:
    # recorded, captured: testnet, December 2024.
    payload = recorded("bitmex/rest/xchange/instrument_active.json", provenance="captured")["response"]["body"]

    found = _by_symbol(payload)

    btc, eth, sol = found["BTC/USDT"], found["ETH/USDT"], found["SOL/USDT"]
    assert (btc.exchange_symbol, btc.kind, btc.payout) == ("XBT_USDT", InstrumentKind.SPOT, Payout.SPOT)
    assert (btc.lot_size, btc.quantity_min, btc.price_tick) == (Decimal("0.0001"), Decimal("0.0001"), Decimal("0.5"))
    assert (btc.exchange_quantity_scale, btc.contract_size) == (Decimal(100_000_000), Decimal(1))
    assert btc.quantity_max == Decimal(100)
    assert (eth.lot_size, eth.price_tick, eth.exchange_quantity_scale) == (
        Decimal("0.001"),
        Decimal("0.05"),
        Decimal(10**9),
    )
    assert (sol.lot_size, sol.price_tick) == (Decimal("0.001"), Decimal("0.01"))
    assert found["ETH/BTC"].price_tick == Decimal("1e-7")
    assert all(made.tradable for made in found.values())


def test_the_contracts_of_the_capture_of_2021() -> None:
    # recorded, captured: July 2021. SOLUSDT was a quanto then, XBTUSD had a tick of 0.5.
    found = _by_symbol(recorded("bitmex/rest/instrument_active.2021-capture.A.json", provenance="captured"))

    perpetual, dated, quanto = found["BTC/USD:BTC"], found["BTC/USD:BTC-210924"], found["SOL/USDT:BTC"]
    assert (perpetual.kind, perpetual.payout, perpetual.contract_size) == (
        InstrumentKind.PERPETUAL,
        Payout.INVERSE,
        Decimal(1),
    )
    assert (perpetual.lot_size, perpetual.price_tick, perpetual.settle) == (Decimal(100), Decimal("0.5"), "BTC")
    assert (dated.exchange_symbol, dated.kind) == ("XBTU21", InstrumentKind.DELIVERY)
    expiry = datetime(2021, 9, 24, 12, tzinfo=UTC)
    assert dated.expiry_time_ns == int(expiry.timestamp()) * 10**9
    assert (expiry.weekday(), (expiry.day + 7) > 30) == (4, True)
    assert (quanto.payout, quanto.contract_size, quanto.multiplier) == (
        Payout.QUANTO,
        Decimal("0.00001"),
        Decimal(1000),
    )


def test_the_perpetual_of_2024_has_the_tick_of_2024() -> None:
    # recorded, edited-capture: XBTUSD, November 2024.
    row = recorded("bitmex/rest/nautilus/http_get_instrument_xbtusd.json", provenance="edited-capture")

    (made,) = parse_instruments([row])

    assert (made.symbol, made.price_tick, made.lot_size) == ("BTC/USD:BTC", Decimal("0.1"), Decimal(100))
    assert made.multiplier == Decimal(-100_000_000)


def test_a_linear_contract_is_worth_what_the_contract_case_paid_for_it() -> None:
    # recorded, contract-case: 1000 contracts of XBTUSDT at 20933 cost 20.933 USDT.
    case = recorded("bitmex/rest/ccxt/responses.A.json", provenance="contract-case")[1]["expected"]
    made = instrument(XBTUSDT)

    assert (made.symbol, made.payout) == ("BTC/USDT:USDT", Payout.LINEAR)
    assert made.contract_size * case["filled"] * case["average"] == case["cost"]


def test_what_cannot_be_mapped_is_left_out_and_what_is_broken_costs_only_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows: list[Any] = [
        XBTUSD,
        XBTUSD | {"symbol": ".BXBT", "typ": "MRCXXX"},
        XBTUSD | {"symbol": "XBTU25_XBTZ25", "typ": "FFMCSX"},
        XBTUSD | {"symbol": "PREDICT", "typ": "FFICSX"},
        XBTUSD | {"symbol": "XBTZ25", "typ": "FFCCSX"},
        XBTUSDT | {"symbol": "NOLOT", "underlying": "A", "lotSize": None},
        XBTUSDT | {"symbol": "ZERO", "underlying": "B", "underlyingToPositionMultiplier": 0},
        XBTUSD | {"symbol": "ODD", "isInverse": False, "isQuanto": True, "settlCurrency": "Odd"},
        XBTUSDT | {"symbol": "NONAME", "underlying": None},
        XBTUSD | {"symbol": "XBTUSD_TWIN"},
        XBT_USDT | {"state": "Closed"},
        "no row",
    ]

    with caplog.at_level(logging.WARNING):
        found = _by_symbol(
            [
                row
                if isinstance(row, str)
                else {name: Decimal(str(value)) if isinstance(value, float) else value for name, value in row.items()}
                for row in rows
            ]
        )

    assert sorted(found) == ["BTC/USD:BTC", "BTC/USDT"]
    assert found["BTC/USD:BTC"].exchange_symbol == "XBTUSD"
    assert not found["BTC/USDT"].tradable
    assert [record.args[1] for record in caplog.records if isinstance(record.args, tuple)] == [
        "XBTZ25",
        "NOLOT",
        "ZERO",
        "ODD",
        "NONAME",
        "BTC/USD:BTC",
    ]


@pytest.mark.parametrize("payload", [None, {}, "text", {"error": 1}], ids=str)
def test_an_answer_that_is_no_list_is_refused(payload: object) -> None:
    with pytest.raises(MalformedAnswer):
        parse_instruments(payload)


async def test_instruments_are_found_by_unified_symbol_and_misspellings_are_answered_with_suggestions() -> None:
    client, transport = on_stage()

    found = await client.get_instruments()

    assert set(found) == {"BTC/USD:BTC", "BTC/USDT:USDT", "BTC/USDT"}
    assert len(transport.of("/instrument/active")) == 1
    assert len(ROWS) == len(found)
    with pytest.raises(Exception, match="did you mean BTC/USDT"):
        await client.get_quote("BTC/USDTT")
