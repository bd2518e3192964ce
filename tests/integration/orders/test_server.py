"""The server as people start it, over the simulators as people start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub
from services.orders.guards.line import PLACES
from tests.support.cli import ROOT, clean_environment, until
from tests.support.order_server import OrderServer, check_against, order_server
from tests.support.server_process import SERVING
from tests.support.simulator_process import SimulatorProcess

LIMIT = {"type": pb.ORDER_TYPE_LIMIT, "valid_for_ms": 10_000}


def touch(server: OrderServer, exchange: str, symbol: str) -> Decimal:
    """Return an exchange's price over the REST face."""
    request = urllib.request.Request(
        f"{server.rest_url}/v1/prices/{symbol}?exchange={exchange}", headers={"authorization": f"Bearer {server.key}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return Decimal(json.load(answer)["price"])


@pytest.mark.long
def test_any_goes_to_the_next_exchange_when_the_first_one_is_not_there(tmp_path: Path) -> None:
    with order_server(tmp_path, "binance", "bitmex") as (server, simulators):
        server.start()
        server.wait_trading()
        before = server.place("before", exchange="ANY")
        simulators["binance"].admin("PUT", "/sim/faults", "refuse,for=5")

        order = server.place("a", exchange="ANY")

        assert (before.exchange, before.state) == ("binance", pb.ORDER_STATE_FILLED)
        assert (order.exchange, order.state) == ("bitmex", pb.ORDER_STATE_FILLED)
        until(lambda: is_up(simulators["binance"]), what="the end of the refusal")
        sent = simulators["binance"].admin("GET", "/sim/fills/by-client-id")
        assert set(sent) == {before.venue_client_order_id}


@pytest.mark.nightly
def test_a_flood_of_placements_is_refused_unread_and_cancels_pass(tmp_path: Path) -> None:
    with order_server(tmp_path, ORDERS_KEY_RATE="100000") as (server, simulators):
        server.start()
        server.wait_trading()
        resting = server.place("resting", type=pb.ORDER_TYPE_LIMIT, price="63000", quantity="0.01")
        simulators["binance"].admin("PUT", "/sim/faults", "answer-latency=5@POST /api/v3/order")
        order: dict[str, Any] = {
            "exchange": "binance", "symbol": "BTC/USDT", "side": pb.SIDE_BUY, "type": pb.ORDER_TYPE_MARKET, "quantity": "0.001",
        }  # fmt: skip
        requests = [pb.PlaceOrderRequest(idempotency_key=f"flood-{number}", **order) for number in range(120)]

        calls = [server.stub.PlaceOrder.future(each, metadata=server.metadata, timeout=60) for each in requests]
        cancelled = server.call("CancelOrder", pb.CancelOrderRequest(order_id=resting.order_id))
        codes = Counter(call.code() for call in calls)

        refused = next(call for call in calls if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert cancelled.order.state == pb.ORDER_STATE_CANCELED
        assert codes == {grpc.StatusCode.OK: PLACES, grpc.StatusCode.RESOURCE_EXHAUSTED: len(calls) - PLACES}
        assert dict(refused.trailing_metadata())["midstream-reason"] == "overloaded"
        labels = {"grpc_method": "PlaceOrder"}
        assert server_figure(server, "grpc_server_started_total", **labels) == len(calls) + 1
        # Whoever came before the line was full, and took too long to it, was read and refused there.
        assert server_figure(server, "grpc_server_msg_received_total", **labels) <= (len(calls) + PLACES) // 2


def test_a_connection_that_floods_is_refused_by_the_library_and_another_one_is_not(tmp_path: Path) -> None:
    with order_server(tmp_path, ORDERS_KEY_RATE="100000") as (server, simulators):
        server.start()
        server.wait_trading()
        resting = server.place("resting", type=pb.ORDER_TYPE_LIMIT, price="63000", quantity="0.01")
        simulators["binance"].admin("PUT", "/sim/faults", "answer-latency=30@POST /api/v3/order")
        order: dict[str, Any] = {
            "exchange": "binance", "symbol": "BTC/USDT", "side": pb.SIDE_BUY, "type": pb.ORDER_TYPE_MARKET, "quantity": "0.001",
        }  # fmt: skip
        assert server.process is not None
        address, own = f"127.0.0.1:{server.process.announcement['port']}", (("grpc.use_local_subchannel_pool", 1),)
        with grpc.insecure_channel(address, own) as flooding:
            place = OrderServiceStub(flooding).PlaceOrder.future
            calls = [
                place(pb.PlaceOrderRequest(idempotency_key=f"flood-{number}", **order), metadata=server.metadata, timeout=60)
                for number in range(2_000)
            ]  # fmt: skip
            with pytest.raises(grpc.RpcError) as told:
                server.call("PlaceOrder", pb.PlaceOrderRequest(idempotency_key="another", **order))
            cancelled = server.call("CancelOrder", pb.CancelOrderRequest(order_id=resting.order_id))
            until(
                lambda: sum(call.done() for call in calls) == len(calls) - PLACES,
                what="answers for all without a place",
            )
            stopped = server.call("SetKillSwitch", pb.SetKillSwitchRequest(engaged=True, reason="a flood"))
            codes = Counter(call.code() for call in calls)

        assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
        assert cancelled.order.state == pb.ORDER_STATE_CANCELED
        assert stopped.kill_switch.engaged
        # Everybody has an answer, and who was refused by the library has placed nothing.
        assert set(codes) == {
            grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE,
        }  # fmt: skip
        assert codes[grpc.StatusCode.OK] == PLACES
        begun = server_figure(server, "grpc_server_started_total", grpc_method="PlaceOrder")
        assert begun == len(calls) - codes[grpc.StatusCode.UNAVAILABLE] + 2
        assert server.stop() == 0


def server_figure(server: OrderServer, name: str, **labels: str) -> float:
    assert server.process is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{server.process.announcement['metrics_port']}/metrics") as answer:
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_health_says_at_once_that_calls_are_not_answered(tmp_path: Path) -> None:
    with order_server(tmp_path, ORDERS_RECONCILE_S="300") as (server, simulators):
        server.start()
        server.wait_trading()
        before = health_of(server, "binance")
        simulators["binance"].admin("PUT", "/sim/faults", "drop@POST /api/v3/order")

        server.place("a")
        after = health_of(server, "binance")

        assert (before["reachable"], after["reachable"]) == (True, False)
        assert "place" in after["problem"]
        simulators["binance"].admin("DELETE", "/sim/faults")
        server.place("b")
        assert health_of(server, "binance")["reachable"]


def health_of(server: OrderServer, exchange: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.rest_url}/health/{exchange}", timeout=20) as answer:
        return dict(json.load(answer))


def is_up(simulator: SimulatorProcess) -> bool:
    try:
        return bool(simulator.admin("GET", "/sim"))
    except OSError:
        return False


def test_orders_on_both_exchanges_from_placing_to_the_end(tmp_path: Path) -> None:
    with order_server(tmp_path, "binance", "bitmex") as (server, simulators):
        server.start()
        server.wait_trading()
        assert server.process is not None
        assert server.process.health("midstream.orders.v1.OrderService") == SERVING
        away = (touch(server, "binance", "BTC/USDT:USDT") * Decimal("0.97")).quantize(Decimal(1))

        filled = server.place("market")
        perpetual = server.place("perp", symbol="BTC/USDT:USDT", quantity="0.01", price=str(away), **LIMIT)
        contracts = server.place(
            "bitmex", exchange="bitmex", symbol="BTC/USD:BTC", quantity="100", price=str(away), **LIMIT
        )
        amended = server.call("AmendOrder", pb.AmendOrderRequest(order_id=contracts.order_id, quantity="200")).order
        moved = server.call("AmendOrder", pb.AmendOrderRequest(order_id=perpetual.order_id, price=str(away - 10))).order
        resting = server.place("spot", price=str(away), **LIMIT)
        target = pb.AmendOrderRequest(order_id=resting.order_id, price=str(away - 10), quantity="0.002")
        replaced = server.call("AmendOrder", target)
        again = server.call("AmendOrder", target)
        listed = server.call("ListInstruments", pb.ListInstrumentsRequest(exchange="binance", base="BTC"))
        cancelled = server.call("CancelOrders", pb.CancelOrdersRequest(all=True))

        assert (filled.state, filled.filled_quantity) == (pb.ORDER_STATE_FILLED, "0.001")
        assert amended.quantity == "200"
        assert (moved.price, moved.queue_place) == (str(away - 10), pb.QUEUE_PLACE_LOST)
        assert (replaced.order.price, replaced.order.quantity, replaced.already) == (str(away - 10), "0.002", False)
        assert replaced.order.exchange_order_id != resting.exchange_order_id
        assert (again.order, again.already) == (replaced.order, True)
        assert {one.symbol: one.amend_price for one in listed.instruments}["BTC/USDT"] == pb.AMEND_WAY_REPLACES
        assert [result.order.state for result in cancelled.results] == [pb.ORDER_STATE_CANCELED] * 3
        fills = server.call("ListFills", pb.ListFillsRequest()).fills
        assert sum(Decimal(fill.quantity) for fill in fills) == Decimal("0.001")
        orders = server.orders()
        for name, simulator in simulators.items():
            ours = {key: order for key, order in orders.items() if order.exchange == name}
            if name == "binance":
                ours[resting.venue_client_order_id] = ours[replaced.order.venue_client_order_id]
            check_against(simulator, ours)
        assert server.stop() == 0


@pytest.mark.long
def test_a_signal_stops_trading_and_a_restart_does_not_start_it_again(tmp_path: Path) -> None:
    with order_server(tmp_path) as (server, _):
        server.start()
        server.wait_trading()
        assert server.process is not None
        server.process.process.send_signal(signal.SIGUSR1)
        until(lambda: server.switch().kill_switch.engaged, what="the kill switch")

        with pytest.raises(grpc.RpcError) as refused:
            server.place("stopped")
        server.stop()
        server.start()
        with pytest.raises(grpc.RpcError):
            server.place("still-stopped")
        server.call("SetKillSwitch", pb.SetKillSwitchRequest(engaged=False, reason="checked"))
        server.wait_trading()

        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION  # type: ignore[attr-defined]
        assert server.place("going").state == pb.ORDER_STATE_FILLED
        assert server.stop() == 0


@pytest.mark.long
def test_a_second_server_on_the_same_journal_ends_the_first(tmp_path: Path) -> None:
    with order_server(tmp_path) as (first, _):
        first.start()
        first.wait_trading()
        assert first.process is not None
        directory = tmp_path / "second"
        directory.mkdir()
        second = OrderServer.__new__(OrderServer)
        second.__dict__.update(first.__dict__, directory=directory, process=None)
        second.start()
        try:
            with pytest.raises(grpc.RpcError):
                first.place("late")
            assert first.process.process.wait(timeout=30) == 1
            second.wait_trading()
            assert second.place("mine").state == pb.ORDER_STATE_FILLED
        finally:
            second.kill()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"TRADING": "simulator"}, "MIDSTREAM_BINANCE_API_KEY"),
        ({"ORDERS_DATABASE_URL": "sqlite:////nowhere/at/all/x.db"}, "MIDSTREAM_DATABASE_URL"),
    ],
    ids=["no-key", "no-journal"],
)
def test_what_cannot_be_is_refused_in_one_line(settings: dict[str, str], named: str, tmp_path: Path) -> None:
    if "ORDERS_DATABASE_URL" in settings and os.geteuid() == 0:
        settings = {"ORDERS_DATABASE_URL": "sqlite:////proc/x.db"}
    environment = {f"MIDSTREAM_{name}": value for name, value in settings.items()}
    environment.setdefault("MIDSTREAM_ORDERS_DATABASE_URL", f"sqlite:///{tmp_path / 'orders.db'}")
    environment |= {f"MIDSTREAM_ORDERS_{name}": "0" for name in ("PORT", "METRICS_PORT", "WEB_PORT")}

    ended = subprocess.run(
        [sys.executable, "-m", "services.orders"], cwd=ROOT, env=clean_environment(environment), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip

    said = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert ended.returncode == 2, ended.stderr
    assert len(said) == 1, ended.stderr
    assert named in said[0]
