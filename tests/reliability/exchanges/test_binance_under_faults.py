"""Binance's client under all policies against the simulated exchange, in virtual time and without sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from clients.exchanges.base import ClientPorts
from clients.exchanges.bases import Environment
from clients.exchanges.binance import RULES, BinanceClient, BinanceTrading
from clients.exchanges.binance.settings import PLACES
from clients.exchanges.error_table import classify
from clients.exchanges.errors import CallerMustAct, ExchangeError, OutcomeUnknown, TryLater
from clients.exchanges.model import Instrument
from clients.exchanges.policies import EXCHANGE_POLICIES
from clients.exchanges.trading import OrderType, Side, TimeInForce, VenueOrder, VenueState
from clients.http.transport import HttpRequest, HttpResponse, HttpTransport
from clients.resilience.errors import ResilienceError
from clients.resilience.executor import PolicyExecutor, Ports
from clients.resilience.limiter_memory import memory_limiter
from clients.resilience.outcome import Outcome
from clients.secrets import ApiKey
from services.simulators.binance.exchange import DEMO_ACCOUNT
from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.simulator import SimulatedBinance
from services.simulators.venue.faults import parse_faults
from tests.support.simulated_venues import SimulatedTransport, moving
from tests.support.virtual_time import VirtualLoop, run_virtual

KINDS = ("BTC/USDT", "BTC/USDC", "BTC/USDT:USDT", "BTC/USDC:USDC", "BTC/USDT:USDT-", "BTC/USD:BTC", "BTC/USD:BTC-")


@dataclass
class Counting:
    """A transport that counts what went through it."""

    inner: HttpTransport
    statuses: Counter[int] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        self.requests[f"{request.method} {request.url.partition('?')[0].split('/', 3)[3]}"] += 1
        response = await self.inner.send(request, timeout_s=timeout_s)
        self.statuses[response.status] += 1
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class Desk:
    """Everything that a test talks to."""

    loop: VirtualLoop
    venue: SimulatedBinance
    wire: Counting
    client: BinanceClient
    trading: BinanceTrading

    def plan(self, text: str) -> None:
        """Put faults in force."""
        self.venue.faults.replace(parse_faults(text, errors=self.venue.error_names), self.loop.wall_ns())

    async def instrument(self, symbol: str) -> Instrument:
        """Return an instrument; a symbol that ends with `-` is the next one to expire."""
        known = await self.client.get_instruments()
        return known[symbol if symbol in known else min(name for name in known if name.startswith(symbol))]

    async def resting(self, made: Instrument, client_order_id: str) -> VenueOrder:
        """Return an order far below the market."""
        quote = await self.client.get_quote(made.symbol)
        assert quote.bid_price is not None
        price = quote.bid_price * Decimal("0.9") // made.price_tick * made.price_tick
        return VenueOrder(
            made, client_order_id, Side.BUY, OrderType.LIMIT, made.quantity_min * 20, price, TimeInForce.GTC
        )


def staged(play: Callable[[Desk], Coroutine[Any, Any, None]], *, limits: LimitOptions | None = None) -> None:
    """Run a play in virtual time with the real executor and limiter."""

    async def main(loop: VirtualLoop) -> None:
        venue = SimulatedBinance(wall_ns=loop.wall_ns, limits=limits)
        inner = SimulatedTransport(venue, monotonic_ns=loop.monotonic_ns, wall_ns=loop.wall_ns)
        wire = Counting(inner)
        limiter = memory_limiter(RULES, monotonic_ns=loop.monotonic_ns)
        executor = PolicyExecutor(
            classify,
            policies=EXCHANGE_POLICIES,
            limiter=limiter,
            ports=Ports(monotonic_ns=loop.monotonic_ns, random=Random(7)),
        )
        ports = ClientPorts(
            wire,
            executor,
            ApiKey(DEMO_ACCOUNT.api_key, DEMO_ACCOUNT.secret),
            monotonic_ns=loop.monotonic_ns,
            wall_ns=loop.wall_ns,
        )
        async with moving(venue), BinanceClient(ports, PLACES.bases(Environment.SIMULATOR)) as client:
            await play(Desk(loop, venue, wire, client, BinanceTrading(client)))
        await limiter.close()

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize("symbol", KINDS)
def test_every_kind_of_instrument_is_priced_and_traded(symbol: str) -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument(symbol)
        price = await desk.client.get_price(made.symbol)
        order = await desk.resting(made, "one")
        since_ns = desk.loop.wall_ns()

        placed = await desk.trading.place(order, deadline_s=10)
        seen = await desk.trading.query(made, client_order_id="one")
        smaller = await desk.trading.amend(
            made,
            client_order_id="one",
            exchange_order_id=placed.exchange_order_id,
            side=Side.BUY,
            quantity=order.quantity - made.lot_size,
            price=order.price or price.price,
            deadline_s=10,
        )
        cancelled = await desk.trading.cancel(
            made, client_order_id="one", exchange_order_id=placed.exchange_order_id, deadline_s=10
        )
        await desk.trading.place(VenueOrder(made, "two", Side.BUY, OrderType.MARKET, order.quantity), deadline_s=10)
        until_ns = desk.loop.wall_ns() + 10**9
        orders = await desk.trading.orders_between(made, start_ns=since_ns, end_ns=until_ns)
        fills = await desk.trading.fills(made, start_ns=since_ns, end_ns=until_ns)

        assert price.price > 0
        assert (placed.state, seen.state) == (VenueState.NEW, VenueState.NEW)
        assert smaller.quantity == order.quantity - made.lot_size
        assert smaller.client_order_id == "one"
        assert (cancelled.state, cancelled.client_order_id) == (VenueState.CANCELED, "one")
        assert {found.client_order_id: found.state for found in orders} == {
            "one": VenueState.CANCELED,
            "two": VenueState.FILLED,
        }
        assert sum((fill.quantity for fill in fills), Decimal(0)) == order.quantity

    staged(play)


@pytest.mark.parametrize(
    "fault", ["lose", "stall", "garbage", "truncate", "error=500,executed=yes", "error=503,executed=yes"]
)
@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"])
def test_a_lost_answer_to_an_order_is_unknown_and_one_order(symbol: str, fault: str) -> None:
    """R15, R18, O02's half of the client: said to be unknown, never repeated, findable by its id."""

    async def play(desk: Desk) -> None:
        made = await desk.instrument(symbol)
        order = await desk.resting(made, "lost")
        kind, _, options = fault.partition(",")
        desk.plan(f"{kind}@POST *order{',' + options if options else ''}")

        with pytest.raises(OutcomeUnknown) as error:
            await desk.trading.place(order, deadline_s=15)
        desk.plan("")
        found = await desk.trading.query(made, client_order_id="lost")

        assert found.state is VenueState.NEW
        assert error.value.sent is not None
        assert error.value.sent.expires_server_time_ns is not None
        assert sum(count for name, count in desk.wire.requests.items() if name.startswith("POST")) == 1

    staged(play)


