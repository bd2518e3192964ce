"""O06, O10, O12: what is wrong, too much, too often or without a price is denied here; the exchange never hears of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.errors import OperatorMustAct, TryLater
from clients.exchanges.trading import OrderType, Side, TimeInForce
from clients.resilience.outcome import Outcome
from services.orders.domain import OrderState, TradingMode
from services.orders.engine.placing import ATTEMPTS_MAX
from services.orders.errors import reason_of
from services.orders.guards.limits import Limits
from services.orders.ports import Ports
from services.runtime.errors import MidstreamError
from tests.support.exchange_rules import BINANCE
from tests.support.order_desk import TRADER, order, trading, virtual, virtual_ports
from tests.support.scripted_market import instrument
from tests.support.scripted_orders import Fault
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop, run_virtual

LIMITS = Limits(
    notional_max=Decimal(1000), position_max=Decimal(500), quantity_max={"BTC/USDT": Decimal(4)}, open_orders_max=3,
    orders_per_second=1e6,
)  # fmt: skip

DENIED: list[tuple[str, dict[str, Any]]] = [
    ("quantity-filter", {"quantity": Decimal("0.0005")}),
    ("quantity-filter", {"quantity": Decimal("0.0015")}),
    ("quantity-filter", {"quantity": Decimal(1001)}),
    ("quantity-filter", {"quantity": Decimal("1e19")}),
    ("price-filter", {"price": Decimal("99.05")}),
    ("price-filter", {"price": Decimal("0.05")}),
    ("price-filter", {"price": Decimal(2_000_000)}),
    ("notional-filter", {"quantity": Decimal("0.05"), "price": Decimal(99)}),
    ("price-band", {"price": Decimal("94.9"), "quantity": Decimal(1)}),
    ("price-band", {"price": Decimal("105.1"), "quantity": Decimal(1)}),
    ("quantity-limit", {"quantity": Decimal("4.001")}),
    ("notional-limit", {"symbol": "BTC/USDT:USDT", "quantity": Decimal("10.1")}),
    ("position-limit", {"symbol": "BTC/USDT:USDT", "quantity": Decimal("5.1")}),
    ("unsupported-by-market", {"reduce_only": True}),
    ("unknown-symbol", {"symbol": "BTC/EUR"}),
    ("unknown-exchange", {"exchange": "kraken"}),
    ("instrument-not-tradable", {"symbol": "OLD/USDT"}),
]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("reason", "changes"), DENIED, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_it_is_denied_with_its_reason_before_the_wire(reason: str, changes: dict[str, Any]) -> None:
    async def main(loop: VirtualLoop) -> None:
        ports = virtual_ports(loop)
        listed = [
            instrument("binance", "spot", "BTC/USDT"),
            instrument("binance", "perp", "BTC/USDT:USDT"),
            instrument("binance", "spot", "OLD/USDT", tradable=False),
        ]
        async with trading(ports, ScriptedVenue(BINANCE, ports, instruments=listed), limits=LIMITS) as desk:
            with pytest.raises(MidstreamError) as refused:
                await desk.place(**changes)

            assert reason_of(refused.value) == reason
            assert desk.venue.sent("place") == []
            assert len(desk.store.kept) == 0, "what was denied is no order"

    run_virtual(main)


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("price-stale", lambda venue: setattr(venue, "quote_age_ns", 5_100_000_000)),
        ("price-crossed", lambda venue: setattr(venue, "spread", Decimal("-0.1"))),
        ("price-missing", lambda venue: setattr(venue, "quotes_error", venue.down_error())),
        ("price-missing", lambda venue: venue.mid.update({"BTC/USDT": Decimal(0)})),
    ],
    ids=["stale", "crossed", "missing", "zero"],
)
@pytest.mark.parametrize("type_", list(OrderType))
def test_without_a_fresh_price_nothing_goes_out(reason: str, spoil: Any, type_: OrderType) -> None:
    async def main(loop: VirtualLoop) -> None:
        ports = virtual_ports(loop)
        async with trading(ports) as desk:
            if reason == "price-missing" and not desk.venue.quotes_error:
                desk.venue.spread = Decimal(0)
            spoil(desk.venue)
            with pytest.raises(MidstreamError) as refused:
                await desk.place(type=type_)

            assert reason_of(refused.value) == reason
            assert desk.venue.sent("place") == []

    run_virtual(main)


@virtual
async def test_many_at_once_do_not_each_see_the_room_that_there_is_for_one(ports: Ports, loop: VirtualLoop) -> None:
    limits = Limits(position_max=Decimal(500), open_orders_max=1000, orders_per_second=1e6)
    async with trading(ports, limits=limits) as desk:
        answers = await asyncio.gather(
            *(desk.desk.place(order(quantity=Decimal(1)), TRADER) for _ in range(50)), return_exceptions=True
        )

        denied = [answer for answer in answers if isinstance(answer, MidstreamError)]
        assert len(desk.venue.open_booked()) == 5
        assert {reason_of(error) for error in denied} == {"position-limit"}
        assert len(denied) == 45


@virtual
async def test_what_makes_the_position_smaller_is_allowed_above_the_limit(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports, limits=Limits(position_max=Decimal(500))) as desk:
        await desk.place(type=OrderType.MARKET, quantity=Decimal("4.9"))
        desk.venue.mid["BTC/USDT"] = Decimal(150)
        await ports.sleep(1.0)

        with pytest.raises(MidstreamError, match="above the limit"):
            await desk.place(type=OrderType.MARKET, quantity=Decimal("0.1"))
        sold = await desk.place(type=OrderType.MARKET, side=Side.SELL, quantity=Decimal(1))

        assert sold.state is OrderState.FILLED


@virtual
async def test_more_orders_a_second_than_allowed_are_denied_and_later_taken(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports, limits=Limits(orders_per_second=5.0)) as desk:
        answers = await asyncio.gather(*(desk.desk.place(order(), TRADER) for _ in range(20)), return_exceptions=True)
        refused = {reason_of(answer) for answer in answers if isinstance(answer, MidstreamError)}
        sent = len(desk.venue.sent("place"))
        await ports.sleep(1.0)
        placed = await desk.place()

        assert refused == {"order-rate"}
        assert sent == 5
        assert placed.state is OrderState.NEW


@virtual
async def test_too_many_open_orders_are_denied(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports, limits=Limits(open_orders_max=3)) as desk:
        for _ in range(3):
            await desk.place()

        with pytest.raises(MidstreamError) as refused:
            await desk.place()

        assert reason_of(refused.value) == "open-orders-limit"


@virtual
async def test_nothing_is_sent_within_the_wait_that_an_exchange_asked_for(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        slow = TryLater("binance", "place", Outcome.THROTTLED, "too many requests", retry_after_s=3.0)
        desk.venue.script("place", Fault(error=slow))

        placed = await desk.place()

        first, second = desk.venue.sent("place")
        assert placed.state is OrderState.NEW
        assert second.at_ns - first.at_ns >= 3e9


@virtual
async def test_a_wait_longer_than_the_order_is_valid_ends_it(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        slow = TryLater("binance", "place", Outcome.THROTTLED, "banned", retry_after_s=120.0)
        desk.venue.script("place", Fault(error=slow))

        placed = await desk.place()

        assert placed.state is OrderState.NOT_PLACED
        assert len(desk.venue.sent("place")) == 1


def clock_refused(operation: str) -> OperatorMustAct:
    """What a request gets whose time is outside of the exchange's window: certainly not executed."""
    return OperatorMustAct("binance", operation, Outcome.CLOCK, "outside of the recvWindow", code="-1021")


