"""A database that takes a question and does not answer makes the reference-price process not ready, and it says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry

from services.power.etl.config import EtlSettings
from services.power.etl.server import EtlServer
from services.runtime.health import OVERALL, HealthBoard
from services.runtime.metrics import Metrics
from services.runtime.stalls import STALLED_S, Stalls


class Silent:
    """A quota whose database stands still."""

    async def usage(self) -> Any:
        await asyncio.Event().wait()


async def test_it_is_told_while_the_question_is_open(tmp_path: Path) -> None:
    now_s = 0.0
    server = EtlServer(EtlSettings(database_url=f"sqlite:///{tmp_path / 'power.db'}"))
    server._quota = cast("Any", Silent())
    server._stalls = Stalls(monotonic_s=lambda: now_s)
    server._ready = True
    board, metrics = HealthBoard([]), server._metrics
    asking = asyncio.create_task(server._measure_quotas(Metrics(CollectorRegistry())))
    await asyncio.sleep(0)
    now_s += STALLED_S + 1

    measuring = asyncio.create_task(server._measure(metrics, board))
    await asyncio.sleep(0)

    assert board.reason(OVERALL) == "the database has not answered for 4 s: a disk or a database stands still"
    for task in (asking, measuring):
        task.cancel()
    await asyncio.gather(asking, measuring, return_exceptions=True)
    await server.stop()
