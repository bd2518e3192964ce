"""W07, W08: floods and giant messages cost time, never memory and never a deal. The listener's memory is that of its own process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from clients.database import open_database
from services.simulators.power_exchange import PowerExchange, PowerExchangeScript, ScriptOptions, deal_message
from tests.support.power_database import deal_ids
from tests.support.power_processes import PowerProcess, listener_settings

MEBIBYTE = 1 << 20


def resident_bytes(pid: int) -> int:
    """Return the memory of a process that is in use now."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


def script(count: int, seed: int) -> PowerExchangeScript:
    return PowerExchangeScript(
        time.time_ns() - 10**9, ScriptOptions(seed=seed, gap_min_s=0, gap_max_s=0, deals_max=count)
    )


async def _wait_for(listener: PowerProcess, figure: str, value: float, *, timeout_s: float = 300.0) -> int:
    """Wait until a figure is reached; return the most memory that was seen meanwhile."""
    most = 0
    async with asyncio.timeout(timeout_s):
        while (await asyncio.to_thread(listener.metrics)).get(figure, 0.0) < value:
            most = max(most, resident_bytes(listener.process.pid))
            await asyncio.sleep(0.1)
    return most


@pytest.mark.nightly
@pytest.mark.timeout(900)
async def test_a_burst_of_a_hundred_and_fifty_thousand_deals_is_taken_in_bounded_memory(tmp_path: Path) -> None:
    count = 150_000
    exchange = PowerExchange()
    port = await exchange.start("127.0.0.1", 0)
    settings = listener_settings(tmp_path, power_url=f"ws://127.0.0.1:{port}")
    listener = await asyncio.to_thread(PowerProcess, "power.listener", tmp_path, **settings)
    await asyncio.to_thread(listener.wait_ready)
    for deal in script(1_000, 1):
        exchange.publish(deal)
    await _wait_for(listener, "midstream_deals_total", 1_000)
    before = resident_bytes(listener.process.pid)
    began_s = time.monotonic()
    for number, deal in enumerate(script(count, 2)):
        exchange.publish(deal)
        if number % 100 == 0:
            await asyncio.sleep(0)

    most = await _wait_for(listener, "midstream_deals_total", count + 1_000)

    rate = count / (time.monotonic() - began_s)
    print(f"{rate:.0f} deals/s, {(most - before) / MEBIBYTE:.0f} MiB more")  # noqa: T201  (figures of the run)
    assert await asyncio.to_thread(listener.stop) == 0
    engine = open_database(settings["DATABASE_URL"], application="test")
    assert await deal_ids(engine) == exchange.deals.ids()
    await engine.dispose()
    await exchange.stop()
    # 20,000 deals in two queues, a batch of 2,000 rows, and the ids of 200,000 deals for the comparison.
    assert most - before < 150 * MEBIBYTE


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_giant_messages_are_refused_before_they_are_held(tmp_path: Path) -> None:
    exchange = PowerExchange(replay=False)
    port = await exchange.start("127.0.0.1", 0)
    settings = listener_settings(tmp_path, power_url=f"ws://127.0.0.1:{port}")
    listener = await asyncio.to_thread(PowerProcess, "power.listener", tmp_path, **settings)
    await asyncio.to_thread(listener.wait_ready)
    await _wait_for(listener, "midstream_deals_connected", 1)
    exchange.publish(next(script(1, 1)))
    await _wait_for(listener, "midstream_deals_total", 1)
    before = resident_bytes(listener.process.pid)
    giant = deal_message({**next(script(1, 2)).fields(), "comment": "x" * (10 * MEBIBYTE)})

    exchange.deals.post("giant", giant)
    most = await _wait_for(listener, "midstream_deals_reconnects_total", 1)
    for deal in script(3, 3):
        exchange.publish(deal)
    await _wait_for(listener, "midstream_deals_total", 4)

    assert most - before < 10 * MEBIBYTE
    assert await asyncio.to_thread(listener.stop) == 0
    await exchange.stop()
