"""L03 to L05 of the acceptance tables: everybody refreshes at once, and the database or the provider is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clients.database import DatabaseUnavailable
from services.reporting.engine.snapshot import DeliveryDay
from tests.support.reporting_app import DeskApp
from tests.support.reporting_desk import Desk, MadeDeal, berlin_ns, sqlite_url

NOW_NS = berlin_ns("2025-10-09 10:53")
TODAY = "2025-10-09"
USERS = 10_000


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    opened = await Desk.open(sqlite_url(tmp_path))
    await opened.add_deals([MadeDeal("10.2", "5", "sell", TODAY, "15-16", f"flex_trader_{n}") for n in range(15)])
    await opened.add_deals([MadeDeal("7", "1", "buy", "2025-10-01", "15-16")])
    yield opened
    await opened.close()


@pytest.mark.quick
async def test_l03_ten_thousand_refreshes_read_nothing(desk: Desk) -> None:
    app = DeskApp(desk, now_ns=NOW_NS)
    await app.model.look()
    reads = app.reader.reads
    tags = {n: (await app.get(f"/board?trader=flex_trader_{n}")).headers["etag"] for n in range(15)}

    answers = [
        await app.get(f"/board?trader=flex_trader_{n % 15}", headers={"if-none-match": tags[n % 15]})
        for n in range(USERS)
    ]

    assert {got.status for got in answers} == {304}
    assert app.reader.reads == reads


async def test_l03_a_refresh_after_each_change_renders_each_page_once(desk: Desk) -> None:
    app = DeskApp(desk, now_ns=NOW_NS)
    await app.model.look()
    rendered = 0
    board = app.app._pages.board

    def counted(*arguments: object) -> str:
        nonlocal rendered
        rendered += 1
        return board(*arguments)  # type: ignore[arg-type]

    app.app._pages.board = counted  # type: ignore[method-assign]
    for change in range(5):
        await desk.add_deals([MadeDeal("1", "1", "sell", TODAY, "16-17", id=f"change-{change}")])
        await app.model.look()
        reads = app.reader.reads
        await asyncio.gather(*(app.get("/board") for _ in range(200)))
        for _ in range(20):
            await app.get("/board?nothing=changed")
        assert app.reader.reads == reads

    assert rendered == 5


async def test_l04_a_day_of_the_past_is_read_once_for_all(desk: Desk) -> None:
    app = DeskApp(desk, now_ns=NOW_NS)
    await app.model.look()
    reads = app.reader.reads

    answers = await asyncio.gather(*(app.get("/?day=2025-10-01") for _ in range(1_000)))

    assert {got.status for got in answers} == {200}
    assert len({got.headers["etag"] for got in answers}) == 1
    assert app.reader.reads == reads + 1


async def test_l04_a_reader_who_leaves_takes_nobodys_answer_away(desk: Desk) -> None:
    app = DeskApp(desk, now_ns=NOW_NS)
    await app.model.look()
    load, gate = app.reader.day, asyncio.Event()

    async def slow(day: str) -> DeliveryDay:
        await gate.wait()
        return await load(day)

    app.model._past._load = slow
    first, second = (asyncio.create_task(app.get("/?day=2025-10-01")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()

    assert (await second).status == 200


async def test_l05_what_is_known_is_served_with_its_age_until_it_is_too_old(desk: Desk) -> None:
    app = DeskApp(desk, now_ns=NOW_NS)
    await app.model.look()

    async def away(days: object) -> None:
        raise DatabaseUnavailable(ConnectionResetError())

    app.reader.refresh = away  # type: ignore[assignment]
    statuses = []
    for _ in range(30):
        app.advance(60)
        await app.model.look()
        statuses.append((await app.get("/")).status)

    assert statuses == [200] * 15 + [503] * 15


async def test_l05_figures_come_back_with_the_database(desk: Desk) -> None:
    app = DeskApp(desk, now_ns=NOW_NS)
    await app.model.look()
    refresh = app.reader.refresh

    async def away(days: object) -> None:
        raise DatabaseUnavailable(ConnectionResetError())

    app.reader.refresh = away  # type: ignore[assignment]
    app.advance(3_600)
    await app.model.look()
    app.reader.refresh = refresh  # type: ignore[method-assign]
    await app.model.look()

    got = await app.get("/")
    assert got.status == 200
    assert "does not answer" not in got.text
