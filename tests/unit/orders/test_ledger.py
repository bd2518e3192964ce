"""Orders in memory: what is decided about them, and when."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from importlib import import_module

import pytest

from clients.exchanges.endings import EndedBy
from clients.exchanges.trading import OrderType, Side, TimeInForce, VenueState
from services.orders.domain import Body, Cause, Folded, Order, TradingMode
from services.orders.domain.events import CancelAsked, Discovered, Intended, Stated
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


@pytest.mark.parametrize("remembered", [True, False], ids=["in-memory", "from-the-journal"])
async def test_orders_of_others_may_share_a_client_id(remembered: bool) -> None:
    journal = MemoryJournal()
    ledger = OrderLedger(journal, Ports())
    places = [("usdm", "7"), ("coinm", "7"), ("usdm", "8")]
    for number, (market, exchange_id) in enumerate(places, 1):
        body = Discovered(
            exchange="binance", market=market, symbol="s", exchange_symbol="s", exchange_order_id=exchange_id,
            venue_client_order_id="adl_autoclose", side=Side.SELL, type=OrderType.MARKET, time_in_force=None,
            mode=TradingMode.SIMULATOR, state=VenueState.FILLED, raw_state="FILLED", quantity=Decimal(1), price=None,
            filled=Decimal(1), average_price=None, update_time_ns=1, reason="", ended_by=EndedBy.DELEVERAGING,
        )  # fmt: skip
        await ledger.create(f"{number:032x}", body, Cause.STREAM)
    asked = ledger if remembered else OrderLedger(journal, Ports())

    found = [await asked.by_venue_ids("binance", market, "adl_autoclose", name) for market, name in places]
    another = await asked.by_venue_ids("binance", "usdm", "adl_autoclose", "9")
    unnamed = await asked.by_venue_ids("binance", "usdm", "adl_autoclose", "")

    assert [one.order_id for one in found if one is not None] == [f"{number:032x}" for number in (1, 2, 3)]
    assert another is None
    assert unnamed is not None


async def test_a_client_id_of_ours_is_never_that_of_another_order() -> None:
    ledger = OrderLedger(MemoryJournal(), Ports())
    order = await ledger.create(NAME, INTENDED, Cause.CALLER)
    await ledger.change(order.order_id, lambda now: Stated(VenueState.NEW, "NEW", "x1"), Cause.STREAM)

    found = await ledger.by_venue_ids("binance", "spot", "ms-1", "x2")

    # That the exchange has two under one id is what the desk has to be told of.
    assert found is not None
    assert found.order_id == order.order_id
