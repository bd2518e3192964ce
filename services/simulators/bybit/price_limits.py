"""The band that prices of orders must keep to, as the exchange computes it from index and mark."""

from __future__ import annotations

from decimal import Decimal

from services.simulators.bybit.listings import SPOT, Terms
from services.simulators.venue.liquidity import Liquidity
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Side
from services.simulators.venue.prices import PriceWalk


def index_price(listing: Listing, walk: PriceWalk) -> Decimal:
    """Return the underlying's price."""
    return round(Decimal(walk.price(listing.base)), 2)


def price_limits(listing: Listing, terms: Terms, walk: PriceWalk, liquidity: Liquidity) -> tuple[Decimal, Decimal]:
    """Return the highest price of a buy and the lowest of a sell, at legal prices inside the band."""
    index, x, y = index_price(listing, walk), terms.ratio_x, terms.ratio_y
    if listing.market == SPOT:
        highest = min(max(index, index * (1 + x)), index * (1 + y))
        lowest = max(min(index, index * (1 - x)), index * (1 - y))
    else:
        mark, book = liquidity.mark(listing), liquidity.book(listing)
        premium = (book.bids[0].price + book.asks[0].price) / 2 - mark if book.bids and book.asks else Decimal(0)
        highest = min(mark * (1 + y), max(index, mark * (1 + x) + max(Decimal(0), premium)))
        lowest = max(mark * (1 - y), min(index, mark * (1 - x) + min(Decimal(0), premium)))
    return listing.round_down(highest), listing.round_down(lowest) + listing.tick


def moved(side: Side, price: Decimal, limits: tuple[Decimal, Decimal]) -> Decimal:
    """Return a price, or the limit where it is beyond."""
    highest, lowest = limits
    return min(price, highest) if side is Side.BUY else max(price, lowest)
