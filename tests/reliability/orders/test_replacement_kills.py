"""O01 with real processes, for orders that are replaced: kill -9 before the wire, after the answer, between cancel and placement.

The exchange's own books decide: at most one order of each of ours is open, and one that says it is open is.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import grpc
import pytest

from protos.orders.v1 import orders_pb2 as pb
from services.orders.domain.client_ids import order_id_of
from tests.support.cli import until
from tests.support.order_server import OrderServer, is_gone, order_server
from tests.support.simulator_process import SimulatorProcess

SITES = {
    "before-the-wire": "orders.amend.journalled",
    "after-the-answer": "orders.amend.answered",
    "between-the-two": "orders.amend.between",
    "on-the-wire": "",
}
OPEN = (pb.ORDER_STATE_NEW, pb.ORDER_STATE_PARTIALLY_FILLED)


def amended_until_killed(server: OrderServer, simulator: SimulatorProcess, site: str) -> list[str]:
    """Amend four orders at once, two of them partly executed, until the server dies; return their ids."""
    server.start(FAULT=f"{SITES[site]}:1") if SITES[site] else server.start()
    server.wait_trading()
    placed = [
        server.place(
            f"{site}-{number}",
            type=pb.ORDER_TYPE_LIMIT,
            quantity="0.002",
            price="62000",
            valid_for_ms=5000,
            time_in_force=pb.TIME_IN_FORCE_GTC,
        )
        for number in range(4)
    ]
    for order in placed[::2]:
        simulator.admin("POST", f"/sim/orders/{order.exchange_order_id}/fill", {"quantity": "0.001"})
    until(
        lambda: all(_now(server, order.order_id).state == pb.ORDER_STATE_PARTIALLY_FILLED for order in placed[::2]),
        what="executions",
    )
    if not SITES[site]:
        simulator.admin("PUT", "/sim/faults", "answer-latency=0.05..0.4@POST *;lose@POST *,chance=0.3")

    def amend(order_id: str) -> None:
        try:
            request = pb.AmendOrderRequest(order_id=order_id, price="62500", quantity="0.003", valid_for_ms=3000)
            server.call("AmendOrder", request)
        except grpc.RpcError as exc:
            if not is_gone(exc):
                raise

    threads = [threading.Thread(target=amend, args=(order.order_id,)) for order in placed]
    for thread in threads:
        thread.start()
    if not SITES[site]:
        threads[0].join(timeout=0.15)
        assert server.process is not None
        server.process.process.kill()
    for thread in threads:
        thread.join()
    server.kill()
    return [order.order_id for order in placed]


def _now(server: OrderServer, order_id: str) -> pb.Order:
    answer: pb.GetOrderResponse = server.call("GetOrder", pb.GetOrderRequest(order_id=order_id))
    return answer.order


@pytest.mark.cases(1)
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("site", list(SITES))
def test_an_order_killed_while_it_is_replaced_is_open_once_or_says_why_not(site: str, tmp_path: Path) -> None:
    with order_server(tmp_path, ORDERS_KEY_RATE="100000") as (server, simulators):
        simulator = simulators["binance"]
        simulator.admin("PUT", "/sim/prices", {"BTC": 65000})
        names = amended_until_killed(server, simulator, site)
        simulator.admin("PUT", "/sim/faults", "")
        server.start()
        server.wait_trading()

        def settled() -> list[pb.Order]:
            orders = [_now(server, name) for name in names]
            busy = any(order.state == pb.ORDER_STATE_UNKNOWN or order.amending_price for order in orders)
            return [] if busy else orders

        orders = until(settled, what="an end of every amend", timeout_s=90.0)

        theirs = defaultdict(list)
        for row in simulator.admin("GET", "/sim/orders"):
            theirs[order_id_of(row["client_id"])].append(row)
        for order in orders:
            rows = theirs[order.order_id]
            still_open = [row for row in rows if row["status"] in ("NEW", "PARTIALLY_FILLED")]
            assert len(still_open) == (1 if order.state in OPEN else 0), (order, rows)
            assert [row["client_id"] for row in still_open] in ([], [order.venue_client_order_id])
            filled = sum((Decimal(row["filled"]) for row in rows), Decimal(0))
            assert Decimal(order.filled_quantity) == filled
            assert order.state in OPEN or "replaced" in order.reason, order
            could = filled + sum((Decimal(row["quantity"]) - Decimal(row["filled"]) for row in still_open), Decimal(0))
            assert could <= Decimal("0.003"), "more could be executed than was asked for"
        assert server.stop() == 0
