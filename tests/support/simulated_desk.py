"""A desk over the real clients of an exchange and its simulator, in virtual time and without sockets: dated contracts end in seconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any
from urllib.parse import urlsplit

from clients.exchanges.base import ClientPorts, RestClient
from clients.exchanges.bases import Environment, Places
from clients.exchanges.binance import RULES as BINANCE_RULES
from clients.exchanges.binance import BinanceClient, BinanceTrading
from clients.exchanges.binance.settings import PLACES as BINANCE_PLACES
from clients.exchanges.bybit import RULES as BYBIT_RULES
from clients.exchanges.bybit import BybitClient, BybitTrading
from clients.exchanges.bybit.settings import PLACES as BYBIT_PLACES
from clients.exchanges.error_table import classify
from clients.exchanges.policies import EXCHANGE_POLICIES
from clients.exchanges.streaming import StreamPorts
from clients.exchanges.symbols import expiry_day
from clients.exchanges.trading import OrderType, Side, TradingClient
from clients.resilience.executor import PolicyExecutor
from clients.resilience.executor import Ports as ExecutorPorts
from clients.resilience.limiter import ScopeRules
from clients.resilience.limiter_memory import memory_limiter
from clients.secrets import ApiKey
from clients.sockets.errors import OpenFailed
from clients.sockets.link import Link, LinkHandler, Target
from services.orders.desk import Desk, DeskOptions
from services.orders.domain import Order, TradingMode
from services.orders.engine.commands import PlaceCommand
from services.orders.guards.limits import Limits
from services.orders.journal.store import OrderFilter
from services.orders.observer import DeskObserver
from services.orders.ports import Ports
from services.orders.venues import Venue, Venues
from services.simulators.binance.exchange import DEMO_ACCOUNT as BINANCE_DEMO
from services.simulators.binance.simulator import SimulatedBinance
from services.simulators.bybit.exchange import DEMO_ACCOUNT as BYBIT_DEMO
from services.simulators.bybit.simulator import SimulatedBybit
from services.simulators.venue.clearing import Account
from services.simulators.venue.exchange import SimulatedVenue
from services.simulators.venue.messages import Response
from services.simulators.venue.sockets import Closed, SimSocket
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import ADMIN, TRADER, kill, order
from tests.support.simulated_calls import CALM
from tests.support.simulated_venues import SimulatedTransport, moving
from tests.support.virtual_time import VirtualLoop

LIMITS = Limits(price_band=Decimal("0.5"))


@dataclass(frozen=True)
class Kind:
    """An exchange: its simulator, and the client that is under test."""

    simulator: Callable[..., SimulatedVenue]
    client: Callable[..., RestClient]
    trading: Callable[[Any], TradingClient]
    rules: tuple[ScopeRules, ...]
    places: Places
    account: Account


KINDS = {
    "binance": Kind(SimulatedBinance, BinanceClient, BinanceTrading, BINANCE_RULES, BINANCE_PLACES, BINANCE_DEMO),
    "bybit": Kind(SimulatedBybit, BybitClient, BybitTrading, BYBIT_RULES, BYBIT_PLACES, BYBIT_DEMO),
}


@dataclass
class Heard(DeskObserver):
    """What would ring an alert, in words."""

    alarms: list[str] = field(default_factory=list)

    def external_found(self, order: Order) -> None:
        self.alarms.append(f"stranger's order {order.symbol} {order.state}")

    def halted(self, order: Order) -> None:
        self.alarms.append(f"halted {order.symbol}: {order.halted}")

    def came_back(self, order: Order) -> None:
        self.alarms.append(f"came back {order.symbol}")

    def reconciled(self, exchange: str, succeeded: bool) -> None:
        if not succeeded:
            self.alarms.append(f"reconciliation of {exchange} failed")

    def positions_differ(self, exchange: str, differences: list[str]) -> None:
        self.alarms += differences

    def dead_man_refreshed(self, exchange: str, succeeded: bool) -> None:
        if not succeeded:
            self.alarms.append(f"dead man of {exchange} not refreshed")


class SimulatedStage:
    """One simulated exchange and one journal; desks come and go."""

    def __init__(self, loop: VirtualLoop, exchange: str) -> None:
        self.loop = loop
        self.exchange = exchange
        self.kind = KINDS[exchange]
        self.venue = self.kind.simulator(options=CALM, wall_ns=loop.wall_ns)
        self.journal = MemoryJournal()
        self.heard = Heard()
        random = Random(11)
        self.ports = Ports(
            self.venue.wall_ns, loop.monotonic_ns, asyncio.sleep, random, lambda: f"{random.getrandbits(128):032x}"
        )

    def travel_to(self, wall_ns: int) -> None:
        """Let time pass, at once, up to a moment."""
        self.venue.travel(wall_ns - self.venue.wall_ns())

    @contextlib.asynccontextmanager
    async def desk(self, *, killed: bool = False, ready: bool = True) -> AsyncIterator[StagedDesk]:
        """Run a desk with a client of its own, which knows nothing from before."""
        ports = self.ports
        transport = SimulatedTransport(self.venue, monotonic_ns=ports.monotonic_ns, wall_ns=ports.wall_ns)
        limiter = memory_limiter(self.kind.rules, monotonic_ns=ports.monotonic_ns)
        executor = PolicyExecutor(
            classify,
            policies=EXCHANGE_POLICIES,
            limiter=limiter,
            ports=ExecutorPorts(monotonic_ns=ports.monotonic_ns, random=Random(7)),
        )
        key = ApiKey(self.kind.account.api_key, self.kind.account.secret)
        client_ports = ClientPorts(transport, executor, key, monotonic_ns=ports.monotonic_ns, wall_ns=ports.wall_ns)
        dialer = SimulatedDialer(self.venue)
        bases = self.kind.places.bases(Environment.SIMULATOR)
        client = self.kind.client(client_ports, bases, StreamPorts(dialer, random=Random(3)))
        venue = Venue(self.exchange, self.kind.trading(client), client)
        options = DeskOptions(mode=TradingMode.SIMULATOR, limits=LIMITS)
        desk = Desk(self.journal, Venues([venue]), options, ports, observer=self.heard)
        await desk.start()
        staged = StagedDesk(self, desk, client)
        try:
            if ready:
                await staged.until(lambda: not desk.blocked(), "reconciliation")
            yield staged
        finally:
            await (kill(desk) if killed else desk.stop())
            await dialer.close()
            await client.close()
            await limiter.close()


class StagedDesk:
    """A running desk, and what tests ask of it."""

    def __init__(self, stage: SimulatedStage, desk: Desk, client: RestClient) -> None:
        self.stage = stage
        self.desk = desk
        self.client = client

    async def place(self, symbol: str, quantity: str, factor: str = "", side: Side = Side.BUY) -> Order:
        """Place an order at the market, or at a factor of the market's price, and return it once nothing of it is unsettled."""
        price = None
        if factor:
            instrument = (await self.client.get_instruments())[symbol]
            price = (await self.client.get_price(symbol)).price * Decimal(factor)
            price = price // instrument.price_tick * instrument.price_tick
        placed = await self.desk.place(self.order(symbol, quantity, price, side), TRADER)
        found = await self.desk.ledger.wait_for(placed.order.order_id, lambda now: not now.unsettled, 60)
        assert found is not None
        return found

    def order(self, symbol: str, quantity: str, price: Decimal | None, side: Side = Side.BUY) -> PlaceCommand:
        """Return a command: at the market without a price."""
        terms: dict[str, Any] = {"type": OrderType.MARKET} if price is None else {"price": price}
        return order(exchange=self.stage.exchange, symbol=symbol, side=side, quantity=Decimal(quantity), **terms)

    async def get(self, order: Order, *, refresh: bool = True) -> Order:
        """Return what GetOrder says."""
        return await self.desk.get(ADMIN, order_id=order.order_id, refresh=refresh)

    async def all_of(self, symbol: str) -> list[Order]:
        """Return what ListOrders says."""
        return await self.desk.find(ADMIN, OrderFilter(symbol=symbol))

    def held(self, symbol: str) -> Decimal:
        """Return the position."""
        return {key[2]: held.quantity for key, held in self.desk.held()}.get(symbol, Decimal(0))

    async def until(self, reached: Callable[[], object], what: str, within_s: float = 60.0) -> None:
        """Wait for a condition, in virtual time."""
        for _ in range(round(within_s * 10)):
            if reached():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"waited {within_s:g} s for {what}")

    async def until_ns(self, wall_ns: int) -> None:
        """Let time pass up to a moment."""
        await asyncio.sleep(max(0, wall_ns - self.stage.venue.wall_ns()) / 1e9)

    async def contracts(self, family: str) -> list[str]:
        """Return dated contracts that are listed, the next to end first."""
        listed = await self.client.get_instruments()
        return sorted(name for name in listed if name.startswith(family + "-"))


