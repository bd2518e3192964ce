"""What recorded payloads of Bybit have, the simulated one has too, as the same kind of value. Figures are never compared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.contracts import RECORDED
from tests.support.simulated_calls import BybitCalls, admin, virtual_bybit
from tests.support.simulated_shapes import lacking
from tests.support.simulated_venues import connect
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.bybit.test_private_stream import frames, opened
from tests.unit.simulators.bybit.test_public_stream import take, tell

FOLDER = RECORDED / "bybit"

pytestmark = pytest.mark.needs("recordings")

OPTIONS = frozenset({"next", "displayName"})
"""Gone from newer answers, or not in every one of them."""


def answers(name: str) -> Iterator[tuple[str, Any]]:
    """Yield the recorded answers of this name, by file; a folder's are all that fit a pattern."""
    found = sorted(FOLDER.glob(name))
    assert found, f"no {name} in {FOLDER}"
    for path in found:
        payload = json.loads(path.read_text(encoding="utf-8"))
        yield path.name, payload.get("response", payload)


def problems(ours: Any, name: str, without: frozenset[str] = OPTIONS) -> dict[str, list[str]]:
    """Return what recordings have and ours has not."""
    found = {file: lacking(ours, theirs, without=without) for file, theirs in answers(name)}
    return {file: lines for file, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("name", "path", "parameters"),
    [
        ("rest/docs/market_time.1.json", "/v5/market/time", {}),
        ("rest/docs/system-status.1.json", "/v5/system/status", {}),
        ("rest/docs/market_orderbook.1.json", "/v5/market/orderbook", {"category": "spot", "symbol": "BTCUSDT"}),
        ("rest/docs/market_order-price-limit.1.json", "/v5/market/price-limit", {"symbol": "BTCUSDT"}),
        ("rest/bybitnet/GetKlines.json", "/v5/market/kline", {"symbol": "BTCUSDT", "interval": "60"}),
        (
            "rest/bybitnet/GetFundingRateHistory.json",
            "/v5/market/funding/history",
            {"category": "linear", "symbol": "BTCUSDT"},
        ),
        ("rest/docs/market_tickers.1.json", "/v5/market/tickers", {"category": "inverse"}),
        ("rest/docs/market_tickers.2.json", "/v5/market/tickers", {"category": "spot"}),
        ("rest/bybitnet/GetLinearInverseTickers.json", "/v5/market/tickers", {"category": "linear"}),
        ("rest/docs/market_recent-trade.1.json", "/v5/market/recent-trade", {"category": "spot", "symbol": "BTCUSDT"}),
        ("rest/docs/market_instrument.1.json", "/v5/market/instruments-info", {"category": "linear"}),
        ("rest/docs/market_instrument.3.json", "/v5/market/instruments-info", {"category": "spot"}),
        ("rest/instruments_linear.2025-capture.json", "/v5/market/instruments-info", {"category": "linear"}),
        ("rest/instruments_spot.2025-capture.json", "/v5/market/instruments-info", {"category": "spot"}),
        ("rest/instruments_inverse.*-capture.json", "/v5/market/instruments-info", {"category": "inverse"}),
    ],
)
def test_public_answers(name: str, path: str, parameters: dict[str, str]) -> None:
    async def main(loop: VirtualLoop) -> None:
        ours = (await virtual_bybit(loop).get(path, **parameters)).payload

        assert problems(ours, name) == {}

    run_virtual(main)


async def traded(loop: VirtualLoop) -> BybitCalls:
    """Return a venue where an order is open, one was refused, and something was traded."""
    calls = virtual_bybit(loop)
    await calls.create(orderLinkId="open")
    await calls.create(orderType="Market")
    await calls.create(category="inverse", symbol="BTCUSD", orderType="Market", qty="100")
    await calls.create(timeInForce="PostOnly", price="65500")
    await asyncio.sleep(1)
    return calls


@pytest.mark.parametrize(
    ("name", "path", "parameters"),
    [
        ("rest/docs/order_open-order.1.json", "/v5/order/realtime", {"category": "linear", "symbol": "BTCUSDT"}),
        (
            "rest/nautilus/http_get_orders_realtime.json",
            "/v5/order/realtime",
            {"category": "linear", "baseCoin": "BTC"},
        ),
        ("rest/docs/order_order-list.1.json", "/v5/order/history", {"category": "linear"}),
        ("rest/docs/order_execution.1.json", "/v5/execution/list", {"category": "linear"}),
        ("rest/nautilus/http_get_executions.json", "/v5/execution/list", {"category": "linear"}),
        ("rest/docs/position_position.1.json", "/v5/position/list", {"category": "inverse"}),
        ("rest/docs/account_wallet-balance.1.json", "/v5/account/wallet-balance", {"accountType": "UNIFIED"}),
        ("rest/docs/account_account-info.1.json", "/v5/account/info", {}),
        ("rest/docs/account_fee-rate.1.json", "/v5/account/fee-rate", {"category": "linear"}),
        ("rest/docs/account_dcp-info.1.json", "/v5/account/query-dcp-info", {}),
        ("rest/bybitnet/GetApiKeyInfo.json", "/v5/user/query-api", {}),
    ],
)
def test_signed_answers(name: str, path: str, parameters: dict[str, str]) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = await traded(loop)
        ours = (await calls.signed("GET", path, **parameters)).payload

        # Fees of a row are by the coin that they were paid in.
        assert problems(ours, name, without=frozenset({"MNT"})) == {}

    run_virtual(main)


