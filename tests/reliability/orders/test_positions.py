"""What a position is: on spot what is left after fees in its own currency, on derivatives what everybody on the account has done."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from clients.exchanges.trading import Side
from services.orders.domain import OrderState
from services.orders.errors import reason_of
from services.orders.guards.limits import Limits
from services.orders.ports import Ports
from services.runtime.errors import FailedPrecondition
from tests.support.exchange_rules import BINANCE, BITMEX, BYBIT, TOY
from tests.support.memory_journal import MemoryJournal
from tests.support.order_desk import Told, Trading, kill, trading, virtual, virtual_at
from tests.support.scripted_orders import Booked
from tests.support.scripted_venue import ScriptedVenue
from tests.support.virtual_time import VirtualLoop

SPOT, PERPETUAL = "BTC/USDT", "BTC/USDT:USDT"
EVERYWHERE = (BINANCE, BITMEX, BYBIT, TOY)


def held(desk: Trading, symbol: str) -> Decimal:
    instrument = desk.venue.instruments[symbol]
    return desk.desk.positions.quantity(desk.venue.exchange, instrument.market, symbol)


async def resting(desk: Trading, symbol: str = SPOT, side: Side = Side.BUY) -> tuple[str, Booked]:
    order = await desk.place(symbol=symbol, side=side, price=Decimal(99 if side is Side.BUY else 101))
    booked = desk.venue.by_client_id(order.venue_client_order_id)
    assert booked is not None
    return order.order_id, booked


@pytest.mark.parametrize(
    ("symbol", "side", "fee", "position"),
    [
        (SPOT, Side.BUY, ("0.0005", "BTC"), "0.4995"),
        (SPOT, Side.BUY, ("0.05", "USDT"), "0.5"),
        (SPOT, Side.BUY, ("0.002", "BNB"), "0.5"),
        (SPOT, Side.BUY, ("-0.0001", "BTC"), "0.5001"),
        (SPOT, Side.SELL, ("0.05", "USDT"), "-0.5"),
        (SPOT, Side.SELL, ("0.0005", "BTC"), "-0.5005"),
        (PERPETUAL, Side.BUY, ("0.0005", "BTC"), "0.5"),
    ],
)
def test_a_fee_counts_where_it_is_paid_in_what_is_held(
    symbol: str, side: Side, fee: tuple[str, str], position: str
) -> None:
    @virtual
    async def scenario(ports: Ports, loop: VirtualLoop) -> None:
        store = MemoryJournal()
        async with trading(ports, store=store) as desk:
            name, booked = await resting(desk, symbol, side)
            for part in ("0.2", "0.3"):
                share = str(Decimal(fee[0]) * Decimal(part) * 2)
                desk.venue.repeat_events = 2
                desk.venue.fill(booked, Decimal(part), fee=(share, fee[1]))
            await desk.until(name, lambda now: now.state is OrderState.FILLED)
            await asyncio.sleep(35.0)

            assert held(desk, symbol) == Decimal(position)
            venue = desk.venue
        async with trading(ports, venue, store=store) as desk:
            assert held(desk, symbol) == Decimal(position), "as before the restart"

    scenario()


@virtual_at(*EVERYWHERE)
async def test_what_a_fee_took_is_no_room_of_the_limit(ports: Ports, venue: ScriptedVenue) -> None:
    limits = Limits(position_max=Decimal(100))
    async with trading(ports, venue, limits=limits) as desk:
        name, booked = await resting(desk)
        venue.fill(booked, Decimal("0.5"), fee=("0.1", "BTC"))
        await desk.until(name, lambda now: now.state is OrderState.FILLED)

        assert (await desk.place(quantity=Decimal("0.6"))).state is OrderState.NEW
        with pytest.raises(FailedPrecondition) as refused:
            await desk.place(quantity=Decimal("0.1"))

        assert reason_of(refused.value) == "position-limit"


@virtual_at(*EVERYWHERE)
async def test_executions_that_are_told_after_a_restart_count_once(ports: Ports, venue: ScriptedVenue) -> None:
    store = MemoryJournal()
    async with trading(ports, venue, store=store) as desk:
        name, booked = await resting(desk)
        venue.stream_mute = True
        venue.fill(booked, Decimal("0.5"), fee=("0.0005", "BTC"))
        await desk.desk.follower.query_now(await desk.until(name, lambda now: True))
        assert held(desk, SPOT) == Decimal("0.5"), "the fee is not known yet"
        await kill(desk.desk)

    async with trading(ports, venue, store=store) as desk:
        await asyncio.sleep(35.0)
        assert held(desk, SPOT) == Decimal("0.4995")


@pytest.mark.parametrize("heard", [True, False], ids=["stream", "comparison"])
@pytest.mark.parametrize("offset_s", [-7, 0, 7])
def test_a_manual_trade_on_a_derivative_is_no_difference(heard: bool, offset_s: int) -> None:
    @virtual_at(*EVERYWHERE)
    async def scenario(ports: Ports, venue: ScriptedVenue) -> None:
        told = Told()
        venue.offset_ns = offset_s * 1_000_000_000
        venue.stamps_offset = True
        async with trading(ports, venue, observer=told) as desk:
            venue.stream_mute = not heard
            for side in (Side.BUY, Side.SELL, Side.BUY):
                await asyncio.sleep(11.0)
                manual = venue.external(PERPETUAL, side, "0.3", "99", tell=False)
                venue.fill(manual, Decimal("0.3"))
            await asyncio.sleep(70.0)

            assert held(desk, PERPETUAL) == Decimal("0.3")
        assert told.differences == []

    for rules in EVERYWHERE:
        scenario(rules)


@virtual_at(*EVERYWHERE)
async def test_a_manual_trade_from_before_the_start_is_in_the_statement(ports: Ports, venue: ScriptedVenue) -> None:
    told = Told()
    venue.fill(venue.external(PERPETUAL, Side.BUY, "0.3", "99"), Decimal("0.3"))
    venue.fill(venue.external(SPOT, Side.BUY, "0.2", "99"), Decimal("0.2"), fee=("0.001", "BTC"))
    store = MemoryJournal()
    for _ in range(2):
        async with trading(ports, venue, store=store, observer=told, symbols=(SPOT, PERPETUAL)) as desk:
            await asyncio.sleep(70.0)
            assert (held(desk, PERPETUAL), held(desk, SPOT)) == (Decimal("0.3"), Decimal("0.199"))
    assert told.differences == []


@virtual_at(*EVERYWHERE)
async def test_a_position_that_nobody_traded_still_differs(ports: Ports, venue: ScriptedVenue) -> None:
    told = Told()
    async with trading(ports, venue, observer=told):
        await asyncio.sleep(35.0)
        venue.extra_positions[PERPETUAL] = Decimal(3)
        await asyncio.sleep(35.0)
    assert told.differences == [f"{PERPETUAL}: expected 0, exchange has 3"]
