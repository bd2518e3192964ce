"""Bybit's client under all policies against the simulated exchange, in virtual time and without sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, TypeVar

import pytest

from clients.exchanges.base import ClientPorts
from clients.exchanges.bases import Environment
from clients.exchanges.bybit import RULES, BybitClient, BybitTrading
from clients.exchanges.bybit.settings import PLACES
from clients.exchanges.error_table import classify
from clients.exchanges.errors import CallerMustAct, ExchangeError, OperatorMustAct, OutcomeUnknown, TryLater
from clients.exchanges.exact_json import parse_json
from clients.exchanges.model import Instrument, Payout
from clients.exchanges.policies import EXCHANGE_POLICIES
from clients.exchanges.trading import Fill, OrderReport, OrderType, Side, TimeInForce, VenueOrder, VenueState
from clients.http.transport import HttpRequest, HttpResponse, HttpTransport
from clients.resilience.errors import ResilienceError
from clients.resilience.executor import PolicyExecutor, Ports
from clients.resilience.limiter_memory import memory_limiter
from clients.resilience.outcome import Outcome
from clients.secrets import ApiKey
from services.simulators.bybit.exchange import DEMO_ACCOUNT
from services.simulators.bybit.sightings import RowDelays
from services.simulators.bybit.simulator import SimulatedBybit
from services.simulators.venue.faults import parse_faults
from tests.support.simulated_venues import SimulatedTransport, moving
from tests.support.virtual_time import VirtualLoop, run_virtual

KINDS = (
    "BTC/USDT",
    "BTC/USDC",
    "BTC/USDT:USDT",
    "BTC/USDT:USDT-",
    "BTC/USDC:USDC",
    "BTC/USDC:USDC-",
    "BTC/USD:BTC",
    "BTC/USD:BTC-",
)
MARKETS = ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC")
CREATE = "POST v5/order/create"

T = TypeVar("T")


@dataclass
class Counting:
    """A transport that counts what went through it, and what came back by code."""

    inner: HttpTransport
    codes: Counter[object] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    async def send(self, request: HttpRequest, *, timeout_s: float) -> HttpResponse:
        self.requests[f"{request.method} {request.url.partition('?')[0].split('/', 3)[3]}"] += 1
        response = await self.inner.send(request, timeout_s=timeout_s)
        try:
            self.codes[parse_json(response.body)["retCode"]] += 1
        except ValueError:
            self.codes[response.status] += 1
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class Desk:
    """Everything that a test talks to."""

    loop: VirtualLoop
    venue: SimulatedBybit
    wire: Counting
    client: BybitClient
    trading: BybitTrading

    def plan(self, text: str) -> None:
        """Put faults in force."""
        self.venue.faults.replace(parse_faults(text, errors=self.venue.error_names), self.loop.wall_ns())

    async def instrument(self, symbol: str) -> Instrument:
        """Return an instrument; a symbol that ends with `-` is the next one to expire."""
        known = await self.client.get_instruments()
        return known[symbol if symbol in known else min(name for name in known if name.startswith(symbol))]

    async def order(self, made: Instrument, client_order_id: str, factor: str = "0.95", **changes: Any) -> VenueOrder:
        """Return an order that is worth 100 in the quote currency, below the market."""
        quote = await self.client.get_quote(made.symbol)
        assert quote.bid_price is not None
        price = quote.bid_price * Decimal(factor) // made.price_tick * made.price_tick
        worth = Decimal(100) if made.payout is Payout.INVERSE else Decimal(100) / price
        quantity = max(worth // made.lot_size * made.lot_size, made.quantity_min)
        words: dict[str, Any] = {"quantity": quantity, "price": price, "time_in_force": TimeInForce.GTC}
        return VenueOrder(**{"instrument": made, "client_order_id": client_order_id, "side": Side.BUY,
                             "type": OrderType.LIMIT, **words, **changes})  # fmt: skip


def staged(play: Callable[[Desk], Coroutine[Any, Any, None]], *, delays: RowDelays | None = None) -> None:
    """Run a play in virtual time with the real executor and limiter."""

    async def main(loop: VirtualLoop) -> None:
        venue = SimulatedBybit(wall_ns=loop.wall_ns, delays=delays)
        wire = Counting(SimulatedTransport(venue, monotonic_ns=loop.monotonic_ns, wall_ns=loop.wall_ns))
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
        async with moving(venue), BybitClient(ports, PLACES.bases(Environment.SIMULATOR)) as client:
            await play(Desk(loop, venue, wire, client, BybitTrading(client)))
        await limiter.close()

    run_virtual(main)


async def until(ask: Callable[[], Awaitable[T]], good: Callable[[T], object]) -> T:
    """Ask until the answer is good: lists are late."""
    for _ in range(150):
        if good(answer := await ask()):
            return answer
        await asyncio.sleep(0.2)
    raise AssertionError(f"not in half a minute: {answer}")


@pytest.mark.quick
@pytest.mark.parametrize("symbol", KINDS)
def test_every_kind_of_instrument_is_priced_and_traded(symbol: str) -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument(symbol)
        price = await desk.client.get_price(made.symbol)
        order = await desk.order(made, "one")
        since_ns = desk.loop.wall_ns()

        placed = await desk.trading.place(order, deadline_s=10)
        seen = await desk.trading.query(made, client_order_id="one")
        assert order.price is not None
        more = await desk.trading.amend(
            made,
            client_order_id="one",
            exchange_order_id=placed.exchange_order_id,
            side=Side.BUY,
            quantity=order.quantity + made.lot_size,
            price=order.price - made.price_tick,
            deadline_s=10,
        )
        cancelled = await desk.trading.cancel(
            made, client_order_id="one", exchange_order_id=placed.exchange_order_id, deadline_s=10
        )
        market = await desk.order(made, "two", type=OrderType.MARKET, price=None, time_in_force=None)
        bought = await desk.trading.place(market, deadline_s=10)

        def orders() -> Awaitable[Any]:
            return desk.trading.orders_between(made, start_ns=since_ns, end_ns=desk.loop.wall_ns() + 10**9)

        def fills() -> Awaitable[Any]:
            return desk.trading.fills(made, start_ns=since_ns, end_ns=desk.loop.wall_ns() + 10**9)

        def whole(found: list[Fill]) -> bool:
            return sum((fill.quantity for fill in found), Decimal(0)) == market.quantity

        def both(found: list[OrderReport]) -> bool:
            return {one.client_order_id: one.state for one in found} == {
                "one": VenueState.CANCELED,
                "two": VenueState.FILLED,
            }

        await until(fills, whole)
        await until(orders, both)
        assert price.price > 0
        assert (placed.state, seen.state) == (VenueState.NEW, VenueState.NEW)
        assert (more.quantity, more.price) == (order.quantity + made.lot_size, order.price - made.price_tick)
        assert (cancelled.state, cancelled.client_order_id) == (VenueState.CANCELED, "one")
        assert (bought.state, bought.filled_quantity) == (VenueState.FILLED, market.quantity)

    staged(play)


@pytest.mark.parametrize("terms", ["post-only", "IOC", "FOK"])
@pytest.mark.parametrize("symbol", MARKETS)
def test_an_order_that_would_not_do_is_acknowledged_and_reported_as_it_ended(symbol: str, terms: str) -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument(symbol)
        if terms == "post-only":
            order = await desk.order(made, "ended", "1.005", post_only=True)
        else:
            order = await desk.order(made, "ended", time_in_force=TimeInForce(terms))
        await desk.trading.place(order, deadline_s=10)

        ended = await until(
            lambda: desk.trading.query(made, client_order_id="ended"), lambda report: report.state.terminal
        )

        # A post-only one is rejected in one market and cancelled in the other; the order service says the same of both.
        assert ended.state in (VenueState.CANCELED, VenueState.REJECTED)
        assert ended.filled_quantity == 0
        assert ended.ended_by is not None
        assert ended.reason.startswith("EC_")

    staged(play)


@pytest.mark.parametrize(
    "fault", ["lose", "stall", "garbage", "truncate", "error=server-timeout,executed=yes", "error=502,executed=yes"]
)
@pytest.mark.parametrize("symbol", MARKETS)
def test_a_lost_answer_to_an_order_is_unknown_and_one_order(symbol: str, fault: str) -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument(symbol)
        order = await desk.order(made, "lost")
        kind, _, options = fault.partition(",")
        desk.plan(f"{kind}@POST *create{',' + options if options else ''}")

        with pytest.raises(OutcomeUnknown) as error:
            await desk.trading.place(order, deadline_s=15)
        desk.plan("")
        await asyncio.sleep(1)
        found = await desk.trading.query(made, client_order_id="lost")

        assert found.state is VenueState.NEW
        assert error.value.sent is not None
        assert error.value.sent.expires_server_time_ns is not None
        assert desk.wire.requests[CREATE] == 1

    staged(play)


@pytest.mark.parametrize("fault", ["refuse,for=60", "error=too-many-visits@POST *create"])
def test_an_order_that_was_not_executed_says_so_and_is_not_repeated(fault: str) -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT:USDT")
        order = await desk.order(made, "none")
        desk.plan(fault)

        with pytest.raises(TryLater):
            await desk.trading.place(order, deadline_s=15)
        desk.plan("")
        with pytest.raises(CallerMustAct) as error:
            await desk.trading.query(made, client_order_id="none")

        assert error.value.outcome is Outcome.NOT_FOUND
        assert desk.wire.requests[CREATE] == (0 if fault.startswith("refuse") else 1)

    staged(play)


def test_rows_that_take_seconds_leave_an_acknowledged_order_unknown_and_found_later() -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT:USDT")
        order = await desk.order(made, "slow")

        with pytest.raises(OutcomeUnknown, match="acknowledged"):
            await desk.trading.place(order, deadline_s=10)
        with pytest.raises(OutcomeUnknown, match="does not show"):
            await desk.trading.query(made, client_order_id="slow")
        await asyncio.sleep(8)

        assert (await desk.trading.query(made, client_order_id="slow")).state is VenueState.NEW
        assert desk.wire.requests[CREATE] == 1

    staged(play, delays=RowDelays(row_s=(7.0, 7.0), history_s=(8.0, 8.0)))


def test_the_same_client_id_is_never_taken_twice_whatever_became_of_the_first() -> None:
    async def play(desk: Desk) -> None:
        for symbol in MARKETS:
            made = await desk.instrument(symbol)
            order = await desk.order(made, f"twice-{made.market}")
            placed = await desk.trading.place(order, deadline_s=10)
            await desk.trading.cancel(
                made, client_order_id="", exchange_order_id=placed.exchange_order_id, deadline_s=10
            )
            with pytest.raises(CallerMustAct) as refused:
                await desk.trading.place(order, deadline_s=10)
            assert refused.value.outcome is Outcome.DUPLICATE

    staged(play)


def test_a_price_beyond_the_limit_is_refused_on_spot_and_moved_on_contracts() -> None:
    async def play(desk: Desk) -> None:
        spot = await desk.instrument("BTC/USDT")
        with pytest.raises(CallerMustAct) as refused:
            await desk.trading.place(await desk.order(spot, "far-spot", "1.2"), deadline_s=10)
        assert refused.value.outcome is Outcome.REJECTED

        for symbol in MARKETS[1:]:
            made = await desk.instrument(symbol)
            order = await desk.order(made, f"far-{made.market}", "1.2")
            placed = await desk.trading.place(order, deadline_s=10)
            assert order.price is not None
            assert placed.price is not None
            assert placed.price < order.price
            assert placed.price_may_move

    staged(play)


def test_an_account_in_hedge_mode_is_refused_with_the_way_out() -> None:
    async def play(desk: Desk) -> None:
        desk.venue.switches(DEMO_ACCOUNT.name).hedge_all = True
        order = await desk.order(await desk.instrument("BTC/USDT:USDT"), "hedged")

        with pytest.raises(OperatorMustAct, match="switch to one-way mode"):
            await desk.trading.place(order, deadline_s=10)

    staged(play)


def test_reads_get_through_a_storm_of_errors() -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        desk.plan("error=500@GET *orderbook,count=2")

        quote = await desk.client.get_quote(made.symbol)

        assert quote.bid_price is not None
        assert desk.wire.requests["GET v5/market/orderbook"] == 3

    staged(play)


@pytest.mark.parametrize("skew_s", [-3600, -7, 7, 3600])
def test_a_clock_that_is_wrong_or_jumps_is_followed(skew_s: int) -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        order = await desk.order(made, "skew")
        desk.plan(f"skew={skew_s}")
        await desk.trading.place(order, deadline_s=10)

        desk.plan("")
        found = await desk.trading.query(made, client_order_id="skew")

        assert found.state is VenueState.NEW
        assert desk.wire.requests["GET v5/market/time"] <= 2

    staged(play)


def test_a_flood_never_meets_a_limit_of_a_route_or_of_the_address() -> None:
    """Twenty who place, ask and cancel for half a minute: many times what the account may."""

    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT:USDT")
        order = await desk.order(made, "x")
        end_s = desk.loop.time() + 30
        surprises: list[Exception] = []

        async def trade(number: int) -> int:
            turn = 0
            while desk.loop.time() < end_s:
                turn += 1
                name = f"flood-{number}-{turn}"
                try:
                    await desk.trading.place(
                        VenueOrder(made, name, Side.BUY, OrderType.LIMIT, order.quantity, order.price), deadline_s=20
                    )
                    await desk.trading.query(made, client_order_id=name, deadline_s=20)
                    await desk.trading.cancel(made, client_order_id=name, exchange_order_id="", deadline_s=20)
                except ResilienceError:
                    await asyncio.sleep(1)
                except ExchangeError as exc:
                    surprises.append(exc)
            return turn

        turns = sum(await asyncio.gather(*(trade(number) for number in range(20))))

        print(f"turns={turns} {desk.wire.codes}")  # noqa: T201
        assert surprises == []
        assert desk.wire.codes[10006] == desk.wire.codes[403] == desk.wire.codes[429] == 0
        # Ten a second are allowed, of which a tenth is kept for cancels.
        assert turns > 150

    staged(play)


def test_an_address_that_is_shut_out_is_silent_until_the_ban_is_over() -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        desk.plan("error=too-frequent@GET *orderbook,count=1")
        with pytest.raises((ExchangeError, ResilienceError)):
            await desk.client.get_quote(made.symbol)
        desk.plan("")
        sent = sum(desk.wire.requests.values())

        for _ in range(5):
            await asyncio.sleep(100)
            with pytest.raises(ResilienceError):
                await desk.client.get_quote(made.symbol)
        assert sum(desk.wire.requests.values()) == sent
        await asyncio.sleep(110)

        assert (await desk.client.get_quote(made.symbol)).bid_price is not None

    staged(play)
