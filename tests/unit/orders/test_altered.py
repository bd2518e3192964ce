"""Values that are copied by their dictionary are those that `dataclasses.replace` makes."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from functools import cached_property

import pytest

from clients.exchanges.trading import OrderType, Side
from services.orders.domain import Order, OrderState, TradingMode
from services.orders.domain.altered import altered
from services.orders.domain.events import Stated
from services.orders.domain.order import AmendTarget, Leg, Replacement

ORDER = Order(
    "id", "owner", "", "venue-id", "binance", "spot", "BTC/USDT", "BTCUSDT", Side.BUY, OrderType.LIMIT, Decimal("1"),
    Decimal("100.5"), None, False, False, TradingMode.SIMULATOR, OrderState.UNKNOWN, 1, 2, 3,
)  # fmt: skip


@pytest.mark.quick
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Order)])
def test_each_field_is_changed_alone_and_the_value_before_stays_as_it_was(name: str) -> None:
    before = dataclasses.replace(ORDER)

    made = altered(ORDER, **{name: "other"})

    assert made == dataclasses.replace(ORDER, **{name: "other"})
    assert list(vars(made)) == list(vars(ORDER))
    assert before == ORDER


def test_what_is_made_is_as_frozen_as_any_other() -> None:
    made = altered(ORDER, revision=4)

    with pytest.raises(dataclasses.FrozenInstanceError):
        made.revision = 5  # type: ignore[misc]
    assert made != ORDER
    assert hash(made) == hash(dataclasses.replace(ORDER, revision=4))


def test_a_field_that_it_does_not_have_is_an_error() -> None:
    with pytest.raises(TypeError, match="Order has no filed"):
        altered(ORDER, filed=Decimal(1))  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [Order, Stated, AmendTarget, Leg, Replacement])
def test_what_is_copied_is_nothing_but_its_fields(kind: type) -> None:
    assert not hasattr(kind, "__post_init__")
    assert not hasattr(kind, "__slots__")
    assert not [name for name, value in vars(kind).items() if isinstance(value, cached_property)]
    assert all(field.init for field in dataclasses.fields(kind))
