"""A slow consumer gets the newest quote of each symbol, and memory does not grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clients.exchanges.model import Quote
from clients.exchanges.quote_relay import QuoteRelay, QuoteSink
from clients.exchanges.streaming import merged, relayed
from tests.support.fake_exchange import quote


def _quote(symbol: str, update_id: int | None = None, event_time_ns: int | None = None) -> Quote:
    return quote("binance", symbol, "1", "2", receive_time_ns=0, update_id=update_id, event_time_ns=event_time_ns)


async def _drain(stream: AsyncIterator[Any], into: list[Any]) -> None:
    async for item in stream:
        into.append(item)


@pytest.mark.quick
async def test_only_the_newest_quote_of_each_symbol_waits() -> None:
    relay = QuoteRelay()
    for number in range(30_000):
        relay.put(_quote(f"S{number % 3}", number))

    taken = [await relay.take() for _ in range(3)]

    assert sorted(made.update_id or 0 for made in taken) == [29_997, 29_998, 29_999]
    assert relay.conflated == 29_997
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await relay.take()


async def test_symbols_are_taken_in_the_order_in_which_they_changed_first() -> None:
    relay = QuoteRelay()
    for symbol in ("B", "A", "B", "A", "C"):
        relay.put(_quote(symbol))

    assert [(await relay.take()).symbol for _ in range(3)] == ["B", "A", "C"]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ((7, None), (6, None), False),
        ((7, None), (7, None), True),
        ((None, 200), (None, 199), False),
        ((None, 200), (None, 200), True),
        ((7, 200), (8, 100), True),
        ((None, None), (None, None), True),
        ((7, None), (None, 5), True),
    ],
    ids=str,
)
async def test_an_older_quote_never_replaces_a_newer_one(
    first: tuple[Any, Any], second: tuple[Any, Any], kept: bool
) -> None:
    relay = QuoteRelay()
    relay.put(_quote("A", *first))
    await relay.take()
    relay.put(_quote("A", *second))

    assert relay.outdated == (not kept)
    relay.put(_quote("B"))
    assert (await relay.take()).symbol == ("A" if kept else "B")


async def test_after_a_reconnect_the_exchange_may_count_anew() -> None:
    relay = QuoteRelay()
    relay.put(_quote("A", 1_000_000))
    await relay.take()

    relay.forget_order({"A"})
    relay.put(_quote("A", 1))

    assert (await relay.take()).update_id == 1


async def test_a_failing_pump_ends_the_stream_after_what_was_there() -> None:
    async def pump(sink: QuoteSink) -> None:
        sink.put(_quote("A"))
        raise ZeroDivisionError

    got: list[Quote] = []
    with pytest.raises(ZeroDivisionError):
        await _drain(relayed([pump]), got)

    assert [made.symbol for made in got] == ["A"]


async def test_merged_streams_keep_each_ones_order_and_pass_errors_on() -> None:
    async def count(name: str, upto: int) -> Any:
        for number in range(upto):
            yield name, number
            await asyncio.sleep(0)
        if name == "b":
            raise ZeroDivisionError

    got: list[tuple[str, int]] = []
    with pytest.raises(ZeroDivisionError):
        await _drain(merged([count("a", 10), count("b", 20)]), got)

    assert [number for name, number in got if name == "a"] == list(range(10))
    assert [number for name, number in got if name == "b"] == list(range(20))


async def test_merging_waits_for_a_slow_consumer_instead_of_filling_the_memory() -> None:
    made = 0

    async def endless() -> Any:
        nonlocal made
        while True:
            made += 1
            yield made

    stream = merged([endless()])
    await anext(stream)
    for _ in range(10_000):
        await asyncio.sleep(0)

    assert made < 2000
    await stream.aclose()
