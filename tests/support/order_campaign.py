"""A seeded campaign: thousands of orders against exchanges that lose, delay, repeat and reorder, over processes that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from clients.exchanges.errors import CallerMustAct, TryLater
from clients.exchanges.trading import OrderType, Side, TimeInForce
from clients.resilience.errors import CallNotPermitted
from clients.resilience.outcome import Outcome
from services.orders.domain import OrderState
from services.orders.engine.commands import AmendCommand
from services.orders.guards.limits import Limits
from services.orders.ports import Ports
from services.runtime.errors import MidstreamError
from tests.support.exchange_rules import ExchangeRules
from tests.support.memory_journal import MemoryJournal
from tests.support.order_audit import check_books
from tests.support.order_desk import ADMIN, TRADER, Trading, kill, order, trading, virtual_ports
from tests.support.scripted_orders import Booked, Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop

SYMBOLS = ("BTC/USDT", "BTC/USDT:USDT")
SETTLING_S = 400.0
LIMITS = Limits(orders_per_second=1e6, open_orders_max=100_000, price_band=Decimal("0.5"))


@dataclass
class Tally:
    """What a campaign did, so that one that did nothing is noticed."""

    placed: int = 0
    denied: int = 0
    kills: int = 0
    faults: int = 0
    unknown: int = 0


class Campaign:
    """One seed. The exchanges and the journal outlive every process."""

    def __init__(
        self, loop: VirtualLoop, seed: int, *, orders: int, kills: int, rules: Sequence[ExchangeRules]
    ) -> None:
        self.ports: Ports = virtual_ports(loop, seed)
        self.random = Random(seed)
        self.orders = orders
        self.kills = kills
        self.journal = MemoryJournal()
        self.venues = tuple(ScriptedVenue(each, self.ports) for each in rules)
        self.tally = Tally()
        self._over = False

    async def run(self) -> Tally:
        """Run to the end, heal everything, and compare the books."""
        logging.disable(logging.CRITICAL)
        world = asyncio.create_task(self._world())
        try:
            for life in range(self.kills + 1):
                # A server without its journal refuses to start; that is another test's business.
                while self.journal.broken:
                    await self.ports.sleep(0.1)
                async with trading(self.ports, *self.venues, store=self.journal, limits=LIMITS, ready=False) as desk:
                    if life < self.kills:
                        await self._live(desk, self.orders // (self.kills + 1))
                        self.tally.kills += 1
                        await kill(desk.desk)
                    else:
                        await self._live(desk, self.orders // (self.kills + 1))
                        self._over = True
                        await world
                        await self._settle(desk)
            check_books(self.journal, self.venues)
        finally:
            logging.disable(logging.NOTSET)
            world.cancel()
        return self.tally

    async def _live(self, desk: Trading, orders: int) -> None:
        """Trade until the process is killed, some requests still under way."""
        running: set[asyncio.Task[None]] = set()
        await self.ports.sleep(self.random.choice((0.0, 2.0, 5.0)))
        while desk.desk.switch.engaged:
            # Left engaged by a process that was killed meanwhile.
            with contextlib.suppress(MidstreamError):
                await desk.desk.set_switch(False, "campaign", ADMIN)
            await self.ports.sleep(0.1)
        for _ in range(orders):
            for _ in range(self.random.choice((1, 1, 2, 3))):
                task = asyncio.create_task(self._act(desk))
                running.add(task)
                task.add_done_callback(running.discard)
            await self.ports.sleep(self.random.expovariate(2.0))
        if self.random.random() < 0.5:
            await self.ports.sleep(self.random.random() * 5)
        for task in list(running):
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _act(self, desk: Trading) -> None:
        try:
            await self._one(desk)
        except MidstreamError:
            self.tally.denied += 1

    async def _one(self, desk: Trading) -> None:
        draw = self.random.random()
        active = desk.desk.active(TRADER)
        if draw < 0.6 or not active:
            await self._place(desk)
        elif draw < 0.75:
            chosen = self.random.choice(active)
            change = AmendCommand(chosen.order_id, self._quantity(), self._price(chosen.side, rests=True), 10_000)
            await desk.desk.amend(change, TRADER, wait_s=5.0)
        elif draw < 0.97:
            await desk.desk.cancel(self.random.choice(active).order_id, TRADER, wait_s=5.0)
        else:
            await desk.desk.set_switch(True, "campaign", ADMIN)
            await self.ports.sleep(self.random.random())
            await desk.desk.set_switch(False, "campaign", ADMIN)

    async def _place(self, desk: Trading) -> None:
        side = self.random.choice(list(Side))
        type_ = self.random.choice((OrderType.LIMIT, OrderType.LIMIT, OrderType.LIMIT, OrderType.MARKET))
        placed = await desk.desk.place(
            order(
                exchange=self.random.choice((*(venue.exchange for venue in self.venues), "ANY")),
                symbol=self.random.choice(SYMBOLS),
                side=side,
                type=type_,
                quantity=self._quantity(),
                price=self._price(side, rests=self.random.random() < 0.7),
                time_in_force=self.random.choice((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC)),
                resend_if_not_placed=self.random.random() < 0.5,
                valid_for_ms=self.random.choice((2_000, 10_000, 30_000, 60_000)),
            ),
            TRADER,
        )
        self.tally.placed += 1
        self.tally.unknown += placed.order.state is OrderState.UNKNOWN

    def _quantity(self) -> Decimal:
        return Decimal(self.random.randint(100, 2000)) / 1000

    def _price(self, side: Side, *, rests: bool) -> Decimal:
        away = Decimal(self.random.randint(5, 50)) / 10
        return 100 - away if (side is Side.BUY) == rests else 100 + away

    # -- the world outside ---------------------------------------------------------------------------------------------------

    async def _world(self) -> None:
        while not self._over:
            await self.ports.sleep(self.random.expovariate(4.0))
            venue = self.random.choice(self.venues)
            await self._happen(venue)
        self.journal.broken = False
        for venue in self.venues:
            venue.faults.clear()
            venue.down = None
            venue.stream_mute = False
            venue.stream_delay_s = 0.0
            venue.repeat_events = 1

    async def _happen(self, venue: ScriptedVenue) -> None:
        draw = self.random.random()
        books = venue.open_booked()
        if draw < 0.35 and books:
            self._execute(venue, self.random.choice(books))
        elif draw < 0.4 and books:
            venue.end(self.random.choice(books), reason="by the exchange")
        elif draw < 0.43:
            venue.external(self.random.choice(SYMBOLS), quantity="0.4", price=str(self._price(Side.BUY, rests=True)))
        elif draw < 0.75:
            self._script(venue)
        elif draw < 0.8:
            venue.stream_delay_s = self.random.choice((0.0, 0.0, 0.5, 3.0))
        elif draw < 0.84:
            venue.stream_mute = not venue.stream_mute
        elif draw < 0.88:
            venue.repeat_events = self.random.choice((1, 2, 3))
        elif draw < 0.92:
            venue.cut_stream()
        elif draw < 0.95:
            venue.down = venue.down_error()
            await self.ports.sleep(self.random.random() * 5)
            venue.down = None
        elif draw < 0.97:
            self.journal.broken = True
            await self.ports.sleep(self.random.random() * 2)
            self.journal.broken = False

    def _execute(self, venue: ScriptedVenue, booked: Booked) -> None:
        rest = booked.quantity - booked.filled
        part = rest if self.random.random() < 0.5 else (rest / 2).quantize(Decimal("0.001")) or rest
        venue.fill(booked, part)

    def _script(self, venue: ScriptedVenue) -> None:
        self.tally.faults += 1
        operation = self.random.choice(("place", "place", "place", "cancel", "amend", "query", "open_orders", "fills"))
        venue.script(operation, self._fault(venue, operation))

    def _fault(self, venue: ScriptedVenue, operation: str) -> Fault:
        name = venue.exchange
        kind = self.random.randrange(8)
        if operation in ("open_orders", "fills", "query") and kind in (0, 1, 2, 6):
            # Reads are not lost: they fail, or say what is not so yet.
            lag = CallerMustAct(name, operation, Outcome.NOT_FOUND, "Order does not exist.", code="-2013")
            later = TryLater(name, operation, Outcome.RETRYABLE, "reset")
            return Fault(error=lag if operation == "query" and kind == 0 else later)
        return (
            Fault(lose=True),
            Fault(vanish=True),
            # Some within the window and some after it; where there is none, eight seconds are late enough.
            Fault(late_s=self.random.random() * (1.6 * venue.rules.window_s if venue.rules.arrival else 8.0)),
            Fault(delay_s=self.random.random() * 3),
            Fault(
                error=TryLater(name, operation, Outcome.THROTTLED, "slow down", retry_after_s=self.random.random() * 2)
            ),
            Fault(error=CallNotPermitted("the breaker is open", retry_after_s=1.0)),
            Fault(error=ValueError("unparsable")),
            Fault(error=TryLater(name, operation, Outcome.MAINTENANCE, "closed")),
        )[kind]

    async def _settle(self, desk: Trading) -> None:
        await desk.desk.set_switch(False, "settling", ADMIN)
        await self.ports.sleep(SETTLING_S)
