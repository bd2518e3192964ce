"""What an account of the simulated Binance owns, chooses and pays: over the routes and as events, always what the engine has."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from services.simulators.binance.listings import COINM, PREFIXES, SPOT, USDM
from tests.support.simulated_calls import BinanceCalls, Reply, admin, virtual_binance
from tests.support.simulated_venues import SimulatedSocket, connect
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.binance.test_streams import user_socket

D = Decimal
FAPI, DAPI = "/fapi/v1", "/dapi/v1"
SYMBOLS = {USDM: "BTCUSDT", COINM: "BTCUSD_PERP"}
PRIVATE = {USDM: "/fstream/private/ws", COINM: "/dstream/ws"}
futureswise = pytest.mark.parametrize("market", [USDM, COINM])


async def market_order(calls: BinanceCalls, market: str, side: str = "BUY", quantity: str = "") -> Reply:
    return await calls.signed(
        "POST",
        f"{PREFIXES[market]}/order",
        symbol=SYMBOLS[market],
        side=side,
        type="MARKET",
        quantity=quantity or ("5" if market == COINM else "0.01"),
    )


async def resting(calls: BinanceCalls, market: str) -> Reply:
    return await calls.limit(
        f"{PREFIXES[market]}/order", symbol=SYMBOLS[market], quantity="5" if market == COINM else "0.01"
    )


async def risk(calls: BinanceCalls, market: str) -> Any:
    rows = (await calls.signed("GET", f"{PREFIXES[market]}/positionRisk", symbol=SYMBOLS[market])).payload
    return rows[0]


async def initial_margin(calls: BinanceCalls, market: str) -> Decimal:
    account = (await calls.signed("GET", f"{PREFIXES[market]}/account")).payload
    return sum((D(row["initialMargin"]) for row in account["assets"]), D(0))


async def futures_socket(calls: BinanceCalls, market: str) -> SimulatedSocket:
    key = (await calls.keyed("POST", f"{PREFIXES[market]}/listenKey")).payload["listenKey"]
    return connect(calls.venue, f"{PRIVATE[market]}/{key}")


async def arrived(socket: SimulatedSocket) -> list[Any]:
    found = []
    while not socket.is_idle:
        frame = json.loads(await socket.recv())
        found.append(frame.get("event", frame))
    return found


@pytest.mark.quick
def test_every_change_of_a_spot_order_is_followed_by_the_balances_of_the_route() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = await user_socket(calls)

        async def told() -> Any:
            events = await arrived(socket)
            account = (await calls.signed("GET", "/api/v3/account")).payload
            truth = {
                row["asset"]: {"a": row["asset"], "f": row["free"], "l": row["locked"]} for row in account["balances"]
            }
            assert [event["e"] for event in events[-2:]] == ["executionReport", "outboundAccountPosition"]
            assert events[-1]["B"] == [truth["BTC"], truth["USDT"]]
            assert set(events[-1]) == {"e", "E", "u", "B"}
            return {row["a"]: (D(row["f"]), D(row["l"])) for row in events[-1]["B"]}

        start = (await calls.signed("GET", "/api/v3/account")).payload["balances"]
        before = {row["asset"]: D(row["free"]) for row in start}
        placed = await calls.limit(quantity="0.002", price="60000")
        locked = await told()
        admin(calls.venue, "POST", f"/sim/orders/{placed.payload['orderId']}/fill", {"quantity": "0.001"})
        half = await told()
        await calls.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=placed.payload["orderId"])
        ended = await told()

        assert locked["USDT"] == (before["USDT"] - 120, 120)
        assert half["USDT"] == (before["USDT"] - 120, 60)
        assert ended["USDT"] == (before["USDT"] - 60, 0)
        assert ended["BTC"] == (before["BTC"] + D("0.000999"), 0)

    run_virtual(main)


UPDATE = {"m", "B", "P"}
POSITION = {"s", "pa", "ep", "bep", "cr", "up", "mt", "iw", "ps", "ma"}


@futureswise
def test_every_fill_of_the_futures_brings_balance_and_position_of_the_routes(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = await futures_socket(calls, market)
        for side, quantity in (("BUY", ""), ("BUY", ""), ("SELL", "15" if market == COINM else "0.03")):
            await market_order(calls, market, side, quantity)
            events = await arrived(socket)
            updates = [event for event in events if event["e"] == "ACCOUNT_UPDATE"]
            kinds = [event["e"] for event in events]
            assert kinds.index("ACCOUNT_UPDATE") < max(
                i for i, kind in enumerate(kinds) if kind == "ORDER_TRADE_UPDATE"
            )
            told = updates[-1]["a"]
            assert (set(told), set(told["P"][0])) == (UPDATE, POSITION)
            assert ("i" in updates[-1]) is (market == COINM)
            row = await risk(calls, market)
            balances = (await calls.signed("GET", f"{PREFIXES[market]}/balance")).payload
            wallet = {one["asset"]: D(one["balance"]) for one in balances}
            assert [told["P"][0][name] for name in ("s", "pa", "ep", "up")] == [
                row[name] for name in ("symbol", "positionAmt", "entryPrice", "unRealizedProfit")
            ]
            assert D(told["B"][0]["wb"]) == wallet[told["B"][0]["a"]]
        assert D(row["positionAmt"]) < 0
        assert D(told["P"][0]["cr"]) != 0

    run_virtual(main)


@futureswise
def test_updates_of_orders_say_what_rests(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = await futures_socket(calls, market)
        await resting(calls, market)
        await resting(calls, market)
        bodies = [event["o"] for event in await arrived(socket)]

        worth = D(5) * 100 / 60000 if market == COINM else D(600)
        assert [round(D(body["b"]), 6) for body in bodies] == [round(worth, 6), round(2 * worth, 6)]
        assert {body["a"] for body in bodies} == {"0"}

    run_virtual(main)


@futureswise
def test_leverage_decides_what_orders_and_positions_hold_back(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = await futures_socket(calls, market)
        path = f"{PREFIXES[market]}/leverage"
        await market_order(calls, market)
        await resting(calls, market)
        at_20 = await initial_margin(calls, market)
        await arrived(socket)

        said = await calls.signed("POST", path, symbol=SYMBOLS[market], leverage=5)

        assert said.payload == {"symbol": SYMBOLS[market], "leverage": 5, "maxNotionalValue": "50000000"}
        assert round(await initial_margin(calls, market), 6) == round(4 * at_20, 6)
        assert (await risk(calls, market))["leverage"] == "5"
        [event] = await arrived(socket)
        assert (event["e"], event["ac"]) == ("ACCOUNT_CONFIG_UPDATE", {"s": SYMBOLS[market], "l": 5})

    run_virtual(main)


@pytest.mark.parametrize("leverage", ["0", "21", "1000"])
def test_leverage_that_there_is_not_is_refused(leverage: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        assert (await calls.signed("POST", f"{FAPI}/leverage", symbol="BTCUSDT", leverage=leverage)).code == -4028

    run_virtual(main)


def test_leverage_that_the_balance_cannot_carry_is_refused_and_changes_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        for _ in range(3):
            assert (await calls.limit(f"{FAPI}/order", quantity="100")).status == 200
        before = await initial_margin(calls, USDM)

        said = await calls.signed("POST", f"{FAPI}/leverage", symbol="BTCUSDT", leverage=10)

        assert said.code == -2028
        assert await initial_margin(calls, USDM) == before
        assert (await risk(calls, USDM))["leverage"] == "20"

    run_virtual(main)


@futureswise
def test_margin_type_is_shown_where_positions_are_and_changes_only_without_them(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        path, symbol = f"{PREFIXES[market]}/marginType", SYMBOLS[market]

        async def change(kind: str) -> Any:
            return (await calls.signed("POST", path, symbol=symbol, marginType=kind)).payload["code"]

        assert await change("CROSSED") == -4046
        assert await change("NEITHER") == -1130
        assert await change("ISOLATED") == 200
        await market_order(calls, market)
        row = await risk(calls, market)
        assert (row["marginType"], row["isolated"]) == ("isolated", True)
        assert D(row["isolatedWallet"]) == await initial_margin(calls, market)
        assert await change("CROSSED") == -4048
        lower = await calls.signed("POST", f"{PREFIXES[market]}/leverage", symbol=symbol, leverage=2)
        assert lower.code == -4161
        await market_order(calls, market, "SELL")
        placed = await resting(calls, market)
        assert await change("CROSSED") == -4047
        await calls.signed("DELETE", f"{PREFIXES[market]}/order", symbol=symbol, orderId=placed.payload["orderId"])
        assert await change("CROSSED") == 200
        assert (await risk(calls, market))["marginType"] == "cross"

    run_virtual(main)


def test_symbol_and_account_configuration_are_what_was_chosen() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.signed("POST", f"{FAPI}/leverage", symbol="ETHUSDT", leverage=7)
        await calls.signed("POST", f"{FAPI}/marginType", symbol="ETHUSDT", marginType="ISOLATED")

        everything = (await calls.signed("GET", f"{FAPI}/symbolConfig")).payload
        one = (await calls.signed("GET", f"{FAPI}/symbolConfig", symbol="ETHUSDT")).payload
        account = (await calls.signed("GET", f"{FAPI}/accountConfig")).payload

        assert one == [
            {
                "symbol": "ETHUSDT",
                "marginType": "ISOLATED",
                "isAutoAddMargin": False,
                "leverage": 7,
                "maxNotionalValue": "50000000",
            }
        ]
        assert len(everything) == len(calls.venue.listings(USDM))
        assert {row["leverage"] for row in everything if row["symbol"] != "ETHUSDT"} == {20}
        assert (account["canTrade"], account["dualSidePosition"], account["multiAssetsMargin"]) == (True, False, False)
        assert {"feeTier", "canDeposit", "canWithdraw", "updateTime", "tradeGroupId"} <= set(account)

    run_virtual(main)


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        (f"{FAPI}/positionSide/dual", {"dualSidePosition": "false"}, -4059),
        (f"{FAPI}/positionSide/dual", {"dualSidePosition": "maybe"}, -1102),
        (f"{FAPI}/multiAssetsMargin", {"multiAssetsMargin": "true"}, -4084),
        (f"{FAPI}/multiAssetsMargin", {"multiAssetsMargin": "false"}, -4171),
        (f"{FAPI}/leverage", {"symbol": "BTCUSDT"}, -1102),
    ],
)
def test_what_cannot_be_chosen_is_refused(path: str, parameters: dict[str, str], code: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        assert (await virtual_binance(loop).signed("POST", path, at_ms=None, **parameters)).code == code

    run_virtual(main)


def test_rates_are_those_that_fills_are_charged() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        fees = (await calls.signed("GET", "/sapi/v1/asset/tradeFee")).payload
        [fee] = (await calls.signed("GET", "/sapi/v1/asset/tradeFee", symbol="BTCUSDT")).payload
        spot = (await calls.signed("GET", "/api/v3/account/commission", symbol="BTCUSDT")).payload
        bought = (
            await calls.signed("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.1")
        ).payload["fills"][0]

        assert len(fees) == len(calls.venue.listings(SPOT))
        assert fee in fees
        assert D(bought["commission"]) == D(bought["qty"]) * D(fee["takerCommission"])
        assert D(spot["standardCommission"]["taker"]) == D(fee["takerCommission"])
        assert set(spot) == {"symbol", "standardCommission", "specialCommission", "taxCommission", "discount"}
        for market in (USDM, COINM):
            rates = (await calls.signed("GET", f"{PREFIXES[market]}/commissionRate", symbol=SYMBOLS[market])).payload
            await market_order(calls, market)
            trade = (await calls.signed("GET", f"{PREFIXES[market]}/userTrades", symbol=SYMBOLS[market])).payload[-1]
            value = D(trade["baseQty" if market == COINM else "quoteQty"])
            assert abs(D(trade["commission"]) - value * D(rates["takerCommissionRate"])) < D("1e-7")

    run_virtual(main)


def test_system_status_tells_of_a_held_engine() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        normal = (await calls.get("/sapi/v1/system/status")).payload
        admin(calls.venue, "POST", "/sim/matching/hold")
        held = (await calls.get("/sapi/v1/system/status")).payload

        assert (normal["status"], held["status"]) == (0, 1)

    run_virtual(main)
