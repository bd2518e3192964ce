"""Binance's client under all policies against the simulated exchange: what is its own; `test_under_faults.py` has what all do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from clients.exchanges.errors import ExchangeError
from clients.exchanges.trading import OrderType, Side, VenueOrder, VenueState
from clients.resilience.errors import ResilienceError
from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.simulator import SimulatedBinance
from tests.reliability.exchanges.exchanges import BINANCE
from tests.reliability.exchanges.stage import Desk, staged
from tests.support.virtual_time import VirtualLoop

KINDS = ("BTC/USDT", "BTC/USDC", "BTC/USDT:USDT", "BTC/USDC:USDC", "BTC/USDT:USDT-", "BTC/USD:BTC", "BTC/USD:BTC-")


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

    staged(BINANCE, play)


def test_a_step_of_our_own_clock_changes_nothing() -> None:
    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        order = await desk.order(made, "step")
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

    staged(BINANCE, play)


def _spread(results: Sequence[object]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


def test_a_flood_of_queries_never_meets_a_429() -> None:
    """O10: twenty askers for two minutes, many times what the limits allow; the sizes come from the exchange's own list."""

    def small(loop: VirtualLoop) -> SimulatedBinance:
        return SimulatedBinance(wall_ns=loop.wall_ns, limits=LimitOptions(spot_weight=300, futures_weight=120))

    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        await desk.trading.place(await desk.order(made, "asked"), deadline_s=10)
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

        print(_spread(heard), desk.wire.codes)  # noqa: T201
        assert desk.wire.codes[429] == desk.wire.codes[418] == 0
        assert not any(isinstance(answer, ExchangeError) for answer in heard)
        # Weight 4 each of 300 a minute: most of what is allowed is used.
        assert desk.wire.requests["GET api/v3/order"] > 100

    staged(replace(BINANCE, venue=small), play)
