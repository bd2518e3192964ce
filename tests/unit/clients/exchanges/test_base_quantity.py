"""The same figure is another quantity in each instrument: what it is in base currency, the instrument says."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from clients.exchanges.model import Instrument, Payout
from tests.unit.clients.bitmex.stage import XBT_USDT, XBTUSD, XBTUSDT
from tests.unit.clients.bitmex.stage import instrument as of_bitmex
from tests.unit.clients.bybit.stage import INVERSE, LINEAR, SPOT

PRICE = Decimal(50_000)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("made", "quantity", "base"),
    [
        (SPOT, "1000", "1000"),
        (LINEAR, "1000", "1000"),
        (INVERSE, "1000", "0.02"),
        (of_bitmex(XBTUSD), "1000", "0.02"),
        (of_bitmex(XBTUSDT), "1000", "0.001"),
        (of_bitmex(XBT_USDT), "1000", "1000"),
    ],
    ids=lambda one: f"{one.exchange}-{one.symbol}" if isinstance(one, Instrument) else one,
)
def test_a_thousand_is_what_the_instrument_says(made: Instrument, quantity: str, base: str) -> None:
    assert made.base_quantity(Decimal(quantity), PRICE) == Decimal(base)


def test_a_quanto_contract_is_no_quantity_of_anything() -> None:
    assert replace(INVERSE, payout=Payout.QUANTO).base_quantity(Decimal(1000), PRICE) is None
