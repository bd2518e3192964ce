"""How long the simulated Bybit knows what: five hundred closed orders, a day, seven days, one page."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from services.simulators.bybit.limits import LimitOptions
from services.simulators.bybit.sightings import CLOSED_MAX
from tests.support.simulated_calls import BybitCalls, admin, virtual_bybit
from tests.support.virtual_time import VirtualLoop, run_virtual

ROOMY = LimitOptions(factor=1000, address_requests=100_000)
DAY_S = 86_400
EXECUTIONS = "/v5/execution/list"


async def fill(calls: BybitCalls, link_id: str) -> None:
    await calls.create(orderLinkId=link_id, orderType="Market")


@pytest.mark.quick
def test_realtime_remembers_five_hundred_closed_orders_and_a_restart_forgets_them() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, limits=ROOMY)
        for number in range(CLOSED_MAX + 1):
            await calls.create(orderLinkId=f"n{number}", timeInForce="IOC")
        await calls.create(orderLinkId="open")
        await asyncio.sleep(3)

        oldest = await calls.orders(orderLinkId="n0")
        next_one = await calls.orders(orderLinkId="n1")
        newest = await calls.orders(openOnly=1, limit=2)
        in_history = await calls.orders("history", orderLinkId="n0")
        forgotten = admin(calls.venue, "POST", "/sim/orders/forget-closed", {"category": "linear"})
        after = await calls.orders(orderLinkId="n1")
        still = await calls.orders(orderLinkId="open")

        assert oldest == []
        assert [one["orderLinkId"] for one in next_one] == ["n1"]
        assert [one["orderLinkId"] for one in newest] == ["n500", "n499"]
        assert [one["orderLinkId"] for one in in_history] == ["n0"], "history has it all the same"
        assert forgotten == {"forgotten": CLOSED_MAX}
        assert after == []
        assert [one["orderStatus"] for one in still] == ["New"]
        assert "error" in admin(calls.venue, "POST", "/sim/orders/forget-closed", {"category": "options"})

    run_virtual(main)


def test_memory_is_of_each_category_by_itself() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, limits=ROOMY)
        await calls.create(orderLinkId="linear", timeInForce="IOC")
        await calls.create(category="spot", orderLinkId="spot", timeInForce="IOC")
        await asyncio.sleep(1)
        admin(calls.venue, "POST", "/sim/orders/forget-closed", {"category": "spot"})

        assert await calls.orders(orderLinkId="linear")
        assert await calls.orders(category="spot", orderLinkId="spot") == []

    run_virtual(main)


@pytest.mark.quick
def test_an_order_that_never_filled_is_gone_from_everywhere_a_day_after_its_end() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        await calls.create(orderLinkId="unfilled", timeInForce="IOC")
        await fill(calls, "filled")
        await asyncio.sleep(DAY_S - 60)
        before = [await calls.orders(where, orderLinkId="unfilled") for where in ("realtime", "history")]
        await asyncio.sleep(120)
        after = [await calls.orders(where, orderLinkId="unfilled") for where in ("realtime", "history")]
        filled = await calls.orders("history", orderLinkId="filled")

        assert [len(rows) for rows in before] == [1, 1]
        assert after == [[], []]
        assert [one["orderStatus"] for one in filled] == ["Filled"]

    run_virtual(main)


def test_history_and_executions_are_of_seven_days_unless_other_seven_are_named() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        start_ms = loop.wall_ns() // 1_000_000
        await fill(calls, "old")
        await asyncio.sleep(8 * DAY_S)
        await fill(calls, "new")
        await asyncio.sleep(2)
        end_ms = loop.wall_ns() // 1_000_000

        usual = await calls.orders("history")
        early = await calls.orders("history", startTime=start_ms)
        late = await calls.orders("history", endTime=end_ms)
        fills = (await calls.signed("GET", EXECUTIONS, category="linear", execType="Trade")).rows
        first = (await calls.signed("GET", EXECUTIONS, category="linear", execType="Trade", startTime=start_ms)).rows
        wide = await calls.signed(
            "GET", EXECUTIONS, category="linear", execType="Trade", startTime=start_ms, endTime=end_ms
        )

        assert [one["orderLinkId"] for one in usual] == ["new"]
        assert [one["orderLinkId"] for one in early] == ["old"]
        assert [one["orderLinkId"] for one in late] == ["new"]
        assert [one["orderLinkId"] for one in fills] == ["new"]
        assert [one["orderLinkId"] for one in first] == ["old"]
        assert wide.ret[0] == 10001

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize("category", ["linear", "spot"])
@pytest.mark.parametrize("where", ["realtime", "history"])
def test_pages_go_on_where_the_cursor_says_and_even_the_last_has_one(where: str, category: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, limits=ROOMY)
        kind = {"timeInForce": "IOC"} if where == "history" else {}
        for number in range(5):
            await calls.create(category=category, orderLinkId=f"n{number}", **kind)
            await asyncio.sleep(0.01)
        await asyncio.sleep(2)
        names, cursors = [], [""]
        while True:
            query = f"category={category}&symbol=BTCUSDT&limit=2" + (f"&cursor={cursors[-1]}" if cursors[-1] else "")
            answer = await calls.signed("GET", f"/v5/order/{where}", query=query)
            if not answer.rows:
                break
            names.append([one["orderLinkId"] for one in answer.rows])
            cursors.append(answer.result["nextPageCursor"])
        decoded = await calls.signed("GET", f"/v5/order/{where}", category=category, symbol="BTCUSDT", cursor="nosuch")

        assert names == [["n4", "n3"], ["n2", "n1"], ["n0"]], "newest first"
        assert len(cursors) == 4, "one came with the last page as well"
        assert answer.result["nextPageCursor"] == ""
        assert decoded.ret[0] == 10001
        assert ("%" in cursors[1]) is (category == "linear"), "of spot it is a bare id"

    run_virtual(main)


def test_executions_are_paged_by_a_cursor_that_arrives_encoded() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, limits=ROOMY)
        for number in range(3):
            await fill(calls, f"n{number}")
        await asyncio.sleep(2)

        first = (await calls.signed("GET", EXECUTIONS, query="category=linear&limit=2")).result
        second = await calls.signed(
            "GET", EXECUTIONS, query=f"category=linear&limit=2&cursor={first['nextPageCursor']}"
        )
        other = await calls.signed("GET", EXECUTIONS, query="category=linear&execType=Funding")

        assert first["nextPageCursor"] == quote(first["nextPageCursor"].replace("%3A", ":").replace("%2C", ","))
        assert [one["orderLinkId"] for one in [*first["list"], *second.rows]] == ["n2", "n1", "n0"]
        assert other.rows == []

    run_virtual(main)


def test_listing_of_open_linear_orders_must_say_of_what() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        path = "/v5/order/realtime"
        await calls.create(orderLinkId="mine")
        await asyncio.sleep(1)

        bare = await calls.signed("GET", path, category="linear")
        settle = await calls.signed("GET", path, category="linear", settleCoin="USDT")
        base = await calls.signed("GET", path, category="linear", baseCoin="ETH")
        stronger = await calls.signed("GET", path, category="linear", orderLinkId="mine", symbol="ETHUSDT")
        spot = await calls.signed("GET", path, category="spot")
        nobody = await calls.signed("GET", path, category="linear", orderLinkId="nosuch")

        assert bare.ret[0] == 10001
        assert [len(one.rows) for one in (settle, base, stronger, spot)] == [1, 0, 1, 0]
        assert (nobody.ret, nobody.rows, nobody.result["nextPageCursor"]) == ((0, "OK"), [], "")

    run_virtual(main)
