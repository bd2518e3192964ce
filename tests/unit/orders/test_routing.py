"""The same amount in another exchange's unit, or no failover."""

from __future__ import annotations

from decimal import Decimal

import pytest

from clients.exchanges.model import InstrumentKind, Payout
from services.orders.engine.routing import equivalent_quantity
from tests.support.scripted_market import instrument

BASE = instrument("binance", "usdm", "BTC/USDT:USDT")


@pytest.mark.parametrize(
    ("changes", "quantity", "expected"),
    [
        ({}, "0.5", "0.5"),
        ({"contract_size": Decimal("0.000001"), "lot_size": Decimal(1000)}, "0.5", "500000"),
        ({"contract_size": Decimal("0.000001"), "lot_size": Decimal(1000)}, "0.0005", None),
        ({"contract_size": Decimal(3), "lot_size": Decimal("0.001")}, "1", None),
        ({"lot_size": Decimal("0.01")}, "0.005", None),
        ({"payout": Payout.INVERSE}, "0.5", None),
        ({"kind": InstrumentKind.DELIVERY}, "0.5", None),
    ],
)
def test_quantities_are_converted_exactly_or_not_at_all(
    changes: dict[str, object], quantity: str, expected: str | None
) -> None:
    target = instrument("bitmex", "bitmex", "BTC/USDT:USDT", **changes)

    converted = equivalent_quantity(BASE, target, Decimal(quantity))

    assert converted == (Decimal(expected) if expected is not None else None)


def test_quanto_contracts_are_never_equivalent() -> None:
    quanto = instrument("bitmex", "bitmex", "BTC/USDT:USDT", payout=Payout.QUANTO)

    assert equivalent_quantity(quanto, quanto, Decimal(1)) is None
