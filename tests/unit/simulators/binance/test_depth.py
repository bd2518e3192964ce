"""A client that keeps its own book by the exchange's documented procedure holds the book that there is."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest

from services.simulators.binance.listings import COINM, PREFIXES, SPOT, USDM
from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import BinanceCalls, virtual_binance
from tests.support.simulated_venues import SimulatedSocket, connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual

LIVELY = VenueOptions(volatility=20, touch_chance=0.3)
SYMBOLS = {SPOT: "BTCUSDT", USDM: "BTCUSDT", COINM: "BTCUSD_PERP"}
ADDRESSES = {SPOT: "/ws", USDM: "/fstream/public/ws", COINM: "/dstream/ws"}
FIELDS = {"e", "E", "s", "U", "u", "b", "a"}
FUTURES_FIELDS = FIELDS | {"T", "pu", "st", "ps"}


class Keeper:
    """Keeps a book as the documents of the exchange say, and complains where they say to begin again."""

    def __init__(self, market: str, snapshot: Any) -> None:
        self.market = market
        self.number = snapshot["lastUpdateId"]
        self.sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        self.applied = 0
        self._last: int | None = None

    def take(self, event: Any) -> None:
        """Apply one event."""
        spot = self.market == SPOT
        if event["u"] < self.number or (spot and event["u"] == self.number and self._last is None):
            return
        if self._last is None:
            reach = self.number + 1 if spot else self.number
            assert event["U"] <= reach <= event["u"], "the first event has to hold the snapshot"
        elif spot:
            assert event["U"] == self._last + 1
        else:
            assert event["pu"] == self._last
        for side in ("b", "a"):
            for price, quantity in event[side]:
                if float(quantity):
                    self.sides[side][price] = quantity
                else:
                    self.sides[side].pop(price, None)
        self.number = self._last = event["u"]
        self.applied += 1


async def snapshot_of(calls: BinanceCalls, market: str) -> Any:
    return (await calls.get(f"{PREFIXES[market]}/depth", symbol=SYMBOLS[market], limit=1000)).payload


async def trade(calls: BinanceCalls, market: str, random: Random) -> None:
    """Take a bit of the book, so that it changes within a step."""
    quantity = str(random.randint(1, 300)) if market == COINM else f"{random.uniform(0.01, 2):.3f}"
    side = random.choice(["BUY", "SELL"])
    order = {"symbol": SYMBOLS[market], "side": side, "type": "MARKET", "quantity": quantity}
    assert (await calls.signed("POST", f"{PREFIXES[market]}/order", **order)).status == 200


async def arrived(socket: SimulatedSocket) -> list[Any]:
    found = []
    while not socket.is_idle:
        found.append(json.loads(await socket.recv()))
    return found


@pytest.mark.cases(4)
@pytest.mark.quick
@pytest.mark.parametrize("market", [SPOT, USDM, COINM])
@pytest.mark.parametrize("speed", ["", "@100ms"], ids=["usual", "100ms"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_book_kept_by_the_documented_procedure_is_the_book(market: str, speed: str, seed: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        random = Random(seed)
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, f"{ADDRESSES[market]}/{SYMBOLS[market].lower()}@depth{speed}")
            for _ in range(random.randint(5, 9)):
                await asyncio.sleep(0.4)
                await trade(calls, market, random)
            buffered = await arrived(socket)
            await trade(calls, market, random)
            keeper = Keeper(market, await snapshot_of(calls, market))
            for event in buffered:
                keeper.take(event)
            for _ in range(60):
                await asyncio.sleep(random.uniform(0.05, 0.5))
                if random.random() < 0.5:
                    await trade(calls, market, random)
                for event in await arrived(socket):
                    assert set(event) == (FIELDS if market == SPOT else FUTURES_FIELDS)
                    keeper.take(event)
                # Only between two messages is the keeper behind; at the next one it is level.
                truth = await snapshot_of(calls, market)
                if truth["lastUpdateId"] == keeper.number:
                    assert keeper.sides == {"b": dict(truth["bids"]), "a": dict(truth["asks"])}
            await asyncio.sleep(2)
            for event in await arrived(socket):
                keeper.take(event)
            truth = await snapshot_of(calls, market)

        assert keeper.applied > 10
        if truth["lastUpdateId"] == keeper.number:
            assert keeper.sides == {"b": dict(truth["bids"]), "a": dict(truth["asks"])}

    run_virtual(main)


@pytest.mark.parametrize("market", [SPOT, USDM, COINM])
def test_after_the_last_message_nothing_is_missing(market: str) -> None:
    """The market is stopped behind a message, so that both books are of one moment."""

    async def main(loop: VirtualLoop) -> None:
        random = Random(7)
        calls = virtual_binance(loop, LIVELY)
        socket = connect(calls.venue, f"{ADDRESSES[market]}/{SYMBOLS[market].lower()}@depth@100ms")
        keeper: Keeper | None = None
        for number in range(80):
            await asyncio.sleep(0.25)
            calls.venue.tick()
            events = await arrived(socket)
            if number == 5:
                keeper = Keeper(market, await snapshot_of(calls, market))
            if keeper is not None:
                for event in events:
                    keeper.take(event)
                truth = await snapshot_of(calls, market)
                assert keeper.number == truth["lastUpdateId"]
                assert keeper.sides == {"b": dict(truth["bids"]), "a": dict(truth["asks"])}
            await trade(calls, market, random)

        assert keeper is not None
        assert keeper.applied >= 74

    run_virtual(main)


def test_who_comes_later_joins_without_a_hole_and_who_comes_again_begins_anew() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            first = connect(calls.venue, "/ws/btcusdt@depth@100ms")
            await asyncio.sleep(3)
            second = connect(calls.venue, "/ws/btcusdt@depth@100ms")
            await asyncio.sleep(3)
            told, joined = await arrived(first), await arrived(second)
            await first.close()
            await second.close()
            await asyncio.sleep(3)
            before = (await snapshot_of(calls, SPOT))["lastUpdateId"]
            third = connect(calls.venue, "/ws/btcusdt@depth@100ms")
            await asyncio.sleep(1)
            anew = await arrived(third)

        assert joined == told[-len(joined) :]
        assert 10 <= len(joined) < len(told)
        assert anew[0]["U"] == before + 1

    run_virtual(main)


@pytest.mark.parametrize("market", [SPOT, USDM, COINM])
def test_partial_books_are_the_top_of_the_book_and_say_what_came_before(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        socket = connect(calls.venue, f"{ADDRESSES[market]}/{SYMBOLS[market].lower()}@depth5@100ms")
        found = []
        for _ in range(10):
            await asyncio.sleep(0.25)
            calls.venue.tick()
            truth = await snapshot_of(calls, market)
            found += await arrived(socket)
            bids, asks = ("bids", "asks") if market == SPOT else ("b", "a")
            assert (found[-1][bids], found[-1][asks]) == (truth["bids"][:5], truth["asks"][:5])
            assert found[-1]["lastUpdateId" if market == SPOT else "u"] == truth["lastUpdateId"]

        if market != SPOT:
            assert [one["pu"] for one in found[1:]] == [one["u"] for one in found[:-1]]

    run_virtual(main)
