"""Answers of BitMEX that say 200 and nothing usable, and hints that lack half of what they are told from."""

from __future__ import annotations

from typing import Any

import pytest

from clients.exchanges.errors import TryLater
from tests.support.exchange_stage import NOW_S, Reply, Seen
from tests.unit.clients.bitmex.stage import on_stage

ONE_SIDED = {"timestamp": "2025-01-01T00:00:00.000Z", "symbol": "XBTUSD", "bidPrice": 1, "bidSize": 1}


@pytest.mark.parametrize("body", [None, {}, "rows", {"error": None}], ids=repr)
async def test_a_list_of_instruments_that_is_none_is_asked_for_again_later(body: Any) -> None:
    client, transport = on_stage()
    transport.answer = lambda seen: Reply(body)

    with pytest.raises(TryLater, match="not as documented: the instruments are not a list"):
        await client.get_instruments()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "not about this instrument"),
        ([{"symbol": "ETHUSD", "lastPrice": 1}], "not about this instrument"),
        ([{"symbol": "XBTUSD", "lastPrice": None}], "`lastPrice` is not a number"),
    ],
    ids=["no row", "another instrument", "no price"],
)
async def test_a_last_price_of_nothing_or_of_something_else_is_never_given(rows: Any, says: str) -> None:
    def answer(seen: Seen) -> Reply:
        return Reply([ONE_SIDED] if seen.path.endswith("/quote") else rows)

    client, _ = on_stage(answer)

    with pytest.raises(TryLater, match=says):
        await client.get_price("BTC/USD:BTC")


@pytest.mark.parametrize("date", ["", "yesterday"], ids=repr)
async def test_a_reset_without_a_date_is_counted_from_our_own_clock(date: str) -> None:
    wall_ns = NOW_S * 1_000_000_000
    client, transport = on_stage(
        lambda seen: Reply({"error": {}}, 429, {"x-ratelimit-reset": str(NOW_S + 7), "date": date}),
        key=False,
        wall_ns=lambda: wall_ns,
    )
    transport.date_s = None

    with pytest.raises(TryLater) as throttled:
        await client.get_quote("BTC/USD:BTC")

    assert throttled.value.retry_after_s == 7.0


async def test_a_date_without_a_zone_is_universal_time() -> None:
    client, transport = on_stage()
    inner = transport.answer
    transport.date_s = None
    transport.answer = lambda seen: Reply(inner(seen).body, headers={"date": "Wed, 01 Jan 2025 00:00:00 -0000"})

    await client.get_server_time()

    server_ns = client.server_now_ns("bitmex")
    assert server_ns is not None
    assert abs(server_ns - 1_735_689_600_500_000_000) < 1_000_000_000
