"""The listener between the simulated exchange and a real database, over real sockets."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database
from clients.http import Http11Transport
from clients.power.deals.feed import NextUrl
from clients.power.deals.replay import Offer, ReplayClient
from clients.sockets import ProtocolPing, ResilientSocket, SocketPolicy
from services.power.listener.deal_store import DealStore
from services.power.listener.listener import DealListener, ListenerOptions
from services.power.listener.sink import DealSink
from services.power.listener.spool import Spool
from services.simulators.power_exchange import (
    DealList,
    ExchangeFaults,
    PowerExchange,
    PowerExchangeScript,
    ScriptOptions,
    deal_message,
)
from tests.support.power_database import cursor_id, deal_ids, deal_rows, gap_rows, positions, unusable_rows
from tests.support.power_sink import MemorySink
from tests.support.proxy import TcpProxy

# Reconnects are quick here: how they are paced is proved with the sockets.
FAST = SocketPolicy(
    backoff_base_s=0.001, backoff_cap_s=0.01, attempts_max=10_000, heartbeat=ProtocolPing(after_s=0.2, timeout_s=0.2)
)


def script(count: int, seed: int = 1) -> PowerExchangeScript:
    return PowerExchangeScript(
        time.time_ns() - 10**9, ScriptOptions(seed=seed, gap_min_s=0, gap_max_s=0, deals_max=count)
    )


def post(exchange: PowerExchange, count: int, seed: int = 1) -> list[str]:
    deals = list(script(count, seed))
    for deal in deals:
        exchange.publish(deal)
    return [deal.id for deal in deals]


async def until(condition: Callable[[], Any], *, what: str, timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  (what is waited for happens in other tasks and processes)
            await asyncio.sleep(0.005)
    assert condition(), what


@asynccontextmanager
async def serving(exchange: PowerExchange) -> AsyncIterator[int]:
    port = await exchange.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await exchange.stop()


@asynccontextmanager
async def listening(
    port: int, sink: DealSink, directory: Path, *, policy: SocketPolicy = FAST, **options: Any
) -> AsyncIterator[DealListener]:
    """Keep a listener up for a block, as its process does."""
    spool = Spool(directory / "spool")
    transport = Http11Transport()

    def open_socket(next_url: NextUrl) -> ResilientSocket:
        return ResilientSocket(next_url, name="deals", policy=policy)

    listener = DealListener(
        ListenerOptions(f"ws://127.0.0.1:{port}", **options), sink, spool, transport, open_socket=open_socket
    )
    running = asyncio.create_task(listener.run())
    try:
        yield listener
        await listener.stop()
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        spool.close()
        await transport.aclose()


@pytest.mark.quick
async def test_every_deal_is_in_the_database_once_and_in_order(power_engine: AsyncEngine, tmp_path: Path) -> None:
    exchange = PowerExchange()
    before = post(exchange, 20, seed=1)
    async with (
        serving(exchange) as port,
        listening(port, DealStore(power_engine), tmp_path) as listener,
    ):
        await until(lambda: listener.stats.deals == 20, what="the list")
        live = post(exchange, 500, seed=2)
        await until(lambda: listener.stats.deals == 520, what="live deals")
        assert listener.trouble() == ""

    assert await deal_ids(power_engine) == [*before, *live]
    assert await positions(power_engine) == list(range(1, 521))
    assert await cursor_id(power_engine) == live[-1]
    assert {row["flags"] for row in (await deal_rows(power_engine))[:20]} == {"backfilled"}
    assert await gap_rows(power_engine) == []


async def test_a_listener_that_was_away_gets_what_it_missed(power_engine: AsyncEngine, tmp_path: Path) -> None:
    exchange = PowerExchange()
    async with serving(exchange) as port:
        ids = post(exchange, 10, seed=1)
        async with listening(port, DealStore(power_engine), tmp_path) as listener:
            await until(lambda: listener.stats.deals == 10, what="the first deals")
        ids += post(exchange, 10, seed=2)
        async with listening(port, DealStore(power_engine), tmp_path) as listener:
            await until(lambda: listener.stats.deals == 10, what="the missed deals")
            assert listener.stats.duplicates == 0

    assert await deal_ids(power_engine) == ids


async def test_a_plain_feed_names_the_gap_and_goes_on(power_engine: AsyncEngine, tmp_path: Path) -> None:
    exchange = PowerExchange(replay=False)
    async with serving(exchange) as port:
        async with listening(port, DealStore(power_engine), tmp_path) as listener:
            await until(lambda: exchange.clients == 1, what="the connection")
            heard = post(exchange, 5, seed=1)
            await until(lambda: listener.stats.deals == 5, what="the first deals")
        await until(lambda: exchange.clients == 0, what="the end of the connection")
        post(exchange, 5, seed=2)
        async with listening(port, DealStore(power_engine), tmp_path) as listener:
            await until(lambda: exchange.clients == 1, what="the connection")
            heard += post(exchange, 5, seed=3)
            await until(lambda: listener.stats.deals == 5 and listener.stats.gaps == 1, what="the later deals")

    assert await deal_ids(power_engine) == heard
    (gap,) = await gap_rows(power_engine)
    last_before = (await deal_rows(power_engine))[4]
    first_behind = (await deal_rows(power_engine))[5]
    assert gap["reason"] == "the listener was away and the exchange offers no replay"
    assert gap["since_ns"] == last_before["received_time_ns"]
    assert gap["since_ns"] < gap["until_ns"] <= first_behind["received_time_ns"]


@pytest.mark.parametrize("kind", ["drop_after", "close_after"])
async def test_no_deal_is_lost_over_many_short_connections(tmp_path: Path, kind: str) -> None:
    exchange = PowerExchange(faults=ExchangeFaults(**{kind: 3}))
    ids = post(exchange, 100)
    sink = MemorySink()
    async with serving(exchange) as port, listening(port, sink, tmp_path):
        await until(lambda: len(sink.deals) == 100, what="all deals")

    assert sink.ids == ids
    assert exchange.handshakes >= 34


def cut_points(total: int) -> list[int]:
    """Cut at points that are spread over the bytes of a script; the long run takes many more, and every byte of one message."""
    return sorted(random.Random(4).sample(range(1, total), 40))


async def _survives_cuts(tmp_path: Path, points: Callable[[int], list[int]]) -> None:
    """W04: whatever byte the connection breaks behind, the database ends up equal to the exchange's list, in its order."""
    exchange = PowerExchange()
    ids = post(exchange, 50)
    total = sum(len(message) + 4 for message in exchange.deals.read(0, 50)) + 200
    async with serving(exchange) as port:
        for point in points(total):
            assert await _ids_after_a_cut(port, point, tmp_path / str(point)) == ids, point


