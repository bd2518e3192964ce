"""A desk over scripted exchanges, and the commands that tests give it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Any, ParamSpec

import pytest

from clients.exchanges.trading import OrderType, Side, TimeInForce
from services.orders.desk import Desk, DeskOptions
from services.orders.domain import Order, TradingMode
from services.orders.engine.commands import Caller, PlaceCommand
from services.orders.guards.limits import Limits
from services.orders.journal.store import JournalStore
from services.orders.observer import DeskObserver
from services.orders.ports import Ports
from services.orders.venues import Venue, Venues
from services.runtime.access import Role
from tests.support.exchange_rules import BINANCE, ExchangeRules
from tests.support.memory_journal import MemoryJournal
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop, run_virtual

TRADER = Caller("trader", "desk")
STRANGER = Caller("stranger", "elsewhere")
ADMIN = Caller("admin", "desk", frozenset({Role.ADMIN}))

P = ParamSpec("P")

_keys = itertools.count(1)


def virtual_ports(loop: VirtualLoop, seed: int = 1) -> Ports:
    """Return ports of a virtual loop; ids follow from the seed."""
    random = Random(seed)
    return Ports(loop.wall_ns, loop.monotonic_ns, asyncio.sleep, random, lambda: f"{random.getrandbits(128):032x}")


def order(**changes: Any) -> PlaceCommand:
    """Return a command for an order that rests: a LIMIT to buy 0.5 at 99, well formed in every way."""
    values: dict[str, Any] = {
        "idempotency_key": f"key-{next(_keys)}",
        "exchange": "binance",
        "symbol": "BTC/USDT",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "quantity": Decimal("0.5"),
        "price": Decimal("99"),
        "time_in_force": TimeInForce.GTC,
    }
    values.update(changes)
    if values["type"] is OrderType.MARKET:
        values.update(price=None, time_in_force=None)
    return PlaceCommand(**values)


class Told(DeskObserver):
    """Remembers what a desk told it, as far as tests ask."""

    def __init__(self) -> None:
        self.halts: list[str] = []
        self.differences: list[str] = []
        self.refreshes: list[bool] = []

    def halted(self, order: Order) -> None:
        self.halts.append(order.order_id)

    def positions_differ(self, exchange: str, differences: list[str]) -> None:
        self.differences += differences

    def dead_man_refreshed(self, exchange: str, succeeded: bool) -> None:
        self.refreshes.append(succeeded)


class Trading:
    """A running desk, its exchanges and its journal."""

    def __init__(self, desk: Desk, venues: dict[str, ScriptedVenue], store: JournalStore, ports: Ports) -> None:
        self.desk = desk
        self.venues = venues
        self.store = store
        self.ports = ports

    @property
    def venue(self) -> ScriptedVenue:
        """The first exchange."""
        return next(iter(self.venues.values()))

    async def place(self, **changes: Any) -> Order:
        """Place an order as the trader, at the first exchange unless another one is named."""
        return (await self.desk.place(order(**{"exchange": self.venue.exchange, **changes}), TRADER)).order

    async def until(self, order_id: str, reached: Callable[[Order], bool], within_s: float = 120.0) -> Order:
        """Return the order once `reached`; fail when it takes longer than that."""
        found = await self.desk.ledger.wait_for(order_id, reached, within_s)
        newest = await self.desk.ledger.get(order_id)
        assert found is not None, f"not reached within {within_s:g} s: {newest}"
        return found

    async def settled(self, order_id: str, within_s: float = 120.0) -> Order:
        """Return the order once nothing about it is being found out."""
        return await self.until(order_id, lambda now: not now.unsettled, within_s)

    async def ready(self) -> None:
        """Wait until every exchange has been reconciled."""
        async with asyncio.timeout(60):
            while self.desk.blocked():
                await self.ports.sleep(0.05)


@asynccontextmanager
async def trading(
    ports: Ports, *venues: ScriptedVenue, store: JournalStore | None = None, mode: TradingMode = TradingMode.SIMULATOR,
    limits: Limits | None = None, ready: bool = True, observer: DeskObserver | None = None, **options: Any,
) -> AsyncIterator[Trading]:  # fmt: skip
    """Run a desk; by default over one Binance-like exchange, with the journal in memory, reconciled."""
    exchanges = venues or (ScriptedVenue(BINANCE, ports),)
    journal = store if store is not None else MemoryJournal()
    desk = Desk(
        journal,
        Venues([Venue(venue.exchange, venue, venue) for venue in exchanges]),
        DeskOptions(mode=mode, limits=limits or Limits(), **options),
        ports,
        observer=observer,
    )
    await desk.start()
    running = Trading(desk, {venue.exchange: venue for venue in exchanges}, journal, ports)
    try:
        if ready:
            await running.ready()
        yield running
    finally:
        await desk.stop()


async def kill(desk: Desk) -> None:
    """End a desk as a killed process ends: nothing is waited for, nothing more is journalled, everything on the wire is cut."""
    own = asyncio.current_task()
    tasks = [task for task in _tasks_of(desk) if task is not own]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _tasks_of(desk: Desk) -> list[asyncio.Task[Any]]:
    placer, follower, ledger, switch = desk.placer, desk.follower, desk.ledger, desk.switch
    return [
        *desk._tasks,
        *(pending.task for pending in placer._pending.values()),
        *placer._wire.values(),
        *placer._again,
        *follower._tasks.values(),
        *ledger._writes,
        *switch._tasks,
    ]


def virtual(scenario: Callable[[Ports, VirtualLoop], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Turn `async def test(ports, loop)` into a test that runs in virtual time."""

    def test() -> None:
        run_virtual(lambda loop: scenario(virtual_ports(loop), loop))

    return _named(test, scenario)


def virtual_at(
    *rules: ExchangeRules,
) -> Callable[[Callable[[Ports, ScriptedVenue], Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Turn `async def test(ports, venue)` into a test that runs in virtual time, once for each of these exchanges."""

    def decorate(scenario: Callable[[Ports, ScriptedVenue], Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @pytest.mark.parametrize("rules", rules, ids=lambda each: each.exchange)
        def test(rules: ExchangeRules) -> None:
            async def main(loop: VirtualLoop) -> None:
                ports = virtual_ports(loop)
                await scenario(ports, ScriptedVenue(rules, ports))

            run_virtual(main)

        return _named(test, scenario)

    return decorate


def _named(test: Callable[P, None], scenario: Callable[..., object]) -> Callable[P, None]:
    # Not functools.wraps: pytest would take the scenario's arguments for fixtures.
    test.__name__, test.__doc__, test.__module__ = scenario.__name__, scenario.__doc__, scenario.__module__
    return test
