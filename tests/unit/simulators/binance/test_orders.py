"""Orders on the three markets of the simulated Binance."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import BinanceCalls, admin, set_faults, virtual_binance
from tests.support.virtual_time import VirtualLoop, run_virtual

D = Decimal
FAPI, DAPI, API = "/fapi/v1/order", "/dapi/v1/order", "/api/v3/order"


async def fill(calls: BinanceCalls, order_id: object, quantity: str) -> None:
    admin(calls.venue, "POST", f"/sim/orders/{order_id}/fill", {"quantity": quantity})


@pytest.mark.parametrize(
    ("change", "spot", "usdm"),
    [
        ({"symbol": "NOSUCH"}, -1121, -1121),
        ({"symbol": "btcusdt"}, -1121, -1121),
        ({"symbol": ""}, -1102, -1102),
        ({"side": "HOLD"}, -1117, -1117),
        ({"type": "MAYBE"}, -1116, -1116),
        ({"timeInForce": "XXX"}, -1115, -1115),
        ({"timeInForce": ""}, -1102, -1102),
        ({"type": "MARKET"}, -1106, -1106),
        ({"quantity": "0"}, -1013, -4003),
        ({"quantity": "-1"}, -1100, -1100),
        ({"quantity": "1e3"}, -1100, -1100),
        ({"quantity": "NaN"}, -1100, -1100),
        ({"quantity": ""}, -1102, -1102),
        ({"quantity": "0.000000001"}, -1111, -1111),
        ({"quantity": "0.002005"}, -1013, -1111),
        ({"quantity": "9001"}, -1013, -2019),
        ({"quantity": "20000"}, -1013, -4005),
        ({"price": "60000.001"}, -1013, -4014),
        ({"price": "0"}, -1013, -4001),
        ({"price": "1000"}, -1013, -4024),
        ({"price": "90000"}, 200, -4016),
        ({"price": "999999999"}, -1013, -4016),
        ({"quantity": "0.001", "price": "13100"}, 200, -4024),
        ({"quantity": "0.00001"}, -1013, -1111),
        ({"quantity": "0.001"}, 200, -4164),
        ({"quantity": "18"}, -2010, 200),
        ({"newClientOrderId": "x" * 37}, -1100, -1100),
        ({"newClientOrderId": "sp ace"}, -1100, -1100),
        ({"newOrderRespType": "MORE"}, -1122, -1122),
    ],
    ids=lambda value: (
        "-".join(f"{name}={text}" for name, text in value.items())[:50] if isinstance(value, dict) else None
    ),
)
def test_bad_orders_get_the_code_of_their_market(change: dict[str, str], spot: int, usdm: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        for path, expected in ((API, spot), (FAPI, usdm)):
            answer = await calls.limit(path, **change)
            got = answer.status if answer.status == 200 else answer.code
            assert got == expected, (path, answer.payload)

    run_virtual(main)


@pytest.mark.quick
def test_client_id_is_taken_only_as_long_as_its_order_is_open() -> None:
    """The trap behind doubled orders: after the fill the same id executes again."""

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        for path, code in ((API, -2010), (FAPI, -4116)):
            first = await calls.limit(path, newClientOrderId="mine")
            again = await calls.limit(path, newClientOrderId="mine")
            assert (first.status, again.status, again.code) == (200, 400, code)

            await fill(calls, first.payload["orderId"], "1")
            reused = await calls.limit(path, newClientOrderId="mine")
            assert reused.status == 200
            await fill(calls, reused.payload["orderId"], "1")
            last = await calls.signed("GET", path, symbol="BTCUSDT", origClientOrderId="mine")
            assert last.payload["orderId"] == reused.payload["orderId"]

        counted = admin(calls.venue, "GET", "/sim/fills/by-client-id")["mine"]
        assert counted == {"orders": 4, "filled_orders": 4, "quantity": "0.008"}

    run_virtual(main)


def test_market_order_tells_its_fills_as_asked() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}

        ack, result, full = [
            (await calls.signed("POST", API, newOrderRespType=kind, **order)).payload
            for kind in ("ACK", "RESULT", "FULL")
        ]

        assert set(ack) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
        assert result["status"] == "FILLED"
        assert "fills" not in result
        assert sum(D(one["qty"]) for one in full["fills"]) == D(full["executedQty"]) == D("0.01")
        futures = (await calls.signed("POST", FAPI, **order)).payload
        assert (futures["status"], futures["executedQty"]) == ("NEW", "0")
        settled = (await calls.signed("POST", FAPI, newOrderRespType="RESULT", **order)).payload
        assert (settled["status"], settled["executedQty"]) == ("FILLED", "0.01")
        assert not {"avgPrice", "cumQuote"} & set(settled)

    run_virtual(main)


def test_market_order_by_value_spends_no_more_than_that() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)

        bought = await calls.signed("POST", API, symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="1000")

        spent = D(bought.payload["cummulativeQuoteQty"])
        assert D(990) < spent <= D(1000)
        assert bought.payload["origQuoteOrderQty"] == "1000.00000000"

    run_virtual(main)


def test_limit_maker_defaults_to_a_bare_acknowledgement_and_is_refused_when_it_would_take() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)

        rested = await calls.limit(type="LIMIT_MAKER", timeInForce="")
        refused = await calls.limit(type="LIMIT_MAKER", timeInForce="", price="70000")

        assert "status" not in rested.payload
        assert (refused.code, refused.payload["msg"]) == (-2010, "Order would immediately match and take.")

    run_virtual(main)


@pytest.mark.parametrize(
    ("path", "symbol", "quantity", "lifetime", "outcome"),
    [
        (FAPI, "BTCUSDT", "0.01", "GTX", -5022),
        (FAPI, "BTCUSDT", "900", "FOK", -5021),
        (DAPI, "BTCUSD_PERP", "1", "GTX", "EXPIRED"),
        (DAPI, "BTCUSD_PERP", "90000", "FOK", "EXPIRED"),
        (API, "BTCUSDT", "10", "FOK", "EXPIRED"),
    ],
)
def test_orders_that_cannot_be_executed_as_asked_end_as_their_market_ends_them(
    path: str, symbol: str, quantity: str, lifetime: str, outcome: int | str
) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, VenueOptions(volatility=0, touch_chance=0, depth=D("0.001")))
        calls.venue.clearing.holdings["demo"].add("usdm", "USDT", D(10) ** 9)

        answer = await calls.limit(
            path, symbol=symbol, quantity=quantity, price="66000", timeInForce=lifetime, newOrderRespType="RESULT"
        )

        assert (answer.payload["status"] if answer.status == 200 else answer.code) == outcome

    run_virtual(main)


def test_cancel_names_both_ids_on_spot_and_a_second_one_finds_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(newClientOrderId="mine")

        canceled = await calls.signed(
            "DELETE", API, symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="the-cancel"
        )
        again = await calls.signed("DELETE", API, symbol="BTCUSDT", origClientOrderId="mine")

        assert canceled.payload["origClientOrderId"] == "mine"
        assert canceled.payload["clientOrderId"] == "the-cancel"
        assert canceled.payload["status"] == "CANCELED"
        assert (again.status, again.code) == (400, -2011)
        assert (await calls.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")).code == -2011

    run_virtual(main)


def test_cancel_that_crosses_a_fill_finds_the_order_filled() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        order = await calls.limit()
        calls.venue.walk.set_price("BTC", 59_000)
        calls.venue.liquidity.forget()
        set_faults(calls.venue, f"queue=1@DELETE {API}")

        canceled = await calls.signed("DELETE", API, symbol="BTCUSDT", orderId=order.payload["orderId"])
        found = await calls.signed("GET", API, symbol="BTCUSDT", orderId=order.payload["orderId"])

        assert canceled.code == -2011
        assert found.payload["status"] == "FILLED"

    run_virtual(main)


def test_futures_amend_is_absolute_and_refused_when_it_changes_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        placed = await calls.limit(FAPI, newClientOrderId="mine")
        target = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "origClientOrderId": "mine",
            "quantity": "0.005",
            "price": "59000",
        }

        amended = await calls.signed("PUT", FAPI, modifyId="7", **target)
        again = await calls.signed("PUT", FAPI, **target)
        without_price = await calls.signed("PUT", FAPI, **{**target, "price": ""})
        bad_tick = await calls.signed("PUT", FAPI, **{**target, "price": "59000.05"})
        await fill(calls, placed.payload["orderId"], "0.004")
        below = await calls.signed("PUT", FAPI, **{**target, "quantity": "0.003"})
        gone = await calls.signed("PUT", FAPI, **{**target, "quantity": "0.006"})

        assert (amended.payload["origQty"], amended.payload["price"]) == ("0.005", "59000")
        assert amended.payload["modifyId"] == "7"
        assert again.code == -5027
        assert without_price.code == -1102
        assert bad_tick.code == -4014
        assert (below.payload["status"], below.payload["executedQty"]) == ("CANCELED", "0.004")
        assert gone.code == -2013
        history = (
            await calls.signed("GET", "/fapi/v1/orderAmendment", symbol="BTCUSDT", origClientOrderId="mine")
        ).payload
        assert history[-1]["amendment"]["price"] == {"before": "60000", "after": "59000"}

    run_virtual(main)


def test_spot_keep_priority_amend_only_reduces_and_renames_unless_told_otherwise() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        path = f"{API}/amend/keepPriority"
        await calls.limit(newClientOrderId="mine", quantity="0.01")

        async def amend(quantity: str, **more: str) -> object:
            answer = await calls.signed("PUT", path, symbol="BTCUSDT", newQty=quantity, **more)
            return answer.payload["amendedOrder"] if answer.status == 200 else answer.code

        assert await amend("0.02", origClientOrderId="mine") == -2038
        assert await amend("0.01", origClientOrderId="mine") == -2038
        kept = await amend("0.008", origClientOrderId="mine", newClientOrderId="mine")
        assert isinstance(kept, dict)
        assert (kept["clientOrderId"], kept["qty"]) == ("mine", "0.00800000")
        renamed = await amend("0.007", origClientOrderId="mine")
        assert isinstance(renamed, dict)
        assert renamed["origClientOrderId"] == "mine"
        assert renamed["clientOrderId"] != "mine"
        assert await amend("0.006", origClientOrderId="mine") == -2038
        history = await calls.signed("GET", f"{API}/amendments", symbol="BTCUSDT", orderId=renamed["orderId"])
        assert [(one["origQty"], one["newQty"]) for one in history.payload] == [
            ("0.01000000", "0.00800000"),
            ("0.00800000", "0.00700000"),
        ]

    run_virtual(main)


@pytest.mark.parametrize(
    ("mode", "cancel_id", "price", "expected"),
    [
        ("STOP_ON_FAILURE", "mine", "59000", (200, None, "SUCCESS", "SUCCESS")),
        ("STOP_ON_FAILURE", "other", "59000", (400, -2022, "FAILURE", "NOT_ATTEMPTED")),
        ("ALLOW_FAILURE", "other", "59000", (409, -2021, "FAILURE", "SUCCESS")),
        ("ALLOW_FAILURE", "mine", "300000", (409, -2021, "SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", "other", "300000", (400, -2022, "FAILURE", "FAILURE")),
    ],
)
def test_cancel_replace_tells_what_became_of_either_half(
    mode: str, cancel_id: str, price: str, expected: tuple[object, ...]
) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(newClientOrderId="mine")

        answer = await calls.limit(
            f"{API}/cancelReplace",
            cancelReplaceMode=mode,
            cancelOrigClientOrderId=cancel_id,
            price=price,
            quantity="16" if price == "300000" else "0.002",
            newClientOrderId="new",
        )

        data = answer.payload if answer.status == 200 else answer.payload["data"]
        assert (answer.status, answer.code, data["cancelResult"], data["newOrderResult"]) == expected

    run_virtual(main)


@pytest.mark.parametrize(
    ("restriction", "filled", "code"),
    [
        ("ONLY_NEW", "0", None),
        ("ONLY_NEW", "0.001", -2022),
        ("ONLY_PARTIALLY_FILLED", "0", -2022),
        ("ONLY_PARTIALLY_FILLED", "0.001", None),
        ("ONLY_SOMETIMES", "0", -1145),
    ],
)
def test_a_cancel_can_be_restricted_to_what_is_still_as_it_was(restriction: str, filled: str, code: int | None) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        placed = await calls.limit(newClientOrderId="mine")
        if D(filled):
            await fill(calls, placed.payload["orderId"], filled)

        answer = await calls.limit(
            f"{API}/cancelReplace",
            cancelReplaceMode="STOP_ON_FAILURE",
            cancelRestrictions=restriction,
            cancelOrigClientOrderId="mine",
            price="59000",
            newClientOrderId="new",
        )
        alone = await calls.signed(
            "DELETE", API, symbol="BTCUSDT", origClientOrderId="mine", cancelRestrictions=restriction
        )

        assert answer.code == code
        assert alone.code == (-1145 if code == -1145 else -2011)

    run_virtual(main)


def test_reduce_only_and_positions() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        order = {"symbol": "BTCUSDT", "type": "MARKET", "quantity": "0.01", "newOrderRespType": "RESULT"}

        alone = await calls.signed("POST", FAPI, side="SELL", reduceOnly="true", **order)
        await calls.signed("POST", FAPI, side="BUY", **order)
        held = (await calls.signed("GET", "/fapi/v3/positionRisk")).payload
        closed = await calls.signed("POST", FAPI, side="SELL", reduceOnly="true", **order)
        after = (await calls.signed("GET", "/fapi/v3/positionRisk")).payload
        hedged = await calls.signed("POST", FAPI, side="SELL", positionSide="LONG", **order)

        assert alone.code == -2022
        assert [(one["symbol"], one["positionAmt"]) for one in held] == [("BTCUSDT", "0.01")]
        assert closed.payload["status"] == "FILLED"
        assert after == []
        assert hedged.code == -4061

    run_virtual(main)


def test_same_symbol_on_two_markets_is_two_worlds() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        placed = await calls.limit(API, newClientOrderId="mine")

        other = await calls.signed("GET", FAPI, symbol="BTCUSDT", orderId=placed.payload["orderId"])

        assert other.code == -2013
        assert (await calls.limit(FAPI, newClientOrderId="mine")).status == 200

    run_virtual(main)


def test_id_pair_that_does_not_match_is_refused_on_spot() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        placed = await calls.limit(newClientOrderId="mine")

        mixed = await calls.signed(
            "GET", API, symbol="BTCUSDT", orderId=placed.payload["orderId"], origClientOrderId="other"
        )

        assert mixed.code == -2039

    run_virtual(main)


def test_dead_man_switch_cancels_one_symbol_of_one_market() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(FAPI)
        await calls.limit(FAPI, symbol="ETHUSDT", price="3000", quantity="1")
        await calls.limit(API)
        armed = await calls.signed("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime="5000")
        await asyncio.sleep(4)
        before = (await calls.signed("GET", "/fapi/v1/openOrders")).payload
        await asyncio.sleep(2)
        after = (await calls.signed("GET", "/fapi/v1/openOrders")).payload

        assert armed.payload == {"symbol": "BTCUSDT", "countdownTime": "5000"}
        assert len(before) == 2
        assert [one["symbol"] for one in after] == ["ETHUSDT"]
        assert len((await calls.signed("GET", "/api/v3/openOrders")).payload) == 1

    run_virtual(main)
