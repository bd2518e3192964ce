"""Choose the exchange of an order. Only a new order is ever routed, and only after the exchange before certainly did not accept it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from clients.exchanges.model import Instrument, Payout
from clients.exchanges.trading import Side
from services.orders.domain import Order
from services.orders.engine.commands import PlaceCommand
from services.orders.errors import Reason, denied, reason_of
from services.orders.guards.guards import Guards
from services.orders.guards.prices import PriceGuard
from services.orders.venues import ANY, CLIENT_ERRORS, Venue, Venues
from services.runtime.errors import MidstreamError
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

PRICE_MEMORY_S: Final = 60.0
"""How old the price of the exchange that went down may be when another one is compared with it."""
SLIPPAGE_MAX: Final = Decimal("0.005")
"""How much worse the other exchange's price may be."""

_DOWN: Final = frozenset({Reason.PRICE_MISSING.value, Reason.NOT_RECONCILED.value})
"""Reasons for which another exchange is tried at once: they say that this one does not work, not that the order is wrong."""


@dataclass(frozen=True)
class Route:
    """An exchange, its instrument, and the quantity in that instrument's unit. It has passed the guards."""

    venue: Venue
    instrument: Instrument
    quantity: Decimal


class Router:
    """Chooses exchanges for `ANY`, in configured order."""

    def __init__(self, venues: Venues, guards: Guards, prices: PriceGuard) -> None:
        self._venues = venues
        self._guards = guards
        self._prices = prices

    async def first(self, command: PlaceCommand, order_id: str) -> Route:
        """Return where a new order goes; raise what denied it."""
        if command.exchange != ANY:
            venue = self._venues.named(command.exchange)
            return await self._checked(
                venue, await _instrument(venue, command.symbol), command.quantity, command, order_id
            )
        reference: Instrument | None = None
        problem: MidstreamError | None = None
        for venue in self._venues:
            try:
                instrument = await _instrument(venue, command.symbol)
                quantity = command.quantity
                if reference is not None:
                    converted = equivalent_quantity(reference, instrument, command.quantity)
                    if converted is None:
                        continue
                    quantity = converted
                reference = reference or instrument
                return await self._checked(venue, instrument, quantity, command, order_id)
            except MidstreamError as exc:
                problem = problem or exc
                if reason_of(exc) not in _DOWN:
                    raise problem from None
        raise problem or denied(Reason.UNKNOWN_EXCHANGE, "is ANY, but no exchange is configured", field="exchange")

    async def next(self, order: Order, tried: Collection[str]) -> Route | None:
        """Return where an order goes that nobody has accepted; None when there is no equivalent place."""
        assert order.quantity is not None
        assert order.type is not None
        before = self._venues.get(order.exchange)
        if before is None:
            return None
        for venue in self._venues:
            if venue.exchange in tried:
                continue
            try:
                source = await before.instrument(order.symbol)
                instrument = await venue.instrument(order.symbol)
                quantity = equivalent_quantity(source, instrument, order.quantity)
                if quantity is None:
                    continue
                price = await self._guards.check_new(
                    venue,
                    instrument,
                    order_id=order.order_id,
                    side=order.side,
                    type_=order.type,
                    quantity=quantity,
                    price=order.price,
                    time_in_force=order.time_in_force,
                    post_only=order.post_only,
                    reduce_only=order.reduce_only,
                )
                if self._price_allows(order, price):
                    return Route(venue, instrument, quantity)
                self._guards.release(order.order_id)
            except (MidstreamError, *CLIENT_ERRORS) as exc:
                logger.info("no failover", extra=fields(order=order.order_id, exchange=venue.exchange, reason=exc))
        return None

    def _price_allows(self, order: Order, price: Decimal) -> bool:
        """A LIMIT order brings its price rule along; a MARKET order may not become much dearer than where it was meant to go."""
        if order.price is not None:
            return True
        before = self._prices.last(order.exchange, order.symbol, age_max_s=PRICE_MEMORY_S)
        if before is None:
            return False
        worse = price - before if order.side is Side.BUY else before - price
        return worse <= SLIPPAGE_MAX * before

    async def _checked(
        self, venue: Venue, instrument: Instrument, quantity: Decimal, command: PlaceCommand, order_id: str
    ) -> Route:
        await self._guards.check_new(
            venue,
            instrument,
            order_id=order_id,
            side=command.side,
            type_=command.type,
            quantity=quantity,
            price=command.price,
            time_in_force=command.time_in_force,
            post_only=command.post_only,
            reduce_only=command.reduce_only,
        )
        return Route(venue, instrument, quantity)


async def _instrument(venue: Venue, symbol: str) -> Instrument:
    try:
        return await venue.instrument(symbol)
    except CLIENT_ERRORS as exc:
        raise denied(Reason.PRICE_MISSING, f"the instruments of {venue.exchange} are not available: {exc}") from exc


def equivalent_quantity(source: Instrument, target: Instrument, quantity: Decimal) -> Decimal | None:
    """Return the same amount in the target's unit; None when the instruments do not pay the same or no lot makes it exactly."""
    same = (source.symbol, source.kind, source.payout) == (target.symbol, target.kind, target.payout)
    if not same or source.payout is Payout.QUANTO:
        return None
    converted = quantity * source.contract_size / target.contract_size
    if converted * target.contract_size != quantity * source.contract_size:
        return None
    if target.lot_size > 0 and converted % target.lot_size != 0:
        return None
    return converted.normalize() + Decimal(0)
