"""Exchange streams on the stage: scripted connections, instruments, and consumers that keep what they get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Generic, TypeVar

from clients.exchanges.bases import MarketBases
from clients.exchanges.binance.client import BinanceClient
from clients.exchanges.bitmex import BitMEXClient
from clients.exchanges.bybit.client import BybitClient
from clients.exchanges.instrument_cache import Load
from clients.exchanges.model import Instrument
from clients.exchanges.streaming import StreamPorts
from clients.resilience.ports import RandomSource
from tests.support.exchange_stage import Reply, Seen, StagedTransport, StageKey, ports
from tests.support.fake_exchange import instrument
from tests.support.socket_links import ScriptedDialer
from tests.support.virtual_time import VirtualLoop
from tests.unit.clients.bitmex.stage import on_stage
from tests.unit.clients.bybit.stage import ROWS
from tests.unit.clients.bybit.stage import on_stage as bybit_on_stage

T = TypeVar("T")

BINANCE_BASES = {
    "spot": MarketBases("https://spot.invalid", "wss://spot.invalid", "wss://api.invalid/ws-api/v3"),
    "usdm": MarketBases("https://usdm.invalid", "wss://usdm.invalid"),
    "coinm": MarketBases("https://coinm.invalid", "wss://coinm.invalid"),
}

BINANCE_KEY = StageKey("vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A", "canary-secret")


def listed(symbol: str, exchange_symbol: str, market: str) -> Instrument:
    """Return an instrument of Binance."""
    return instrument("binance", symbol, exchange_symbol=exchange_symbol, market=market, lot_size=Decimal("0.001"))


INSTRUMENTS = [
    listed("BTC/USDT", "BTCUSDT", "spot"),
    listed("ETH/USDT", "ETHUSDT", "spot"),
    listed("ETH/BTC", "ETHBTC", "spot"),
    listed("NKN/USDT", "NKNUSDT", "spot"),
    listed("BTC/USDT:USDT", "BTCUSDT", "usdm"),
    listed("ETH/USDT:USDT", "ETHUSDT", "usdm"),
    listed("SUSHI/USDT:USDT", "SUSHIUSDT", "usdm"),
    listed("BNB/USDT:USDT", "BNBUSDT", "usdm"),
    listed("BTC/USD:BTC-211231", "BTCUSD_211231", "coinm"),
    listed("BTC/USD:BTC-260626", "BTCUSD_260626", "coinm"),
    listed("BTC/USD:BTC", "BTCUSD_PERP", "coinm"),
    listed("ETH/USD:ETH", "ETHUSD_PERP", "coinm"),
]


class StagedBinance(BinanceClient):
    """Lists what it is given."""

    listing: Sequence[Instrument] = INSTRUMENTS

    async def _listing(self) -> Sequence[Instrument]:
        return self.listing

    def instrument_loads(self) -> Mapping[str, Load]:
        return {"listing": self._listing}


def binance(
    loop: VirtualLoop,
    dialer: ScriptedDialer,
    answer: Callable[[Seen], Reply] = lambda seen: Reply({}),
    *,
    key: bool = True,
    random: RandomSource | None = None,
    markets: Iterable[str] = tuple(BINANCE_BASES),
) -> tuple[StagedBinance, StagedTransport]:
    """Return a client whose connections the test plays, and its transport; its server's clock is the loop's."""

    def answered(seen: Seen) -> Reply:
        if seen.path.endswith("/time"):
            return Reply({"serverTime": loop.wall_ns() // 1_000_000})
        return answer(seen)

    transport = StagedTransport(answered, monotonic_ns=loop.monotonic_ns, wall_ns=loop.wall_ns)
    made = ports(transport, key=BINANCE_KEY if key else None, monotonic_ns=loop.monotonic_ns, wall_ns=loop.wall_ns)
    bases = {market: BINANCE_BASES[market] for market in markets}
    return StagedBinance(made, bases, stream_ports=StreamPorts(dialer, random=random or Random(0))), transport


def bitmex(loop: VirtualLoop, dialer: ScriptedDialer, *, key: bool = True) -> BitMEXClient:
    """Return a client whose connections the test plays."""
    stream_ports = StreamPorts(dialer, random=Random(0))
    client, _ = on_stage(key=key, stream_ports=stream_ports, monotonic_ns=loop.monotonic_ns, wall_ns=loop.wall_ns)
    return client


def bybit(
    loop: VirtualLoop,
    dialer: ScriptedDialer,
    answer: Callable[[Seen], Reply] = lambda seen: Reply(status=404),
    *,
    key: bool = True,
    rows: Mapping[str, list[Any]] = ROWS,
) -> BybitClient:
    """Return a client whose connections the test plays; its server's clock is the loop's."""
    stream_ports = StreamPorts(dialer, random=Random(0))
    clocks = {"monotonic_ns": loop.monotonic_ns, "wall_ns": loop.wall_ns}
    client, _ = bybit_on_stage(answer, key=key, stream_ports=stream_ports, rows=rows, **clocks)
    return client


class Consumer(Generic[T]):
    """Reads a stream in a task of its own and keeps what it read."""

    def __init__(self, stream: AsyncIterator[T]) -> None:
        self.got: list[T] = []
        self._stream = stream
        self._task = asyncio.create_task(self._read())

    async def stop(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for item in self._stream:
                self.got.append(item)
        finally:
            await self._stream.aclose()  # type: ignore[attr-defined]


def text(value: Any) -> str:
    """Return a document as it goes over the wire."""
    return json.dumps(value, default=lambda number: float(number) if isinstance(number, Decimal) else str(number))


async def settle() -> None:
    """Let everything that can run now run."""
    await asyncio.sleep(0.001)
