"""O01 with real processes: kill -9 between journal and send, send and answer, answer and journal.

The exchange's own books decide: no client id executed twice, none forgotten, none invented.
"""

from __future__ import annotations

import threading
from pathlib import Path

import grpc
import pytest

from tests.support.order_server import OrderServer, check_against, is_gone, order_server
from tests.support.simulator_process import SimulatorProcess

SITES = {
    "journal-and-send": "orders.journalled",
    "answer-and-journal": "orders.answered",
    "send-and-answer": "",
}
"""Where the process dies; the one in the middle is killed from outside, while the exchange takes its time."""


EXCHANGES = ("binance", "bybit")


def killed_once(server: OrderServer, simulator: SimulatorProcess, exchange: str, site: str, number: int) -> list[str]:
    """Let a server place orders until it is killed; return the keys that were used."""
    keys = [f"{site}-{number}-{index}" for index in range(4)]
    if SITES[site]:
        # The second or third order is the one that dies with it, so that others are under way.
        server.start(FAULT=f"{SITES[site]}:{1 + number % 3}")
    else:
        simulator.admin("PUT", "/sim/faults", "answer-latency=0.05..0.4@POST *;lose@POST *,chance=0.2")
        server.start()
    server.wait_trading()

    surprises: list[grpc.RpcError] = []

    def place(key: str) -> None:
        try:
            server.place(key, exchange=exchange)
        except grpc.RpcError as exc:
            surprises.extend([] if is_gone(exc) else [exc])

    threads = [threading.Thread(target=place, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    if not SITES[site]:
        threads[0].join(timeout=0.02 * (number % 10))
        assert server.process is not None
        server.process.process.kill()
    for thread in threads:
        thread.join()
    server.kill()
    assert not surprises
    return keys


def run(tmp_path: Path, exchange: str, site: str, kills: int) -> None:
    with order_server(tmp_path, exchange) as (server, simulators):
        simulator = simulators[exchange]
        keys: list[str] = []
        for number in range(kills):
            keys += killed_once(server, simulator, exchange, site, number)
        simulator.admin("PUT", "/sim/faults", "")
        server.start()
        server.wait_trading()
        # Callers who got no answer ask again with the same key; nothing may be executed twice because of it.
        for key in keys:
            server.place(key, exchange=exchange)

        orders = server.wait_settled()

        check_against(simulator, orders)
        assert len(orders) == len(keys)
        assert server.stop() == 0


@pytest.mark.cases(2)
@pytest.mark.long
@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("site", list(SITES))
def test_a_killed_server_executes_nothing_twice_and_forgets_nothing(exchange: str, site: str, tmp_path: Path) -> None:
    run(tmp_path, exchange, site, kills=1)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("site", list(SITES))
def test_many_kills_execute_nothing_twice_and_forget_nothing(exchange: str, site: str, tmp_path: Path) -> None:
    # Each start reconciles, which costs weight: more restarts in so short a time run into the exchange's limit and wait for it.
    run(tmp_path, exchange, site, kills=15)
