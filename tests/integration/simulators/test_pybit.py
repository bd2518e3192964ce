"""pybit, the exchange's own client, on the simulated Bybit: REST, public and private streams, orders by stream."""

from __future__ import annotations

import importlib
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.simulators.bybit import DEMO_ACCOUNT
from tests.support.cli import until
from tests.support.simulator_process import SimulatorProcess

library: Any = pytest.importorskip("pybit.unified_trading")
exceptions: Any = importlib.import_module("pybit.exceptions")

WAIT_S = 10
LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture(scope="module")
def session(bybit: SimulatorProcess) -> Iterator[Any]:
    made = library.HTTP(api_key=DEMO_ACCOUNT.api_key, api_secret=DEMO_ACCOUNT.secret, recv_window=20_000)
    made.endpoint = bybit.url
    yield made
    made.client.close()


@pytest.fixture
def stream(bybit: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Open its websockets; all end with the test."""
    monkeypatch.setattr(library, "PUBLIC_WSS", f"{bybit.ws_url}/v5/public/{{CHANNEL_TYPE}}")
    monkeypatch.setattr(library, "PRIVATE_WSS", f"{bybit.ws_url}/v5/private")
    trading: Any = importlib.import_module("pybit._websocket_trading")
    monkeypatch.setattr(trading, "TRADE_WSS", f"{bybit.ws_url}/v5/trade")
    keys: dict[str, Any] = {"testnet": False, "api_key": DEMO_ACCOUNT.api_key, "api_secret": DEMO_ACCOUNT.secret}
    opened: list[Any] = []

    def open_one(channel: str) -> Any:
        made = (
            library.WebSocketTrading(**keys) if channel == "trade" else library.WebSocket(channel_type=channel, **keys)
        )
        opened.append(made)
        return made

    yield open_one
    for one in opened:
        one.exit()


def seen(session: Any, **named: str) -> Any:
    """Return an order's row as soon as there is one."""
    until(lambda: bool(session.get_open_orders(**named)["result"]["list"]), what="a row of the order")
    return session.get_open_orders(**named)["result"]["list"][0]


def test_market_data(session: Any) -> None:
    symbols = {
        category: {row["symbol"] for row in session.get_instruments_info(category=category)["result"]["list"]}
        for category in ("spot", "linear", "inverse")
    }
    ticker = session.get_tickers(**LINEAR)["result"]["list"][0]
    book = session.get_orderbook(**LINEAR, limit=5)["result"]
    limit = session.get_price_limit(**LINEAR)["result"]
    trades = session.get_public_trade_history(**LINEAR)["result"]["list"]

    for coin in ("BTC", "ETH", "SOL"):
        assert {f"{coin}USDT", f"{coin}USDC"} <= symbols["spot"]
        assert {f"{coin}USDT", f"{coin}PERP"} <= symbols["linear"]
        assert f"{coin}USD" in symbols["inverse"]
    assert float(limit["sellLmt"]) < float(ticker["bid1Price"]) < float(ticker["ask1Price"]) < float(limit["buyLmt"])
    assert len(book["b"]) == len(book["a"]) == 5
    assert trades[0]["symbol"] == "BTCUSDT"
    assert abs(int(session.get_server_time()["result"]["timeSecond"]) - time.time()) < 5
    assert session.get_system_status()["result"]["list"] == []


def test_an_order_from_placing_to_history(session: Any) -> None:
    placed = session.place_order(
        **LINEAR, side="Buy", orderType="Limit", qty="0.01", price="60000", timeInForce="PostOnly"
    )["result"]
    order_id = placed["orderId"]
    row = seen(session, **LINEAR, orderId=order_id)
    session.amend_order(**LINEAR, orderId=order_id, price="59000")
    session.cancel_order(**LINEAR, orderId=order_id)
    until(
        lambda: bool(session.get_order_history(**LINEAR, orderId=order_id)["result"]["list"]),
        what="the order in history",
    )
    ended = session.get_order_history(**LINEAR, orderId=order_id)["result"]["list"][0]

    assert (row["orderStatus"], row["timeInForce"]) == ("New", "PostOnly")
    assert (ended["orderStatus"], ended["cancelType"], ended["price"]) == ("Cancelled", "CancelByUser", "59000.00")


def test_a_trade_its_fee_and_what_it_left(session: Any) -> None:
    spot = {"category": "spot", "symbol": "ETHUSDT"}
    order_id = session.place_order(**spot, side="Buy", orderType="Market", qty="0.1", marketUnit="baseCoin")["result"][
        "orderId"
    ]
    until(lambda: bool(session.get_executions(**spot, orderId=order_id)["result"]["list"]), what="an execution")
    fills = session.get_executions(**spot, orderId=order_id)["result"]["list"]
    session.place_order(**LINEAR, side="Buy", orderType="Market", qty="0.01")
    position = session.get_positions(**LINEAR)["result"]["list"][0]
    wallet = session.get_wallet_balance(accountType="UNIFIED", coin="ETH")["result"]["list"][0]

    assert {one["feeCurrency"] for one in fills} == {"ETH"}
    assert sum(float(one["execQty"]) for one in fills) == pytest.approx(0.1)
    assert position["side"] == "Buy"
    assert float(wallet["coin"][0]["walletBalance"]) == pytest.approx(300 + 0.1 * 0.999)
    assert session.get_account_info()["result"]["unifiedMarginStatus"] in (5, 6)
    assert session.get_fee_rates(category="linear", symbol="BTCUSDT")["result"]["list"][0]["takerFeeRate"] == "0.00055"
    assert session.get_api_key_information()["result"]["readOnly"] == 0


def test_batches_and_cancel_all(session: Any) -> None:
    order = {"symbol": "SOLUSDT", "side": "Buy", "orderType": "Limit", "qty": "1", "price": "120"}
    answer = session.place_batch_order(category="linear", request=[order, {**order, "qty": "0"}])
    canceled = session.cancel_all_orders(category="linear", symbol="SOLUSDT")

    assert [item["code"] for item in answer["retExtInfo"]["list"]] == [0, 10001]
    assert [one["orderId"] for one in canceled["result"]["list"]] == [answer["result"]["list"][0]["orderId"]]


def test_refusals_are_understood(session: Any, bybit: SimulatorProcess) -> None:
    for parameters, code in (
        ({"qty": "10000", "price": "64000"}, 10001),
        ({"qty": "1000", "price": "64000"}, 110007),
        ({"qty": "0.01", "price": "64000", "positionIdx": 1}, 10001),
    ):
        with pytest.raises(exceptions.InvalidRequestError) as refused:
            session.place_order(**LINEAR, side="Buy", orderType="Limit", **parameters)
        assert refused.value.status_code == code
    bybit.admin("PUT", "/sim/faults", "error=too-frequent,count=1")
    with pytest.raises(exceptions.FailedRequestError):
        session.get_server_time()


def test_public_streams(stream: Callable[..., Any], bybit: SimulatorProcess) -> None:
    bybit.admin("PUT", "/sim/faults", "latency=0.2@WS *")
    frames: queue.Queue[Any] = queue.Queue()
    linear, spot = stream("linear"), stream("spot")
    linear.orderbook_stream(50, "BTCUSDT", frames.put)
    linear.ticker_stream("BTCUSDT", frames.put)
    spot.trade_stream("BTCUSDT", frames.put)
    topics: dict[str, Any] = {}
    while len(topics) < 3:
        frame = frames.get(timeout=WAIT_S)
        topics[frame["topic"]] = frame

    book = topics["orderbook.50.BTCUSDT"]["data"]
    assert float(book["b"][0][0]) < float(book["a"][0][0])
    assert "bid1Price" in topics["tickers.BTCUSDT"]["data"]
    assert topics["publicTrade.BTCUSDT"]["data"][0]["s"] == "BTCUSDT"


def test_private_stream_and_orders_by_stream(stream: Callable[..., Any], bybit: SimulatorProcess) -> None:
    # It notes what it asked for after asking: an exchange is never as near as one on the same machine.
    bybit.admin("PUT", "/sim/faults", "latency=0.2@WS *")
    orders: queue.Queue[Any] = queue.Queue()
    answers: queue.Queue[Any] = queue.Queue()
    private = stream("private")
    private.order_stream(orders.put)
    trade = stream("trade")
    order = {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": "60000"}

    trade.place_order(answers.put, **order)
    answer = answers.get(timeout=WAIT_S)
    opened = orders.get(timeout=WAIT_S)["data"][0]
    trade.cancel_order(answers.put, **LINEAR, orderId=answer["data"]["orderId"])
    canceled = answers.get(timeout=WAIT_S)
    ended = orders.get(timeout=WAIT_S)["data"][0]

    assert (answer["retCode"], answer["op"]) == (0, "order.create")
    assert (opened["orderId"], opened["orderStatus"]) == (answer["data"]["orderId"], "New")
    assert canceled["op"] == "order.cancel"
    assert (ended["orderStatus"], ended["cancelType"]) == ("Cancelled", "CancelByUser")
