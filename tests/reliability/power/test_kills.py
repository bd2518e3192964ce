"""W10: the listener is killed at random; afterwards the database equals the exchange's list, in its order.

On Postgres the sessions and the server die at random as well.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from clients.database import open_database
from services.simulators.power_exchange import PowerExchange, PowerExchangeScript, ScriptOptions
from tests.support.postgres import PostgresForTests
from tests.support.power_database import cursor_id, deal_keys, gap_rows, positions, unusable_rows
from tests.support.power_processes import PowerProcess, listener_settings

LIVES_S = 0.8
"""The longest life of a listener that serves; one in five dies before."""


async def _campaign(directory: Path, kills: int, server: PostgresForTests | None) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  (how to repeat it)
    source = random.Random(seed)
    options = ScriptOptions(seed=seed, gap_min_s=0.0005, gap_max_s=0.01, quarter_share=0.2, revision_share=0.2)
    script = PowerExchangeScript(time.time_ns(), options)
    exchange = PowerExchange(script)
    port = await exchange.start("127.0.0.1", 0)
    settings = listener_settings(
        directory,
        power_url=f"ws://127.0.0.1:{port}",
        database_url="" if server is None else server.new_database("power"),
    )
    for _ in range(kills):
        listener = await asyncio.to_thread(PowerProcess, "power.listener", directory, **settings)
        if source.random() > 0.2:
            await asyncio.to_thread(listener.wait_ready)
        await asyncio.sleep(source.uniform(0.0, LIVES_S))
        if server is not None and source.random() < 0.3:
            await _mistreat(server, source)
        await asyncio.to_thread(listener.kill)

    listener = await asyncio.to_thread(PowerProcess, "power.listener", directory, **settings)
    assert exchange._publishing is not None
    exchange._publishing.cancel()
    expected = exchange.deals.ids()
    engine = open_database(settings["DATABASE_URL"], application="test")
    async with asyncio.timeout(120):
        while not await _complete(engine, expected[-1]):  # noqa: ASYNC110  (another process writes)
            await asyncio.sleep(0.1)
    assert await asyncio.to_thread(listener.stop) == 0, listener.log.read_text()

    assert await deal_keys(engine) == expected
    assert await positions(engine) == list(range(1, len(expected) + 1))
    assert await gap_rows(engine) == []
    assert await unusable_rows(engine) == []
    await engine.dispose()
    await exchange.stop()


async def _complete(engine: object, last_id: str) -> bool:
    try:
        return await cursor_id(engine) == last_id  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001  (the tables may not be there yet; the timeout decides)
        return False


async def _mistreat(server: PostgresForTests, source: random.Random) -> None:
    if source.random() < 0.5:
        await asyncio.to_thread(server.end_sessions)
    else:
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(source.uniform(0.0, 1.0))
        await asyncio.to_thread(server.start)


async def test_a_listener_that_is_killed_a_few_times_leaves_an_exact_database(tmp_path: Path) -> None:
    await _campaign(tmp_path, 3, None)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_a_listener_that_is_killed_fifty_times_leaves_an_exact_database(tmp_path: Path) -> None:
    await _campaign(tmp_path, 50, None)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.needs("postgres")
async def test_listener_and_postgres_killed_at_random_leave_an_exact_database(tmp_path: Path) -> None:
    server = await asyncio.to_thread(PostgresForTests)
    try:
        await _campaign(tmp_path, 20, server)
    finally:
        await asyncio.to_thread(server.close)
