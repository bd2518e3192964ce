"""Clients and streams of every exchange over real sockets, against simulators that others have written from the same sheets."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from clients.exchanges.base import ClientPorts
from clients.exchanges.bases import Environment
from clients.exchanges.client import ExchangeClient
from clients.exchanges.errors import CallerMustAct
from clients.exchanges.model import Instrument, Payout, Quote
from clients.exchanges.registry import create_client, create_trading, settings_class
from clients.exchanges.trading import (
    Fill,
    OrderReport,
    OrderType,
    Side,
    StreamGap,
    TimeInForce,
    TradingClient,
    VenueOrder,
    VenueState,
)
from clients.http import Http11Transport
from clients.resilience.outcome import Outcome
from tests.support.cli import ROOT, clean_environment, until
from tests.support.exchange_stage import OneAttempt, StageKey
from tests.support.proxy import TcpProxy

EXCHANGES: Final = ("binance", "bitmex", "bybit")
_numbers = itertools.count(time.time_ns())


class Simulator:
    """A simulator in a process of its own, behind a proxy that can cut its connections."""

    def __init__(self, exchange: str, directory: Path) -> None:
        self.exchange = exchange
        ready = directory / "ready.json"
        environment = {"MIDSTREAM_READY_FILE": str(ready), f"MIDSTREAM_SIM_{exchange.upper()}_PORT": "0"}
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"services.simulators.{exchange}"],
                cwd=ROOT,
                env=clean_environment(environment),
                stdout=log,
                stderr=log,
            )
        try:
            until(lambda: self._process.poll() is not None or ready.exists(), what=f"start of sim-{exchange}")
            assert self._process.poll() is None, self._log.read_text()
            self.proxy = TcpProxy(("127.0.0.1", json.loads(ready.read_text())["port"]))
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self.key = StageKey(f"midstream-demo-{exchange}-key", f"midstream-demo-{exchange}-secret")

    def stop(self) -> None:
        """End it."""
        self.proxy.close()
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture(scope="module", params=EXCHANGES)
def simulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One simulator for the module."""
    running = Simulator(request.param, tmp_path_factory.mktemp(f"sim-{request.param}"))
    yield running
    running.stop()


@asynccontextmanager
async def desk(simulator: Simulator) -> AsyncIterator[tuple[ExchangeClient, TradingClient]]:
    """Yield a client and order entry over it."""
    transport = Http11Transport()
    ports = ClientPorts(transport=transport, executor=OneAttempt(), key=simulator.key)
    origin = f"http://127.0.0.1:{simulator.proxy.port}"
    bases = settings_class(simulator.exchange).places.bases(Environment.SIMULATOR, simulator_origin=origin)
    client = create_client(simulator.exchange, ports, bases)
    try:
        async with client:
            yield client, create_trading(simulator.exchange, client)
    finally:
        await transport.aclose()


def enough(made: Instrument, price: Decimal) -> Decimal:
    """Return a quantity that is worth taking."""
    value = (made.notional_min or Decimal(0)) * 2
    steps = (value if made.payout is Payout.INVERSE else value / price) // made.lot_size + 1
    return max(made.quantity_min * 20, steps * made.lot_size)


def resting(made: Instrument, quote: Quote) -> VenueOrder:
    """Return an order that is far below the market."""
    assert quote.bid_price is not None
    price = quote.bid_price * Decimal("0.9") // made.price_tick * made.price_tick
    quantity = enough(made, price)
    return VenueOrder(made, f"it-{next(_numbers)}", Side.BUY, OrderType.LIMIT, quantity, price, TimeInForce.GTC)