def test_answers_to_orders() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = await traded(loop)
        one = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": "60000"}
        batch = {"category": "linear", "request": [{**one, "orderLinkId": "b"}]}
        named = {"category": "linear", "request": [{"symbol": "BTCUSDT", "orderLinkId": "b"}]}

        assert problems((await calls.create()).payload, "rest/docs/order_create-order.1.json") == {}
        assert (
            problems((await calls.named("amend", "open", qty="1")).payload, "rest/docs/order_amend-order.1.json") == {}
        )
        assert problems((await calls.named("cancel", "open")).payload, "rest/docs/order_cancel-order.1.json") == {}
        placed = (await calls.signed("POST", "/v5/order/create-batch", batch)).payload
        assert problems(placed, "rest/docs/order_batch-place.1.json") == {}
        canceled = (await calls.signed("POST", "/v5/order/cancel-batch", named)).payload
        assert problems(canceled, "rest/docs/order_batch-cancel.1.json") == {}
        everything = (
            await calls.signed("POST", "/v5/order/cancel-all", {"category": "linear", "baseCoin": "BTC"})
        ).payload
        assert problems(everything, "rest/docs/order_cancel-all.1.json") == {}

    run_virtual(main)


def test_recorded_refusals_have_our_code_and_the_same_envelope() -> None:
    (_, recorded), *_ = answers("rest/errors.captured.json")
    cases = {case["body"]["retCode"]: case for case in recorded["cases"]}

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        ours = {
            10002: await calls.signed("GET", "/v5/account/info", late_ms=60_000),
            10001: await calls.create(positionIdx=2),
            110007: await calls.create(qty="1000", price="64000"),
            170371: await calls.create(category="spot", side="Sell", price="1000"),
        }
        for code, answer in ours.items():
            assert (answer.status, answer.ret[0]) == (cases[code]["http"], code)
            assert lacking(answer.payload, cases[code]["body"]) == []
        assert ours[110007].ret[1] == cases[110007]["body"]["retMsg"]

    run_virtual(main)


@pytest.mark.parametrize(
    ("name", "category", "topic"),
    [
        ("ws/docs/websocket_public_ticker.1.json", "linear", "tickers.BTCUSDT"),
        ("ws/docs/websocket_public_ticker.2.json", "linear", "tickers.BTC-26DEC25"),
        ("ws/docs/websocket_public_ticker.4.json", "spot", "tickers.BTCUSDT"),
        ("ws/docs/websocket_public_kline.1.json", "linear", "kline.5.BTCUSDT"),
        ("ws/tickers.BTCUSD.2026-capture.json", "inverse", "tickers.BTCUSD"),
        ("ws/docs/websocket_public_orderbook.1.json", "linear", "orderbook.50.BTCUSDT"),
        ("ws/docs/websocket_public_order-price-limit.2.json", "linear", "priceLimit.BTCUSDT"),
    ],
)
def test_public_frames(name: str, category: str, topic: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = connect(calls.venue, f"/v5/public/{category}")
        await tell(socket, "subscribe", topic)
        _, frame = await take(socket, 2)

        assert problems(frame, name) == {}

    run_virtual(main)


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("ws/docs/websocket_private_order.2.json", "order"),
        ("ws/docs/websocket_private_execution.2.json", "execution"),
        ("ws/docs/websocket_private_fast-execution.2.json", "execution.fast"),
        ("ws/docs/websocket_private_position.2.json", "position"),
        ("ws/docs/websocket_private_wallet.2.json", "wallet"),
    ],
)
def test_private_frames(name: str, topic: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = await opened(calls, topic)
        await calls.create(orderType="Market")
        told = await frames(socket)

        assert problems(told[-1], name, without=frozenset({"MNT"})) == {}

    run_virtual(main)


def test_documented_incident() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        admin(calls.venue, "PUT", "/sim/system-status", {"state": "ongoing"})

        assert problems((await calls.get("/v5/system/status")).payload, "rest/docs/system-status.1.json") == {}

    run_virtual(main)
