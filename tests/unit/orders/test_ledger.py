"""Orders in memory: what is decided about them, and when."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from importlib import import_module

import pytest

from clients.exchanges.trading import OrderType, Side, TimeInForce, VenueState
from services.orders.domain import Body, Cause, Folded, Order, TradingMode
from services.orders.domain.events import CancelAsked, Intended, Stated
from services.orders.domain.fold import merged
from services.orders.journal.ledger import OrderLedger
from services.orders.ports import Ports
from tests.support.memory_journal import MemoryJournal

NAME = f"{1:032x}"
INTENDED = Intended(
    owner="desk", client_order_id="", venue_client_order_id="ms-1", exchange="binance", market="spot",
    symbol="BTC/USDT", exchange_symbol="BTCUSDT", side=Side.BUY, type=OrderType.LIMIT, quantity=Decimal("1.5"),
    price=Decimal(99), time_in_force=TimeInForce.GTC, post_only=False, reduce_only=False,
    mode=TradingMode.SIMULATOR, send_until_ns=10**18,
)  # fmt: skip


async def test_a_statement_that_changes_nothing_makes_no_task_and_no_entry() -> None:
    journal = MemoryJournal()
    ledger = OrderLedger(journal, Ports())
    order = await ledger.create(NAME, INTENDED, Cause.CALLER)

    unchanged = ledger.change(NAME, lambda now: None, Cause.STREAM)

    with pytest.raises(StopIteration) as done:
        unchanged.send(None)

    assert done.value.value is order
    assert len(journal.kept) == 1


async def test_a_change_is_decided_once_and_anew_where_another_one_came_first() -> None:
    ledger = OrderLedger(MemoryJournal(), Ports())
    order = await ledger.create(NAME, INTENDED, Cause.CALLER)
    seen: list[int] = []

    def cancelling(now: Order) -> Body:
        seen.append(now.revision)
        return CancelAsked()

    stated = Stated(VenueState.NEW, "NEW", "x1")
    alone = await ledger.change(order.order_id, cancelling, Cause.CALLER)
    after = await asyncio.gather(
        ledger.change(order.order_id, lambda now: stated, Cause.STREAM),
        ledger.change(order.order_id, cancelling, Cause.CALLER),
    )

    assert seen == [1, 2, 3]
    assert alone.revision == 2
    assert [one.revision for one in after] == [3, 4]
    assert after[1].exchange_order_id == "x1"


async def test_what_was_folded_to_be_looked_at_is_not_folded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = OrderLedger(MemoryJournal(), Ports())
    before = await ledger.create(NAME, INTENDED, Cause.CALLER)
    stated = Stated(VenueState.NEW, "NEW", "x1")
    after = merged(before, stated)
    monkeypatch.setattr(import_module("services.orders.domain.fold"), "merged", lambda *_: pytest.fail("folded again"))

    order = await ledger.change(NAME, lambda now: Folded(stated, after), Cause.STREAM)

    assert order == replace(after, revision=2, updated_ns=order.updated_ns)
    assert order.updated_ns >= before.updated_ns
