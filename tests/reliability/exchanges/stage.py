"""A simulated exchange and its client under all policies, in virtual time and without sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from clients.exchanges.base import ClientPorts, RestClient
from clients.exchanges.bases import MarketBases
from clients.exchanges.error_table import classify
from clients.exchanges.model import Instrument, Payout
from clients.exchanges.policies import EXCHANGE_POLICIES
from clients.exchanges.trading import OrderType, Side, TimeInForce, TradingClient, VenueOrder
from clients.http.transport import HttpRequest, HttpResponse, HttpTransport
from clients.resilience.executor import PolicyExecutor, Ports
from clients.resilience.limiter import ScopeRules
from clients.resilience.limiter_memory import memory_limiter
from clients.secrets import ApiKey
from services.simulators.venue.clearing import Account
from services.simulators.venue.exchange import SimulatedVenue
from services.simulators.venue.faults import parse_faults
from tests.support.simulated_venues import SimulatedTransport, moving
from tests.support.virtual_time import VirtualLoop, run_virtual

MARKETS = ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC")


@dataclass(frozen=True)
class Exchange:
    """What one exchange brings to the stage, and how its routes are called."""

    venue: Callable[[VirtualLoop], SimulatedVenue]
    client: Callable[[ClientPorts, Mapping[str, MarketBases]], RestClient]
    trading: Callable[[Any], TradingClient]
    bases: Mapping[str, MarketBases]
    rules: Sequence[ScopeRules]
    account: Account
    placing: str
    """The end of the routes that place orders."""
    quotes: str
    """The route of spot's best bid and ask."""
    clock: str
    """The route of spot's clock."""
    lost: tuple[str, ...] = ()
    """Errors after which an order stands all the same, beside a connection that breaks."""
    busy: tuple[str, ...] = ()
    """Errors that say that an order was not executed."""
    code_of: Callable[[HttpResponse], object] = lambda response: response.status


@dataclass
class Counting:
    """A transport that counts what went through it, and what came back by code."""

    inner: HttpTransport
    code_of: Callable[[HttpResponse], object]
    codes: Counter[object] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        self.requests[f"{request.method} {request.url.partition('?')[0].split('/', 3)[3]}"] += 1
        response = await self.inner.send(request, timeout_s=timeout_s)
        self.codes[self.code_of(response)] += 1
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()

    def posted(self) -> int:
        """Return how many requests went out that may change something."""
        return sum(count for name, count in self.requests.items() if name.startswith("POST"))


@dataclass
class Desk:
    """Everything that a test talks to."""

    loop: VirtualLoop
    venue: SimulatedVenue
    wire: Counting
    client: RestClient
    trading: TradingClient

    def plan(self, text: str) -> None:
        """Put faults in force."""
        self.venue.faults.replace(parse_faults(text, errors=self.venue.error_names), self.loop.wall_ns())

    async def instrument(self, symbol: str) -> Instrument:
        """Return an instrument; a symbol that ends with `-` is the next one to expire."""
        known = await self.client.get_instruments()
        return known[symbol if symbol in known else min(name for name in known if name.startswith(symbol))]

    async def order(self, made: Instrument, client_order_id: str, factor: str = "0.95", **changes: Any) -> VenueOrder:
        """Return an order that is worth almost 200 in the quote currency, below the market."""
        quote = await self.client.get_quote(made.symbol)
        assert quote.bid_price is not None
        price = quote.bid_price * Decimal(factor) // made.price_tick * made.price_tick
        worth = Decimal(200) if made.payout is Payout.INVERSE else Decimal(200) / price
        quantity = max(worth // made.lot_size * made.lot_size, made.quantity_min)
        words: dict[str, Any] = {"quantity": quantity, "price": price, "time_in_force": TimeInForce.GTC}
        return VenueOrder(**{"instrument": made, "client_order_id": client_order_id, "side": Side.BUY,
                             "type": OrderType.LIMIT, **words, **changes})  # fmt: skip


def staged(exchange: Exchange, play: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    """Run a play in virtual time with the real executor and limiter."""

    async def main(loop: VirtualLoop) -> None:
        venue = exchange.venue(loop)
        inner = SimulatedTransport(venue, monotonic_ns=loop.monotonic_ns, wall_ns=loop.wall_ns)
        wire = Counting(inner, exchange.code_of)
        limiter = memory_limiter(exchange.rules, monotonic_ns=loop.monotonic_ns)
        executor = PolicyExecutor(
            classify,
            policies=EXCHANGE_POLICIES,
            limiter=limiter,
            ports=Ports(monotonic_ns=loop.monotonic_ns, random=Random(7)),
        )
        ports = ClientPorts(
            wire,
            executor,
            ApiKey(exchange.account.api_key, exchange.account.secret),
            monotonic_ns=loop.monotonic_ns,
            wall_ns=loop.wall_ns,
        )
        async with moving(venue), exchange.client(ports, exchange.bases) as client:
            await play(Desk(loop, venue, wire, client, exchange.trading(client)))
        await limiter.close()

    run_virtual(main)
