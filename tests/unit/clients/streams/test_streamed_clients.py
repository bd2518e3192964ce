"""What clients with websockets have in common: one budget of connections, and an end that leaves none open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.socket_links import ScriptedDialer
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.clients.streams.stage import Consumer, binance, bitmex, bybit, settle

CLIENTS: dict[str, Callable[[VirtualLoop, ScriptedDialer], Any]] = {
    "binance": lambda loop, dialer: binance(loop, dialer)[0],
    "bitmex": bitmex,
    "bybit": bybit,
}
SYMBOLS = {"binance": "BTC/USDT", "bitmex": "BTC/USD:BTC", "bybit": "BTC/USDT"}
OPENED = {"binance": (150, 300.0), "bitmex": (40, 3600.0), "bybit": (250, 300.0)}
"""Connections within a time: half of what an address may open, or the lowest limit that was ever announced."""


@pytest.mark.quick
@pytest.mark.parametrize("name", CLIENTS)
def test_closing_a_client_closes_what_somebody_still_reads(name: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        dialer = ScriptedDialer(loop)
        client = CLIENTS[name](loop, dialer)
        consumer = Consumer(client.stream_quotes([SYMBOLS[name]]))
        link = await dialer.link(1)
        await settle()

        await client.close()
        await settle()

        assert link.closed
        assert not client.streams.statuses()
        assert len(dialer.links) == 1
        await consumer.stop()

    run_virtual(main)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_opens_no_more_connections_than_leave_some_for_others(name: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        budget = CLIENTS[name](loop, ScriptedDialer(loop)).streams.budget
        opened, window_s = OPENED[name]

        taken = sum(budget.take() for _ in range(2 * opened))

        assert taken == opened
        assert budget.wait_s() == pytest.approx(window_s)
        await asyncio.sleep(window_s)
        assert budget.take()

    run_virtual(main)
