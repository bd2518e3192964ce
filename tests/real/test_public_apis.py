"""The real exchanges, asked read-only through the clients as they are: `pytest -m real tests/real`. No key, nothing is changed.

Ten requests at most, and one streamed quote per exchange. Binance's public data host and BitMEX's testnet need no account; a machine
without a way to them skips with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from clients.exchanges.client import ExchangeClient
from clients.http import Http11Transport
from clients.http.transport import HttpRequest, HttpResponse
from services.runtime.exchanges.opened import open_exchanges
from services.runtime.exchanges.watcher import ExchangeMetrics

pytestmark = [pytest.mark.real, pytest.mark.timeout(90)]

REQUESTS_MAX = 5
"""Per exchange: instruments of every market that is loaded, the clock, a quote."""
CONNECT_S = 5.0
STREAM_S = 20.0


@dataclass(frozen=True)
class Place:
    """One exchange as this tier asks it."""

    name: str
    environment: str
    overrides: tuple[tuple[str, str], ...]
    hosts: tuple[str, ...]
    market: str
    symbol: str
    """One that trades all the time."""


PLACES = [
    # Exchanges that have closed have no place here.
    # The data host serves public spot data only; the other markets of production are never touched by this tier.
    Place(
        "binance",
        "prod",
        (
            ("MIDSTREAM_BINANCE_SPOT_REST_URL", "https://data-api.binance.vision"),
            ("MIDSTREAM_BINANCE_SPOT_STREAM_URL", "wss://data-stream.binance.vision"),
        ),
        ("data-api.binance.vision", "data-stream.binance.vision"),
        "spot",
        "BTC/USDT",
    ),
]


class CountedTransport:
    """Sends for real, to the hosts of a place only, and not more often than this tier may."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._inner = Http11Transport()
        self._hosts = hosts
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        host = request.url.split("/")[2]
        assert (request.method, host in self._hosts) == ("GET", True), f"{request.method} {host}: not of this tier"
        self.sent.append(request)
        assert len(self.sent) <= REQUESTS_MAX, f"more than {REQUESTS_MAX} requests: {len(self.sent)}"
        return await self._inner.send(request, timeout_s=timeout_s)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def reach(hosts: tuple[str, ...]) -> None:
    """Skip with the reason unless every host accepts a connection."""
    for host in hosts:
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(host, 443)
        except (OSError, TimeoutError) as exc:
            pytest.skip(f"{host} cannot be reached from here: {exc or type(exc).__name__}")
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def opened(
    place: Place, setenv: Callable[[str, str], None]
) -> AsyncIterator[tuple[ExchangeClient, CountedTransport]]:
    await reach(place.hosts)
    setenv("MIDSTREAM_EXCHANGES", place.environment)
    for name, value in place.overrides:
        setenv(name, value)
    transport = CountedTransport(place.hosts)
    # No key, whatever the environment holds: nothing that is asked here could be signed.
    room = await open_exchanges(
        [place.name], metrics=ExchangeMetrics(CollectorRegistry()), environ={}, transport=transport
    )
    try:
        client = room.clients[place.name]
        if place.name == "binance":
            keep_spot_only(client)
        yield client, transport
    finally:
        await room.close()


def keep_spot_only(client: ExchangeClient) -> None:
    """Let the list of instruments come from spot alone: the data host has no futures."""
    from clients.exchanges.base import RestClient
    from clients.exchanges.instrument_cache import InstrumentCache

    assert isinstance(client, RestClient)
    spot = {"spot": client.instrument_loads()["spot"]}
    client.instruments = InstrumentCache(client.name, spot, monotonic_ns=client.ports.monotonic_ns)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_the_public_api_is_as_the_client_reads_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(place, monkeypatch.setenv) as (client, transport):
        instruments = await client.get_instruments()
        clock = await client.get_server_time(place.market)
        quote = await client.get_quote(place.symbol)
        async with asyncio.timeout(STREAM_S), aclosing(client.stream_quotes([place.symbol])) as stream:
            streamed = await anext(stream)

    listed = instruments[place.symbol]
    assert listed.tradable
    assert min(listed.price_tick, listed.lot_size, listed.contract_size) > 0
    assert len(instruments) > 1
    # A machine that keeps time is within seconds of the exchange; what is tested is that the answer was read as a time at all.
    assert abs(clock.offset_ns) < 60e9
    for seen in (quote, streamed):
        assert seen.bid_price is not None
        assert seen.ask_price is not None
        assert Decimal(0) < seen.bid_price < seen.ask_price
        assert seen.bid_price % listed.price_tick == 0
        assert abs(seen.receive_time_ns - time.time_ns()) < 120e9
    assert (quote.source, streamed.source) == ("rest", "stream")
    assert len(transport.sent) <= REQUESTS_MAX