class SimulatedDialer:
    """Opens websockets of a simulator in this process."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self._venue = venue
        self._links: list[_SimulatedLink] = []

    async def __call__(self, target: Target, handler: LinkHandler) -> Link:
        parts = urlsplit(target.url)
        opened = self._venue.connect(parts.path, parts.query, dict(target.headers))
        if isinstance(opened, Response):
            raise OpenFailed(f"the handshake was answered with HTTP {opened.status}", status=opened.status)
        link = _SimulatedLink(self._venue, opened, handler)
        self._links.append(link)
        return link

    async def close(self) -> None:
        """Break what is open, as the end of a process does."""
        for link in self._links:
            await link.close()


class _SimulatedLink:
    def __init__(self, venue: SimulatedVenue, socket: SimSocket, handler: LinkHandler) -> None:
        self._venue = venue
        self._socket = socket
        self._handler = handler
        self._reading = asyncio.Event()
        self._reading.set()
        self._ended = False
        self._task = asyncio.create_task(self._pump())

    async def send(self, payload: str | bytes) -> None:
        await self._venue.receive(self._socket, payload if isinstance(payload, str) else payload.decode())

    async def ping(self) -> None:
        self._handler.on_traffic()

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def abort(self, reason: str) -> None:
        self._socket.left()
        self._task.cancel()
        self._end(reason, None)

    async def close(self) -> None:
        self.abort("closed by us")

    async def _pump(self) -> None:
        while True:
            await self._reading.wait()
            frame = await self._socket.next()
            if isinstance(frame, Closed):
                self._end(frame.reason, frame.code)
                return
            self._handler.on_traffic()
            self._handler.on_messages([frame.encode()], binary=False)

    def _end(self, reason: str, code: int | None) -> None:
        if not self._ended:
            self._ended = True
            self._handler.on_closed(reason, code)


def day_of(symbol: str) -> date:
    """Return the day on which a contract ends."""
    day = expiry_day(symbol)
    assert day is not None, symbol
    return day


def simulated(loop: VirtualLoop, exchange: str) -> contextlib.AbstractAsyncContextManager[SimulatedStage]:
    """Keep a simulated exchange going for a block."""
    return _simulated(loop, exchange)


@contextlib.asynccontextmanager
async def _simulated(loop: VirtualLoop, exchange: str) -> AsyncIterator[SimulatedStage]:
    stage = SimulatedStage(loop, exchange)
    async with moving(stage.venue):
        yield stage
