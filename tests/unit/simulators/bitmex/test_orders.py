"""Orders on the simulated BitMEX."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from decimal import Decimal
from typing import Any

import pytest

from services.simulators.bitmex.errors import BitmexError
from services.simulators.bitmex.signing import check_signature
from services.simulators.venue.clearing import Account
from services.simulators.venue.exchange import VenueOptions
from services.simulators.venue.messages import Request
from tests.support.contracts import signing_vectors
from tests.support.simulated_calls import BITMEX_DEMO, BitmexCalls, admin, reply, set_faults, virtual_bitmex
from tests.support.virtual_time import VirtualLoop, run_virtual

D = Decimal
ORDER = "/api/v1/order"


VECTORS = signing_vectors("bitmex")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["id"]))
def test_every_vector_is_accepted_and_any_change_of_it_refused(vector: dict[str, Any]) -> None:
    parts: dict[str, Any] = {
        "verb": vector["verb"],
        "target": vector["path"],
        "expires": str(vector["expires"]),
        "body": vector["data"].encode(),
        "signature": vector["signature"],
    }

    check_signature(vector["secret"], **parts)

    for name, change in (("verb", "PUT"), ("target", "/x"), ("expires", "1"), ("body", b"x"), ("signature", "é")):
        with pytest.raises(BitmexError, match="Signature not valid"):
            check_signature(vector["secret"], **{**parts, name: change})


def test_keys_expiry_and_rights() -> None:
    async def main(loop: VirtualLoop) -> None:
        reader = Account("reader", "r", "rs", frozenset({"read"}))
        canceler = Account("demo", "c", "cs", frozenset({"read", "cancel"}))
        calls = virtual_bitmex(loop, accounts=(BITMEX_DEMO, reader, canceler))
        await calls.limit(clOrdID="mine")

        missing = reply(await calls.venue.handle(Request("GET", ORDER)))
        unknown = await BitmexCalls(calls.venue, Account("x", "x", "x")).signed("GET", ORDER)
        wrong = await BitmexCalls(calls.venue, Account("demo", BITMEX_DEMO.api_key, "x")).signed("GET", ORDER)
        late = await calls.signed("GET", ORDER, expires_in_s=0)
        reading = await BitmexCalls(calls.venue, reader).limit()
        placing = await BitmexCalls(calls.venue, canceler).limit()
        canceling = await BitmexCalls(calls.venue, canceler).signed("DELETE", ORDER, {"clOrdID": "mine"})

        assert [one.status for one in (missing, unknown, wrong, late)] == [401] * 4
        assert unknown.message == "Invalid API Key."
        assert wrong.message == "Signature not valid."
        assert "expired" in late.message
        assert [one.status for one in (reading, placing, canceling)] == [403, 403, 200]

    run_virtual(main)


def test_expiry_does_not_bound_an_order_that_waits_before_the_engine() -> None:
    """The difference to Binance that decides how unknown outcomes are resolved."""

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        set_faults(calls.venue, f"queue=30@POST {ORDER}")

        answer = await calls.signed(
            "POST", ORDER, {"symbol": "XBTUSD", "orderQty": 100, "price": 60000}, expires_in_s=5
        )

        assert answer.payload["ordStatus"] == "New"

    run_virtual(main)


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"symbol": "NOSUCH"}, 400, "'symbol' is invalid"),
        ({"orderQty": 150}, 400, "multiple of lot size: 100"),
        ({"orderQty": 0}, 400, "orderQty is invalid"),
        ({"orderQty": "x"}, 400, "Invalid orderQty"),
        ({"orderQty": "NaN"}, 400, "Invalid orderQty"),
        ({"orderQty": 20_000_000}, 400, "orderQty is invalid"),
        ({"price": 60000.05}, 400, "Invalid price tickSize"),
        ({"price": 2_000_000}, 400, "Invalid price"),
        ({"price": -1}, 400, "Invalid price"),
        ({"ordType": "Stop"}, 400, "Invalid ordType"),
        ({"timeInForce": "Never"}, 400, "Invalid timeInForce"),
        ({"execInst": "Explode"}, 400, "Invalid execInst"),
        ({"side": "Hold"}, 400, "Invalid side"),
        ({"clOrdID": "x" * 37}, 400, "36 characters"),
        ({"symbol": "XBT_USDT", "orderQty": 10000, "execInst": "ReduceOnly"}, 400, "Invalid execInst"),
        ({"symbol": "XBT_USDT", "orderQty": 10_000_000_000}, 400, "USDt required"),
        ({"execInst": "ReduceOnly"}, 400, "ReduceOnly"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else None,
)
def test_bad_orders_are_refused_with_a_reason(change: dict[str, Any], status: int, says: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)

        answer = await calls.limit(**change)

        assert answer.status == status
        assert says in answer.message
        if "required" in says:
            assert answer.payload["error"]["details"] == "19000"
            assert answer.payload["error"]["name"] == "CodedHTTPError"

    run_virtual(main)


@pytest.mark.quick
def test_client_id_stays_taken_after_the_order_has_ended() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        placed = await calls.limit(clOrdID="mine")
        again = await calls.limit(clOrdID="mine")
        await calls.signed("DELETE", ORDER, {"orderID": placed.payload["orderID"]})
        after = await calls.limit(clOrdID="mine", symbol="XBTUSDT", orderQty=1000)

        assert (again.status, again.message) == (400, "Duplicate clOrdID")
        assert (after.status, after.message) == (400, "Duplicate clOrdID")

    run_virtual(main)


def test_post_only_that_would_take_is_accepted_and_canceled_with_the_reason() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)

        answer = await calls.limit(price=70000, execInst="ParticipateDoNotInitiate")

        assert (answer.status, answer.payload["ordStatus"], answer.payload["cumQty"]) == (200, "Canceled", 0)
        assert "ParticipateDoNotInitiate" in answer.payload["text"]

    run_virtual(main)


def test_market_order_beyond_the_book_ends_canceled_with_what_it_got() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop, VenueOptions(volatility=0, depth=D("0.001")))

        answer = await calls.signed("POST", ORDER, {"symbol": "XBTUSD", "side": "Buy", "orderQty": 1_000_000})

        assert answer.payload["ordStatus"] == "Canceled"
        assert 0 < answer.payload["cumQty"] < 1_000_000
        assert answer.payload["leavesQty"] == 0
        assert answer.payload["ordType"] == "Market"

    run_virtual(main)


def test_amend_is_absolute_renames_atomically_and_is_refused_on_closed_orders() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        placed = await calls.limit(clOrdID="a")

        amended = await calls.signed(
            "PUT", ORDER, {"origClOrdID": "a", "orderQty": 300, "price": 59000, "clOrdID": "b"}
        )
        repeated = await calls.signed(
            "PUT", ORDER, {"origClOrdID": "a", "orderQty": 300, "price": 59000, "clOrdID": "b"}
        )
        unchanged = await calls.signed("PUT", ORDER, {"origClOrdID": "b", "orderQty": 300, "price": 59000})
        unknown = await calls.signed("PUT", ORDER, {"orderID": "nobody", "orderQty": 300})
        await calls.signed("DELETE", ORDER, {"clOrdID": "b"})
        closed = await calls.signed("PUT", ORDER, {"orderID": placed.payload["orderID"], "orderQty": 500})

        assert (amended.payload["orderQty"], amended.payload["price"], amended.payload["clOrdID"]) == (300, 59000, "b")
        assert repeated.status == 404
        assert "unchanged" in unchanged.message
        assert unknown.message == "Invalid orderID"
        assert closed.message == "Invalid ordStatus: Canceled"

    run_virtual(main)


def test_amend_below_what_is_filled_cancels() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        placed = await calls.limit(orderQty=500)
        number = admin(calls.venue, "GET", "/sim/orders")[0]["id"]
        admin(calls.venue, "POST", f"/sim/orders/{number}/fill", {"quantity": "300"})

        amended = await calls.signed("PUT", ORDER, {"orderID": placed.payload["orderID"], "orderQty": 200})

        assert (amended.payload["ordStatus"], amended.payload["cumQty"]) == ("Canceled", 300)

    run_virtual(main)


def test_cancel_answers_for_each_order_with_an_error_where_it_came_too_late() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        for name in ("open", "filled"):
            await calls.limit(clOrdID=name)
        filled = admin(calls.venue, "GET", "/sim/orders?client_id=filled")[0]["id"]
        admin(calls.venue, "POST", f"/sim/orders/{filled}/fill", {})

        rows = (await calls.signed("DELETE", ORDER, {"clOrdID": ["open", "filled", "unknown"]})).payload
        nothing = await calls.signed("DELETE", ORDER, {"clOrdID": "unknown"})

        assert [row.get("error") for row in rows] == [
            None,
            "Unable to cancel order due to existing state: Filled",
        ]
        assert [row["ordStatus"] for row in rows] == ["Canceled", "Filled"]
        assert (nothing.status, nothing.message) == (404, "Not Found")

    run_virtual(main)


def test_forms_are_read_as_well_as_json() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        body = b"symbol=XBTUSD&side=Sell&orderQty=100&price=70000&clOrdID=form"
        expires = str(calls.venue.exchange_ns() // 1_000_000_000 + 5)
        signature = hmac.new(BITMEX_DEMO.secret.encode(), f"POST{ORDER}{expires}".encode() + body, hashlib.sha256)
        headers = {
            "api-key": BITMEX_DEMO.api_key,
            "api-expires": expires,
            "api-signature": signature.hexdigest(),
        }

        answer = reply(await calls.venue.handle(Request("POST", ORDER, "", headers, body)))

        assert (answer.payload["side"], answer.payload["clOrdID"]) == ("Sell", "form")

    run_virtual(main)


def test_orders_are_found_by_ids_states_openness_and_time_of_last_change() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        placed = []
        for name in "abcd":
            placed.append((await calls.limit(clOrdID=name)).payload)
            await asyncio.sleep(60)
        await calls.signed("DELETE", ORDER, {"clOrdID": "a"})

        async def names(**query: object) -> list[str]:
            answer = await calls.signed("GET", ORDER, **query)
            return [row["clOrdID"] for row in answer.payload]

        assert await names() == ["a", "b", "c", "d"]
        assert await names(reverse="true", count=2) == ["d", "c"]
        assert await names(start=1, count=2) == ["b", "c"]
        assert await names(filter='{"open":true}') == ["b", "c", "d"]
        assert await names(filter='{"clOrdID":["a","d"]}') == ["a", "d"]
        assert await names(filter=f'{{"orderID":"{placed[1]["orderID"]}"}}') == ["b"]
        assert await names(filter='{"ordStatus":["Canceled","Filled"]}') == ["a"]
        assert await names(symbol="XBTUSDT") == []
        # `a` was canceled last: the date filter acts on the last change, not on creation.
        assert await names(startTime=placed[3]["timestamp"]) == ["a", "d"]
        assert await names(endTime=placed[1]["timestamp"]) == ["b"]
        assert (await calls.signed("GET", ORDER, count=501)).status == 400
        assert (await calls.signed("GET", ORDER, filter="{")).status == 400
        columns = await calls.signed("GET", ORDER, columns="ordStatus", count=1)
        assert set(columns.payload[0]) == {"ordStatus", "symbol", "timestamp"}

    run_virtual(main)


def test_cancel_all_and_the_dead_man_switch() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        await calls.limit()
        await calls.limit(symbol="XBTUSDT", orderQty=1000)

        one = await calls.signed("DELETE", f"{ORDER}/all", {"symbol": "XBTUSDT"})
        armed = await calls.signed("POST", f"{ORDER}/cancelAllAfter", {"timeout": 5000})
        await asyncio.sleep(4)
        before = (await calls.signed("GET", ORDER, filter='{"open":true}')).payload
        await asyncio.sleep(2)
        after = (await calls.signed("GET", ORDER, filter='{"open":true}')).payload
        disarmed = await calls.signed("POST", f"{ORDER}/cancelAllAfter", {"timeout": 0})

        assert [row["symbol"] for row in one.payload] == ["XBTUSDT"]
        assert set(armed.payload) == {"now", "cancelTime"}
        assert (len(before), after) == (1, [])
        assert disarmed.payload["cancelTime"] == 0

    run_virtual(main)


@pytest.mark.parametrize(
    ("symbol", "quantity", "currency", "value"),
    [
        ("XBTUSD", 6500, "XBt", D(6500) / 65000 * 10**8),
        ("XBTUSDT", 1000, "USDt", D(1000) * 65000 / 10**6 * 10**6),
        ("ETHUSD", 10, "XBt", D(10) * 3200 * D("0.000001") * 10**8),
    ],
    ids=["inverse", "linear", "quanto"],
)
def test_contracts_cost_what_their_multipliers_say(symbol: str, quantity: int, currency: str, value: Decimal) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        await calls.signed("POST", ORDER, {"symbol": symbol, "side": "Buy", "orderQty": quantity})

        fill = (await calls.signed("GET", "/api/v1/execution/tradeHistory")).payload[0]
        position = (await calls.signed("GET", "/api/v1/position")).payload[0]

        assert fill["settlCurrency"] == currency
        assert abs(D(abs(fill["execCost"])) / value - 1) < D("0.01")
        assert position["currentQty"] == quantity

    run_virtual(main)


def test_spot_orders_count_satoshi_and_move_balances() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)

        async def balance(currency: str) -> int:
            return int((await calls.signed("GET", "/api/v1/user/wallet", currency=currency)).payload["amount"])

        before = await balance("XBt"), await balance("USDt")
        bought = await calls.signed("POST", ORDER, {"symbol": "XBT_USDT", "side": "Buy", "orderQty": 1_000_000})
        after = await balance("XBt"), await balance("USDt")

        assert bought.payload["ordStatus"] == "Filled"
        assert "stopPx" not in bought.payload, "spot answers leave out what is null"
        assert after[0] - before[0] == 1_000_000 - 1000
        assert 640_000_000 < before[1] - after[1] < 660_000_000

    run_virtual(main)