class Events:
    """Collects what a user stream says."""

    def __init__(self, desk: TradingClient) -> None:
        self.got: list[OrderReport | StreamGap] = []
        self._changed = asyncio.Event()
        self._stream: Any = desk.user_events()
        self._task = asyncio.create_task(self._read())

    async def gaps(self, count: int) -> list[StreamGap]:
        """Wait for so many gaps."""
        return [made for made in await self._until(StreamGap, count) if isinstance(made, StreamGap)]

    async def state(self, client_order_id: str, state: VenueState) -> OrderReport:
        """Wait for a statement."""
        async with asyncio.timeout(20):
            while True:
                for made in self.got:
                    if isinstance(made, OrderReport) and (made.client_order_id, made.state) == (client_order_id, state):
                        return made
                self._changed.clear()
                await self._changed.wait()

    async def stop(self) -> None:
        """End it."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._stream.aclose()

    async def _until(self, kind: type[Any], count: int) -> list[Any]:
        async with asyncio.timeout(20):
            while sum(isinstance(made, kind) for made in self.got) < count:
                self._changed.clear()
                await self._changed.wait()
        return [made for made in self.got if isinstance(made, kind)]

    async def _read(self) -> None:
        async for made in self._stream:
            self.got.append(made)
            self._changed.set()


async def collect(stream: AsyncGenerator[Quote, None], symbols: set[str], *, since_ns: int = 0) -> dict[str, Quote]:
    """Read until every symbol has had a quote that was received after `since_ns`."""
    newest: dict[str, Quote] = {}
    async with asyncio.timeout(30):
        async for quote in stream:
            if quote.receive_time_ns > since_ns:
                newest[quote.symbol] = quote
            if set(newest) >= symbols:
                break
    return newest


async def test_every_instrument_streams_what_rest_says(simulator: Simulator) -> None:
    async with desk(simulator) as (client, _):
        symbols = {symbol for symbol in await client.get_instruments() if symbol.startswith("BTC/")}
        stream: Any = client.stream_quotes(sorted(symbols))

        streamed = await collect(stream, symbols)
        await stream.aclose()

        assert len(symbols) >= 5
        for symbol in symbols:
            asked = await client.get_quote(symbol)
            for side in ("bid_price", "ask_price"):
                one, other = getattr(streamed[symbol], side), getattr(asked, side)
                assert abs(one - other) < other / 20, f"{symbol} {side}: {one} streamed, {other} asked for"
            assert (streamed[symbol].market, streamed[symbol].source) == (asked.market, "stream")
            no_time = simulator.exchange == "binance" and asked.market == "spot"
            assert (streamed[symbol].event_time_ns is None) is no_time


async def test_quotes_go_on_after_every_connection_was_reset(simulator: Simulator) -> None:
    async with desk(simulator) as (client, _):
        symbols = {"BTC/USDT", "ETH/USDT"}
        stream: Any = client.stream_quotes(sorted(symbols))
        await collect(stream, symbols)

        for _ in range(3):
            simulator.proxy.cut()
            cut_ns = time.time_ns()
            await collect(stream, symbols, since_ns=cut_ns + 50_000_000)

        await stream.aclose()


async def test_the_user_stream_tells_what_the_answers_tell(simulator: Simulator) -> None:
    async with desk(simulator) as (client, trading):
        instruments = await client.get_instruments()
        events = Events(trading)
        await events.gaps(3 if simulator.exchange == "binance" else 1)
        for symbol in ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"):
            made = instruments[symbol]
            order = resting(made, await client.get_quote(symbol))

            placed = await trading.place(order, deadline_s=5.0)
            told = await events.state(order.client_order_id, VenueState.NEW)
            assert (told.exchange_order_id, told.symbol) == (placed.exchange_order_id, symbol)
            assert (told.quantity, told.price, told.side) == (order.quantity, order.price, Side.BUY)
            assert (await trading.query(made, client_order_id=order.client_order_id)).state is VenueState.NEW
            await trading.cancel(made, client_order_id=order.client_order_id, exchange_order_id="", deadline_s=5.0)
            await events.state(order.client_order_id, VenueState.CANCELED)
            with pytest.raises(CallerMustAct) as caught:
                await trading.cancel(made, client_order_id=order.client_order_id, exchange_order_id="", deadline_s=5.0)
            assert caught.value.outcome is Outcome.NOT_FOUND
            # BitMEX takes ten order calls a second.
            await asyncio.sleep(0.4)
        await events.stop()


async def test_a_fill_is_told_with_the_trade_that_the_list_of_fills_has(simulator: Simulator) -> None:
    async with desk(simulator) as (client, trading):
        made = (await client.get_instruments())["BTC/USDT:USDT"]
        events = Events(trading)
        await events.gaps(3 if simulator.exchange == "binance" else 1)
        start_ns = time.time_ns() - 60_000_000_000
        order = VenueOrder(made, f"it-{next(_numbers)}", Side.BUY, OrderType.MARKET, made.quantity_min * 20)

        placed = await trading.place(order, deadline_s=5.0)
        await events.state(order.client_order_id, VenueState.FILLED)
        ours: dict[str, Fill] = {}
        async with asyncio.timeout(20):
            # Lists of what has happened may be late.
            while not ours:
                fills = await trading.fills(made, start_ns=start_ns, end_ns=time.time_ns() + 60_000_000_000)
                ours = {fill.trade_id: fill for fill in fills if fill.exchange_order_id == placed.exchange_order_id}
                # Every exchange limits how often it may be asked.
                await asyncio.sleep(0 if ours else 0.2)
        told = {
            said.fill.trade_id: said.fill
            for said in events.got
            if isinstance(said, OrderReport) and said.fill is not None and said.client_order_id == order.client_order_id
        }
        assert set(told) == set(ours) != set()
        assert all(told[name].quantity == ours[name].quantity for name in told)
        assert all(told[name].price == ours[name].price for name in told)
        await events.stop()


async def test_after_a_reset_the_user_stream_begins_with_a_gap_that_says_since_when(simulator: Simulator) -> None:
    async with desk(simulator) as (_, trading):
        events = Events(trading)
        count = len(await events.gaps(3 if simulator.exchange == "binance" else 1))
        before_ns = time.time_ns()

        simulator.proxy.cut()

        gaps = await events.gaps(2 * count)
        assert all(gap.since_wall_ns is None for gap in gaps[:count])
        assert all(gap.since_wall_ns is not None and gap.since_wall_ns <= before_ns for gap in gaps[count:])
        await events.stop()
