"""CB39, O05: only a new order moves, only when the first exchange certainly did not accept it, and only if the caller allowed it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from clients.exchanges.errors import CallerMustAct, ExchangeError, TryLater
from clients.exchanges.trading import OrderType
from clients.resilience.errors import CallNotPermitted
from clients.resilience.outcome import Outcome
from services.orders.domain import Cause, OrderState
from services.orders.ports import Ports
from tests.support.exchange_rules import BINANCE, BITMEX, BYBIT, ExchangeRules
from tests.support.order_desk import trading, virtual, virtual_ports
from tests.support.scripted_market import instrument
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop, run_virtual

DOWN: list[Exception] = [
    CallNotPermitted("the breaker is open", retry_after_s=30.0),
    TryLater("binance", "place", Outcome.MAINTENANCE, "closed"),
    TryLater("binance", "place", Outcome.RETRYABLE, "connection refused"),
    TryLater("binance", "place", Outcome.THROTTLED, "slow down", retry_after_s=60.0),
]


def pair(ports: Ports, other: ExchangeRules = BYBIT) -> tuple[ScriptedVenue, ScriptedVenue]:
    return ScriptedVenue(BINANCE, ports), ScriptedVenue(other, ports)


@pytest.mark.parametrize("other", [BYBIT, BITMEX], ids=lambda rules: rules.exchange)
@pytest.mark.parametrize("error", DOWN, ids=lambda error: type(error).__name__ + getattr(error, "outcome", ""))
def test_an_order_moves_when_the_first_exchange_certainly_did_not_take_it(
    error: Exception, other: ExchangeRules
) -> None:
    async def main(loop: VirtualLoop) -> None:
        ports = virtual_ports(loop)
        first, second = pair(ports, other)
        async with trading(ports, first, second) as desk:
            first.script("place", Fault(error=error))

            placed = await desk.place(exchange="ANY")

            assert placed.exchange == other.exchange
            assert placed.state is OrderState.NEW
            assert len(first.sent("place")) == 1
            assert len(second.sent("place")) == 1
            moved = [kept.event for kept in desk.store.kept if kept.event.cause is Cause.FAILOVER]
            assert len(moved) == 1

    run_virtual(main)


def test_an_order_moves_on_as_far_as_there_are_exchanges() -> None:
    async def main(loop: VirtualLoop) -> None:
        ports = virtual_ports(loop)
        venues = [ScriptedVenue(rules, ports) for rules in (BINANCE, BYBIT, BITMEX)]
        async with trading(ports, *venues) as desk:
            for down in venues[:2]:
                down.script("place", Fault(error=down.down_error()))

            placed = await desk.place(exchange="ANY")

            assert (placed.exchange, placed.state) == ("bitmex", OrderState.NEW)
            assert [len(venue.sent("place")) for venue in venues] == [1, 1, 1]
            assert [kept.event.cause for kept in desk.store.kept].count(Cause.FAILOVER) == 2

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize(
    "fault", [Fault(vanish=True), Fault(lose=True), Fault(error=TimeoutError())], ids=["vanish", "lose", "timeout"]
)
def test_an_order_whose_outcome_is_unknown_never_moves(fault: Fault) -> None:
    async def main(loop: VirtualLoop) -> None:
        ports = virtual_ports(loop)
        first, second = pair(ports)
        async with trading(ports, first, second) as desk:
            first.stream_mute = True
            first.script("place", fault)

            placed = await desk.place(exchange="ANY", resend_if_not_placed=True, valid_for_ms=60_000)
            assert placed.state is OrderState.UNKNOWN
            ended = await desk.settled(placed.order_id)

            assert ended.exchange == "binance"
            assert second.sent("place") == []
            assert sum(first.placed.values()) <= 1

    run_virtual(main)


@virtual
async def test_a_refused_order_does_not_look_for_another_exchange(ports: Ports, loop: VirtualLoop) -> None:
    first, second = pair(ports)
    async with trading(ports, first, second) as desk:
        refusal: ExchangeError = CallerMustAct(
            "binance", "place", Outcome.REJECTED, "insufficient balance", code="-2010"
        )
        first.script("place", Fault(error=refusal))

        placed = await desk.place(exchange="ANY")

        assert placed.state is OrderState.REJECTED
        assert second.sent("place") == []


@virtual
async def test_an_order_for_one_exchange_stays_there(ports: Ports, loop: VirtualLoop) -> None:
    first, second = pair(ports)
    async with trading(ports, first, second) as desk:
        first.script("place", *[Fault(error=DOWN[1])] * 3)

        placed = await desk.place()

        assert placed.state is OrderState.NOT_PLACED
        assert len(first.sent("place")) == 3
        assert second.sent("place") == []


@virtual
async def test_an_exchange_without_prices_is_passed_over_before_anything_is_sent(
    ports: Ports, loop: VirtualLoop
) -> None:
    first, second = pair(ports)
    async with trading(ports, first, second) as desk:
        first.quotes_error = first.down_error()

        placed = await desk.place(exchange="ANY")

        assert placed.exchange == second.exchange
        assert first.sent("place") == []


@virtual
async def test_a_market_order_does_not_move_to_where_it_is_much_dearer(ports: Ports, loop: VirtualLoop) -> None:
    first, second = pair(ports)
    async with trading(ports, first, second) as desk:
        second.mid["BTC/USDT"] = Decimal(102)
        first.script("place", *[Fault(error=DOWN[1])] * 3)

        placed = await desk.place(exchange="ANY", type=OrderType.MARKET)

        assert placed.state is OrderState.NOT_PLACED
        assert second.sent("place") == []


@virtual
async def test_the_quantity_is_the_same_amount_in_the_other_exchanges_unit(ports: Ports, loop: VirtualLoop) -> None:
    symbol = "BTC/USDT:USDT"
    first = ScriptedVenue(BINANCE, ports, instruments=[instrument("binance", "usdm", symbol)])
    contracts = instrument(
        "bitmex", "bitmex", symbol, contract_size=Decimal("0.000001"), lot_size=Decimal(1000), quantity_min=Decimal(1000),
        quantity_max=Decimal(10**9),
    )  # fmt: skip
    second = ScriptedVenue(BITMEX, ports, instruments=[contracts])
    async with trading(ports, first, second) as desk:
        first.script("place", Fault(error=DOWN[0]))

        placed = await desk.place(exchange="ANY", symbol=symbol)

        assert placed.exchange == "bitmex"
        assert placed.quantity == Decimal(500_000)


@virtual
async def test_a_late_statement_of_the_first_exchange_halts_the_order_loudly(ports: Ports, loop: VirtualLoop) -> None:
    first, second = pair(ports)
    async with trading(ports, first, second) as desk:
        first.script("place", Fault(error=DOWN[1]))
        placed = await desk.place(exchange="ANY")

        # The exchange said that it is closed, and took the order all the same: its word was not true.
        stranger = first.external()
        stranger.client_order_id = placed.venue_client_order_id
        first.fill(stranger, Decimal("0.1"))
        found = await desk.until(placed.order_id, lambda now: bool(now.halted))

        assert "binance has it, too" in found.halted
