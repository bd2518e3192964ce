"""Time that is moved on by hand: contracts are delivered and roll over, connections and keys grow old."""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from services.simulators.binance.listings import COINM, PREFIXES, USDM
from services.simulators.venue.listing import Listing
from tests.support.simulated_calls import BinanceCalls, admin, virtual_binance
from tests.support.simulated_venues import connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.binance.test_account import arrived, futures_socket
from tests.unit.simulators.binance.test_streams import drain

D = Decimal
futureswise = pytest.mark.parametrize("market", [USDM, COINM])


def quarterlies(calls: BinanceCalls, market: str, base: str = "BTC") -> list[Listing]:
    found = [one for one in calls.venue.listings(market).values() if one.expiry_ns is not None and one.base == base]
    return sorted(found, key=lambda one: one.expiry_ns or 0)


def moment(listing: Listing, seconds: int) -> str:
    """Return that many seconds after a contract's end, as people write it."""
    assert listing.expiry_ns is not None
    return datetime.fromtimestamp(listing.expiry_ns // 10**9 + seconds, tz=UTC).isoformat()


async def order(calls: BinanceCalls, listing: Listing, side: str, **more: str) -> Any:
    quantity = "5" if listing.market == COINM else "0.01"
    asked = {"symbol": listing.symbol, "side": side, "type": "MARKET", "quantity": quantity}
    return await calls.signed("POST", f"{PREFIXES[listing.market]}/order", at_ms=None, **{**asked, **more})


async def wallet(calls: BinanceCalls, listing: Listing) -> Decimal:
    rows = (await calls.signed("GET", f"{PREFIXES[listing.market]}/balance")).payload
    return next(D(row["balance"]) for row in rows if row["asset"] == listing.settle)


@pytest.mark.quick
@futureswise
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_quarterly_is_delivered_with_its_orders_and_positions_and_rolls_over(market: str, side: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        current, following = quarterlies(calls, market)
        key = PREFIXES[market]
        opened = (await order(calls, current, side, newOrderRespType="RESULT")).payload
        entry = (await calls.signed("GET", f"{key}/positionRisk", symbol=current.symbol)).payload[0]["entryPrice"]
        open_order = await order(calls, current, "BUY", type="LIMIT", timeInForce="GTC", price="60000")
        before = await wallet(calls, current)

        admin(calls.venue, "PUT", "/sim/clock", {"to": moment(current, -60)})
        still = (await calls.signed("GET", f"{key}/openOrders", symbol=current.symbol)).payload
        socket = await futures_socket(calls, market)
        admin(calls.venue, "PUT", "/sim/clock", {"forward_seconds": 61})

        info = (await calls.get(f"{key}/exchangeInfo")).payload["symbols"]
        kinds = {
            row["symbol"]: row["contractType"] for row in info if row["baseAsset"] == "BTC" and "_2" in row["symbol"]
        }
        fresh = quarterlies(calls, market)[1]
        assert [row["orderId"] for row in still] == [open_order.payload["orderId"]]
        assert kinds == {following.symbol: "CURRENT_QUARTER", fresh.symbol: "NEXT_QUARTER"}
        assert len([row for row in info if row["contractType"] != "PERPETUAL"]) == 6

        ended = await calls.signed("GET", f"{key}/order", symbol=current.symbol, orderId=open_order.payload["orderId"])
        assert ended.payload["status"] == "EXPIRED"
        assert (await calls.signed("GET", f"{key}/openOrders")).payload == []
        assert (await order(calls, current, "BUY")).code == -4141
        assert opened["status"] == "FILLED"

        trade = (await calls.signed("GET", f"{key}/userTrades", symbol=current.symbol)).payload[-1]
        position = calls.venue.clearing.holdings["demo"].position(current)
        assert position.quantity == 0
        assert abs(D(trade["price"]) - D(calls.venue.walk.price("BTC"))) < 1
        sign = 1 if side == "BUY" else -1
        gained = (
            5 * 100 * sign * (1 / D(entry) - 1 / D(trade["price"]))
            if market == COINM
            else D("0.01") * sign * (D(trade["price"]) - D(entry))
        )
        assert abs(await wallet(calls, current) - before - gained + D(trade["commission"])) < D("1e-6")

        events = await arrived(socket)
        told = [(one["o"]["X"], one["o"]["c"][:21]) for one in events if one["e"] == "ORDER_TRADE_UPDATE"]
        assert [what for what, _ in told] == ["EXPIRED", "NEW", "FILLED"]
        assert {name for _, name in told[1:]} == {"settlement_autoclose-"}

    run_virtual(main)


@futureswise
def test_what_is_listed_anew_has_a_market_and_a_past(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        async with moving(calls.venue):
            current = quarterlies(calls, market)[0]
            admin(calls.venue, "PUT", "/sim/clock", {"to": moment(current, 1)})
            fresh, key = quarterlies(calls, market)[1], PREFIXES[market]
            rows = (await calls.get(f"{key}/klines", symbol=fresh.symbol, interval="1d")).payload
            marks = (await calls.get(f"{key}/markPriceKlines", symbol=fresh.symbol, interval="1d")).payload
            path = "/dstream/ws" if market == COINM else "/fstream/all/ws"
            socket = connect(calls.venue, f"{path}/{fresh.symbol.lower()}@depth@100ms")
            change = json.loads(await asyncio.wait_for(socket.recv(), 5))
            bought = await order(calls, fresh, "BUY", newOrderRespType="RESULT")

        assert len(rows) > 400
        assert len(marks) > 400
        assert change["s"] == fresh.symbol
        assert bought.payload["status"] == "FILLED"

    run_virtual(main)


def test_streams_of_a_closed_contract_fall_silent_and_those_of_all_have_the_new_one() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, socket_lifetime_s=10**9)
        async with moving(calls.venue):
            current = quarterlies(calls, USDM)[0]
            single = connect(calls.venue, f"/fstream/public/ws/{current.symbol.lower()}@bookTicker")
            everything = connect(calls.venue, "/fstream/public/ws/!bookTicker")
            await asyncio.sleep(1)
            admin(calls.venue, "PUT", "/sim/clock", {"to": moment(current, 1)})
            for socket in (single, everything):
                await arrived(socket)
            await asyncio.sleep(1)
            heard = {event["s"] for event in await arrived(everything)}
            silent = single.is_idle

        assert silent
        assert heard == set(calls.venue.listings(USDM))

    run_virtual(main)


def test_a_day_ends_connections_and_an_hour_ends_listen_keys() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = await futures_socket(calls, USDM)
        admin(calls.venue, "PUT", "/sim/clock", {"forward_seconds": 3601})
        [expired] = await arrived(socket)
        admin(calls.venue, "PUT", "/sim/clock", {"forward_seconds": 86_400})
        with pytest.raises(ConnectionError, match="1001"):
            await drain(socket)
        key = (await calls.keyed("PUT", "/fapi/v1/listenKey")).code

        assert expired["e"] == "listenKeyExpired"
        assert key == -1125

    run_virtual(main)


def test_time_goes_forward_and_candles_with_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        before = (await calls.get("/api/v3/time")).payload["serverTime"]
        said = admin(calls.venue, "PUT", "/sim/clock", {"forward_seconds": 7200})
        after = (await calls.get("/api/v3/time")).payload["serverTime"]
        rows = (await calls.get("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=121)).payload
        placed = await calls.limit()

        assert after - before == 7_200_000
        assert said["time_ns"] // 1_000_000 == after
        assert rows[-1][0] <= after < rows[-1][0] + 60_000
        assert all(row[6] + 1 == following[0] for row, following in itertools.pairwise(rows))
        assert placed.status == 200

    run_virtual(main)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "is required"),
        ({"forward_seconds": 1, "skew_seconds": 1}, "is required"),
        ({"forward_seconds": -1}, "forward only"),
        ({"to": "2020-01-01T00:00:00Z"}, "forward only"),
        ({"to": "2030-01-01T00:00:00"}, "zone"),
        ({"to": "tomorrow"}, "isoformat"),
        ({"forward_seconds": 10**10}, "ten years"),
    ],
)
def test_times_that_cannot_be_travelled_to_are_refused(body: dict[str, Any], says: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        before = calls.venue.wall_ns()

        assert says in admin(calls.venue, "PUT", "/sim/clock", body)["error"]
        assert calls.venue.wall_ns() == before

    run_virtual(main)
