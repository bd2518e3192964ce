"""What every client does under all policies when the exchange or the way to it fails, against the simulated ones."""

from __future__ import annotations

import asyncio

import pytest

from clients.exchanges.errors import CallerMustAct, OutcomeUnknown, TryLater
from clients.exchanges.trading import VenueState
from clients.resilience.outcome import Outcome
from tests.reliability.exchanges.exchanges import EXCHANGES
from tests.reliability.exchanges.stage import MARKETS, Desk, staged

LOST = [
    (name, fault) for name, one in EXCHANGES.items() for fault in ("lose", "stall", "garbage", "truncate", *one.lost)
]
BUSY = [(name, fault) for name, one in EXCHANGES.items() for fault in ("refuse", *one.busy)]


@pytest.mark.quick
@pytest.mark.parametrize(("name", "fault"), LOST)
@pytest.mark.parametrize("symbol", MARKETS)
def test_a_lost_answer_to_an_order_is_unknown_and_one_order(symbol: str, name: str, fault: str) -> None:
    """R15, R18, O02's half of the client: said to be unknown, never repeated, findable by its id."""
    exchange = EXCHANGES[name]

    async def play(desk: Desk) -> None:
        made = await desk.instrument(symbol)
        order = await desk.order(made, "lost")
        kind, _, options = fault.partition(",")
        desk.plan(f"{kind}@POST *{exchange.placing}{',' + options if options else ''}")

        with pytest.raises(OutcomeUnknown) as error:
            await desk.trading.place(order, deadline_s=15)
        desk.plan("")
        await asyncio.sleep(1)
        found = await desk.trading.query(made, client_order_id="lost")

        assert found.state is VenueState.NEW
        assert error.value.sent is not None
        assert error.value.sent.expires_server_time_ns is not None
        assert desk.wire.posted() == 1

    staged(exchange, play)


@pytest.mark.parametrize(("name", "fault"), BUSY)
def test_an_order_that_was_not_executed_says_so_and_is_not_repeated(name: str, fault: str) -> None:
    exchange = EXCHANGES[name]

    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT:USDT")
        order = await desk.order(made, "none")
        desk.plan("refuse,for=60" if fault == "refuse" else f"error={fault}@POST *{exchange.placing}")

        with pytest.raises(TryLater):
            await desk.trading.place(order, deadline_s=15)
        desk.plan("")
        with pytest.raises(CallerMustAct) as error:
            await desk.trading.query(made, client_order_id="none")

        assert error.value.outcome is Outcome.NOT_FOUND
        # Nobody listens: the clock cannot be measured either, and the order is not even tried.
        assert desk.wire.posted() == (0 if fault == "refuse" else 1)

    staged(exchange, play)


@pytest.mark.parametrize("name", EXCHANGES)
def test_reads_get_through_a_storm_of_errors(name: str) -> None:
    exchange = EXCHANGES[name]

    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        desk.plan(f"error=500@GET *{exchange.quotes.rpartition('/')[2]},count=2")

        quote = await desk.client.get_quote(made.symbol)

        assert quote.bid_price is not None
        assert desk.wire.requests[f"GET {exchange.quotes}"] == 3

    staged(exchange, play)


@pytest.mark.parametrize("skew_s", [-3600, -7, 7, 3600])
@pytest.mark.parametrize("name", EXCHANGES)
def test_a_clock_that_is_wrong_or_jumps_is_followed(name: str, skew_s: int) -> None:
    exchange = EXCHANGES[name]

    async def play(desk: Desk) -> None:
        made = await desk.instrument("BTC/USDT")
        order = await desk.order(made, "skew")
        desk.plan(f"skew={skew_s}")
        await desk.trading.place(order, deadline_s=10)

        desk.plan("")
        found = await desk.trading.query(made, client_order_id="skew")

        assert found.state is VenueState.NEW
        # Once before the first signed request; again after the answer that blames the clock, where the jump was too large.
        assert desk.wire.requests[f"GET {exchange.clock}"] <= 2

    staged(exchange, play)
