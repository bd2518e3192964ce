"""The page of truth: what tests may ask and pull."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from decimal import Decimal
from typing import Any

import pytest

from clients.http.transport import HttpRequest, NotSent, ResponseLost
from services.simulators.venue.admin import Admin
from services.simulators.venue.messages import Request
from tests.support.simulated_calls import (
    BINANCE_DEMO,
    BinanceCalls,
    admin,
    set_faults,
    virtual_binance,
    virtual_bitmex,
)
from tests.support.simulated_venues import SimulatedTransport
from tests.support.virtual_time import VirtualLoop, run_virtual


def status(calls: BinanceCalls, method: str, path: str, body: bytes = b"") -> int:
    return Admin(calls.venue).handle(Request(method, path, body=body)).status


def test_unknown_routes_and_bad_bodies_are_refused_with_help() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)

        assert status(calls, "GET", "/sim/nowhere") == 404
        assert "GET /sim/fills" in admin(calls.venue, "GET", "/sim/nowhere")["routes"]
        for method, path, body in (
            ("PUT", "/sim/faults", b"explode"),
            ("PUT", "/sim/faults", b"[{]"),
            ("PUT", "/sim/faults", b"[[[1]]]"),
            ("POST", "/sim/matching/advance", b'{"steps": 0}'),
            ("POST", "/sim/matching/advance", b'{"steps": "x"}'),
            ("PUT", "/sim/prices", b'{"BTC": -1}'),
            ("PUT", "/sim/prices", b'{"DOGE": 1}'),
            ("PUT", "/sim/clock", b"{}"),
            ("POST", "/sim/orders/1/fill", b"{}"),
            ("POST", "/sim/orders/x/fill", b"{}"),
        ):
            assert status(calls, method, path, body) == 400, (path, body)

    run_virtual(main)


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("GET", "/sim/orders?clientid=x", None, "did you mean `client_id`"),
        ("GET", "/sim/orders?open=yes", None, "true or false"),
        ("GET", "/sim/orders?symbol=A&symbol=B", None, "given twice"),
        ("GET", "/sim/fills?account=x", None, "there are client_id, market, symbol"),
        ("GET", "/sim?x=1", None, "there is none"),
        ("GET", "/sim/requests?limit=ten", None, "`limit` must be a whole number (got 'ten')"),
        ("POST", "/sim/matching/advance", {"step": 3}, "did you mean `steps`"),
        ("POST", "/sim/streams/close", {"announced": True}, "did you mean `announce`"),
        ("POST", "/sim/streams/close", [1001], "must be a JSON object"),
        ("PUT", "/sim/prices", {"btc": 1}, "there are BTC, ETH, SOL"),
        ("PUT", "/sim/prices", {"BTC": "much"}, "`BTC` must be a number"),
        ("PUT", "/sim/prices", {}, "positive prices"),
        ("PUT", "/sim/clock", {}, "one of `skew_seconds`"),
        ("PUT", "/sim/clock", {"skew_seconds": "x"}, "`skew_seconds` must be a number"),
        ("POST", "/sim/orders/5f6c16df-4706-4548-f47d-25f2f915f149/fill", {}, "GET /sim/orders lists them"),
        ("POST", "/sim/orders/mine/fill", {"quantity": "all"}, "`quantity` must be a number"),
        ("POST", "/sim/orders/mine/fill", {"quantity": "-1"}, "above zero"),
        ("POST", "/sim/orders/mine/fill", {"amount": "1"}, "there are quantity, price"),
    ],
)
def test_misspelled_and_unusable_names_and_values_are_named(method: str, path: str, body: Any, says: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(newClientOrderId="mine")

        assert says in admin(calls.venue, method, path, body)["error"]
        assert admin(calls.venue, "GET", "/sim/fills") == []

    run_virtual(main)


def test_an_order_is_filled_by_any_of_its_ids() -> None:
    async def main(loop: VirtualLoop) -> None:
        binance, bitmex = virtual_binance(loop), virtual_bitmex(loop)
        number = (await binance.limit(newClientOrderId="mine")).payload["orderId"]
        own = (await bitmex.limit(clOrdID="a/b=")).payload["orderID"]

        assert admin(binance.venue, "POST", "/sim/orders/mine/fill", {"quantity": "0.001"})["id"] == number
        assert admin(binance.venue, "POST", f"/sim/orders/{number}/fill")["status"] == "FILLED"
        assert admin(bitmex.venue, "POST", f"/sim/orders/{own}/fill", {"quantity": 50})["client_id"] == "a/b="
        assert admin(bitmex.venue, "POST", "/sim/orders/a%2Fb=/fill")["status"] == "FILLED"
        assert "engine refuses" in admin(bitmex.venue, "POST", f"/sim/orders/{own}/fill")["error"]

    run_virtual(main)


@pytest.mark.quick
def test_plan_is_shown_with_what_has_happened_replaced_extended_and_cleared() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)

        def plan() -> list[tuple[str, int]]:
            faults: list[dict[str, Any]] = admin(calls.venue, "GET", "/sim/faults")["faults"]
            return [(one["rule"], one["happened"]) for one in faults]

        assert status(calls, "PUT", "/sim/faults", b"drop@GET *,count=2; latency=0.1") == 200
        await calls.get("/api/v3/time")
        assert status(calls, "POST", "/sim/faults", b'{"fault": "lose", "route": "POST *"}') == 200
        assert plan() == [("drop@GET *,count=2", 1), ("latency=0.1", 0), ("lose@POST *", 0)]
        assert status(calls, "DELETE", "/sim/faults") == 200
        assert plan() == []

    run_virtual(main)


def test_faults_do_not_touch_the_page_and_it_is_not_counted_as_a_request() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        set_faults(calls.venue, "drop")
        await calls.get("/api/v3/time")

        seen = admin(calls.venue, "GET", "/sim/requests")

        assert seen["by_route"] == {"GET /api/v3/time": 1}
        assert seen["requests"][0]["fate"] == "cut"
        admin(calls.venue, "DELETE", "/sim/requests")
        assert admin(calls.venue, "GET", "/sim/requests")["total"] == 0

    run_virtual(main)


def test_prices_are_moved_and_steps_taken_by_hand() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        placed = await calls.limit()

        admin(calls.venue, "PUT", "/sim/prices", {"BTC": 59000})

        found = admin(calls.venue, "GET", "/sim/orders?symbol=BTCUSDT")[0]
        assert (found["id"], found["status"]) == (placed.payload["orderId"], "FILLED")
        before = admin(calls.venue, "GET", "/sim")["step"]
        assert admin(calls.venue, "POST", "/sim/matching/advance", {"steps": 10})["step"] == before + 10

    run_virtual(main)


def test_requests_show_parameters_and_never_keys_or_signatures() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(newClientOrderId="mine")

        text = str(admin(calls.venue, "GET", "/sim/requests")) + str(admin(calls.venue, "GET", "/sim/accounts"))

        assert "mine" in text
        assert "signature" not in text
        assert calls.account.secret not in text
        assert calls.account.api_key not in text

    run_virtual(main)


def test_accounts_have_balances_and_positions() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        await calls.signed("POST", "/fapi/v1/order", **order)

        held = admin(calls.venue, "GET", "/sim/accounts")["demo"]

        assert held["positions"]["usdm:BTCUSDT"]["quantity"] == "0.01"
        assert Decimal(held["balances"]["usdm:USDT"]) < 1_000_000

    run_virtual(main)


def test_in_process_transport_processes_what_its_caller_gave_up() -> None:
    """What makes campaigns honest: a timeout of the client is no timeout of the exchange."""

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        transport = SimulatedTransport({"api.sim": calls.venue}, monotonic_ns=loop.monotonic_ns, wall_ns=loop.wall_ns)
        good = await transport.send(HttpRequest("GET", "http://api.sim/api/v3/time"), timeout_s=1)
        assert (good.status, good.received_ns >= good.sent_ns) == (200, True)
        with pytest.raises(NotSent):
            await transport.send(HttpRequest("GET", "http://other.sim/"), timeout_s=1)

        set_faults(calls.venue, "latency=5@POST *")
        query = (
            f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&recvWindow=60000&timestamp={loop.wall_ns() // 10**6}"
        )
        signature = hmac.new(BINANCE_DEMO.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        request = HttpRequest(
            "POST", f"http://api.sim/api/v3/order?{query}&signature={signature}", {"X-MBX-APIKEY": BINANCE_DEMO.api_key}
        )
        begun = loop.time()
        with pytest.raises(ResponseLost):
            await transport.send(request, timeout_s=2)
        assert loop.time() - begun == pytest.approx(2, abs=0.01)
        assert admin(calls.venue, "GET", "/sim/fills") == []
        await asyncio.sleep(4)
        assert len(admin(calls.venue, "GET", "/sim/fills")) == 1
        for fault, error in (("refuse", NotSent), ("stall", ResponseLost), ("truncate", ResponseLost)):
            set_faults(calls.venue, fault)
            with pytest.raises(error):
                await transport.send(HttpRequest("GET", "http://api.sim/api/v3/time"), timeout_s=1)
        await transport.aclose()

    run_virtual(main)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("orders/end", {"id": "mine", "why": "boredom"}, "`why` must be one of"),
        ("orders/end", {"id": "nosuch", "why": "liquidation"}, "no order has the id"),
        ("orders/end", {"id": "", "why": "liquidation"}, "no order has the id"),
        ("orders/end", {"id": "mine", "why": "auto-deleveraging"}, "POST /sim/positions/close"),
        ("positions/close", {"symbol": "BTCUSDT", "why": "settlement"}, "liquidation, auto-deleveraging"),
        ("positions/close", {"symbol": "BTCUSDT", "why": "liquidation"}, "nothing is held"),
        ("positions/close", {"symbol": "BTCUSDT", "why": "liquidation", "account": "x"}, "must be one of demo"),
        ("listings/delist", {"symbol": "BTCUSDT"}, "must name one of spot BTCUSDT, usdm BTCUSDT"),
        ("listings/delist", {"symbol": "BTCDOGE"}, "must name one of"),
    ],
)
def test_levers_that_end_something_say_what_they_need(path: str, body: dict[str, str], says: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(newClientOrderId="mine")

        assert says in admin(calls.venue, "POST", f"/sim/{path}", body)["error"].replace("coinm", "")
        assert [one["status"] for one in admin(calls.venue, "GET", "/sim/orders")] == ["NEW"]

    run_virtual(main)


def test_an_order_is_ended_once_and_a_listing_closed_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(newClientOrderId="mine")
        end, delist = {"id": "mine", "why": "administration"}, {"symbol": "BTCUSDT", "market": "spot"}
        admin(calls.venue, "POST", "/sim/orders/end", end)
        admin(calls.venue, "POST", "/sim/listings/delist", delist)

        row = (await calls.signed("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")).payload
        again = await calls.limit()
        listed = {one["symbol"] for one in (await calls.get("/api/v3/exchangeInfo")).payload["symbols"]}

        assert (row["status"], row["expiryReason"]) == ("EXPIRED", "EXCHANGE_CANCELED")
        assert "has ended already" in admin(calls.venue, "POST", "/sim/orders/end", end)["error"]
        assert "closed already" in admin(calls.venue, "POST", "/sim/listings/delist", delist)["error"]
        assert (again.code, again.payload["msg"]) == (-1013, "Market is closed.")
        assert "BTCUSDT" not in listed

    run_virtual(main)
