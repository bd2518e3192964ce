"""The reference-price process against the simulated provider: prices reach the database, its status too, and it ends in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import func, select

from clients.database import open_database
from clients.power.store.reference_tables import quota_slots, reference_lease
from clients.power.store.schema import reference_prices
from services.power.etl.store import ReferenceStore, SavedStatus
from tests.support.cli import until
from tests.support.reporting_desk import sqlite_url
from tests.support.server_process import SERVING, server_process


async def _state(url: str) -> tuple[int, int, int, SavedStatus | None]:
    """Prices, slots, when the lease ends, status."""
    engine = open_database(url, application="test")
    try:
        async with engine.connect() as connection:
            prices = (await connection.execute(select(func.count()).select_from(reference_prices))).scalar_one()
            slots = (await connection.execute(select(func.count()).select_from(quota_slots))).scalar_one()
            lease = (await connection.execute(select(reference_lease.c.held_until_ns))).scalar()
        return prices, slots, int(lease or 0), await ReferenceStore(engine).status()
    finally:
        await engine.dispose()


def test_prices_come_into_the_database_within_the_quota(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    provider_settings = {"SIM_MARKET_DATA_PORT": "0", "SIM_MARKET_DATA_FIRST_VALUE_MAX_S": "1", "LOG_LEVEL": "warning"}
    with server_process("simulators.market_data", tmp_path, **provider_settings) as provider:
        address = f"http://127.0.0.1:{provider.announcement['port']}"
        settings = {"DATABASE_URL": url, "REFERENCE_URL": address, "POWER_ETL_PORT": "0", "POWER_ETL_METRICS_PORT": "0"}
        with server_process("power.etl", tmp_path, **settings) as etl:
            etl.wait_health(SERVING)
            until(lambda: asyncio.run(_state(url))[0] >= 23, what="the first prices")
            until(lambda: asyncio.run(_state(url))[3] is not None, what="the status")
            _, _, lease_ns, status = asyncio.run(_state(url))

    prices, slots, released_ns, _ = asyncio.run(_state(url))
    assert 23 <= prices <= slots <= 50
    assert status is not None
    assert (status.trouble, status.last_answer_ns > 0) == ("", True)
    assert lease_ns > 0
    assert released_ns == 0