@pytest.mark.parametrize("fault", ["refuse,for=60", "error=throttled@POST *order", "error=too-many-orders@POST *order"])
def test_an_order_that_was_not_executed_says_so_and_is_not_repeated(fault: str) -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT:USDT")
        order = await desk.resting(made, "none")
        desk.plan(fault)

        with pytest.raises(TryLater):
            await desk.trading.place(order, deadline_s=15)
        desk.plan("")
        with pytest.raises(CallerMustAct) as error:
            await desk.trading.query(made, client_order_id="none")

        assert error.value.outcome is Outcome.NOT_FOUND
        # Nobody listens: the clock cannot be measured either, and the order is not even tried.
        assert desk.wire.requests["POST fapi/v1/order"] == (0 if fault.startswith("refuse") else 1)

    staged(play)


def test_reads_get_through_a_storm_of_errors() -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        desk.plan("error=500@GET *bookTicker,count=2")

        quote = await desk.client.get_quote(made.symbol)

        assert quote.bid_price is not None
        assert desk.wire.requests["GET api/v3/ticker/bookTicker"] == 3

    staged(play)


@pytest.mark.parametrize("skew_s", [-3600, -7, 7, 3600])
def test_a_clock_that_is_wrong_or_jumps_is_followed(skew_s: int) -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        order = await desk.resting(made, "skew")
        desk.plan(f"skew={skew_s}")
        await desk.trading.place(order, deadline_s=10)

        desk.plan("")
        found = await desk.trading.query(made, client_order_id="skew")

        assert found.state is VenueState.NEW
        # Once before the first signed request; again after the answer that blames the clock, where the jump was too large.
        assert desk.wire.requests["GET api/v3/time"] <= 2

    staged(play)


def test_a_step_of_our_own_clock_changes_nothing() -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        order = await desk.resting(made, "step")
        server_ns = desk.client.server_now_ns("spot")
        assert server_ns is None
        await desk.client.get_server_time("spot")
        before_ns = desk.client.server_now_ns("spot")

        # The exchange of the stage lives on our wall clock: it is set back as far as that goes forward.
        desk.loop.jump_wall_ns(90 * 10**9)
        desk.plan("skew=-90")
        report = await desk.trading.place(order, deadline_s=10)

        after_ns = desk.client.server_now_ns("spot")
        assert before_ns is not None
        assert after_ns is not None
        assert 0 <= after_ns - before_ns < 10**9
        assert report.state is VenueState.NEW
        assert desk.wire.requests["GET api/v3/time"] == 1

    staged(play)


def _spread(results: Sequence[object]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


def test_a_flood_of_queries_never_meets_a_429() -> None:
    """O10: twenty askers for two minutes, many times what the limits allow; the sizes come from the exchange's own list."""
    small = LimitOptions(spot_weight=300, futures_weight=120)

    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        await desk.trading.place(await desk.resting(made, "asked"), deadline_s=10)
        end_s = desk.loop.time() + 120

        async def ask() -> list[object]:
            heard: list[object] = []
            while desk.loop.time() < end_s:
                try:
                    heard.append(await desk.trading.query(made, client_order_id="asked", deadline_s=20))
                except (ExchangeError, ResilienceError) as exc:
                    heard.append(exc)
                    await asyncio.sleep(1)
            return heard

        heard = [answer for asker in await asyncio.gather(*(ask() for _ in range(20))) for answer in asker]

        print(_spread(heard), desk.wire.statuses)  # noqa: T201
        assert desk.wire.statuses[429] == desk.wire.statuses[418] == 0
        assert not any(isinstance(answer, ExchangeError) for answer in heard)
        # Weight 4 each of 300 a minute: most of what is allowed is used.
        assert desk.wire.requests["GET api/v3/order"] > 100

    staged(play, limits=small)
