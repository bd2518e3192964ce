"""Run every check before an order goes out, in the order from cheap to dear."""

from __future__ import annotations

from decimal import Decimal

from clients.exchanges.model import Instrument
from clients.exchanges.trading import OrderType, Side, TimeInForce
from services.orders.domain import Order
from services.orders.domain.order import ZERO
from services.orders.errors import Reason, denied
from services.orders.guards import filters
from services.orders.guards.gate import TradingGate
from services.orders.guards.limits import Limits
from services.orders.guards.positions import PositionBook, exposure
from services.orders.guards.prices import PriceGuard, check_band
from services.orders.guards.rate import OrderRate
from services.orders.journal.ledger import OrderLedger
from services.orders.venues import Venue


class Guards:
    """Denies with a reason; what passes may be journalled and sent. `gate` is asked once more right before the wire."""

    def __init__(
        self,
        limits: Limits,
        gate: TradingGate,
        prices: PriceGuard,
        positions: PositionBook,
        ledger: OrderLedger,
        rate: OrderRate,
    ) -> None:
        self.limits = limits
        self.gate = gate
        self.prices = prices
        self._positions = positions
        self._ledger = ledger
        self._rate = rate
        self._reserved: dict[str, tuple[tuple[str, str, str], Decimal]] = {}
        """What orders between their check and their place in the ledger may add to positions, by order id."""

    async def check_new(
        self,
        venue: Venue,
        instrument: Instrument,
        *,
        order_id: str,
        side: Side,
        type_: OrderType,
        quantity: Decimal,
        price: Decimal | None,
        time_in_force: TimeInForce | None,
        post_only: bool,
        reduce_only: bool,
    ) -> Decimal:
        """Check a new order; return the market's price that it was checked against.

        What passes counts against the limits at once, until `release`: a hundred orders at the same time must not each see the
        room that there is for one.
        """
        self.gate.check(venue.exchange)
        filters.check_not_over(instrument, self.prices.now_ns())
        filters.check_terms(
            instrument,
            venue.trading.capabilities(instrument),
            type_=type_,
            time_in_force=time_in_force,
            post_only=post_only,
            reduce_only=reduce_only,
        )
        filters.check_quantity(instrument, quantity, market_order=type_ is OrderType.MARKET)
        if price is not None:
            filters.check_price(instrument, price)
        market_price = await self.prices.fresh(venue, instrument.symbol)
        self._check_value(instrument, side, quantity, price, market_price, reduce_only=reduce_only)
        if type_ is OrderType.LIMIT and time_in_force in (None, TimeInForce.GTC):
            # What does not rest takes nobody's place.
            filters.check_open_orders(instrument, self._resting(instrument))
        count = self._ledger.open_count + len(self._reserved)
        if count >= self.limits.open_orders_max:
            raise denied(
                Reason.OPEN_ORDERS_LIMIT, f"{count} orders are open, the limit is {self.limits.open_orders_max}"
            )
        self._take_rate()
        signed = quantity if side is Side.BUY else -quantity
        self._reserved[order_id] = ((instrument.exchange, instrument.market, instrument.symbol), signed)
        return market_price

    def release(self, order_id: str) -> None:
        """Stop counting an order that is in the ledger now, or never will be."""
        self._reserved.pop(order_id, None)

    async def check_amend(
        self,
        venue: Venue,
        instrument: Instrument,
        order: Order,
        quantity: Decimal,
        price: Decimal,
        *,
        replaces: bool = False,
    ) -> None:
        """Check the target of an amend as if it were a new order in the old one's place; where it becomes one, the rest of it too."""
        self.gate.check(venue.exchange)
        filters.check_not_over(instrument, self.prices.now_ns())
        filters.check_quantity(instrument, quantity, market_order=False)
        filters.check_price(instrument, price)
        if replaces and order.filled:
            # Better refused here than between the cancel of the old order and the placement of the new one.
            filters.check_quantity(instrument, quantity - order.filled, market_order=False)
            if not order.reduce_only:
                filters.check_notional(instrument, quantity - order.filled, price)
        market_price = await self.prices.fresh(venue, instrument.symbol)
        self._check_value(
            instrument, order.side, quantity, price, market_price, reduce_only=order.reduce_only, replaced=order
        )
        self._take_rate()

    def still_open(self, exchange: str) -> str:
        """Say why nothing goes out now; empty when it does. Called between the journal and the wire."""
        return self.gate.blocked(exchange)

    def _check_value(
        self,
        instrument: Instrument,
        side: Side,
        quantity: Decimal,
        price: Decimal | None,
        market_price: Decimal,
        *,
        reduce_only: bool,
        replaced: Order | None = None,
    ) -> None:
        if price is not None:
            check_band(instrument, price, market_price, self.limits.price_band)
        worth_at = price if price is not None else market_price
        filters.check_notional(instrument, quantity, worth_at, market_order=price is None, reduce_only=reduce_only)
        quantity_max = self.limits.quantity_max.get(instrument.symbol)
        if quantity_max is not None and quantity > quantity_max:
            raise denied(
                Reason.QUANTITY_LIMIT,
                f"quantity {quantity:f} of {instrument.symbol} is above the limit of {quantity_max:f}",
            )
        # The dearer of both: a LIMIT far below the market still buys that many.
        worth = filters.notional(instrument, quantity, max(worth_at, market_price))
        self._check_notional(instrument, worth, quantity_max)
        if not reduce_only:
            self._check_position(instrument, side, quantity, market_price, replaced)

    def _check_notional(self, instrument: Instrument, worth: Decimal | None, quantity_max: Decimal | None) -> None:
        limit = self.limits.notional_max
        if limit is None:
            return
        if worth is None:
            if quantity_max is None:
                raise denied(
                    Reason.NOTIONAL_LIMIT,
                    f"the worth of {instrument.symbol} cannot be said in {instrument.quote}: set a quantity limit for it in "
                    "MIDSTREAM_ORDERS_QUANTITY_MAX",
                )
            return
        if worth > limit:
            raise denied(
                Reason.NOTIONAL_LIMIT,
                f"the order is worth {worth.normalize():f} {instrument.quote}, above the limit of {limit:f}",
            )

    def _check_position(
        self, instrument: Instrument, side: Side, quantity: Decimal, market_price: Decimal, replaced: Order | None
    ) -> None:
        limit = self.limits.position_max
        if limit is None:
            return
        key = (instrument.exchange, instrument.market, instrument.symbol)
        held = self._positions.quantity(*key)
        sign = 1 if side is Side.BUY else -1
        same_side = sum(
            (
                exposure(order)
                for order in self._ledger.open_orders
                if (order.exchange, order.market, order.symbol) == key
                and order.side is side
                and (replaced is None or order.order_id != replaced.order_id)
            ),
            ZERO,
        )
        for reserved_key, signed in self._reserved.values():
            if reserved_key == key and (signed > 0) == (sign > 0):
                same_side += signed
        already = replaced.filled if replaced is not None else ZERO
        reached = held + same_side + sign * (quantity - already)
        worth = filters.notional(instrument, abs(reached), market_price)
        # What makes the position smaller in the end is always allowed.
        if worth is not None and worth > limit and abs(reached) > abs(held):
            raise denied(
                Reason.POSITION_LIMIT,
                f"with everything open executed the position in {instrument.symbol} would be worth {worth.normalize():f} "
                f"{instrument.quote}, above the limit of {limit:f}",
            )

    def _resting(self, instrument: Instrument) -> int:
        """Count what is open, or about to be, in an instrument."""
        key = (instrument.exchange, instrument.market, instrument.symbol)
        open_now = sum((order.exchange, order.market, order.symbol) == key for order in self._ledger.open_orders)
        return open_now + sum(reserved == key for reserved, _ in self._reserved.values())

    def _take_rate(self) -> None:
        if not self._rate.take():
            raise denied(
                Reason.ORDER_RATE, f"more than {self.limits.orders_per_second:g} orders a second; wait and try again"
            )
