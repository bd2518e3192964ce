"""Orders on the simulated Bybit: acknowledged first, seen later, ended with a cause."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from services.simulators.bybit.sightings import RowDelays
from tests.support.simulated_calls import CALM, BybitCalls, admin, set_faults, virtual_bybit
from tests.support.virtual_time import VirtualLoop, run_virtual

D = Decimal
SEEN_S = 1.0
"""All delays are over by then."""


async def ended(calls: BybitCalls, **parameters: object) -> dict[str, Any]:
    """Place an order that ends by itself; return its row."""
    link_id = str(parameters.setdefault("orderLinkId", f"e-{calls.venue.random.random()}".replace(".", "")[:20]))
    answer = await calls.create(**parameters)
    assert answer.ret[0] == 0, answer.payload
    await asyncio.sleep(SEEN_S)
    named = {name: parameters[name] for name in ("category", "symbol") if name in parameters}
    (row,) = await calls.orders("history", orderLinkId=link_id, **named)
    found: dict[str, Any] = row
    return found


@pytest.mark.quick
def test_an_order_is_acknowledged_first_then_seen_open_then_in_history_when_it_ended() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, delays=RowDelays(row_s=(0.1, 0.1), history_s=(0.4, 0.4)))

        answer = await calls.create(orderLinkId="mine")
        at_once = await calls.orders(orderLinkId="mine")
        await asyncio.sleep(0.1)
        seen = await calls.orders(orderLinkId="mine")
        listed = await calls.orders()
        await calls.named("cancel", "mine")
        canceling = await calls.orders(orderLinkId="mine")
        await asyncio.sleep(0.1)
        canceled = await calls.orders(orderLinkId="mine")
        no_longer = await calls.orders()
        early = await calls.orders("history", orderLinkId="mine")
        await asyncio.sleep(0.4)
        late = await calls.orders("history", orderLinkId="mine")

        assert answer.ret == (0, "OK")
        assert set(answer.result) == {"orderId", "orderLinkId"}
        assert at_once == []
        assert [one["orderId"] for one in seen] == [answer.result["orderId"]]
        assert listed == seen
        assert canceling[0]["orderStatus"] == "New", "the cancel was acknowledged, and nobody sees it yet"
        assert (canceled[0]["orderStatus"], canceled[0]["cancelType"]) == ("Cancelled", "CancelByUser")
        assert canceled[0]["leavesQty"] == "0.000"
        assert (no_longer, early) == ([], [])
        assert late == canceled

    run_virtual(main)


def test_rows_take_seeded_times_that_never_overtake_each_other() -> None:
    def times() -> list[int]:
        found: list[int] = []

        async def main(loop: VirtualLoop) -> None:
            calls = virtual_bybit(loop)
            for number in range(8):
                await calls.create(orderLinkId=str(number))
            for _ in range(250):
                await asyncio.sleep(0.001)
                found.append(len(await calls.orders()) if not len(found) % 10 else found[-1])

        run_virtual(main)
        return found

    first, again = times(), times()

    assert first == again
    assert (first[0], first[-1]) == (0, 8)
    assert first == sorted(first)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("parameters", "status", "cancel_type", "reason"),
    [
        ({"timeInForce": "IOC"}, "Cancelled", "UNKNOWN", "EC_NoImmediateQtyToFill"),
        ({"timeInForce": "FOK", "qty": "1000", "price": "65020"}, "Cancelled", "UNKNOWN", "EC_CancelForNoFullFill"),
        ({"timeInForce": "PostOnly", "price": "65500"}, "Cancelled", "UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
        ({"category": "spot", "timeInForce": "PostOnly", "price": "65500"}, "Rejected", "UNKNOWN",
         "EC_PostOnlyWillTakeLiquidity"),
        ({"orderType": "Market"}, "Filled", "UNKNOWN", "EC_NoError"),
        ({"category": "inverse", "symbol": "BTCUSD", "orderType": "Market", "qty": "5000000"}, "Cancelled", "UNKNOWN",
         "EC_NoEnoughQtyToFill"),
        ({"timeInForce": "IOC", "qty": "50", "price": "65020"}, "Cancelled", "UNKNOWN", "EC_NoImmediateQtyToFill"),
        ({"category": "spot", "timeInForce": "IOC", "qty": "9", "price": "65000"}, "PartiallyFilledCanceled", "UNKNOWN",
         "EC_NoImmediateQtyToFill"),
    ],
    ids=["ioc", "fok", "post-only", "post-only spot", "market", "market beyond the book", "ioc in part", "ioc in part spot"],
)  # fmt: skip
def test_every_end_says_who_and_why(parameters: dict[str, object], status: str, cancel_type: str, reason: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, replace(CALM, depth=D("0.1")))

        row = await ended(calls, **parameters)

        assert (row["orderStatus"], row["cancelType"], row["rejectReason"]) == (status, cancel_type, reason)
        assert row["avgPrice"] == "" if not D(row["cumExecQty"]) else D(row["avgPrice"]) > 0

    run_virtual(main)


def test_reduce_only_that_has_nothing_left_to_reduce_is_ended_by_the_exchange() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        nothing = await calls.create(side="Sell", price="65500", reduceOnly=True)
        await calls.create(orderType="Market", qty="0.002")
        await calls.create(side="Sell", price="65500", qty="0.002", reduceOnly=True, orderLinkId="reduces")
        await calls.create(side="Sell", orderType="Market", qty="0.002")
        await asyncio.sleep(1)
        admin(calls.venue, "PUT", "/sim/prices", {"BTC": 65600})
        await asyncio.sleep(SEEN_S)

        (row,) = await calls.orders("history", orderLinkId="reduces")

        assert nothing.ret[0] == 110017
        assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByReduceOnly")

    run_virtual(main)


@pytest.mark.quick
def test_a_cancel_that_comes_after_a_fill_nobody_saw_yet_brings_a_second_filled_row() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, delays=RowDelays(row_s=(0.1, 0.1)))
        await calls.create(orderLinkId="raced")
        await asyncio.sleep(SEEN_S)
        number = admin(calls.venue, "GET", "/sim/orders")[0]["id"]
        admin(calls.venue, "POST", f"/sim/orders/{number}/fill", {})

        answer = await calls.named("cancel", "raced")
        await asyncio.sleep(SEEN_S)
        (row,) = await calls.orders(orderLinkId="raced")
        (fill,) = (await calls.signed("GET", "/v5/execution/list", category="linear")).rows
        again = await calls.named("cancel", "raced")
        amended = await calls.named("amend", "raced", qty="0.002")

        assert answer.ret[0] == 0
        assert (row["orderStatus"], row["cancelType"]) == ("Filled", "CancelByUser")
        assert row["rejectReason"] == "EC_OrigClOrdIDDoesNotExist"
        assert fill["execQty"] == "0.001"
        assert again.ret == (110001, "order not exists or too late to cancel")
        assert amended.ret == (110001, "order not exists or too late to replace")

    run_virtual(main)


def test_ids_of_clients_are_taken_for_ever_and_over_all_categories() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        poor = await calls.create(orderLinkId="mine", qty="1000", price="64000")
        first = await calls.create(orderLinkId="mine")
        await calls.named("cancel", "mine")
        await asyncio.sleep(90_000)

        again = await calls.create(orderLinkId="mine")
        spot = await calls.create(category="spot", orderLinkId="mine")
        gone = await calls.orders(orderLinkId="mine")

        assert poor.ret == (110007, "ab not enough for new order")
        assert first.ret[0] == 0, "what was refused at the door has taken no id"
        assert (again.ret[0], spot.ret[0]) == (110072, 170141)
        assert gone == [], "a day later nobody knows the order, and its id is taken still"

    run_virtual(main)


def test_prices_beyond_the_limit_are_moved_on_futures_and_refused_on_spot_and_switches_turn_both() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        limit = (await calls.get("/v5/market/price-limit", category="linear", symbol="BTCUSDT")).result
        switch, read = "/v5/account/set-limit-px-action", "/v5/account/user-setting-config"

        moved = await ended(calls, price="70000", timeInForce="IOC")
        refused = await calls.create(category="spot", price="70000")
        low = await calls.create(category="spot", side="Sell", price="60000")
        before = (await calls.signed("GET", read)).result
        for category, enable in (("linear", False), ("spot", True)):
            assert (await calls.signed("POST", switch, {"category": category, "modifyEnable": enable})).ret[0] == 0
        after = (await calls.signed("GET", read)).result
        rejected = await calls.create(price="70000")
        adjusted = await ended(calls, category="spot", price="70000", timeInForce="IOC")

        assert (moved["price"], moved["orderStatus"]) == (limit["buyLmt"], "Filled")
        assert refused.ret == (170372, "Order price cannot be higher than 65650.0, the price limitation.")
        assert low.ret[0] == 170371
        assert (before["lpaSpot"], before["lpaPerp"]) == (False, False)
        assert (after["lpaSpot"], after["lpaPerp"]) == (True, True), "the two say it in opposite senses"
        assert rejected.ret[0] == 110003
        assert adjusted["price"] == "65650.0"

    run_virtual(main)


def test_amended_price_is_moved_to_the_limit_as_well() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        await calls.create(side="Sell", price="66000", orderLinkId="mine", timeInForce="PostOnly")
        await calls.named("amend", "mine", price="60000")
        await asyncio.sleep(SEEN_S)

        (row,) = await calls.orders("history", orderLinkId="mine")

        assert row["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"

    run_virtual(main)


@pytest.mark.quick
def test_amends_are_absolute_keep_the_ids_and_one_that_changes_nothing_is_refused() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        placed = (await calls.create(orderLinkId="mine", qty="0.004")).result
        await asyncio.sleep(SEEN_S)
        number = admin(calls.venue, "GET", "/sim/orders")[0]["id"]
        admin(calls.venue, "POST", f"/sim/orders/{number}/fill", {"quantity": "0.002"})

        amended = await calls.named("amend", "mine", qty="0.005", price="59000.5")
        same = await calls.named("amend", "mine", qty="0.005")
        filled = await calls.named("amend", "mine", qty="0.002")
        off = await calls.named("amend", "mine", qty="0.0055")
        nobody = await calls.named("amend", "nosuch", qty="1")
        await asyncio.sleep(SEEN_S)
        (row,) = await calls.orders()

        assert amended.result == placed
        assert same.ret == (10001, "order not modified")
        assert filled.ret[0] == 110064
        assert off.ret == (10001, "params error: qty err")
        assert nobody.ret[0] == 110001
        assert (row["qty"], row["price"], row["leavesQty"]) == ("0.005", "59000.50", "0.003")
        assert (row["orderStatus"], row["cumExecQty"]) == ("PartiallyFilled", "0.002")

    run_virtual(main)


def test_spot_amends_too_and_has_its_own_codes() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        await calls.create(category="spot", orderLinkId="mine")

        amended = await calls.named("amend", "mine", category="spot", price="59000")
        gone = await calls.named("cancel", "nosuch", category="spot")
        elsewhere = await calls.named("cancel", "mine")
        poor = await calls.create(category="spot", qty="100")
        tick = await calls.create(category="spot", price="60000.05")
        step = await calls.create(category="spot", qty="0.0000015")
        small = await calls.create(category="spot", qty="0.00001")

        assert amended.ret[0] == 0
        assert gone.ret == (170213, "Order does not exist.")
        assert elsewhere.ret[0] == 110001, "a symbol is unique only with its category"
        assert [one.ret[0] for one in (poor, tick, step, small)] == [170131, 170134, 170137, 170140]

    run_virtual(main)


def test_market_buy_on_spot_counts_quote_coin_unless_told_otherwise_and_fees_are_in_what_was_received() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        market = {"category": "spot", "orderType": "Market"}

        by_quote = await ended(calls, **market, qty="100")
        by_base = await ended(calls, **market, qty="0.01", marketUnit="baseCoin")
        sold = await ended(calls, **market, qty="0.01", side="Sell")
        wallet = (await calls.signed("GET", "/v5/account/wallet-balance", accountType="UNIFIED", coin="BTC")).rows
        fills = (await calls.signed("GET", "/v5/execution/list", category="spot")).rows

        assert (by_quote["qty"], by_quote["orderStatus"]) == ("100", "PartiallyFilledCanceled")
        assert D(by_quote["cumExecQty"]) == D("0.001538")
        assert 0 < D(by_quote["leavesValue"]) < D("0.1"), "some cents are left: that is a complete execution"
        assert (by_base["orderStatus"], by_base["cumExecQty"]) == ("Filled", "0.010000")
        assert list(by_base["cumFeeDetail"]) == ["BTC"]
        assert list(sold["cumFeeDetail"]) == ["USDT"]
        assert {(one["side"], one["feeCurrency"]) for one in fills} == {("Buy", "BTC"), ("Sell", "USDT")}
        bought = D("0.001538") + D("0.01")
        assert D(wallet[0]["coin"][0]["walletBalance"]) == pytest.approx(
            20 + bought * D("0.999") - D("0.01"), abs=D("1e-7")
        )

    run_virtual(main)


def test_wallet_tells_what_open_orders_hold_back_and_is_of_a_unified_account() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        short = await calls.create(category="inverse", symbol="BTCUSD", qty="1000000", price="64000")
        (row,) = (await calls.signed("GET", "/v5/account/wallet-balance", accountType="UNIFIED", coin="BTC")).rows
        other = await calls.signed("GET", "/v5/account/wallet-balance", accountType="CONTRACT")

        assert short.ret[0] == 0
        assert other.ret[0] == 10001
        assert row["coin"][0]["totalOrderIM"] == "0.78125"

    run_virtual(main)


def test_spot_and_inverse_draw_on_the_same_coin() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        sold = [await calls.create(category="spot", symbol="ETHUSDT", side="Sell", qty="299", price="3210")]

        margin = await calls.create(category="inverse", symbol="ETHUSD", qty="100000", price="3190")
        small = await calls.create(category="inverse", symbol="ETHUSD", qty="10000", price="3190")

        assert [one.ret[0] for one in sold] == [0]
        assert margin.ret[0] == 110007
        assert small.ret[0] == 0

    run_virtual(main)


@pytest.mark.quick
def test_a_batch_is_outwardly_fine_and_each_item_has_its_own_code() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        one = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": "60000"}
        orders = [
            {**one, "orderLinkId": "a"},
            {**one, "orderLinkId": "a"},
            {**one, "orderLinkId": "c", "qty": "0"},
            {**one, "symbol": "NOSUCH"},
        ]

        placed = await calls.signed("POST", "/v5/order/create-batch", {"category": "linear", "request": orders})
        canceled = await calls.signed(
            "POST",
            "/v5/order/cancel-batch",
            {"category": "linear", "request": [{"symbol": "BTCUSDT", "orderLinkId": name} for name in ("a", "b")]},
        )
        rows, codes = placed.rows, placed.payload["retExtInfo"]["list"]

        assert placed.ret[0] == 0
        assert [code["code"] for code in codes] == [0, 110072, 10001, 10001]
        assert [bool(row["orderId"]) for row in rows] == [True, False, False, False]
        assert [row["orderLinkId"] for row in rows] == ["a", "a", "c", ""]
        assert [bool(row["createAt"]) for row in rows] == [True, False, False, False]
        assert [code["code"] for code in canceled.payload["retExtInfo"]["list"]] == [0, 110001]

    run_virtual(main)


def test_a_batch_costs_its_orders_and_what_does_not_fit_fails_item_by_item() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        one = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": "60000"}

        async def batch(category: str, count: int) -> tuple[list[int], Any]:
            payload = {"category": category, "request": [one] * count}
            answer = await calls.signed("POST", "/v5/order/create-batch", payload)
            codes = [item["code"] for item in answer.payload["retExtInfo"].get("list", [])]
            return codes, answer.ret[0]

        assert await batch("linear", 8) == ([0] * 8, 0)
        assert await batch("linear", 5) == ([0, 0, 10006, 10006, 10006], 0)
        assert await batch("linear", 1) == ([], 10006)
        assert await batch("linear", 21) == ([], 10006)
        assert await batch("spot", 11) == ([], 10001)

    run_virtual(main)


def test_cancel_all_needs_to_be_told_what_of_futures_and_leaves_the_rest() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        for symbol in ("BTCUSDT", "ETHUSDT", "BTCPERP"):
            price = "3000" if symbol.startswith("ETH") else "60000"
            await calls.create(symbol=symbol, price=price, qty="0.01")
        await calls.create(category="spot")
        path = "/v5/order/cancel-all"

        bare = await calls.signed("POST", path, {"category": "linear"})
        base = await calls.signed("POST", path, {"category": "linear", "baseCoin": "ETH"})
        settle = await calls.signed("POST", path, {"category": "linear", "settleCoin": "USDT"})
        spot = await calls.signed("POST", path, {"category": "spot"})
        left = admin(calls.venue, "GET", "/sim/orders?open=true")

        assert bare.ret[0] == 10001
        assert [len(one.rows) for one in (base, settle, spot)] == [1, 1, 1]
        assert settle.result["success"] == "1"
        assert [one["symbol"] for one in left] == ["BTCPERP"]

    run_virtual(main)


def test_hedge_mode_has_two_rows_and_wants_the_side_named() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        one_way = (await calls.signed("GET", "/v5/position/list", category="linear", symbol="BTCUSDT")).rows
        wrong = await calls.create(positionIdx=1)
        switched = await calls.signed(
            "POST", "/v5/position/switch-mode", {"category": "linear", "coin": "USDT", "mode": 3}
        )
        again, one_again = [
            await calls.signed("POST", "/v5/position/switch-mode", {"category": "linear", **what, "mode": 3})
            for what in ({"coin": "USDT"}, {"symbol": "BTCUSDT"})
        ]

        plain = await calls.create()
        named = await calls.create(positionIdx=1, orderType="Market")
        usdc = await calls.create(symbol="BTCPERP")
        rows = (await calls.signed("GET", "/v5/position/list", category="linear", symbol="BTCUSDT")).rows
        back = admin(calls.venue, "PUT", "/sim/position-mode", {"hedge": False})

        assert [(one["positionIdx"], one["side"], one["size"]) for one in one_way] == [(0, "", "0.000")]
        assert wrong.ret == (10001, "position idx not match position mode")
        assert (switched.ret[0], again.ret[0], one_again.ret[0]) == (0, 0, 110025)
        assert plain.ret == (10001, "position idx not match position mode")
        assert (named.ret[0], usdc.ret[0]) == (0, 0)
        assert [(one["positionIdx"], one["side"], one["size"]) for one in rows] == [
            (1, "Buy", "0.001"),
            (2, "", "0.000"),
        ]
        assert back == {"account": "demo", "hedge": False}

    run_virtual(main)


@pytest.mark.parametrize(
    ("why", "cancel_type"),
    [
        ("liquidation", "CancelByPrepareLiq"),
        ("auto-deleveraging", "CancelByPrepareAdl"),
        ("administration", "CancelByAdmin"),
        ("settlement", "CancelBySettle"),
        ("self-trade prevention", "CancelBySmp"),
        ("dead-man timer", "CancelByDCP"),
    ],
)
def test_an_order_may_be_ended_as_the_exchange_ends_it(why: str, cancel_type: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        await calls.create(orderLinkId="mine")
        ended_by_hand = admin(calls.venue, "POST", "/sim/orders/end", {"id": "mine", "why": why})
        await asyncio.sleep(SEEN_S)

        (row,) = await calls.orders("history", orderLinkId="mine")

        assert ended_by_hand["status"] == ("CANCELED" if why == "dead-man timer" else "EXPIRED")
        assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", cancel_type)
        assert "error" in admin(calls.venue, "POST", "/sim/orders/end", {"id": "mine", "why": why}), "it has ended"
        assert "error" in admin(calls.venue, "POST", "/sim/orders/end", {"id": "nosuch", "why": why})
        assert "error" in admin(calls.venue, "POST", "/sim/orders/end", {"id": "mine", "why": "boredom"})

    run_virtual(main)


@pytest.mark.parametrize(
    ("smp_type", "ends"),
    [
        ("None", {"maker": "New", "taker": "Filled"}),
        ("CancelMaker", {"maker": "Cancelled", "taker": "Filled"}),
        ("CancelTaker", {"maker": "New", "taker": "Cancelled"}),
        ("CancelBoth", {"maker": "Cancelled", "taker": "Cancelled"}),
    ],
)
def test_orders_of_one_account_that_meet_end_as_the_taker_says(smp_type: str, ends: dict[str, str]) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        await calls.create(orderLinkId="maker", price="65019.40", qty="0.5")
        await calls.create(orderLinkId="taker", side="Sell", price="65019.40", qty="0.1", smpType=smp_type)
        await asyncio.sleep(SEEN_S)

        rows = {name: (await calls.orders(orderLinkId=name))[0] for name in ("maker", "taker")}

        assert {name: row["orderStatus"] for name, row in rows.items()} == ends
        prevented = [row["cancelType"] for row in rows.values() if row["orderStatus"] == "Cancelled"]
        assert set(prevented) <= {"CancelBySmp"}

    run_virtual(main)


def test_hedged_sides_are_held_apart() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        admin(calls.venue, "PUT", "/sim/position-mode", {"hedge": True})
        market = {"orderType": "Market"}

        nothing = await calls.create(**market, side="Sell", positionIdx=1)
        await calls.create(**market, positionIdx=1, qty="0.003")
        await calls.create(**market, positionIdx=2, side="Sell", qty="0.005")
        await calls.create(**market, positionIdx=2, qty="0.001")
        rows = (await calls.signed("GET", "/v5/position/list", category="linear", settleCoin="USDT")).rows
        busy = await calls.signed("POST", "/v5/position/switch-mode", {"category": "linear", "coin": "USDT", "mode": 0})

        assert nothing.ret[0] == 110017, "a sell of the buy side only closes"
        assert [(one["positionIdx"], one["side"], one["size"]) for one in rows] == [
            (1, "Buy", "0.003"),
            (2, "Sell", "0.004"),
        ]
        assert busy.ret[0] == 110024

    run_virtual(main)


def test_an_order_in_the_queue_is_acknowledged_and_rejected_later_where_the_money_is_gone() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        set_faults(calls.venue, "queue=5@POST /v5/order/create,count=1")

        late = await calls.create(orderLinkId="late", qty="200", price="64000")
        await calls.create(orderLinkId="quick", qty="200", price="64000")
        before = await calls.orders(orderLinkId="late")
        await asyncio.sleep(6)
        (row,) = await calls.orders(orderLinkId="late")

        assert late.ret[0] == 0
        assert before == []
        assert (row["orderStatus"], row["rejectReason"]) == ("Rejected", "EC_NoEnoughBalance")

    run_virtual(main)


def test_what_is_not_simulated_is_refused_by_name() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        refusals = [
            (await calls.create(stopLoss="60000")).ret,
            (await calls.create(takeProfit="70000")).ret,
            (await calls.create(timeInForce="GTD")).ret,
            (await calls.create(side="buy")).ret,
            (await calls.create(category="option")).ret,
            (await calls.create(orderLinkId="x" * 46)).ret,
            (await calls.create(orderLinkId="ä")).ret,
            (await calls.create(category="margin")).ret,
            (await calls.create(symbol="NOSUCH")).ret,
        ]

        assert [code for code, _ in refusals] == [10001, 10001, 10001, 10001, 110074, 10001, 10001, 10001, 10001]
        assert refusals[0][1] == "params error: `stopLoss` is not simulated"
        assert "longer than 45" in refusals[5][1]

    run_virtual(main)