async def _ids_after_a_cut(port: int, point: int, directory: Path) -> list[str]:
    sink = MemorySink()
    with TcpProxy(("127.0.0.1", port)) as proxy:
        proxy.cut_at_byte(point)
        async with listening(proxy.port, sink, directory, replay="on"):
            await until(lambda: proxy.connections > 1, what="the broken connection")
            proxy.restore()
            await until(lambda: len(sink.deals) == 50, what=f"all deals, cut at {point}")
    return sink.ids


async def test_no_deal_is_lost_wherever_the_connection_breaks(tmp_path: Path) -> None:
    await _survives_cuts(tmp_path, cut_points)


@pytest.mark.nightly
@pytest.mark.timeout(900)
async def test_no_deal_is_lost_at_any_byte_of_a_message_and_all_over_the_script(tmp_path: Path) -> None:
    # Every byte of the script takes half an hour: one message in full, of the others each 61st.
    await _survives_cuts(tmp_path, lambda total: [*range(total // 2, total // 2 + 260), *range(1, total, 61)])


async def test_what_the_feed_skips_repeats_or_swaps_is_put_right(
    power_engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.power.listener.reconciler.INTERVAL_S", 0.1)
    exchange = PowerExchange(faults=ExchangeFaults(skip_every=7, repeat_every=5, swap_every=11))
    ids = post(exchange, 60)
    async with (
        serving(exchange) as port,
        listening(port, DealStore(power_engine), tmp_path) as listener,
    ):
        await until(lambda: listener.stats.deals == 60, what="all deals")
        assert listener.stats.fetched > 0
        assert listener.stats.duplicates > 0

    assert sorted(await deal_ids(power_engine)) == sorted(ids)
    assert await positions(power_engine) == list(range(1, 61))


async def test_the_exchanges_list_does_not_overtake_a_feed_that_is_catching_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.power.listener.reconciler.INTERVAL_S", 0.001)
    exchange = PowerExchange()
    ids = post(exchange, 4_500)
    sink = MemorySink()
    async with serving(exchange) as port, listening(port, sink, tmp_path) as listener:
        await until(lambda: len(sink.deals) == 4_500, what="all deals")

    assert sink.ids == ids
    assert listener.stats.fetched == 0


async def test_what_a_feed_that_is_stuck_does_not_deliver_comes_from_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.power.listener.reconciler.INTERVAL_S", 0.05)
    monkeypatch.setattr("services.power.listener.listener.QUIET_S", 0.2)
    exchange = PowerExchange(faults=ExchangeFaults(stall_after=5))
    ids = post(exchange, 20)
    sink = MemorySink()
    async with serving(exchange) as port, listening(port, sink, tmp_path):
        await until(lambda: len(sink.deals) == 20, what="all deals")

    assert sink.ids == ids


async def test_garbage_is_told_and_the_deals_around_it_are_kept(power_engine: AsyncEngine, tmp_path: Path) -> None:
    exchange = PowerExchange(faults=ExchangeFaults(garbage_every=3))
    ids = post(exchange, 42)
    async with (
        serving(exchange) as port,
        listening(port, DealStore(power_engine), tmp_path) as listener,
    ):
        await until(lambda: listener.stats.deals == 42 and listener.stats.unusable == 14, what="everything")

    assert await deal_ids(power_engine) == ids
    rows = await unusable_rows(power_engine)
    assert len(rows) == 14
    assert len({row["reason"] for row in rows}) == 7


@pytest.mark.parametrize("mebibytes", [2, 10], ids=["readable over HTTP", "too long for that, too"])
async def test_a_message_above_the_bound_does_not_keep_out_what_is_behind_it(tmp_path: Path, mebibytes: int) -> None:
    exchange = PowerExchange()
    ids = post(exchange, 3, seed=1)
    sink = MemorySink()
    async with serving(exchange) as port, listening(port, sink, tmp_path) as listener:
        await until(lambda: len(sink.deals) == 3, what="the first deals")
        huge = {**next(script(1, seed=9)).fields(), "comment": "x" * (mebibytes << 20)}
        exchange.deals.post("huge", deal_message(huge))
        await until(lambda: listener.stats.gaps == 1, what="the gap")
        ids += post(exchange, 3, seed=2)
        await until(lambda: len(sink.deals) == 6, what="what is behind it")

    assert sink.ids == ids
    assert ("breaks the connection" if mebibytes == 2 else "cannot be read") in sink.gaps[0].reason


async def test_a_dead_peer_is_noticed_and_nothing_is_lost(tmp_path: Path) -> None:
    exchange = PowerExchange()
    ids = post(exchange, 5, seed=1)
    sink = MemorySink()
    async with serving(exchange) as port:
        with TcpProxy(("127.0.0.1", port)) as proxy:
            async with listening(proxy.port, sink, tmp_path) as listener:
                await until(lambda: len(sink.deals) == 5, what="the first deals")
                proxy.blackhole()
                ids += post(exchange, 5, seed=2)
                await until(lambda: "feed" in listener.trouble(), what="the trouble")
                proxy.restore()
                await until(lambda: len(sink.deals) == 10, what="the missed deals")

    assert sink.ids == ids


async def test_a_silent_feed_is_trouble(tmp_path: Path) -> None:
    exchange = PowerExchange()
    policy = SocketPolicy(stale_after_s=0.2)
    async with (
        serving(exchange) as port,
        listening(port, MemorySink(), tmp_path, policy=policy) as listener,
    ):
        await until(lambda: listener.trouble() == "feed: silent", what="silence")
        post(exchange, 1)
        await until(lambda: listener.trouble() == "", what="a deal")


async def test_a_flood_is_held_back_at_the_socket_and_nothing_is_lost(tmp_path: Path) -> None:
    exchange = PowerExchange()
    ids = post(exchange, 5_000)
    sink = MemorySink()
    policy = SocketPolicy(queue_messages_max=500)
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, listener.stats.waiting)

    sink.on_commit = look
    async with (
        serving(exchange) as port,
        listening(port, sink, tmp_path, policy=policy, queue_items_max=500) as listener,
    ):
        await until(lambda: len(sink.deals) == 5_000, what="all deals", timeout_s=60)

    assert sink.ids == ids
    assert 0 < most <= 500 + 500


async def test_a_database_that_is_locked_for_a_while_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.database.engine.BUSY_TIMEOUT_MS", 20)
    url = f"sqlite:///{tmp_path}/power.db"
    engine, other = open_database(url, application="test"), open_database(url, application="other")
    store = DealStore(engine)
    await store.prepare()
    exchange = PowerExchange()
    ids = post(exchange, 5, seed=1)
    async with serving(exchange) as port, listening(port, store, tmp_path) as listener:
        await until(lambda: listener.stats.deals == 5, what="the first deals")
        async with other.connect() as connection:
            await connection.exec_driver_sql("ROLLBACK")
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            ids += post(exchange, 50, seed=2)
            await until(lambda: listener.stats.spool_records == 50, what="the spool")
            assert "database" in listener.trouble()
            assert await cursor_id(other) == ids[4]
            await connection.exec_driver_sql("ROLLBACK")
            await connection.exec_driver_sql("BEGIN")
        await until(lambda: listener.stats.deals == 55, what="the spooled deals")
        assert listener.trouble() == ""

    assert await deal_ids(engine) == ids
    assert await cursor_id(engine) == ids[-1]
    await engine.dispose()
    await other.dispose()


async def test_a_database_that_is_away_at_the_start_does_not_stop_the_feed(tmp_path: Path) -> None:
    exchange = PowerExchange()
    ids = post(exchange, 30)
    sink = MemorySink()
    sink.down = True
    async with serving(exchange) as port:
        async with listening(port, sink, tmp_path) as listener:
            await until(lambda: listener.stats.spool_records == 30, what="the spool")
        sink.down = False
        async with listening(port, sink, tmp_path) as listener:
            await until(lambda: len(sink.deals) == 30, what="the database")
            assert listener.stats.messages == 0

    assert sink.ids == ids


async def test_a_refused_key_is_not_hammered(tmp_path: Path) -> None:
    exchange = PowerExchange(replay=False, faults=ExchangeFaults(unauthorised=1_000))
    policy = SocketPolicy(backoff_base_s=0.001, backoff_cap_s=0.01, attempts_max=1_000, auth_delay_s=30.0)
    async with (
        serving(exchange) as port,
        listening(port, MemorySink(), tmp_path, policy=policy) as listener,
    ):
        await until(lambda: exchange.handshakes == 1, what="the first attempt")
        await until(lambda: "401" in listener.trouble(), what="the trouble")
        await asyncio.sleep(0.3)

        assert exchange.handshakes == 1


async def test_the_exchange_answers_over_http_what_it_sends_over_the_websocket() -> None:
    exchange = PowerExchange(deals=DealList(messages_max=10))
    ids = post(exchange, 15)
    transport = Http11Transport()
    async with serving(exchange) as port:
        client = ReplayClient(f"ws://127.0.0.1:{port}", transport)
        offer, page = await client.ask(ids[9])
        forgotten, _ = await client.ask(ids[2])
        _, whole = await client.ask("")

    found = [json.loads(message)["deal_confirmation"]["id"] for message in page.messages]
    assert (offer, found, page.last_id, page.more) == (Offer.KNOWN, ids[10:], ids[-1], False)
    assert forgotten is Offer.UNKNOWN_DEAL
    assert len(whole.messages) == 10
    await transport.aclose()