@virtual
async def test_an_order_that_meets_a_step_of_the_clock_is_journalled_and_sent_again(
    ports: Ports, loop: VirtualLoop
) -> None:
    async with trading(ports) as desk:
        desk.venue.script("place", Fault(error=clock_refused("place")))

        placed = await desk.place()

        assert placed.state is OrderState.NEW
        assert (placed.attempts, len(desk.venue.sent("place"))) == (2, 2)


@virtual
async def test_a_clock_that_stays_wrong_ends_the_order(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        desk.venue.script("place", *(Fault(error=clock_refused("place")) for _ in range(ATTEMPTS_MAX)))

        placed = await desk.place()

        assert placed.state is OrderState.NOT_PLACED
        assert "recvWindow" in placed.reason
        assert len(desk.venue.sent("place")) == ATTEMPTS_MAX


@virtual
async def test_a_cancel_that_meets_a_step_of_the_clock_is_sent_again(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        placed = await desk.place()
        desk.venue.script("cancel", Fault(error=clock_refused("cancel")))

        cancelled = await desk.desk.cancel(placed.order_id, TRADER)

        assert cancelled.confirmed
        assert len(desk.venue.sent("cancel")) == 2


@virtual
async def test_dry_run_validates_and_journals_and_never_sends(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports, mode=TradingMode.DRY_RUN) as desk:
        placed = await desk.place()
        with pytest.raises(MidstreamError):
            await desk.place(quantity=Decimal("0.0005"))
        await ports.sleep(120.0)

        assert placed.state is OrderState.NOT_PLACED
        assert "dry-run" in placed.reason
        assert [call.operation for call in desk.venue.calls] == []


@virtual
async def test_time_in_force_that_the_market_lacks_is_denied(ports: Ports, loop: VirtualLoop) -> None:
    async with trading(ports) as desk:
        real = desk.venue.capabilities
        desk.venue.capabilities = lambda one: replace(real(one), time_in_force=frozenset({TimeInForce.GTC}))  # type: ignore[method-assign]
        with pytest.raises(MidstreamError) as refused:
            await desk.place(time_in_force=TimeInForce.FOK)

        assert reason_of(refused.value) == "unsupported-by-market"


@virtual
async def test_one_order_more_than_the_exchange_lets_rest_is_denied(ports: Ports, loop: VirtualLoop) -> None:
    listed = instrument("binance", "spot", "BTC/USDT", open_orders_max=3)
    venue = ScriptedVenue(BINANCE, ports, instruments=[listed])
    async with trading(ports, venue) as desk:
        placed = await asyncio.gather(*(desk.place() for _ in range(5)), return_exceptions=True)

        denied = [one for one in placed if isinstance(one, MidstreamError)]
        assert [reason_of(one) for one in denied] == ["open-orders-limit"] * 2
        assert "binance allows 3" in denied[0].message
        assert len(venue.sent("place")) == 3
        await desk.place(time_in_force=TimeInForce.IOC)
        assert len(venue.sent("place")) == 4
