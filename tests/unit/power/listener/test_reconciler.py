"""The comparison with the exchange's list: what is fetched, what is only under way, how far the list was walked."""

from __future__ import annotations

import asyncio

from clients.power.deals import Deal, Flag
from clients.power.deals.model import Item
from clients.power.deals.replay import ReplayClient
from services.power.listener.reconciler import PAUSE_S, Reconciler
from tests.support.power_list import URL, FakeExchange
from tests.support.power_messages import RECEIVED_NS


class Compared:
    """A reconciler with what it handed on."""

    def __init__(self, *ids: str) -> None:
        self.exchange = FakeExchange(ids)
        self.items: list[str] = []
        self.reconciler = Reconciler(
            ReplayClient(URL, self.exchange),
            self._take,
            busy=lambda: False,
            sleep=asyncio.sleep,
            wall_ns=lambda: RECEIVED_NS,
        )

    async def _take(self, item: Item) -> None:
        assert isinstance(item, Deal)
        assert Flag.BACKFILLED in item.flags
        self.items.append(item.id)

    def saw(self, *ids: str) -> None:
        for each in ids:
            self.reconciler.saw(each)


async def test_a_deal_that_is_missing_twice_is_fetched() -> None:
    compared = Compared("a", "b", "c")
    compared.saw("a", "c")

    await compared.reconciler.compare()
    assert compared.items == []
    await compared.reconciler.compare()

    assert compared.items == ["b"]
    assert compared.reconciler.fetched == 1


async def test_a_deal_that_was_only_under_way_is_not_fetched() -> None:
    compared = Compared("a", "b")
    compared.saw("a")
    await compared.reconciler.compare()
    compared.saw("b")

    await compared.reconciler.compare()
    await compared.reconciler.compare()

    assert compared.items == []
    assert compared.exchange.asked[-1].endswith("after=b&limit=1000")


async def test_a_long_list_is_walked_page_by_page() -> None:
    ids = [f"d{number}" for number in range(10)]
    compared = Compared(*ids)
    compared.exchange.page = 3
    compared.saw(*ids[:2], *ids[5:])

    await compared.reconciler.compare()

    assert compared.items == ["d2", "d3", "d4"]


async def test_a_list_that_forgot_where_we_were_is_read_again() -> None:
    compared = Compared("a", "b")
    compared.saw("a", "b")
    await compared.reconciler.compare()
    compared.exchange.ids = ["x"]

    for _ in range(3):
        await compared.reconciler.compare()

    assert compared.items == ["x"]


async def test_an_exchange_without_a_list_is_asked_rarely() -> None:
    compared = Compared()
    compared.exchange.status = 404

    assert await compared.reconciler.compare() == PAUSE_S
