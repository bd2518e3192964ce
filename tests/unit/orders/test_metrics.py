"""How long an outcome stays unknown is measured once, when it ends; what is merely on its way is not unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from clients.exchanges.trading import OrderType, Side, TimeInForce, VenueState
from services.orders.domain import Cause, Event, Order, TradingMode, fold
from services.orders.domain.events import AnswerLost, Body, Intended, NotPlaced, Stated
from services.orders.journal.ledger import Change
from services.orders.metrics import OrdersMetrics

SECOND_NS = 1_000_000_000
INTENT = Intended(
    owner="desk", client_order_id="", venue_client_order_id="ms-1", exchange="binance", market="spot", symbol="BTC/USDT",
    exchange_symbol="BTCUSDT", side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal(10), price=Decimal(99),
    time_in_force=TimeInForce.GTC, post_only=False, reduce_only=False, mode=TradingMode.SIMULATOR, send_until_ns=100,
)  # fmt: skip
SHOWN = Stated(VenueState("NEW"), "New", "x1", filled=None, update_time_ns=None)
LOST = AnswerLost("timeout")


def measured(*steps: tuple[int, Body]) -> tuple[float, float]:
    """Tell what happened to an order, at these seconds; return how many proofs there were, and their seconds."""
    registry = CollectorRegistry()
    metrics = OrdersMetrics(registry)
    metrics.begin("binance")
    events: list[Event] = []
    before: Order | None = None
    for number, (seconds, body) in enumerate(steps, 1):
        events.append(Event("o", number, seconds * SECOND_NS, Cause.CALLER, body))
        order = fold(events)
        assert order is not None
        metrics.changed(Change(number, events[-1], before, order))
        before = order
    labels = {"exchange": "binance"}
    count, total = (
        registry.get_sample_value(f"midstream_orders_proof_seconds_{part}", labels) for part in ("count", "sum")
    )
    assert count is not None
    assert total is not None
    return count, total


@pytest.mark.parametrize(
    ("steps", "proofs"),
    [
        pytest.param([(10, INTENT)], (0, 0), id="on its way"),
        pytest.param([(10, INTENT), (11, SHOWN)], (0, 0), id="answered"),
        pytest.param([(10, INTENT), (12, LOST)], (0, 0), id="still unknown"),
        pytest.param([(10, INTENT), (12, LOST), (32, SHOWN)], (1, 22), id="shown"),
        pytest.param([(10, INTENT), (12, LOST), (40, NotPlaced("proven"))], (1, 30), id="proven not to be there"),
        pytest.param([(10, INTENT), (12, LOST), (32, SHOWN), (50, SHOWN)], (1, 22), id="counted once"),
    ],
)
def test_an_unknown_outcome_is_measured_when_it_ends(
    steps: list[tuple[int, Body]], proofs: tuple[float, float]
) -> None:
    assert measured(*steps) == proofs
