"""Funding of perpetuals: every eight hours longs pay shorts, and the list of executions has a row that is no trade."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from services.simulators.venue.clearing import Clearing
from services.simulators.venue.liquidity import Liquidity
from services.simulators.venue.listing import Kind, Listing
from services.simulators.venue.orders import Event, EventKind, Fill, Lifetime, Order, OrderType, Side, Status

PERIOD_NS: Final = 8 * 3600 * 1_000_000_000
RATE: Final = Decimal("0.0001")
EXECUTION_TYPE: Final = "execType"
"""Mark of what is no order of anybody: what its row among the executions is called."""
FUNDING: Final = "Funding"
DELIVERY: Final = "Delivery"
PERIODS_MAX: Final = 30
"""Periods that are paid for at once; a longer pause has its newest ones."""


class Funding:
    """Pays when a period is over."""

    def __init__(self, clearing: Clearing, liquidity: Liquidity, listings: Mapping[tuple[str, str], Listing]) -> None:
        self._clearing = clearing
        self._liquidity = liquidity
        self._listings = listings
        self._period = -1
        self._payments = 0

    def due(self, now_ns: int) -> Iterator[Event]:
        """Book what is due by now, and yield it as events of orders that nobody placed."""
        period = now_ns // PERIOD_NS
        before, self._period = self._period, period
        for number in range(max(before, period - PERIODS_MAX) + 1, period + 1) if before >= 0 else ():
            for name, holdings in self._clearing.holdings.items():
                for place, _, position in list(holdings.held()):
                    listing = self._listings[place]
                    if listing.kind is Kind.PERPETUAL:
                        yield self._paid(name, listing, position.quantity, number * PERIOD_NS)

    def _paid(self, account: str, listing: Listing, quantity: Decimal, time_ns: int) -> Event:
        price, side = self._liquidity.mark(listing), Side.BUY if quantity > 0 else Side.SELL
        fee = listing.settlement_value(price, quantity) * RATE
        self._clearing.holdings[account].add(listing.wallet, listing.settle, -fee)
        self._payments += 1
        order = Order(
            id=-self._payments,
            listing=listing,
            account=account,
            client_id="",
            side=side,
            type=OrderType.MARKET,
            quantity=Decimal(0),
            price=None,
            lifetime=Lifetime.IOC,
            post_only=False,
            reduce_only=False,
            created_ns=time_ns,
            updated_ns=time_ns,
            rank=0,
            marks={"orderId": f"00000000-0000-4000-8000-{self._payments:012x}", EXECUTION_TYPE: FUNDING},
            status=Status.FILLED,
        )
        fill = Fill(
            trade_id=self._payments,
            order_id=order.id,
            account=account,
            client_id="",
            market=listing.market,
            symbol=listing.symbol,
            side=side,
            price=price,
            quantity=abs(quantity),
            fee=fee,
            fee_asset=listing.settle,
            maker=False,
            realized=Decimal(0),
            time_ns=time_ns,
        )
        return Event(-self._payments, EventKind.TRADE, time_ns, order, fill)
