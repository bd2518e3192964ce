"""Levers under /sim that end orders, positions and listings as an exchange ends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.simulators.venue.exchange import SimulatedVenue
from services.simulators.venue.forced import CAUSES, DELEVERAGING, LIQUIDATION
from services.simulators.venue.levers import Lever
from services.simulators.venue.listing import Listing
from services.simulators.venue.matching import DEAD_MAN

CLOSINGS: Final = (LIQUIDATION, DELEVERAGING)


class EndLevers:
    """The same for every exchange."""

    def __init__(self, venue: SimulatedVenue) -> None:
        self._venue = venue

    def table(self) -> Mapping[tuple[str, str], Lever]:
        """Return the table."""
        return {
            ("POST", "/sim/orders/end"): Lever(
                self._end_order,
                body=("id", "why"),
                help=f'{{"id": "mine", "why": "liquidation"}}: end an order as the exchange does; {", ".join(CAUSES)}',
            ),
            ("POST", "/sim/positions/close"): Lever(
                self._close_position,
                body=("symbol", "market", "account", "why"),
                help='{"symbol": "BTCUSDT", "why": "liquidation"}, which ends its orders, too, or "auto-deleveraging", which '
                'does not: close a position by an order of the exchange\'s own; "market" where several have the symbol, '
                '"account" is demo where it is left out',
            ),
            ("POST", "/sim/listings/delist"): Lever(
                self._delist,
                body=("symbol", "market"),
                help='{"symbol": "BTCUSDT", "market": "spot"}: end its orders, settle its positions, take it off the list',
            ),
        }

    def _end_order(self, query: Mapping[str, str], body: Any) -> Any:
        name, why = str((body or {}).get("id", "")), (body or {}).get("why")
        if why not in CAUSES:
            raise ValueError(f"`why` must be one of {', '.join(CAUSES)}")
        if why not in self._venue.ends:
            raise ValueError(f"{self._venue.name} ends no order for {why}: POST /sim/positions/close")
        engine = self._venue.engine
        order = engine.book.named(name)
        if not order.status.is_open:
            raise ValueError(f"order {name[:64]!r} has ended already")
        end = engine.cancel if why == DEAD_MAN else engine.expire
        ended = end(order, self._venue.wall_ns(), why=why)
        return {"id": ended.id, "status": ended.status, "why": ended.why}

    def _close_position(self, query: Mapping[str, str], body: Any) -> Any:
        given = body or {}
        why, account = given.get("why"), given.get("account", "demo")
        if why not in CLOSINGS:
            raise ValueError(f"`why` must be one of {', '.join(CLOSINGS)}")
        venue = self._venue
        if account not in venue.clearing.holdings:
            raise ValueError(f"`account` must be one of {', '.join(venue.clearing.holdings)}")
        places = {place for place, _, _ in venue.clearing.holdings[account].held()}
        listing = self._listing(given, [one for place, one in venue.engine.listings.items() if place in places])
        now_ns = venue.wall_ns()
        if why == LIQUIDATION:
            for order in venue.engine.book.open_of(account, listing.market, listing.symbol):
                venue.engine.expire(order, now_ns, why=why)
        price = listing.round_down(venue.liquidity.mark(listing))
        closed = venue.closing.close(listing, price, now_ns, why=why, account=account)
        return [{"id": one.id, "side": one.side, "quantity": str(one.filled), "price": str(price)} for one in closed]

    def _delist(self, query: Mapping[str, str], body: Any) -> Any:
        venue = self._venue
        listing = self._listing(body or {}, list(venue.engine.listings.values()))
        venue.delivery.delist(listing, venue.wall_ns())
        return {"market": listing.market, "symbol": listing.symbol}

    def _listing(self, given: Mapping[str, Any], among: list[Listing]) -> Listing:
        """Return the one listing that is meant."""
        symbol, market = given.get("symbol"), given.get("market")
        found = [one for one in among if one.symbol == symbol and market in (None, one.market)]
        if len(found) != 1:
            places = sorted(f"{one.market} {one.symbol}" for one in found or among)
            raise ValueError(f"`symbol` and `market` must name one of {', '.join(places) or 'none: nothing is held'}")
        return found[0]
