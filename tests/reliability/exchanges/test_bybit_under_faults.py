"""Bybit's client under all policies against the simulated exchange: what is its own; `test_under_faults.py` has what all do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from clients.exchanges.errors import CallerMustAct, ExchangeError, OperatorMustAct, OutcomeUnknown
from clients.exchanges.trading import Fill, OrderReport, OrderType, Side, TimeInForce, VenueOrder, VenueState
from clients.resilience.errors import ResilienceError
from clients.resilience.outcome import Outcome
from services.simulators.bybit.sightings import RowDelays
from services.simulators.bybit.simulator import SimulatedBybit
from tests.reliability.exchanges.exchanges import BYBIT
from tests.reliability.exchanges.stage import MARKETS, Desk, staged
from tests.support.virtual_time import VirtualLoop

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
CREATE = "POST v5/order/create"

T = TypeVar("T")


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

    staged(BYBIT, play)


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

    staged(BYBIT, play)


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

    def slow(loop: VirtualLoop) -> SimulatedBybit:
        return SimulatedBybit(wall_ns=loop.wall_ns, delays=RowDelays(row_s=(7.0, 7.0), history_s=(8.0, 8.0)))

    staged(replace(BYBIT, venue=slow), play)


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

    staged(BYBIT, play)


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

    staged(BYBIT, play)


def test_an_account_in_hedge_mode_is_refused_with_the_way_out() -> None:
    async def play(desk: Desk) -> None:
        assert isinstance(desk.venue, SimulatedBybit)
        desk.venue.switches(BYBIT.account.name).hedge_all = True
        order = await desk.order(await desk.instrument("BTC/USDT:USDT"), "hedged")

        with pytest.raises(OperatorMustAct, match="switch to one-way mode"):
            await desk.trading.place(order, deadline_s=10)

    staged(BYBIT, play)


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

    staged(BYBIT, play)


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

    staged(BYBIT, play)
