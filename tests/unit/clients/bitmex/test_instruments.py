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
from tests.support.contracts import documents, made
from tests.support.log_records import said
from tests.unit.clients.bitmex.stage import ROWS, XBT_USDT, XBTUSD, XBTUSDT, instrument, on_stage


def _by_symbol(payload: Any) -> dict[str, Instrument]:
    return {made.symbol: made for made in parse_instruments(payload)}


@pytest.mark.quick
def test_the_made_spot_instruments() -> None:
    found = _by_symbol(made("bitmex/spot_instruments").exact)

    btc, eth, sol = found["BTC/USDT"], found["ETH/USDT"], found["SOL/USDT"]
    assert (btc.exchange_symbol, btc.kind, btc.payout) == ("XBT_USDT", InstrumentKind.SPOT, Payout.SPOT)
    assert (btc.lot_size, btc.quantity_min, btc.price_tick) == (Decimal("0.0002"), Decimal("0.0002"), Decimal("0.5"))
    assert (btc.exchange_quantity_scale, btc.contract_size) == (Decimal(100_000_000), Decimal(1))
    assert btc.quantity_max == Decimal(80)
    assert (eth.lot_size, eth.price_tick, eth.exchange_quantity_scale) == (
        Decimal("0.002"),
        Decimal("0.05"),
        Decimal(10**9),
    )
    assert (sol.lot_size, sol.price_tick) == (Decimal("0.003"), Decimal("0.01"))
    assert found["ETH/BTC"].price_tick == Decimal("1e-7")
    assert all(made.tradable for made in found.values())


def test_the_made_contracts() -> None:
    found = _by_symbol(made("bitmex/contracts").exact)

    perpetual, dated, quanto = found["BTC/USD:BTC"], found["BTC/USD:BTC-260327"], found["SOL/USDT:BTC"]
    assert (perpetual.kind, perpetual.payout, perpetual.contract_size) == (
        InstrumentKind.PERPETUAL,
        Payout.INVERSE,
        Decimal(1),
    )
    assert (perpetual.lot_size, perpetual.price_tick, perpetual.settle) == (Decimal(100), Decimal("0.1"), "BTC")
    assert perpetual.multiplier == Decimal(-100_000_000)
    assert (dated.exchange_symbol, dated.kind) == ("XBTH26", InstrumentKind.DELIVERY)
    assert dated.expiry_time_ns == int(datetime(2026, 3, 27, 12, tzinfo=UTC).timestamp()) * 10**9
    assert (quanto.payout, quanto.contract_size, quanto.multiplier) == (
        Payout.QUANTO,
        Decimal("0.00002"),
        Decimal(2000),
    )


@pytest.mark.parametrize("name", ["spot_instruments", "contracts", "instrument"])
def test_every_list_keeps_the_steps_and_units_of_its_rows(name: str) -> None:
    for document in documents(f"bitmex/{name}"):
        rows = document.exact if isinstance(document.exact, list) else [document.exact]

        found = {made.exchange_symbol: made for made in parse_instruments(rows)}

        assert set(found) == {row["symbol"] for row in rows}, document
        for row in rows:
            instrument = found[row["symbol"]]
            assert instrument.price_tick == row["tickSize"]
            assert instrument.lot_size * instrument.exchange_quantity_scale == row["lotSize"]
            assert instrument.multiplier == row["multiplier"]
            expiry = row.get("expiry")
            made_of = None if instrument.expiry_time_ns is None else instrument.expiry_time_ns // 10**9
            assert made_of == (None if expiry is None else int(datetime.fromisoformat(expiry).timestamp()))


def test_a_linear_contract_is_worth_what_the_case_paid_for_it() -> None:
    linear = instrument(XBTUSDT)

    assert (linear.symbol, linear.payout) == ("BTC/USDT:USDT", Payout.LINEAR)
    for document in documents("bitmex/answers"):
        case = document.exact[1]["expected"]
        assert linear.contract_size * case["filled"] * case["average"] == case["cost"], document


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
    assert [told["symbol"] for _, told in said(caplog.records)] == [
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
